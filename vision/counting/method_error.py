"""What a method's own validation says of its errors: events by kind, their rates, and how these vary.

A method errs in nine ways: it misses a live or a dead cell, calls a live one dead or a dead one live, leaves
either unclassified, and marks as live, dead or unclassified what is no cell. Validation counts each of these
in specimens it never learnt from. Three things are kept apart:

* the mean rate of each event makes a bias, which is put into the middle of the interval;
* a new specimen has rates of its own: the spread between validated specimens beyond chance, and what the
  validation leaves open of the mean, are the method's own standard uncertainty;
* that 3 of 57 cells are missed at a given rate, and not 2 or 4, is chance. It is in the Poisson and binomial
  part of every count already (a thinned Poisson count is a Poisson count), so it is taken out here: by the
  binomial variance that each validation specimen's own number of labelled cells explains.

Errors go together: a method that misses more in one acquisition may also mark less there that is no cell, or
misses live and dead alike. So the events say how the error depends on viability, and the specimens' own
results (found over labelled cells, live cells, found less labelled viability), chance taken out of them
likewise, say how large it is in all.

Wrong labels look like events. They stay in the rates; their scatter is chance and is taken out with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vision.counting.random_effects import spread_between

# Event: what it is a share of, and the keys of a validation row that are summed up for it. A missed cell is
# a labelled one that no key accounts for.
_LIVE, _DEAD, _ALL = ("truth_live",), ("truth_dead",), ("truth_live", "truth_dead", "truth")
_MATCHED_LIVE = ("live_live", "live_dead", "live_unclassified")
_MATCHED_DEAD = ("dead_live", "dead_dead", "dead_unclassified")
_FOUND = (
    ("live_live", "dead_live", "false_live"),
    ("dead_dead", "live_dead", "false_dead"),
    ("live_unclassified", "dead_unclassified", "false_unclassified"),
)
EVENTS = (
    "live missed", "dead missed", "live called dead", "dead called live", "live unclassified",
    "dead unclassified", "false live", "false dead", "false unclassified",
)  # fmt: skip
# Between two acquisitions a rate differs by about half of itself before anything is known (half-t).
RATE_PRIOR_SCALE = 0.5
# Fewer acquisition groups than this say too little of the next one; specimens are compared then.
GROUPS_LEAST = 3
# A method that finds less than this of all cells is no method; it keeps divisions away from zero.
RATIO_LEAST = 1e-3
# Of no chance at all no spread can be told apart; a millionth is none.
CHANCE_LEAST = 1e-6


class CardLacksValidation(Exception):
    """The method's card has no out-of-fold figures; without them no interval can be given."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The method's card lacks {what}. Install the software again or choose another method."
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """How often an event happens: mean share, and variance of the share in a new specimen."""

    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class MethodError:
    """A method's validated errors, in the order of `EVENTS`.

    `units` is the number of specimens or groups compared, `cells` the labelled cells in all. `together` is by
    what the uncertainties of count, live cells and viability differ from those of independent events.
    """

    rates: tuple[Rate, ...]
    units: int
    cells: int
    rests_on: str
    together: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def none(cls) -> MethodError:
        """Return the error of a method that makes none."""
        return cls((Rate(0.0, 0.0),) * len(EVENTS), 0, 0, "no error assumed")

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> MethodError:
        """Read the error from a performance card.

        Parameters
        ----------
        card : mapping
            `card["validation"]["specimens"]` lists out-of-fold rows, one for each specimen and acquisition
            group, of whole numbers (a missing key is 0): `truth_live`, `truth_dead`; matched
            cells by label and finding, `live_live`, `live_dead`, `live_unclassified`, `dead_live`,
            `dead_dead`, `dead_unclassified`; found where no label is, `false_live`, `false_dead`,
            `false_unclassified`. A method that tells no live cells from dead ones gives `truth`, `found`
            and `matched`. `specimen` and `group` are names.

        Raises
        ------
        CardLacksValidation
            No such rows, or no labelled cell in them.
        """
        validation = card.get("validation", {})
        rows = validation.get("specimens") or ()
        if not rows:
            return cls._from_root_mean_squares(validation)
        rows = [_as_live(row) for row in rows]
        poolings = [_pooled(rows, "specimen")]
        groups = _pooled(rows, "group")
        if len(groups) >= GROUPS_LEAST:
            poolings.append(groups)
        cells = sum(_of(row, _ALL) for row in rows)
        if cells == 0:
            raise CardLacksValidation("labelled cells in its validation")
        rates = []
        for event in EVENTS:
            # Specimens mixed from all acquisitions hide how these differ: the larger spread stands.
            found = [_rate([_event(unit, event) for unit in units]) for units in poolings]
            rates.append(max(found, key=lambda rate: rate.variance))
        units = len(poolings[-1])
        named = "acquisition groups" if len(poolings) > 1 else "specimens"
        words = f"{cells} labelled cells in {units} {named}, out of fold"
        apart = cls(tuple(rates), units, cells, words)
        factors = [apart._going_together(pooling) for pooling in poolings]
        return replace(apart, together=tuple(max(each) for each in zip(*factors, strict=True)))

    def _going_together(self, units: Sequence[Mapping[str, int]]) -> tuple[float, float, float]:
        """Return how much larger the spread of the units' results is than independent events make it."""
        compared: tuple[list[tuple[float, float]], ...] = ([], [], [])
        sizes = []
        for unit in units:
            live, dead = _of(unit, _LIVE), _of(unit, _DEAD)
            seen_live, seen_dead, unsure = (_of(unit, keys) for keys in _FOUND)
            if live == 0 or seen_live + seen_dead == 0:
                continue
            viability = live / (live + dead)
            chance = self._chance_in(unit)
            ratio, ratio_u = chance.total_ratio(viability)
            live_ratio, live_u = chance.live_ratio(viability)
            share, share_u = chance.share(viability)
            results = (
                ((seen_live + seen_dead + unsure) / (live + dead) / ratio, ratio_u),
                (seen_live / live / live_ratio, live_u),
                (seen_live / (seen_live + seen_dead) - share, share_u),
            )
            for values, (value, u) in zip(compared, results, strict=True):
                values.append((value, max(u, CHANCE_LEAST) ** 2))
            sizes.append(live + dead)
        cells = sum(_of(unit, _ALL) for unit in units)
        viability = sum(_of(unit, _LIVE) for unit in units) / cells or 1.0
        expected = (self.total_ratio(viability)[1], self.live_ratio(viability)[1], self.share(viability)[1])
        factors = [
            _in_a_new_unit(values, sizes, u) / u if u > CHANCE_LEAST and values else 1.0
            for values, u in zip(compared, expected, strict=True)
        ]
        return factors[0], factors[1], factors[2]

    def _chance_in(self, unit: Mapping[str, int]) -> MethodError:
        """Return the error that this unit shows by chance where its rates are the mean ones."""
        rates = []
        for event, rate in zip(EVENTS, self.rates, strict=True):
            _, chances = _event(unit, event)
            rates.append(Rate(rate.mean, rate.mean * (1 - rate.mean) / chances if chances else 0.0))
        return MethodError(tuple(rates), 1, 0, "")

    @classmethod
    def _from_root_mean_squares(cls, validation: Mapping[str, Any]) -> MethodError:
        """Read a card that gives only overall errors: taken whole, without a bias or chance taken out."""
        if "sample_count_rms_percent" not in validation:
            raise CardLacksValidation("the list of its validation specimens")
        count = Rate(0.0, (validation["sample_count_rms_percent"] / 100) ** 2)
        kind = Rate(0.0, (validation.get("viability_rms_pp", 0.0) / 100) ** 2)
        none = Rate(0.0, 0.0)
        cells = int(validation.get("cells_per_specimen", 0))
        words = "the root mean square error of the validated specimens, chance included"
        return cls((count, count, kind, kind, none, none, none, none, none), 0, cells, words)

    @property
    def degrees_of_freedom(self) -> int | None:
        """Units compared less one, None where the card lists none."""
        return self.units - 1 if self.units > 1 else None

    def found_by_kind(self, viability: float) -> tuple[float, float, float]:
        """Return live, dead and unclassified found, a true cell, at this true viability (a share)."""
        return _found([rate.mean for rate in self.rates], viability)

    def total_ratio(self, viability: float) -> tuple[float, float]:
        """Return found over true count, and its relative standard uncertainty in a new specimen."""
        value = max(math.fsum(self.found_by_kind(viability)), RATIO_LEAST)
        living, dying = viability**2, (1 - viability) ** 2
        missed_live, missed_dead, *_, live, dead, unsure = (rate.variance for rate in self.rates)
        variance = living * missed_live + dying * missed_dead + live + dead + unsure
        return value, self.together[0] * math.sqrt(variance) / value

    def live_ratio(self, viability: float) -> tuple[float, float]:
        """Return found over true live cells, and its relative standard uncertainty.

        `viability` must be above zero: where nothing lives, the ratio is without bound.
        """
        assert viability > 0, viability
        value = max(self.found_by_kind(viability)[0], RATIO_LEAST * viability)
        u = self.together[1] * math.sqrt(self._variances(viability)[0])
        return value / viability, u / value

    def share(self, viability: float) -> tuple[float, float]:
        """Return the expected found viability at a true one, and its standard uncertainty (shares)."""
        live, dead, _ = self.found_by_kind(viability)
        cells = max(live + dead, RATIO_LEAST)
        value = min(1.0, max(0.0, live / cells))
        of_live, of_dead, together = self._variances(viability)
        # d(live / (live + dead)) = ((1 - share) d live - share d dead) / (live + dead).
        square = (1 - value) ** 2 * of_live + value**2 * of_dead - 2 * value * (1 - value) * together
        return value, self.together[2] * math.sqrt(max(0.0, square)) / cells

    def _variances(self, viability: float) -> tuple[float, float, float]:
        """Return variance of the live found, of the dead found, and their covariance (GUM 5.1.2, 5.2.2).

        A live cell called dead is one less here and one more there.
        """
        living, dying = viability**2, (1 - viability) ** 2
        missed_live, missed_dead, live_dead, dead_live, live_unsure, dead_unsure, live, dead, _ = (
            rate.variance for rate in self.rates
        )
        return (
            living * (missed_live + live_dead + live_unsure) + dying * dead_live + live,
            dying * (missed_dead + dead_live + dead_unsure) + living * live_dead + dead,
            -living * live_dead - dying * dead_live,
        )


def _found(rates: Sequence[float], viability: float) -> tuple[float, float, float]:
    missed_live, missed_dead, live_dead, dead_live, live_unsure, dead_unsure, live, dead, unsure = rates
    dying = 1 - viability
    return (
        viability * (1 - missed_live - live_dead - live_unsure) + dying * dead_live + live,
        dying * (1 - missed_dead - dead_live - dead_unsure) + viability * live_dead + dead,
        viability * live_unsure + dying * dead_unsure + unsure,
    )


def _as_live(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row of a method without classes as one in which every cell lives."""
    if "truth" not in row:
        return row
    matched = row["matched"]
    return {
        "specimen": row.get("specimen", ""),
        "group": row.get("group", ""),
        "truth_live": row["truth"],
        "live_live": matched,
        "false_live": row["found"] - matched,
    }


def _of(row: Mapping[str, Any], keys: Sequence[str]) -> int:
    return sum(int(row.get(key, 0)) for key in keys)


def _pooled(rows: Sequence[Mapping[str, Any]], by: str) -> list[dict[str, int]]:
    units: dict[str, dict[str, int]] = {}
    for row in rows:
        unit = units.setdefault(str(row.get(by, "")), {})
        for key, value in row.items():
            if isinstance(value, int):
                unit[key] = unit.get(key, 0) + value
    return list(units.values())


def _event(unit: Mapping[str, int], event: str) -> tuple[int, int]:
    """Return how often the event happened and how often it could have."""
    live, dead = _of(unit, _LIVE), _of(unit, _DEAD)
    return {
        "live missed": (live - _of(unit, _MATCHED_LIVE), live),
        "dead missed": (dead - _of(unit, _MATCHED_DEAD), dead),
        "live called dead": (_of(unit, ("live_dead",)), live),
        "dead called live": (_of(unit, ("dead_live",)), dead),
        "live unclassified": (_of(unit, ("live_unclassified",)), live),
        "dead unclassified": (_of(unit, ("dead_unclassified",)), dead),
        "false live": (_of(unit, ("false_live",)), live + dead),
        "false dead": (_of(unit, ("false_dead",)), live + dead),
        "false unclassified": (_of(unit, ("false_unclassified",)), live + dead),
    }[event]


def _in_a_new_unit(values: Sequence[tuple[float, float]], sizes: Sequence[int], expected: float) -> float:
    """Return the standard uncertainty of a new unit's result: the spread, and what is open of the mean."""
    spread = spread_between([values], expected).variance
    whole = sum(sizes)
    open_of_mean = sum(
        (size / whole) ** 2 * (chance + spread) for size, (_, chance) in zip(sizes, values, strict=True)
    )
    return math.sqrt(spread + open_of_mean)


def _rate(units: Sequence[tuple[int, int]]) -> Rate:
    """Return the rate of an event in a new unit, from how often it happened in the validated ones.

    Half an event is added (Jeffreys 1946), so that what never happened is not taken as impossible.
    """
    seen = [(events, chances) for events, chances in units if chances > 0]
    if not seen:
        return Rate(0.0, 0.0)
    chances = sum(n for _, n in seen)
    mean = min(0.999, (sum(x for x, _ in seen) + 0.5) / (chances + 1))
    # Relative to the mean, so that one prior serves rare events and frequent ones.
    chance = [(1 - mean) / (mean * n) for _, n in seen]
    units_seen = [(x / (n * mean), a) for (x, n), a in zip(seen, chance, strict=True)]
    spread = spread_between([units_seen], RATE_PRIOR_SCALE)
    of_mean = sum((n / chances) ** 2 * (a + spread.variance) for (_, n), a in zip(seen, chance, strict=True))
    return Rate(mean, mean**2 * (spread.variance + of_mean))
