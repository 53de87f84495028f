"""What is so: the unit and its open batch, folded from events by `evolve`.

Nothing here is stored. The same events in the same order give the same state, on this machine
or another, today or in thirty years.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from appliance.domain import events as ev
from appliance.domain import phase_states, previous
from appliance.domain.order_book import OrderBook
from appliance.domain.people_state import PeopleState
from appliance.domain.qualified import COMPARED
from appliance.domain.recipe import Phase, Recipe, parse
from appliance.domain.signatures import SignatureBook
from appliance.domain.stock import Stock

E = TypeVar("E", bound=ev.Event)


@dataclass(frozen=True, slots=True)
class Fact:
    """An event with its circumstances, as the record header keeps them."""

    event: ev.Event
    at: datetime
    actor: str
    seq: int
    batch: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """A signed order for one patient. Pseudonyms only: no name ever enters the record."""

    id: str
    recipe: str
    patient: str
    coi: str
    din: str
    description_code: str
    division: str
    weight_kg: Decimal
    dose_target_cells_kg: Decimal
    staff_note: str = ""
    unit: str = ""  # the one unit that may make it; empty in orders from before rules 4
    consent: str = ""  # id of the patient's consent that it rests on; empty likewise
    expires_at: datetime | None = None  # UTC; until then it may be begun
    assignment: int = 1  # counts up each time the order goes to another unit

    @classmethod
    def from_text(cls, text: str) -> Order:
        """Read the signed bytes; raises `KeyError` or `ValueError` when a field is missing or odd."""
        tree = json.loads(text)
        return cls(
            **{name: str(tree[name]) for name in ("id", "recipe", "patient", "coi", "din")},
            description_code=str(tree["description_code"]),
            division=str(tree["division"]),
            weight_kg=Decimal(str(tree["weight_kg"])),
            dose_target_cells_kg=Decimal(str(tree["dose_target_cells_kg"])),
            staff_note=str(tree.get("staff_note", "")),
            unit=str(tree.get("unit", "")),
            consent=str(tree.get("consent", "")),
            expires_at=_utc_or_none(str(tree.get("expires_at", ""))),
            assignment=_assignment(tree.get("assignment", 1)),
        )


def _utc_or_none(text: str) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta(0):
        raise ValueError(f"'{text[:40]}' is not a time in UTC")
    return moment


def _assignment(value: object) -> int:
    number = int(str(value))
    if number < 1:
        raise ValueError(f"the assignment {number} is below 1")
    return number


def find_all(facts: list[Fact], kind: type[E], **match: Any) -> Iterator[tuple[Fact, E]]:
    """The facts of one kind whose event has the given field values, oldest first."""
    for fact in facts:
        if isinstance(fact.event, kind) and all(getattr(fact.event, k) == v for k, v in match.items()):
            yield fact, fact.event


def find_last(facts: list[Fact], kind: type[E], **match: Any) -> tuple[Fact, E] | None:
    """The newest such fact."""
    for fact in reversed(facts):
        if isinstance(fact.event, kind) and all(getattr(fact.event, k) == v for k, v in match.items()):
            return fact, fact.event
    return None


@dataclass(slots=True)
class PhaseRun:
    """One phase of the control recipe with everything that happened in it."""

    phase: Phase
    state: str = phase_states.IDLE
    facts: list[Fact] = field(default_factory=list)
    corrections: list[tuple[Fact, ev.ValueCorrected]] = field(default_factory=list)
    proposals: list[tuple[Fact, ev.CorrectionProposed]] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)  # proposals that a second person confirmed
    lapsed: set[int] = field(default_factory=set)  # first acts that no second person confirmed in time

    def take(self, fact: Fact) -> None:
        """Fold one fact of this phase."""
        self.facts.append(fact)
        match fact.event:
            case ev.ValueCorrected() as corrected:
                self.corrections.append((fact, corrected))
            case ev.CorrectionProposed() as proposed:
                self.proposals.append((fact, proposed))
            case ev.SecondPersonConfirmed(key=key) if key.startswith("correction:"):
                self.settled.add(int(key.removeprefix("correction:")))
            case ev.FirstActLapsed(first_seq=first_seq):
                self.lapsed.add(first_seq)
        kind = type(fact.event).__name__
        if kind in phase_states.STATE_EVENTS:
            self.state = phase_states.after(self.state, kind)

    def last(self, kind: type[E], **match: Any) -> tuple[Fact, E] | None:
        return find_last(self.facts, kind, **match)

    def all(self, kind: type[E], **match: Any) -> list[tuple[Fact, E]]:
        return list(find_all(self.facts, kind, **match))

    def has(self, kind: type[ev.Event], **match: Any) -> bool:
        return find_last(self.facts, kind, **match) is not None

    def value(self, key: str) -> Decimal | None:
        found = self.last(ev.ValueRecorded, key=key)
        return None if found is None else Decimal(found[1].value)

    def confirmed(self, key: str) -> tuple[Fact, ev.InstructionConfirmed] | None:
        """The newest confirmation of an instruction, with its values as they were corrected since.

        The fact on record keeps the first values (R-09); one that lapsed counts for nothing.
        """
        found = self.last(ev.InstructionConfirmed, key=key)
        if found is None or found[0].seq in self.lapsed:
            return None
        newer = {c.field: c.new for fact, c in self.corrections if c.key == key and fact.seq > found[0].seq}
        return (found[0], replace(found[1], values=found[1].values | newer)) if newer else found

    @property
    def started_at(self) -> datetime | None:
        found = self.last(ev.PhaseStarted)
        return found[0].at if found else None

    @property
    def resumed_at(self) -> datetime | None:
        """When the phase last began to run: its start or its newest restart."""
        restarted = self.last(ev.PhaseRestarted)
        return restarted[0].at if restarted else self.started_at


@dataclass(slots=True)
class Batch:
    """The open (or last) batch of this unit."""

    id: str
    opened: ev.BatchOpened
    opened_at: datetime
    recipe: Recipe
    order: Order
    runs: dict[str, PhaseRun]
    signatures: SignatureBook
    facts: list[Fact] = field(default_factory=list)

    def last(self, kind: type[E], **match: Any) -> tuple[Fact, E] | None:
        return find_last(self.facts, kind, **match)

    def all(self, kind: type[E], **match: Any) -> list[tuple[Fact, E]]:
        return list(find_all(self.facts, kind, **match))

    @property
    def open_proposals(self) -> list[tuple[Fact, ev.CorrectionProposed]]:
        """The corrections that wait for their second person."""
        return [
            (fact, proposed)
            for run in self.runs.values()
            for fact, proposed in run.proposals
            if fact.seq not in run.lapsed and fact.seq not in run.settled
        ]

    @property
    def must_be_signed(self) -> bool:
        """Whether a signature of the seal was voided and not given again, or a correction waits."""
        return bool(self.signatures.missing() or self.open_proposals)

    @property
    def sealed(self) -> ev.BatchSealed | None:
        found = self.last(ev.BatchSealed)
        return found[1] if found else None

    @property
    def disposition(self) -> ev.DispositionRecorded | None:
        """The newest decision that still holds; a recall of what the batch has taken ends a release."""
        found = self.last(ev.DispositionRecorded)
        if found is None:
            return None
        recalled = self.last(ev.LotOfBatchRecalled)
        overtaken = recalled is not None and recalled[0].seq > found[0].seq
        return None if overtaken and found[1].disposition == "released" else found[1]

    @property
    def expires_at(self) -> datetime | None:
        found = self.last(ev.ProductLabelled)
        return datetime.fromisoformat(found[1].expires_at) if found else None

    @property
    def changed_after_seal(self) -> Fact | None:
        """The first fact of this batch after the sealed head that a decision would not cover."""
        sealed = self.sealed
        if sealed is None:
            return None
        for fact in self.facts:
            kind = type(fact.event).__name__
            if fact.seq > sealed.sealed_seq and kind not in ev.NOT_A_CHANGE_AFTER_SEAL:
                return fact
        return None

    @property
    def state(self) -> str:
        """running held complete awaiting_disposition released rejected handed_over aborted."""
        if self.last(ev.HandedOver):
            return "handed_over"
        if self.last(ev.BatchAborted):
            return "aborted"
        waiting = (phase_states.HELD, phase_states.HOLDING)
        held = any(run.state in waiting for run in self.runs.values())
        if self.disposition is not None:
            # A held hand-over of a released dose waits for a person, and must be seen to wait.
            released = self.disposition.disposition == "released"
            return "held" if released and held else self.disposition.disposition
        if self.sealed is not None and not self.must_be_signed:
            return "awaiting_disposition"
        if self.last(ev.BatchCompleted):
            return "complete"
        return "held" if held else "running"

    @property
    def closed(self) -> bool:
        return self.state in ("handed_over", "aborted", "rejected")


@dataclass(frozen=True, slots=True)
class ReadingNow:
    """The newest reading of a device, with the time the engine received it."""

    value: str | None
    unit: str
    quality: str
    detail: str
    source_at: str
    received_at: datetime
    trace: str = ""  # of its bytes: run of the host, numbers of the exchanges, the last reply in hex

    @property
    def number(self) -> Decimal:
        assert self.value is not None, "a good reading has a value"
        return Decimal(self.value)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device of the appliance file, as the domain needs it."""

    id: str
    role: str
    title: str
    serial_number: str = ""  # the qualified one of the appliance file; empty when any will do
    firmware: str = ""  # the same


@dataclass(slots=True)
class Unit:
    """The unit: its term, devices, alarms, and the one open patient product (SAFETY 9)."""

    id: str
    simulated: bool
    devices: dict[str, DeviceSpec]
    term: int = 0
    batch: Batch | None = None
    batch_count: int = 0
    stop_latched: bool = False
    stop_count: int = 0
    alarms: dict[str, tuple[ev.AlarmRaised, str, datetime]] = field(default_factory=dict)
    used_bags: dict[str, str] = field(default_factory=dict)  # identity key → batch
    # Labels of all batches so far → batch. Left out of digests: records of before were sealed without it.
    labels_of: dict[str, str] = field(default_factory=dict)
    used_files: dict[str, str] = field(default_factory=dict)  # SHA-256 of a device's file → batch
    made_orders: dict[str, str] = field(default_factory=dict)  # order id → batch
    label_templates: dict[str, int] = field(default_factory=dict)  # template → highest version printed by
    orders: OrderBook = field(default_factory=OrderBook)
    decision_versions: dict[str, int] = field(default_factory=dict)  # batch → highest seen
    cleanly_stopped: bool = True
    qualified: dict[str, bool] = field(default_factory=dict)
    calibrated_until: dict[str, str] = field(default_factory=dict)  # device → day, where one is told
    qualified_until: dict[str, str] = field(default_factory=dict)  # the same
    qualifications: dict[str, ev.DeviceQualified] = field(default_factory=dict)  # device → the newest
    count_qualifications: dict[str, ev.CountMethodQualified] = field(default_factory=dict)  # the newest
    # Of each consent, by its id, the newest word: recorded or withdrawn.
    consents: dict[str, ev.ConsentRecorded | ev.ConsentWithdrawn] = field(default_factory=dict)
    print_tests: dict[str, ev.PrintHeadTested] = field(default_factory=dict)  # printer → the newest
    print_test_orders: dict[str, ev.PrintTestOrdered] = field(default_factory=dict)  # the same
    missing_labels: dict[str, str] = field(default_factory=dict)  # label that was never found → its batch
    wear: dict[tuple[str, str], int] = field(default_factory=dict)  # (device, memory) → writes counted
    warned_on: dict[str, str] = field(default_factory=dict)  # device:what ends → the day of the last notice
    silent: set[str] = field(default_factory=set)
    time_confirmed: bool = False
    stock: Stock = field(default_factory=Stock)  # of materials
    people: PeopleState = field(default_factory=PeopleState)
    # What each device told of itself last. Left out of digests: records of before were sealed without it.
    identities: dict[str, dict[str, str]] = field(default_factory=dict)
    # Not folded from events: whether the clock keeps itself true, as the clock says at each turn.
    clock_trusted: bool = True
    # Not folded from events: the newest readings, which decide nothing until an event names them.
    readings: dict[tuple[str, str], ReadingNow] = field(default_factory=dict)
    # Not folded from events: which readings were looked at since the turn emptied this.
    looked_at: dict[tuple[str, str], ReadingNow | None] = field(default_factory=dict, compare=False)

    @property
    def time_trusted(self) -> bool:
        """Whether an expiry may be judged by this unit's clock (SAFETY 17)."""
        return self.clock_trusted or self.time_confirmed

    def device_of(self, role: str) -> DeviceSpec | None:
        return next((spec for spec in self.devices.values() if spec.role == role), None)


def bag_key(din: str, description_code: str, division: str) -> str:
    """The identity of one bag as one text."""
    return f"{din}|{description_code}|{division}"


def evolve(unit: Unit, fact: Fact) -> None:
    """Fold one fact into the state. Total and deterministic; never raises on a whole record."""
    event = fact.event
    if isinstance(event, ev.BatchOpened):
        _open_batch(unit, fact, event)
    batch = unit.batch
    if batch is not None and fact.batch == batch.id:
        batch.facts.append(fact)
        batch.signatures.take(fact)
        run = batch.runs.get(getattr(event, "phase", ""))
        if run is not None:
            run.take(fact)
    _evolve_unit(unit, fact)


def _open_batch(unit: Unit, fact: Fact, event: ev.BatchOpened) -> None:
    assert fact.batch is not None
    recipe = parse(event.recipe_text.encode("utf-8"))
    order = Order.from_text(event.order_text)
    runs = {phase.id: PhaseRun(phase) for phase in recipe.phases.values()}
    sealing = frozenset(phase.id for phase in recipe.phases.values() if phase.type == "seal")
    unit.batch = Batch(fact.batch, event, fact.at, recipe, order, runs, SignatureBook(sealing))
    unit.labels_of |= dict.fromkeys(previous.keys_of_order(order), fact.batch)
    unit.batch_count += 1
    unit.made_orders[event.order_id] = fact.batch
    for name, one in event.label_templates.items():
        unit.label_templates[name] = max(unit.label_templates.get(name, 0), int(one["version"]))


def _evolve_unit(unit: Unit, fact: Fact) -> None:
    unit.stock.take(fact.event, fact.at, fact.actor)
    unit.people.take(fact.event, fact.at)
    if fact.batch is not None:
        unit.labels_of |= dict.fromkeys(previous.keys_of_event(fact.event), fact.batch)
    unit.orders.take(fact.event, fact.batch)
    match fact.event:
        case ev.EngineStarted(term=term) as started:
            unit.term, unit.cleanly_stopped, unit.time_confirmed = term, False, False
            if started.inputs_on_record:
                unit.devices = {one["id"]: DeviceSpec(**one) for one in started.devices}
                # An engine that starts has heard of no device yet.
                unit.qualified.clear()
                unit.identities.clear()
                unit.silent.clear()
        case ev.EngineStoppedCleanly():
            unit.cleanly_stopped = True
        case ev.TimeConfirmed():
            unit.time_confirmed = True
        case ev.DeviceStopped():
            unit.stop_latched, unit.stop_count = True, unit.stop_count + 1
        case ev.StopReleased():
            unit.stop_latched = False
        case ev.AlarmRaised() as alarm:
            unit.alarms[alarm.alarm] = (alarm, "active", fact.at)
        case ev.SecurityNoticeRaised(alarm=key) as notice:
            unit.alarms[key] = (_as_alarm(notice), "active", fact.at)
        case ev.AlarmAcknowledged(alarm=key) if key in unit.alarms:
            unit.alarms[key] = (unit.alarms[key][0], "acknowledged", unit.alarms[key][2])
        case ev.AlarmCleared(alarm=key):
            unit.alarms.pop(key, None)
        case ev.DeviceIdentified(device=device) as identified:
            _take_identity(unit, identified)
            unit.silent.discard(device)
        case ev.DeviceQualified() as qualified:
            _take_qualification(unit, qualified)
        case ev.CountMethodQualified(method=method) as judged:
            unit.count_qualifications[method] = judged
        case (ev.ConsentRecorded() | ev.ConsentWithdrawn()) as consent:
            unit.consents.pop(consent.consent, None)  # the newest word stands last
            unit.consents[consent.consent] = consent
        case ev.DeviceNoticeRaised(alarm=key) as warned:
            unit.alarms[key] = (_as_alarm(warned), "active", fact.at)
            kind, _, day = key.rpartition(":")
            if kind.startswith("due:"):
                unit.warned_on[kind.removeprefix("due:")] = day
        case ev.WearCounted(device=device, memory=memory, total=total):
            unit.wear[device, memory] = total
        case ev.DeviceWentSilent(device=device):
            unit.silent.add(device)
        case ev.DeviceRecovered(device=device):
            unit.silent.discard(device)
        case ev.BagAccepted() as bag if fact.batch is not None:
            unit.used_bags[bag_key(bag.din, bag.description_code, bag.division)] = fact.batch
        case ev.ExchangeFileAccepted(blob=blob) if fact.batch is not None:
            unit.used_files.setdefault(blob, fact.batch)
        case ev.PrintTestOrdered(device=device) as ordered:
            unit.print_test_orders[device] = ordered
        case ev.PrintHeadTested(device=device) as tested:
            unit.print_tests[device] = tested
        case ev.LabelMissing(label_id=label) if fact.batch is not None:
            unit.missing_labels[label] = fact.batch
        case ev.LabelShown(label_id=label) | ev.LabelDestroyed(label_id=label):
            unit.missing_labels.pop(label, None)
        case ev.DispositionRecorded(version=version) if fact.batch is not None:
            unit.decision_versions[fact.batch] = version
        case _:
            pass


def _as_alarm(notice: ev.SecurityNoticeRaised | ev.DeviceNoticeRaised) -> ev.AlarmRaised:
    return ev.AlarmRaised(
        alarm=notice.alarm,
        priority=notice.priority,
        title=notice.title,
        cause=notice.cause,
        action=notice.action,
    )


def _identity(event: ev.DeviceIdentified | ev.DeviceQualified) -> dict[str, str]:
    return {name: getattr(event, name) for name in COMPARED}


def _take_identity(unit: Unit, event: ev.DeviceIdentified) -> None:
    device = event.device
    unit.qualified[device], unit.identities[device] = event.qualified, _identity(event)
    unit.calibrated_until[device] = event.calibrated_until
    if event.qualified_until or device in unit.qualified_until:
        unit.qualified_until[device] = event.qualified_until


def _take_qualification(unit: Unit, event: ev.DeviceQualified) -> None:
    device, before = event.device, unit.qualifications.get(event.device)
    filed = unit.devices[device].serial_number if device in unit.devices else ""
    if (before.serial_number if before is not None else filed) != event.serial_number:
        # Another device stands there, with memories of its own.
        unit.wear = {key: total for key, total in unit.wear.items() if key[0] != device}
    unit.qualifications[device], unit.qualified[device] = event, True
    unit.identities[device] = _identity(event)
    unit.calibrated_until[device] = event.calibrated_until
    unit.qualified_until[device] = event.qualified_until
