"""The hands at the simulated bench: what a person would do there, asked for over a unix socket.

One JSON object a line each way: `{"do": "bag_into_bath"}` is answered by `{"ok": true}` or by
`{"ok": false, "words": ...}`.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.simulated.pty_device import PtyDevice, Service
from drivers.simulated.world import ActImpossible, World

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
            "bag_onto_balance": lambda act: world.put(_bag(act), "balance"),
            "bag_off_balance": self._bag_off_balance,
            "load_syringe": lambda act: world.load_syringe(_volume(act), str(act.get("bag", ""))),
            "connect": self._connect,
            "wash": lambda act: world.wash(_bag(act), _volume(act)),
            "take_sample": lambda act: world.remove(_bag(act), _volume(act)),
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
        world = self._world
        world.advance()
        return {
            "monotonic_ns": time.monotonic_ns(),
            "virtual_s": round(world.virtual_s, 3),
            "speed": world.speed,
            "bags": {
                bag.name: {
                    "place": bag.place,
                    "volume_ml": round(bag.volume_ml, 4),
                    "weight_g": round(bag.weight_g, 4),
                    "temperature_c": round(bag.heat.temperature_c, 3),
                    "frozen_fraction": round(bag.heat.frozen_fraction, 4),
                }
                for bag in world.bags.values()
            },
            "pump": self._pump_state(),
            "bath": {
                "temperature_c": round(world.bath.temperature_c, 3),
                "setpoint_c": world.bath.setpoint_c,
                "running": world.bath.running,
            },
            "balance": {
                "gross_g": round(world.gross_g_true(), 4),
                "tare_g": self._balance.tare_g,
                "net_g": round(world.gross_g_true() - self._balance.zero_g - self._balance.tare_g, 4),
                "steady": world.pan_steady(),
            },
        }

    def _pump_state(self) -> dict[str, Any]:
        world, pump = self._world, self._pump
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

    def _bag_off_balance(self, act: Act) -> None:
        on_pan = [bag.name for bag in self._world.bags.values() if bag.place == "balance"]
        for name in [str(act["bag"])] if "bag" in act else on_pan:
            self._world.put(name, "bench")

    def _connect(self, act: Act) -> None:
        self._world.advance()
        self._world.syringe.outlet = self._world.bag(_bag(act)).name

    def _fault(self, act: Act) -> None:
        name, fault = str(act.get("device")), str(act.get("fault"))
        if name not in self._devices:
            raise ActImpossible(f"there is no device {name!r}; there are {', '.join(self._devices)}")
        self._devices[name].fault(fault, float(act.get("seconds", 0.0)))


def _bag(act: Act) -> str:
    return str(act.get("bag", "patient"))


def _volume(act: Act) -> float:
    try:
        return float(act["volume_ml"])
    except (KeyError, TypeError, ValueError) as error:
        raise ActImpossible("this act needs a number volume_ml") from error


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
