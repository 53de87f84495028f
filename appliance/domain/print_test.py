"""The print head's test: a label with dead dots may be unreadable or, worse, readable as something else.

A recipe says how old the last passed test of the printer may be when a batch opens; without a printer
no test is asked for. Who opens a batch learns of it before the product is thawed, not before its label.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.domain import phase_states
from appliance.domain.batch import DeviceSpec, Unit
from appliance.domain.errors import CommandRefused
from appliance.domain.label_printing import READY, ROLE, SILENT, WHAT_TO_DO
from appliance.domain.people_rules import permit
from appliance.domain.recipe import Recipe
from appliance.domain.roles import Actor

RULES_FROM = 4
PARAMETER = "print_test"  # of a phase that prints: how old the newest passed test may be
PASSED = "pass"


def refuse_untested(unit: Unit, recipe: Recipe, now: datetime) -> None:
    """A batch that prints begins only with a print head that was seen to be whole.

    Raises
    ------
    CommandRefused
        The printer was not tested within the recipe's time, or its newest test was not passed.
    """
    printer = unit.device_of(ROLE)
    within_s = [
        phase.amount(PARAMETER, "s") for phase in recipe.phases.values() if PARAMETER in phase.parameters
    ]
    if printer is None or not within_s:
        return
    newest = unit.print_tests.get(printer.id)
    since = timedelta(seconds=int(min(within_s)))
    if newest is not None and newest.verdict != PASSED:
        said = f"The newest test of {printer.title} was not passed: {newest.words}"
    elif newest is None or now - datetime.fromisoformat(newest.tested_at) > since:
        said = f"{printer.title} was not tested within {min(within_s) / 3600:.3g} h."
    else:
        return
    raise CommandRefused(
        f"{said} Print its test label and show it to the camera, then open the batch.",
        reason="print_head_not_tested",
    )


def printer_for_test(unit: Unit, actor: Actor) -> DeviceSpec:
    """The printer that may be tested now; raises `CommandRefused`."""
    permit(unit, actor, "test_printer")
    printer = unit.device_of(ROLE)
    if printer is None:
        raise CommandRefused("This unit has no label printer.", reason="device_missing")
    runs = unit.batch.runs.values() if unit.batch is not None and not unit.batch.closed else ()
    if any(run.phase.type == "print_label" and run.state == phase_states.RUNNING for run in runs):
        raise CommandRefused(
            "The printer prints this batch's labels. Test it when the label is done.", reason="not_now"
        )
    return printer


def refuse_not_ready(unit: Unit, printer: DeviceSpec) -> None:
    """Nothing is sent to a printer that does not say that it is ready."""
    state = unit.readings.get((printer.id, "state"))
    said = (state.value or "") if state is not None and state.quality == "good" else ""
    if said != READY:
        raise CommandRefused(WHAT_TO_DO.get(said, SILENT), reason="printer_not_ready")


def told(unit: Unit) -> dict[str, str]:
    """What a batch's record says of the test that its opening looked at."""
    printer = unit.device_of(ROLE)
    newest = unit.print_tests.get(printer.id) if printer else None
    return {"print_head_test": f"{newest.verdict} {newest.tested_at}"} if newest else {}
