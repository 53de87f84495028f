"""The label on the product, scanned: exactly the one that was printed last, and no other (SAFETY 9).

A label of another donation, batch or expiry is a hard stop like a wrong bag. A void label of this
batch is refused in words that say which one belongs there.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from appliance.domain import events as ev
from appliance.domain import isbt128
from appliance.domain.batch import Batch
from appliance.domain.identity import LabelNotUsable, readable
from appliance.domain.issued_labels import RULES_FROM, Issued, carries, issued, of_batch, serial_read
from appliance.domain.phase_logic import Context, alarm, hold

WRONG, NOT_THIS_ONE = "wrong_label", "not_this_label"
HARD_STOP = frozenset({WRONG, "label_refused"})
ACTION = "Do not hand this bag over. Put the label aside. Call the supervisor."


def check_applied(c: Context, label: Issued, found: isbt128.Label) -> None:
    """Raises `LabelNotUsable` unless it is exactly this label."""
    said = label.request.identity
    _check_same(found.din, said["din"], "donation", donation=True)
    for name, words in (("description_code", "product code"), ("division", "division")):
        _check_same(getattr(found, name), said.get(name, ""), words)
    _check_serial(c, label, found)
    _check_same(found.flags, said["flags"], "flag")
    if said.get("expires_at"):
        zone = ZoneInfo(c.batch.opened.time_zone)
        expiry = datetime.fromisoformat(said["expires_at"]).astimezone(zone).strftime("%Y-%m-%dT%H:%M")
        _check_same(found.expires_local, expiry, "expiry")


def _check_same(read: str, expected: str, words: str, *, donation: bool = False) -> None:
    if not expected or read == expected:
        return
    if not read:
        raise LabelNotUsable("not_read", f"The label was read without its {words}. Show the whole label.")
    said, awaited = (readable(read), readable(expected)) if donation else (read, expected)
    raise LabelNotUsable(
        WRONG, f"STOP. The label says {said} for {words}; {awaited} was printed. Call the supervisor.", read
    )


def _check_serial(c: Context, label: Issued, found: isbt128.Label) -> None:
    read = serial_read(found)
    if carries(label, read):
        return
    if not read:
        raise LabelNotUsable("not_read", "The label was read without its serial. Show the whole label.")
    other = next((one for one in issued(c.run) if carries(one, read)), None)
    if other is None:
        words = (
            f"STOP. This is not a label of this batch. Label {label.short} is awaited. Call the supervisor."
        )
        raise LabelNotUsable(WRONG, words, found.din)
    if other.voided is not None:
        words = f"STOP. This is the voided label {other.short}. Take it off and put on {label.short}."
    else:
        words = f"STOP. This is label {other.short}. Show label {label.short}."
    raise LabelNotUsable(NOT_THIS_ONE, words, found.din)


def refuse_another_label(batch: Batch, found: isbt128.Label) -> None:
    """At the bed: a label whose serial is not that of the product's applied label is refused."""
    labelled, read = batch.last(ev.ProductLabelled), serial_read(found)
    if batch.opened.rules < RULES_FROM or labelled is None or not read:
        return
    labels = of_batch(batch)
    right = next((one for one in labels if one.id == labelled[1].label_id), None)
    if right is None or carries(right, read):
        return
    other = next((one for one in labels if carries(one, read)), None)
    said = "no label of this batch" if other is None else f"label {other.short}"
    void = " It is void." if other is not None and other.voided is not None else ""
    words = f"STOP. This is {said}.{void} The dose carries label {right.short}. Do not give it."
    raise LabelNotUsable("wrong_bag", f"{words} Call the supervisor.", found.din)


def shown(c: Context, label: Issued, found: isbt128.Label, read: ev.ScanRead) -> ev.LabelShown:
    """A void or missing label that is there after all; raises `LabelNotUsable` for any other one."""
    if found.din != label.request.identity["din"] or not carries(label, serial_read(found)):
        words = f"This is not label {label.short}. Show the void label {label.short}."
        raise LabelNotUsable(NOT_THIS_ONE, words, found.din)
    return ev.LabelShown(phase=c.phase.id, label_id=label.id, picture=read.picture)


def refused(c: Context, read: ev.ScanRead, refusal: LabelNotUsable) -> list[ev.Event]:
    """The refusal on record; held where the label is of something else, an alarm where it is another one."""
    on_record = ev.BagRefused(
        phase=c.phase.id,
        scanned=refusal.scanned,
        expected=c.batch.order.din,
        reason=refusal.reason,
        words=str(refusal),
        picture=read.picture,
    )
    if refusal.reason in HARD_STOP:
        return [on_record, *hold(c, refusal.reason, str(refusal), action=ACTION)]
    if refusal.reason != NOT_THIS_ONE or not read.key.startswith("applied"):
        return [on_record]
    raised = alarm(
        c,
        refusal.reason,
        priority="high",
        title="Not this label",
        cause=str(refusal),
        action="Take it off and put the right one on. Do not hand this bag over as it is.",
    )
    return [on_record, raised]
