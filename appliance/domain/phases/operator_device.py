"""A device without a public protocol: a person runs it, enters its result, a second person verifies it."""

from __future__ import annotations

from decimal import Decimal

from appliance.domain import events as ev
from appliance.domain.batch import Fact
from appliance.domain.phase_logic import (
    Context,
    Logic,
    Timer,
    check_limit,
    complete,
    confirm,
    confirmed_by_two,
    corrected_limit,
    two_person_prompts,
)
from appliance.domain.prompts import Field, Prompt, PromptFact

RESULTS = (
    Field(name="recovery", label="Recovery", kind="number", unit="%", minimum="0", maximum="110", decimals=0),
    Field(
        name="volume_out",
        label="Volume out",
        kind="number",
        unit="mL",
        minimum="1",
        maximum="200",
        decimals=1,
    ),
    Field(
        name="pressure_max", label="Highest pressure", kind="number", unit="mbar", minimum="0", maximum="2000"
    ),
)


class OperatorDevice(Logic):
    TYPE = "operator_device"
    PARAMETERS = {"time_expected": "s", "time_min": "s", "cycles": "count", "volume_out": "mL"}
    LIMITS = {"recovery": "%"}
    INSTRUCTIONS = ("setup", "result")
    VERIFIABLE = ("result",)
    TEXTS = ("device", "programme")
    ENTERED = {"result": RESULTS}

    def prompts(self, c: Context) -> list[Prompt]:
        started = c.run.confirmed("setup")
        if started is None:
            return [confirm(c, "setup", button="The programme runs")]
        if c.elapsed_s(started[0].at) < c.phase.amount("time_min", "s"):
            return []
        prompt = Prompt(
            phase=c.phase.id,
            key="result",
            kind="enter",
            title=c.phase.title,
            instruction=c.phase.instruction["result"],
            button="Record the result",
            fields=RESULTS,
            action=c.phase.action.get("result", ""),
            facts=(
                PromptFact("Device", c.phase.text["device"]),
                PromptFact("Programme", c.phase.text["programme"]),
            ),
        )
        return two_person_prompts(c, prompt, facts=lambda: entered_facts(c, "result", RESULTS))

    def advance(self, c: Context) -> list[ev.Event]:
        if not confirmed_by_two(c, "result"):
            return []
        entered = c.run.confirmed("result")
        assert entered is not None
        if c.run.value("recovery") is None:
            units = {field.name: field.unit for field in RESULTS}
            return [
                c.derived(name, value, units[name], "operator, verified by a second person")
                for name, value in entered[1].values.items()
            ]
        recovery = c.run.value("recovery") or Decimal(0)
        events = check_limit(c, "recovery", recovery, "%", f"{c.phase.title}: recovery")
        return events or complete(c)

    def corrected(self, c: Context, fact: Fact, correction: ev.ValueCorrected) -> list[ev.Event]:
        """The corrected value is taken over anew, once it was taken over before."""
        used = c.run.last(ev.ValueRecorded, key=correction.field)
        if used is None or used[0].seq > fact.seq:
            return []
        source = f"corrected by entry {fact.seq}; entry {correction.corrected_seq} keeps the first value"
        taken = c.derived(correction.field, correction.new, correction.unit, source)
        if correction.field != "recovery":
            return [taken]
        title, value = f"{c.phase.title}: recovery", Decimal(correction.new)
        return [taken, *corrected_limit(c, correction, "recovery", title, value=value)]

    def words(self, c: Context) -> str:
        return "Washer runs" if c.run.confirmed("setup") else "Waiting for the washer"

    def timer(self, c: Context) -> Timer | None:
        started = c.run.confirmed("setup")
        if started is None or c.run.confirmed("result"):
            return None
        target = int(c.phase.amount("time_expected", "s"))
        return Timer("Washer finishes", c.elapsed_s(started[0].at), target_s=target)

    def facts(self, c: Context) -> list[PromptFact]:
        return list(entered_facts(c, "result", RESULTS))


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
