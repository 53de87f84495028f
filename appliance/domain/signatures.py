"""What a signature covers, and what voids it (R-22, R-23, F-057).

Three things bind a person to what is on record, and each has its dependants:

- the signatures of the seal cover the whole batch: whatever changes the batch voids them;
- a signature in a phase covers the facts of that phase: what changes these voids it;
- a second person's confirmation covers the values that were confirmed: a correction of one voids it.

A signature that means "corrected" covers an act and not a state: nothing voids it. A comment, an
acknowledged alarm, and whatever else stands in `NEUTRAL` voids nothing. The book is folded from
events like everything else, so a replay voids the same signatures for the same reasons.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from appliance.domain import events as ev

# Facts beside the product's record, and people's signing itself: they change nothing that was signed.
NEUTRAL = ev.NOT_A_CHANGE_AFTER_SEAL | frozenset(
    {
        "CommentAdded",
        "AlarmRaised",
        "CorrectionProposed",
        "FirstActLapsed",
        "SignatureVoided",
        "BatchCompleted",
        "DispositionRecorded",
    }
)
# What answering and completing the phase of a signature leaves behind.
OF_SIGNING = frozenset({"SignatureGiven", "SecondPersonConfirmed", "InstructionConfirmed", "PhaseCompleted"})
# What changes the facts that a signature within a phase was given on.
CHANGES_A_PHASE = frozenset(
    {
        "ValueCorrected",
        "CountRepeated",
        "CellCountReported",
        "BagRefused",
        "LabelRequested",
        "LabelVoided",
    }
)


class Told(Protocol):
    """A fact, as far as this module looks at it."""

    @property
    def event(self) -> ev.Event: ...
    @property
    def seq(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature, or one second person's confirmation, and whether it still holds."""

    phase: str
    key: str
    person: str
    name: str
    meaning: str
    what: str
    at: str
    signs: str
    seq: int
    covers: str  # batch phase values act
    because_seq: int = 0  # the fact that changed what it covers; 0 while it stands
    void_on_record: bool = False

    @property
    def stands(self) -> bool:
        return not self.because_seq

    def is_voided_by(self, event: ev.Event) -> bool:
        """Whether this later event changes what was signed."""
        kind, phase = type(event).__name__, getattr(event, "phase", "")
        match self.covers:
            case "batch":
                return changes_batch(event, self.phase)
            case "phase":
                return phase == self.phase and kind in CHANGES_A_PHASE
            case "values":
                corrected = isinstance(event, ev.ValueCorrected) and phase == self.phase
                return corrected and self.key == f"{getattr(event, 'key', '')}.verify"
            case _:
                return False


def changes_batch(event: ev.Event, sealing_phase: str) -> bool:
    """Whether an event changes what the signatures of the seal cover."""
    kind, phase = type(event).__name__, getattr(event, "phase", "")
    return kind not in NEUTRAL and not (kind in OF_SIGNING and phase == sealing_phase)


@dataclass(slots=True)
class SignatureBook:
    """The signatures of one batch, oldest first.

    Parameters
    ----------
    sealing_phases
        Phases whose signatures cover the whole batch.
    """

    sealing_phases: frozenset[str]
    given: list[Signature] = field(default_factory=list)
    sealing: bool = False  # a signature of the seal was given
    decided: bool = False  # the QP's word is on record

    def take(self, fact: Told) -> None:
        """Fold one fact of the batch."""
        event = fact.event
        match event:
            case ev.SignatureGiven():
                self.given.append(self._signature(event, fact.seq))
                self.sealing = self.sealing or event.phase in self.sealing_phases
            case ev.SecondPersonConfirmed():
                self.given.append(_confirmation(event, fact.seq))
            case ev.SignatureVoided(signed_seq=seq):
                self.given = [replace(s, void_on_record=True) if s.seq == seq else s for s in self.given]
            case ev.DispositionRecorded():
                self.decided = True
            case ev.LotOfBatchRecalled():
                # The QP's word was on another product than this: people sign anew, and the QP decides anew.
                self.decided = False
                self._void(event, fact.seq)
            case _:
                self._void(event, fact.seq)

    def _signature(self, event: ev.SignatureGiven, seq: int) -> Signature:
        covers = "batch" if event.phase in self.sealing_phases else "phase"
        return Signature(
            phase=event.phase,
            key=event.key,
            person=event.person,
            name=event.name,
            meaning=event.meaning,
            what=event.what,
            at=event.at,
            signs=event.signs,
            seq=seq,
            covers="act" if event.meaning == "corrected" else covers,
        )

    def _void(self, event: ev.Event, seq: int) -> None:
        kind = type(event).__name__
        if kind in NEUTRAL or not (self.sealing or kind in CHANGES_A_PHASE):
            return  # nearly every fact of a long batch: a fold of a million stays quick
        for place, one in enumerate(self.given):
            # What was decided upon is not undone here: after the QP's word the unit corrects nothing.
            over = self.decided and one.covers == "batch"
            if one.stands and not over and one.is_voided_by(event):
                self.given[place] = replace(one, because_seq=seq)

    def newest(self, phase: str, key: str) -> Signature | None:
        """The last signature of that key, whether it stands or not."""
        return next((s for s in reversed(self.given) if (s.phase, s.key) == (phase, key)), None)

    def standing(self, phase: str, key: str) -> Signature | None:
        """The last signature of that key, if it still covers what is so."""
        found = self.newest(phase, key)
        return found if found is not None and found.stands else None

    def missing(self) -> list[Signature]:
        """The signatures of the seal that were voided and not given again."""
        return [
            one
            for one in self.given
            if one.covers == "batch" and not one.stands and self.newest(one.phase, one.key) == one
        ]

    def void_events(self) -> list[ev.Event]:
        """`SignatureVoided` for each signature that lost what it covers and does not say so on record yet."""
        return [_voided(one) for one in self.given if not one.stands and not one.void_on_record]


def _confirmation(event: ev.SecondPersonConfirmed, seq: int) -> Signature:
    return Signature(
        phase=event.phase,
        key=event.key,
        person=event.person,
        name="",
        meaning="verified",
        what="",
        at="",
        signs="",
        seq=seq,
        covers="values",
    )


def _voided(one: Signature) -> ev.SignatureVoided:
    what = {"batch": "the batch record", "values": "a value that was confirmed"}.get(one.covers, "the phase")
    who = one.name or one.person
    said = "It must be signed again." if one.covers != "values" else "The correction was confirmed anew."
    return ev.SignatureVoided(
        phase=one.phase,
        key=one.key,
        person=one.person,
        signed_seq=one.seq,
        because_seq=one.because_seq,
        words=f"After {who} signed ({one.meaning}), {what} was changed by entry {one.because_seq}. {said}",
    )


def newest_change(facts: Iterable[Told], sealing_phase: str) -> int:
    """The newest of these facts that changes a batch; 0 when there is none. Newest first."""
    return next((fact.seq for fact in facts if changes_batch(fact.event, sealing_phase)), 0)


def canonical(content: dict[str, Any]) -> str:
    """The exact text of what is signed: sorted keys, no spaces, UTF-8 as it is."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
