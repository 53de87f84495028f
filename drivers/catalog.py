"""Device types: which driver, which role, how it stops when left alone.

Ours stand in the table below. A vendor's package adds its own through the entry points
`cellwright.device_types`, each naming a `DeviceType`; nothing else here knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, cast

from drivers.roles import Driver
from drivers.settings import Setting, settled

PLUG_INS = "cellwright.device_types"
MODBUS_LINE = r"(?:1200|2400|4800|9600|19200|38400|57600|115200)-8[NEO][12]"
MODBUS_LINE_WORDS = "how bytes travel, such as 9600-8N1"
DeadMan = Literal["watchdog", "bounded run", "relay", "none needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An order that the conformance suite gives; with `moves` only where the operator allows motion.

    A device that is set as one of `unless` does not know the order.
    """

    order: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    moves: bool = False
    unless: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceType:
    """One line of the catalogue. Driver and twin are named as "module:class" and loaded when asked for.

    Parameters
    ----------
    stops_by
        What brings it to a stand when its host is dead (SAFETY 3): its own watchdog, the end of each
        run, or only a relay in its supply.
    watchdog_setting
        A setting which, where it is given, gives the device a watchdog of its own.
    dead_man
        The same for people, with times.
    answers_within_ms
        The time in which a healthy device of this type has usually answered.
    trials
        Orders for the conformance suite; each leaves the device as safe as it was.
    over_tcp
        Whether it may stand behind a raw TCP port, `tcp://host:9100`.
    """

    name: str
    role: str
    device: str
    driver: str
    twin: str
    stops_by: DeadMan
    dead_man: str
    answers_within_ms: int = 50
    settings: tuple[Setting, ...] = ()
    watchdog_setting: str = ""
    trials: tuple[Trial, ...] = ()
    over_tcp: bool = False
    verified_on_hardware: str = "none yet"

    def stopped_by(self, settings: Mapping[str, str]) -> DeadMan:
        """Return what brings one device of this type to a stand, with the settings it was given."""
        return "watchdog" if settings.get(self.watchdog_setting) else self.stops_by

    def trials_with(self, settings: Mapping[str, str]) -> tuple[Trial, ...]:
        """Return the trials for one device of this type, with the settings it was given."""
        return tuple(one for one in self.trials if not set(one.unless.items()) & set(settings.items()))


_OURS: tuple[DeviceType, ...] = (
    DeviceType(
        name="mt-sics",
        role="balance",
        device="Mettler-Toledo balances with MT-SICS",
        driver="drivers.balances.mt_sics:MtSicsBalance",
        twin="drivers.simulated.mt_sics:MtSicsTwin",
        stops_by="none needed",
        dead_man="none needed: nothing moves",
        settings=(
            Setting(
                name="line",
                default="9600-8N1",
                words="how bytes travel, such as 9600-8N1",
                pattern=r"(?:1200|2400|4800|9600|19200|38400|57600|115200)-[78][NEO][12]",
            ),
        ),
        trials=(Trial(order="tare"), Trial(order="zero")),
    ),
    DeviceType(
        name="sartorius-sbi",
        role="balance",
        device="Sartorius balances with SBI",
        driver="drivers.balances.sartorius_sbi:SartoriusBalance",
        twin="drivers.simulated.sartorius_sbi:SartoriusSbiTwin",
        stops_by="none needed",
        dead_man="none needed: nothing moves",
        settings=(
            Setting(
                name="line",
                default="9600-8O1",
                words="how bytes travel, such as 9600-8O1, on older balances 1200-7O1",
                pattern=r"(?:600|1200|2400|4800|9600|19200|38400|57600|115200)-[78][NEO][12]",
            ),
            Setting(
                name="unit",
                default="told",
                words="the unit the balance shows (told: as its steady weights tell it)",
                pattern=r"told|g|kg|mg|ct|lb|oz|ozt",
            ),
        ),
        trials=(Trial(order="tare"), Trial(order="zero")),
    ),
    DeviceType(
        name="new-era-ne1000",
        role="pump",
        device="New Era NE-1000 family syringe pumps",
        driver="drivers.pumps.new_era_ne1000:NewEraPump",
        twin="drivers.simulated.new_era_ne1000:NewEraTwin",
        stops_by="watchdog",
        dead_man="Safe-mode watchdog, 2 s; each run is bounded by its volume",
        settings=(
            Setting(name="address", default="0", words="the pump's address, 0 to 99", pattern="\\d{1,2}"),
            Setting(
                name="line",
                default="19200-8N1",
                words="how bytes travel, such as 19200-8N1",
                pattern="(?:300|1200|2400|9600|19200)-8N1",
            ),
        ),
        trials=(
            Trial(order="clear"),
            Trial(order="infuse", parameters={"volume_ml": "0.2", "rate_ml_min": "12"}, moves=True),
        ),
    ),
    DeviceType(
        name="ismatec-reglo-icc",
        role="pump",
        device="Ismatec Reglo ICC roller pumps, one channel",
        driver="drivers.pumps.ismatec_reglo_icc:RegloPump",
        twin="drivers.simulated.ismatec_reglo_icc:RegloTwin",
        stops_by="bounded run",
        dead_man="no watchdog; each run is bounded by its volume",
        settings=(
            Setting(name="address", default="1", words="the pump's address, 1 to 8", pattern="[1-8]"),
            Setting(name="channel", default="1", words="the channel, 1 to 4", pattern="[1-4]"),
        ),
        trials=(
            Trial(order="clear"),
            Trial(order="infuse", parameters={"volume_ml": "2", "rate_ml_min": "24"}, moves=True),
        ),
    ),
    DeviceType(
        name="masterflex-ls",
        role="pump",
        device="Masterflex L/S digital drives on RS-232",
        driver="drivers.pumps.masterflex_ls:MasterflexPump",
        twin="drivers.simulated.masterflex_ls:MasterflexTwin",
        stops_by="bounded run",
        dead_man="no watchdog; each run is bounded by its revolutions",
        answers_within_ms=80,
        settings=(
            Setting(
                name="address", default="01", words="the drive's number, 01 to 89", pattern="0[1-9]|[1-8]\\d"
            ),
            Setting(
                name="ml_per_rev",
                default="0.80",
                words="the volume of one turn in mL, as the tubing was calibrated (0.80: L/S 16)",
                minimum=Decimal("0.001"),
                maximum=Decimal("20"),
            ),
            Setting(
                name="rpm_max",
                default="600",
                words="the drive's fastest speed in rpm",
                minimum=Decimal(10),
                maximum=Decimal(600),
            ),
        ),
        trials=(
            Trial(order="clear"),
            Trial(order="infuse", parameters={"volume_ml": "2", "rate_ml_min": "24"}, moves=True),
        ),
    ),
    DeviceType(
        name="julabo",
        role="thermostat",
        device="Julabo circulators",
        driver="drivers.temperature.julabo:JulaboCirculator",
        twin="drivers.simulated.julabo:JulaboTwin",
        stops_by="none needed",
        dead_man="keeps its set-point: stopping a bath is a hazard too",
        settings=(
            Setting(
                name="line",
                default="4800-7E1",
                words="how bytes travel, such as 4800-7E1",
                pattern=r"(?:4800|9600|19200|38400)-[78][NEO][12]",
            ),
            Setting(
                name="probe",
                default="in_pv_02",
                words="where the external Pt100 is read, in_pv_02, on some models in_pv_01, or none",
                pattern="in_pv_01|in_pv_02|none",
            ),
            Setting(
                name="handshake",
                default="rts_cts",
                words="rts_cts or none, as the unit is set",
                pattern="rts_cts|none",
            ),
            Setting(
                name="address",
                default="",
                words="the address on RS-485, 0 to 255; empty on RS-232 and USB",
                pattern=r"|\d{1,3}",
            ),
            Setting(
                name="echo",
                default="no",
                words="whether the RS-485 adapter sends back what is sent to it: yes or no",
                pattern="yes|no",
            ),
        ),
        trials=(Trial(order="set", parameters={"setpoint_c": "37.0"}), Trial(order="start")),
    ),
    DeviceType(
        name="alicat",
        role="gas_controller",
        device="Alicat mass-flow controllers and meters",
        driver="drivers.gas.alicat:AlicatController",
        twin="drivers.simulated.alicat:AlicatTwin",
        stops_by="relay",
        dead_man="keeps its flow, as a culture needs it; only a relay in its supply stops it",
        settings=(
            Setting(name="unit", default="A", words="the letter of the unit, from A to Z", pattern=r"[A-Z]"),
            Setting(
                name="baud_rate",
                default="19200",
                words="the baud rate: 19200, on BASIS devices 38400",
                pattern=r"9600|19200|38400|57600|115200",
            ),
            Setting(
                name="flow_unit",
                default="told",
                words="the unit of its flows (told: as the device tells it)",
                pattern=r"told|SCCM|SLPM|SmL/M|SL/M|SCFM|SCFH",
            ),
            Setting(
                name="columns",
                default="told",
                words="what stands in a data frame behind the letter (told: as the device tells it), "
                "such as: temperature mass other setpoint other gas",
                pattern=r"told|(?:pressure|temperature|volume|mass|setpoint|gas|other| )+",
            ),
        ),
        trials=(
            Trial(order="set", parameters={"flow_ml_min": "0"}),
            Trial(order="set", parameters={"flow_ml_min": "10"}, moves=True),
        ),
    ),
    DeviceType(
        name="hamilton-arc",
        role="probe",
        device="Hamilton Arc probes: pH, oxygen, conductivity",
        driver="drivers.probes.hamilton_arc:ArcProbe",
        twin="drivers.simulated.hamilton_arc:HamiltonArcTwin",
        stops_by="none needed",
        dead_man="none needed: it only measures",
        answers_within_ms=150,
        settings=(
            Setting(
                name="address",
                default="1",
                words="the probe's address, 1 to 32",
                pattern=r"[1-9]|[12]\d|3[0-2]",
            ),
            Setting(
                name="kind",
                default="auto",
                words="what it measures: auto, ph, oxygen or conductivity",
                pattern=r"auto|ph|oxygen|conductivity",
            ),
            Setting(
                name="line",
                default="19200-8N2",
                words="how bytes travel, such as 19200-8N2",
                pattern=r"(?:4800|9600|19200|38400|57600|115200)-8[NEO][12]",
            ),
        ),
    ),
    DeviceType(
        name="eurotherm-3200",
        role="thermostat",
        device="Eurotherm 3200 temperature controllers",
        driver="drivers.temperature.eurotherm:eurotherm",
        twin="drivers.simulated.eurotherm_3200:EurothermTwin",
        stops_by="none needed",
        dead_man="keeps its set-point: letting an incubation grow cold is a hazard too",
        answers_within_ms=200,
        settings=(
            Setting(
                name="protocol",
                default="modbus",
                words="what it speaks: modbus, or bisynch (EI-Bisynch, older units)",
                pattern="modbus|bisynch",
            ),
            Setting(
                name="address",
                default="1",
                words="the controller's address, 1 to 254, with bisynch up to 99",
                pattern=r"[1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-4]",
            ),
            Setting(
                name="decimals",
                default="1",
                words="the digits behind the point on its display, 0 to 2",
                pattern="[0-2]",
            ),
            Setting(
                name="range_high_c",
                default="",
                words="the upper end of its range in °C, held against the scaling (empty: not checked)",
                pattern=r"(?:[0-9]{1,4}(?:\.[0-9]{1,2})?)?",
            ),
            Setting(
                name="setpoint",
                default="remote",
                words="where set-points go: remote (volatile) or target (lasting, 100 000 writes)",
                pattern="remote|target",
            ),
            Setting(
                name="line",
                default="",
                words="how bytes travel (empty: 9600-8N1, with bisynch 9600-7E1)",
                pattern=rf"(?:{MODBUS_LINE}|(?:300|600|1200|2400|4800|9600|19200)-7[EO][12])?",
            ),
        ),
        trials=(
            Trial(order="set", parameters={"setpoint_c": "37.0"}),
            Trial(order="start", unless={"protocol": "bisynch"}),
        ),
    ),
    DeviceType(
        name="modbus-relay",
        role="valve",
        device="relay boards with Modbus RTU coils, for pinch valves",
        driver="drivers.valves.modbus_relay:RelayBoard",
        twin="drivers.simulated.modbus_relay:RelayTwin",
        stops_by="relay",
        watchdog_setting="watchdog_register",
        dead_man="its own watchdog where the setting names its register; else a relay in its supply",
        answers_within_ms=200,
        settings=(
            Setting(
                name="address",
                default="1",
                words="the board's Modbus address, 1 to 247",
                pattern=r"[1-9]|[1-9][0-9]|1[0-9]{2}|2[0-3][0-9]|24[0-7]",
            ),
            Setting(
                name="coils",
                default="8",
                words="the number of outputs, 1 to 32",
                pattern=r"[1-9]|[12][0-9]|3[0-2]",
            ),
            Setting(
                name="watchdog_register",
                default="",
                words="the register of its communication watchdog, 0 to 65535 (empty: it has none)",
                pattern=r"(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])?",
            ),
            Setting(
                name="watchdog_value",
                default="20",
                words="what is written there, in the board's own unit, 1 to 9999",
                pattern=r"[1-9][0-9]{0,3}",
            ),
            Setting(name="line", default="9600-8N1", words=MODBUS_LINE_WORDS, pattern=MODBUS_LINE),
        ),
        trials=(
            Trial(order="all_off"),
            Trial(order="set", parameters={"coil": "0", "state": "on"}, moves=True),
        ),
    ),
    DeviceType(
        name="zebra-zpl",
        role="printer",
        device="Zebra label printers with ZPL II, and those that speak it",
        driver="drivers.printers.zebra_zpl:ZebraPrinter",
        twin="drivers.simulated.zebra_zpl:ZebraTwin",
        stops_by="none needed",
        dead_man="none needed: it prints what it was sent to its end",
        answers_within_ms=200,
        settings=(
            Setting(
                name="line",
                default="9600-8N1",
                words="how bytes travel, such as 9600-8N1; without meaning over TCP",
                pattern=r"(?:9600|19200|38400|57600|115200)-[78][NEO][12]",
            ),
            Setting(
                name="handshake",
                default="xon_xoff",
                words="xon_xoff, rts_cts or none, as the printer is set; without meaning over TCP",
                pattern="xon_xoff|rts_cts|none",
            ),
            Setting(
                name="dpi",
                default="300",
                words="the dots an inch that it prints: 203, 300 or 600",
                pattern="203|300|600",
            ),
            Setting(
                name="counter",
                default="odometer",
                words="what counts its labels: odometer, or batch where it has none",
                pattern="odometer|batch",
            ),
        ),
        trials=(Trial(order="cancel"),),
        over_tcp=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeByHand:
    """A type that people run: it has no driver, and nothing here can read, order or stop it."""

    name: str
    roles: tuple[str, ...]
    device: str
    dead_man: str


OPERATOR_CONFIRMED = TypeByHand(
    name="operator-confirmed",
    roles=("cell_processor", "sealer", "welder", "other"),
    device="Anything without a public protocol; people run it, no driver",
    dead_man="no program can stop it: its own STOP alone",
)


@cache
def device_types() -> tuple[DeviceType, ...]:
    """Return every device type: ours, then those of the packages installed beside us, by name."""
    foreign = [point.load() for point in entry_points(group=PLUG_INS)]
    assert all(isinstance(entry, DeviceType) for entry in foreign), "an entry point names a DeviceType"
    taken = {entry.name for entry in _OURS}
    return (*_OURS, *sorted((one for one in foreign if one.name not in taken), key=lambda one: one.name))


def device_type(name: str) -> DeviceType:
    """Return the catalogue's line for a type.

    Raises
    ------
    KeyError
        No such type; the message lists the types there are.
    """
    for entry in device_types():
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in device_types())
    raise KeyError(f"There is no device type {name!r}. Known types: {known}.")


def driver_for(type_name: str, settings: Mapping[str, str] | None = None) -> Callable[[str], Driver]:
    """Return what makes a driver of that type from the path of a port.

    Raises
    ------
    KeyError
        No such type.
    SettingRefused
        A setting that the type does not have, or a value that it cannot have.
    """
    entry = device_type(type_name)
    values = settled(entry.settings, settings)
    driver = _loaded(entry.driver)

    def made(port: str) -> Driver:
        return cast(Driver, driver(port, values))

    return made


def twin_for(type_name: str, settings: Mapping[str, str] | None = None) -> Callable[[Any], Any]:
    """Return what makes a twin of that type from a world, with the settings that its driver gets."""
    entry = device_type(type_name)
    values = settled(entry.settings, settings)
    twin = _loaded(entry.twin)

    def made(world: Any) -> Any:
        return twin(world, values)

    return made


def _loaded(path: str) -> Any:
    module_name, _, class_name = path.partition(":")
    return getattr(import_module(module_name), class_name)
