"""How good is a counting method? The quality indicators of ISO 20391-2, from a dilution series.

They say how well a method repeats itself and how well its answers follow the dilution. They do not
say that its answers are true: the standard "does not directly provide the accuracy".

Intervals come from a seeded bootstrap, so one file gives one answer. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.counting.dilution_series import LEVELS_MAX, Observation, Series, SeriesUnusable

Floats = npt.NDArray[np.float64]

LEVELS_MIN, SAMPLES_MIN = 4, 3  # ISO 20391-2: dilution fractions, replicate samples of each
ROUNDS, ROUNDS_MAX = 1000, 20_000
SEED = 20391
CONFIDENCE_PERCENT = 95.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a method must reach. The standard sets none: these are a site's to set.

    `cv_percent_max` is the accepted variation of a GMP validation [1]_; the other two are choices of
    this program: R2 is a coarse measure that a crooked method can pass, so the mean distance between
    what the method follows and true proportionality has a limit of its own.

    References
    ----------
    .. [1] M. Gunetti et al., "Validation of analytical methods in GMP: the disposable Fast Read 102
       device, an alternative practical approach for cell counting", J. Transl. Med. 10:112, 2012.
    """

    cv_percent_max: float = 10.0
    r2_min: float = 0.98
    deviation_percent_max: float = 10.0
    pi_squared_max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One dilution of the series. Percent figures are None where too few values were measured."""

    target: float
    fraction: float  # mean of the measured ones
    samples: int
    observations: int
    concentration_cells_ml: float
    cv_percent: float | None  # between looks at one sample; mean over the samples
    cv_samples_percent: float | None  # between the means of the samples: pipetting is in it
    residual_percent: float  # mean of the samples, of the proportional fit
    deviation_percent: float  # flexible against proportional fit, at these samples
    viability_percent: float | None

    @property
    def judged_cv_percent(self) -> float | None:
        """Between repeated looks where there are such, else between replicate samples."""
        return self.cv_samples_percent if self.cv_percent is None else self.cv_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicators:
    """The figures of ISO 20391-2 that stand for the whole series."""

    slope_cells_ml: float  # the stock's concentration, by the proportional fit
    r2: float  # uncentred, as of a fit through the origin
    pi_squared: float
    pi_absolute: float
    deviation_percent: float  # pi_absolute over the number of samples, in percent
    cv_percent: float | None


Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualification:
    """What one series says of its method, with the verdict against stated limits."""

    series: Series
    levels: tuple[Level, ...]
    indicators: Indicators
    intervals: dict[str, Interval]  # of the indicators, by name
    rounds: int
    limits: Limits
    design_gaps: tuple[str, ...]
    failures: tuple[str, ...]
    remarks: tuple[str, ...]
    points: tuple[Point, ...] = field(repr=False)
    curve: tuple[tuple[float, float], ...] = field(repr=False)  # fraction, flexible fit

    @property
    def passed(self) -> bool:
        return not self.design_gaps and not self.failures

    @property
    def verdict(self) -> str:
        """`pass`, or `fail` when the design is incomplete or a limit is not met."""
        return "pass" if self.passed else "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One replicate sample: the mean of its observations, and the two fits at its fraction."""

    target: float
    sample: str
    fraction: float
    mean_cells_ml: float
    observations_cells_ml: tuple[float, ...]
    proportional_cells_ml: float
    flexible_cells_ml: float


# ── Fits ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Samples:
    """The replicate samples of a series as arrays of one length."""

    target: Floats
    fraction: Floats
    mean: Floats
    count: Floats

    @classmethod
    def of(cls, groups: Sequence[tuple[float, Floats, Floats]]) -> _Samples:
        """From (target, fractions, concentrations) of each sample."""
        return cls(
            np.array([target for target, _, _ in groups]),
            np.array([fractions.mean() for _, fractions, _ in groups]),
            np.array([values.mean() for _, _, values in groups]),
            np.array([float(values.size) for _, _, values in groups]),
        )


def proportional_fit(fraction: Floats, mean: Floats, count: Floats) -> tuple[float, float]:
    """Fit mean = slope * fraction by least squares with weights count / fraction.

    Parameters
    ----------
    fraction : (n,) float64 ndarray
        Dilution fraction of each sample, above 0.
    mean : (n,) float64 ndarray
        Mean concentration of each sample, cells/mL.
    count : (n,) float64 ndarray
        Observations that each mean is made of.

    Returns
    -------
    slope : float
        Concentration of the stock, cells/mL.
    r2 : float
        Share of the uncentred weighted sum of squares that the line explains; 1 where there is
        nothing to explain.

    Notes
    -----
    The variance of a count grows with the count, hence the weight 1 / fraction.
    """
    weights = count / fraction
    slope = float((weights * fraction * mean).sum() / (weights * fraction * fraction).sum())
    all_squares = float((weights * mean * mean).sum())
    rest = mean - slope * fraction
    return slope, 1.0 if all_squares == 0 else 1.0 - float((weights * rest * rest).sum()) / all_squares


def flexible_fit(fraction: Floats, mean: Floats, order: int) -> Callable[[Floats], Floats]:
    """Fit a polynomial by least squares with weights 1 / fraction; returns it as a function.

    Notes
    -----
    Legendre polynomials over the range of the fractions stand for the powers of the fraction: they
    span the same curves, and stay well apart where powers of many levels do not.
    """
    low, high = float(fraction.min()), float(fraction.max())
    width = (high - low) or 1.0

    def basis(x: Floats) -> Floats:
        at = np.polynomial.legendre.legvander(2 * (x - low) / width - 1, order)
        return np.asarray(at, dtype=np.float64)

    root = np.sqrt(1 / fraction)
    coefficients = np.linalg.lstsq(basis(fraction) * root[:, None], mean * root, rcond=None)[0]
    return lambda x: np.asarray(basis(x) @ coefficients, dtype=np.float64)


def _cv_percent(values: Floats, *, drawn: bool = False) -> float | None:
    """Standard deviation (n - 1) over mean; None for one value or a mean of 0.

    Values that were `drawn` with replacement out of n repeat themselves and vary less, by the factor
    (n - 1) / n of the variance; that is given back, or no interval of three looks would hold their CV.
    """
    if values.size < 2 or values.mean() == 0:
        return None
    given_back = values.size / (values.size - 1) if drawn else 1.0
    return float(100 * np.sqrt(values.var(ddof=1) * given_back) / values.mean())


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _indicators(
    groups: Sequence[tuple[float, Floats, Floats]], order: int, *, drawn: bool = False
) -> Indicators:
    samples = _Samples.of(groups)
    slope, r2 = proportional_fit(samples.fraction, samples.mean, samples.count)
    proportional = slope * samples.fraction
    flexible = flexible_fit(samples.fraction, samples.mean, order)(samples.fraction)
    # A series without a single cell follows nothing and deviates from nothing.
    apart = np.zeros_like(proportional) if slope == 0 else (flexible - proportional) / proportional
    pi_absolute = float(np.abs(apart).sum())
    return Indicators(
        slope_cells_ml=slope,
        r2=r2,
        pi_squared=float((apart * apart).sum()),
        pi_absolute=pi_absolute,
        deviation_percent=100 * pi_absolute / len(groups),
        cv_percent=_mean_or_none([_cv_percent(values, drawn=drawn) for _, _, values in groups]),
    )


def _bootstrap(
    groups: Sequence[tuple[float, Floats, Floats]], order: int, rounds: int
) -> dict[str, Interval]:
    """Intervals of the indicators: samples are drawn anew within each dilution, then their observations.

    The indices of proportionality can only grow by chance, so their intervals lie above their values
    where a method is good; that is in the nature of the index.
    """
    random = np.random.default_rng(SEED)
    by_target: dict[float, list[tuple[float, Floats, Floats]]] = {}
    for group in groups:
        by_target.setdefault(group[0], []).append(group)
    drawn: dict[str, list[float]] = {}
    for _ in range(rounds):
        again = []
        for samples in by_target.values():
            for place in random.integers(len(samples), size=len(samples)):
                target, fractions, values = samples[place]
                looks = random.integers(values.size, size=values.size)
                again.append((target, fractions[looks], values[looks]))
        found = _indicators(again, order, drawn=True)
        for name in Indicators.__dataclass_fields__:
            value = getattr(found, name)
            if value is not None:
                drawn.setdefault(name, []).append(value)
    tail = (100 - CONFIDENCE_PERCENT) / 2
    return {
        name: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
        for name, values in drawn.items()
    }


# ── The whole of it ────────────────────────────────────────────────────────────────────


def qualify(series: Series, *, limits: Limits | None = None, rounds: int = ROUNDS) -> Qualification:
    """Judge one method by its dilution series.

    Raises
    ------
    SeriesUnusable
        More dilutions than a polynomial can be laid through.
    """
    assert 0 <= rounds <= ROUNDS_MAX, rounds
    limits = limits or Limits()
    grouped = _grouped(series)
    targets = sorted({observation.target for observation in series.observations})
    if len(targets) > LEVELS_MAX:
        raise SeriesUnusable(f"{series.name} has {len(targets)} dilutions; at most {LEVELS_MAX} are judged.")
    groups = [
        (target, _floats(seen, "fraction"), _floats(seen, "concentration_cells_ml"))
        for (target, _), seen in grouped.items()
    ]
    order = len(targets) - 1
    indicators = _indicators(groups, order)
    samples = _Samples.of(groups)
    flexible = flexible_fit(samples.fraction, samples.mean, order)
    points = _points(grouped, samples, indicators.slope_cells_ml, flexible)
    levels = tuple(_level(target, grouped, points) for target in targets)
    along = np.linspace(samples.fraction.min(), samples.fraction.max(), 101)
    return Qualification(
        series=series,
        levels=levels,
        indicators=indicators,
        intervals=_bootstrap(groups, order, rounds) if rounds else {},
        rounds=rounds,
        limits=limits,
        design_gaps=tuple(_design_gaps(series, levels)),
        failures=tuple(_failures(levels, indicators, limits)),
        remarks=tuple(_remarks(series, levels)),
        points=points,
        curve=tuple(zip(along.tolist(), flexible(along).tolist(), strict=True)),
    )


_Grouped = dict[tuple[float, str], list[Observation]]


def _grouped(series: Series) -> _Grouped:
    grouped: _Grouped = {}
    for observation in series.observations:
        grouped.setdefault((observation.target, observation.sample), []).append(observation)
    return grouped


def _floats(observations: Sequence[Observation], name: str) -> Floats:
    return np.array([getattr(one, name) for one in observations], dtype=np.float64)


def _points(
    grouped: _Grouped, samples: _Samples, slope: float, flexible: Callable[[Floats], Floats]
) -> tuple[Point, ...]:
    curve = flexible(samples.fraction)
    return tuple(
        Point(
            target=target,
            sample=sample,
            fraction=float(samples.fraction[place]),
            mean_cells_ml=float(samples.mean[place]),
            observations_cells_ml=tuple(one.concentration_cells_ml for one in seen),
            proportional_cells_ml=slope * float(samples.fraction[place]),
            flexible_cells_ml=float(curve[place]),
        )
        for place, ((target, sample), seen) in enumerate(grouped.items())
    )


def _level(target: float, grouped: _Grouped, points: Sequence[Point]) -> Level:
    here = [point for point in points if point.target == target]
    seen = [one for (of, _), group in grouped.items() if of == target for one in group]
    means = np.array([point.mean_cells_ml for point in here])

    def percent(value: Callable[[Point], float]) -> float:
        shares = [
            100 * (value(point) / point.proportional_cells_ml - 1)
            for point in here
            if point.proportional_cells_ml
        ]
        return float(np.mean(shares)) if shares else 0.0

    return Level(
        target=target,
        fraction=float(np.mean([point.fraction for point in here])),
        samples=len(here),
        observations=len(seen),
        concentration_cells_ml=float(means.mean()),
        cv_percent=_mean_or_none([_cv_percent(np.array(point.observations_cells_ml)) for point in here]),
        cv_samples_percent=_cv_percent(means),
        residual_percent=percent(lambda point: point.mean_cells_ml),
        deviation_percent=percent(lambda point: point.flexible_cells_ml),
        viability_percent=_mean_or_none([one.viability_percent for one in seen]),
    )


def _design_gaps(series: Series, levels: Sequence[Level]) -> list[str]:
    """What the experiment lacks, in words."""
    gaps = []
    if len(levels) < LEVELS_MIN:
        gaps.append(
            f"{len(levels)} dilution{'s were' if len(levels) > 1 else ' was'} measured; "
            f"at least {LEVELS_MIN} are needed."
        )
    for level in levels:
        if level.samples < SAMPLES_MIN:
            gaps.append(
                f"Dilution {level.target:g} has {level.samples} replicate "
                f"sample{'s' if level.samples > 1 else ''}; at least {SAMPLES_MIN} are needed."
            )
    of_sample: dict[str, set[float]] = {}
    for one in series.observations:
        of_sample.setdefault(one.sample, set()).add(one.target)
    mixed = sorted(sample for sample, targets in of_sample.items() if len(targets) > 1)
    if mixed:
        gaps.append(
            f"Sample {', '.join(mixed[:5])} stands under more than one dilution: give each its number."
        )
    return gaps


def _failures(levels: Sequence[Level], found: Indicators, limits: Limits) -> list[str]:
    """Which limits are not met, in words."""
    words = []
    for level in levels:
        cv = level.judged_cv_percent
        if cv is not None and not cv < limits.cv_percent_max:
            words.append(
                f"Dilution {level.target:g}: the replicates vary by {cv:.2f} %; "
                f"less than {limits.cv_percent_max:g} % is accepted."
            )
    if not found.r2 >= limits.r2_min:
        words.append(f"R² of the proportional fit is {found.r2:.4f}; at least {limits.r2_min:g} is accepted.")
    if not found.deviation_percent <= limits.deviation_percent_max:
        words.append(
            f"The method is {found.deviation_percent:.1f} % off proportionality on average; "
            f"at most {limits.deviation_percent_max:g} % is accepted."
        )
    if limits.pi_squared_max is not None and not found.pi_squared <= limits.pi_squared_max:
        words.append(
            f"The proportionality index is {found.pi_squared:.4f}; "
            f"at most {limits.pi_squared_max:g} is accepted."
        )
    if found.slope_cells_ml == 0:
        words.append("Not one cell was counted in the whole series.")
    return words


def _remarks(series: Series, levels: Sequence[Level]) -> list[str]:
    """What a reader should know, though it decides nothing."""
    words = []
    if series.left_out:
        rows = "row" if series.left_out == 1 else "rows"
        words.append(f"{series.left_out} {rows} without a concentration left out.")
    if all(level.cv_percent is None for level in levels):
        words.append("No sample was looked at twice: variation is that between samples, with the pipetting.")
    if all(one.fraction == one.target for one in series.observations):
        words.append("No dilution was measured: the target fractions are taken as they were meant.")
    return words


def as_json(found: Qualification) -> dict[str, Any]:
    """The figures as plain values: names with units, None where nothing could be computed."""
    series, limits = found.series, found.limits
    return {
        "counting_method": series.method,
        "cell_type": series.cell_type,
        "concentration_type": series.concentration_type,
        "verdict": found.verdict,
        "design_gaps": list(found.design_gaps),
        "failures": list(found.failures),
        "remarks": list(found.remarks),
        "slope_cells_ml": found.indicators.slope_cells_ml,
        "r2": found.indicators.r2,
        "pi_squared": found.indicators.pi_squared,
        "pi_absolute": found.indicators.pi_absolute,
        "deviation_percent": found.indicators.deviation_percent,
        "cv_percent": found.indicators.cv_percent,
        "intervals": {name: list(ends) for name, ends in found.intervals.items()},
        "interval_percent": CONFIDENCE_PERCENT,
        "bootstrap_rounds": found.rounds,
        "bootstrap_seed": SEED,
        "limits": {name: getattr(limits, name) for name in Limits.__dataclass_fields__},
        "levels": [{name: getattr(one, name) for name in Level.__dataclass_fields__} for one in found.levels],
        "observations": len(series.observations),
        "rows_left_out": series.left_out,
    }
