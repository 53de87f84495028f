"""Count the sample's replicates, pool them, and let a person accept or repeat (SAFETY 8)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from appliance.domain import count_fitness
from appliance.domain import events as ev
from appliance.domain.phase_logic import Context, Logic, answer_events, check_limit, complete, confirm
from appliance.domain.prompts import Choice, Field, Prompt, PromptFact
from appliance.domain.quantity import rounded
from appliance.domain.recipe import Phase
from appliance.domain.release import judged, replicate_cv_percent, scientific, viable_concentration
from appliance.domain.roles import Actor

REPLICATES_MAX = 9
RULES = ("point", "lower_bound")
POOLED = 0  # the replicate number of the pooled result
DECISION = Field(
    name="decision",
    label="Decision",
    kind="choice",
    choices=(Choice("accept", "Accept and sign"), Choice("repeat", "Repeat the count")),
)


class CountCells(Logic):
    TYPE = "count_cells"
    PARAMETERS = {"replicates": "count"}
    LIMITS = {"cells_per_replicate": "cells", "replicate_cv": "%", "viability": "%"}
    INSTRUCTIONS = ("load",)
    TEXTS = ("method", "rule")

    def faults(self, phase: Phase) -> list[str]:
        place, faults = f"phase.{phase.id}", list[str]()
        replicates = phase.amount("replicates", "count")
        if replicates != int(replicates) or not 1 <= replicates <= REPLICATES_MAX:
            faults.append(f"{place}.parameter.replicates: write a whole number from 1 to {REPLICATES_MAX}.")
        if phase.text["rule"] not in RULES:
            faults.append(f"{place}.text.rule: write {' or '.join(RULES)}.")
        return faults

    def _replicates(self, c: Context) -> int:
        return int(c.phase.amount("replicates", "count"))

    def _series(self, c: Context) -> list[ev.CellCountReported]:
        """The counts since the chamber was last filled, by the method that is qualified."""
        repeated = c.run.last(ev.CountRepeated)
        after = repeated[0].seq if repeated else 0
        counts = [
            count
            for fact, count in c.run.all(ev.CellCountReported)
            if fact.seq > after and count_fitness.usable(c.unit, c.batch, count)
        ]
        return list({count.replicate: count for count in counts}.values())

    def _loaded(self, c: Context) -> bool:
        loaded, repeated = c.run.confirmed("load"), c.run.last(ev.CountRepeated)
        return loaded is not None and (repeated is None or loaded[0].seq > repeated[0].seq)

    def _missing(self, c: Context) -> int | None:
        done = {count.replicate for count in self._series(c)}
        return next((n for n in (*range(1, self._replicates(c) + 1), POOLED) if n not in done), None)

    def _pending(self, c: Context) -> bool:
        asked = c.run.last(ev.CountRequested)
        restarted = c.run.last(ev.PhaseRestarted)
        if asked is None or (restarted is not None and asked[0].seq < restarted[0].seq):
            return False  # a person's restart asks anew
        answered = c.run.has(ev.CellCountReported, count_id=asked[1].count_id)
        return not (answered or c.run.has(ev.CountFailed, count_id=asked[1].count_id))

    def _failed(self, c: Context) -> ev.CountFailed | None:
        """The newest count failed and nobody has asked for another try since."""
        failed, asked = c.run.last(ev.CountFailed), c.run.last(ev.CountRequested)
        retried = c.run.last(ev.InstructionConfirmed, key="again")
        if failed is None or asked is None or failed[1].count_id != asked[1].count_id:
            return None
        return None if retried is not None and retried[0].seq > failed[0].seq else failed[1]

    def advance(self, c: Context) -> list[ev.Event]:
        if not self._loaded(c) or self._pending(c) or self._failed(c) is not None:
            return []
        missing = self._missing(c)
        if missing is not None:
            number = c.count_of(ev.CountRequested) + 1
            return [
                ev.CountRequested(phase=c.phase.id, count_id=f"{c.batch.id}-C{number}", replicate=missing)
            ]
        return self._close(c) if self._accepted(c) else []

    def _accepted(self, c: Context) -> bool:
        """Whether a person accepted the counts as they are: one that came later was not looked at."""
        accepted, counted = c.run.confirmed("accept"), c.run.last(ev.CellCountReported)
        return accepted is not None and (counted is None or counted[0].seq < accepted[0].seq)

    def _close(self, c: Context) -> list[ev.Event]:
        series = self._series(c)
        replicates = [count for count in series if count.replicate != POOLED]
        pooled = next(count for count in series if count.replicate == POOLED)
        fewest = Decimal(min(count.live + count.dead for count in replicates))
        cv = replicate_cv_percent([Decimal(count.live + count.dead) / count.fields for count in replicates])
        # One limit at a time: each deviation takes its number from those before it.
        return (
            check_limit(c, "cells_per_replicate", fewest, "cells", "Cells in the smallest replicate")
            or check_limit(c, "replicate_cv", cv, "%", "Variation between replicates")
            or check_limit(c, "viability", self._ruled(c, pooled), "%", "Viability")
            or [*self._results(c, pooled, cv), *complete(c)]
        )

    def _ruled(self, c: Context, pooled: ev.CellCountReported) -> Decimal:
        bound = c.phase.text["rule"] == "lower_bound"
        return Decimal(pooled.viability_interval_percent[0] if bound else pooled.viability_percent)

    def _results(self, c: Context, pooled: ev.CellCountReported, cv: Decimal) -> list[ev.Event]:
        limit, spread = c.phase.limits["viability"], c.phase.limits["replicate_cv"]
        assert limit.action is not None and spread.action is not None
        viable, low, high = viable_concentration(pooled)
        rule = "lower end of the 95 % interval" if c.phase.text["rule"] == "lower_bound" else "point value"
        verdict = judged(self._ruled(c, pooled), limit.action.value, None)
        return [
            self._result(
                c,
                "viability",
                pooled.viability_percent,
                pooled.viability_interval_percent,
                "%",
                limit.words("action"),
                verdict,
                rule,
            ),
            self._result(
                c,
                "viable_concentration",
                rounded(viable, 0),
                [rounded(low, 0), rounded(high, 0)],
                "cells/mL",
                "",
                "report",
                "report",
            ),
            self._result(
                c,
                "replicate_cv",
                str(cv),
                [],
                "%",
                spread.words("action"),
                judged(cv, None, spread.action.value),
                "point value",
            ),
        ]

    @staticmethod
    def _result(
        c: Context, test: str, value: str, interval: list[str], unit: str, limit: str, verdict: str, rule: str
    ) -> ev.ResultReceived:
        return ev.ResultReceived(
            phase=c.phase.id,
            test=test,
            value=value,
            interval=interval,
            unit=unit,
            limit=limit,
            verdict=verdict,
            rule=rule,
        )

    def prompts(self, c: Context) -> list[Prompt]:
        if not self._loaded(c):
            return [confirm(c, "load", button="Start counting")]
        failed = self._failed(c)
        if failed is not None:
            prompt = Prompt(
                phase=c.phase.id,
                key="again",
                kind="confirm",
                title="Counting failed",
                instruction=f"{failed.words} Look at the microscope, then try again.",
                button="Count again",
            )
            return [prompt]
        if self._missing(c) is not None or self._accepted(c):
            return []
        return [self._review(c)]

    def _review(self, c: Context) -> Prompt:
        series = self._series(c)
        pooled = next(count for count in series if count.replicate == POOLED)
        good = all(count.verdict == "counted" for count in series)
        prompt = Prompt(
            phase=c.phase.id,
            key="accept",
            kind="review",
            title="Look at the count",
            instruction="Are the marks on the cells? Accept the count, or repeat it with a new chamber.",
            button="Accept and sign",
            needs="signature",
            meaning="performed",
            content=self._statement(c, series),
            roles=c.phase.roles or ("operator",),
            facts=tuple(self.facts(c)),
            fields=(DECISION,),
            picture=pooled.overlay,
        )
        if good:
            return prompt
        words = "At least one replicate cannot be used. Fill a new chamber and count again."
        return replace(
            prompt,
            key="repeat",
            kind="confirm",
            instruction=words,
            button="Repeat the count",
            needs="session",
            meaning="",
            content="",
            fields=(),
        )

    def _statement(self, c: Context, series: list[ev.CellCountReported]) -> str:
        counts = [
            {
                "replicate": n.replicate,
                "live": n.live,
                "dead": n.dead,
                "verdict": n.verdict,
                "viability_percent": n.viability_percent,
                "interval": n.viability_interval_percent,
                "images": n.images,
                "method": n.method,
            }
            for n in series
        ]
        return c.content({"what": "cell count", "counts": counts})

    def answered(self, c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
        if prompt.key == "repeat" or values.get("decision") == "repeat":
            return [ev.CountRepeated(phase=c.phase.id, reason=f"Asked for by {actor.id}")]
        return answer_events(c, prompt, values, actor)

    def words(self, c: Context) -> str:
        if not self._loaded(c):
            return "Waiting for the chamber"
        return "Counting" if self._missing(c) is not None else "Waiting for a person to look"

    def facts(self, c: Context) -> list[PromptFact]:
        facts = []
        for count in self._series(c):
            name = "Pooled" if count.replicate == POOLED else f"Replicate {count.replicate}"
            low, high = count.viability_interval_percent or ["", ""]
            text = f"{count.live + count.dead} cells, {count.viability_percent} % viable ({low} to {high} %)"
            if count.verdict != "counted":
                text = f"{count.verdict}: {count.words or ', '.join(count.reasons)}"
            elif count.replicate == POOLED:
                viable, least, most = (scientific(one) for one in viable_concentration(count))
                text += f", {viable} viable cells/mL ({least} to {most})"
            facts.append(PromptFact(name, text, count.verdict != "counted"))
        return facts
