"""Exact and score limits of counts and shares, and the functions that they need.

No statistics library at run time: the few functions are here and are tested against published tables.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

CONFIDENCE = 0.95
# A search that has not ended by then has met its last digit.
BISECTIONS = 200


def normal_quantile(probability: float) -> float:
    """Return z with P(Z <= z) = `probability` for a standard normal Z."""
    return NormalDist().inv_cdf(probability)


# How many standard uncertainties the limits of a 95 % interval lie away.
COVERAGE_FACTOR = normal_quantile(0.5 + CONFIDENCE / 2)


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
    """Return x with P(shape, x) = `probability`: Newton's steps, kept inside a shrinking bracket."""
    low, high = 0.0, shape + 10 * math.sqrt(shape) + 20
    # Wilson and Hilferty (1931): the cube root of a gamma variate is nearly normal.
    ninth = 1 / (9 * shape)
    x = shape * max(1e-3, 1 - ninth + normal_quantile(probability) * math.sqrt(ninth)) ** 3
    for _ in range(BISECTIONS):
        miss = regularised_gamma(shape, x) - probability
        low, high = (x, high) if miss < 0 else (low, x)
        density = math.exp((shape - 1) * math.log(x) - x - math.lgamma(shape))
        step = x - miss / density if density > 0 else -1.0
        following = step if low < step < high else (low + high) / 2
        if abs(following - x) <= 1e-13 * x:
            return following
        x = following
    return x


@functools.lru_cache(maxsize=1024)
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
