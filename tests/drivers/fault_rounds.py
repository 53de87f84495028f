"""Rounds of faults: a driver reads and orders through faults drawn by seed, beside the truth of its twin.

What must never happen is a finding: a good reading that was never true, an order done twice or told
wrongly, a call without an end, anything raised that is no device fault, a device that stays lost.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from device_truth import Truth, Witness, fits
from served_devices import served
from type_variants import type_and_settings

from drivers.catalog import DeviceType, Trial, device_type, driver_for
from drivers.faults import DeviceFault, DeviceRefused, DeviceRestarted, LineLost
from drivers.roles import Driver
from drivers.simulated.bench import lone_device
from drivers.simulated.faults import DEFAULT_RATES

_ROUNDS = count()
SCHEDULING_S = 1.0  # what a loaded test machine may add to a wait
BOUNDS_S = {"read": 1.0, "order": 12.0, "stop": 2.0, "open": 6.0}
RECOVERY_S = 8.0
REOPEN_S = 0.1
FAULTS_IN_A_ROW_MAX = 5  # as the device host: then the line is opened afresh
AGAIN_MAX = 4  # times that a round of one verb goes on until it has struck
FINDINGS_OF_A_KIND = 2  # what follows from the first is told no further
ROUNDING = 1.002  # a pump counts in steps of its own; it may not pass its order by more
INSIDE_THE_DEVICE = frozenset({"stuck", "drift"})  # no line shows them: only a cross-check does (SAFETY 6)
Made = Callable[[str], Driver]
VERBS = tuple(DEFAULT_RATES)
# By hand at the beginning of a round of one verb, so that it strikes for sure.
MOMENTS = ("unplug", "freeze", "flood", "restart", "brown_out", "firmware")
MIXED = tuple(name for name in VERBS if name not in INSIDE_THE_DEVICE)


@dataclass
class Tally:
    """What many rounds came to."""

    rounds: int = 0
    readings: Counter[str] = field(default_factory=Counter)  # by quality
    judged: int = 0  # good readings whose truth is known
    told: Counter[str] = field(default_factory=Counter)  # faults by kind
    struck: Counter[str] = field(default_factory=Counter)  # rounds by verb
    orders: Counter[str] = field(default_factory=Counter)  # "infuse confirmed" and the like
    slowest_s: dict[str, float] = field(default_factory=dict)
    recovery_s: float = 0.0
    findings: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Sum up."""
        self.rounds += other.rounds
        self.judged += other.judged
        for mine, theirs in (
            (self.readings, other.readings),
            (self.told, other.told),
            (self.struck, other.struck),
            (self.orders, other.orders),
        ):
            mine.update(theirs)
        for name, seconds in other.slowest_s.items():
            self.slowest_s[name] = max(self.slowest_s.get(name, 0.0), seconds)
        self.recovery_s = max(self.recovery_s, other.recovery_s)
        self.findings += other.findings


class Round:
    """One driver at one twin, and the hand that does what the device host would."""

    def __init__(
        self,
        entry: DeviceType,
        witness: Witness,
        seed: int,
        exempt: bool,
        made: Made | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.entry, self.witness = entry, witness
        self.driver: Driver = (made or driver_for(entry.name, settings))(str(witness.device.link))
        self._trials = entry.trials_with(settings or {})
        self.tally = Tally(rounds=1)
        self._chance = random.Random(f"acts {seed}")
        self._exempt = exempt
        self._in_a_row = 0
        self._told: Counter[tuple[str, ...]] = Counter()
        self._open = False
        self._counted_from_ml = [0.0]
        self._run: tuple[float, float, bool] | None = None  # from mL, at most mL, whether it must be all
        self._disturbed = False

    def open(self) -> None:
        """Open as the host does: one try."""
        if self._open:
            return
        if self._guarded("open", self.driver.open) is None:
            self._open = True
        else:
            time.sleep(REOPEN_S)

    def read(self) -> bool:
        """Read once; whether all came good."""
        self.open()
        if not self._open:
            return False
        was_void = self.witness.void
        self.witness.begin()
        readings: list[Any] = []
        if self._guarded("read", lambda: readings.extend(self.driver.read())) is not None:
            return False
        self._in_a_row = 0
        for reading in readings:
            self.tally.readings[reading.quality] += 1
            if reading.quality == "good" and not self._exempt:
                self._judge(reading.name, reading.value, was_void)
        return bool(readings) and all(reading.quality == "good" for reading in readings)

    def order(self, trial: Trial) -> None:
        """Give one order, and compare what is said of it with what is so."""
        self.open()
        if not self._open:
            return
        self._close_run()
        self.witness.begin()
        losses, before = self.witness.power_losses, self.witness.look()
        result: dict[str, str] = {}
        counted = [*self._counted_from_ml, before.moved_ml]
        self._counted_from_ml = counted if trial.order in ("infuse", "clear") else self._counted_from_ml
        fault = self._guarded(
            "order", lambda: result.update(self.driver.order(trial.order, dict(trial.parameters)))
        )
        said = "confirmed"
        if fault is not None:
            said = "refused" if isinstance(fault, DeviceRefused) else "unknown"
        self.tally.orders[f"{trial.order} {said}"] += 1
        self._judge_order(trial, said, result, before, undisturbed=losses == self.witness.power_losses)

    def stop(self) -> None:
        """Stop; when it comes back without a fault, nothing moves any more."""
        self.open()
        if not self._open:
            return
        fault = self._guarded("stop", self.driver.stop)
        self._disturbed = True
        said = "confirmed" if fault is None else "unknown"
        self.tally.orders[f"stop {said}"] += 1
        now = self.witness.look()
        if fault is None and self.witness.role.moves_product and now.moving:
            self._finding("stop came back, and the device moves")

    def play(self, acts: int) -> None:
        """Read, order and stop by chance."""
        for number in range(acts):
            trials = self._trials
            drawn = self._chance.random()
            if trials and drawn < 0.25:
                self.order(self._chance.choice(trials))
            elif number and drawn < 0.32 and self.witness.role.moves_product:
                self.stop()
            else:
                self.read()

    def recover(self) -> None:
        """The faults have ended: within a bound the device is read good again, and comes to a stand."""
        began_s = time.monotonic()
        good_in_a_row = 0
        while good_in_a_row < 3:
            if time.monotonic() - began_s > RECOVERY_S + SCHEDULING_S:
                self._finding(
                    f"not good again {RECOVERY_S} s after the faults ended: {dict(self.tally.told)}"
                )
                break
            good_in_a_row = good_in_a_row + 1 if self.read() else 0
            time.sleep(0.02)
        self.tally.recovery_s = time.monotonic() - began_s
        deadline_s = time.monotonic() + longest_run_s(self.entry) + SCHEDULING_S
        while self.witness.look().moving and time.monotonic() < deadline_s:
            self.read()
            time.sleep(0.05)
        if self.witness.look().moving and "valve" not in self.witness.role.name:
            self._finding("a bounded run does not end")
        self._close_run()

    def close(self) -> None:
        """Let go of the line."""
        self._guarded("stop", self.driver.close)

    def disturb(self) -> None:
        """From here on a run may be ended early, by a watchdog or by a loss of power."""
        self._disturbed = True

    def _guarded(self, call: str, act: Callable[[], Any]) -> DeviceFault | None:
        began_s = time.monotonic()
        fault: DeviceFault | None = None
        try:
            act()
        except DeviceFault as told:
            fault = told
            self.tally.told[told.kind] += 1
        except Exception as error:
            # What is no device fault would have killed the host: a finding, and the round goes on.
            self._finding(f"{call} raised {error!r}")
            fault = DeviceFault("Device", repr(error))
        took_s = time.monotonic() - began_s
        self.tally.slowest_s[call] = max(self.tally.slowest_s.get(call, 0.0), took_s)
        if took_s > BOUNDS_S[call] + SCHEDULING_S:
            self._finding(f"{call} took {took_s:.1f} s")
        self._after(call, fault)
        return fault

    def _after(self, call: str, fault: DeviceFault | None) -> None:
        """Close the line where the host would."""
        if fault is None:
            return
        self._in_a_row += 1
        if isinstance(fault, LineLost | DeviceRestarted) or self._in_a_row >= FAULTS_IN_A_ROW_MAX:
            self._in_a_row = 0
            self._open = False
            # People are told of each of these, and look before they trust a tare or a total again.
            self.witness.trust(False)
            self._counted_from_ml.append(self.witness.look().moved_ml)
            self.driver.close()

    def _judge(self, name: str, value: object, was_void: bool) -> None:
        extra: tuple[Any, ...] = ()
        if name == "delivered_ml":
            seen = [*self.witness.seen, self.witness.look()]
            extra = tuple(one.moved_ml - base for one in seen for base in self._counted_from_ml)
        true = self.witness.ever_true(name, value, extra)
        if true is None:
            return
        self.tally.judged += 1
        if not true:
            now = self.witness.look().values.get(name, extra)
            self._finding(f"good {name} {value} was never true ({now})")
        if was_void and name in ("weight_g", "delivered_ml"):
            self._finding(f"good {name} {value} after a loss of power that was not told")

    def _judge_order(
        self, trial: Trial, said: str, result: dict[str, str], before: Truth, *, undisturbed: bool
    ) -> None:
        after = self.witness.look()
        if trial.order in ("zero", "tare", "infuse", "clear"):
            self.witness.trust(said == "confirmed")
        if said == "confirmed":
            self._confirmed_is_true(trial, result)
        if said == "refused" and undisturbed and not self._disturbed:
            changed = {name for name, held in before.settings.items() if after.settings.get(name) != held}
            if changed:
                self._finding(f"{trial.order} was refused and changed {sorted(changed)}")
        # A run that was under way may have ended while the order was still asking.
        stood = next((one for one in (before, *self.witness.seen) if not one.moving), before)
        if "volume_ml" in trial.parameters and not stood.moving:
            ordered_ml = float(trial.parameters["volume_ml"]) if said != "refused" else 0.0
            self._run = (stood.moved_ml, ordered_ml, said == "confirmed")
        if said == "confirmed" and trial.order in ("infuse", "clear"):
            self._counted_from_ml = [stood.moved_ml]
            if trial.order == "clear":  # asked again until the run before it had ended
                self._counted_from_ml.append(after.moved_ml)

    def _confirmed_is_true(self, trial: Trial, result: dict[str, str]) -> None:
        told = {**trial.parameters, **result}
        for name, value in told.items():
            if name not in self.witness.look().values or self._exempt:
                continue
            as_read: object = Decimal(value) if _is_number(value) else value
            if self.witness.ever_true(name, as_read) is False:
                self._finding(f"{trial.order} confirmed {name} {value}, which was never true")
        if trial.order in ("zero", "tare") and "weight_g" in self.witness.look().values:
            shown = self.witness.look().values["weight_g"]
            if not fits(self.witness.role, "weight_g", Decimal(0), shown) and not self._exempt:
                self._finding(f"{trial.order} confirmed, and the balance shows {shown:.3f}")

    def _close_run(self) -> None:
        """Nothing was poured twice: what moved since the last order lies within it."""
        if self._run is None:
            return
        from_ml, at_most_ml, confirmed = self._run
        now = self.witness.look()
        moved_ml = now.moved_ml - from_ml
        if moved_ml > at_most_ml * ROUNDING + 1e-6:
            self._finding(f"{moved_ml:.4f} mL moved where {at_most_ml} mL were ordered")
        if not now.moving:
            self._run = None
            if confirmed and not self._disturbed and moved_ml < at_most_ml / ROUNDING - 1e-3:
                self._finding(f"{moved_ml:.4f} mL moved of {at_most_ml} mL confirmed")

    def _finding(self, words: str) -> None:
        kind = tuple(words.split()[:2])
        self._told[kind] += 1
        if self._told[kind] <= FINDINGS_OF_A_KIND:
            self.tally.findings.append(f"{self.entry.name}: {words}")


def longest_run_s(entry: DeviceType) -> float:
    """How long the longest run of a type's trials takes."""
    runs = [one.parameters for one in entry.trials if "volume_ml" in one.parameters]
    return max((float(one["volume_ml"]) / float(one["rate_ml_min"]) * 60 for one in runs), default=0.0)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).isdigit() and len(text) < 8


def play_round(
    type_name: str,
    rates: dict[str, float],
    seed: int,
    folder: Path,
    acts: int,
    made: Made | None = None,
) -> Tally:
    """One round: open clean, act through the faults, recover, close.

    `made` makes another driver than the catalogue's: a control that must have findings.
    """
    name, settings = type_and_settings(type_name)
    entry = device_type(name)
    link = folder / f"{type_name}-{seed}-{next(_ROUNDS)}"  # a mixture may be one fault, as a verb's round is
    device = lone_device(name, link, seed=seed, settings=settings)
    witness = Witness(device)
    exempt = bool(INSIDE_THE_DEVICE & set(rates))
    played = Round(entry, witness, seed, exempt, made, settings)
    with served(device):
        played.open()
        played.read()
        if any(name not in ("split", "echo", "duplicate", *INSIDE_THE_DEVICE) for name in rates):
            played.disturb()
        device.faults.rates = dict(rates)
        _strike_by_hand(witness, rates, played, acts)
        played.play(acts)
        for _ in range(AGAIN_MAX if len(rates) == 1 and not INSIDE_THE_DEVICE & set(rates) else 0):
            if not device.faults.struck:
                played.play(acts)
        if device.faults.struck or set(rates) & INSIDE_THE_DEVICE:
            played.tally.struck |= Counter(list(rates))
        device.faults.rates = {}
        device.fault("none")
        played.recover()
        played.close()
    return named(played.tally, seed, rates, type_name)


def _strike_by_hand(witness: Witness, rates: dict[str, float], played: Round, acts: int) -> None:
    """Where one verb alone is played, it strikes for sure, in the middle of what is going on."""
    if len(rates) != 1:
        return
    (verb,) = rates
    if verb in MOMENTS:
        played.play(acts // 2)
        witness.device.fault(verb, 0.6)
        if verb == "firmware":
            witness.device.fault("restart")
        played.tally.struck[verb] += 1


def named(tally: Tally, seed: int, rates: dict[str, float], label: str) -> Tally:
    """Let each finding say how to play it again."""
    through = ",".join(f"{name}:{rate:.3f}" for name, rate in rates.items())
    tally.findings = [f"{label} seed {seed} through {through}: {words}" for words in tally.findings]
    return tally


def drawn_rates(seed: int) -> dict[str, float]:
    """One to three faults with rates at which one damage an exchange is the rule, two are rare."""
    chance = random.Random(f"rates {seed}")
    names = chance.sample(MIXED, chance.randint(1, 3))
    return {name: chance.uniform(0.02, max(0.03, DEFAULT_RATES[name] / 2)) for name in names}
