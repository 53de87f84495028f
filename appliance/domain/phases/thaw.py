"""Thaw one bag in the bath until it is slush, with the time and the core temperature on record."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from appliance.domain import cross_check
from appliance.domain import events as ev
from appliance.domain.batch import Fact, ReadingNow
from appliance.domain.phase_logic import (
    Context,
    Logic,
    Timer,
    alarm,
    answer_events,
    check_limit,
    complete,
    confirm,
    deviation,
)
from appliance.domain.prompts import Prompt, PromptFact
from appliance.domain.quantity import plain
from appliance.domain.recipe import Phase
from appliance.domain.roles import Actor

WARMS_WITHIN_S = 60
MELTS_SLOWLY_C = 5  # so far below the end a core still warms steadily; nearer it rests while it melts


class Thaw(Logic):
    TYPE = "thaw"
    ROLES = ("thermostat",)
    PARAMETERS = {"bath": "degC", "bath_tolerance": "degC", "stop_at": "degC", "time_expected": "s"}
    LIMITS = {"thaw_time": "min", "core_temperature": "degC"}
    INSTRUCTIONS = ("bag_in", "bag_out")

    def parameters(self, phase: Phase) -> dict[str, str]:
        """A recipe may say itself when a bath has drifted; else it is half of its tolerance."""
        own = {cross_check.DRIFT: "degC"} if cross_check.DRIFT in phase.parameters else {}
        return dict(self.PARAMETERS) | own

    def prompts(self, c: Context) -> list[Prompt]:
        if c.run.confirmed("bag_in") is None:
            return [confirm(c, "bag_in", button="The bag is in the bath")] if self._bath_ready(c) else []
        if c.run.confirmed("bag_out") is None and (c.run.value("slush_c") is not None or self._overdue(c)):
            return [confirm(c, "bag_out", button="The bag is out")]
        return []

    def _overdue(self, c: Context) -> bool:
        """The thaw time is over: the bag must come out, also when the probe tells nothing."""
        return c.run.has(ev.LimitCrossed, limit="thaw_time", level="action")

    def _bath_ready(self, c: Context) -> bool:
        bath = c.good("thermostat", "bath_c")
        if bath is None:
            return False
        return abs(bath.number - c.phase.amount("bath", "degC")) <= c.phase.amount("bath_tolerance", "degC")

    def answered(self, c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
        events = answer_events(c, prompt, values, actor)
        if prompt.key != "bag_out":
            return events
        # What the call asked for is done: it must not stand over the screen for the rest of the batch.
        called = f"{c.batch.id}:{c.phase.id}:slush:"
        events += [ev.AlarmCleared(alarm=key) for key in c.unit.alarms if key.startswith(called)]
        core = c.good("thermostat", "probe_c")
        if core is not None:
            return [*events, c.recorded("core_c", core, role="thermostat")]
        return [*events, deviation(c, "The core temperature was not known when the bag was taken out.")]

    def advance(self, c: Context) -> list[ev.Event]:
        put_in = c.run.confirmed("bag_in")
        if put_in is None:
            return []
        taken_out = c.run.confirmed("bag_out")
        end = taken_out[0].at if taken_out else c.now
        events = check_limit(c, "thaw_time", minutes(put_in[0].at, end), "min", "Thaw time")
        if events:
            return events
        if taken_out is None:
            return self._watch_core(c, put_in[0].at) or self._drifted(c, put_in[0])
        core = c.run.value("core_c")
        if core is not None:
            events = check_limit(c, "core_temperature", core, "degC", "Core temperature")
            if events:
                return events
        if c.run.value("thaw_time_min") is None:
            return [c.derived("thaw_time_min", minutes(put_in[0].at, end), "min", "bag in to bag out")]
        return complete(c)

    def _watch_core(self, c: Context, since: datetime) -> list[ev.Event]:
        core = c.good("thermostat", "probe_c", after=since)
        if core is None or c.run.value("slush_c") is not None:
            return []
        if core.number < c.phase.amount("stop_at", "degC"):
            return []
        cause = f"The core is at {core.value} °C."
        return [
            c.recorded("slush_c", core, role="thermostat"),
            alarm(
                c,
                "slush",
                priority="medium",
                title="Take the bag out now",
                cause=cause,
                action="Take it out of the bath and dry it.",
            ),
        ]

    def _drifted(self, c: Context, put_in: Fact) -> list[ev.Event]:
        """Bath against set-point, probe against bath, and whether the core warms at all (F-034)."""
        if not cross_check.applies(c):
            return []
        bath = c.good("thermostat", "bath_c", after=put_in.at)
        core = c.good("thermostat", "probe_c", after=put_in.at)
        events = self._bath_drifts(c, bath, put_in) if bath is not None else []
        if core is None or events:
            return events
        if bath is not None and (events := self._core_beyond_bath(c, bath, core, put_in)):
            return events
        return self._core_does_not_warm(c, core, put_in)

    def _bath_drifts(self, c: Context, bath: ReadingNow, put_in: Fact) -> list[ev.Event]:
        setpoint, tolerance = c.phase.amount("bath", "degC"), c.phase.amount("bath_tolerance", "degC")
        own = cross_check.DRIFT in c.phase.parameters
        bound = c.phase.amount(cross_check.DRIFT, "degC") if own else tolerance / 2
        return cross_check.stays(
            c,
            "bath_drift",
            bath.number - setpoint,
            bound,
            after_seq=put_in.seq,
            received_at=bath.received_at,
            title="The bath runs away from its set-point",
            cause=f"The bath is at {bath.value} °C, its set-point is {plain(setpoint)} °C.",
            action="Look at its level, its lid and its display. Watch the bag.",
        )

    def _core_beyond_bath(
        self, c: Context, bath: ReadingNow, core: ReadingNow, put_in: Fact
    ) -> list[ev.Event]:
        """Nothing in a bath is warmer than the bath: one of the two sensors is wrong."""
        warmer_c = max(Decimal(0), core.number - bath.number)
        return cross_check.stays(
            c,
            "probe_drift",
            warmer_c,
            c.phase.amount("bath_tolerance", "degC"),
            after_seq=put_in.seq,
            received_at=max(bath.received_at, core.received_at),
            title="Probe and bath run apart",
            cause=f"The probe in the bag is at {core.value} °C, warmer than the bath with {bath.value} °C.",
            action="One of the two is wrong. Judge the bag by hand and call the supervisor.",
        )

    def _core_does_not_warm(self, c: Context, core: ReadingNow, put_in: Fact) -> list[ev.Event]:
        """A core far from melting that warms too slowly for the time that is left: a probe that is stuck."""
        stop_at, limit = c.phase.amount("stop_at", "degC"), c.phase.limits["thaw_time"].action
        if limit is None or core.number >= stop_at - MELTS_SLOWLY_C:
            return []
        return cross_check.follows(
            c,
            "core",
            core.number,
            target_c=stop_at,
            left_s=limit.in_unit("s") - c.elapsed_s(put_in.at),
            window_s=WARMS_WITHIN_S,
            title="The probe does not follow the bath",
            action="Look at the bag: the probe may tell nothing of it. Take the bag out when it is slush.",
        )

    def words(self, c: Context) -> str:
        if c.run.confirmed("bag_in") is None:
            return "Waiting for the bath and the bag"
        called = c.run.value("slush_c") is not None or self._overdue(c)
        return "Take the bag out" if called else "Thawing"

    def timer(self, c: Context) -> Timer | None:
        put_in = c.run.confirmed("bag_in")
        if put_in is None or c.run.confirmed("bag_out") is not None:
            return None
        limit = c.phase.limits["thaw_time"].action
        return Timer(
            "Bag thaws to slush",
            c.elapsed_s(put_in[0].at),
            target_s=int(c.phase.amount("time_expected", "s")),
            maximum_s=int(limit.in_unit("s")) if limit else None,
        )

    def facts(self, c: Context) -> list[PromptFact]:
        labels = {"slush_c": ("Core when called", "°C"), "core_c": ("Core when taken out", "°C")}
        labels["thaw_time_min"] = ("Thaw time", "min")
        return [
            PromptFact(words, f"{c.run.value(key)} {unit}")
            for key, (words, unit) in labels.items()
            if c.run.value(key) is not None
        ]


def minutes(start: datetime, end: datetime) -> Decimal:
    """Elapsed process time in minutes with two decimals."""
    seconds = Decimal(int((end - start).total_seconds() * 1000)) / 1000
    return (seconds / 60).quantize(Decimal("0.01"))
