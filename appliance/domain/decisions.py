"""`decide`: the one door through which facts come to be.

Each function takes the state, what came in, and now; it returns events or raises a
`CommandRefused` in the operator's words. Nothing here reads a clock or touches a device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from appliance.domain import (
    assignment,
    consent,
    copies,
    corrections,
    count_fitness,
    custody,
    fitness,
    holds,
    label_templates,
    materials,
    phase_states,
    print_test,
    scans,
    second_use,
    typed_label,
)
from appliance.domain import events as ev
from appliance.domain.batch import Batch, Order, PhaseRun, Unit
from appliance.domain.before import before
from appliance.domain.errors import CommandRefused, NotOpen, NotPermitted
from appliance.domain.exchange_file import FILE_NAME
from appliance.domain.operator_devices import run_by_people
from appliance.domain.order_book import SECOND_USE
from appliance.domain.people_rules import permit, permit_answer, permit_signature, refuse_untrained
from appliance.domain.phase_logic import Context, Logic, lapsed, request_import, request_scan
from appliance.domain.phases import LOGIC
from appliance.domain.prompts import Prompt, check_reason
from appliance.domain.recipe import Recipe
from appliance.domain.roles import Actor

BAG_FORMATS = ["code128", "datamatrix"]
SUPERVISOR_HOLDS = frozenset(
    {
        materials.HOLD,
        "wrong_bag", "previous_patient", "wrong_kind", "expired", "used", "label_refused", "mass_balance",
        "corrected_value", "seal_broken", "seal_differs", "no_transport_log", "arrival_temperature_max",
        "arrival_temperature_min", "transport_outside", "transport_gap", "dose_temperature_max",
        "dose_temperature_min", consent.WITHDRAWN, SECOND_USE,
        "wrong_label", "label_missing", "label_surplus",
        typed_label.HELD,
    }
)  # fmt: skip
RULES = 4  # of a batch that opens now (`BatchOpened.rules`)
# Alarms that stand for a state: they end with it and not with being acknowledged.
STATES_OF_THE_UNIT = ("STOP:", "device:", "unqualified:", "record:", "people:")
CLOCK_DIFFERENCE_S_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the shell has verified before a batch may open: signatures, hashes, versions."""

    order: Order
    order_text: str
    order_blob: str
    recipe: Recipe
    recipe_text: str
    recipe_signers: list[str]
    recipe_blob: str
    people_blob: str
    people_version: int
    software_version: str
    clock_speed: str
    site: str
    time_zone: str
    station: dict[str, str]
    build_hash: str = ""
    second_person_within_min: int = 10
    rules: int = RULES
    count_methods: list[dict[str, str]] = field(default_factory=list)
    label_templates: dict[str, dict[str, str]] = field(default_factory=dict)


def context(unit: Unit, run: PhaseRun, now: datetime) -> Context:
    assert unit.batch is not None
    return Context(unit, unit.batch, run, now)


def logic_of(run: PhaseRun) -> Logic:
    return LOGIC[run.phase.type]


# ── Opening and ending a batch ─────────────────────────────────────────────────────────


def open_batch(unit: Unit, opening: Opening, actor: Actor, now: datetime) -> tuple[str, list[ev.Event]]:
    """The new batch's id and its first event."""
    permit(unit, actor, "open_batch")
    _refuse_latched(unit)
    if unit.batch is not None and not unit.batch.closed:
        raise CommandRefused(
            f"Batch {unit.batch.id} is open on this unit. Finish it first: one patient at a time.",
            reason="batch_open",
        )
    if any(key.startswith("record:blocked:") for key in unit.alarms):
        raise CommandRefused(
            "Central does not take this unit's record. No new batch may start. Call QA.",
            reason="record_blocked",
        )
    copies.refuse_after_restore(unit)
    made = unit.made_orders.get(opening.order.id)
    if made is not None:
        raise CommandRefused(
            f"Order {opening.order.id} was made in batch {made}. Call QA.", reason="order_already_made"
        )
    if opening.rules >= assignment.RULES_FROM:
        assignment.refuse_unfit(unit, opening.order, now)
        consent.refuse_without(unit, opening.order)
    if opening.order.recipe != opening.recipe.id:
        raise CommandRefused("The order asks for another recipe. Call QA.", reason="recipe_differs")
    refuse_untrained(unit, actor, opening.recipe.id, opening.recipe.version, now)
    _refuse_unqualified(unit, opening.recipe, now)
    if opening.rules >= print_test.RULES_FROM:
        print_test.refuse_untested(unit, opening.recipe, now)
    if opening.rules >= count_fitness.RULES_FROM:
        count_fitness.refuse_unfit(unit, opening.recipe, opening.count_methods, opening.station, now)
    if opening.rules >= label_templates.RULES_FROM:
        label_templates.refuse_unfit(unit, opening.recipe, opening.label_templates)
    batch = f"{unit.id}-{unit.batch_count + 1:05d}"
    return batch, [_batch_opened(unit, opening)]


def _batch_opened(unit: Unit, opening: Opening) -> ev.BatchOpened:
    return ev.BatchOpened(
        order_id=opening.order.id,
        order_text=opening.order_text,
        recipe_id=opening.recipe.id,
        recipe_version=opening.recipe.version,
        recipe_hash=opening.recipe.hash,
        recipe_text=opening.recipe_text,
        recipe_signers=opening.recipe_signers,
        recipe_blob=opening.recipe_blob,
        order_blob=opening.order_blob,
        people_blob=opening.people_blob,
        people_version=opening.people_version,
        software_version=opening.software_version,
        devices=sorted(unit.devices),
        simulated=unit.simulated,
        clock_speed=opening.clock_speed,
        site=opening.site,
        time_zone=opening.time_zone,
        station=opening.station,
        build_hash=opening.build_hash,
        second_person_within_min=opening.second_person_within_min,
        rules=opening.rules,
        count_methods=opening.count_methods,
        label_templates=opening.label_templates,
        **before(unit, opening.order, opening.recipe, opening.rules),
    )


def _refuse_unqualified(unit: Unit, recipe: Recipe, now: datetime) -> None:
    roles = {role for phase in recipe.phases.values() for role in phase.uses}
    for role in sorted(roles):
        device = unit.device_of(role)
        if device is None:
            raise CommandRefused(f"This unit has no {role}. Call maintenance.", reason="device_missing")
        if device.id in unit.silent or device.id not in unit.qualified:
            raise CommandRefused(
                f"{device.title} does not answer. Look at its cable and power.", reason="device_silent"
            )
        fitness.refuse_unfit(unit, device, now)


def abort_batch(unit: Unit, actor: Actor, reason: str) -> list[ev.Event]:
    """Abort all phases of the open batch; the product is not released."""
    permit(unit, actor, "abort_batch")
    if actor.proof != "password":
        raise NotPermitted("Aborting a batch needs the supervisor's password.", reason="proof_missing")
    permit_signature(unit, actor, "")
    batch = _open_batch_of(unit)
    if batch.sealed is not None:
        raise CommandRefused("The record is sealed. The QP decides.", reason="sealed")
    reason = _reason(reason)
    return [
        *(
            ev.PhaseAborted(phase=run.phase.id, reason=reason)
            for run in batch.runs.values()
            if (run.state, "PhaseAborted") in phase_states.TRANSITIONS
        ),
        ev.BatchAborted(reason=reason),
    ]


# ── Prompts and answers ────────────────────────────────────────────────────────────────


def open_prompts(unit: Unit, now: datetime) -> list[Prompt]:
    """What is asked of people now, in the order of the recipe."""
    if unit.batch is None or unit.batch.closed:
        return []
    asked = corrections.prompts(unit, unit.batch, now)
    for run in unit.batch.runs.values():
        if run.state == phase_states.RUNNING:
            c = context(unit, run, now)
            asked += typed_label.offered(c, logic_of(run).prompts(c))
        elif run.state == phase_states.COMPLETE:
            asked += logic_of(run).prompts_after(context(unit, run, now))
    return asked


def find_prompt(unit: Unit, prompt_id: str, now: datetime) -> Prompt:
    for prompt in open_prompts(unit, now):
        if prompt.id == prompt_id:
            return prompt
    _refuse_out_of_order(unit, prompt_id)
    raise NotOpen("This question is no longer open. Look at the screen again.")


def _refuse_out_of_order(unit: Unit, prompt_id: str) -> None:
    """What comes before its turn is refused in other words than what is over, and goes on record (R-14)."""
    consent.refuse_withdrawn(unit)
    phase, _, key = prompt_id.partition("/")
    run = unit.batch.runs.get(phase) if unit.batch is not None and not unit.batch.closed else None
    if run is None:
        return
    asked = key.removesuffix(".verify") in run.phase.instruction and run.confirmed(key) is None
    if run.state == phase_states.IDLE or (run.state == phase_states.RUNNING and asked):
        raise CommandRefused(
            f"{run.phase.title}: this is not asked yet. The recipe's order holds; no step can be skipped.",
            reason="out_of_order",
        )


def answer(unit: Unit, prompt_id: str, values: dict[str, str], actor: Actor, now: datetime) -> list[ev.Event]:
    """An answer to an open prompt by a person whose identity was proven."""
    _refuse_latched(unit)
    prompt = find_prompt(unit, prompt_id, now)
    if prompt.kind == "scan":
        raise CommandRefused("This needs a scan. Show the label to the camera.", reason="scan_needed")
    if prompt.kind == "import":
        raise CommandRefused("This needs a file. Choose it from the list.", reason="file_needed")
    if prompt.until is not None and now > prompt.until:
        raise NotOpen("The second person came too late. The first person does it again.")
    # To throw a count away binds nobody to its content: the role suffices.
    asked = replace(prompt, needs="session") if values.get("decision") == "repeat" else prompt
    permit_answer(unit, asked, actor, now)
    if not actor.is_emergency:  # which has no role, and its own rules
        asked.check_actor(actor)
    assert unit.batch is not None
    if typed_label.is_typed(prompt):
        run = unit.batch.runs[prompt.phase]
        return typed_label.answered(context(unit, run, now), prompt, values, logic_of(run).scanned, actor)
    checked = prompt.check_values(values)
    if corrections.is_proposal(prompt):
        return corrections.confirmed(unit.batch, prompt, actor)
    run = unit.batch.runs[prompt.phase]
    return logic_of(run).answered(context(unit, run, now), prompt, checked, actor)


def scan(unit: Unit, prompt_id: str, actor: Actor, now: datetime) -> list[ev.Event]:
    """Start the camera for an open scan prompt."""
    permit(unit, actor, "scan")
    _refuse_latched(unit)
    prompt = find_prompt(unit, prompt_id, now)
    if prompt.kind != "scan":
        raise CommandRefused("Nothing is to be scanned here.", reason="not_a_scan")
    permit_answer(unit, prompt, actor, now)
    assert unit.batch is not None
    run = unit.batch.runs[prompt.phase]
    at_patient, formats = logic_of(run).AT_PATIENT, list(prompt.formats) or BAG_FORMATS
    return [request_scan(context(unit, run, now), prompt.key, formats, at_patient=at_patient)]


def scan_read(unit: Unit, read: ev.ScanRead, now: datetime) -> list[ev.Event]:
    """What the camera read, and what it makes true."""
    batch = unit.batch
    if batch is None or batch.last(ev.ScanRead, scan_id=read.scan_id) is not None:
        return []
    run = batch.runs[read.phase]
    asked = run.last(ev.ScanRequested)
    if run.state != phase_states.RUNNING or (asked is not None and asked[1].scan_id != read.scan_id):
        return [read]  # on record; what came too late decides nothing
    return [read, *scans.decided(context(unit, run, now), logic_of(run).scanned, read)]


def cancel_scan(unit: Unit, scan_id: str, actor: Actor) -> list[ev.Event]:
    """A person ends the scan that is under way."""
    permit(unit, actor, "scan")
    runs = unit.batch.runs.values() if unit.batch is not None and not unit.batch.closed else ()
    run = next((one for one in runs if one.has(ev.ScanRequested, scan_id=scan_id)), None)
    if run is None or unit.batch is None:
        raise NotOpen("This scan is over. Look at the screen again.")
    # The moment is no part of it: nothing here is judged by time.
    return scans.cancelled(context(unit, run, unit.batch.opened_at), scan_id)


def import_file(unit: Unit, prompt_id: str, file: str, actor: Actor, now: datetime) -> list[ev.Event]:
    """Read the file that a device exported and a person chose."""
    permit(unit, actor, "scan")  # both bring evidence from outside into the record
    _refuse_latched(unit)
    prompt = find_prompt(unit, prompt_id, now)
    if prompt.kind != "import":
        raise CommandRefused("No file is asked for here.", reason="not_an_import")
    permit_answer(unit, prompt, actor, now)
    if not FILE_NAME.fullmatch(file):
        raise CommandRefused(
            "This is no file of the station's folder. Choose one from the list.", reason="no_such_file"
        )
    assert unit.batch is not None
    run = unit.batch.runs[prompt.phase]
    return [request_import(context(unit, run, now), prompt.key, file)]


def file_read(unit: Unit, read: ev.ExchangeFileRead, now: datetime) -> list[ev.Event]:
    """What the file says, and what it makes true."""
    batch = unit.batch
    if batch is None or batch.last(ev.ExchangeFileRead, import_id=read.import_id) is not None:
        return []
    run = batch.runs[read.phase]
    asked = run.last(ev.ExchangeFileRequested)
    if run.state != phase_states.RUNNING or (asked is not None and asked[1].import_id != read.import_id):
        return [read]  # on record; what came too late decides nothing
    return [read, *logic_of(run).imported(context(unit, run, now), read)]


# ── Hold, restart, STOP ────────────────────────────────────────────────────────────────


def hold(unit: Unit, actor: Actor, phase: str, reason: str) -> list[ev.Event]:
    """A person holds one phase, or all that run."""
    permit(unit, actor, "hold")
    reason = _reason(reason)
    events = hold_running(unit, "by_person", f"Held by {actor.name}: {reason}", only=phase)
    if not events:
        raise NotOpen("No phase runs that could be held.")
    return events


def hold_running(unit: Unit, reason: str, words: str, *, only: str = "", using: str = "") -> list[ev.Event]:
    """Holding events for the running phases of the open batch."""
    batch = unit.batch
    if batch is None or batch.closed:
        return []
    return [*holds.hold_running(batch, reason, words, only=only, using=using)]


def hold_with_alarm(
    unit: Unit, reason: str, words: str, *, title: str, action: str, using: str = ""
) -> list[ev.Event]:
    """The same, and an alarm for each phase that is held."""
    batch = unit.batch
    if batch is None or batch.closed:
        return []
    return holds.hold_with_alarm(batch, reason, words, title=title, action=action, using=using)


def restart(unit: Unit, actor: Actor, reason: str) -> list[ev.Event]:
    """A person lets every held phase go on; an identity hold needs the supervisor."""
    permit(unit, actor, "restart")
    _refuse_latched(unit)
    copies.refuse_after_restore(unit)
    consent.refuse_withdrawn(unit)
    reason = _reason(reason)
    held = [run for run in _open_batch_of(unit).runs.values() if run.state == phase_states.HELD]
    if not held:
        raise NotOpen("Nothing is held.")
    for run in held:
        fitness.refuse_restart(unit, run.phase.uses)
        why = run.last(ev.PhaseHolding)
        if why is not None and why[1].reason in SUPERVISOR_HOLDS and "supervisor" not in actor.roles:
            raise NotPermitted(
                f"{run.phase.title} is held: {why[1].words} Only a supervisor can restart it.",
                reason="supervisor_needed",
            )
    events: list[ev.Event] = []
    for run in held:
        events.append(ev.PhaseRestarting(phase=run.phase.id, reason=reason))
        events += [ev.AlarmCleared(alarm=key) for key in hold_alarms(unit, run.phase.id)]
        events.append(ev.PhaseRestarted(phase=run.phase.id))
    return events


def hold_alarms(unit: Unit, phase: str) -> list[str]:
    return [key for key, (a, _, _) in unit.alarms.items() if a.phase == phase and ":hold-" in key]


def stopped(unit: Unit, station: str, latency_ms: dict[str, int]) -> list[ev.Event]:
    """STOP was sent before anything else; this is its record, and the batch is held (SAFETY 1)."""
    words = " ".join(["STOP was pressed. All devices were stopped.", *_out_of_reach(unit)])
    raised = ev.AlarmRaised(
        alarm=f"STOP:{unit.term}:{unit.stop_count + 1}",
        priority="high",
        title="STOP",
        cause=words,
        action="Make the station safe. A signed-in person ends the STOP, then restarts the phases.",
    )
    events: list[ev.Event] = [ev.DeviceStopped(station=station, latency_ms=latency_ms)]
    if not any(key.startswith("STOP:") for key in unit.alarms):
        events.append(raised)
    return [*events, *hold_running(unit, "stop", words)]


def _out_of_reach(unit: Unit) -> list[str]:
    """What runs all the same, because people run it and no line leads to it."""
    runs = unit.batch.runs.values() if unit.batch is not None and not unit.batch.closed else ()
    running = [run for run in runs if run.state == phase_states.RUNNING and run.confirmed("setup")]
    by_hand = [unit.device_of(role) for run in running for role in run.phase.uses if run_by_people(role)]
    return [f"{device.title} is not reached by this: stop it at its own key." for device in by_hand if device]


def release_stop(unit: Unit, actor: Actor, reason: str) -> list[ev.Event]:
    """End the latch; phases stay held until they are restarted."""
    permit(unit, actor, "release_stop")
    if not unit.stop_latched:
        raise NotOpen("STOP is not active.")
    cleared = [ev.AlarmCleared(alarm=key) for key in unit.alarms if key.startswith("STOP:")]
    return [ev.StopReleased(reason=_reason(reason)), *cleared]


def acknowledge_alarm(unit: Unit, actor: Actor, alarm: str) -> list[ev.Event]:
    """An alarm that stands for a past event is cleared with it; one that stands for a state stays."""
    permit(unit, actor, "acknowledge_alarm")
    if alarm not in unit.alarms:
        raise NotOpen("This alarm is no longer active.")
    if unit.alarms[alarm][1] == "acknowledged":
        return []
    if alarm.startswith(second_use.ALARM) and "supervisor" not in actor.roles:
        words = "A supervisor compares with QA what was used twice, then acknowledges."
        raise NotPermitted(words, reason="supervisor_needed")
    if alarm == copies.RESTORED and "supervisor" not in actor.roles:
        raise NotPermitted(
            "After a restore a supervisor compares with QA, then acknowledges.", reason="supervisor_needed"
        )
    events: list[ev.Event] = [ev.AlarmAcknowledged(alarm=alarm)]
    if alarm == copies.RESTORED:
        return [*events, ev.AlarmCleared(alarm=alarm)]
    if ":hold-" not in alarm and not alarm.startswith(STATES_OF_THE_UNIT):
        events.append(ev.AlarmCleared(alarm=alarm))
    return events


def comment(unit: Unit, actor: Actor, text: str) -> list[ev.Event]:
    """Anybody but a mere reader may write a remark into the record."""
    permit(unit, actor, "comment")
    return [ev.CommentAdded(text=text)]


# ── Time ──────────────────────────────────────────────────────────────────


def confirm_time(
    unit: Unit, first: Actor, second: Actor, reference: datetime, now: datetime
) -> list[ev.Event]:
    """Two persons vouch for the clock of this unit until its next start (SAFETY 17)."""
    permit(unit, first, "confirm_time")
    permit(unit, second, "comment")  # whoever may only read vouches for nothing
    if first.id == second.id:
        raise NotPermitted("A different person must read the reference clock too.", reason="same_person")
    difference_s = round((now - reference).total_seconds())
    if abs(difference_s) > CLOCK_DIFFERENCE_S_MAX:
        raise CommandRefused(
            f"This unit's clock is {difference_s} s off the reference clock. Set it, then confirm again.",
            reason="clock_off",
        )
    return [
        ev.TimeConfirmed(
            reference_at=reference.isoformat(),
            difference_s=difference_s,
            first_person=first.id,
            second_person=second.id,
        )
    ]


# ── Faults of the unit itself ──────────────────────────────────────────────────────────


def engine_fault(unit: Unit) -> list[ev.Event]:
    """The control program met a fault of its own: everything that runs is held."""
    words = "The control program met a fault of its own. Call service."
    return _held_by_unit(unit, "engine_fault", words)


def disk_full(unit: Unit) -> list[ev.Event]:
    """The reserve is given to the batch that runs; it is held until somebody has looked."""
    words = "The disk is full. The reserve is in use: finish this batch, then call the administrator."
    held = _held_by_unit(unit, "record_full", "The disk was full. Look at the devices, then go on.")
    return [ev.RecordFaultSeen(words=words), *held]


OPENED_AGAIN = "The record could not be written, was checked and opened again:"


def record_opened_again(unit: Unit, why: str) -> list[ev.Event]:
    """The disk failed and works again; what ran is held until somebody has looked."""
    held = _held_by_unit(
        unit, "record_fault", "The disk failed for a while. Look at the devices, then go on."
    )
    return [ev.RecordFaultSeen(words=f"{OPENED_AGAIN} {why.removeprefix(OPENED_AGAIN).strip()}"), *held]


def never_sent(order: ev.DeviceOrdered) -> ev.DeviceRefusedOrder:
    """An order that is on record only because a failed write left it there."""
    return ev.DeviceRefusedOrder(
        phase=order.phase,
        order_id=order.order_id,
        device=order.device,
        fault="unknown",
        words="The disk failed while this was recorded, so it was not sent to the device.",
    )


def _held_by_unit(unit: Unit, reason: str, words: str) -> list[ev.Event]:
    action = "Look at the devices and the bag. Then restart the phase."
    return hold_with_alarm(unit, reason, words, title="Held by the unit", action=action)


# ── What goes on by itself ─────────────────────────────────────────────────────────────


def advance(unit: Unit, now: datetime) -> list[ev.Event]:
    """The events that should become true now. The caller commits them and asks again until none come."""
    return next(filter(None, due(unit, now)), [])


def due(unit: Unit, now: datetime) -> Iterator[list[ev.Event]]:
    """What should become true now by itself: of corrections first, then of each phase; may be empty."""
    batch = unit.batch
    if batch is None or batch.closed:
        return
    yield consent.follow(unit, batch)
    yield corrections.follow(unit, batch, now)
    yield second_use.follow(unit, batch)
    for run in batch.runs.values():
        yield _advance_one(unit, batch, run, now)


def _advance_one(unit: Unit, batch: Batch, run: PhaseRun, now: datetime) -> list[ev.Event]:
    logic, c = logic_of(run), context(unit, run, now)
    match run.state:
        case phase_states.HOLDING if logic.is_safe(c):
            return [ev.PhaseHeld(phase=run.phase.id)]
        case phase_states.RUNNING if not unit.stop_latched:
            late = lapsed(c, logic.second_person_keys(run.phase)) or typed_label.lapsed(c)
            return late or fitness.gated(c, logic.advance(c))
        case phase_states.IDLE if (
            not unit.stop_latched and _startable(unit, batch, run) and logic.may_start(c)
        ):
            return fitness.started(c)
        case _:
            return []


def _startable(unit: Unit, batch: Batch, run: PhaseRun) -> bool:
    if batch.state == "held" or consent.holds_back(unit, batch) or not custody.may_work(batch, run):
        return False
    if run.phase.type == "scan_bag" and not custody.line_is_clear(batch):
        return False
    return all(batch.runs[before].state == phase_states.COMPLETE for before in run.phase.after)


# ── The record in dispute ──────────────────────────────────────────────────────────────


def record_blocked(unit: Unit, log: str, words: str) -> list[ev.Event]:
    """Central disputes this unit's record (a fork, say): people see it, and no new batch starts."""
    key = f"record:blocked:{log}"
    if key in unit.alarms:
        return []
    return [
        ev.AlarmRaised(
            alarm=key,
            priority="high",
            title="Central does not take this unit's record",
            cause=words,
            action="Finish the running batch. Open no other one. Call QA.",
        )
    ]


# ── Shared ─────────────────────────────────────────────────────────────────────────────


def _refuse_latched(unit: Unit) -> None:
    if unit.stop_latched:
        raise CommandRefused("STOP is active. End it first, then go on.", reason="stop_latched")


def _open_batch_of(unit: Unit) -> Batch:
    if unit.batch is None or unit.batch.closed:
        raise NotOpen("No batch is open.")
    return unit.batch


def _reason(text: str) -> str:
    return check_reason(text)
