"""The hands at the simulated bench: what a person would do there, asked for over a unix socket.

One JSON object a line each way: `{"do": "bag_into_bath"}` is answered by `{"ok": true}` or by
`{"ok": false, "words": ...}`.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drivers.simulated.bench_state import bench_state
from drivers.simulated.culture import GASES, PATIENTS, GasMix
from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.simulated.printer_hands import at_printer
from drivers.simulated.pty_device import PtyDevice, Service
from drivers.simulated.world import CULTURE, PAN, ActImpossible, World

CLIENTS_MAX = 16
LINE_BYTES_MAX = 65536

Act = Mapping[str, Any]


class Hands:
    """Carries out the verbs on a world and on the lines of its twins."""

    def __init__(
        self, world: World, devices: Mapping[str, PtyDevice], pump: NewEraTwin, balance: MtSicsTwin
    ) -> None:
        self._world, self._devices = world, devices
        self._pump, self._balance = pump, balance
        self._verbs: dict[str, Callable[[Act], None]] = {
            "bag_out_of_shipper": lambda act: world.put(_bag(act), "bench"),
            "bag_into_bath": lambda act: world.put(_bag(act), "bath"),
            "bag_out_of_bath": lambda act: world.put(_bag(act), "bench"),
            "bag_onto_balance": lambda act: world.put(_bag(act), str(act.get("pan", PAN))),
            "bag_off_balance": self._bag_off_balance,
            "load_syringe": lambda act: world.load_syringe(_volume(act), str(act.get("bag", ""))),
            "connect": self._connect,
            "connect_tubing": self._connect_tubing,
            "put": lambda act: world.put(_bag(act), str(act.get("place"))),
            "feed_medium": lambda act: world.add(str(act.get("bag", CULTURE)), _volume(act), "medium"),
            "exchange_medium": lambda act: world.exchange_medium(_volume(act)),
            "seed_cells": self._seed_cells,
            "set_gas_supply": self._set_gas_supply,
            "set_incubator_air": self._set_incubator_air,
            "show_status": self._show_status,
            "wash": lambda act: world.wash(_bag(act), _volume(act)),
            "take_sample": lambda act: world.remove(_bag(act), _volume(act)),
            "printer": self._at_printer,
            "fault": self._fault,
            "state": lambda act: None,
        }

    def do(self, act: Act) -> dict[str, Any]:
        """Carry out one act and say how it went; `state` returns the world."""
        verb = self._verbs.get(str(act.get("do")))
        if verb is None:
            return {"ok": False, "words": f"Hands know {', '.join(self._verbs)}, not {act.get('do')!r}."}
        try:
            verb(act)
        except (ActImpossible, ValueError) as error:
            return {"ok": False, "words": str(error)}
        return {"ok": True, **(self.state() if act["do"] == "state" else {})}

    def state(self) -> dict[str, Any]:
        """Return the world as JSON values."""
        return bench_state(self._world, self._devices, self._pump, self._balance)

    def _bag_off_balance(self, act: Act) -> None:
        on_pan = [bag.name for bag in self._world.bags.values() if bag.place == act.get("pan", PAN)]
        for name in [str(act["bag"])] if "bag" in act else on_pan:
            self._world.put(name, "bench")

    def _connect(self, act: Act) -> None:
        self._world.advance()
        self._world.syringe.outlet = self._world.bag(_bag(act)).name
        self._world.syringe.valve = self._valve(act)

    def _connect_tubing(self, act: Act) -> None:
        """Lead a tube from one bag or supply to another, perhaps through a valve."""
        world = self._world
        world.advance()
        source, outlet = str(act.get("from", "reservoir")), str(act.get("to", "dose"))
        channel = int(_number(act, "channel"))
        if channel not in world.tubing:
            raise ActImpossible(f"there is no channel {channel}; there are 1 to {len(world.tubing)}")
        if source == outlet:
            raise ActImpossible("a tube leads from one place to another")
        tube = world.tubing[channel]
        tube.source, tube.outlet, tube.valve = source, outlet, self._valve(act)

    def _valve(self, act: Act) -> int | None:
        if act.get("valve") is None:
            return None
        valve = int(_number(act, "valve"))
        if not 0 <= valve < len(self._world.valves):
            raise ActImpossible(f"there is no valve {valve}; there are 0 to {len(self._world.valves) - 1}")
        return valve

    def _seed_cells(self, act: Act) -> None:
        patient = str(act.get("patient", "typical"))
        if patient not in PATIENTS:
            raise ActImpossible(f"there is no patient {patient!r}; there are {', '.join(PATIENTS)}")
        viability = _number({"viability_percent": 95.0, **act}, "viability_percent")
        self._world.seed_cells(_number(act, "cells"), viability, PATIENTS[patient])

    def _set_gas_supply(self, act: Act) -> None:
        """Change what the gas line is fed with: another cylinder, an empty one."""
        gas = self._world.gas
        supplied = str(act.get("gas", gas.supplied))
        if supplied.lower() not in GASES:
            raise ActImpossible(f"there is no gas {supplied!r}; there are {', '.join(GASES)}")
        supply_kpa = _number({"pressure_kpa": gas.supply_kpa, **act}, "pressure_kpa")
        self._world.advance()
        gas.supplied, gas.supply_kpa = supplied, supply_kpa

    def _set_incubator_air(self, act: Act) -> None:
        """Change what leaks into the headspace: the cabinet's own air, or the room's."""
        around = self._world.headspace.around
        co2 = _number({"co2_percent": around.co2_percent, **act}, "co2_percent")
        oxygen = _number({"oxygen_percent": around.oxygen_percent, **act}, "oxygen_percent")
        if co2 < 0 or oxygen < 0 or co2 + oxygen > 100:
            raise ActImpossible("shares of a gas are 0 or more and at most 100 % together")
        self._world.advance()
        self._world.headspace.around = GasMix(co2, oxygen)

    def _show_status(self, act: Act) -> None:
        """Let a probe carry status bits, as one that needs calibration does."""
        name = str(act.get("device"))
        show = getattr(self._devices[name].twin, "show_status", None) if name in self._devices else None
        if show is None:
            raise ActImpossible(f"there is no device {name!r} with a status to show")
        show(int(_number(act, "bits")))

    def _at_printer(self, act: Act) -> None:
        """Load a printer, open it, press its keys, cut its power: `act` says which."""
        at_printer(self._device(act).twin, act)

    def _fault(self, act: Act) -> None:
        self._device(act).fault(str(act.get("fault")), float(act.get("seconds", 0.0)))

    def _device(self, act: Act) -> PtyDevice:
        name = str(act.get("device"))
        if name not in self._devices:
            raise ActImpossible(f"there is no device {name!r}; there are {', '.join(self._devices)}")
        return self._devices[name]


def _bag(act: Act) -> str:
    return str(act.get("bag", "patient"))


def _volume(act: Act) -> float:
    return _number(act, "volume_ml")


def _number(act: Act, name: str) -> float:
    try:
        number = float(act[name])
    except (KeyError, TypeError, ValueError) as error:
        raise ActImpossible(f"this act needs a number {name}") from error
    if not math.isfinite(number):
        raise ActImpossible(f"this act needs a number {name}")
    return number


class HandsClient:
    """One connection; it reads lines and answers each."""

    def __init__(self, connection: socket.socket, hands: Hands) -> None:
        self._connection, self._hands = connection, hands
        self._buffer = b""
        self.closed = False

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._connection.fileno()

    def on_readable(self) -> None:
        """Answer each whole line."""
        try:
            data = self._connection.recv(4096)
            self._buffer += data
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                answer = json.dumps(self._answer(line)).encode() + b"\n"
                self._connection.sendall(answer)
        except OSError:
            data = b""
        if not data or len(self._buffer) > LINE_BYTES_MAX:
            self._connection.close()
            self.closed = True

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            act = json.loads(line)
        except ValueError:
            act = None
        if not isinstance(act, dict):
            return {"ok": False, "words": "An act is one JSON object a line."}
        return self._hands.do(act)


class HandsSocket:
    """Listens on a unix socket for hands."""

    def __init__(self, path: Path, hands: Hands) -> None:
        self._path, self._hands = path, hands
        self._clients: list[HandsClient] = []
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(CLIENTS_MAX)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    def on_readable(self) -> None:
        """Take a new connection."""
        connection, _ = self._socket.accept()
        connection.settimeout(1.0)
        self._clients.append(HandsClient(connection, self._hands))

    def services(self) -> list[Service]:
        """Return what to wait on: the socket itself and its connections."""
        self._clients = [client for client in self._clients if not client.closed]
        listening: list[Service] = [self] if len(self._clients) < CLIENTS_MAX else []
        return [*listening, *self._clients]

    def close(self) -> None:
        """Stop listening and take the socket's file away."""
        self._socket.close()
        self._path.unlink(missing_ok=True)
