"""How often the 95 % intervals of a count hold the truth, by simulation of the whole chain.

    python tests/bench/bench_count_coverage.py [SPECIMENS]

A specimen has a true concentration and viability. It is diluted with pipettes that err, filled into chambers
whose depth is drawn from its tolerance and whose fillings differ, and looked at in fields whose density and
live share vary more than chance. A method that was validated on specimens of its own (drawn anew for each
specimen, so that the card itself may be lucky or unlucky) misses cells, confuses them, leaves some
unclassified and finds what is none. Then the functions in use make the intervals: `MethodError.from_card`
and `budget`. The dose is the viable concentration times the filled volume, whose own error is drawn too.

SPECIMENS (300) are drawn for each of concentration x viability x fields x unevenness; the seed is fixed.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vision.counting.chamber import Dilution, DilutionStep, Volume
from vision.counting.method_error import EVENTS, MethodError
from vision.counting.uncertainty import FieldCount, budget

CONCENTRATIONS_ML = (1e5, 2e5, 5e5, 1e6, 2e6, 5e6)
VIABILITIES = (0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.98)
FIELDS = (1, 4, 9, 30)
# Standard deviation of the density between fields and between fillings (relative), and of the live share
# between fields (in units of sqrt(p (1 - p))). Fillings differ as published (4.6 %). `strong` is what nobody
# should accept; it is told, and not in the averages.
UNEVENNESS = {
    "none": (0.0, 0.0, 0.0),
    "usual": (0.05, 0.046, 0.05),
    "marked": (0.10, 0.046, 0.10),
    "strong": (0.20, 0.10, 0.20),
}
AVERAGED = ("none", "usual", "marked")
# A field of 4 MP at 0.6 um a pixel, 100 um deep.
FIELD_ML = 1.44e-4
FILLINGS = {1: 1, 4: 1, 9: 3, 30: 3}
CELLS_ENOUGH = 100
# Validations drawn anew; each specimen is counted by one of them.
VALIDATIONS = 300
# Mean rates of a method's errors, in the order of EVENTS, and how much they vary between acquisitions.
RATES = (0.035, 0.06, 0.008, 0.05, 0.005, 0.01, 0.02, 0.012, 0.001)
RATES_CV = 0.5
GROUPS, GROUP_LIVE, GROUP_DEAD = 12, 110, 30
# The dose bag: what the balance says of it is right to 0.7 % (balance and density together).
FILLED_RELATIVE_U = 0.007
QUANTITIES = ("total", "concentration", "viability", "viable concentration", "viable dose")


@dataclass(frozen=True)
class Specimen:
    """What is true of one specimen, and how it will be counted."""

    concentration_cells_ml: float
    viability: float
    fields: int
    unevenness: str


def rates_of(rng: np.random.Generator) -> np.ndarray:
    """Draw the rates of one specimen or acquisition: gamma about the means."""
    shape = 1 / RATES_CV**2
    return np.minimum(rng.gamma(shape, np.asarray(RATES) / shape), 0.3)


def found_of(rng: np.random.Generator, live: int, dead: int, rates: np.ndarray) -> dict[str, int]:
    """Let the method look at so many live and dead cells; keys as in a card's validation rows."""
    missed_live, missed_dead, live_dead, dead_live, live_unsure, dead_unsure, *false = rates
    of_live = rng.multinomial(
        live, (missed_live, live_dead, live_unsure, 1 - missed_live - live_dead - live_unsure)
    )
    of_dead = rng.multinomial(
        dead, (missed_dead, dead_live, dead_unsure, 1 - missed_dead - dead_live - dead_unsure)
    )
    false_live, false_dead, false_unsure = rng.poisson(np.asarray(false) * (live + dead))
    return {
        "truth_live": live,
        "truth_dead": dead,
        "live_live": int(of_live[3]),
        "live_dead": int(of_live[1]),
        "live_unclassified": int(of_live[2]),
        "dead_dead": int(of_dead[3]),
        "dead_live": int(of_dead[1]),
        "dead_unclassified": int(of_dead[2]),
        "false_live": int(false_live),
        "false_dead": int(false_dead),
        "false_unclassified": int(false_unsure),
    }


def validated(rng: np.random.Generator) -> MethodError:
    """Validate the method on groups drawn anew."""
    rows = [
        {"specimen": str(n), "group": str(n), **found_of(rng, GROUP_LIVE, GROUP_DEAD, rates_of(rng))}
        for n in range(GROUPS)
    ]
    return MethodError.from_card({"validation": {"specimens": rows}})


def uneven_share(rng: np.random.Generator, share: float, spread: float) -> float:
    """Draw a live share about its mean: beta, with a variance of spread^2 of p (1 - p)."""
    if spread == 0 or share in (0.0, 1.0):
        return share
    cells = 1 / spread**2 - 1
    return float(rng.beta(share * cells, (1 - share) * cells))


def uneven(rng: np.random.Generator, deviation: float) -> float:
    """Draw a relative density about 1: gamma."""
    return 1.0 if deviation == 0 else float(rng.gamma(deviation**-2, deviation**2))


def counted(rng: np.random.Generator, specimen: Specimen, filled_cells_ml: float) -> list[FieldCount]:
    """Fill chambers, look at the fields, and let the method count them."""
    field_cv, filling_cv, share_spread = UNEVENNESS[specimen.unevenness]
    rates = rates_of(rng)
    fillings = [uneven(rng, filling_cv) for _ in range(FILLINGS[specimen.fields])]
    fields = []
    for number in range(specimen.fields):
        filling = number % len(fillings)
        cells = int(rng.poisson(filled_cells_ml * FIELD_ML * fillings[filling] * uneven(rng, field_cv)))
        live = int(rng.binomial(cells, uneven_share(rng, specimen.viability, share_spread)))
        found = found_of(rng, live, cells - live, rates)
        seen_live = found["live_live"] + found["dead_live"] + found["false_live"]
        seen_dead = found["dead_dead"] + found["live_dead"] + found["false_dead"]
        unsure = found["live_unclassified"] + found["dead_unclassified"] + found["false_unclassified"]
        fields.append(FieldCount(seen_live + seen_dead + unsure, seen_live, seen_dead, chamber=str(filling)))
    return fields


def trial(
    rng: np.random.Generator, specimen: Specimen, method_error: MethodError
) -> dict[str, tuple[bool, float]]:
    """Count one specimen; return of each quantity whether it is held and how wide it is."""
    volume = Volume(specimen.fields * FIELD_ML)
    dilution = Dilution.of(2.0) if rng.random() < 0.5 else Dilution((DilutionStep(5.0), DilutionStep(2.0)))
    made = 1.0
    for step in dilution.steps:
        sample = 1 + step.sample_relative_u * rng.standard_normal()
        diluent = (step.factor - 1) * (1 + step.diluent_relative_u * rng.standard_normal())
        made *= (sample + diluent) / sample
    depth = 1 + volume.depth_relative_u * np.sqrt(3) * rng.uniform(-1, 1)
    area = 1 + volume.area_relative_u * rng.standard_normal()
    # What is looked at holds more where the chamber is deeper than it says. The grid is of the sample as
    # it lies in the chamber: else a greater dilution were another test of the same low counts.
    sample_cells_ml = specimen.concentration_cells_ml * dilution.factor()
    fields = counted(rng, specimen, sample_cells_ml / made * depth * area)
    result = budget(fields, volume=volume, dilution=dilution, method_error=method_error)
    filled = 1 + FILLED_RELATIVE_U * rng.standard_normal()
    truth = {
        "total": sample_cells_ml / made * depth * area * volume.volume_ml,
        "concentration": sample_cells_ml,
        "viability": specimen.viability,
        "viable concentration": sample_cells_ml * specimen.viability,
        # Both sides without the millilitres that the balance shows: the dose is the viable concentration
        # times these, and the bag holds a little more or less.
        "viable dose": sample_cells_ml * specimen.viability * filled,
    }
    found = {
        "total": result.total,
        "concentration": result.concentration,
        "viability": result.viability,
        "viable concentration": result.viable_concentration,
        "viable dose": result.viable_concentration,
    }
    held = {}
    for name, quantity in found.items():
        if quantity is not None:
            low, high = quantity.interval
            held[name] = (low <= truth[name] <= high, (high - low) / 2 / truth[name])
    return held


@dataclass
class Coverage:
    """How often an interval held the truth, and its mean half-width."""

    held: int = 0
    tried: int = 0
    width: float = 0.0

    def add(self, holds: bool, width: float) -> None:
        """Add a specimen."""
        self.held, self.tried, self.width = self.held + holds, self.tried + 1, self.width + width

    @property
    def share(self) -> float:
        """Return the share of specimens whose truth was held."""
        return self.held / max(1, self.tried)


Key = tuple[str, ...]


def simulate(
    specimens: Iterable[Specimen], times: int, seed: int, validations: int = VALIDATIONS
) -> dict[Key, Coverage]:
    """Count each specimen `times` times; return coverages by quantity, cells enough or few, and condition."""
    rng = np.random.default_rng(seed)
    cards = [validated(rng) for _ in range(validations)]
    table: dict[Key, Coverage] = defaultdict(Coverage)
    for specimen in specimens:
        # By the number expected: who picks specimens by what was counted picks the unlucky ones.
        expected = specimen.concentration_cells_ml * FIELD_ML * specimen.fields
        enough = "enough" if expected >= CELLS_ENOUGH else "few"
        for _ in range(times):
            for name, (holds, width) in trial(rng, specimen, cards[rng.integers(validations)]).items():
                keys: list[Key] = [("unevenness", specimen.unevenness), ("fields", str(specimen.fields))]
                if specimen.unevenness in AVERAGED:
                    keys += [
                        ("all",),
                        ("grid", f"{specimen.concentration_cells_ml:.0e}", f"{specimen.viability:.2f}"),
                    ]
                else:
                    keys = keys[:1]
                for key in keys:
                    table[(name, enough, *key)].add(holds, width)
    return table


def grid(unevenness: Iterable[str] = UNEVENNESS, fields: Iterable[int] = FIELDS) -> list[Specimen]:
    """Return every combination of concentration, viability, fields and unevenness."""
    return [
        Specimen(concentration, viability, number, strength)
        for concentration in CONCENTRATIONS_ML
        for viability in VIABILITIES
        for number in fields
        for strength in unevenness
    ]


def least_of_grid(table: dict[Key, Coverage], name: str, least_tried: int) -> float:
    """Return the lowest coverage of a cell of the grid, among those with enough specimens to say so."""
    cells = [c for key, c in table.items() if key[:3] == (name, "enough", "grid") and c.tried >= least_tried]
    return min(cell.share for cell in cells)


def main() -> int:
    """Simulate all and print one JSON line a row."""
    assert len(RATES) == len(EVENTS)
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    table = simulate(grid(), times, seed=20391)
    for name in QUANTITIES:
        whole = {"least_of_the_grid": round(least_of_grid(table, name, times), 3)}
        for key, cover in sorted(table.items()):
            if key[0] == name and key[2] != "grid":
                figures = {
                    "coverage": round(cover.share, 4),
                    "half_width": round(cover.width / cover.tried, 4),
                }
                whole[" ".join(key[1:])] = {**figures, "specimens": cover.tried}
        print(json.dumps({f"coverage of {name}": whole}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
