"""From counts to intervals: what the numbers may really be, with each cause by its name.

No statistics library at run time: the few functions needed are here and are tested against
published tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95
# Bisection ends far below the digits that are shown.
BISECTIONS = 200


def normal_quantile(probability: float) -> float:
    """Return z with P(Z <= z) = `probability` for a standard normal Z."""
    return NormalDist().inv_cdf(probability)


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Wilson score interval of a share.

    Parameters
    ----------
    successes, trials : int
        Counts, `0 <= successes <= trials`.
    confidence : float
        Coverage aimed at, e.g. 0.95.

    Returns
    -------
    low, high : float
        Shares from 0 to 1; (0, 1) when `trials` is 0.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
       J. Am. Stat. Assoc. 22, 209-212, 1927.
    """
    assert 0 <= successes <= trials, (successes, trials)
    if trials == 0:
        return 0.0, 1.0
    z = normal_quantile(0.5 + confidence / 2)
    share = successes / trials
    spread = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / spread
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / spread
    # At 0 and at all the limit is exact; rounding must not move it off.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return low, high


def regularised_gamma(shape: float, x: float) -> float:
    """Return the lower regularised incomplete gamma function P(shape, x).

    References
    ----------
    .. [1] M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 6.5.29 (series) and
       6.5.31 (continued fraction, evaluated by the method of Lentz).
    """
    if x <= 0:
        return 0.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        n = shape
        while abs(term) > abs(total) * 1e-15:
            n += 1
            term *= x / n
            total += term
        return min(1.0, front * total)
    tiny = 1e-300
    b = x + 1 - shape
    c, d = 1 / tiny, 1 / b
    h = d
    for i in range(1, 100_000):
        a = -i * (i - shape)
        b += 2
        d = a * d + b
        d = 1 / (d if abs(d) > tiny else tiny)
        c = b + a / c
        c = c if abs(c) > tiny else tiny
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return max(0.0, 1 - front * h)


def gamma_quantile(shape: float, probability: float) -> float:
    """Return x with P(shape, x) = `probability`, by bisection."""
    low, high = 0.0, shape + 10 * math.sqrt(shape) + 20
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if regularised_gamma(shape, middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def garwood(count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact interval of a Poisson mean from one count.

    References
    ----------
    .. [1] F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28, 437-442,
       1936; written with gamma quantiles (chi-squared over 2).
    """
    assert count >= 0, count
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else gamma_quantile(count, tail)
    return low, gamma_quantile(count + 1, 1 - tail)


@dataclass(frozen=True, slots=True)
class MethodError:
    """What validation showed of a method (out of fold), for specimens of `cells` cells.

    `viability_pp` and `count_percent` are root mean squares over specimens of the found minus
    the labelled value, in percentage points and percent.
    """

    viability_pp: float
    count_percent: float
    cells: int

    def grown_for(self, cells: int) -> float:
        """Return how many times larger the error is for fewer cells; it never shrinks below 1."""
        return math.sqrt(max(1.0, self.cells / max(1, cells)))


def viability_interval(
    live: int, dead: int, unclassified: int, error: MethodError
) -> tuple[float, float] | None:
    """Return the 95 % interval of viability in percent, or None when no cell was classified.

    The lower limit takes each unclassified cell as dead, the upper as live (Wilson limits of
    both cases); each is then widened in quadrature by the classifier's own validated error.

    References
    ----------
    .. [1] JCGM 100:2008 (GUM), 5.1.2: independent standard uncertainties add in quadrature.
    """
    if live + dead == 0:
        return None
    cells = live + dead + unclassified
    share = 100 * live / (live + dead)
    low, _ = wilson(live, cells)
    _, high = wilson(live + unclassified, cells)
    own = normal_quantile(0.5 + CONFIDENCE / 2) * error.viability_pp * error.grown_for(cells)
    return (
        max(0.0, share - math.hypot(max(0.0, share - 100 * low), own)),
        min(100.0, share + math.hypot(max(0.0, 100 * high - share), own)),
    )


@dataclass(frozen=True, slots=True)
class VolumeError:
    """Relative standard uncertainties of the volume counted (shares, not percent).

    Field area: pixel size known to 0.5 % a side. Depth: a chamber's 100 um +- 2 um (DIN 12847
    class), taken as a standard uncertainty of 2 %. Dilution: one pipetting step of 1.5 %.
    """

    area: float = 0.01
    depth: float = 0.02
    dilution: float = 0.015

    def relative(self, diluted: bool) -> float:
        """Return all causes together; an undiluted sample has no dilution error."""
        return math.sqrt(self.area**2 + self.depth**2 + (self.dilution**2 if diluted else 0.0))


def concentration_interval(
    count: int, volume_ml: float, dilution: float, error: MethodError, volume_error: VolumeError | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of a concentration in cells/mL of the undiluted sample.

    Garwood's limits of the count, each widened in quadrature by the relative uncertainties of
    area, depth and dilution and by the detector's validated count error.

    References
    ----------
    .. [1] JCGM 100:2008 (GUM), 5.1.6: relative uncertainties of a product add in quadrature.
    """
    assert volume_ml > 0, volume_ml
    assert dilution >= 1, dilution
    low, high = garwood(count)
    per_cell = dilution / volume_ml
    z = normal_quantile(0.5 + CONFIDENCE / 2)
    shares = volume_error or VolumeError()
    other = z * math.hypot(shares.relative(dilution > 1), error.count_percent / 100 * error.grown_for(count))
    down, up = math.hypot(count - low, other * count), math.hypot(high - count, other * max(count, 1))
    return max(0.0, count - down) * per_cell, (count + up) * per_cell
