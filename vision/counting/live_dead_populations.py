"""Live or dead by the light of two stains: bleed-through, populations, and the grey zone between them.

Arithmetic over the nuclei of one field, without pictures: brightness in the live stain's channel (A) and in
the dead stain's (B), each over the local background and with its noise.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["live", "dead", "unclassified"]
Values = npt.NDArray[np.float64]

# Ratios are compared as arcsinh(ratio / knee): linear in the noise near zero, logarithmic above.
KNEE_LEAST = 0.02
BANDWIDTH = 0.22
GRID_POINTS = 400
# A population is at least this many nuclei and this share of them; between two, density falls below this
# share of the lower peak.
POPULATION_CELLS_LEAST, POPULATION_SHARE_LEAST = 2, 0.015
VALLEY_SHARE = 0.6
# Two populations have ratios at least this far apart; less is one population's spread.
RATIO_STEP_LEAST = 2.5
# The noise-derived levels, in spreads of what bleed-through and noise alone give.
LIVE_SPREADS_MOST, DEAD_SPREADS_LEAST = 3.5, 5.0
# Without a second population: the dead stain's light over the live stain's, bleed-through taken off.
LIVE_EXCESS_MOST, DEAD_EXCESS_LEAST = 0.10, 0.20
# Between two populations: nearer to one than this share of the way is that one's, the middle is nobody's.
LIVE_WAY_MOST, DEAD_WAY_LEAST = 0.42, 0.58
SPREAD_LIVE_LEAST, SPREAD_DEAD_LEAST = 0.10, 0.30
# Dead nuclei take up each stain by its own chance; light that bleeds keeps one ratio. A ratio so sharp in so
# many nuclei is bleed-through, however strong.
SHARP_SPREAD, SHARP_CELLS_LEAST = 0.12, 12


@dataclass(frozen=True, slots=True)
class StainPair:
    """Two stains and the shares of light that each channel may see of the other's stain, (typical, most)."""

    name: str
    bleed_a_to_b: tuple[float, float]
    bleed_b_to_a: tuple[float, float]


# The bounds are meant for one exposure in both channels and are wide: a bound that is too tight would call
# live nuclei dead. `any` holds for each of the pairs.
STAIN_PAIRS = {
    pair.name: pair
    for pair in (
        StainPair("any", (0.05, 0.40), (0.0, 0.10)),
        StainPair("AO/PI", (0.10, 0.40), (0.0, 0.05)),
        StainPair("AO/DAPI", (0.02, 0.15), (0.02, 0.10)),
        StainPair("Hoechst/PI", (0.02, 0.15), (0.01, 0.05)),
    )
}


@dataclass(frozen=True, slots=True)
class Lights:
    """Each nucleus' mean grey level over its local background in both channels, and the spread of noise.

    `at_top` marks nuclei whose light in A is at least `a`: the camera was at its top level.
    """

    a: Values
    b: Values
    noise_a: float
    noise_b: float
    at_top: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the nuclei of a field are, and the numbers that it was decided by.

    `populations` is the number of populations seen in the ratio. `estimated` says whether bleed-through from
    A to B was measured in this field; otherwise it was given or is the pair's typical one. `beyond_bound`
    says that one sharp ratio above the bound was met, as with channels of unequal exposure: nothing is told.
    """

    kinds: tuple[Kind, ...]
    bleed_a_to_b: float
    bleed_b_to_a: float
    estimated: bool
    populations: int
    beyond_bound: bool
    a_alone: Values
    b_alone: Values


def decide(lights: Lights, pair: StainPair, fixed: tuple[float, float] | None = None) -> Decision:
    """Tell live nuclei from dead ones.

    Parameters
    ----------
    lights : Lights
        Of n nuclei, debris left out.
    pair : StainPair
        Bounds of bleed-through.
    fixed : (a to b, b to a), optional
        Bleed-through measured with single-stained controls; nothing is estimated then.

    Returns
    -------
    Decision
        `a_alone`, `b_alone` are the lights with bleed-through taken off, as spreads of their noise.

    Notes
    -----
    Bleed-through is read off the live population: its nuclei have no light of their own in B, so that their
    ratio B/A is the bleed-through. A population of the ratio is live when its ratio is within the pair's
    bound; no threshold is forced through a single population.
    """
    n = len(lights.a)
    floor = np.maximum(2 * lights.noise_a, 0.02 * float(np.median(lights.a))) if n else 1.0
    ratio = lights.b / np.maximum(lights.a, max(float(floor), 1e-6))
    bright = lights.a > 6 * lights.noise_a
    knee = KNEE_LEAST
    if bright.any():
        knee = max(knee, 2 * float(np.median(lights.noise_b / lights.a[bright])))
    if fixed is not None:
        knee = max(knee, 0.1 * fixed[0])
    places = np.arcsinh(ratio / knee)
    bound = pair.bleed_a_to_b[1] if fixed is None else 1.5 * fixed[0] + 2 * knee
    members = _live_population(places, ratio, knee, bound)
    live_seen = bool(members.any())
    estimated = fixed is None and live_seen and int((members & bright).sum()) >= 3
    bleed = pair.bleed_a_to_b[0] if fixed is None else fixed[0]
    if estimated:
        bleed = _slope(lights.a[members & bright], lights.b[members & bright])
    bleed = float(np.clip(bleed, 0.0, pair.bleed_a_to_b[1] if fixed is None else 1.0))
    rest = ~members if live_seen else np.ones(n, bool)
    spread = _spread(lights, members & bright, bleed, knee) if live_seen else 0.2 * bleed
    excess = lights.b - bleed * lights.a
    noise = np.sqrt(lights.noise_b**2 + (bleed * lights.noise_a) ** 2 + (spread * lights.a) ** 2)
    beyond = not live_seen and _is_sharp(ratio[bright])
    if beyond:
        kinds: list[Kind] = ["unclassified"] * n
    else:
        way = _way(places, members, rest) if live_seen else None
        kinds = [
            _kind(*values)
            for values in zip(
                (excess / np.maximum(noise, 1e-9)).tolist(),
                (excess / np.maximum(lights.a, float(floor))).tolist(),
                [None] * n if way is None else way.tolist(),
                strict=True,
            )
        ]
        # Where A is not known, only more light in B than bleed-through could ever give says dead.
        unknown = lights.at_top & (ratio < RATIO_STEP_LEAST * pair.bleed_a_to_b[1])
        kinds = [
            "unclassified" if kind == "dead" and doubtful else kind
            for kind, doubtful in zip(kinds, unknown.tolist(), strict=True)
        ]
    back = _bleed_back(lights, kinds, pair) if fixed is None else fixed[1]
    populations = 0 if n == 0 else 1 if not live_seen or _way(places, members, rest) is None else 2
    return Decision(
        kinds=tuple(kinds),
        bleed_a_to_b=bleed,
        bleed_b_to_a=back,
        estimated=estimated,
        populations=populations,
        beyond_bound=beyond,
        a_alone=(lights.a - back * lights.b) / max(lights.noise_a, 1e-9),
        b_alone=excess / np.maximum(noise, 1e-9),
    )


def _kind(spreads: float, excess: float, way: float | None) -> Kind:
    """One nucleus: by noise, and by the populations where there are two, by the excess where there is one."""
    if way is None:
        low, high = excess < LIVE_EXCESS_MOST, excess > DEAD_EXCESS_LEAST
    else:
        low, high = way < LIVE_WAY_MOST, way > DEAD_WAY_LEAST
    if spreads < LIVE_SPREADS_MOST or low:
        return "live"
    return "dead" if high and spreads > DEAD_SPREADS_LEAST else "unclassified"


def _live_population(places: Values, ratio: Values, knee: float, bound: float) -> npt.NDArray[np.bool_]:
    """Mark the live population and all below it; nobody when no population is within the bound.

    Bleed-through is one ratio, so that live nuclei lie close together, while dead ones scatter with what each
    took up: of the populations within the bound the densest is the live one. A few nuclei with less light in
    B than the others (beside a glaring one, at an edge) are no population of their own.
    """
    edges = [-np.inf, *_valleys(places, knee), np.inf]
    best, upper = 0.0, -np.inf
    for low, high in itertools.pairwise(edges):
        inside = (places >= low) & (places < high)
        centre = float(np.median(ratio[inside])) if inside.any() else np.inf
        if centre > bound:
            break
        spread = float(np.median(np.abs(ratio[inside] - centre))) + 0.25 * knee
        if inside.sum() / spread > best:
            best, upper = float(inside.sum()) / spread, high
    return np.asarray(places < upper, bool)


def _valleys(places: Values, knee: float) -> list[float]:
    """Part the ratios into populations: where their density falls deep enough between two peaks.

    A kernel density [1]_ of the ratios has a peak for each population. A valley counts with a population's
    worth of nuclei below it and a step of the ratio across it.

    References
    ----------
    .. [1] B. W. Silverman, "Density Estimation for Statistics and Data Analysis", Chapman and Hall, 1986.
    """
    n = len(places)
    if n == 0:
        return []
    grid = np.linspace(places.min() - 3 * BANDWIDTH, places.max() + 3 * BANDWIDTH, GRID_POINTS)
    density = np.exp(-0.5 * ((grid[:, None] - places[None]) / BANDWIDTH) ** 2).sum(axis=1)
    least = max(POPULATION_CELLS_LEAST, POPULATION_SHARE_LEAST * n)
    found: list[float] = []
    peak, valley = 0.0, 0
    for k in range(1, GRID_POINTS - 1):
        here = float(density[k])
        if here > peak and valley == 0:
            peak = here
        elif here < VALLEY_SHARE * peak and (valley == 0 or here < density[valley]):
            valley = k
        elif valley and here > density[valley] / VALLEY_SHARE:
            last = found[-1] if found else -np.inf
            below = (places < grid[valley]) & (places >= last)
            if below.sum() >= least and _steps(places[below], places[places >= grid[valley]], knee):
                found.append(float(grid[valley]))
                peak, valley = here, 0
            else:
                peak, valley = max(peak, here), 0
    return found


def _steps(below: Values, above: Values, knee: float) -> bool:
    """Say whether the ratio rises by a population's step from the nuclei below a valley to those above."""
    low = max(knee, knee * float(np.sinh(np.median(below))))
    return knee * float(np.sinh(np.percentile(above, 25))) > RATIO_STEP_LEAST * low


def _slope(a: Values, b: Values) -> float:
    """Slope through zero that half of the nuclei lie above: the median of ratios weighted by brightness."""
    ratios = b / a
    order = np.argsort(ratios, kind="stable")
    weight = np.cumsum(a[order])
    return float(ratios[order][int(np.searchsorted(weight, weight[-1] / 2))])


def _spread(lights: Lights, chosen: npt.NDArray[np.bool_], bleed: float, knee: float) -> float:
    """Spread of the live nuclei's ratio beyond noise, from those below the middle: dead ones lie above."""
    if chosen.sum() < 5:
        return max(0.2 * bleed, 0.5 * knee)
    off = bleed - lights.b[chosen] / lights.a[chosen]
    spread = 1.4826 * float(np.median(off[off >= 0])) if (off >= 0).any() else 0.0
    return max(spread, 0.1 * bleed, 0.01)


def _way(
    places: Values, members: npt.NDArray[np.bool_], rest: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64] | None:
    """How far each nucleus lies on the way from the live population (0) to the dead one (1), in spreads."""
    if not members.any() or int(rest.sum()) < POPULATION_CELLS_LEAST:
        return None
    centre_live, centre_dead = float(np.median(places[members])), float(np.median(places[rest]))
    spread_live = max(SPREAD_LIVE_LEAST, 1.4826 * float(np.median(np.abs(places[members] - centre_live))))
    spread_dead = max(SPREAD_DEAD_LEAST, 1.4826 * float(np.median(np.abs(places[rest] - centre_dead))))
    from_live = np.maximum(0.0, places - centre_live) / spread_live
    from_dead = np.maximum(0.0, centre_dead - places) / spread_dead
    return np.asarray(from_live / np.maximum(from_live + from_dead, 1e-9), np.float64)


def _is_sharp(ratio: Values) -> bool:
    """Say whether nearly all nuclei keep one ratio, as light that bleeds does."""
    if len(ratio) < SHARP_CELLS_LEAST:
        return False
    low, middle, high = np.percentile(ratio, [16, 50, 84])
    return bool((high - low) / 2 < SHARP_SPREAD * middle)


def _bleed_back(lights: Lights, kinds: list[Kind], pair: StainPair) -> float:
    """Bleed-through from B to A: at most what the darkest dead nuclei show, and at most the bound."""
    dead = np.array([kind == "dead" for kind in kinds], bool)
    if dead.sum() < 8:
        return pair.bleed_b_to_a[0]
    least = float(np.percentile(lights.a[dead] / np.maximum(lights.b[dead], 1e-6), 5))
    return float(np.clip(least, 0.0, pair.bleed_b_to_a[1]))
