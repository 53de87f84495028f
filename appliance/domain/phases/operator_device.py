"""A device without a public protocol: a person runs it, enters its result, a second person verifies it.

What is asked is the recipe's: which kind of device, its label, a picture, the file that it exports,
the numbers that it shows. What is neither typed nor imported stays unknown.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec, Fact
from appliance.domain.operator_devices import run_by_people
from appliance.domain.phase_logic import (
    Context,
    Logic,
    Timer,
    answer_events,
    check_limit,
    complete,
    confirm,
    confirmed_by_two,
    corrected_limit,
    deviation,
    import_pending,
    scan_pending,
    two_person_prompts,
)
from appliance.domain.phases import operator_file, operator_label
from appliance.domain.phases.operator_results import (
    RECOVERY,
    USUAL,
    WORKED_OUT,
    check_recovery,
    fields_of,
    formula,
    inputs_of,
    kind_of,
    limited,
    lowest_recovery,
    result_faults,
    worked_out,
)
from appliance.domain.prompts import Field, Prompt, PromptFact
from appliance.domain.recipe import Phase
from appliance.domain.roles import Actor

# What a recipe may ask beside the numbers, each "yes" or "no".
SCAN, PHOTO, FILE = "scan_serial_number", "photo", "exchange_file"
CHOICES = (SCAN, PHOTO, FILE)
YES_OR_NO = ("yes", "no")
NO_PHOTO, NO_FILE = "no_photo", "no_file"
PICTURE = ("picture",)  # in the place of symbols: only look
GOES_WITHOUT = {
    NO_PHOTO: ("no picture of the device was taken", "Go on without a picture"),
    NO_FILE: ("the device gave no exchange file, its results were typed", "Enter by hand"),
}


class OperatorDevice(Logic):
    TYPE = "operator_device"
    PARAMETERS = {"time_expected": "s", "time_min": "s", "cycles": "count", "volume_out": "mL"}
    LIMITS = {"recovery": "%"}
    INSTRUCTIONS = ("setup", "result")
    VERIFIABLE = ("result",)
    TEXTS = ("device", "programme")
    ENTERED = {"result": USUAL}
    ASKS_RESULTS = True

    # ── What a recipe needs ────────────────────────────────────────────────────────────

    def parameters(self, phase: Phase) -> dict[str, str]:
        of_a_washer = fields_of(phase) == USUAL
        return {
            name: unit
            for name, unit in self.PARAMETERS.items()
            if of_a_washer or name in ("time_expected", "time_min")
        }

    def limits(self, phase: Phase) -> dict[str, str]:
        if fields_of(phase) == USUAL:
            return dict(self.LIMITS)
        return {name: unit for name, unit in limited(phase).items() if name in phase.limits}

    def entered(self, phase: Phase) -> dict[str, tuple[Field, ...]]:
        return {"result": fields_of(phase)}

    def faults(self, phase: Phase) -> list[str]:
        place, kind = f"phase.{phase.id}", kind_of(phase)
        faults = result_faults(phase)
        foreign = sorted(phase.text.keys() - {*self.TEXTS, *CHOICES})
        faults += [f"{place}.text: '{key}' is not known; known are {_listed(self.TEXTS)}." for key in foreign]
        faults += [
            f"{place}.text.{key}: write yes or no."
            for key in CHOICES
            if phase.text.get(key, "no") not in YES_OR_NO
        ]
        if len(phase.uses) > 1 or (phase.uses and not kind):
            faults.append(f"{place}.uses: name one device that people run, or none.")
        if phase.safe_state:
            faults.append(f"{place}.safe_state: no program can stop a device that people run; leave it out.")
        if _asks(phase, SCAN) and not kind:
            faults.append(f"{place}.text.{SCAN}: name the kind of device in uses.")
        if _asks(phase, FILE) and not fields_of(phase):
            faults.append(f"{place}.text.{FILE}: name the results that its file gives.")
        asks_more = bool(kind or phase.results) or any(_asks(phase, key) for key in CHOICES)
        if asks_more and "result" not in phase.verify:
            faults.append(f"{place}.verify: write 'result'; a second person verifies what a device shows.")
        return faults

    def second_person_keys(self, phase: Phase) -> tuple[str, ...]:
        return (*phase.verify, operator_label.TYPED)

    # ── What is asked of people ────────────────────────────────────────────────────────

    def prompts(self, c: Context) -> list[Prompt]:
        if scan_pending(c) or import_pending(c):
            return []
        if _asks(c.phase, SCAN) and not operator_label.known(c):
            return operator_label.prompts(c, _device(c))
        started = c.run.confirmed("setup")
        if started is None:
            return [confirm(c, "setup", button="The programme runs")]
        if c.elapsed_s(started[0].at) < c.phase.amount("time_min", "s"):
            return []
        if c.run.confirmed("result") is None:
            if _asks(c.phase, PHOTO) and not _picture(c) and c.run.confirmed(NO_PHOTO) is None:
                return _photo_prompts(c)
            if (
                _asks(c.phase, FILE)
                and operator_file.accepted(c) is None
                and c.run.confirmed(NO_FILE) is None
            ):
                return [operator_file.prompt(c), _without(c, NO_FILE)]
        asked = two_person_prompts(c, _result_prompt(c), facts=lambda: _shown(c))
        again = (
            _asks(c.phase, FILE) and c.run.confirmed("result") is None and c.run.confirmed(NO_FILE) is None
        )
        return [*asked, replace(operator_file.prompt(c), title="Take another file")] if again else asked

    def answered(self, c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
        if prompt.key.startswith(operator_label.TYPED):
            return operator_label.typed(c, _device(c), prompt, values, actor)
        if prompt.key == "result":
            values = operator_file.values(c) | values
            self.check_entered(c, "result", values)
        events = answer_events(c, prompt, values, actor)
        if prompt.key in GOES_WITHOUT:
            events.append(deviation(c, f"{c.phase.title}: {GOES_WITHOUT[prompt.key][0]}.", "minor"))
        return events

    def check_entered(self, c: Context, key: str, values: dict[str, str]) -> None:
        if key == "result":
            check_recovery(c.phase, values)

    def scanned(self, c: Context, read: ev.ScanRead) -> list[ev.Event]:
        return operator_label.scanned(c, _device(c), read) if read.key == operator_label.SCANNED else []

    def imported(self, c: Context, read: ev.ExchangeFileRead) -> list[ev.Event]:
        return operator_file.judged(c, _device(c), read)

    # ── What follows by itself ─────────────────────────────────────────────────────────

    def advance(self, c: Context) -> list[ev.Event]:
        if _asks(c.phase, SCAN) and not operator_label.known(c):
            return operator_label.taken_over(c)
        if not confirmed_by_two(c, "result"):
            return []
        entered = c.run.confirmed("result")
        assert entered is not None
        return (
            self._taken_over(c, entered[1].values)
            or self._limits_crossed(c, entered[1].values)
            or complete(c)
        )

    def _taken_over(self, c: Context, values: dict[str, str]) -> list[ev.Event]:
        """Every value as a fact of its own, with where it comes from; once."""
        units = {field.name: field.unit for field in fields_of(c.phase)}
        if not values or c.run.has(ev.ValueRecorded, key=next(iter(values))):
            return []
        sources = operator_file.sources(c)
        taken: list[ev.Event] = [
            c.derived(name, value, units[name], sources.get(name, "operator, verified by a second person"))
            for name, value in values.items()
        ]
        ours = worked_out(c.phase, values)
        return taken if ours is None else [*taken, c.derived(WORKED_OUT, ours, "%", formula(c.phase))]

    def _limits_crossed(self, c: Context, values: dict[str, str]) -> list[ev.Event]:
        """One limit at a time: each deviation takes its number from those before it."""
        for name, unit in limited(c.phase).items():
            value = lowest_recovery(c.phase, values) if name == RECOVERY else Decimal(values[name])
            events = check_limit(c, name, value, unit, _titled(c, name)) if value is not None else []
            if events:
                return events
        return []

    def corrected(self, c: Context, fact: Fact, correction: ev.ValueCorrected) -> list[ev.Event]:
        """The corrected value is taken over anew, once it was taken over before."""
        used = c.run.last(ev.ValueRecorded, key=correction.field)
        if used is None or used[0].seq > fact.seq:
            return []
        source = f"corrected by entry {fact.seq}; entry {correction.corrected_seq} keeps the first value"
        events: list[ev.Event] = [c.derived(correction.field, correction.new, correction.unit, source)]
        entered = c.run.confirmed("result")
        assert entered is not None
        values = entered[1].values
        ours = worked_out(c.phase, values) if correction.field in inputs_of(c.phase) else None
        if ours is not None:
            events.append(c.derived(WORKED_OUT, ours, "%", f"{formula(c.phase)}; {source}"))
        return events + _limits_after(c, correction, values)

    # ── What is shown ──────────────────────────────────────────────────────────────────

    def words(self, c: Context) -> str:
        device = _device(c)
        if device is None:
            return "Washer runs" if c.run.confirmed("setup") else "Waiting for the washer"
        return f"{device.title} runs" if c.run.confirmed("setup") else f"Waiting for {device.title}"

    def timer(self, c: Context) -> Timer | None:
        started = c.run.confirmed("setup")
        if started is None or c.run.confirmed("result"):
            return None
        device, target = _device(c), int(c.phase.amount("time_expected", "s"))
        words = f"{device.title} finishes" if device else "Washer finishes"
        return Timer(words, c.elapsed_s(started[0].at), target_s=target)

    def facts(self, c: Context) -> list[PromptFact]:
        return [*_about(c), *entered_facts(c, "result", fields_of(c.phase))]


def _limits_after(c: Context, correction: ev.ValueCorrected, values: dict[str, str]) -> list[ev.Event]:
    """The limit of the corrected value itself, and that of the recovery which follows from it."""
    own: list[ev.Event] = []
    if correction.field != RECOVERY:
        value = Decimal(correction.new)
        own = corrected_limit(c, correction, correction.field, _titled(c, correction.field), value=value)
    if correction.field not in (RECOVERY, *inputs_of(c.phase)):
        return own
    taken = [known for key in (RECOVERY, WORKED_OUT) if (known := c.run.value(key)) is not None]
    lowest = lowest_recovery(c.phase, values)
    if not taken or lowest is None:
        return own
    before = replace(correction, old=str(min(taken)), unit="%")
    follows = corrected_limit(c, before, RECOVERY, _titled(c, RECOVERY), value=lowest)
    if not any(isinstance(event, ev.DeviationOpened) for event in own):
        return own + follows
    # Two deviations of one correction: each has a number of its own.
    return own + [
        deviation(c, event.words, event.classification, offset=1)
        if isinstance(event, ev.DeviationOpened)
        else event
        for event in follows
    ]


def _titled(c: Context, name: str) -> str:
    labels = {field.name: field.label for field in fields_of(c.phase)}
    return f"{c.phase.title}: {labels.get(name, 'Recovery').lower()}"


def _result_prompt(c: Context) -> Prompt:
    """The numbers that are still to be typed; what a file says is shown and cannot be typed over."""
    imported = operator_file.values(c)
    missing = tuple(field for field in fields_of(c.phase) if field.name not in imported)
    device = _device(c)
    named = (
        PromptFact("Device", device.title if device else c.phase.text["device"]),
        PromptFact("Programme", c.phase.text["programme"]),
    )
    # What is to be compared stands first: a small screen shows no more than a few lines.
    facts = (*operator_file.said(c), *_about(c), *named) if imported else (*named, *_about(c))
    return Prompt(
        phase=c.phase.id,
        key="result",
        kind="enter" if missing else "confirm",
        title=c.phase.title,
        instruction=c.phase.instruction["result"],
        button="Take over these results" if imported and not missing else "Record the result",
        fields=missing,
        action=c.phase.action.get("result", ""),
        facts=facts,
        picture=_picture(c),
    )


def _shown(c: Context) -> tuple[PromptFact, ...]:
    """What the second person compares: each value, and beside them where they come from."""
    return (*entered_facts(c, "result", fields_of(c.phase)), *_about(c))


def _about(c: Context) -> tuple[PromptFact, ...]:
    serial = (PromptFact("Serial number", operator_label.known(c)),) if operator_label.known(c) else ()
    picture: tuple[PromptFact, ...] = ()
    if _asks(c.phase, PHOTO):
        picture = (PromptFact("Picture", "taken" if _picture(c) else "none"),)
    return (*operator_file.facts(c), *serial, *picture)


def _photo_prompts(c: Context) -> list[Prompt]:
    tried = c.run.last(ev.ScanRead, key=PHOTO)
    prompt = Prompt(
        phase=c.phase.id,
        key=PHOTO,
        kind="scan",
        title=f"{c.phase.title}: picture",
        instruction=c.phase.instruction.get(
            PHOTO, "Hold the camera so that the whole display is in the picture, and no name of a patient."
        ),
        button="Take the picture",
        expects="the display of the device",
        facts=(PromptFact("Last try", "no new picture came from the camera"),) if tried else (),
        action=c.phase.action.get(PHOTO, ""),
        formats=PICTURE,
    )
    return [prompt, _without(c, NO_PHOTO)] if tried else [prompt]


def _without(c: Context, key: str) -> Prompt:
    """The way on where a camera or a stick fails: on record as a minor deviation."""
    said, button = GOES_WITHOUT[key]
    return Prompt(
        phase=c.phase.id,
        key=key,
        kind="confirm",
        title=button,
        instruction=f"Only if there is no other way: {said}. A minor deviation is opened.",
        button=button,
    )


def _picture(c: Context) -> str:
    found = c.run.last(ev.ScanRead, key=PHOTO)
    return found[1].picture if found else ""


def _asks(phase: Phase, key: str) -> bool:
    return phase.text.get(key) == "yes"


def _device(c: Context) -> DeviceSpec | None:
    """The device of the appliance file that this phase names, where it names one."""
    kind = kind_of(c.phase)
    return c.unit.device_of(kind) if run_by_people(kind) else None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join((*names, *CHOICES))


def entered_facts(c: Context, key: str, fields: tuple[Field, ...]) -> tuple[PromptFact, ...]:
    """What was entered, raw, for the person who verifies it."""
    entered = c.run.confirmed(key)
    if entered is None:
        return ()
    facts = []
    for field in fields:
        value = entered[1].values.get(field.name, "")
        words = next((choice.words for choice in field.choices if choice.value == value), value)
        facts.append(PromptFact(field.label, f"{words} {field.unit}".strip()))
    return tuple(facts)
