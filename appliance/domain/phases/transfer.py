"""Move an ordered volume with the pump while the balance weighs what arrives.

The balance, not the pump, says how much is still to come when a transfer resumes: the pump's
counter may be void after a power cut, the bag's weight is not.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from appliance.domain import cross_check
from appliance.domain import events as ev
from appliance.domain.batch import Fact, ReadingNow
from appliance.domain.errors import QuantityRefused
from appliance.domain.orders import last_order, state_of_last_order
from appliance.domain.phase_logic import (
    Context,
    Logic,
    Timer,
    check_limit,
    complete,
    confirm,
    confirmed_by_two,
    deviation,
    hold,
    two_person_prompts,
)
from appliance.domain.prompts import Prompt, PromptFact
from appliance.domain.quantity import plain, rounded
from appliance.domain.recipe import Phase
from appliance.domain.release import BOTH_BOUNDS, POINT, WINDOW_RULES, dose_result

VOLUME_LEFT_ML_MIN = Decimal("0.3")  # less than this is inside the balance's own uncertainty
PUMPING_SLACK_S = 300  # a pump that runs for twice its time and this is not pumping
DOSE_PARAMETERS = {"dose_min": "cells/kg", "dose_max": "cells/kg"}
OF_A_SYRINGE = "syringe_diameter"  # for pumps that push one; roller pumps refuse it


class Transfer(Logic):
    TYPE = "transfer"
    ROLES = ("pump", "balance")
    PARAMETERS = {
        "volume": "mL",
        "flow": "mL/min",
        "density": "g/mL",
        "bag_weight_min": "g",
        "rest": "s",
    }
    LIMITS = {"mass_balance": "g"}
    INSTRUCTIONS = ("setup",)
    VERIFIABLE = ("setup",)

    def parameters(self, phase: Phase) -> dict[str, str]:
        of_a_syringe = {OF_A_SYRINGE: "mm"} if OF_A_SYRINGE in phase.parameters else {}
        return {**self.PARAMETERS, **of_a_syringe}

    def limits(self, phase: Phase) -> dict[str, str]:
        """A recipe may say itself when pump and balance have drifted apart; else it follows."""
        own = {cross_check.DRIFT: "g"} if cross_check.DRIFT in phase.limits else {}
        return dict(self.LIMITS) | own

    def faults(self, phase: Phase) -> list[str]:
        place = f"phase.{phase.id}"
        faults = [
            f"{place}.parameter.{name}: write a number above zero."
            for name in ("volume", "flow", "density", OF_A_SYRINGE)
            if name in phase.parameters and phase.parameters[name].value.value <= 0
        ]
        if phase.safe_state.get("pump") != "stop":
            faults.append(f"{place}.safe_state: a pump moves product; its safe state is stop.")
        if phase.text.get("dose") == "yes":
            missing = [name for name in DOSE_PARAMETERS if name not in phase.parameters]
            faults += [f"{place}.parameter: '{name}' in cells/kg is missing." for name in missing]
            if not missing and not self._window_is_open(phase):
                faults.append(f"{place}.parameter: dose_min and dose_max are no window in cells/kg.")
        if phase.text.get("dose_rule", POINT) not in WINDOW_RULES:
            faults.append(f"{place}.text.dose_rule: write {' or '.join(WINDOW_RULES)}.")
        return faults

    def _window_is_open(self, phase: Phase) -> bool:
        try:
            low, high = (phase.amount(name, unit) for name, unit in DOSE_PARAMETERS.items())
        except QuantityRefused:
            return False
        return low < high

    def prompts(self, c: Context) -> list[Prompt]:
        return two_person_prompts(
            c, confirm(c, "setup", button="All is connected"), facts=lambda: self._plan(c)
        )

    def _plan(self, c: Context) -> tuple[PromptFact, ...]:
        names = (("volume", "Volume"), ("flow", "Flow"))
        return tuple(PromptFact(words, str(c.phase.parameters[name].value)) for name, words in names)

    def advance(self, c: Context) -> list[ev.Event]:
        if not confirmed_by_two(c, "setup"):
            return []
        if c.run.value("weight_start_g") is None:
            return self._weigh_start(c)
        if c.run.value("weight_end_g") is None:
            return self._pump(c)
        if c.run.value("moved_g") is None:
            moved = self._grams(c, "weight_end_g") - self._grams(c, "weight_start_g")
            return [c.derived("moved_g", moved, "g", "balance: end less start")]
        return self._close(c)

    def _grams(self, c: Context, key: str) -> Decimal:
        value = c.run.value(key)
        assert value is not None, key
        return value

    def _stable_weight(self, c: Context, after: str) -> ReadingNow | None:
        """A good and stable weight received after the newest fact of that key."""
        found = c.run.last(ev.ValueRecorded, key=after) or c.run.confirmed(after)
        since = found[0].at if found else None
        resumed = c.run.resumed_at
        if resumed is not None and (since is None or resumed > since):
            since = resumed
        weight = c.good("balance", "weight_g", after=since)
        return weight if weight is not None and weight.detail == "stable" else None

    def _weigh_start(self, c: Context) -> list[ev.Event]:
        weight = self._stable_weight(c, "setup")
        if weight is None or weight.number < c.phase.amount("bag_weight_min", "g"):
            return []
        return [c.recorded("weight_start_g", weight, role="balance")]

    def _pump(self, c: Context) -> list[ev.Event]:
        match state_of_last_order(c, "pump", "infuse"):
            case "none":
                return self._order_rest_of_volume(c)
            case "refused":
                refused = c.run.last(ev.DeviceRefusedOrder)
                return hold(c, "pump_refused", refused[1].words if refused else "The pump refused.")
            case "done":
                return self._watch_pump(c)
            case _:
                return []

    def _order_rest_of_volume(self, c: Context) -> list[ev.Event]:
        state = c.good("pump", "state", after=c.run.resumed_at)
        weight = self._stable_weight(c, "weight_start_g")
        if state is None or weight is None or state.value == "infusing":
            return []
        if state.value == "alarm" and not self._alarm_was_looked_at(c):
            return self._hold_for_alarm(c)
        left_ml, earlier = c.phase.amount("volume", "mL"), last_order(c, "pump", "infuse")
        if earlier is not None:  # before the first order nothing can have arrived
            density = c.phase.amount("density", "g/mL")
            arrived_ml = (weight.number - self._grams(c, "weight_start_g")) / density
            if arrived_ml < -VOLUME_LEFT_ML_MIN:
                words = "The balance shows less than at the start. Put the bag back on it as it was."
                return hold(c, "bag_off_balance", words)
            left_ml -= max(arrived_ml, Decimal(0))
            if left_ml < VOLUME_LEFT_ML_MIN:
                return [c.recorded("weight_end_g", weight, role="balance")]
        parameters = {
            "volume_ml": rounded(left_ml, 2),
            "rate_ml_min": plain(c.phase.amount("flow", "mL/min")),
        }
        if OF_A_SYRINGE in c.phase.parameters:
            parameters["diameter_mm"] = plain(c.phase.amount(OF_A_SYRINGE, "mm"))
        events: list[ev.Event] = [c.order("pump", "infuse", parameters)]
        if earlier is not None:
            events.insert(0, c.derived("left_ml", rounded(left_ml, 2), "mL", "balance, before going on"))
        return events

    def _watch_pump(self, c: Context) -> list[ev.Event]:
        reported = c.run.last(ev.DeviceReported)
        assert reported is not None
        state = c.good("pump", "state", after=reported[0].at)
        if state is None or state.value == "infusing":
            drifted = self._drifted(c, reported[0]) if state is not None else []
            return drifted or self._too_slow(c, reported[0].at, reported[1].order_id)
        if state.value == "alarm":
            return self._hold_for_alarm(c)
        return self._after_pump(c, reported[1].order_id)

    def _drifted(self, c: Context, reported: Fact) -> list[ev.Event]:
        """What arrives on the balance, held against the pump's counter while it runs (F-034)."""
        if not cross_check.applies(c):
            return []
        delivered = c.good("pump", "delivered_ml", after=reported.at)
        weight = c.good("balance", "weight_g", after=reported.at)
        if delivered is None or weight is None:
            return []
        newer = max(delivered.received_at, weight.received_at)
        later_s = Decimal(str((delivered.received_at - weight.received_at).total_seconds()))
        flow_ml_min = c.phase.amount("flow", "mL/min")
        pair = self._pair(c, delivered.number, weight, flow_ml_min=flow_ml_min, pump_later_s=later_s)
        return cross_check.pump_and_balance(c, pair, order_seq=self._order_seq(c), received_at=newer)

    def _order_seq(self, c: Context) -> int:
        ordered = last_order(c, "pump", "infuse")
        assert ordered is not None, "a pump that runs was ordered to"
        return ordered[0].seq

    def _pair(
        self,
        c: Context,
        delivered_ml: Decimal,
        weight: ReadingNow,
        *,
        flow_ml_min: Decimal = Decimal(0),
        pump_later_s: Decimal = Decimal(0),
    ) -> cross_check.Pair:
        density = c.phase.amount("density", "g/mL")
        ordered = last_order(c, "pump", "infuse")
        left = c.run.last(ev.ValueRecorded, key="left_ml")
        before_g = self._grams(c, "weight_start_g")
        if left is not None and ordered is not None and left[0].seq < ordered[0].seq:
            # What had arrived when the pump was ordered to go on, as the balance showed it then.
            before_g += (c.phase.amount("volume", "mL") - Decimal(left[1].value)) * density
        return cross_check.pair(
            delivered_ml=delivered_ml,
            weight_g=weight.number,
            weight_before_g=before_g,
            density_g_ml=density,
            flow_ml_min=flow_ml_min,
            pump_later_s=pump_later_s,
            clock_speed=Decimal(c.batch.opened.clock_speed),
        )

    def _hold_for_alarm(self, c: Context) -> list[ev.Event]:
        detail = c.reading("pump", "alarm")
        words = (detail.value if detail else "") or "unknown alarm"
        return hold(c, "pump_alarm", f"The pump stopped with an alarm: {words}.")

    def _alarm_was_looked_at(self, c: Context) -> bool:
        """A person restarted after being told of it; the pump forgets its alarm with the next order."""
        held, ordered = c.run.last(ev.PhaseHolding, reason="pump_alarm"), last_order(c, "pump", "infuse")
        return held is not None and (ordered is None or held[0].seq > ordered[0].seq)

    def _too_slow(self, c: Context, since: datetime, order_id: str) -> list[ev.Event]:
        ordered = c.run.last(ev.DeviceOrdered, order_id=order_id)
        assert ordered is not None
        minutes = Decimal(ordered[1].parameters["volume_ml"]) / c.phase.amount("flow", "mL/min")
        if c.elapsed_s(since) <= 2 * 60 * minutes + PUMPING_SLACK_S:
            return []
        return hold(
            c, "pump_too_slow", "The pump runs for far longer than its volume takes. Look at the line."
        )

    def _after_pump(self, c: Context, order_id: str) -> list[ev.Event]:
        key = f"delivered_ml:{order_id}"
        if c.run.value(key) is None:
            reported = c.run.last(ev.DeviceReported)
            delivered = c.good("pump", "delivered_ml", after=reported[0].at if reported else None)
            return [] if delivered is None else [c.recorded(key, delivered, role="pump")]
        ordered = c.run.last(ev.DeviceOrdered, order_id=order_id)
        assert ordered is not None
        short_ml = Decimal(ordered[1].parameters["volume_ml"]) - self._grams(c, key)
        if short_ml > VOLUME_LEFT_ML_MIN:
            return hold(c, "pump_stopped_early", f"The pump stopped {plain(short_ml)} mL short of its order.")
        weight = self._stable_weight(c, key)
        if weight is None:
            return []
        return [*self._apart_at_rest(c, order_id, weight), c.recorded("weight_end_g", weight, role="balance")]

    def _apart_at_rest(self, c: Context, order_id: str, weight: ReadingNow) -> list[ev.Event]:
        if not cross_check.applies(c):
            return []
        ordered = c.run.last(ev.DeviceOrdered, order_id=order_id)
        assert ordered is not None
        pair = self._pair(c, self._grams(c, f"delivered_ml:{order_id}"), weight)
        return cross_check.pump_and_balance_at_rest(c, pair, order_seq=ordered[0].seq)

    def _close(self, c: Context) -> list[ev.Event]:
        moved = self._grams(c, "moved_g")
        expected = c.phase.amount("volume", "mL") * c.phase.amount("density", "g/mL")
        events = check_limit(c, "mass_balance", abs(moved - expected), "g", f"{c.phase.title}: mass balance")
        if events:
            return events
        if c.phase.text.get("dose") == "yes" and not c.run.has(ev.ResultReceived, test="dose"):
            return self._dose(c, dose_result(c, moved / c.phase.amount("density", "g/mL")))
        return self._rest(c)

    def _dose(self, c: Context, dose: ev.ResultReceived) -> list[ev.Event]:
        if dose.verdict == "pass":
            return [dose]
        said = f"{dose.value} {dose.unit}" if dose.value else dose.rule
        window = dose.limit
        if dose.rule == WINDOW_RULES[BOTH_BOUNDS]:
            # The value may lie inside: what failed is its interval.
            said, window = f"{said} ({' to '.join(dose.interval)})", f"{window}, {dose.rule}"
        return [dose, deviation(c, f"{c.phase.title}: dose {said}, window {window}.")]

    def _rest(self, c: Context) -> list[ev.Event]:
        rest_s = int(c.phase.amount("rest", "s"))
        if rest_s == 0 or c.run.has(ev.TimerElapsed, key="rest"):
            return complete(c)
        moved = c.run.last(ev.ValueRecorded, key="moved_g")
        assert moved is not None
        if c.elapsed_s(moved[0].at) < rest_s:
            return []
        return [ev.TimerElapsed(phase=c.phase.id, key="rest", target_s=rest_s), *complete(c)]

    def is_safe(self, c: Context) -> bool:
        """Held once the pump is seen not to move, or nothing is heard of it (its watchdog stops it)."""
        state = c.reading("pump", "state")
        return state is None or state.quality in ("stale", "bad") or state.value != "infusing"

    def words(self, c: Context) -> str:
        if not confirmed_by_two(c, "setup"):
            return "Waiting for the set-up"
        if c.run.value("weight_start_g") is None:
            return "Waiting for the bag on the balance"
        if c.run.value("weight_end_g") is None:
            return "Pumping"
        return "Resting" if c.run.value("moved_g") is not None else "Weighing"

    def timer(self, c: Context) -> Timer | None:
        ordered = c.run.last(ev.DeviceOrdered, name="infuse")
        if ordered is None:
            return None
        minutes = c.phase.amount("volume", "mL") / c.phase.amount("flow", "mL/min")
        return Timer(
            "Pump delivers",
            c.elapsed_s(ordered[0].at),
            target_s=int(minutes * 60 + c.phase.amount("rest", "s")),
        )

    def facts(self, c: Context) -> list[PromptFact]:
        moved = c.run.value("moved_g")
        facts = [] if moved is None else [PromptFact("Moved", f"{plain(moved)} g")]
        dose = c.run.last(ev.ResultReceived, test="dose")
        if dose is not None:
            result = dose[1]
            facts.append(PromptFact("Dose", f"{result.value} {result.unit}", result.verdict != "pass"))
        return facts
