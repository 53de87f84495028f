"""What a recipe may ask of a balance, a pump, a thermostat: readings, orders, units, agreement limits.

A recipe asks for a role and a range, not for a brand. The table here is the whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from drivers.reading import Identity, Reading

SafeState = Literal["stop", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two readings of one quantity may lie apart and still confirm each other.

    On a line without checksum no single reading decides anything. A corrupted digit larger than
    `noise + rate_per_s * (time between the two)` is caught; a smaller one is within the limit.
    """

    noise: Decimal
    rate_per_s: Decimal

    def holds(self, first: Decimal, second: Decimal, apart_s: float) -> bool:
        """Tell whether two readings taken `apart_s` seconds apart confirm each other."""
        assert apart_s >= 0, apart_s
        return abs(first - second) <= self.limit(apart_s)

    def limit(self, apart_s: float) -> Decimal:
        """Return the largest difference allowed, in the unit of the quantity."""
        return self.noise + self.rate_per_s * Decimal(str(round(apart_s, 6)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A reading that a role offers; `words` lists the values of a reading that is a word."""

    name: str
    unit: str = ""
    words: tuple[str, ...] = ()
    agreement: Agreement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order that a role accepts, with the parameters it must and may carry."""

    name: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A kind of device as a recipe sees it. `moves_product`: its safe state on silence is stop."""

    name: str
    readings: tuple[Quantity, ...]
    orders: tuple[Order, ...]
    moves_product: bool

    def quantity(self, name: str) -> Quantity:
        """Return the quantity of that name."""
        return next(quantity for quantity in self.readings if quantity.name == name)

    def order_named(self, name: str) -> Order | None:
        """Return the order of that name, or None where the role has no such order."""
        return next((order for order in self.orders if order.name == name), None)


# A transfer moves at most about 0.5 g/s here; a hand on the pan is faster and reads `uncertain`.
BALANCE = Role(
    name="balance",
    readings=(
        Quantity(
            name="weight_g",
            unit="g",
            agreement=Agreement(noise=Decimal("0.10"), rate_per_s=Decimal("2")),
        ),
    ),
    orders=(Order(name="zero"), Order(name="tare")),
    moves_product=False,
)

PUMP = Role(
    name="pump",
    readings=(
        Quantity(name="state", words=("infusing", "withdrawing", "stopped", "paused", "alarm")),
        Quantity(name="delivered_ml", unit="mL"),
        Quantity(name="alarm", words=("", "reset", "stalled", "time_out", "program", "out_of_range")),
    ),
    orders=(
        Order(name="infuse", required=("volume_ml", "rate_ml_min"), optional=("diameter_mm",)),
        Order(name="clear"),
    ),
    moves_product=True,
)

# The probe stands in a thawing bag, which warms by a few degrees a second at first.
THERMOSTAT = Role(
    name="thermostat",
    readings=(
        Quantity(
            name="bath_c", unit="°C", agreement=Agreement(noise=Decimal("0.10"), rate_per_s=Decimal("1"))
        ),
        Quantity(
            name="probe_c", unit="°C", agreement=Agreement(noise=Decimal("0.30"), rate_per_s=Decimal("5"))
        ),
        Quantity(
            name="setpoint_c", unit="°C", agreement=Agreement(noise=Decimal("0.00"), rate_per_s=Decimal("0"))
        ),
        Quantity(name="running", words=("running", "stopped")),
        Quantity(name="alarm"),
    ),
    orders=(Order(name="set", required=("setpoint_c",)), Order(name="start"), Order(name="stop")),
    moves_product=False,
)

ROLES: Mapping[str, Role] = {role.name: role for role in (BALANCE, PUMP, THERMOSTAT)}


class Driver(Protocol):
    """What every driver offers. Plain and blocking: one owner thread calls it, one call at a time.

    Each call states an end rather than a toggle, so that a repeat is harmless. All may raise a
    `drivers.faults.DeviceFault`.
    """

    TYPE: str
    ROLE: str

    def open(self) -> None:
        """Open the line and make sure that the expected kind of device answers."""

    def identify(self) -> Identity:
        """Ask the device who it is."""

    def read(self) -> list[Reading]:
        """Read every quantity of the role once, within 1 s; this is the device's heartbeat too."""

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Give an order and return what the device confirmed by read-back."""

    def stop(self) -> None:
        """Bring the device to a stand at once; harmless when it stands already."""

    def apply_safe_state(self, state: SafeState) -> None:
        """Do what the phase declared for the case that nobody listens any more."""

    def close(self) -> None:
        """Let go of the line; harmless when it is closed already."""
