"""What a recipe may ask of each role of device: readings, orders, units, agreement limits.

A recipe asks for a role and a range, not for a brand. The table here is the whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from drivers.line import SerialLine
from drivers.reading import Identity, Reading
from drivers.wear import Wear

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

# The limit of the volume serves lines without a checksum; 2 mL/s is faster than any transfer here.
PUMP = Role(
    name="pump",
    readings=(
        Quantity(name="state", words=("infusing", "withdrawing", "stopped", "paused", "alarm")),
        Quantity(
            name="delivered_ml",
            unit="mL",
            agreement=Agreement(noise=Decimal("0.01"), rate_per_s=Decimal("2")),
        ),
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
        Quantity(
            name="output_percent",
            unit="%",
            agreement=Agreement(noise=Decimal("5"), rate_per_s=Decimal("100")),
        ),
        Quantity(name="running", words=("running", "stopped")),
        Quantity(name="alarm"),
    ),
    orders=(Order(name="set", required=("setpoint_c",)), Order(name="start"), Order(name="stop")),
    moves_product=False,
)

# A gas line settles within a second; what is metered is counted in standard millilitres.
GAS_CONTROLLER = Role(
    name="gas_controller",
    readings=(
        Quantity(
            name="flow_ml_min",
            unit="mL/min",
            agreement=Agreement(noise=Decimal("1"), rate_per_s=Decimal("500")),
        ),
        Quantity(
            name="setpoint_ml_min",
            unit="mL/min",
            agreement=Agreement(noise=Decimal("0"), rate_per_s=Decimal("0")),
        ),
        Quantity(
            name="pressure_kpa", unit="kPa", agreement=Agreement(noise=Decimal("1"), rate_per_s=Decimal("50"))
        ),
        Quantity(
            name="temperature_c",
            unit="°C",
            agreement=Agreement(noise=Decimal("0.30"), rate_per_s=Decimal("1")),
        ),
        Quantity(name="gas"),
        Quantity(name="alarm"),
    ),
    orders=(
        Order(name="set", required=("flow_ml_min",)),
        Order(name="stop"),
        Order(name="select_gas", required=("gas",)),
    ),
    moves_product=False,
)

# A probe shows what it has: one without pH leaves `ph` out.
PROBE = Role(
    name="probe",
    readings=(
        Quantity(name="ph", unit="pH", agreement=Agreement(noise=Decimal("0.05"), rate_per_s=Decimal("0.1"))),
        Quantity(
            name="oxygen_percent", unit="%", agreement=Agreement(noise=Decimal("1"), rate_per_s=Decimal("2"))
        ),
        Quantity(
            name="conductivity_ms_cm",
            unit="mS/cm",
            agreement=Agreement(noise=Decimal("0.1"), rate_per_s=Decimal("0.5")),
        ),
        Quantity(
            name="temperature_c",
            unit="°C",
            agreement=Agreement(noise=Decimal("0.30"), rate_per_s=Decimal("1")),
        ),
        Quantity(name="alarm"),
    ),
    orders=(),
    moves_product=False,
)

# Normally closed pinch valves: a coil that is on opens its valve; what is off holds.
VALVE = Role(
    name="valve",
    readings=(Quantity(name="coils"),),  # one digit a coil, coil 0 first, 1 is on
    orders=(
        Order(name="set", required=("coil", "state")),
        Order(name="set_all", required=("coils",)),
        Order(name="all_off"),
    ),
    moves_product=True,
)

PARTICLE_COUNTER = Role(
    name="particle_counter",
    readings=(
        Quantity(name="particles_0_5_um_m3", unit="1/m³"),
        Quantity(name="particles_5_um_m3", unit="1/m³"),
        Quantity(name="sample_volume_l", unit="L"),
        Quantity(name="state", words=("sampling", "waiting", "stopped", "alarm")),
        Quantity(name="alarm"),
    ),
    orders=(Order(name="start"), Order(name="stop")),
    moves_product=False,
)

# Its safe state is a rotor that runs down with the brake the programme chose: product is inside.
CENTRIFUGE = Role(
    name="centrifuge",
    readings=(
        Quantity(name="state", words=("stopped", "running", "braking", "alarm")),
        Quantity(name="speed_rpm", unit="1/min"),
        Quantity(name="temperature_c", unit="°C"),
        Quantity(name="remaining_s", unit="s"),
        Quantity(name="lid", words=("open", "closed", "locked")),
        Quantity(name="alarm"),
    ),
    orders=(Order(name="start", required=("programme",)), Order(name="stop"), Order(name="open_lid")),
    moves_product=True,
)

# A label is out when the printer says so, never when its bytes were taken: `labels_done` counts what came
# out since the last job was sent, `labels_waiting` what the printer still holds of it and of any other.
# What a job came to short of its copies is told with the fault, named as the state that stopped it.
PRINTER = Role(
    name="printer",
    readings=(
        Quantity(
            name="state",
            words=("ready", "printing", "paper_out", "ribbon_out", "head_open", "paused", "error"),
        ),
        Quantity(name="labels_done"),  # a whole number, or unknown
        Quantity(name="labels_waiting"),  # a whole number
    ),
    orders=(
        Order(name="print", required=("job", "zpl_file", "copies", "sha256"), optional=("dpi",)),
        Order(name="cancel"),
    ),
    moves_product=False,
)

# What only watches: an incubator's climate, a freezer's temperature.
LOGGER = Role(
    name="logger",
    readings=(
        Quantity(
            name="temperature_c",
            unit="°C",
            agreement=Agreement(noise=Decimal("0.30"), rate_per_s=Decimal("1")),
        ),
        Quantity(
            name="humidity_percent",
            unit="%",
            agreement=Agreement(noise=Decimal("1"), rate_per_s=Decimal("2")),
        ),
        Quantity(
            name="co2_percent", unit="%", agreement=Agreement(noise=Decimal("0.1"), rate_per_s=Decimal("0.5"))
        ),
        Quantity(name="alarm"),
    ),
    orders=(),
    moves_product=False,
)

ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        BALANCE,
        PUMP,
        THERMOSTAT,
        GAS_CONTROLLER,
        PROBE,
        VALVE,
        PARTICLE_COUNTER,
        CENTRIFUGE,
        PRINTER,
        LOGGER,
    )
}


class Driver(Protocol):
    """What every driver offers. Plain and blocking: one owner thread calls it, one call at a time.

    Each call states an end rather than a toggle, so that a repeat is harmless. All may raise a
    `drivers.faults.DeviceFault`.
    """

    TYPE: str
    ROLE: str

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        """Take a port and what the type's settings say; nothing is opened yet."""

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""

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

    def wear(self) -> tuple[Wear, ...]:
        """Return the writes into memories that wear out; empty where the device has none."""

    def close(self) -> None:
        """Let go of the line; harmless when it is closed already."""


@runtime_checkable
class TellsProgress(Protocol):
    """A driver whose orders take longer than a reading may be old: it tells readings meanwhile."""

    progress: Callable[[list[Reading]], None] | None
