"""What screens may see: the folded state as views, each value with its quality and age."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from appliance.access.people import People, Person
from appliance.access.sessions import Session
from appliance.config import Device
from appliance.domain import assignment, consent, decisions, fitness, phase_states
from appliance.domain import events as ev
from appliance.domain.batch import Batch, PhaseRun, Unit
from appliance.domain.phase_logic import content_hash
from appliance.domain.phases.count_cells import POOLED
from appliance.domain.prompts import Prompt, PromptFact
from appliance.domain.roles import EMERGENCY
from appliance.engine.desk import Desk, emergency_name
from appliance.engine.shelf import Shelf
from appliance.engine.signature_view import entered_views, field_view, signature_views
from appliance.link.messages import (
    AlarmView,
    BatchView,
    CountView,
    DeviceView,
    FactView,
    OrderView,
    PersonView,
    PhaseView,
    PromptView,
    TimerView,
)
from appliance.record.attachments import blob_path
from appliance.record.log import Record

SHORT_CODE = 8
PRIORITIES = {"high": 0, "medium": 1, "low": 2}


def short_code(content: str) -> str:
    """What a person compares before signing: the beginning of the hash that the signature binds."""
    return content_hash(content)[:SHORT_CODE]


def people_views(people: People) -> list[PersonView]:
    """Who may sign in here: whoever has a PIN. A QP acts at central only."""
    return [person_view(person) for person in people.people if person.active and person.pin]


def person_view(person: Person) -> PersonView:
    return PersonView(id=person.id, name=person.name, roles=list(person.roles))


def session_person(desk: Desk, unit: Unit, session: Session) -> PersonView | None:
    """Who is signed in at a station; the emergency account shows the two people behind it."""
    opened = unit.people.emergency
    if session.person == EMERGENCY:
        return PersonView(id=EMERGENCY, name=emergency_name(opened), roles=[EMERGENCY]) if opened else None
    person = desk.people.person(session.person)
    if person is None:
        return None
    shown = person_view(person)
    shown.must_change = list(desk.owes(person.id))
    return shown


def order_views(unit: Unit, shelf: Shelf, now: datetime) -> list[OrderView]:
    """The signed orders of this unit, and why one may not be made."""
    views = []
    for shelved in shelf.orders.values():
        order = shelved.order
        made, recipe = unit.made_orders.get(order.id), shelf.recipes.get(order.recipe)
        unfit = assignment.why_not(unit, order, now) or consent.why_not(unit, order)
        refused = f"Made in batch {made}." if made else unfit[1] if unfit else ""
        if recipe is None:
            refused = f"The recipe {order.recipe} is not approved on this unit."
        views.append(
            OrderView(
                id=order.id,
                recipe=order.recipe,
                title=recipe.recipe.title if recipe else order.recipe,
                patient=order.patient,
                din=order.din,
                refused_because=refused,
            )
        )
    # What may be made comes first: the screen shows few, and orders of other units stay on the shelf.
    return sorted(views, key=lambda one: bool(one.refused_because))


def batch_view(unit: Unit, record: Record, now: datetime) -> BatchView | None:
    """The open or last batch with its phases, counts and deviations."""
    batch = unit.batch
    if batch is None:
        return None
    active = [n for n, run in enumerate(batch.runs.values(), 1) if run.state in phase_states.ACTIVE]
    done = sum(1 for run in batch.runs.values() if run.state in phase_states.FINAL)
    return BatchView(
        id=batch.id,
        order=batch.order.id,
        patient=batch.order.patient,
        din=batch.order.din,
        recipe=batch.recipe.id,
        recipe_title=batch.recipe.title,
        state=batch.state,
        phase_number=active[0] if active else done,
        phase_count=len(batch.runs),
        opened_at=batch.opened_at,
        expires_at=batch.expires_at,
        disposition=batch.disposition.disposition if batch.disposition else "",
        phases=[_phase_view(unit, batch, run, now) for run in batch.runs.values()],
        counts=[_count_view(count, record) for _, count in batch.all(ev.CellCountReported)],
        deviations=[f"{d.deviation}: {d.words}" for _, d in batch.all(ev.DeviationOpened)],
        signatures=signature_views(batch),
        entered=entered_views(batch),
    )


def _phase_view(unit: Unit, batch: Batch, run: PhaseRun, now: datetime) -> PhaseView:
    c, logic = decisions.context(unit, run, now), decisions.logic_of(run)
    operation, unit_procedure = batch.recipe.operations[run.phase.operation]
    words = logic.words(c) if run.state == phase_states.RUNNING else ""
    if run.state in (phase_states.HOLDING, phase_states.HELD):
        holding = run.last(ev.PhaseHolding)
        words = holding[1].words if holding else ""
    return PhaseView(
        id=run.phase.id,
        title=run.phase.title,
        operation=operation,
        unit_procedure=batch.recipe.unit_procedures[unit_procedure],
        type=run.phase.type,
        state=run.state,
        words=words,
        facts=[_fact_view(fact) for fact in logic.facts(c)] if run.facts else [],
    )


def _count_view(count: ev.CellCountReported, record: Record) -> CountView:
    return CountView(
        replicate=count.replicate,
        verdict=count.verdict,
        live=count.live,
        dead=count.dead,
        viability_percent=count.viability_percent,
        viability_interval_percent=count.viability_interval_percent,
        picture=picture_path(record, count.overlay) if count.replicate == POOLED else "",
        words=count.words or ", ".join(count.reasons),
    )


def _fact_view(fact: PromptFact) -> FactView:
    return FactView(label=fact.label, value=fact.value, out_of_limit=fact.out_of_limit)


def picture_path(record: Record, blob: str) -> str:
    """Where a screen finds a stored picture."""
    return str(blob_path(record.blobs_folder, blob)) if blob else ""


def prompt_views(
    unit: Unit, record: Record, now: datetime, at_patient: tuple[PromptFact, ...] = ()
) -> list[PromptView]:
    """What is asked now; `at_patient` is shown where the identity of a patient is compared."""
    if unit.stop_latched or unit.batch is None:
        return []
    views = []
    for prompt in decisions.open_prompts(unit, now):
        view = _prompt_view(prompt, record)
        if decisions.logic_of(unit.batch.runs[prompt.phase]).AT_PATIENT:
            view.facts = [*(_fact_view(fact) for fact in at_patient), *view.facts]
        views.append(view)
    return views


def _prompt_view(prompt: Prompt, record: Record) -> PromptView:
    return PromptView(
        id=prompt.id,
        phase=prompt.phase,
        kind=prompt.kind,  # type: ignore[arg-type]  # the domain's kinds
        title=prompt.title,
        instruction=prompt.instruction,
        button=prompt.button,
        needs=prompt.needs,  # type: ignore[arg-type]  # the domain's needs
        roles=list(prompt.roles),
        not_by=list(prompt.not_by),
        meaning=prompt.meaning,
        signs=short_code(prompt.content) if prompt.content else "",
        facts=[_fact_view(fact) for fact in prompt.facts],
        fields=[field_view(field) for field in prompt.fields],
        picture=picture_path(record, prompt.picture),
        expects=prompt.expects,
        action=prompt.action,
        typed=prompt.typed,
        until=prompt.until,
    )


def alarm_views(unit: Unit) -> list[AlarmView]:
    """Active alarms, the most urgent first."""
    views = [
        AlarmView(
            id=alarm.alarm,
            priority=alarm.priority,  # type: ignore[arg-type]  # the domain's three priorities
            title=alarm.title,
            cause=alarm.cause,
            action=alarm.action,
            state=state,  # type: ignore[arg-type]  # active or acknowledged
            raised_at=raised_at,
            phase=alarm.phase,
        )
        for alarm, state, raised_at in unit.alarms.values()
    ]
    return sorted(views, key=lambda view: (PRIORITIES[view.priority], view.raised_at))


def by_hand(devices: Iterable[Device]) -> list[DeviceView]:
    """The devices that people run: nothing is read from them, so nothing is claimed of them."""
    return [
        DeviceView(id=one.id, title=one.title, role=one.role, state="by_hand", words="Run by people.")
        for one in devices
        if not one.has_line
    ]


def with_fitness(views: list[DeviceView], unit: Unit, now: datetime) -> list[DeviceView]:
    """The devices with what keeps them from being used, or soon will."""
    for one in views:
        one.fitness = fitness.shown(unit, one.id, now)
        one.identity = dict(unit.identities.get(one.id, {}))
    return views


def timer_views(unit: Unit, now: datetime) -> list[TimerView]:
    batch = unit.batch
    if batch is None:
        return []
    views = []
    for run in batch.runs.values():
        if run.state not in (phase_states.RUNNING, phase_states.HELD):
            continue
        timer = decisions.logic_of(run).timer(decisions.context(unit, run, now))
        if timer is not None:
            views.append(
                TimerView(
                    phase=run.phase.id,
                    words=timer.words,
                    elapsed_s=timer.elapsed_s,
                    target_s=timer.target_s,
                    maximum_s=timer.maximum_s,
                )
            )
    return views
