"""What all phase types share: the context they look at, the port they fill, and their common moves.

A phase is a pure function of facts. `advance` looks at what is recorded and at the newest
readings, and returns the events that should become true now; the engine commits them and calls
again until nothing is left to say. So a phase resumes after a crash by being asked once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from appliance.domain import events as ev
from appliance.domain import phase_states
from appliance.domain.batch import Batch, Fact, PhaseRun, ReadingNow, Unit
from appliance.domain.prompts import Field, Prompt, PromptFact, verification
from appliance.domain.quantity import plain
from appliance.domain.recipe import Phase
from appliance.domain.roles import Actor
from appliance.domain.signatures import NEUTRAL, OF_SIGNING, canonical

ORDER_EXPIRES_MS = 2_000


@dataclass(frozen=True, slots=True)
class Timer:
    """Elapsed against target and maximum, and what the wait is for (C18)."""

    words: str
    elapsed_s: int
    target_s: int | None = None
    maximum_s: int | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a phase may look at."""

    unit: Unit
    batch: Batch
    run: PhaseRun
    now: datetime

    @property
    def phase(self) -> Phase:
        return self.run.phase

    def reading(self, role: str, name: str, *, after: datetime | None = None) -> ReadingNow | None:
        """The newest reading of a role, whatever its quality, received after a moment."""
        device = self.unit.device_of(role)
        found = None
        if device is not None:
            found = self.unit.readings.get((device.id, name))
            # What a decision looks at goes on record with what it decides.
            self.unit.looked_at[device.id, name] = found
        if found is None or (after is not None and found.received_at <= after):
            return None
        return found

    def good(self, role: str, name: str, *, after: datetime | None = None) -> ReadingNow | None:
        """The same, only when its quality is good: no other reading decides anything (SAFETY 6)."""
        found, device = self.reading(role, name, after=after), self.unit.device_of(role)
        if device is not None and self.unit.qualified.get(device.id) is False:
            return None  # what another device than the qualified one says decides nothing
        return found if found is not None and found.quality == "good" else None

    def order(self, role: str, name: str, parameters: dict[str, str]) -> ev.DeviceOrdered:
        """An order to a device, to be committed before it is sent (SAFETY 4)."""
        device = self.unit.device_of(role)
        assert device is not None, role
        number = len(self.batch.all(ev.DeviceOrdered)) + 1
        return ev.DeviceOrdered(
            phase=self.phase.id,
            order_id=f"{self.batch.id}-O{number}",
            device=device.id,
            name=name,
            parameters=parameters,
            term=self.unit.term,
            expires_in_ms=ORDER_EXPIRES_MS,
        )

    def recorded(self, key: str, reading: ReadingNow, *, role: str) -> ev.ValueRecorded:
        """A reading that decides something becomes a fact."""
        device = self.unit.device_of(role)
        return ev.ValueRecorded(
            phase=self.phase.id,
            key=key,
            value=reading.value or "",
            unit=reading.unit,
            quality=reading.quality,
            source=device.id if device else role,
            source_at=reading.source_at,
        )

    def derived(self, key: str, value: Decimal | str, unit: str, source: str) -> ev.ValueRecorded:
        """A value computed from recorded facts; `source` says how."""
        text = value if isinstance(value, str) else plain(value)
        return ev.ValueRecorded(
            phase=self.phase.id,
            key=key,
            value=text,
            unit=unit,
            quality="good",
            source=source,
            source_at=self.now.isoformat(),
        )

    def content(self, what: Mapping[str, Any], *, up_to: int | None = None) -> str:
        """The exact text that a signature in this phase binds: what is said, and of which record (R-22)."""
        return canonical(
            {
                "unit": self.unit.id,
                "batch": self.batch.id,
                "phase": self.phase.id,
                "recipe": self.batch.recipe.id,
                "recipe_hash": self.batch.recipe.hash,
                "recorded_up_to_seq": self._recorded_up_to() if up_to is None else up_to,
                **what,
            }
        )

    def _recorded_up_to(self) -> int:
        """The newest fact of this phase, signing itself left out."""
        beside = NEUTRAL | OF_SIGNING
        facts = (f.seq for f in reversed(self.run.facts) if type(f.event).__name__ not in beside)
        return next(facts, 0)

    def elapsed_s(self, since: datetime) -> int:
        return max(0, int((self.now - since).total_seconds()))

    def count_of(self, kind: type[ev.Event]) -> int:
        return len(self.batch.all(kind))


class Logic:
    """The port that each phase type fills. Defaults suit a phase that only asks people."""

    TYPE = ""
    ROLES: tuple[str, ...] = ()  # device roles that the phase uses
    PARAMETERS: Mapping[str, str] = {}  # name → unit
    LIMITS: Mapping[str, str] = {}  # name → unit
    INSTRUCTIONS: tuple[str, ...] = ()
    TEXTS: tuple[str, ...] = ()
    ASKS_RESULTS = False  # a recipe says which results people enter
    AT_PATIENT = False  # at the patient's side: names are shown, and nothing that names is recorded
    VERIFIABLE: tuple[str, ...] = ()  # instructions that a recipe may have a second person verify
    ENTERED: Mapping[str, tuple[Field, ...]] = {}  # what people type, by instruction; it may be corrected

    def faults(self, phase: Phase) -> list[str]:
        """What is wrong with this phase of a recipe beyond missing names and units."""
        return []

    def parameters(self, phase: Phase) -> Mapping[str, str]:
        """The parameters that this phase needs: name → unit."""
        return self.PARAMETERS

    def limits(self, phase: Phase) -> Mapping[str, str]:
        """The limits that this phase needs: name → unit."""
        return self.LIMITS

    def entered(self, phase: Phase) -> Mapping[str, tuple[Field, ...]]:
        """What people type in this phase, by instruction."""
        return self.ENTERED

    def advance(self, c: Context) -> list[ev.Event]:
        """The events that should become true now; empty when the phase waits."""
        raise NotImplementedError

    def second_person_keys(self, phase: Phase) -> tuple[str, ...]:
        """The instructions that a second person confirms in time, or they are done again."""
        return phase.verify

    def prompts(self, c: Context) -> list[Prompt]:
        """What is asked of people now, first things first."""
        return []

    def prompts_after(self, c: Context) -> list[Prompt]:
        """What is asked once the phase is complete: signatures that were voided since."""
        return []

    def answered(self, c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
        """What an accepted answer makes true."""
        return answer_events(c, prompt, values, actor)

    def check_entered(self, c: Context, key: str, values: dict[str, str]) -> None:
        """Beyond each field's own range: whether the values fit each other; raises `NotPlausible`."""

    def corrected(self, c: Context, fact: Fact, correction: ev.ValueCorrected) -> list[ev.Event]:
        """What is worked out anew once a value that was used already is corrected; empty when done."""
        return []

    def scanned(self, c: Context, read: ev.ScanRead) -> list[ev.Event]:
        """What a label that the camera has read makes true."""
        return []

    def imported(self, c: Context, read: ev.ExchangeFileRead) -> list[ev.Event]:
        """What a device's file that the unit has read makes true."""
        return []

    def may_start(self, c: Context) -> bool:
        """Beyond the recipe's `after`: whether the phase may begin now."""
        return True

    def is_safe(self, c: Context) -> bool:
        """Whether the phase's safe state is reached, so that holding becomes held."""
        return True

    def words(self, c: Context) -> str:
        """What it is doing or waiting for."""
        return ""

    def timer(self, c: Context) -> Timer | None:
        return None

    def facts(self, c: Context) -> list[PromptFact]:
        """What a screen shows of the phase's results."""
        return []


def answer_events(c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
    """An instruction confirmed, with the second person or the signature that the prompt needs."""
    events: list[ev.Event] = []
    if prompt.needs == "second_person":
        first = prompt.not_by[0] if prompt.not_by else ""
        events.append(
            ev.SecondPersonConfirmed(
                phase=prompt.phase,
                key=prompt.key,
                person=actor.id,
                first_person=first,
                signs=content_hash(prompt.content),
                content=prompt.content,
            )
        )
    if prompt.needs in ("signature", "second_signature"):
        events.append(signature(c, prompt, actor))
    events.append(
        ev.InstructionConfirmed(
            phase=prompt.phase,
            key=prompt.key,
            words=prompt.instruction,
            action=prompt.action,
            values=values,
        )
    )
    return events


def signature(c: Context, prompt: Prompt, actor: Actor) -> ev.SignatureGiven:
    """A signature over the exact text of the prompt's content."""
    return ev.SignatureGiven(
        phase=prompt.phase,
        key=prompt.key,
        person=actor.id,
        name=actor.name,
        meaning=prompt.meaning,
        signs=content_hash(prompt.content),
        what=prompt.title,
        at=c.now.isoformat(),
        content=prompt.content,
    )


def content_hash(content: str) -> str:
    """SHA-256 of the exact text that is signed."""
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def confirm(c: Context, key: str, *, button: str = "Done", title: str = "") -> Prompt:
    """One instruction of the recipe with one button."""
    return Prompt(
        phase=c.phase.id,
        key=key,
        kind="confirm",
        title=title or c.phase.title,
        instruction=c.phase.instruction[key],
        button=button,
        action=c.phase.action.get(key, ""),
        roles=c.phase.roles or ("operator", "supervisor"),
    )


def confirmed_by_two(c: Context, key: str) -> bool:
    """Whether `key` is confirmed and, where the recipe asks, verified by a second person."""
    if c.run.confirmed(key) is None:
        return False
    return key not in c.phase.verify or c.run.confirmed(f"{key}.verify") is not None


def two_person_prompts(
    c: Context,
    prompt: Prompt,
    *,
    facts: Callable[[], tuple[PromptFact, ...]] = tuple,
    always: bool = False,
) -> list[Prompt]:
    """The prompt, or its verification by a different person, or nothing when both are done.

    It is verified where the recipe says so; with `always` without being asked.
    """
    performed = c.run.confirmed(prompt.key)
    if performed is None:
        return [prompt]
    if (always or prompt.key in c.phase.verify) and c.run.confirmed(f"{prompt.key}.verify") is None:
        shown = facts()
        said = [[fact.label, fact.value] for fact in shown]
        newest, not_by = _first_act(c, prompt.key, performed[0])
        content = c.content({"key": prompt.key, "shown": said}, up_to=newest.seq)
        until = newest.at + second_person_window(c)
        return [verification(prompt, not_by=not_by, content=content, until=until, facts=shown)]
    return []


def _first_act(c: Context, key: str, performed: Fact) -> tuple[Fact, tuple[str, ...]]:
    """The newest thing that the first person did, and everybody who had a hand in it."""
    corrected = [fact for fact, one in c.run.corrections if one.key == key and fact.seq > performed.seq]
    people = (performed.actor, *(fact.actor for fact in corrected))
    return (corrected[-1] if corrected else performed), tuple(dict.fromkeys(people))


def second_person_window(c: Context) -> timedelta:
    """How long a first act waits for its second person, by the clock of people and not of the process.

    A simulated unit's clock runs faster than the people at it, so its window is as much longer.
    """
    minutes = c.batch.opened.second_person_within_min * Decimal(c.batch.opened.clock_speed)
    return timedelta(seconds=float(minutes * 60))


def lapsed(c: Context, keys: Iterable[str]) -> list[ev.Event]:
    """A first act whose second person did not come in time counts for nothing (F-058)."""
    for key in keys:
        performed = c.run.confirmed(key)
        if performed is None or c.run.confirmed(f"{key}.verify") is not None:
            continue
        newest, _ = _first_act(c, key, performed[0])
        if c.now - newest.at > second_person_window(c):
            minutes = c.batch.opened.second_person_within_min
            words = f"No second person came within {minutes} min. The first person does it again."
            return [
                ev.FirstActLapsed(
                    phase=c.phase.id,
                    key=key,
                    person=performed[0].actor,
                    first_seq=performed[0].seq,
                    words=words,
                )
            ]
    return []


def alarm(c: Context, reason: str, *, priority: str, title: str, cause: str, action: str) -> ev.AlarmRaised:
    """An alarm of this phase; its id is never used twice."""
    number = len(c.run.all(ev.AlarmRaised)) + 1
    return ev.AlarmRaised(
        alarm=f"{c.batch.id}:{c.phase.id}:{reason}:{number}",
        priority=priority,
        title=title,
        cause=cause,
        action=action,
        phase=c.phase.id,
    )


def hold(c: Context, reason: str, words: str, *, action: str = "") -> list[ev.Event]:
    """Put the phase to its safe state and wait for a person."""
    if c.run.state not in (phase_states.RUNNING, phase_states.RESTARTING):
        return []
    return [
        ev.PhaseHolding(phase=c.phase.id, reason=reason, words=words),
        alarm(
            c,
            f"hold-{reason}",
            priority="high",
            title=f"{c.phase.title} is held",
            cause=words,
            action=action or "Look at the devices. Then restart the phase, or call the supervisor.",
        ),
    ]


def deviation(
    c: Context, words: str, classification: str = "major", *, offset: int = 0
) -> ev.DeviationOpened:
    """A deviation is opened by the limit that was crossed; nobody can forget it (F-066)."""
    number = c.count_of(ev.DeviationOpened) + 1 + offset
    return ev.DeviationOpened(
        deviation=f"{c.batch.id}-D{number}", phase=c.phase.id, words=words, classification=classification
    )


def check_limit(c: Context, name: str, value: Decimal, unit: str, title: str) -> list[ev.Event]:
    """Hold a value against a limit of the recipe; each limit speaks once a phase and level."""
    limit = c.phase.limits.get(name)
    if limit is None:
        return []
    level = limit.crossed_level(value, unit)
    if not level or c.run.has(ev.LimitCrossed, limit=name, level=level):
        return []
    words = f"{title}: {plain(value)} {unit}, limit {limit.words(level)}."
    events: list[ev.Event] = [
        ev.LimitCrossed(
            phase=c.phase.id, limit=name, value=plain(value), unit=unit, bound=limit.words(level), level=level
        )
    ]
    if level == "alert":
        return [*events, alarm(c, name, priority="low", title=title, cause=words, action="Watch it closely.")]
    events.append(deviation(c, words))
    if limit.on_action in ("hold", "stop"):  # the safe state of what moves product is to stop
        return [*events, *hold(c, name, words)]
    events.append(
        alarm(
            c,
            name,
            priority="medium",
            title=title,
            cause=words,
            action="Tell the supervisor. A deviation is open.",
        )
    )
    return events


def corrected_limit(
    c: Context, correction: ev.ValueCorrected, name: str, title: str, *, value: Decimal
) -> list[ev.Event]:
    """Hold a corrected number against its limit: crossing it only now is a deviation of its own."""
    limit, unit = c.phase.limits.get(name), correction.unit
    if limit is None:
        return []
    level = limit.crossed_level(value, unit)
    if not level or level == limit.crossed_level(Decimal(correction.old), unit):
        return []
    bound = limit.words(level)
    words = f"{title}: corrected from {correction.old} to {plain(value)} {unit}, limit {bound}."
    crossed = ev.LimitCrossed(
        phase=c.phase.id, limit=name, value=plain(value), unit=unit, bound=bound, level=level
    )
    if level == "alert":
        raised = alarm(c, name, priority="low", title=title, cause=words, action="Watch it closely.")
        return [crossed, raised]
    return [crossed, deviation(c, words)]


def request_scan(c: Context, key: str, formats: list[str], *, at_patient: bool = False) -> ev.ScanRequested:
    """Ask the camera for one label."""
    number = c.count_of(ev.ScanRequested) + 1
    return ev.ScanRequested(
        phase=c.phase.id,
        key=key,
        scan_id=f"{c.batch.id}-S{number}",
        formats=formats,
        at_patient=at_patient,
    )


def scan_pending(c: Context) -> bool:
    """Whether the camera still works on a request of this phase; a person's restart asks anew."""
    asked = c.run.last(ev.ScanRequested)
    if asked is None or c.run.has(ev.ScanRead, scan_id=asked[1].scan_id):
        return False
    if c.run.has(ev.ScanCancelled, scan_id=asked[1].scan_id):
        return False
    restarted = c.run.last(ev.PhaseRestarted)
    return restarted is None or restarted[0].seq < asked[0].seq


def request_import(c: Context, key: str, file: str) -> ev.ExchangeFileRequested:
    """Ask for one file of the station's exchange folder."""
    number = c.count_of(ev.ExchangeFileRequested) + 1
    return ev.ExchangeFileRequested(phase=c.phase.id, key=key, import_id=f"{c.batch.id}-F{number}", file=file)


def import_pending(c: Context) -> bool:
    """Whether a file of this phase is still being read; a person's restart asks anew."""
    asked = c.run.last(ev.ExchangeFileRequested)
    if asked is None or c.run.has(ev.ExchangeFileRead, import_id=asked[1].import_id):
        return False
    restarted = c.run.last(ev.PhaseRestarted)
    return restarted is None or restarted[0].seq < asked[0].seq


def complete(c: Context) -> list[ev.Event]:
    return [ev.PhaseCompleted(phase=c.phase.id)]
