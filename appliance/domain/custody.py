"""Who holds what now, and who may hold it next (F-006). What is not in the unit's hands is not worked on.

The chain is folded from `CustodyTransferred`: the newest one about a thing says who holds it. A batch
whose recipe asks for no custody at receipt begins with the bag in the unit's hands, as it always did.
"""

from __future__ import annotations

from collections.abc import Mapping

from appliance.domain import events as ev
from appliance.domain.batch import Batch, PhaseRun, bag_key

COURIER, UNIT, WARD, LABORATORY = "courier", "unit", "ward", "laboratory"
RULES_FROM = 4
KEY = "custody"  # of the question that takes or gives something
# From each hand the next permitted ones; what the ward holds does not come back to be worked on.
NEXT: Mapping[str, tuple[str, ...]] = {
    COURIER: (UNIT,),
    UNIT: (WARD, LABORATORY, COURIER),
    LABORATORY: (UNIT,),
    WARD: (),
}
WORKS_ON_PRODUCT = frozenset(
    {
        "thaw", "transfer", "operator_device", "sample", "count_cells", "print_label",
        "print_in_process_label", "print_sample_label",
    }
)  # fmt: skip


def bag_of(batch: Batch) -> str:
    """The key of the patient's bag, as the order names it."""
    order = batch.order
    return bag_key(order.din, order.description_code, order.division)


def dose_of(batch: Batch) -> str:
    """The label of the dose; empty before there is one."""
    labelled = batch.last(ev.ProductLabelled)
    return labelled[1].label_id if labelled else ""


def is_asked(batch: Batch, kind: str) -> bool:
    """Whether the recipe asks for custody in its phase of this type."""
    runs = batch.runs.values()
    return batch.opened.rules >= RULES_FROM and any(
        run.phase.type == kind and KEY in run.phase.instruction for run in runs
    )


def holder(batch: Batch, key: str) -> str:
    """Who holds a thing of this batch now."""
    newest = batch.last(ev.CustodyTransferred, key=key)
    if newest is not None:
        return newest[1].holder
    return COURIER if key == bag_of(batch) and is_asked(batch, "scan_bag") else UNIT


def may_pass(batch: Batch, key: str, to: str) -> bool:
    """Whether a thing may go from the hand that holds it to this one."""
    return to in NEXT[holder(batch, key)]


def may_work(batch: Batch, run: PhaseRun) -> bool:
    """Whether what this phase works on is in the unit's hands."""
    if batch.opened.rules < RULES_FROM:
        return True
    if run.phase.type == "hand_over":
        return not dose_of(batch) or holder(batch, dose_of(batch)) == UNIT
    return run.phase.type not in WORKS_ON_PRODUCT or holder(batch, bag_of(batch)) == UNIT


def line_is_clear(batch: Batch) -> bool:
    """Whether two persons have cleared the line for this batch, whatever its recipe says (SAFETY 9)."""
    return batch.opened.rules < RULES_FROM or batch.last(ev.LineCleared) is not None
