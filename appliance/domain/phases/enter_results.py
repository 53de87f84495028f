"""Off-line release tests: endotoxin and Gram stain, entered by one person and verified by another."""

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
    deviation,
    two_person_prompts,
)
from appliance.domain.phases.operator_device import entered_facts
from appliance.domain.prompts import Choice, Field, Prompt, PromptFact
from appliance.domain.release import judged

RESULTS = (
    Field(
        name="endotoxin",
        label="Endotoxin",
        kind="number",
        unit="EU/mL",
        minimum="0",
        maximum="100",
        decimals=3,
    ),
    Field(
        name="gram",
        label="Gram stain",
        kind="choice",
        choices=(Choice("none_seen", "No organisms seen"), Choice("seen", "Organisms seen")),
    ),
)
RULE = "point value, entered and verified by two persons"


class EnterResults(Logic):
    TYPE = "enter_results"
    PARAMETERS = {"time_expected": "s"}
    LIMITS = {"endotoxin": "EU/mL"}
    INSTRUCTIONS = ("setup", "result")
    VERIFIABLE = ("result",)
    ENTERED = {"result": RESULTS}

    def prompts(self, c: Context) -> list[Prompt]:
        started = c.run.confirmed("setup")
        if started is None:
            return [confirm(c, "setup", button="The tests run")]
        if c.elapsed_s(started[0].at) < c.phase.amount("time_expected", "s"):
            return []
        prompt = Prompt(
            phase=c.phase.id,
            key="result",
            kind="enter",
            title=c.phase.title,
            instruction=c.phase.instruction["result"],
            button="Record the results",
            fields=RESULTS,
        )
        return two_person_prompts(c, prompt, facts=lambda: entered_facts(c, "result", RESULTS))

    def advance(self, c: Context) -> list[ev.Event]:
        if not confirmed_by_two(c, "result"):
            return []
        entered = c.run.confirmed("result")
        assert entered is not None
        endotoxin, gram = entered[1].values["endotoxin"], entered[1].values["gram"]
        events = check_limit(c, "endotoxin", Decimal(endotoxin), "EU/mL", "Endotoxin")
        if events:
            return events
        results: list[ev.Event] = [self._judged(c, "endotoxin", endotoxin), self._judged(c, "gram", gram)]
        if gram == "seen":
            results.append(deviation(c, "Gram stain: organisms seen.", "critical"))
        return [*results, *complete(c)]

    @staticmethod
    def _judged(c: Context, test: str, value: str, rule: str = RULE) -> ev.ResultReceived:
        """One entered result against its limit."""
        unit, bound, verdict = "", "no organisms", "pass" if value == "none_seen" else "fail"
        if test == "endotoxin":
            limit = c.phase.limits["endotoxin"]
            assert limit.action is not None
            unit, bound = "EU/mL", limit.words("action")
            verdict = judged(Decimal(value), None, limit.action.value)
        return ev.ResultReceived(
            phase=c.phase.id,
            test=test,
            value=str(Decimal(value)) if unit else value,
            interval=[],
            unit=unit,
            limit=bound,
            verdict=verdict,
            rule=rule,
        )

    def corrected(self, c: Context, fact: Fact, correction: ev.ValueCorrected) -> list[ev.Event]:
        """A result that was judged already is judged anew, and says which correction it follows from."""
        used = c.run.last(ev.ResultReceived, test=correction.field)
        if used is None or used[0].seq > fact.seq:
            return []
        kept = f"entry {correction.corrected_seq} keeps the first value"
        rule = f"{RULE}; corrected by entry {fact.seq}, {kept}"
        result = self._judged(c, correction.field, correction.new, rule)
        if correction.field == "endotoxin":
            value = Decimal(correction.new)
            return [result, *corrected_limit(c, correction, "endotoxin", "Endotoxin", value=value)]
        if correction.new == "seen" and correction.old != "seen":
            return [result, deviation(c, "Gram stain: corrected to organisms seen.", "critical")]
        return [result]

    def words(self, c: Context) -> str:
        return "Tests run" if c.run.confirmed("setup") else "Waiting for the cartridge"

    def timer(self, c: Context) -> Timer | None:
        started = c.run.confirmed("setup")
        if started is None or c.run.confirmed("result"):
            return None
        target = int(c.phase.amount("time_expected", "s"))
        return Timer("Endotoxin cartridge", c.elapsed_s(started[0].at), target_s=target)

    def facts(self, c: Context) -> list[PromptFact]:
        return list(entered_facts(c, "result", RESULTS))
