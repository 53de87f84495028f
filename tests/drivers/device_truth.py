"""What is so in truth of a twin, in the words of its role, noted whenever the twin answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from drivers.roles import ROLES, Role
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

SHOWN = Decimal("0.006")  # half a digit of what devices show with two decimals
STANDING = frozenset({"stopped", "paused", "alarm"})


@dataclass(frozen=True, slots=True)
class Truth:
    """One moment: each quantity that can be judged, and what was moved since the world began."""

    values: dict[str, Any]
    moved_ml: float
    moving: bool
    settings: dict[str, Any]  # what only an order changes


def moved_ml(world: World) -> float:
    """All that any pump of this world has moved forward since it began."""
    return world.syringe.infused_ml + sum(tubing.moved_ml for tubing in world.tubing.values())


def moves(world: World) -> bool:
    """Whether any motor of this world turns."""
    return world.motion.moving or any(tubing.motion.moving for tubing in world.tubing.values())


def truth_of(twin: Twin) -> Truth:
    """Look at the world of a twin that is alone in it."""
    world = twin.world
    world.advance()
    values = _BY_ROLE.get(_role(twin).name, lambda _: {})(twin)
    settings = {name: value for name, value in values.items() if name in _SET_BY_ORDERS}
    if hasattr(twin, "tare_g"):
        settings["tare_g"] = (twin.tare_g, getattr(twin, "zero_g", 0.0))
    return Truth(values, moved_ml(world), moves(world), settings)


def _role(twin: Twin) -> Role:
    from drivers.catalog import device_type

    return ROLES[device_type(twin.TYPE).role]


_SET_BY_ORDERS = frozenset({"setpoint_c", "running", "coils", "gas", "setpoint_ml_min"})


def _balance(twin: Any) -> dict[str, Any]:
    return {"weight_g": twin.world.gross_g_true() - getattr(twin, "zero_g", 0.0) - twin.tare_g}


def _pump(twin: Any) -> dict[str, Any]:
    motions = [twin.world.motion, *(tubing.motion for tubing in twin.world.tubing.values())]
    turning = [motion for motion in motions if motion.moving]
    if not turning:
        return {"state": STANDING}
    return {"state": frozenset({"infusing" if turning[0].infusing else "withdrawing"})}


def _thermostat(twin: Any) -> dict[str, Any]:
    bath = getattr(twin, "bath", twin.world.bath)
    return {
        "bath_c": bath.temperature_c,
        "probe_c": twin.world.bags[twin.world.probe_in].heat.temperature_c,
        "setpoint_c": bath.setpoint_c,
        "running": "running" if bath.running else "stopped",
    }


def _gas(twin: Any) -> dict[str, Any]:
    gas = twin.world.gas
    return {
        "flow_ml_min": gas.flow_ml_min,
        "setpoint_ml_min": gas.setpoint_ml_min,
        "gas": gas.gas,
    }


def _probe(twin: Any) -> dict[str, Any]:
    medium = twin.world.medium
    return {
        "ph": medium.ph,
        "oxygen_percent": medium.oxygen_percent,
        "temperature_c": medium.temperature_c,
    }


def _valve(twin: Any) -> dict[str, Any]:
    return {"coils": "".join(str(int(open_)) for open_ in twin.world.valves)}


def _printer(twin: Any) -> dict[str, Any]:
    return {"state": twin.state, "labels_waiting": str(twin.waiting)}


_BY_ROLE: dict[str, Callable[[Any], dict[str, Any]]] = {
    "balance": _balance,
    "pump": _pump,
    "thermostat": _thermostat,
    "gas_controller": _gas,
    "probe": _probe,
    "valve": _valve,
    "printer": _printer,
}


@dataclass
class Witness:
    """Stands beside a served twin and notes what is true each time that it answers or loses its power.

    The lock keeps the story's own looks out of the middle of the twin's: one world, one hand at a time.
    """

    device: PtyDevice
    seen: list[Truth] = field(default_factory=list)
    power_losses: int = 0
    trusted: bool = False  # a tare or a total was confirmed, and nothing told since that it is lost
    void: bool = False  # it was lost all the same

    def __post_init__(self) -> None:
        # Reentrant: a brown-out of most twins is a restart without its words.
        self._lock = threading.RLock()
        twin: Any = self.device.twin
        self.role = _role(twin)
        twin.receive = self._answering(twin.receive)
        twin.tick = self._ticking(twin.tick)
        twin.restart = self._losing_power(twin.restart)
        twin.brown_out = self._losing_power(twin.brown_out)

    def look(self) -> Truth:
        """What is true at this moment."""
        with self._lock:
            return truth_of(self.device.twin)

    def begin(self) -> None:
        """Forget what was true before: from here on a reading is asked for."""
        now = self.look()
        self.seen = [now]

    def trust(self, trusted: bool) -> None:
        """Take note that a tare or total was confirmed, or that people were told to doubt it."""
        self.trusted, self.void = trusted, False

    def ever_true(self, name: str, value: object, extra: tuple[Any, ...] = ()) -> bool | None:
        """Whether a value was true at some moment since `begin`; None where nobody can tell."""
        held = [*extra, *(one.values[name] for one in [*self.seen, self.look()] if name in one.values)]
        if not held:
            return None
        return any(fits(self.role, name, value, one) for one in held)

    def _answering(self, receive: Callable[[bytes, float], list[bytes]]) -> Callable[..., list[bytes]]:
        def answered(data: bytes, now_s: float) -> list[bytes]:
            with self._lock:
                self.seen.append(truth_of(self.device.twin))
                replies = receive(data, now_s)
                self.seen.append(truth_of(self.device.twin))
                return replies

        return answered

    def _ticking(self, tick: Callable[[float], list[bytes]]) -> Callable[[float], list[bytes]]:
        def ticked(now_s: float) -> list[bytes]:
            with self._lock:
                replies = tick(now_s)
                if replies:
                    self.seen.append(truth_of(self.device.twin))
                return replies

        return ticked

    def _losing_power(self, lose: Callable[[float], Any]) -> Callable[[float], Any]:
        def lost(now_s: float) -> Any:
            with self._lock:
                before = self._remembered()
                said = lose(now_s)
                self.power_losses += 1
                self.void = self.void or (self.trusted and before != self._remembered())
                self.seen.append(truth_of(self.device.twin))
                return said

        return lost

    def _remembered(self) -> Any:
        """What a power loss takes and no reading shows: the tare, and how much was moved.

        A zero is none of it: no protocol tells it, and it is set on an empty pan, where it is nearly nothing.
        """
        twin: Any = self.device.twin
        if self.role.name == "balance":
            return twin.tare_g
        if self.role.name == "pump":
            return self._delivered()
        return None

    def _delivered(self) -> float:
        world = self.device.twin.world
        motions = [world.motion, *(tubing.motion for tubing in world.tubing.values())]
        return sum(motion.dispensed_ml[True] for motion in motions)


def fits(role: Role, name: str, value: object, true: Any) -> bool:
    """Whether what was read is what is true, within the role's limit for two readings at one moment."""
    if isinstance(true, frozenset):
        return value in true
    if not isinstance(value, Decimal) or isinstance(true, str):
        return value == true
    agreement = role.quantity(name).agreement
    limit = max(SHOWN, agreement.limit(0.05)) if agreement else SHOWN
    if name == "delivered_ml":  # some pumps count in whole millilitres, and say so by their digits
        limit = max(limit, Decimal(1).scaleb(int(value.as_tuple().exponent)))
    return abs(value - Decimal(str(round(true, 4)))) <= limit
