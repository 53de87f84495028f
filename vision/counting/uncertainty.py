"""From counted fields to results with 95 % intervals, and the budget that says what each interval is made of.

The results are what was counted: nothing is silently multiplied. A method's validated bias moves the middle
of the interval, not the value (and the interval is stretched to hold the value where it would not), as
Phillips, Eberhardt and Parry propose for bias that is known and left in the result [1]_.

Every part is a relative standard uncertainty with a name (GUM: kind A from these or the validation's own
data, kind B from elsewhere). Limits of counts are Garwood's, of shares Wilson's; the other parts widen them
in quadrature: in the logarithm for counts, since their errors multiply, and inside the score for shares.

References
----------
.. [1] S. D. Phillips, K. R. Eberhardt, B. Parry, "Guidelines for expressing the uncertainty of measurement
   results containing uncorrected bias", J. Res. Natl. Inst. Stand. Technol. 102, 577-585, 1997.
.. [2] JCGM 100:2008 (GUM), 4.2 and 4.3 (kinds A and B), 5.1.6 (relative uncertainties of a product).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vision.counting.chamber import Dilution, Volume, concentration_cells_ml
from vision.counting.count_limits import CONFIDENCE, COVERAGE_FACTOR, garwood
from vision.counting.method_error import MethodError
from vision.counting.random_effects import Spread, spread_between

Interval = tuple[float, float]

# Before the fields say anything, the density of cells varies this much beyond Poisson (half-t, root mean
# square) between the fields of one filling and between fillings of a chamber. Together 9 %: what repeated
# fillings at 1e6 cells/mL show once Poisson is taken out (8.5 to 11.3 % at some 500 cells; Sci. Rep. 2021,
# s41598-021-93477-1). Of it 6 % between fillings: between that and the 4.6 % that Berkson, Magath and Hurn
# found in practised hands (Am. J. Physiol. 128, 309-323, 1940).
FIELD_PRIOR_SCALE = 0.07
CHAMBER_PRIOR_SCALE = 0.06
# The same for the live share, in units of sqrt(p (1 - p)): 4 points between fields at 50 %, 1.7 at 95 %.
# Assumed: no published figure was found.
SHARE_PRIOR_SCALE = 0.08
# Halvings that leave less than a hundred-thousandth of a percentage point.
HALVINGS = 24


@dataclass(frozen=True, slots=True)
class FieldCount:
    """What was counted in one field.

    Attributes
    ----------
    total : int
        Included cells of all classes.
    live, dead : int or None
        None for a method that tells no live cells from dead ones; the rest of the total is unclassified.
    size : float
        Area or volume of the field, in one unit for all fields of the specimen.
    chamber : str
        Which filling of a chamber the field is of.
    """

    total: int
    live: int | None = None
    dead: int | None = None
    size: float = 1.0
    chamber: str = ""

    def __post_init__(self) -> None:
        assert (self.live is None) == (self.dead is None), (self.live, self.dead)
        assert min(self.live or 0, self.dead or 0) >= 0, (self.live, self.dead)
        assert (self.live or 0) + (self.dead or 0) <= self.total, (self.total, self.live, self.dead)
        assert self.size > 0, self.size

    @property
    def classified(self) -> int:
        """Live and dead cells together."""
        return (self.live or 0) + (self.dead or 0)


@dataclass(frozen=True, slots=True)
class Component:
    """One named part of the uncertainty of the concentration or of the viability."""

    name: str
    of: Literal["concentration", "viability"]
    kind: Literal["A", "B"]
    relative_standard_uncertainty: float
    degrees_of_freedom: int | None
    rests_on: str

    def as_json(self) -> dict[str, Any]:
        """Return the component as plain data."""
        return {
            "name": self.name,
            "of": self.of,
            "kind": self.kind,
            "relative_standard_uncertainty": self.relative_standard_uncertainty,
            "degrees_of_freedom": self.degrees_of_freedom,
            "rests_on": self.rests_on,
        }


@dataclass(frozen=True, slots=True)
class Quantity:
    """A result and its 95 % interval, which always holds it; shares from 0 to 1."""

    value: float
    interval: Interval

    def __post_init__(self) -> None:
        assert self.interval[0] <= self.value <= self.interval[1], (self.value, self.interval)


@dataclass(frozen=True, slots=True)
class Budget:
    """The results of one specimen with their intervals and what these are made of.

    `total` is the number of cells that a volume as large as the counted one holds on average; `viability`
    is a share. What cannot be said is None: no viability without a classified cell, no concentration without
    a volume. `count_bias` (a share of the count) and `viability_bias` (a share) are the method's own.
    """

    total: Quantity
    viability: Quantity | None
    concentration: Quantity | None
    viable_concentration: Quantity | None
    components: tuple[Component, ...]
    count_bias: float
    viability_bias: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the `uncertainty` object of a result."""
        return {
            "confidence": CONFIDENCE,
            "coverage_factor": COVERAGE_FACTOR,
            "total_interval": list(self.total.interval),
            "viable_concentration_cells_ml": _value(self.viable_concentration),
            "viable_concentration_interval_cells_ml": _ends(self.viable_concentration),
            "method_bias": {
                "count_percent": 100 * self.count_bias,
                "viability_pp": None if self.viability_bias is None else 100 * self.viability_bias,
            },
            "components": [component.as_json() for component in self.components],
        }


def _value(quantity: Quantity | None) -> float | None:
    return None if quantity is None else quantity.value


def _ends(quantity: Quantity | None) -> list[float] | None:
    return None if quantity is None else list(quantity.interval)


def budget(
    fields: Sequence[FieldCount], *, volume: Volume | None, dilution: Dilution, method_error: MethodError
) -> Budget:
    """Turn counted fields into results with intervals.

    Parameters
    ----------
    fields : sequence of FieldCount
        All counted fields of the specimen, at least one; either all with live and dead or none.
    volume : Volume or None
        What these fields hold together; None where scale or depth is not known.
    dilution : Dilution
        From the sample to the counted liquid.
    method_error : MethodError
        From the method's card.
    """
    assert fields, "a budget of no field"
    kinds = {field.live is not None for field in fields}
    assert len(kinds) == 1, "fields with and without classes in one specimen"
    total = sum(field.total for field in fields)
    uneven = _unevenness(fields)
    share, true_share = None, 1.0 if kinds == {False} else 0.5
    if sum(field.classified for field in fields):
        share = _share(fields, method_error)
        true_share = share.corrected
    found, own_u = method_error.total_ratio(true_share)
    counting = [
        *uneven,
        Component(
            "method", "concentration", "A", own_u, method_error.degrees_of_freedom, method_error.rests_on
        ),
    ]
    outside = _outside(volume, dilution) if volume is not None else []
    poisson = Component("counting", "concentration", "A", _poisson_u(total), None, f"Poisson, {total} cells")
    all_of = _count_limits(total, 1.0, _together(counting), found)
    concentration = viable = None
    if volume is not None:
        per_cell = concentration_cells_ml(1, volume.volume_ml, dilution.factor())
        concentration = _scaled(_count_limits(total, 1.0, _together([*counting, *outside]), found), per_cell)
        if share is not None:
            shared = _together([*uneven, *outside])
            viable = _scaled(_viable(fields, share, shared, method_error), per_cell)
    return Budget(
        total=all_of,
        viability=None if share is None else share.quantity,
        concentration=concentration,
        viable_concentration=viable,
        components=(poisson, *counting, *outside, *(share.components if share else ())),
        count_bias=found - 1,
        viability_bias=None if share is None else share.bias,
    )


def _together(components: Sequence[Component]) -> float:
    return math.sqrt(math.fsum(each.relative_standard_uncertainty**2 for each in components))


def _poisson_u(count: int) -> float:
    return 1 / math.sqrt(count) if count else 1.0


def _outside(volume: Volume, dilution: Dilution) -> list[Component]:
    """Return what comes from chamber, scale and pipettes."""
    parts = [
        Component("chamber depth", "concentration", "B", volume.depth_relative_u, None, volume.depth_source),
        Component("field area", "concentration", "B", volume.area_relative_u, None, volume.area_source),
    ]
    if dilution.steps:
        words = f"pipettes, {len(dilution.steps)} step{'s' if len(dilution.steps) > 1 else ''}"
        parts.append(Component("dilution", "concentration", "B", dilution.relative_u(), None, words))
    return parts


def _unevenness(fields: Sequence[FieldCount]) -> list[Component]:
    """Return how unevenly the cells lie, beyond Poisson: between fields, and between chambers."""
    chambers: dict[str, list[FieldCount]] = {}
    for field in fields:
        chambers.setdefault(field.chamber, []).append(field)
    size = math.fsum(field.size for field in fields)
    between_fields = spread_between([_relative(each) for each in chambers.values()], FIELD_PRIOR_SCALE)
    within = {
        name: between_fields.variance * math.fsum((f.size / _size(each)) ** 2 for f in each)
        for name, each in chambers.items()
    }
    sums = [FieldCount(total=sum(f.total for f in each), size=_size(each)) for each in chambers.values()]
    clusters = [
        (value, chance + uneven)
        for (value, chance), uneven in zip(_relative(sums), within.values(), strict=False)
    ]
    between_chambers = spread_between([clusters], CHAMBER_PRIOR_SCALE)
    return [
        _spread_component(
            "between fields",
            between_fields,
            math.fsum((f.size / size) ** 2 for f in fields),
            len(fields),
            "fields",
        ),
        _spread_component(
            "between chambers",
            between_chambers,
            math.fsum((s.size / size) ** 2 for s in sums),
            len(sums),
            "fillings",
        ),
    ]


def _size(fields: Sequence[FieldCount]) -> float:
    return math.fsum(field.size for field in fields)


def _relative(fields: Sequence[FieldCount]) -> list[tuple[float, float]]:
    """Return each field's density over the mean one, and the variance of that which Poisson explains."""
    cells, size = sum(field.total for field in fields), _size(fields)
    if cells == 0:
        return []
    return [(f.total / f.size * size / cells, size / (f.size * cells)) for f in fields]


def _spread_component(name: str, spread: Spread, shares: float, units: int, what: str) -> Component:
    compared = spread.degrees_of_freedom > 0
    return Component(
        name,
        "concentration",
        "A" if compared else "B",
        math.sqrt(spread.variance * shares),
        spread.degrees_of_freedom if compared else None,
        f"{units} {what} compared" if compared else f"one of the {what}: what is published of others",
    )


def _count_limits(count: int, cells_each: float, other_u: float, found_ratio: float) -> Quantity:
    """Return a count times `cells_each` with its limits.

    Garwood's limits; the distance of each from the count, as a ratio, is widened in quadrature by the
    other parts, and the whole is moved by the method's bias. Of a count of zero the upper limit is
    that of a Poisson count whose mean varies by the other parts (negative binomial).
    """
    low, high = garwood(count)
    if count == 0:
        square = other_u**2
        # Beyond one hundred per cent the negative binomial has no useful limit of zero.
        square = min(square, 1.0)
        high = math.expm1(high * square) / square if square > 0 else high
    else:
        widening = COVERAGE_FACTOR * other_u
        low = count * math.exp(-math.hypot(math.log(count / low), widening))
        high = count * math.exp(math.hypot(math.log(high / count), widening))
    value = count * cells_each
    low, high = low * cells_each / found_ratio, high * cells_each / found_ratio
    return Quantity(value, (min(low, value), max(high, value)))


def _scaled(quantity: Quantity, factor: float) -> Quantity:
    value, (low, high) = quantity.value * factor, quantity.interval
    return Quantity(value, (min(low * factor, value), max(high * factor, value)))


@dataclass(frozen=True, slots=True)
class _Share:
    """The viability, what it would be without the method's bias, and its parts."""

    quantity: Quantity
    corrected: float
    bias: float
    between_fields: float
    unsure_u: float
    components: tuple[Component, ...]


def _share(fields: Sequence[FieldCount], method_error: MethodError) -> _Share:
    """Return live of live and dead, with the score interval of the true share.

    Wilson's interval, with a binomial variance that the fields' own spread enlarges, and with the
    method in between: a true share is inside when the share found lies within 1.96 standard
    uncertainties of what the method makes of it.
    """
    live, cells = sum(field.live or 0 for field in fields), sum(field.classified for field in fields)
    everything = sum(field.total for field in fields)
    value = live / cells
    smooth = (live + 0.5) / (cells + 1)
    scale = math.sqrt(smooth * (1 - smooth))
    seen = [field for field in fields if field.classified]
    units = [((f.live or 0) / f.classified / scale, 1 / f.classified) for f in seen]
    spread = spread_between([units], SHARE_PRIOR_SCALE)
    uneven = spread.variance * math.fsum((f.classified / cells) ** 2 for f in seen)
    # An unclassified cell is live or dead, nobody knows with what chance: a rectangular distribution from
    # all dead to all live (GUM 4.3.7), about the share of the others.
    unsure = (everything - cells) / everything
    unsure_u = unsure * math.sqrt(1 / 3 - value + value * value)

    def too_far(true: float) -> bool:
        middle, own_u = method_error.share(true)
        chance = middle * (1 - middle) * (1 / cells + uneven)
        return (value - middle) ** 2 > COVERAGE_FACTOR**2 * (chance + own_u**2 + unsure_u**2)

    corrected = _share_without_bias(value, method_error)
    low = 0.0 if not too_far(0.0) else _edge(too_far, outside=0.0, inside=corrected)
    high = 1.0 if not too_far(1.0) else _edge(too_far, outside=1.0, inside=corrected)
    low = min(low, value, live / everything)
    high = max(high, value, (live + everything - cells) / everything)
    middle, own_u = method_error.share(corrected)
    over = max(value, 0.5 / cells)
    parts = (
        _part(
            "counting", "A", math.sqrt(smooth * (1 - smooth) / cells) / over, None, f"binomial, {cells} cells"
        ),
        _part(
            "between fields",
            "A" if spread.degrees_of_freedom else "B",
            scale * math.sqrt(uneven) / over,
            spread.degrees_of_freedom or None,
            f"{len(seen)} fields compared"
            if spread.degrees_of_freedom
            else "one field: what is usual of others",
        ),
        _part("unclassified cells", "B", unsure_u / over, None, f"{everything - cells} cells, live or dead"),
        _part("method", "A", own_u / over, method_error.degrees_of_freedom, method_error.rests_on),
    )
    return _Share(Quantity(value, (low, high)), corrected, middle - corrected, uneven, unsure_u, parts)


def _part(name: str, kind: Literal["A", "B"], u: float, degrees: int | None, rests_on: str) -> Component:
    return Component(name, "viability", kind, u, degrees, rests_on)


def _share_without_bias(found: float, method_error: MethodError) -> float:
    """Return the true share that the method would, on average, find as `found`."""
    if found <= method_error.share(0.0)[0]:
        return 0.0
    if found >= method_error.share(1.0)[0]:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if method_error.share(middle)[0] < found:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _edge(too_far: Callable[[float], bool], *, outside: float, inside: float) -> float:
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        if too_far(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _viable(
    fields: Sequence[FieldCount], share: _Share, other_u: float, method_error: MethodError
) -> Quantity:
    """Return the live cells, the unclassified taken in by the share of the others, with their limits."""
    live, cells = sum(field.live or 0 for field in fields), sum(field.classified for field in fields)
    everything = sum(field.total for field in fields)
    # Where nothing lives the ratio of found to true live cells has no bound: the share of half a cell stands.
    true = max(share.corrected, 0.5 / everything)
    found, own_u = method_error.live_ratio(true)
    value = max(share.quantity.value, 0.5 / everything)
    uneven_u = math.sqrt((1 - value) / value * share.between_fields)
    together = math.hypot(other_u, own_u, uneven_u, share.unsure_u / value)
    return _count_limits(live, everything / cells, together, found)


def fields_wanted(fields: int, cells: int, least: int) -> int | None:
    """Return how many more fields like these bring `least` cells, in nine specimens of ten.

    None where no cell was found: then no number of fields is known to be enough.
    """
    if cells >= least:
        return 0
    if cells == 0:
        return None
    # A Poisson count with this mean reaches `least` nine times of ten (1.28 standard deviations).
    mean = least + 1.28 * math.sqrt(least) + 1
    return max(1, math.ceil(fields * (mean - cells) / cells))
