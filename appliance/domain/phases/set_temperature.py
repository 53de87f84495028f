"""Bring the bath to its set-point. The safe state is to keep it: a cold bath is a hazard too (SAFETY 2)."""

from __future__ import annotations

from decimal import Decimal

from appliance.domain import cross_check
from appliance.domain import events as ev
from appliance.domain.orders import state_of_last_order
from appliance.domain.phase_logic import Context, Logic, Timer, complete, hold
from appliance.domain.prompts import PromptFact
from appliance.domain.quantity import plain

FOLLOWS_WITHIN_S = 60  # a heater has shown by then whether it heats


class SetTemperature(Logic):
    TYPE = "set_temperature"
    ROLES = ("thermostat",)
    PARAMETERS = {"setpoint": "degC", "tolerance": "degC", "time_max": "s"}

    def advance(self, c: Context) -> list[ev.Event]:
        setpoint, tolerance = c.phase.amount("setpoint", "degC"), c.phase.amount("tolerance", "degC")
        seen = c.good("thermostat", "setpoint_c")
        if seen is None:
            return self._too_slow(c)
        if seen.number != setpoint:
            return self._ordered(c, "set", {"setpoint_c": plain(setpoint)})
        running = c.good("thermostat", "running")
        if running is None or running.value != "running":
            return self._ordered(c, "start", {}) if running is not None else self._too_slow(c)
        bath = c.good("thermostat", "bath_c")
        if bath is None:
            return self._too_slow(c)
        if abs(bath.number - setpoint) > tolerance:
            return self._too_slow(c) or self._does_not_follow(c, bath.number)
        return [c.recorded("bath_c", bath, role="thermostat"), *complete(c)]

    def _ordered(self, c: Context, name: str, parameters: dict[str, str]) -> list[ev.Event]:
        match state_of_last_order(c, "thermostat", name):
            case "none":
                return [c.order("thermostat", name, parameters)]
            case "refused":
                return hold(c, "thermostat_refused", f"The bath did not take the order '{name}'.")
            case _:
                # Also an order that was taken and does not show: no wait here is without an end.
                return self._too_slow(c)

    def _too_slow(self, c: Context) -> list[ev.Event]:
        since = c.run.resumed_at
        if since is None or c.elapsed_s(since) <= c.phase.amount("time_max", "s"):
            return []
        return hold(c, "bath_too_slow", "The bath does not reach its set-point. Look at its level and lid.")

    def _does_not_follow(self, c: Context, bath_c: Decimal) -> list[ev.Event]:
        """A bath whose slope will not bring it there in time is told before the time is over (F-034)."""
        since = c.run.resumed_at
        if since is None or not cross_check.applies(c):
            return []
        setpoint, tolerance = c.phase.amount("setpoint", "degC"), c.phase.amount("tolerance", "degC")
        time_max_s = c.phase.amount("time_max", "s")
        return cross_check.follows(
            c,
            "bath",
            bath_c,
            target_c=setpoint - tolerance if bath_c < setpoint else setpoint + tolerance,
            left_s=time_max_s - c.elapsed_s(since),
            window_s=max(FOLLOWS_WITHIN_S, int(time_max_s / 10)),
            title="The bath does not follow its set-point",
            action="Look at its level, its lid and its display.",
        )

    def words(self, c: Context) -> str:
        return f"Warming to {c.phase.parameters['setpoint'].value}"

    def timer(self, c: Context) -> Timer | None:
        since = c.run.started_at
        if since is None:
            return None
        return Timer("Bath warms up", c.elapsed_s(since), maximum_s=int(c.phase.amount("time_max", "s")))

    def facts(self, c: Context) -> list[PromptFact]:
        value = c.run.value("bath_c")
        return [PromptFact("Bath", f"{value} °C")] if value is not None else []
