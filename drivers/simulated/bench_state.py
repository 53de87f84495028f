"""The state of a bench as JSON values: what a person would see there, and what only the world knows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.thermal import BathHeat
from drivers.simulated.world import World
from drivers.simulated.zebra_zpl import ZebraTwin

State = dict[str, Any]


def bench_state(
    world: World, devices: Mapping[str, PtyDevice], pump: NewEraTwin, balance: MtSicsTwin
) -> State:
    """Return everything, brought to the present."""
    world.advance()
    return {
        "monotonic_ns": time.monotonic_ns(),
        "virtual_s": round(world.virtual_s, 3),
        "speed": world.speed,
        "bags": _bags(world),
        "pump": _pump(world, pump),
        "bath": _bath(world.bath),
        "balance": {
            "gross_g": round(world.gross_g_true(), 4),
            "tare_g": balance.tare_g,
            "net_g": round(world.gross_g_true() - balance.zero_g - balance.tare_g, 4),
            "steady": world.pan_steady(),
        },
        "pans": {
            pan: {"gross_g": round(world.gross_g_true(pan), 4), "steady": world.pan_steady(pan)}
            for pan in world.pans
        },
        "tubing": _tubing(world),
        "valves": list(world.valves),
        "incubator": _bath(world.incubator)
        | {
            "co2_percent": round(world.headspace.co2_percent, 4),
            "oxygen_percent": round(world.headspace.oxygen_percent, 4),
        },
        "gas": _gas(world),
        "culture": _culture(world),
        "books": {name: round(value, 9) for name, value in world.fluids.books().items()},
        "devices": {
            name: {"type": device.twin.TYPE, "firmware": device.twin.firmware, "struck": device.faults.struck}
            for name, device in devices.items()
        },
        "printers": {
            name: _printer(device.twin)
            for name, device in devices.items()
            if isinstance(device.twin, ZebraTwin)
        },
    }


def _printer(printer: ZebraTwin) -> State:
    return {
        "state": printer.state,
        "powered": printer.powered,
        "stock": printer.stock,
        "labels_out": printer.labels_out,
        "labels_waiting": printer.waiting,
        "odometer": printer.odometer,
        "dead_dots": list(printer.dead_dots),
        "tray": str(printer.tray or ""),
    }


def _bags(world: World) -> State:
    return {
        bag.name: {
            "place": bag.place,
            "volume_ml": round(bag.volume_ml, 4),
            "weight_g": round(bag.weight_g, 4),
            "temperature_c": round(bag.heat.temperature_c, 3),
            "frozen_fraction": round(bag.heat.frozen_fraction, 4),
            "viable_cells": round(bag.solutes.viable_cells),
            "dead_cells": round(bag.solutes.dead_cells),
        }
        for bag in world.bags.values()
    }


def _pump(world: World, pump: NewEraTwin) -> State:
    return {
        "moving": world.motion.moving,
        "rate_ml_min": world.motion.rate_ml_min,
        "dispensed_ml": round(world.motion.dispensed_ml[True], 4),
        "infused_ml_ever": round(world.syringe.infused_ml, 4),
        "syringe_ml": round(world.syringe.volume_ml, 4),
        "connected": world.syringe.outlet,
        "alarm": pump.alarm,
        "safe_mode": pump.safe_mode,
        "watchdog_s": pump.timeout_s,
        "stop_received_ns": pump.stop_received_ns,
        "motion_stopped_ns": world.motion.stopped_ns,
        "watchdog_fired_ns": pump.watchdog_fired_ns,
    }


def _bath(bath: BathHeat) -> State:
    return {
        "temperature_c": round(bath.temperature_c, 3),
        "setpoint_c": bath.setpoint_c,
        "running": bath.running,
    }


def _tubing(world: World) -> State:
    return {
        str(channel): {
            "from": tube.source,
            "to": tube.outlet,
            "valve": tube.valve,
            "moving": tube.motion.moving,
            "rate_ml_min": tube.motion.rate_ml_min,
            "moved_ml": round(tube.moved_ml, 4),
            "motion_stopped_ns": tube.motion.stopped_ns,
        }
        for channel, tube in world.tubing.items()
    }


def _gas(world: World) -> State:
    gas = world.gas
    return {
        "gas": gas.gas,
        "supplied": gas.supplied,
        "supply_kpa": gas.supply_kpa,
        "setpoint_ml_min": gas.setpoint_ml_min,
        "flow_ml_min": round(gas.flow_ml_min, 4),
        "metered_ml": round(gas.metered_ml, 4),
    }


def _culture(world: World) -> State:
    medium, solutes = world.medium, world.medium.vessel.solutes
    cells = solutes.viable_cells + solutes.dead_cells
    return {
        "ph": round(medium.ph, 4),
        "oxygen_percent": round(medium.oxygen_percent, 3),
        "temperature_c": round(medium.temperature_c, 3),
        "volume_ml": round(medium.vessel.volume_ml, 4),
        "glucose_mmol_l": round(medium.mmol_l(solutes.glucose_mmol), 4),
        "lactate_mmol_l": round(medium.mmol_l(solutes.lactate_mmol), 4),
        "viable_cells": round(solutes.viable_cells),
        "viability_percent": round(100 * solutes.viable_cells / cells, 2) if cells else None,
        "age_h": round(medium.age_h, 4),
    }
