"""The patient's consent: no batch opens without it, and nothing goes on once it is withdrawn (F-011).

A consent has an id, and belongs to one chain of identity. It stands while it is on record and not
withdrawn. A withdrawal is taken from whoever brings it, at once and by one person, because it is on
the safe side; to record a consent takes two persons or a signed document. An id that was withdrawn
never comes back: who consents again signs a form with an id of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime

from appliance.domain import events as ev
from appliance.domain.batch import Batch, Order, Unit
from appliance.domain.errors import CommandRefused, NotPermitted, NotPlausible
from appliance.domain.holds import hold_with_alarm
from appliance.domain.people_rules import permit
from appliance.domain.prompts import check_reason
from appliance.domain.roles import Actor

RULES_FROM = 4  # the first `BatchOpened.rules` by which a batch needs a consent on record
MISSING, WITHDRAWN = "consent_missing", "consent_withdrawn"
ALARM = "consent:"  # followed by the chain of identity
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,39}")
TEXT_LENGTH_MAX = 100
WITHDRAWN_WORDS = "The patient has withdrawn the consent {consent}. This product must not be used."
WHAT_TO_DO = "Put the product aside. A supervisor aborts the batch, or QA decides. Call QA."

# ── What stands ────────────────────────────────────────────────────────────────────────


def of_chain(unit: Unit, coi: str) -> list[ev.ConsentRecorded | ev.ConsentWithdrawn]:
    """The newest word on each consent of a chain of identity, oldest word first."""
    return [one for one in unit.consents.values() if one.coi == coi]


def standing(unit: Unit, coi: str) -> list[str]:
    """The ids of the consents of a chain of identity that are recorded and not withdrawn."""
    return [one.consent for one in of_chain(unit, coi) if isinstance(one, ev.ConsentRecorded)]


def withdrawn_for(unit: Unit, order: Order) -> str:
    """The id of the consent whose withdrawal stops what is made for this order; empty when none does.

    The order rests on the consent that it names: another one of the same patient, given for something
    else, does not carry it on. Only a consent that was recorded after the withdrawal does.
    """
    words = list(unit.consents.values())
    named = unit.consents.get(order.consent)
    if isinstance(named, ev.ConsentWithdrawn):
        since = words[words.index(named) + 1 :]
        again = any(isinstance(one, ev.ConsentRecorded) and one.coi == order.coi for one in since)
        return "" if again else order.consent
    if standing(unit, order.coi):
        return ""
    gone = [one.consent for one in of_chain(unit, order.coi) if isinstance(one, ev.ConsentWithdrawn)]
    return gone[-1] if gone else ""


# ── Gates ──────────────────────────────────────────────────────────────────────────────


def why_not(unit: Unit, order: Order) -> tuple[str, str] | None:
    """Why an order may not be made for want of consent: a key and the words; None when it may."""
    gone, said = withdrawn_for(unit, order), unit.consents.get(order.consent)
    if isinstance(said, ev.ConsentWithdrawn) or gone:
        words = WITHDRAWN_WORDS.format(consent=gone or order.consent)
        return WITHDRAWN, f"{words} The order {order.id} cannot be made. Call QA."
    if not order.consent:
        return MISSING, f"The order {order.id} names no consent of the patient. Ask for an order that does."
    if said is None:
        return MISSING, (
            f"The consent {order.consent} is not on this unit's record. Two persons look at the signed form "
            "and record it."
        )
    if (said.coi, said.patient) != (order.coi, order.patient):
        return MISSING, (
            f"The consent {order.consent} is of {said.coi}, patient {said.patient}. The order {order.id} is "
            f"for {order.coi}, patient {order.patient}. Call QA."
        )
    return None


def refuse_without(unit: Unit, order: Order) -> None:
    """No batch opens without the consent that its order names.

    Raises
    ------
    CommandRefused
        Reasons `consent_missing`, `consent_withdrawn`.
    """
    found = why_not(unit, order)
    if found is not None:
        raise CommandRefused(found[1], reason=found[0])


def refuse_withdrawn(unit: Unit) -> None:
    """Nothing of the open batch goes on once its patient's consent is withdrawn; raises `CommandRefused`."""
    batch = unit.batch
    if batch is None or batch.closed:
        return
    gone = withdrawn_for(unit, batch.order)
    if gone:
        raise CommandRefused(f"{WITHDRAWN_WORDS.format(consent=gone)} {WHAT_TO_DO}", reason=WITHDRAWN)


def holds_back(unit: Unit, batch: Batch) -> bool:
    """Whether no phase of this batch may start or go on."""
    return bool(withdrawn_for(unit, batch.order))


def follow(unit: Unit, batch: Batch) -> list[ev.Event]:
    """Whatever runs is held as soon as the consent is withdrawn; empty when nothing has to be."""
    gone = withdrawn_for(unit, batch.order)
    if not gone:
        return []
    words = WITHDRAWN_WORDS.format(consent=gone)
    return hold_with_alarm(batch, WITHDRAWN, words, title="Consent withdrawn", action=WHAT_TO_DO)


# ── What becomes true ──────────────────────────────────────────────────────────────────


def recorded(unit: Unit, said: ev.ConsentRecorded) -> list[ev.Event]:
    """A consent goes on record, once; raises `CommandRefused` where it contradicts the record."""
    _check(said)
    known = unit.consents.get(said.consent)
    if isinstance(known, ev.ConsentWithdrawn):
        raise CommandRefused(
            f"The consent {said.consent} was withdrawn on {known.withdrawn_at}. A new consent has a form and "
            "an id of its own.",
            reason=WITHDRAWN,
        )
    if known is not None and (known.coi, known.patient) != (said.coi, said.patient):
        raise CommandRefused(
            f"The consent {said.consent} is on record for {known.coi}, patient {known.patient}. Compare the "
            "form with the order. Call QA.",
            reason=MISSING,
        )
    if known is not None:
        return []
    cleared = [ev.AlarmCleared(alarm=key) for key in unit.alarms if key == ALARM + said.coi]
    return [said, *cleared]


def withdrawn(unit: Unit, said: ev.ConsentWithdrawn, *, beside: Collection[str] = ()) -> list[ev.Event]:
    """A withdrawal goes on record; the open batch of this patient is told to people at once.

    What runs is held in the same turn, by `follow`. Of a consent that the unit has never heard of it is
    taken as well, so that it can never be recorded afterwards. One that is withdrawn already gives nothing.

    Parameters
    ----------
    beside
        Other consents of this chain of identity that are withdrawn by the same word.
    """
    _check(said)
    known, batch = unit.consents.get(said.consent), unit.batch
    if isinstance(known, ev.ConsentWithdrawn):
        return []
    if known is not None and known.coi != said.coi:
        raise CommandRefused(
            f"The consent {said.consent} is on record for {known.coi}, not {said.coi}. Compare both with the "
            "form.",
            reason="not_plausible",
        )
    others = set(standing(unit, said.coi)) - {said.consent, *beside}
    if batch is None or batch.closed or batch.order.coi != said.coi or ALARM + said.coi in unit.alarms:
        return [said]
    named = batch.order.consent
    if said.consent != named and (others or named in beside):
        return [said]
    raised = ev.AlarmRaised(
        alarm=ALARM + said.coi,
        priority="high",
        title="Consent withdrawn",
        cause=WITHDRAWN_WORDS.format(consent=said.consent),
        action=WHAT_TO_DO,
    )
    return [said, raised]


def _check(said: ev.ConsentRecorded | ev.ConsentWithdrawn) -> None:
    for name in ("consent", "coi", "patient"):
        value = getattr(said, name)
        if not (name == "patient" and value == "") and ID.fullmatch(value) is None:
            raise NotPlausible(f"'{value[:40]}' is no {name} id. Write it as on the form or the order.")
    if not 1 <= len(said.received_from.strip()) <= TEXT_LENGTH_MAX:
        raise NotPlausible(
            f"Write from whom it was received, in 1 to {TEXT_LENGTH_MAX} characters: a function such as "
            "'study nurse', never the patient's name."
        )


# ── Commands ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What people put on record of a consent, as the body of their command says it."""

    consent: str
    coi: str
    patient: str
    received_from: str
    on: str = ""  # the day of the form
    reason: str = ""

    @classmethod
    def of(cls, body: Mapping[str, str]) -> Asked:
        return cls(**{name: body.get(name, "") for name in cls.__dataclass_fields__})


def record(unit: Unit, first: Actor, second: Actor, asked: Asked, now: datetime) -> list[ev.Event]:
    """Two different persons have looked at the signed form."""
    permit(unit, first, "record_consent")
    permit(unit, second, "record_consent")
    if first.id == second.id:
        raise NotPermitted("A different person must look at the form too.", reason="same_person")
    said = ev.ConsentRecorded(
        consent=asked.consent,
        coi=asked.coi,
        patient=asked.patient,
        received_from=asked.received_from.strip(),
        given_on=_day(asked.on, now),
        first_person=first.id,
        second_person=second.id,
    )
    if not said.patient:
        raise NotPlausible("Write the patient's code as on the order.")
    return recorded(unit, said)


def withdraw(unit: Unit, actor: Actor, asked: Asked, now: datetime) -> list[ev.Event]:
    """One person suffices; who names no consent withdraws all of this chain of identity.

    At the unit that works on the product nobody types: without a chain of identity the open batch's is meant.
    """
    permit(unit, actor, "withdraw_consent")
    if not asked.coi and unit.batch is not None and not unit.batch.closed:
        asked = replace(asked, coi=unit.batch.order.coi)
    reason = check_reason(asked.reason)
    named = [asked.consent] if asked.consent else [one.consent for one in of_chain(unit, asked.coi)]
    if not named:
        raise NotPlausible(
            f"No consent of {asked.coi[:40]} is on this unit's record. Name the consent by its id, as on "
            "the form."
        )
    events: list[ev.Event] = []
    for place, id in enumerate(named):
        known = unit.consents.get(id)
        said = ev.ConsentWithdrawn(
            consent=id,
            coi=asked.coi,
            patient=known.patient if known is not None else asked.patient,
            received_from=asked.received_from.strip(),
            withdrawn_at=now.isoformat(),
            reason=reason,
            noted_by=actor.id,
        )
        # The alarm comes once, with the last of them.
        events += withdrawn(unit, said, beside=named[:place])
    return events


def _day(text: str, now: datetime) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.isoformat() != text or day.year < 2000 or day > now.date():
        raise NotPlausible(
            f"The form was signed on {text[:20]!r}: write a day such as 2026-03-02, not to come."
        )
    return text


# ── What a batch's record tells of it ──────────────────────────────────────────────────


def told(unit: Unit, order: Order) -> dict[str, str]:
    """The part of `BatchOpened.unit_before` about the consents of this chain, and the one that is named."""
    said = [
        {"withdrawn": isinstance(one, ev.ConsentWithdrawn), "said": asdict(one)}
        for one in unit.consents.values()
        if one.coi == order.coi or one.consent == order.consent
    ]
    return {"consents": json.dumps(said, sort_keys=True)} if said else {}


def know(unit: Unit, said: Mapping[str, str]) -> None:
    """Take in what `told` said."""
    for one in json.loads(said.get("consents", "[]")):
        kind = ev.ConsentWithdrawn if one["withdrawn"] else ev.ConsentRecorded
        consent = kind(**one["said"])
        unit.consents[consent.consent] = consent
