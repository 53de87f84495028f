"""What a scan at the bedside says about the patient, in the words that the record may keep.

The engine's shell has replaced whatever could name a person before a decision is made: by the
order's own pseudonym, or by a keyed hash. So replay from the log needs no key, and finds no name.
"""

from __future__ import annotations

from appliance.domain.batch import Order
from appliance.domain.identity import LabelNotUsable, ReadLabel, read_label

OURS = "patient:"  # followed by the order's pseudonym
KEYED = "keyed:"  # followed by a hash under the unit's identity key
NAMES = {"wristband": "wristband", "dose": "label", "order": "order sheet"}


def read_at_bedside(
    key: str, texts: list[str], reasons: list[str], order: Order, time_zone: str
) -> ReadLabel | None:
    """The label that was read; None for a wristband that says this order's patient and no more.

    Raises
    ------
    LabelNotUsable
        Nothing was read, it is no label of ours, or it is another patient's.
    """
    others = [text for text in texts if text.startswith((KEYED, OURS)) and text != OURS + order.patient]
    if others:
        said = others[0] if others[0].startswith(KEYED) else "another patient"
        raise LabelNotUsable(
            "wrong_bag",
            f"STOP. This {NAMES.get(key, key)} is another patient's. This dose is for {order.coi}. "
            "Do not give it. Call the supervisor.",
            said,
        )
    rest = [text for text in texts if not text.startswith(OURS)]
    if texts and not rest:
        if key == "wristband":
            return None
        words = f"This says who the patient is. Show the {NAMES.get(key, key)} itself."
        raise LabelNotUsable("not_read", words)
    return read_label(rest, reasons, time_zone)
