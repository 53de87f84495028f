"""Decide again what a record says was decided: the same functions, fed from the record alone.

Three kinds of records need no deciding: facts from outside (`FACTS`), which are taken as they are;
inputs that stand for themselves (`INPUTS`); and commands (`COMMANDS`), which `CommandTaken` keeps.
Everything else must be what `decisions.advance` says should become true by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from appliance.domain import (
    assignment,
    consent,
    copies,
    corrections,
    count_fitness,
    decisions,
    device_news,
    fitness,
    materials,
    people_rules,
    recovery,
    second_use,
)
from appliance.domain import events as ev
from appliance.domain.batch import Order, Unit
from appliance.domain.recipe import parse
from appliance.domain.roles import Actor
from appliance.domain.sealed_head import Heads, batch_sealed
from appliance.domain.turns import people_of

# What comes from outside the decisions of a batch, and why it is taken as the record has it.
FACTS: Mapping[str, str] = {
    "EngineStoppedCleanly": "the program's own life",
    "ClockAdjusted": "the clock",
    "SessionOpened": "who signed in was proven then",
    "SessionClosed": "who signed in was proven then",
    "SignInRefused": "who signed in was proven then",
    "SecurityNoticeRaised": "who signed in was proven then",
    "SecretChanged": "who signed in was proven then",
    "CommandWasRefused": "a refusal changes nothing",
    "DeviceReported": "a device",
    "DeviceRefusedOrder": "a device",
    "CellCountReported": "the camera's worker",
    "CountFailed": "the camera's worker",
    "LabelDrawn": "the printer's worker",
    "PrintTestOrdered": "who tested the printer was permitted then",
    "PrintHeadTested": "the camera's worker",
    "LabelPrinted": "the printer's worker",
    "LabelVoided": "the printer's worker",
    "MeasurementsSealed": "the telemetry log",
    "RecordFaultSeen": "the disk",
    "RecordVerified": "the disk",
    "RecordMigrated": "the disk",
    "DocumentReceived": "a signed document",
    "DocumentVerified": "a signed document",
    "DocumentActivated": "a signed document",
    "DocumentRefused": "a signed document",
    "DispositionRecorded": "a signed document",
    "CentralWordTaken": "a signed document",
    "DispositionRefused": "a signed document",
    "AccountSet": "a signed document",
    "AccountRemoved": "a signed document",
    "AccountDisabled": "a signed document",
    "AccountEnabled": "a signed document",
    "RolesApplied": "a signed document",
    "IdentitiesUnlocked": "the table of identities, kept apart from the record",
    "IdentityErased": "the table of identities, kept apart from the record",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was decided and where in the record, as the header of its first event says."""

    now: datetime
    monotonic_ns: int
    boot_id: str
    actor: str
    seq_before: int
    hash_before: str
    epoch: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a decision may look at: the unit before it, the moment, and the record from there on."""

    unit: Unit
    moment: Moment
    event: ev.Event  # the input itself, or what the record says follows first from the command
    batch: str | None

    @property
    def now(self) -> datetime:
        return self.moment.now


Decided = list[ev.Event]


# ── Commands ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Asked:
    """A command with everything that its decision saw."""

    said: Said
    taken: ev.CommandTaken
    people: Sequence[Actor]

    @property
    def unit(self) -> Unit:
        return self.said.unit

    @property
    def now(self) -> datetime:
        return self.said.now

    @property
    def actor(self) -> Actor:
        return self.people[0]

    def text(self, name: str) -> str:
        return self.taken.body.get(name, "")


def opening_of(opened: ev.BatchOpened) -> decisions.Opening:
    """What the shell had verified before the batch opened, as its record froze it."""
    order = Order.from_text(opened.order_text)
    recipe = parse(opened.recipe_text.encode("utf-8"))
    names = {field.name for field in fields(opened)} & {field.name for field in fields(decisions.Opening)}
    return decisions.Opening(order=order, recipe=recipe, **{name: getattr(opened, name) for name in names})


def _open_batch(a: Asked) -> Decided:
    opened = a.said.event
    assert isinstance(opened, ev.BatchOpened)
    batch, events = decisions.open_batch(a.unit, opening_of(opened), a.actor, a.now)
    assert batch == a.said.batch, f"the batch's id is {batch}"
    return events


def _correct(a: Asked) -> Decided:
    asked = corrections.asked_of({**a.taken.body, "values": dict(a.taken.values)})
    return corrections.correct(a.unit, asked, a.actor, a.now)


def _confirm_time(a: Asked) -> Decided:
    reference = datetime.fromisoformat(a.text("reference"))
    return decisions.confirm_time(a.unit, a.people[0], a.people[1], reference, a.now)


def _issue_badge(a: Asked) -> Decided:
    # That the badge was on no list was looked up then; it would have been refused otherwise.
    person, badge, hours = a.text("person"), a.text("badge"), int(a.text("hours"))
    return people_rules.issue_badge(
        a.unit, a.actor, person, badge, hours, a.text("reason"), a.now, in_use_by=""
    )


def _test_badge(a: Asked) -> Decided:
    tested, person = a.said.event, a.text("person")
    assert isinstance(tested, ev.BadgeTested)
    # Whom the badge named was read then; the record says whether it was this person.
    found = person if tested.passed else ""
    return people_rules.test_badge(a.unit, a.actor, person, found, a.text("why"))


def _hand_back_order(a: Asked) -> Decided:
    said = a.said.event
    assert isinstance(said, ev.OrderHandedBack)
    # Which assignment lay at the unit was read from the signed order then.
    return assignment.hand_back(a.unit, a.actor, a.text("order"), said.assignment, a.text("reason"))


def _open_emergency(a: Asked) -> Decided:
    return people_rules.open_emergency(
        a.unit,
        a.people[0],
        a.people[1],
        a.text("reason"),
        station=a.taken.station,
        monotonic_ns=a.said.moment.monotonic_ns,
        boot_id=a.said.moment.boot_id,
    )


def _qualify_device(a: Asked) -> Decided:
    return fitness.qualify(a.unit, a.people[0], a.people[1], fitness.Asked.of(a.taken.body), a.now)


def _qualify_count(a: Asked) -> Decided:
    # What the counting program worked out from the file is a fact; the file is on record with it.
    asked = count_fitness.Asked.of(a.taken.body)
    return count_fitness.qualify(a.unit, a.people[0], a.people[1], asked, a.now)


def _record_consent(a: Asked) -> Decided:
    return consent.record(a.unit, a.people[0], a.people[1], consent.Asked.of(a.taken.body), a.now)


def _book_out_material(a: Asked) -> Decided:
    quantity = int(a.text("quantity"))
    return materials.book_out(a.unit, a.actor, a.text("receipt"), quantity, a.text("why"), a.text("reason"))


def _recall_lot(a: Asked) -> Decided:
    said = [a.text(name) for name in ("catalogue", "lot", "reference", "reason")]
    return materials.recall_by(a.unit, a.actor, *said)


def _lift_recall(a: Asked) -> Decided:
    said = [a.text(name) for name in ("catalogue", "lot", "reference", "reason")]
    return materials.lift(a.unit, a.people[0], a.people[1], *said)


COMMANDS: Mapping[str, Callable[[Asked], Decided]] = {
    "open_batch": _open_batch,
    "scan": lambda a: decisions.scan(a.unit, a.text("prompt"), a.actor, a.now),
    "cancel_scan": lambda a: decisions.cancel_scan(a.unit, a.text("scan"), a.actor),
    "answer": lambda a: decisions.answer(a.unit, a.text("prompt"), dict(a.taken.values), a.actor, a.now),
    "import_file": lambda a: decisions.import_file(a.unit, a.text("prompt"), a.text("file"), a.actor, a.now),
    "hold": lambda a: decisions.hold(a.unit, a.actor, a.text("phase"), a.text("reason")),
    "restart": lambda a: decisions.restart(a.unit, a.actor, a.text("reason")),
    "abort_batch": lambda a: decisions.abort_batch(a.unit, a.actor, a.text("reason")),
    "release_stop": lambda a: decisions.release_stop(a.unit, a.actor, a.text("reason")),
    "acknowledge_alarm": lambda a: decisions.acknowledge_alarm(a.unit, a.actor, a.text("alarm")),
    "comment": lambda a: decisions.comment(a.unit, a.actor, a.text("text")),
    "hand_back_order": _hand_back_order,
    "correct": _correct,
    "confirm_time": _confirm_time,
    "qualify_device": _qualify_device,
    "qualify_count": _qualify_count,
    "receive_material": lambda a: materials.receive(
        a.unit, a.actor, materials.Received.of(a.taken.body), a.now
    ),
    "release_material": lambda a: materials.release(
        a.unit, a.actor, materials.Judged.of(a.taken.body), a.now
    ),
    "reject_material": lambda a: materials.reject(a.unit, a.actor, materials.Judged.of(a.taken.body)),
    "book_out_material": _book_out_material,
    "recall_lot": _recall_lot,
    "lift_recall": _lift_recall,
    "record_consent": _record_consent,
    "withdraw_consent": lambda a: consent.withdraw(a.unit, a.actor, consent.Asked.of(a.taken.body), a.now),
    "unlock_account": lambda a: people_rules.unlock_account(
        a.unit, a.actor, a.text("person"), a.text("reason")
    ),
    "disable_account": lambda a: people_rules.disable_account(
        a.unit, a.actor, a.text("person"), a.text("reason")
    ),
    "enable_account": lambda a: people_rules.enable_account(
        a.unit, a.actor, a.text("person"), a.text("reason")
    ),
    "issue_badge": _issue_badge,
    "withdraw_badge": lambda a: people_rules.withdraw_badge(
        a.unit, a.actor, a.text("person"), a.text("badge"), a.text("reason")
    ),
    "test_badge": _test_badge,
    "open_emergency": _open_emergency,
    "end_emergency": lambda a: people_rules.end_emergency(a.unit, a.actor),
}

# Commands without `CommandTaken`: what they leave on record are facts, or inputs of their own.
COMMANDS_OF_FACTS = frozenset(
    {
        "sign_in", "sign_out", "lock", "change_secret", "stop", "store_ack", "deliver_document",
        "record_blocked", "unlock_identities", "erase_identity", "read_badge", "forget_badge",
        "scan_material", "list_materials", "test_printer",
    }
)  # fmt: skip


def decide_command(said: Said, taken: ev.CommandTaken) -> Decided:
    """What follows from a command; raises `KeyError` for one that this program does not know."""
    return COMMANDS[taken.name](Asked(said, taken, people_of(taken)))


# ── Inputs that stand for themselves ───────────────────────────────────────────────────


def decide_input(said: Said) -> Decided | None:
    """What follows from the input that the record has next; None when it is no input."""
    unit, first = said.unit, said.event
    match first:
        case ev.EngineStarted(term=term):
            return [first, *recovery.recover(unit, term, said.moment.seq_before)]
        case ev.ScanRead():
            return decisions.scan_read(unit, first, said.now)
        case ev.ExchangeFileRead():
            return decisions.file_read(unit, first, said.now)
        case ev.DeviceStopped(station=station, latency_ms=latency_ms):
            return decisions.stopped(unit, station, latency_ms)
        case ev.BatchSealed():
            return [_sealed_again(said, first)]
        case ev.EmergencyEnded(why=why):
            return people_rules.emergency_ended(unit, why)
        case ev.RecordFaultSeen(words=words) if words.startswith(decisions.OPENED_AGAIN):
            return decisions.record_opened_again(unit, words)
        case ev.RecordFaultSeen():
            full = decisions.disk_full(unit)
            return full if full[0] == first else None
        case ev.BackupTaken() | ev.BackupFailed() | ev.RestoreDrilled():
            return copies.noted(unit, first)
        case ev.OrderAssigned():
            return assignment.assigned(unit, first)
        case ev.SecondUseNoticed():
            return second_use.noticed(unit, first)
        case ev.RecordRestored():
            return copies.restored(first)
        case ev.ConsentRecorded():  # by a signed document
            return consent.recorded(unit, first)
        case ev.ConsentWithdrawn():
            return consent.withdrawn(unit, first)
        case ev.LotRecalled():  # by a signed document
            return materials.recall(
                unit,
                first.catalogue,
                first.lot,
                first.reference,
                first.reason,
                document_blob=first.document_blob,
            )
        case ev.PhaseHolding(reason="engine_fault"):
            return decisions.engine_fault(unit)
        case ev.AlarmRaised(alarm=key, cause=cause) if key.startswith("record:blocked:"):
            return decisions.record_blocked(unit, key.removeprefix("record:blocked:"), cause)
        case _:
            return _news_of_device(said, first)


def _news_of_device(said: Said, first: ev.Event) -> Decided | None:
    unit = said.unit
    match first:
        case ev.DeviceNoticeRaised():
            return fitness.warnings(unit, said.now)
        case ev.DeviceIdentified(device=device):
            identity = {
                "maker": first.maker,
                "model": first.model,
                "serial_number": first.serial_number,
                "firmware": first.firmware,
            }
            return device_news.identified(
                unit,
                device,
                identity,
                calibrated_until=first.calibrated_until,
                qualified_until=first.qualified_until,
            )
        case ev.WearCounted():
            return fitness.wear_counted(unit, first.device, first.memory, first.writes, first.limit)
        case ev.DeviceWentSilent(device=device, words=words):
            return device_news.silent(unit, device, words)
        case ev.DeviceRecovered(device=device):
            return device_news.recovered(unit, device)
        case ev.DeviceRestartSeen(device=device, words=words):
            return device_news.restarted(unit, device, words)
        case ev.AlarmRaised(alarm=key, cause=cause) if key.startswith("device:") and ":stop:" in key:
            return device_news.stop_unconfirmed(unit, key.split(":")[1], cause)
        case _:
            return None


def _sealed_again(said: Said, sealed: ev.BatchSealed) -> ev.BatchSealed:
    """The seal over this record's own head; where telemetry stood is taken from the record."""
    moment = said.moment
    heads = Heads(
        moment.epoch, moment.seq_before, moment.hash_before, sealed.telemetry_seq, sealed.telemetry_hash
    )
    again = batch_sealed(said.unit, heads, said.now)
    # Sealed before digests were kept: there is nothing to hold against.
    return again if sealed.state_digest else replace(again, state_digest="", unit_digest="")


# ── What goes on by itself ─────────────────────────────────────────────────────────────


def overdue(unit: Unit, now: datetime) -> Decided:
    """What should have become true whatever the devices said; empty when the record is complete.

    Where a reading was looked at nobody can say: a reading that led to nothing is not on record.
    """
    due = decisions.due(unit, now)
    while True:
        unit.looked_at.clear()
        events = next(due, None)
        if events is None:
            return []
        if events and not unit.looked_at:
            return events
