"""What a device run by people shows at its end: the numbers a recipe asks, and the recovery they give."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from appliance.domain.errors import NotPlausible
from appliance.domain.operator_devices import CELL_PROCESSOR, KINDS
from appliance.domain.prompts import Field
from appliance.domain.quantity import plain, rounded
from appliance.domain.recipe import Phase

# What a cell washer shows, where a recipe names no results of its own.
USUAL = (
    Field(name="recovery", label="Recovery", kind="number", unit="%", minimum="0", maximum="110", decimals=0),
    Field(
        name="volume_out",
        label="Volume out",
        kind="number",
        unit="mL",
        minimum="1",
        maximum="200",
        decimals=1,
    ),
    Field(
        name="pressure_max", label="Highest pressure", kind="number", unit="mbar", minimum="0", maximum="2000"
    ),
)
RESULTS_MAX = 20
RECOVERY = "recovery"
WORKED_OUT = "recovery_worked_out"
CELLS = ("cells_in", "cells_out")
PURITY = ("purity_in_percent", "purity_out_percent")
INPUTS = (*CELLS, *PURITY)
TOLERANCE = "recovery_tolerance"
TOLERANCE_PERCENT = Decimal(1)  # percentage points, where the recipe says nothing
RECOVERY_DECIMALS = 1


def kind_of(phase: Phase) -> str:
    """The kind of device that the recipe asks for; empty when it names none."""
    return next((role for role in phase.uses if role in KINDS), "")


def fields_of(phase: Phase) -> tuple[Field, ...]:
    """The results that are asked. A sealer or a welder shows none unless the recipe says so."""
    if phase.results or kind_of(phase) not in ("", CELL_PROCESSOR):
        return phase.results
    return USUAL


def limited(phase: Phase) -> dict[str, str]:
    """What a limit may be set on: name → unit."""
    fields = {field.name: field.unit for field in fields_of(phase)}
    return fields | {RECOVERY: "%"} if set(CELLS) <= fields.keys() else fields


def inputs_of(phase: Phase) -> tuple[str, ...]:
    """What our own recovery is worked out from; purities belong to it where the recipe asks for them."""
    asked = {field.name for field in fields_of(phase)}
    if not set(CELLS) <= asked:
        return ()
    return INPUTS if set(PURITY) <= asked else CELLS


def worked_out(phase: Phase, values: Mapping[str, str]) -> Decimal | None:
    """The recovery in per cent, of the wanted cells where purities are asked.

    None where something is missing, or nothing went in: nothing is invented then.
    """
    names = inputs_of(phase)
    if not names or not set(names) <= values.keys():
        return None
    known = {name: Decimal(values[name]) for name in names}
    went_in, came_out = (known[name] for name in CELLS)
    if names == INPUTS:
        went_in, came_out = went_in * known[PURITY[0]], came_out * known[PURITY[1]]
    return Decimal(rounded(100 * came_out / went_in, RECOVERY_DECIMALS)) if went_in > 0 else None


def formula(phase: Phase) -> str:
    """How `worked_out` comes to its value, for the record."""
    if inputs_of(phase) == INPUTS:
        return "worked out: cells_out x purity_out_percent / (cells_in x purity_in_percent)"
    return "worked out: cells_out / cells_in"


def tolerance(phase: Phase) -> Decimal:
    """By how many percentage points a stated recovery may differ from ours."""
    return phase.amount(TOLERANCE, "%") if TOLERANCE in phase.parameters else TOLERANCE_PERCENT


def check_recovery(phase: Phase, values: Mapping[str, str]) -> None:
    """A stated recovery must fit the cells that went in and came out; raises `NotPlausible`."""
    ours, names = worked_out(phase, values), set(inputs_of(phase))
    if names and names <= values.keys() and ours is None:
        raise NotPlausible("Nothing went in, so no recovery can be worked out. Read the cells in again.")
    if ours is None or RECOVERY not in values:
        return
    stated = Decimal(values[RECOVERY])
    if abs(stated - ours) > tolerance(phase):
        raise NotPlausible(
            f"A recovery of {plain(stated)} % does not fit: the cells that went in and came out give "
            f"{plain(ours)} %. Read the numbers again."
        )


def lowest_recovery(phase: Phase, values: Mapping[str, str]) -> Decimal | None:
    """What a limit on the recovery is held against: the stated one or ours, whichever is worse."""
    known = [Decimal(values[RECOVERY])] if RECOVERY in values else []
    ours = worked_out(phase, values)
    return min([*known, *([ours] if ours is not None else [])], default=None)


def result_faults(phase: Phase) -> list[str]:
    """What is wrong with the results that a recipe asks, and with their limits."""
    place, fields = f"phase.{phase.id}", {field.name: field for field in fields_of(phase)}
    faults: list[str] = []
    if len(fields) > RESULTS_MAX:
        faults.append(f"{place}.result: at most {RESULTS_MAX} results can be asked.")
    faults += [
        f"{place}.result.{WORKED_OUT}: this name is the unit's own; choose another."
        for _ in fields.keys() & {WORKED_OUT}
    ]
    for pair in (CELLS, PURITY):
        named = [name for name in pair if name in fields]
        if len(named) == 1 or len({fields[name].unit for name in named}) > 1:
            faults.append(f"{place}.result: {pair[0]} and {pair[1]} come together and in one unit.")
    faults += [
        f"{place}.result.{name}: its unit is %."
        for name in (*PURITY, RECOVERY)
        if name in fields and fields[name].unit != "%"
    ]
    faults += [
        f"{place}.limit: '{name}' is no result of this phase."
        for name in phase.limits
        if name not in limited(phase)
    ]
    return faults
