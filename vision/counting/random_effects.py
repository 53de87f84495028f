"""How much units differ beyond chance: fields, chambers, the specimens of a validation.

One model for all of them. Each unit's value scatters about a common mean with a variance that is known
(Poisson or binomial: "chance") plus one that is not (the spread between units). The spread has a half-t
prior of four degrees of freedom; its posterior is summed over a grid. With one unit the prior stands, with
many the units speak, and between the two nothing jumps: an estimate of zero out of three units is no proof
that there is no spread.

References
----------
.. [1] A. Gelman, "Prior distributions for variance parameters in hierarchical models", Bayesian Analysis
   1, 515-533, 2006 (half-t priors of a standard deviation).
.. [2] D. A. Harville, "Maximum likelihood approaches to variance component estimation", J. Am. Stat.
   Assoc. 72, 320-338, 1977 (the restricted likelihood: the common mean is taken out first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# The grid is finer towards zero (squares of even steps) and reaches to twelve prior scales, beyond which the
# prior has 2e-4 of its weight.
NODES, REACH_SCALES = 41, 12.0
PRIOR_DEGREES = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """The variance between units, beyond chance.

    Attributes
    ----------
    variance : float
        Posterior mean of the variance between units, in the square of the unit of the values.
    degrees_of_freedom : int
        Independent comparisons between units; with none it is the prior alone.
    """

    variance: float
    degrees_of_freedom: int


def spread_between(clusters: Sequence[Sequence[tuple[float, float]]], prior_scale: float) -> Spread:
    """Return the spread between units beyond what chance makes of them.

    Parameters
    ----------
    clusters : sequence of sequences of (value, chance)
        Units that share a mean stand in one cluster: a value a unit, and the variance of it that chance
        alone explains, above zero.
    prior_scale : float
        Scale of the half-t prior of the standard deviation between units; its root mean square.
    """
    assert prior_scale > 0, prior_scale
    assert all(chance > 0 for cluster in clusters for _, chance in cluster), "a variance of zero"
    # Where units stand far apart the likelihood reaches past the prior: the grid goes as far as they do.
    ranges = [max(v for v, _ in cluster) - min(v for v, _ in cluster) for cluster in clusters if cluster]
    reach = max(REACH_SCALES * prior_scale, *ranges, 0.0)
    # `prior_scale` is the prior's root mean square: a half-t's own scale times sqrt(n / (n - 2)).
    square = prior_scale**2 * (PRIOR_DEGREES - 2) / PRIOR_DEGREES
    # At zero the step of the grid vanishes, and with it the weight.
    steps = np.arange(1, NODES + 1) / NODES
    variances = (reach * steps**2) ** 2
    scores = np.log(steps) - (PRIOR_DEGREES + 1) / 2 * np.log1p(variances / square / PRIOR_DEGREES)
    for cluster in clusters:
        if len(cluster) > 1:
            scores = scores + _restricted_likelihood(cluster, variances)
    weights = np.exp(scores - scores.max())
    mean = float((weights * variances).sum() / weights.sum())
    return Spread(mean, sum(max(0, len(cluster) - 1) for cluster in clusters))


def _restricted_likelihood(cluster: Sequence[tuple[float, float]], between: Floats) -> Floats:
    """Return the logarithm of the restricted likelihood at each variance, (n,) of (n,) float64."""
    values, chance = np.array(cluster).T
    precisions = 1 / (chance + between[:, np.newaxis])
    whole = precisions.sum(axis=1)
    mean = (precisions * values).sum(axis=1) / whole
    squares = (precisions * (values - mean[:, np.newaxis]) ** 2).sum(axis=1)
    return np.asarray(0.5 * (np.log(precisions).sum(axis=1) - np.log(whole) - squares))
