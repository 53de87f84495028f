"""SAFETY 3 measured: what each type does when its host is killed while it moves.

The host is a process of its own that is killed with SIGKILL; the twin lives here, so that the truth is
known. `rows` measures all types side by side, `in_words` makes the table of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from device_truth import Truth, Witness
from served_devices import served, wait_until

from drivers.catalog import DeviceType, Trial, device_types, driver_for
from drivers.simulated.bench import lone_device

MARGIN_S = 0.5
RUNS_FOR_S = 0.4  # before the blow
LONGER = 20  # a run that only a watchdog ends within this story
KEPT_FOR_S = 1.0
ROUNDING = 1.002
RELAY_WITH_WATCHDOG = {"watchdog_register": "16", "watchdog_value": "20"}
RELAY_WATCHDOG_S = 2.0  # 20 of the tenths of a second that its twin counts
HOST = """
import json, sys, time
from drivers.catalog import driver_for
type_name, port, settings, order, parameters = sys.argv[1:6]
driver = driver_for(type_name, json.loads(settings))(port)
driver.open()
if order:
    driver.order(order, json.loads(parameters))
print("running", flush=True)
while True:
    driver.read()
    time.sleep(0.1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one type did after its host had died."""

    type_name: str
    settings: dict[str, str] = field(default_factory=dict)
    stops_by: str
    bound: str
    came_to: str
    held: bool


def rows(folder: Path) -> list[Row]:
    """Kill the host of each type of the catalogue, once while it moves or keeps what it was told."""
    cases: list[tuple[DeviceType, dict[str, str]]] = [(entry, {}) for entry in device_types()]
    cases += [(entry, RELAY_WITH_WATCHDOG) for entry in device_types() if entry.watchdog_setting]
    with ThreadPoolExecutor(max_workers=len(cases)) as pool:
        return list(pool.map(lambda case: _row(*case, folder), cases))


def in_words(measured: list[Row]) -> str:
    """Return the table for people."""
    lines = [f"{'type':26} {'stops by':12} {'bound':40} after the host's death"]
    for row in measured:
        name = row.type_name + (" + watchdog" if row.settings else "")
        lines.append(f"{name:26} {row.stops_by:12} {row.bound:40} {row.came_to}")
    return "\n".join(lines)


def _row(entry: DeviceType, settings: dict[str, str], folder: Path) -> Row:
    link = folder / f"{entry.name}{'-watched' if settings else ''}"
    device = lone_device(entry.name, link, seed=2, settings=settings)
    witness = Witness(device)
    stops_by = entry.stopped_by(settings)
    trial = next((one for one in entry.trials if one.moves), None)
    with served(device):
        if trial is None:
            return _keeps(entry, witness)
        if stops_by == "watchdog":
            return _watched(entry, settings, witness, trial)
        if stops_by == "bounded run":
            return _bounded(entry, witness, trial)
        return _left_as_it_was(entry, witness, trial)


def _watched(entry: DeviceType, settings: dict[str, str], witness: Witness, trial: Trial) -> Row:
    driver = driver_for(entry.name, settings)(str(witness.device.link))
    watchdog_s = RELAY_WATCHDOG_S if settings else float(vars(type(driver))["WATCHDOG_S"])
    parameters = dict(trial.parameters)
    if "volume_ml" in parameters:
        parameters["volume_ml"] = str(float(parameters["volume_ml"]) * LONGER)
    killed_s = _killed(entry, settings, witness, trial.order, parameters)
    wait_until(lambda: _stands(witness), watchdog_s + 5.0, f"{entry.name} goes on without its host")
    stood_s = time.monotonic() - killed_s
    return Row(
        type_name=entry.name,
        settings=settings,
        stops_by="watchdog",
        bound=f"stands within {watchdog_s:.1f} s + {MARGIN_S} s",
        came_to=f"stood after {stood_s:.2f} s",
        held=stood_s <= watchdog_s + MARGIN_S,
    )


def _bounded(entry: DeviceType, witness: Witness, trial: Trial) -> Row:
    ordered_ml = float(trial.parameters["volume_ml"])
    _killed(entry, {}, witness, trial.order, dict(trial.parameters))
    wait_until(lambda: _stands(witness), 30.0, f"{entry.name}: its run does not end")
    moved_ml = witness.look().moved_ml
    return Row(
        type_name=entry.name,
        stops_by="bounded run",
        bound=f"never passes the {ordered_ml} mL ordered",
        came_to=f"ended by itself after {moved_ml:.3f} mL",
        held=0 < moved_ml <= ordered_ml * ROUNDING,
    )


def _left_as_it_was(entry: DeviceType, witness: Witness, trial: Trial) -> Row:
    """Nothing stops it: it needs a relay in its supply, which the catalogue says."""
    _killed(entry, {}, witness, trial.order, dict(trial.parameters))
    time.sleep(KEPT_FOR_S)
    return Row(
        type_name=entry.name,
        stops_by=entry.stops_by,
        bound="none: behind a relay, or not for product",
        came_to=f"stays as it was told: {witness.look().settings}",
        held=entry.stops_by == "relay" and "relay" in entry.dead_man,
    )


def _keeps(entry: DeviceType, witness: Witness) -> Row:
    """What moves nothing keeps what it was told: stopping a bath is a hazard too."""
    before: list[Truth] = []
    trial = entry.trials[-1] if entry.trials else Trial(order="")
    _killed(entry, {}, witness, trial.order, dict(trial.parameters), lambda: before.append(witness.look()))
    time.sleep(KEPT_FOR_S)
    after = witness.look()
    return Row(
        type_name=entry.name,
        stops_by=entry.stops_by,
        bound="nothing moves; keeps what it was told",
        came_to=", ".join(f"{name} {value}" for name, value in after.settings.items()) or "only measures",
        held=entry.stops_by == "none needed" and not after.moving and after.settings == before[0].settings,
    )


def _killed(
    entry: DeviceType,
    settings: dict[str, str],
    witness: Witness,
    order: str,
    parameters: dict[str, str],
    before: Callable[[], object] = lambda: None,
) -> float:
    """Let a host run for a moment, kill it, and return when it died."""
    words = [entry.name, str(witness.device.link), json.dumps(settings), order, json.dumps(parameters)]
    host = subprocess.Popen([sys.executable, "-c", HOST, *words], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert host.stdout.readline() == "running\n"
    time.sleep(RUNS_FOR_S)
    before()
    killed_s = time.monotonic()
    host.kill()
    host.wait()
    host.stdout.close()
    return killed_s


def _stands(witness: Witness) -> bool:
    now = witness.look()
    return not now.moving and "1" not in str(now.settings.get("coils", ""))
