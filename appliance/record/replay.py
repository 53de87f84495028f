"""Walk a record commit by commit, decide each again, and compare: equal bytes, or the first that differs.

The chain must have been verified before: replay proves that the decisions follow from the inputs,
not that the inputs are genuine. Its transcript is equal on any machine.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any

import msgspec

from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.domain.batch import Fact, Unit, evolve
from appliance.domain.earlier import fact_counted_back
from appliance.domain.errors import ApplianceError
from appliance.domain.replay import COMMANDS, FACTS, Moment, Said, decide_command, decide_input, overdue
from appliance.domain.roles import UNIT_ACTOR
from appliance.domain.state_digest import small_digest, state_digest, unit_digest
from appliance.domain.turns import ReadingsOnRecord, batch_of
from appliance.domain.upcasters import NewerThanThisSoftware, event_of
from appliance.record.canonical import (
    NO_HASH,
    QUALITY_UNTRUSTED,
    Header,
    StoredRecord,
    encode_payload,
    record_hash,
)

SAID_LENGTH_MAX = 600


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event that deciding again does not give."""

    seq: int
    why: str
    record_says: str
    again_says: str

    @property
    def words(self) -> str:
        return (
            f"Event {self.seq}: {self.why}\n"
            f"  the record says:  {self.record_says or 'nothing'}\n"
            f"  decided again:    {self.again_says or 'nothing'}"
        )


@dataclass(slots=True)
class Outcome:
    """What a replay found."""

    first_seq: int = 0
    last_seq: int = 0
    commits: int = 0
    commands: int = 0
    inputs: int = 0
    by_itself: int = 0
    facts: int = 0
    seals: int = 0
    older_events: int = 0  # written before inputs were put on record: folded only
    older_again: int = 0  # of these, what came out again all the same
    older_version: str = ""
    transcript: str = ""
    state: str = ""
    unit_state: str = ""
    difference: Difference | None = None

    @property
    def equal(self) -> bool:
        return self.difference is None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One record, decoded."""

    stored: StoredRecord
    event: ev.Event | None  # None for a kind that this program does not fold
    batch: str | None
    command: str | None

    @property
    def header(self) -> Header:
        return self.stored.header

    @property
    def seq(self) -> int:
        return self.stored.seq

    @property
    def says(self) -> str:
        return _short(f"{self.header.kind} {self.stored.payload.decode('utf-8', 'replace')}")

    def same_stamp(self, other: _Entry) -> bool:
        mine, its = self.header, other.header
        return (mine.wall, mine.monotonic_ns, mine.boot_id, mine.clock_quality) == (
            its.wall, its.monotonic_ns, its.boot_id, its.clock_quality,
        )  # fmt: skip


class _Differs(Exception):
    """The walk ends here."""

    def __init__(self, difference: Difference) -> None:
        self.difference = difference
        super().__init__(difference.words)


class Replay:
    """Decides a run of the gxp log again.

    Parameters
    ----------
    unit
        The state before the first record that is given to `walk`.
    whole
        False when `unit` is all that one batch's record tells of the unit before it: what the unit
        keeps from batch to batch is then not compared.
    """

    def __init__(self, unit: Unit, *, whole: bool = True) -> None:
        self.unit, self._whole = unit, whole
        self.outcome = Outcome()
        self._on_record = ReadingsOnRecord()
        self._transcript = hashlib.sha256()
        self._ahead: deque[_Entry] = deque()
        self._records: Iterator[StoredRecord] = iter(())
        self._hash = NO_HASH
        self._last_seq = 0
        self._older = False
        self._settled: _Entry | None = None  # the last commit, after which the phases came to rest

    def fold(self, records: Iterable[StoredRecord]) -> None:
        """Take records as they are; nothing is decided again."""
        for stored in records:
            entry = _entry(stored)
            self._take(entry)
            if isinstance(entry.event, ev.BatchOpened):
                self._older = self._older or not entry.event.unit_before
                self._settled = entry

    def fold_earlier(self, records: Iterable[tuple[StoredRecord, int]]) -> None:
        """Take the logs before a restore; each record comes with how far back its log began."""
        for stored, before in records:
            entry = _entry(stored)
            if entry.event is not None:
                header = stored.header
                fact = Fact(entry.event, header.wall, header.actor, entry.seq, entry.batch)
                self._evolved(entry, fact_counted_back(fact, before))

    def walk(self, records: Iterable[StoredRecord]) -> Outcome:
        """Decide again until the end or the first difference."""
        self._records = iter(records)
        outcome = self.outcome
        try:
            while (first := self._peek(0)) is not None:
                outcome.first_seq = outcome.first_seq or first.seq
                self._commit(first)
            self._sum_up()
        except _Differs as differs:
            outcome.difference = differs.difference
        outcome.transcript = self._transcript.hexdigest()
        return outcome

    def _sum_up(self) -> None:
        self.outcome.unit_state = unit_digest(self.unit) if self._whole else ""
        if (last := self._settled) is not None:
            self.outcome.state = self._again(last, lambda: state_digest(self.unit, last.header.wall))

    # ── One commit ─────────────────────────────────────────────────────────────────────

    def _commit(self, first: _Entry) -> None:
        if isinstance(first.event, ev.EngineStarted):
            self._older = not first.event.inputs_on_record
            self.unit.readings.clear()
        if first.event is None or self._older:
            self._take_older(first)
            return
        taken, used, body = self._opened(first)
        moment = self._moment(first)
        self.unit.clock_trusted = first.header.clock_quality != QUALITY_UNTRUSTED
        before = self._on_record_before(used)
        what, expected = self._decide(first, taken, body, moment)
        self._compare_readings(first, used, before)
        head = [one for one in (first if taken else None, used) if one is not None]
        matched = self._match(first, head, expected, what)
        self._note(what, first, matched)

    def _opened(self, first: _Entry) -> tuple[ev.CommandTaken | None, _Entry | None, _Entry]:
        """The command and the readings at the head of a commit, and the event that follows them."""
        taken = first.event if isinstance(first.event, ev.CommandTaken) else None
        place = 1 if taken else 0
        entry = self._peek(place)
        used = entry if entry is not None and isinstance(entry.event, ev.ReadingsUsed) else None
        body = self._peek(place + 1) if used else entry
        if body is None or body.event is None or not body.same_stamp(first):
            raise _Differs(Difference(first.seq, "nothing follows from it.", first.says, ""))
        return taken, used, body

    def _moment(self, first: _Entry) -> Moment:
        header = first.header
        return Moment(
            now=header.wall,
            monotonic_ns=header.monotonic_ns,
            boot_id=header.boot_id.hex(),
            actor=header.actor,
            seq_before=first.seq - 1,
            hash_before=self._hash.hex(),
            epoch=header.epoch.hex(),
        )

    def _decide(
        self,
        first: _Entry,
        taken: ev.CommandTaken | None,
        body: _Entry,
        moment: Moment,
    ) -> tuple[str, Sequence[ev.Event] | None]:
        """What kind of commit this is, and the events that must follow; None for facts."""
        unit = self.unit
        assert body.event is not None
        said = Said(unit, moment, body.event, body.batch)
        if taken is not None:
            self._refuse_overdue(first)
            if taken.name not in COMMANDS:
                why = f"this version does not know the command '{taken.name}'. Use the one that wrote it."
                raise _Differs(Difference(first.seq, why, first.says, ""))
            return taken.name, self._again(first, lambda: decide_command(said, taken))
        own = self._again(body, lambda: decisions.advance(unit, moment.now)) or []
        if own and self._bytes_of(own[0], body, own) == body.stored.payload:
            return "by itself", own
        self._refuse_overdue(first)
        decided = self._again(body, lambda: decide_input(said))
        if decided:
            return body.header.kind, decided
        if decided is not None:
            raise _Differs(Difference(body.seq, "nothing would have followed from it.", body.says, ""))
        if body.header.kind in FACTS:
            unit.looked_at.clear()
            return "fact", None
        raise _Differs(
            Difference(body.seq, "nothing on record led to it.", body.says, _shown(own[0]) if own else "")
        )

    def _again(self, entry: _Entry, decide: Any) -> Any:
        self.unit.looked_at.clear()
        try:
            return decide()
        except ApplianceError as refusal:
            why = "it would have been refused."
            raise _Differs(Difference(entry.seq, why, entry.says, _short(str(refusal)))) from refusal
        except Exception as fault:
            # An outermost loop: a record that was altered may bring any decision to any fault, and
            # that is an answer to whoever asks for a replay, not a crash.
            why = "it cannot be decided."
            said = _short(f"{type(fault).__name__}: {fault}")
            raise _Differs(Difference(entry.seq, why, entry.says, said)) from fault

    def _refuse_overdue(self, first: _Entry) -> None:
        """Before an input comes, everything that followed from the last one must be on record."""
        last, event = self._settled, first.event
        if last is None or isinstance(event, ev.EngineStarted | ev.RecordFaultSeen):
            return  # what a crash or a full disk cut off is decided by the next turn
        self.unit.clock_trusted = last.header.clock_quality != QUALITY_UNTRUSTED
        events = self._again(first, lambda: overdue(self.unit, last.header.wall))
        self.unit.clock_trusted = first.header.clock_quality != QUALITY_UNTRUSTED
        if events:
            why = "something should have become true before it and is not on record."
            raise _Differs(Difference(first.seq, why, first.says, _shown(events[0])))

    # ── Readings ───────────────────────────────────────────────────────────────────────

    def _on_record_before(self, used: _Entry | None) -> ReadingsOnRecord:
        before = self._on_record.copy()
        if used is not None:
            assert used.event is not None
            self.unit.readings |= self._on_record.copy().take(used.event)
        return before

    def _compare_readings(self, first: _Entry, used: _Entry | None, before: ReadingsOnRecord) -> None:
        """The readings on record are those that the decision looked at, no more and no fewer."""
        expected = before.news(self.unit.looked_at)
        said = used.event if used is not None else None
        if expected != said:
            at = used or first
            why = "other readings were looked at than it says."
            raise _Differs(
                Difference(at.seq, why, at.says if used else "", _shown(expected) if expected else "")
            )

    # ── Comparing ──────────────────────────────────────────────────────────────────────

    def _match(
        self, first: _Entry, head: Sequence[_Entry], expected: Sequence[ev.Event] | None, what: str
    ) -> list[_Entry]:
        """Take the records of this commit, each held against what was decided again."""
        actor = UNIT_ACTOR if what == "by itself" else first.header.actor
        matched = [self._took(first, entry, actor) for entry in head]
        if expected is None:
            return [*matched, self._took(first, first, actor)]
        batch = self._batch_for(expected, first if not head else self._peek(0))
        for event in expected:
            entry = self._next_beside_facts(first, event, matched)
            event = self._unknown_from_archive(event, entry)
            payload = encode_payload(_batch_if(event, batch), first.command, _body_like(event, entry))
            if entry.header.kind != type(event).__name__ or entry.stored.payload != payload:
                raise _Differs(Difference(entry.seq, "it was decided otherwise.", entry.says, _shown(event)))
            matched.append(self._took(first, entry, actor))
        return matched

    def _next_beside_facts(self, first: _Entry, event: ev.Event, matched: list[_Entry]) -> _Entry:
        """The record that must be this event; facts of a start may stand between."""
        while True:
            entry = self._peek(0)
            if entry is None or not entry.same_stamp(first):
                at = self._last_seq + 1
                why = "the commit ends before it, or its parts carry different times."
                raise _Differs(Difference(at, why, entry.says if entry else "", _shown(event)))
            beside = isinstance(first.event, ev.EngineStarted) and entry.header.kind in FACTS
            if not beside or entry.header.kind == type(event).__name__:
                return entry
            matched.append(self._took(first, entry, entry.header.actor))

    def _unknown_from_archive(self, event: ev.Event, entry: _Entry) -> ev.Event:
        """What only the whole record can tell is taken as it is when one batch is replayed by itself."""
        if (
            self._whole
            or not isinstance(event, ev.BatchSealed)
            or not isinstance(entry.event, ev.BatchSealed)
        ):
            return event
        return replace(event, unit_digest=entry.event.unit_digest)

    def _took(self, first: _Entry, entry: _Entry, actor: str) -> _Entry:
        if not entry.same_stamp(first):
            why = "it was decided together with the event before it and carries another time."
            raise _Differs(Difference(entry.seq, why, entry.says, f"the time of event {first.seq}"))
        if entry.header.actor != actor:
            why = "it was done by somebody else."
            raise _Differs(Difference(entry.seq, why, f"by {entry.header.actor}", f"by {actor}"))
        popped = self._ahead.popleft()
        assert popped is entry
        self._take(entry)
        return entry

    def _take(self, entry: _Entry) -> None:
        self._hash = entry.stored.hash
        self._last_seq = entry.seq
        if entry.event is None:
            return
        if isinstance(entry.event, ev.EngineStarted):
            self._older = not entry.event.inputs_on_record
            self.unit.readings.clear()
        header = entry.header
        self._evolved(entry, Fact(entry.event, header.wall, header.actor, entry.seq, entry.batch))

    def _evolved(self, entry: _Entry, fact: Fact) -> None:
        self._again(entry, lambda: evolve(self.unit, fact))
        self.unit.readings |= self._on_record.take(fact.event)

    def _take_older(self, first: _Entry) -> None:
        """Folded, not decided: what the phases would say by themselves is compared where it can be."""
        popped = self._ahead.popleft()
        assert popped is first
        if first.event is not None:
            self.outcome.older_events += 1
            if isinstance(first.event, ev.EngineStarted):
                self.outcome.older_version = first.event.software_version
            self.outcome.older_again += self._comes_again(first)
        self._take(first)

    def _comes_again(self, first: _Entry) -> bool:
        try:
            own = decisions.advance(self.unit, first.header.wall)
        except Exception:
            # The readings of then are not on record: a decision without them may meet any fault.
            return False
        return bool(own) and self._bytes_of(own[0], first, own) == first.stored.payload

    def _bytes_of(self, event: ev.Event, entry: _Entry, events: Sequence[ev.Event]) -> bytes:
        batch = batch_of(self.unit, events)
        return encode_payload(_batch_if(event, batch), entry.command, _body_like(event, entry))

    def _batch_for(self, events: Sequence[ev.Event], body: _Entry | None) -> str | None:
        if events and isinstance(events[0], ev.BatchOpened) and body is not None:
            return body.batch  # compared with the number of batches when it was decided
        return batch_of(self.unit, events)

    # ── What is told ───────────────────────────────────────────────────────────────────

    def _note(self, what: str, first: _Entry, matched: Sequence[_Entry]) -> None:
        outcome, last = self.outcome, matched[-1]
        outcome.commits += 1
        outcome.last_seq = last.seq
        outcome.seals += isinstance(last.event, ev.BatchSealed)
        if isinstance(first.event, ev.CommandTaken):
            outcome.commands += 1
        elif what == "by itself":
            outcome.by_itself += 1
        elif what == "fact":
            outcome.facts += 1
        else:
            outcome.inputs += 1
        payloads = hashlib.sha256()
        for entry in matched:
            payloads.update(record_hash(NO_HASH, entry.stored.payload))
        line = [
            first.seq,
            last.seq,
            what,
            payloads.hexdigest(),
            self._again(last, lambda: small_digest(self.unit, first.header.wall)),
            last.stored.hash.hex(),
        ]
        self._transcript.update(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._settled = last

    def _peek(self, place: int) -> _Entry | None:
        while len(self._ahead) <= place:
            stored = next(self._records, None)
            if stored is None:
                return None
            self._ahead.append(self._readable(stored))
        return self._ahead[place]

    @staticmethod
    def _readable(stored: StoredRecord) -> _Entry:
        try:
            return _entry(stored)
        except (msgspec.MsgspecError, NewerThanThisSoftware, KeyError, TypeError) as fault:
            raise _Differs(Difference(stored.seq, f"it cannot be read: {fault}.", "", "")) from fault


def _entry(stored: StoredRecord) -> _Entry:
    payload = msgspec.json.decode(stored.payload)
    header = stored.header
    event = event_of(header.kind, header.payload_version, payload["body"])
    return _Entry(stored, event, payload["batch"], payload["command"])


def _body_like(event: ev.Event, entry: _Entry) -> dict[str, Any]:
    """The fields of an event, less those that its record was too early to know and that say nothing."""
    known = msgspec.json.decode(entry.stored.payload)["body"]
    silent = {one.name: _default(one) for one in fields(event) if one.name not in known}
    body = ev.to_body(event)
    return {name: value for name, value in body.items() if name not in silent or value != silent[name]}


def _default(one: Field[Any]) -> object:
    return one.default if one.default_factory is MISSING else one.default_factory()


def _batch_if(event: ev.Event, batch: str | None) -> str | None:
    return None if type(event).__name__ in ev.UNIT_KINDS else batch


def _shown(event: ev.Event) -> str:
    body = json.dumps(ev.to_body(event), separators=(",", ":"), ensure_ascii=False)
    return _short(f"{type(event).__name__} {body}")


def _short(text: str) -> str:
    return text if len(text) <= SAID_LENGTH_MAX else f"{text[:SAID_LENGTH_MAX]}…"
