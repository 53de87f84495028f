"""Correct what a person entered: the first value stays, the reason is kept, what depends on it follows.

Only what people typed can be corrected. A reading of a device, a count and a label that the camera
read are what they are: a person may comment on them or repeat them. A value that needed two persons
needs two again: then the first one's correction is a proposal, and holds when the second has looked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from appliance.domain import events as ev
from appliance.domain import phase_states
from appliance.domain.batch import Batch, Fact, PhaseRun, Unit
from appliance.domain.errors import CommandRefused, NotOpen, NotPermitted, NotPlausible
from appliance.domain.people_rules import permit, permit_signature, refuse_untrained
from appliance.domain.phase_logic import Context, Logic, content_hash, second_person_window
from appliance.domain.phases import LOGIC
from appliance.domain.prompts import Field, Prompt, PromptFact, check_reason
from appliance.domain.roles import VERIFY_ROLES, Actor

PROPOSED = "correction:"  # the key of the prompt for the second person, with the proposal's number


@dataclass(frozen=True, slots=True)
class Entry:
    """What a person entered for one instruction, as it holds now."""

    run: PhaseRun
    key: str
    fact: Fact  # keeps the first values
    values: dict[str, str]
    fields: tuple[Field, ...]

    @property
    def first_values(self) -> dict[str, str]:
        assert isinstance(self.fact.event, ev.InstructionConfirmed)
        return self.fact.event.values

    def field(self, name: str) -> Field:
        found = next((field for field in self.fields if field.name == name), None)
        if found is None:
            raise NotPlausible(f"'{name}' was not entered there. Look at the list again.")
        return found


def words_of(field: Field, value: str) -> str:
    """A value as a person reads it."""
    said = next((choice.words for choice in field.choices if choice.value == value), value)
    return f"{said} {field.unit}".strip()


def entries(batch: Batch) -> list[Entry]:
    """Everything that people entered and may correct, in the order of the recipe."""
    found = []
    for run in batch.runs.values():
        for key, fields in LOGIC[run.phase.type].entered(run.phase).items():
            confirmed = run.confirmed(key)
            if confirmed is not None:
                first = next(fact for fact in reversed(run.facts) if fact.seq == confirmed[0].seq)
                found.append(Entry(run, key, first, confirmed[1].values, fields))
    return found


# ── A person corrects ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to correct: an entry by its number on record, or by its instruction's id."""

    target: str
    values: dict[str, str]
    reason: str


def asked_of(body: Mapping[str, Any]) -> Asked:
    """What a command `correct` asks: `prompt` or `seq`, `field` and `value` or several `values`, `reason`."""
    target = body.get("prompt") or body.get("seq")
    values = body.get("values") or {body.get("field"): body.get("value")}
    texts = [*values, *values.values()] if isinstance(values, dict) else [None]
    if not all(isinstance(text, str) for text in (*texts, body.get("reason", ""))):
        raise NotPlausible("Say which value is wrong, and what it is. Do it again from the screen.")
    return Asked(str(target or ""), dict(values), str(body.get("reason", "")))


def correct(unit: Unit, asked: Asked, actor: Actor, now: datetime) -> list[ev.Event]:
    """A correction signed by the person who makes it.

    Raises
    ------
    CommandRefused
        Nothing of this kind can be corrected, not any longer, not by this person, or not to this value.
    """
    prompt = correction_prompt(unit, asked, actor, now)
    if actor.proof != "password":
        raise NotPermitted("A correction needs your password, entered now.", reason="proof_missing")
    assert unit.batch is not None
    entry, changes = _checked(unit, asked, now)
    signed = ev.SignatureGiven(
        phase=prompt.phase,
        key=prompt.key,
        person=actor.id,
        name=actor.name,
        meaning=prompt.meaning,
        signs=content_hash(prompt.content),
        what=prompt.title,
        at=now.isoformat(),
        content=prompt.content,
    )
    reason = check_reason(asked.reason)
    if not needs_second_person(entry):
        return [signed, *_corrected(entry, changes, reason, actor.id, actor.name)]
    proposed = ev.CorrectionProposed(
        phase=prompt.phase,
        key=entry.key,
        values=changes,
        reason=reason,
        corrected_seq=entry.fact.seq,
        person=actor.id,
        name=actor.name,
    )
    return [signed, proposed]


def correction_prompt(unit: Unit, asked: Asked, actor: Actor, now: datetime) -> Prompt:
    """What the person is about to sign, with the values before and after; raises what `correct` raises."""
    entry, changes = _checked(unit, asked, now)
    batch = unit.batch
    assert batch is not None
    _permit(unit, batch, actor, now)
    c = Context(unit, batch, entry.run, now)
    said = [_change(entry, name, value) for name, value in changes.items()]
    reason = check_reason(asked.reason)
    what = {"key": entry.key, "corrected_seq": entry.fact.seq, "changes": said, "reason": reason}
    return Prompt(
        phase=c.phase.id,
        key=f"{entry.key}.correct",
        kind="sign",
        title=f"{c.phase.title}: correct what was entered",
        instruction="The first value stays on record. Your signature puts the new one beside it.",
        button="Sign",
        needs="signature",
        meaning="corrected",
        content=c.content(what),
        facts=(*_shown(entry, changes), PromptFact("Reason", reason)),
    )


def needs_second_person(entry: Entry) -> bool:
    """Whether a second person has confirmed it already: then one must confirm the correction too (R-17).

    Before that the person who verifies sees the corrected value, which is the same.
    """
    verified = entry.run.confirmed(f"{entry.key}.verify")
    return entry.key in entry.run.phase.verify and verified is not None


def _checked(unit: Unit, asked: Asked, now: datetime) -> tuple[Entry, dict[str, str]]:
    """The entry, and its changed fields with their checked new values."""
    batch = _correctable_batch(unit)
    check_reason(asked.reason)
    entry = _entry(batch, asked.target)
    if pending(batch, entry):
        raise CommandRefused(
            "A correction of this waits for its second person. Confirm it first, or let it lapse.",
            reason="correction_waits",
        )
    if not asked.values:
        raise NotPlausible("Say which value is wrong, and what it is.")
    values = {name: entry.field(name).check(value) for name, value in asked.values.items()}
    changes = {name: value for name, value in values.items() if entry.values.get(name) != value}
    if not changes:
        raise NotPlausible("This value is on record already. Nothing was changed.")
    c = Context(unit, batch, entry.run, now)
    LOGIC[entry.run.phase.type].check_entered(c, entry.key, entry.values | changes)
    return entry, changes


def _correctable_batch(unit: Unit) -> Batch:
    batch = unit.batch
    if batch is None or batch.closed:
        raise NotOpen("No batch is open. A closed record is not corrected. Call QA.")
    if batch.disposition is not None:
        raise CommandRefused(
            "The QP has decided about this batch. Its record is not corrected any longer. Call QA.",
            reason="decided",
        )
    return batch


def _permit(unit: Unit, batch: Batch, actor: Actor, now: datetime) -> None:
    permit(unit, actor, "correct")
    refuse_untrained(unit, actor, batch.recipe.id, batch.recipe.version, now)
    permit_signature(unit, actor, "corrected")


def _entry(batch: Batch, target: str) -> Entry:
    """The entry with this id (`phase/instruction`), with this number on record, or that a result tells."""
    fact = next((one for one in batch.facts if str(one.seq) == target), None)
    for entry in entries(batch):
        if target in (f"{entry.run.phase.id}/{entry.key}", str(entry.fact.seq)) or _tells(fact, entry):
            return entry
    _refuse_other(fact)


def _tells(fact: Fact | None, entry: Entry) -> bool:
    """Whether a fact is a typed value taken over as it is."""
    if fact is None or not isinstance(fact.event, ev.ResultReceived | ev.ValueRecorded):
        return False
    name = fact.event.test if isinstance(fact.event, ev.ResultReceived) else fact.event.key
    return fact.event.phase == entry.run.phase.id and name in {field.name for field in entry.fields}


def _refuse_other(fact: Fact | None) -> NoReturn:
    kind = type(fact.event).__name__ if fact is not None else ""
    if kind in ("CellCountReported", "CountFailed"):
        words = "A count is not corrected. Repeat it, or write a comment."
    elif kind in ("ValueRecorded", "DeviceReported", "MeasurementsSealed", "LimitCrossed", "ReadingsUsed"):
        words = "The reading of a device is not corrected. Repeat the measurement, or write a comment."
    elif kind in ("BagAccepted", "MaterialAccepted", "LabelVerified", "ScanRead"):
        words = "What the camera read is not corrected. Scan again, or write a comment."
    elif kind == "ResultReceived":
        words = "A result follows from what was entered. Correct what was entered."
    else:
        words = "Nothing was entered there that could be corrected. Write a comment."
    raise CommandRefused(words, reason="not_correctable")


def _change(entry: Entry, name: str, value: str) -> dict[str, str]:
    unit = entry.field(name).unit
    return {"field": name, "old": entry.values.get(name, ""), "new": value, "unit": unit}


def _shown(entry: Entry, changes: dict[str, str]) -> tuple[PromptFact, ...]:
    facts = []
    for name, value in changes.items():
        field = entry.field(name)
        facts.append(PromptFact(f"{field.label} on record", words_of(field, entry.values.get(name, ""))))
        facts.append(PromptFact(f"{field.label} corrected to", words_of(field, value)))
    return tuple(facts)


def _corrected(entry: Entry, changes: dict[str, str], reason: str, person: str, name: str) -> list[ev.Event]:
    return [
        ev.ValueCorrected(
            phase=entry.run.phase.id,
            key=entry.key,
            field=field,
            old=entry.values.get(field, ""),
            new=value,
            unit=entry.field(field).unit,
            reason=reason,
            corrected_seq=entry.fact.seq,
            person=person,
            name=name,
        )
        for field, value in changes.items()
    ]


# ── A second person looks ──────────────────────────────────────────────────────────────


def pending(batch: Batch, entry: Entry) -> bool:
    at = (entry.run.phase.id, entry.key)
    return any((one.phase, one.key) == at for _, one in batch.open_proposals)


def prompts(unit: Unit, batch: Batch, now: datetime) -> list[Prompt]:
    """What second persons are asked: whether the new value is right, by the raw facts."""
    asked = []
    for fact, proposed in batch.open_proposals:
        entry = _entry(batch, str(proposed.corrected_seq))
        c = Context(unit, batch, entry.run, now)
        changes = [_change(entry, name, value) for name, value in proposed.values.items()]
        key = f"{PROPOSED}{fact.seq}"
        what = {"key": key, "corrected_seq": proposed.corrected_seq, "changes": changes}
        asked.append(
            Prompt(
                phase=proposed.phase,
                key=key,
                kind="confirm",
                title=f"{c.phase.title}: second person for a correction",
                instruction="Look at the source yourself: the display, the sheet, the plate. "
                "Does it say the corrected value?",
                button="I have checked this myself",
                needs="second_person",
                roles=VERIFY_ROLES,
                not_by=(proposed.person,),
                content=c.content(what, up_to=fact.seq),
                facts=(*_shown(entry, proposed.values), PromptFact("Reason", proposed.reason)),
                until=fact.at + second_person_window(c),
            )
        )
    return asked


def is_proposal(prompt: Prompt) -> bool:
    return prompt.key.startswith(PROPOSED)


def confirmed(batch: Batch, prompt: Prompt, actor: Actor) -> list[ev.Event]:
    """The second person has looked: the correction holds from now on."""
    seq = int(prompt.key.removeprefix(PROPOSED))
    _, proposed = next(one for one in batch.open_proposals if one[0].seq == seq)
    entry = _entry(batch, str(proposed.corrected_seq))
    second = ev.SecondPersonConfirmed(
        phase=prompt.phase,
        key=prompt.key,
        person=actor.id,
        first_person=proposed.person,
        signs=content_hash(prompt.content),
        content=prompt.content,
    )
    corrected = _corrected(entry, proposed.values, proposed.reason, proposed.person, proposed.name)
    return [second, *corrected]


# ── What follows by itself ─────────────────────────────────────────────────────────────


def follow(unit: Unit, batch: Batch, now: datetime) -> list[ev.Event]:
    """What corrections bring with them: voided signatures, lapsed proposals, results worked out anew."""
    voided = batch.signatures.void_events()
    if voided:
        return voided
    for fact, proposed in batch.open_proposals:
        c = Context(unit, batch, batch.runs[proposed.phase], now)
        if now - fact.at > second_person_window(c):
            return [_lapsed(batch, fact, proposed)]
    for run in batch.runs.values():
        for fact, correction in run.corrections:
            c, logic = Context(unit, batch, run, now), LOGIC[run.phase.type]
            events = logic.corrected(c, fact, correction)
            if events:
                return [*events, *_held(c, logic, events, correction)]
    return []


def _lapsed(batch: Batch, fact: Fact, proposed: ev.CorrectionProposed) -> ev.FirstActLapsed:
    minutes = batch.opened.second_person_within_min
    return ev.FirstActLapsed(
        phase=proposed.phase,
        key=f"{PROPOSED}{fact.seq}",
        person=proposed.person,
        first_seq=fact.seq,
        words=f"No second person came within {minutes} min. The value stays as it was. Correct it again.",
    )


def _held(c: Context, logic: Logic, events: list[ev.Event], correction: ev.ValueCorrected) -> list[ev.Event]:
    """Hold whatever runs when the correction opened a deviation that touches the product."""
    opened = [event for event in events if isinstance(event, ev.DeviationOpened)]
    if not any(one.classification != "minor" for one in opened):
        return []
    words = opened[0].words
    held: list[ev.Event] = []
    for run in c.batch.runs.values():
        if (run.state, "PhaseHolding") not in phase_states.TRANSITIONS:
            continue
        number = len(run.all(ev.AlarmRaised)) + 1
        held.append(ev.PhaseHolding(phase=run.phase.id, reason="corrected_value", words=words))
        held.append(
            ev.AlarmRaised(
                alarm=f"{c.batch.id}:{run.phase.id}:hold-corrected_value:{number}",
                priority="high",
                title=f"{run.phase.title} is held",
                cause=words,
                action="The corrected value fails its limit. Call the supervisor.",
                phase=run.phase.id,
            )
        )
    return held
