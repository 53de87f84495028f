"""Compare what a label says with what this batch awaits. There is no "use anyway" (SAFETY 9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from appliance.domain import isbt128
from appliance.domain.batch import Batch, Unit, bag_key
from appliance.domain.errors import BagNotOfThisBatch

PREVIOUS = "previous_patient"
TUBE_OR_MATCH_FLAGS = frozenset({"06", "07", "08", "09", "10", "11", "12"})
NOT_READ = {
    "blur": "The picture is blurred. Hold the label still and nearer.",
    "dark": "The picture is dark. Switch on the light.",
    "glare": "The label shines. Tilt it a little.",
    "angle": "The label is turned. Hold it straight.",
    "too_far": "The label is too far away. Bring it nearer.",
    "conflict": "Two readings of this label differ. Clean the label and show it again.",
    "no_symbol": "No symbol was found. Show the whole label.",
    "two_labels": "Two labels are in the picture. Show one. If there is only one, put it aside and call the "
    "supervisor.",
    "cancelled": "The scan was ended.",
    "no_picture": "No new picture came from the camera. Show the label again.",
    "not_confirmed": "The label was read once only. Show it again, flat and near.",
    "unreadable_file": "The picture of the label cannot be read. Show the label again.",
    "source_gone": "The camera is not there. Look at its cable, then show the label again.",
    "camera_opening": "The camera is starting. Show the label again in a moment.",
    "camera_frozen": "The camera shows an old picture and starts again. Show the label again in a moment.",
    "camera_dark": "The camera sees nothing. Take off its cap and switch on the light.",
    "camera_stale": "The camera gives no pictures and is started again. Look at its cable.",
    "camera_unplugged": "The camera is not there. Look at its cable, then show the label again.",
    "identity_unreadable": "This patient's sealed identity cannot be opened. Call the administrator.",
    "identity_locked": "Patients' identities are locked since the unit started. Call the administrator.",
    "camera_restarting": "The camera restarted. Show the label again.",
}


class LabelNotUsable(Exception):
    """This label cannot be taken; `reason` is a key, the words are the operator's."""

    def __init__(self, reason: str, words: str, scanned: str = "") -> None:
        super().__init__(words)
        self.reason, self.scanned = reason, scanned


@dataclass(frozen=True, slots=True)
class ReadLabel:
    """A label whose symbols agree, with its expiry in UTC where it has one."""

    label: isbt128.Label
    expires_at: datetime | None


def read_label(texts: list[str], reasons: list[str], time_zone: str) -> ReadLabel:
    """What the confirmed symbols of one picture say together; raises `LabelNotUsable`."""
    if not texts:
        words = [NOT_READ.get(reason, reason) for reason in reasons] or [NOT_READ["no_symbol"]]
        raise LabelNotUsable("not_read", " ".join(words))
    try:
        label = isbt128.label_of(texts)
        expires = isbt128.expires_at(label, ZoneInfo(time_zone))
    except isbt128.LabelRefused as refusal:
        raise LabelNotUsable("label_refused", str(refusal), scanned=" ".join(texts)[:200]) from refusal
    return ReadLabel(label, expires)


def readable(din: str) -> str:
    """A donation number as people compare it, with its check character."""
    if not din:
        return "without a donation number"
    return f"{isbt128.readable_din(din)} {isbt128.check_character(din)}"


def refuse_untrusted_time(unit: Unit, scanned: str) -> None:
    """No expiry check passes silently while time is not trusted (SAFETY 17)."""
    if not unit.time_trusted:
        words = (
            "This unit's clock is not trusted, so an expiry cannot be checked. "
            "Two persons compare it with a reference clock first."
        )
        raise LabelNotUsable("time_untrusted", words, scanned)


def refuse_previous(belongs_to: str, batch: Batch, scanned: str, what: str) -> None:
    """A label of the batch before is still here: the line was not clear; raises `LabelNotUsable`."""
    if belongs_to:
        raise LabelNotUsable(
            PREVIOUS,
            f"STOP. This label belongs to batch {belongs_to} of before. This batch is {batch.id}, for "
            f"{readable(batch.order.din)}. Put the {what} aside and call the supervisor.",
            scanned,
        )


def check_bag(
    read: ReadLabel, unit: Unit, batch: Batch, now: datetime, *, belongs_to: str = ""
) -> isbt128.Identity:
    """The identity of the patient's bag, or a hard stop.

    Parameters
    ----------
    belongs_to
        The earlier batch whose label this is, as the engine found when it was read.

    Raises
    ------
    LabelNotUsable
        Reasons `wrong_bag`, `previous_patient`, `wrong_kind`, `incomplete`, `expired`, `used`.
    """
    label, order = read.label, batch.order
    refuse_previous(belongs_to, batch, label.din or label.coi, "bag")
    if label.flags in TUBE_OR_MATCH_FLAGS:
        raise LabelNotUsable("wrong_kind", "This is the label of a tube or form. Show the label of the bag.")
    if label.din and label.din != order.din:
        wrong = BagNotOfThisBatch(readable(label.din), readable(order.din))
        raise LabelNotUsable("wrong_bag", str(wrong), scanned=label.din)
    try:
        identity = label.identity
    except isbt128.LabelRefused as refusal:
        raise LabelNotUsable("incomplete", str(refusal), scanned=label.din) from refusal
    scanned = bag_key(identity.din, identity.description_code, identity.division)
    expected = bag_key(order.din, order.description_code, order.division)
    if scanned != expected:
        wrong = BagNotOfThisBatch(scanned.replace("|", " "), expected.replace("|", " "))
        raise LabelNotUsable("wrong_bag", str(wrong), scanned=scanned)
    if unit.used_bags.get(scanned, batch.id) != batch.id:
        raise LabelNotUsable(
            "used", "This bag was already used in another batch. Call the supervisor.", scanned
        )
    if read.expires_at is None:
        raise LabelNotUsable("incomplete", "This label shows no expiry. Show the whole label.", scanned)
    refuse_untrusted_time(unit, scanned)
    if read.expires_at <= now:
        words = (
            f"This bag expired on {read.expires_at:%d %b %Y %H:%M} UTC. Put it aside and call the supervisor."
        )
        raise LabelNotUsable("expired", words, scanned)
    return identity
