"""Two devices that see the same thing must agree; where they drift apart, people hear of it early (F-034).

A pump's counter is held against the weight that arrives, a bath against its set-point, and the probe in
a bag against the bath around it. Each check speaks before the phase's own limit is reached. All of it is
worked out from readings that go on record with what they decide, so it can be decided again.

How far two healthy devices may seem apart (`Pair.tolerance_g`) is the sum of

- `BALANCE_G`: so far two weights lie apart and still confirm each other on a line without checksum,
  and the balance's noise, once for the weight at the start and once for the one now;
- `COUNTER_ML`: the step of the pump's counter;
- flow times `LAG_S`: both readings are older than their receipt, by the filter of the balance and by the
  exchanges it takes to confirm them. What they differ in receipt is worked out and not tolerated.

No bound lies below that, whatever a recipe says. On a simulated unit `LAG_S` is as much longer as its
clock is faster: there the check speaks once the pump stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from appliance.domain import events as ev
from appliance.domain.phase_logic import Context, alarm, deviation, hold
from appliance.domain.quantity import Quantity, plain, rounded
from appliance.domain.recipe import Limit

FIRST_RULES = 2  # the first `BatchOpened.rules` with these checks
BALANCE_G = Decimal("0.14")
COUNTER_ML = Decimal("0.02")
LAG_S = Decimal("0.75")
# Of the limit of the mass balance: where people are told, and where the pump stands still.
TOLD_AT = Decimal("0.25")
HELD_AT = Decimal("0.75")
# A hand on the pan or a bag that swings is over before that; a drift is not.
LASTS_S = 5
NOTED_MAX = 10  # of what comes and goes; after that it is taken for what lasts
DRIFT = "drift"


def applies(c: Context) -> bool:
    """Whether this batch was opened by rules that hold devices against each other."""
    return c.batch.opened.rules >= FIRST_RULES


# ── A pump against a balance ───────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What the pump says it delivered and what the balance says arrived, at one moment."""

    delivered_ml: Decimal
    delivered_g: Decimal
    gained_g: Decimal
    tolerance_g: Decimal

    @property
    def apart_g(self) -> Decimal:
        """Positive when less arrived than the pump says."""
        return self.delivered_g - self.gained_g


def pair(
    *,
    delivered_ml: Decimal,
    weight_g: Decimal,
    weight_before_g: Decimal,
    density_g_ml: Decimal,
    flow_ml_min: Decimal,
    pump_later_s: Decimal,
    clock_speed: Decimal,
) -> Pair:
    """Hold a counter against a weight.

    Parameters
    ----------
    flow_ml_min
        What the pump delivers now; 0 when it stands.
    pump_later_s
        How much later the counter was received than the weight, in process time.
    clock_speed
        Seconds of process time in a real one.
    """
    flow_ml_s = flow_ml_min / 60
    then_ml = max(Decimal(0), delivered_ml - flow_ml_s * pump_later_s)
    lag_ml = flow_ml_s * LAG_S * clock_speed
    return Pair(
        delivered_ml=then_ml,
        delivered_g=then_ml * density_g_ml,
        gained_g=weight_g - weight_before_g,
        tolerance_g=BALANCE_G + (COUNTER_ML + lag_ml) * density_g_ml,
    )


def drift_limit(c: Context, mass_balance: Limit) -> Limit:
    """The recipe's own limit of drift, else one made from the phase's mass balance."""
    own = c.phase.limits.get(DRIFT)
    if own is not None:
        return own
    assert mass_balance.action is not None, "the recipe check asks for it"
    whole = mass_balance.action.in_unit("g")
    alert, action = Quantity(whole * TOLD_AT, "g"), Quantity(whole * HELD_AT, "g")
    return Limit(DRIFT, "<=", alert, action, "hold")


def pump_and_balance(c: Context, now: Pair, *, order_seq: int, received_at: datetime) -> list[ev.Event]:
    """What a pair of readings while the pump runs makes true: nothing, a note, an alert, a hold.

    Parameters
    ----------
    order_seq
        The order that is being carried out; each order is judged by itself.
    received_at
        When the newer of the two readings came.
    """
    limit = drift_limit(c, c.phase.limits["mass_balance"])
    told = {
        crossed.level for fact, crossed in c.run.all(ev.LimitCrossed, limit=DRIFT) if fact.seq > order_seq
    }
    bounds = _bounds(limit, now.tolerance_g)
    lowest = min(bounds.values(), default=None)
    if lowest is None or "action" in told:
        return []
    lasts, noted = lasting(
        c, "apart_g", now.apart_g, lowest, "g", after_seq=order_seq, received_at=received_at
    )
    level = next((one for one, bound in bounds.items() if abs(now.apart_g) > bound), "")
    if not lasts or not level or level in told:
        return noted
    return _drifted(c, now, limit, level, bounds[level])


def pump_and_balance_at_rest(c: Context, now: Pair, *, order_seq: int) -> list[ev.Event]:
    """The same once the pump stands and the weight is steady: an alert at most, the mass balance follows."""
    limit = drift_limit(c, c.phase.limits["mass_balance"])
    told = any(fact.seq > order_seq for fact, _ in c.run.all(ev.LimitCrossed, limit=DRIFT))
    bounds = _bounds(limit, now.tolerance_g)
    if told or "alert" not in bounds or abs(now.apart_g) <= bounds["alert"]:
        return []
    return _drifted(c, now, limit, "alert", bounds["alert"])


def _bounds(limit: Limit, tolerance_g: Decimal) -> dict[str, Decimal]:
    """The bounds of a limit, the hardest first; none lies within what healthy devices show."""
    floors = {"action": (limit.action, 2 * tolerance_g), "alert": (limit.alert, tolerance_g)}
    return {
        level: max(quantity.in_unit("g"), floor)
        for level, (quantity, floor) in floors.items()
        if quantity is not None
    }


def _drifted(c: Context, now: Pair, limit: Limit, level: str, bound: Decimal) -> list[ev.Event]:
    apart, share = abs(now.apart_g), abs(now.apart_g) / max(now.delivered_g, Decimal(1)) * 100
    words = (
        f"The pump says {rounded(now.delivered_ml, 1)} mL, which is {rounded(now.delivered_g, 2)} g; "
        f"the balance gained {rounded(now.gained_g, 2)} g. They are {rounded(apart, 2)} g or "
        f"{rounded(share, 1)} % apart; the mass balance's limit is "
        f"{c.phase.limits['mass_balance'].words('action')}."
    )
    crossed = ev.LimitCrossed(
        phase=c.phase.id,
        limit=DRIFT,
        value=rounded(apart, 2),
        unit="g",
        bound=f"<= {rounded(bound, 2)} g",
        level=level,
    )
    action = "Look at the line, the clamp and the bag on the balance."
    if level == "action":
        events: list[ev.Event] = [crossed, deviation(c, f"{c.phase.title}: {words}")]
        if limit.on_action in ("hold", "stop"):
            return [*events, *hold(c, DRIFT, words, action=f"{action} Then restart the phase.")]
    else:
        events = [crossed]
    title = "Pump and balance drift apart"
    return [*events, alarm(c, DRIFT, priority="medium", title=title, cause=words, action=action)]


# ── A temperature that should follow ───────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """How a temperature went over a while, and how it would have to go."""

    degrees_c: Decimal
    seconds: Decimal

    @property
    def per_min(self) -> Decimal:
        return self.degrees_c / self.seconds * 60


def follows(
    c: Context,
    name: str,
    value_c: Decimal,
    *,
    target_c: Decimal,
    left_s: Decimal,
    window_s: int,
    title: str,
    action: str,
) -> list[ev.Event]:
    """Whether a temperature reaches its target in the time that is left, by its slope over a window.

    Where it began is noted as `NAME_from_c` and anew after each window, so that one that stops on its
    way is seen a window later. It speaks once a phase.
    """
    key, limit = f"{name}_from_c", f"{name}_slope"
    resumed = c.run.last(ev.PhaseRestarted)
    noted = c.run.last(ev.ValueRecorded, key=key)
    if noted is None or (resumed is not None and noted[0].seq < resumed[0].seq):
        return [c.derived(key, value_c, "°C", "where it began")]
    seconds = c.elapsed_s(noted[0].at)
    if seconds < window_s:
        return []
    began_c = Decimal(noted[1].value)
    gap_c = target_c - value_c
    went_c = value_c - began_c if gap_c > 0 else began_c - value_c
    slope = Slope(degrees_c=went_c, seconds=Decimal(seconds))
    needed = Slope(degrees_c=abs(gap_c), seconds=max(left_s, Decimal(1)))
    again = c.derived(key, value_c, "°C", f"after {seconds} s")
    if slope.per_min >= needed.per_min or c.run.has(ev.LimitCrossed, limit=limit):
        return [again]
    cause = (
        f"It is at {plain(value_c)} °C and moved {rounded(slope.per_min, 2)} °C a minute towards "
        f"{plain(target_c)} °C; it needs {rounded(needed.per_min, 2)} to be there in time."
    )
    crossed = _crossed(c, limit, slope.per_min, "°C/min", f">= {rounded(needed.per_min, 2)} °C/min")
    return [again, crossed, alarm(c, limit, priority="medium", title=title, cause=cause, action=action)]


def stays(
    c: Context,
    name: str,
    apart_c: Decimal,
    bound_c: Decimal,
    *,
    after_seq: int,
    received_at: datetime,
    title: str,
    cause: str,
    action: str,
) -> list[ev.Event]:
    """Whether a temperature stays where it belongs; beyond the bound for a while it is told, once a phase."""
    if c.run.has(ev.LimitCrossed, limit=name):
        return []
    key = f"{name}_c"
    lasts, noted = lasting(c, key, apart_c, bound_c, "°C", after_seq=after_seq, received_at=received_at)
    if not lasts:
        return noted
    first = c.run.last(ev.ValueRecorded, key=key)
    assert first is not None, "what lasts was noted"
    seconds = max(1, c.elapsed_s(first[0].at))
    slope = Slope(degrees_c=apart_c - Decimal(first[1].value), seconds=Decimal(seconds))
    crossed = _crossed(c, name, apart_c, "°C", f"<= {plain(bound_c)} °C")
    cause = f"{cause} It moves by {rounded(slope.per_min, 2)} °C a minute."
    return [crossed, alarm(c, name, priority="medium", title=title, cause=cause, action=action)]


def _crossed(c: Context, limit: str, value: Decimal, unit: str, bound: str) -> ev.LimitCrossed:
    return ev.LimitCrossed(
        phase=c.phase.id, limit=limit, value=rounded(value, 2), unit=unit, bound=bound, level="alert"
    )


# ── What lasts ─────────────────────────────────────────────────────────────────────────


def lasting(
    c: Context,
    key: str,
    value: Decimal,
    bound: Decimal,
    unit: str,
    *,
    after_seq: int,
    received_at: datetime,
) -> tuple[bool, list[ev.Event]]:
    """Whether a value has been beyond its bound for a while, and what is to be noted of it now.

    That it went beyond, and that it came back, are notes on record: a decision has no other memory.
    """
    notes = [(fact, one) for fact, one in c.run.all(ev.ValueRecorded, key=key) if fact.seq > after_seq]
    was_beyond = len(notes) % 2 == 1  # they take turns, whatever the bound was then
    is_beyond = abs(value) > bound
    if is_beyond and was_beyond:
        since = notes[-1][0].at
        return c.elapsed_s(since) >= LASTS_S and received_at > since, []
    if is_beyond or (was_beyond and len(notes) < NOTED_MAX):
        return False, [c.derived(key, Decimal(rounded(value, 3)), unit, "two devices, held together")]
    return False, []
