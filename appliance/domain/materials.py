"""Which material may be used: received, released by another person, not expired, not recalled, oldest first.

There is no "use anyway": what is refused here can only be put aside, or booked out with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from appliance.domain import events as ev
from appliance.domain.batch import Batch, Unit
from appliance.domain.errors import CommandRefused, NotPermitted, NotPlausible
from appliance.domain.holds import hold_running
from appliance.domain.identity import LabelNotUsable, refuse_untrusted_time
from appliance.domain.material_labels import MaterialLabel, end_of_day, read_material
from appliance.domain.people_rules import permit
from appliance.domain.prompts import check_reason
from appliance.domain.recipe import Material, Recipe
from appliance.domain.roles import Actor
from appliance.domain.stock import (
    QUARANTINED,
    REJECTED,
    RELEASED,
    USED_UP,
    Receipt,
    catalogue_key,
    key_of,
)

RULES_FROM = 4  # the first `BatchOpened.rules` by which materials come from the released stock
HOLD = "recalled_lot"
QUANTITY_MAX = 100_000
WORDS_LENGTH_MAX = 80
BOOKED_OUT_WHY = ("discarded", "lost", "returned")
VISUAL_CHECKS = ("passed", "failed")
# Why no piece of a lot may be used, by the best that its receipts are: reason and the rest of the sentence.
NOT_USABLE: Mapping[str, tuple[str, str]] = {
    QUARANTINED: (
        "quarantined",
        "is in quarantine. A person who did not receive it must look at it and its certificate and release "
        "it; or take a released lot.",
    ),
    REJECTED: ("material_rejected", "was rejected. Put it aside. Take a released lot."),
    RELEASED: (
        "label_differs",
        "was received with another serial number than this one. Put it aside and call the supervisor.",
    ),
    USED_UP: (
        "used_up",
        "was received, but all its pieces are used or booked out. Put this one aside and call the "
        "supervisor.",
    ),
    "": (
        "not_received",
        "was never received on this unit. Receive it and have another person release it; or take a released "
        "lot.",
    ),
}


def needed(batch: Batch) -> bool:
    """Whether this batch is decided by rules that know of a released stock."""
    return batch.opened.rules >= RULES_FROM


def catalogues_of(recipe: Recipe) -> list[str]:
    """Every catalogue number that a recipe takes, qualified alternates too."""
    materials = recipe.materials.values()
    return [one for material in materials for one in (material.catalogue, *material.alternates)]


def matching(missing: Sequence[Material], catalogue: str) -> Material | None:
    """The first material still missing that takes this catalogue number, its own before an alternate's."""
    wanted = catalogue_key(catalogue)
    own = (one for one in missing if catalogue_key(one.catalogue) == wanted)
    alternate = (one for one in missing if wanted in map(catalogue_key, one.alternates))
    return next(own, None) or next(alternate, None)


# ── In a batch ─────────────────────────────────────────────────────────────────────────


def take(unit: Unit, label: MaterialLabel, title: str, now: datetime) -> Receipt:
    """The receipt that this label's piece is of, if it may be used.

    Raises
    ------
    LabelNotUsable
        Reasons `lot_recalled`, `time_untrusted`, `expired`, `not_received`, `material_rejected`,
        `quarantined`, `used_up`, `serial_used`, `label_differs`, `earlier_expiry`.
    """
    scanned = f"{label.catalogue} {label.lot}"
    _refuse_recalled(unit, label.catalogue, label.lot, title, scanned)
    refuse_untrusted_time(unit, scanned)
    if label.expires_at is not None and label.expires_at <= now:
        raise _expired(title, label.expires_at, scanned)
    receipt = _receipt_of(unit, label, title, scanned)
    if receipt.expires <= now:
        raise _expired(title, receipt.expires, scanned)
    if label.expires_at is not None and label.expires_at != receipt.expires:
        words = (
            f"{title}, lot {label.lot}: this label expires {_day(label.expires_at)}, the lot was received as "
            f"{_day(receipt.expires)}. Put it aside and call the supervisor."
        )
        raise LabelNotUsable("label_differs", words, scanned)
    if label.serial and label.serial in receipt.serials:
        words = f"{title}, serial number {label.serial}, was already used. Put it aside and take another one."
        raise LabelNotUsable("serial_used", words, scanned)
    _refuse_later_expiry(unit, receipt, title, now, scanned)
    return receipt


def _expired(title: str, expires_at: datetime, scanned: str) -> LabelNotUsable:
    return LabelNotUsable("expired", f"{title} expired on {_day(expires_at)}. Take another one.", scanned)


def _refuse_recalled(unit: Unit, catalogue: str, lot: str, title: str, scanned: str) -> None:
    recalled = unit.stock.recall_of(catalogue, lot)
    if recalled is not None:
        words = (
            f"{title}, lot {lot}, is recalled ({recalled.reference}: {recalled.reason}). "
            "Put all of it aside and call QA. Take another lot."
        )
        raise LabelNotUsable("lot_recalled", words, scanned)


def _receipt_of(unit: Unit, label: MaterialLabel, title: str, scanned: str) -> Receipt:
    known = unit.stock.of(label.catalogue, label.lot)
    usable = [one for one in known if one.usable and one.serial in ("", label.serial)]
    # Two deliveries of one lot may tell two days: the label says which of them it came with.
    usable = [one for one in usable if label.expires_at in (None, one.expires)] or usable
    if usable:
        return min(usable, key=lambda one: (one.expires, one.id))
    states = {one.state for one in known}
    state = next((one for one in (QUARANTINED, REJECTED, RELEASED, USED_UP) if one in states), "")
    reason, words = NOT_USABLE[state]
    raise LabelNotUsable(reason, f"{title}, lot {label.lot}, {words}", scanned)


def _refuse_later_expiry(unit: Unit, receipt: Receipt, title: str, now: datetime, scanned: str) -> None:
    """First expired, first out: what expires earlier is used before."""
    stock = unit.stock
    earlier = [
        one
        for one in stock.of(receipt.catalogue)
        if one.usable
        and now < one.expires < receipt.expires
        and stock.recall_of(one.catalogue, one.lot) is None
    ]
    if earlier:
        first = min(earlier, key=lambda one: (one.expires, one.id))
        words = (
            f"Take lot {first.lot} of {title} first: it expires {_day(first.expires)}, this one "
            f"{_day(receipt.expires)}. If it is not there, a supervisor books it out with a reason."
        )
        raise LabelNotUsable("earlier_expiry", words, scanned)


def _day(moment: datetime) -> str:
    return f"{moment:%d %b %Y}"


# ── Receipt ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came in: what the camera read, and what a person counted, looked at and entered."""

    texts: list[str]
    identifiers: list[str]
    picture: str
    time_zone: str
    title: str
    quantity: int
    supplier: str
    visual_check: str
    certificate_blob: str = ""
    certificate_reference: str = ""
    lot: str = ""  # as printed, where the symbols' is in doubt
    expires_on: str = ""  # as printed, where the symbols tell none

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Received:
        """From the body of a command as it is on record, where all but texts is JSON."""
        said = {one.name: body[one.name] for one in fields(cls)}
        return cls(**said | {name: json.loads(said[name]) for name in ("texts", "identifiers", "quantity")})

    def body(self) -> dict[str, Any]:
        """What goes on record of the command."""
        return asdict(self)


def receive(unit: Unit, actor: Actor, asked: Received, now: datetime) -> list[ev.Event]:
    """Put a receipt into quarantine (F-091).

    Raises
    ------
    CommandRefused
        The label cannot be used, or what was entered is not plausible; with what to do.
    """
    permit(unit, actor, "receive_material")
    label = label_received(unit, asked, now)
    _check_entered(asked)
    assert label.expires_at is not None, "it was looked at"
    typed = (("lot", bool(asked.lot)), ("expires_on", bool(asked.expires_on)))
    received = ev.MaterialReceived(
        receipt=f"{unit.id}-M{unit.stock.received + 1:05d}",
        catalogue=label.catalogue,
        title=_words("title", asked.title),
        lot=label.lot,
        serial=label.serial if asked.quantity == 1 else "",
        expires_at=label.expires_at.isoformat(),
        quantity=asked.quantity,
        supplier=_words("supplier", asked.supplier),
        visual_check=asked.visual_check,
        standard=label.standard,
        texts=list(asked.texts),
        identifiers=list(asked.identifiers),
        picture=asked.picture,
        certificate_blob=asked.certificate_blob,
        certificate_reference=asked.certificate_reference.strip()[:WORDS_LENGTH_MAX],
        typed=[name for name, is_so in typed if is_so],
    )
    return [received]


def label_received(unit: Unit, asked: Received, now: datetime) -> MaterialLabel:
    """The label of what came in, whole and neither expired nor recalled; raises `CommandRefused`."""
    try:
        label = read_material(asked.texts, asked.identifiers, [], asked.time_zone, printed_lot=asked.lot)
        if label.doubt:
            words = (
                f"The lot of this label may hold more than the lot: {label.lot} was read. "
                "Compare it with the print and enter the lot as it is printed."
            )
            raise LabelNotUsable("lot_in_doubt", words, label.lot)
        if not label.lot:
            words = "This label's symbols tell no lot. Show the whole label, or the symbol beside it."
            raise LabelNotUsable("incomplete", words, label.catalogue)
        refuse_untrusted_time(unit, label.catalogue)
        label = _with_expiry(label, asked)
        assert label.expires_at is not None
        if label.expires_at <= now:
            words = f"This material expired on {_day(label.expires_at)}. Do not take it in. Send it back."
            raise LabelNotUsable("expired", words, label.catalogue)
        _refuse_recalled(unit, label.catalogue, label.lot, "This material", label.catalogue)
    except LabelNotUsable as refusal:
        raise _refused(refusal) from refusal
    return label


def _refused(refusal: LabelNotUsable) -> CommandRefused:
    """The same refusal of a command; one that came too late is called expired there."""
    reason = "material_expired" if refusal.reason == "expired" else refusal.reason
    return CommandRefused(str(refusal), reason=reason)


def _with_expiry(label: MaterialLabel, asked: Received) -> MaterialLabel:
    if label.expires_at is not None:
        return label
    expires_at = end_of_day(asked.expires_on, asked.time_zone) if asked.expires_on else None
    if expires_at is None:
        words = "The symbols tell no expiry. Enter the day that is printed, such as 2027-06-30."
        raise LabelNotUsable("expiry_needed", words, label.catalogue)
    return MaterialLabel(
        standard=label.standard,
        catalogue=label.catalogue,
        lot=label.lot,
        serial=label.serial,
        expires_at=expires_at,
    )


def _check_entered(asked: Received) -> None:
    if not 1 <= asked.quantity <= QUANTITY_MAX:
        raise NotPlausible(f"Enter how many came in, from 1 to {QUANTITY_MAX}.")
    if asked.visual_check not in VISUAL_CHECKS:
        raise NotPlausible("Look at package and contents, then say whether they passed or failed.")
    if not asked.certificate_blob and not asked.certificate_reference.strip():
        raise NotPlausible("Give the certificate as a file, or write where the paper is filed.")


def _words(name: str, text: str) -> str:
    plain = " ".join(text.split())
    if not plain or len(plain) > WORDS_LENGTH_MAX or not plain.isprintable():
        raise NotPlausible(f"Enter the {name} in 1 to {WORDS_LENGTH_MAX} characters.")
    return plain


# ── What a second person decides ───────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A receipt that somebody judged, and the certificate that was looked at."""

    receipt: str
    certificate: str
    reason: str

    @classmethod
    def of(cls, body: Mapping[str, str]) -> Judged:
        return cls(**{one.name: str(body.get(one.name, "")) for one in fields(cls)})


def release(unit: Unit, actor: Actor, asked: Judged, now: datetime) -> list[ev.Event]:
    """A person who did not receive it looked at it and its certificate: it may be used (F-091)."""
    permit(unit, actor, "release_material")
    reason = check_reason(asked.reason)
    receipt = _judged(unit, actor, asked)
    if receipt is not None:
        _refuse_release(unit, receipt, now)
    return [
        ev.MaterialReleased(
            receipt=asked.receipt, person=actor.id, certificate=asked.certificate, reason=reason
        )
    ]


def reject(unit: Unit, actor: Actor, asked: Judged) -> list[ev.Event]:
    """It is not used, whatever it is: a person who did not receive it says so."""
    permit(unit, actor, "reject_material")
    reason = check_reason(asked.reason)
    _judged(unit, actor, asked)
    return [
        ev.MaterialRejected(
            receipt=asked.receipt, person=actor.id, certificate=asked.certificate, reason=reason
        )
    ]


def _judged(unit: Unit, actor: Actor, asked: Judged) -> Receipt | None:
    """The receipt that is judged, if this person may; None where one batch's record does not tell of it."""
    receipt = _open_receipt(unit, asked.receipt)
    if receipt is None:
        return None
    if receipt.state != QUARANTINED:
        raise CommandRefused(
            f"Receipt {receipt.id} is {receipt.state} already. Look at the list again.", reason="not_open"
        )
    if receipt.received_by == actor.id:
        raise NotPermitted(
            f"{actor.name} received it. Another person must look at it and decide.", reason="same_person"
        )
    if asked.certificate != receipt.certificate:
        raise CommandRefused(
            "This is not the certificate of this receipt. Look at the list and the certificate again.",
            reason="certificate_differs",
        )
    return receipt


def _refuse_release(unit: Unit, receipt: Receipt, now: datetime) -> None:
    if receipt.visual_check != "passed":
        raise CommandRefused(
            "Package or contents did not pass the look at receipt. Reject it.", reason="visual_check_failed"
        )
    try:
        _refuse_recalled(unit, receipt.catalogue, receipt.lot, receipt.title, receipt.id)
        refuse_untrusted_time(unit, receipt.id)
        if receipt.expires <= now:
            raise _expired(receipt.title, receipt.expires, receipt.id)
    except LabelNotUsable as refusal:
        raise _refused(refusal) from refusal


def _open_receipt(unit: Unit, id: str) -> Receipt | None:
    receipt = unit.stock.receipts.get(id)
    if receipt is None and not unit.stock.partial:
        done = unit.stock.finished.get(id)
        so = f"is {done.state.replace('_', ' ')}" if done is not None else "does not exist"
        raise CommandRefused(f"Receipt {id[:40]} {so}. Look at the list again.", reason="not_open")
    return receipt


def book_out(unit: Unit, actor: Actor, id: str, quantity: int, why: str, reason: str) -> list[ev.Event]:
    """Pieces are gone without a batch: a supervisor says how many and why."""
    permit(unit, actor, "book_out_material")
    reason = check_reason(reason)
    if why not in BOOKED_OUT_WHY:
        raise NotPlausible(f"Say what became of it: {', '.join(BOOKED_OUT_WHY)}.")
    receipt = _open_receipt(unit, id)
    left = QUANTITY_MAX if receipt is None else receipt.left
    if not 1 <= quantity <= left:
        raise NotPlausible(f"Of this receipt {left} are left. Enter how many of them are gone.")
    return [ev.MaterialBookedOut(receipt=id, quantity=quantity, why=why, person=actor.id, reason=reason)]


# ── Recall ─────────────────────────────────────────────────────────────────────────────


def recall(
    unit: Unit,
    catalogue: str,
    lot: str,
    reference: str,
    reason: str,
    *,
    person: str = "",
    document_blob: str = "",
) -> list[ev.Event]:
    """What follows from a recall; empty when this very recall holds already.

    By a signed document it is committed in a turn of its own, so that it is decided again from
    `LotRecalled` alone. An open batch that took the lot gets a fact of its own, which voids what was signed
    of it, an alarm, and is held: people decide.
    """
    known = unit.stock.recall_of(catalogue, lot)
    if known is not None and known.reference == reference and (known.document_blob or not document_blob):
        return []
    recalled = ev.LotRecalled(
        catalogue=catalogue_key(catalogue),
        lot="".join(lot.split()),
        reference=reference,
        reason=reason,
        person=person,
        document_blob=document_blob,
    )
    return [recalled, *_in_open_batch(unit, recalled)]


def _in_open_batch(unit: Unit, recalled: ev.LotRecalled) -> list[ev.Event]:
    batch = unit.batch
    if batch is None or batch.closed:
        return []
    key = key_of(recalled.catalogue, recalled.lot)
    accepted = [one for _, one in batch.all(ev.MaterialAccepted)]
    told = {(one.material, one.reference) for _, one in batch.all(ev.LotOfBatchRecalled)}
    taken = {
        one.material: one
        for one in accepted
        if key_of(one.catalogue, one.lot) == key and (one.material, recalled.reference) not in told
    }
    if not taken:
        return []
    events: list[ev.Event] = []
    for one in taken.values():
        title = batch.recipe.materials[one.material].title
        words = (
            f"{title}, lot {one.lot}, which this batch has taken, is recalled "
            f"({recalled.reference}: {recalled.reason})."
        )
        events.append(
            ev.LotOfBatchRecalled(
                material=one.material,
                catalogue=one.catalogue,
                lot=one.lot,
                reference=recalled.reference,
                words=words,
            )
        )
    return [*events, *_alarm_and_hold(batch, words)]


def _alarm_and_hold(batch: Batch, words: str) -> list[ev.Event]:
    number = len(batch.all(ev.LotOfBatchRecalled)) + 1
    alarm = ev.AlarmRaised(
        alarm=f"{batch.id}:{HOLD}:{number}",
        priority="high",
        title="A lot in this batch is recalled",
        cause=words,
        action="Call the supervisor and QA. They decide whether the batch goes on, is ended, or is rejected.",
    )
    return [alarm, *hold_running(batch, HOLD, words)]


def recall_by(
    unit: Unit, actor: Actor, catalogue: str, lot: str, reference: str, reason: str
) -> list[ev.Event]:
    """A person enters a maker's or authority's recall: one suffices, for it is on the safe side (F-094)."""
    permit(unit, actor, "recall_lot")
    said = {name: _words(name, text) for name, text in (("catalogue number", catalogue), ("lot", lot))}
    reference, reason = _words("reference", reference), check_reason(reason)
    events = recall(unit, said["catalogue number"], said["lot"], reference, reason, person=actor.id)
    if not events:
        raise CommandRefused(f"Lot {lot} is recalled already ({reference}).", reason="not_open")
    return events


def lift(
    unit: Unit, first: Actor, second: Actor, catalogue: str, lot: str, reference: str, reason: str
) -> list[ev.Event]:
    """Two persons end a recall that was entered at this unit; one signed by central waits for QA's word."""
    permit(unit, first, "lift_recall")
    permit(unit, second, "lift_recall")
    if first.id == second.id:
        raise NotPermitted("A different person must confirm that the recall is over.", reason="same_person")
    reason = check_reason(reason)
    recalled = unit.stock.recall_of(catalogue, lot)
    if (recalled.reference != reference) if recalled is not None else not unit.stock.partial:
        raise CommandRefused(
            f"Lot {lot[:40]} is not recalled on this unit by {reference[:40]}. Look at the list again.",
            reason="not_open",
        )
    over = unit.stock.partial or unit.orders.recall_is_over(key_of(catalogue, lot))
    if recalled is not None and recalled.document_blob and not over:
        raise CommandRefused(
            "This recall came as a signed document. QA signs first that it is over, then two people lift it.",
            reason="signed_recall",
        )
    return [
        ev.RecallLifted(
            catalogue=catalogue_key(catalogue),
            lot="".join(lot.split()),
            reference=reference,
            reason=reason,
            first_person=first.id,
            second_person=second.id,
        )
    ]
