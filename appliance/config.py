"""The appliance file `unit.toml` and the home folder: read once, checked whole.

Every fault of the file is told in one go, each with its key and what to write there,
so that an installer does not meet them one start at a time.
"""

from __future__ import annotations

import argparse
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from appliance.domain import operator_devices

HOME_DEFAULT = Path("/var/lib/cellwright")
HOME_VARIABLE = "CELLWRIGHT_HOME"
UNIT_FILE_BYTES_MAX = 256 * 1024

SafeState = Literal["stop", "keep"]
# The roles of `drivers.roles`, which a screen and a command need not load for this.
ROLES = (
    "balance",
    "pump",
    "thermostat",
    "gas_controller",
    "probe",
    "valve",
    "particle_counter",
    "centrifuge",
    "printer",
    "logger",
)
# What moves product must stop when nobody is listening; what keeps cells warm must not (SAFETY 2).
MOVING_ROLES = ("pump", "valve", "centrifuge")
# What ends what it began whoever listens: it moves no product, and its halves are waste.
FINISHING_ROLES = ("printer",)
SETTINGS_MAX = 32  # of one device
LABEL_DPI = 300
_TCP_PORT = re.compile(r"tcp://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:]{2,45}\]):[1-9]\d{0,4}")
_THIS_MACHINE = re.compile(r"localhost|127(?:\.\d{1,3}){3}|\[::1\]")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")  # 32 bytes are the record header's field


class ConfigurationUnusable(Exception):
    """`unit.toml` cannot be used; `faults` lists everything that is wrong with it."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        self.path, self.faults = path, tuple(faults)
        listed = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{path} cannot be used. Correct this and start again:\n{listed}")


@dataclass(frozen=True, slots=True)
class Home:
    """Where a unit keeps everything: one folder."""

    root: Path

    @property
    def unit_toml(self) -> Path:
        return self.root / "unit.toml"

    @property
    def record(self) -> Path:
        return self.root / "record"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def unit_key(self) -> Path:
        return self.keys / "unit.key"

    @property
    def pin_secret(self) -> Path:
        return self.keys / "pin.secret"

    @property
    def identity_key(self) -> Path:
        return self.keys / "identity.key"

    @property
    def client_crt(self) -> Path:
        return self.keys / "client.crt"

    @property
    def client_key(self) -> Path:
        return self.keys / "client.key"

    @property
    def central_ca(self) -> Path:
        return self.keys / "central_ca.crt"

    @property
    def trust(self) -> Path:
        return self.root / "trust.json"

    @property
    def documents(self) -> Path:
        return self.root / "documents"

    @property
    def people(self) -> Path:
        return self.documents / "people.json"

    @property
    def recipes(self) -> Path:
        return self.documents / "recipes"

    @property
    def label_templates(self) -> Path:
        return self.documents / "label_templates"

    @property
    def orders(self) -> Path:
        return self.documents / "orders"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def traces(self) -> Path:
        return self.run / "traces"

    @property
    def socket(self) -> Path:
        return self.run / "engine.sock"

    @property
    def labels(self) -> Path:
        return self.root / "sources" / "labels"

    @property
    def microscope(self) -> Path:
        return self.root / "sources" / "microscope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    id: str
    site: str
    time_zone: str
    simulated: bool
    clock_speed: Decimal
    time_trust: Literal["kernel", "declared"]
    mode: Literal["production", "training"] = "production"

    @property
    def site_words(self) -> str:
        """The site as screens, labels and records name it: training says so everywhere (SAFETY 16)."""
        return f"{self.site} (TRAINING)" if self.mode == "training" else self.site


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    idle_lock_min: int
    lock_out_failures: int
    second_person_within_min: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One serial device.

    `serial_number` and `firmware` are the qualified ones, empty when any will do; a re-qualification on
    record stands in place of these and of both days. `behind_relay` names the device that can cut its supply.
    """

    id: str
    title: str
    role: str
    type: str
    port: str
    serial_number: str
    safe_state: SafeState
    poll_ms: int
    firmware: str = ""
    calibrated_until: str = ""  # the day up to which its calibration holds
    qualified_until: str = ""  # the same of its qualification
    behind_relay: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)  # handed to its driver
    maker: str = ""  # of a device that tells nothing of itself, as people read it on its plate
    model: str = ""

    @property
    def has_line(self) -> bool:
        """Whether a program speaks to it; one without a line is run by people."""
        return self.type != operator_devices.TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """Picture sources and the scale of the microscope; a `fictitious` scale is told on each result."""

    labels: str  # a camera (/dev/v4l/by-id/… or a URL), or a folder of pictures
    torch: str  # the file that takes the brightness of the light beside the camera; empty: none
    focus_baseline: Decimal  # what `camera focus` measured at set-up; 0: nobody did
    microscope: Path
    exchange: Path  # where a device's own files are found: a folder, or a stick's mount
    um_per_px: Decimal
    field_depth_um: Decimal
    field_depth_tolerance_percent: Decimal
    dilution: Decimal
    fictitious: bool
    # Camera and lens of the microscope, and the chamber: a qualified count is bound to them and to the scale.
    optics: str = ""
    chamber: str = ""

    @property
    def told(self) -> dict[str, str]:
        """What the record says of the station; what is not named is not said."""
        said = {
            "um_per_px": str(self.um_per_px),
            "field_depth_um": str(self.field_depth_um),
            "dilution": str(self.dilution),
            "scale": "fictitious" if self.fictitious else "calibrated",
        }
        named = {"optics": self.optics, "chamber": self.chamber}
        return said | {name: words for name, words in named.items() if words}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """What a counting method must reach to be qualified here, and for how long that holds."""

    cv_percent_max: Decimal = Decimal(10)
    r2_min: Decimal = Decimal("0.98")
    deviation_percent_max: Decimal = Decimal(10)
    pi_squared_max: Decimal = Decimal(0)  # 0: no limit
    months_max: int = 12

    @property
    def limits(self) -> dict[str, str]:
        """The limits by name, as the counting program takes them."""
        limits = {
            "cv_percent_max": self.cv_percent_max,
            "r2_min": self.r2_min,
            "deviation_percent_max": self.deviation_percent_max,
            "pi_squared_max": self.pi_squared_max,
        }
        return {name: str(limit) for name, limit in limits.items() if limit}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLimits:
    reserve_mib: int
    free_percent_warn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """Where copies of the record go by themselves; an empty `folder`: nowhere."""

    folder: str = ""
    every_h: int = 24
    keep: int = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitConfig:
    """The whole appliance file."""

    unit: Unit
    session: Session
    devices: tuple[Device, ...]
    station: Station
    central_url: str
    record: RecordLimits
    backup: Backup = Backup()
    counting: Counting = Counting()

    @property
    def served(self) -> tuple[Device, ...]:
        """The devices that a program speaks to."""
        return tuple(device for device in self.devices if device.has_line)

    @property
    def label_dpi(self) -> int:
        """The dots an inch for which labels are drawn: the printer's setting; 300 where none is told."""
        printer = next((device for device in self.devices if device.role == "printer"), None)
        told = printer.settings.get("dpi", "") if printer else ""
        return int(told) if told.isdecimal() else LABEL_DPI

    def device(self, device_id: str) -> Device:
        """The device with this id, which must exist."""
        return next(device for device in self.devices if device.id == device_id)


def add_home_option(parser: argparse.ArgumentParser) -> None:
    """The option `--home DIR` that every command of a unit has."""
    parser.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help=f"the unit's folder (else ${HOME_VARIABLE}, else {HOME_DEFAULT})",
    )


def home_from(args: argparse.Namespace | None = None) -> Home:
    """The home folder: option, else environment, else `/var/lib/cellwright`; made absolute."""
    given: Path | None = getattr(args, "home", None)
    return Home((given or Path(os.environ.get(HOME_VARIABLE) or HOME_DEFAULT)).absolute())


def read_config(home: Home) -> UnitConfig:
    """Read `unit.toml` of a home folder.

    Raises
    ------
    ConfigurationUnusable
        The file is missing, is no TOML, or has faults; all of them are listed.
    """
    path = home.unit_toml
    try:
        if path.stat().st_size > UNIT_FILE_BYTES_MAX:
            raise ConfigurationUnusable(path, [f"the file passes {UNIT_FILE_BYTES_MAX} bytes; shorten it"])
        text = path.read_text(encoding="utf-8")
    except OSError as reason:
        raise ConfigurationUnusable(
            path, [f"the file cannot be read ({reason.strerror}); write it, or give --home"]
        ) from reason
    except UnicodeDecodeError as reason:
        raise ConfigurationUnusable(path, ["the file is not UTF-8; save it as UTF-8"]) from reason
    return parse_config(text, home)


def parse_config(text: str, home: Home) -> UnitConfig:
    """Check the text of an appliance file; raises `ConfigurationUnusable`."""
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, InvalidOperation, RecursionError, ValueError) as reason:
        raise ConfigurationUnusable(home.unit_toml, [f"the file is not TOML: {reason}"]) from reason
    faults: list[str] = []
    top = _Table(tables, "", faults)
    config = UnitConfig(
        unit=_unit(top.table("unit")),
        session=_session(top.table("session", required=False)),
        devices=tuple(_device(table) for table in top.tables("device")),
        station=_station(top.table("station"), home),
        central_url=_central(top.table("central", required=False)),
        record=_record(top.table("record", required=False)),
        backup=_backup(top.table("backup", required=False), home),
        counting=_counting(top.table("counting", required=False)),
    )
    top.finish()
    faults += _faults_across(config)
    if faults:
        raise ConfigurationUnusable(home.unit_toml, faults)
    return config


def _unit(table: _Table) -> Unit:
    unit = Unit(
        id=table.identifier("id"),
        site=table.text("site"),
        time_zone=table.text("time_zone"),
        simulated=table.flag("simulated"),
        clock_speed=table.decimal("clock_speed", minimum="1", maximum="100000", default="1"),
        time_trust=cast(
            Literal["kernel", "declared"],
            table.choice("time_trust", ("kernel", "declared"), default="kernel"),
        ),
        mode=cast(
            Literal["production", "training"],
            table.choice("mode", ("production", "training"), default="production"),
        ),
    )
    if unit.mode == "training" and not unit.simulated:
        table.fault("mode", "is 'training' on a real unit; training needs twins: write simulated = true")
    if unit.time_zone and not _is_time_zone(unit.time_zone):
        table.fault("time_zone", f"is {unit.time_zone!r}; write a zone's name such as Europe/Berlin")
    if unit.clock_speed != 1 and not unit.simulated:
        table.fault("clock_speed", f"is {unit.clock_speed} on a real unit; write 1 or leave it out")
    table.finish()
    return unit


def _session(table: _Table) -> Session:
    session = Session(
        idle_lock_min=table.whole("idle_lock_min", 2, 15, default=5),
        lock_out_failures=table.whole("lock_out_failures", 3, 10, default=5),
        second_person_within_min=table.whole("second_person_within_min", 1, 60, default=10),
    )
    table.finish()
    return session


def _run_by_people(table: _Table) -> Device:
    """A device without a public protocol: no port, nothing to poll, nothing that a program could stop."""
    device = Device(
        id=table.identifier("id"),
        title=table.text("title"),
        role=table.choice("role", operator_devices.KINDS),
        type=table.text("type"),
        port="",
        serial_number=table.text("serial_number"),
        safe_state="keep",
        poll_ms=0,
        calibrated_until=table.text("calibrated_until", default=""),
        firmware=table.text("firmware", default=""),
        qualified_until=table.text("qualified_until", default=""),
        maker=table.text("maker"),
        model=table.text("model"),
    )
    for key in ("port", "safe_state", "poll_ms", "behind_relay", "settings"):
        table.refuse(key, f"is not for a device of type {device.type}: no program speaks to it; leave it out")
    _check_days(table, device)
    table.finish()
    return device


def _check_days(table: _Table, device: Device) -> None:
    for key in ("calibrated_until", "qualified_until"):
        day = getattr(device, key)
        if day and not is_day(day):
            table.fault(key, f"is {day!r}; write a day such as 2027-06-30")


def _device(table: _Table) -> Device:
    if table.says("type", operator_devices.TYPE):
        return _run_by_people(table)
    role = table.choice("role", ROLES)
    device = Device(
        id=table.identifier("id"),
        title=table.text("title"),
        role=role,
        type=table.text("type"),
        port=table.text("port"),
        serial_number=table.text("serial_number", default=""),
        safe_state=cast(SafeState, table.choice("safe_state", ("stop", "keep"))),
        poll_ms=table.whole("poll_ms", 50, 60_000, default=500),
        firmware=table.text("firmware", default=""),
        calibrated_until=table.text("calibrated_until", default=""),
        qualified_until=table.text("qualified_until", default=""),
        behind_relay=table.text("behind_relay", default=""),
        settings=_settings(table.table("settings", required=False)),
    )
    _check_days(table, device)
    if role in MOVING_ROLES and device.safe_state == "keep":
        table.fault("safe_state", f"is 'keep' for a {role}; what moves fluid must write 'stop'")
    if role in FINISHING_ROLES and device.safe_state == "stop":
        table.fault("safe_state", f"is 'stop' for a {role}; half a label helps nobody: write 'keep'")
    if device.port and not device.port.startswith("/") and not _TCP_PORT.fullmatch(device.port):
        words = "write an absolute path such as /dev/serial/by-id/…, or tcp://HOST:9100 for a printer"
        table.fault("port", f"is {device.port!r}; {words}")
    table.finish()
    return device


def _settings(table: _Table) -> dict[str, str]:
    """The driver's own settings; which there are, and what they may say, its type knows."""
    settings = {key: table.text(key) for key in table.keys()[:SETTINGS_MAX]}
    table.finish()
    return settings


def _station(table: _Table, home: Home) -> Station:
    station = Station(
        labels=_source(home, table.text("labels", default="sources/labels")),
        torch=table.text("torch", default=""),
        focus_baseline=table.decimal("focus_baseline", minimum="0", maximum="100", default="0"),
        microscope=home.root / table.text("microscope", default="sources/microscope"),
        exchange=home.root / table.text("exchange", default="sources/exchange"),
        um_per_px=table.decimal("um_per_px", minimum="0.001", maximum="100"),
        field_depth_um=table.decimal("field_depth_um", minimum="1", maximum="10000"),
        field_depth_tolerance_percent=table.decimal(
            "field_depth_tolerance_percent", minimum="0", maximum="50"
        ),
        dilution=table.decimal("dilution", minimum="1", maximum="10000"),
        fictitious=table.flag("fictitious"),
        optics=table.text("optics", default=""),
        chamber=table.text("chamber", default=""),
    )
    table.finish()
    return station


def _counting(table: _Table) -> Counting:
    usual = Counting()
    percent = {"minimum": "0.1", "maximum": "100"}
    counting = Counting(
        cv_percent_max=table.decimal("cv_percent_max", default=str(usual.cv_percent_max), **percent),
        r2_min=table.decimal("r2_min", minimum="0.5", maximum="1", default=str(usual.r2_min)),
        deviation_percent_max=table.decimal(
            "deviation_percent_max", default=str(usual.deviation_percent_max), **percent
        ),
        pi_squared_max=table.decimal("pi_squared_max", minimum="0", maximum="1000", default="0"),
        months_max=table.whole("months_max", 1, 60, default=usual.months_max),
    )
    table.finish()
    return counting


def _source(home: Home, told: str) -> str:
    return told if "://" in told else str(home.root / told)


def _central(table: _Table) -> str:
    url = table.text("url", default="")
    if url and not re.fullmatch(r"https://[^\s/?#]+(:\d+)?(/[^\s?#]*)?", url):
        table.fault("url", f"is {url!r}; write https://host[:port], or leave it out for a unit alone")
    table.finish()
    return url


def _record(table: _Table) -> RecordLimits:
    limits = RecordLimits(
        reserve_mib=table.whole("reserve_mib", 1, 4096, default=64),
        free_percent_warn=table.whole("free_percent_warn", 5, 90, default=20),
    )
    table.finish()
    return limits


def _backup(table: _Table, home: Home) -> Backup:
    backup = Backup(
        folder=table.text("folder", default=""),
        every_h=table.whole("every_h", 1, 168, default=24),
        keep=table.whole("keep", 1, 1000, default=14),
    )
    if backup.folder and not backup.folder.startswith("/"):
        table.fault("folder", f"is {backup.folder!r}; write an absolute path such as /media/copies")
    elif backup.folder and Path(backup.folder).is_relative_to(home.record):
        table.fault("folder", "lies in the record's own folder; write a folder on a second medium")
    table.finish()
    return backup


def _faults_across(config: UnitConfig) -> list[str]:
    """What only two values together show."""
    faults = []
    for key in ("id", "port"):
        values = [getattr(device, key) for device in config.devices]
        for value in sorted({value for value in values if value and values.count(value) > 1}):
            faults.append(f"device.{key}: {value!r} is there twice; give each device its own")
    for device in config.devices:
        tcp = _TCP_PORT.fullmatch(device.port)
        if tcp and config.unit.simulated != bool(_THIS_MACHINE.fullmatch(tcp["host"])):
            needed = "a twin on 127.0.0.1" if config.unit.simulated else "the printer's own address"
            faults.append(f"device.port: {device.port!r} is not for this unit; write {needed}")
    by_hand = [device.role for device in config.devices if not device.has_line]
    for role in sorted({role for role in by_hand if by_hand.count(role) > 1}):
        faults.append(f"device.role: {role!r} is there twice; a recipe asks for a kind, so name one of each")
    return faults


def is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_time_zone(name: str) -> bool:
    if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A small image may carry no zone database at all: then the name cannot be judged here.
        return not available_timezones()
    return True


class _Table:
    """One TOML table; takes out known keys, and remembers what is wrong with them."""

    def __init__(self, values: Mapping[str, Any], name: str, faults: list[str]) -> None:
        self._left = dict(values)
        self._name = name
        self._faults = faults

    def fault(self, key: str, words: str) -> None:
        self._faults.append(f"{self._path(key)}: {words}")

    def says(self, key: str, value: str) -> bool:
        """Whether a key has this very value; it is not taken."""
        return bool(self._left.get(key) == value)

    def refuse(self, key: str, words: str) -> None:
        """A key that may not be there at all."""
        if self._left.pop(key, None) is not None:
            self.fault(key, words)

    def keys(self) -> list[str]:
        """The keys that nobody has taken yet."""
        return list(self._left)

    def finish(self) -> None:
        """Whatever nobody asked for is a misspelling, and its intended key has a wrong default."""
        for key in self._left:
            self.fault(key, "is not a key of this file; correct its spelling or remove it")

    def table(self, key: str, *, required: bool = True) -> _Table:
        value = self._left.pop(key, None)
        if value is None and required:
            self._faults.append(f"[{self._path(key)}] is missing; write this table")
            return _Table({}, key, [])
        if value is not None and not isinstance(value, dict):
            self.fault(key, f"is not a table; write [{self._path(key)}]")
            return _Table({}, key, [])
        return _Table(value or {}, self._path(key), self._faults)

    def tables(self, key: str) -> list[_Table]:
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self._faults.append(f"{key}: is not a list of tables; write [[{key}]] above each")
            return []
        return [_Table(one, f"{key}[{number}]", self._faults) for number, one in enumerate(value, 1)]

    def text(self, key: str, *, default: str | None = None) -> str:
        value = self._take(key, default, "a text in quotes")
        if value is None:
            return ""
        if not isinstance(value, str) or (default is None and not value.strip()):
            self.fault(key, f"is {value!r}; write a text in quotes")
            return ""
        if len(value) > 300 or not value.isprintable():
            self.fault(key, "is longer than 300 characters or holds control characters; shorten it")
            return ""
        return value

    def identifier(self, key: str) -> str:
        value = self.text(key)
        if value and not _IDENTIFIER.fullmatch(value):
            self.fault(key, f"is {value!r}; write 1 to 32 letters, digits, '.', '_' or '-'")
        return value

    def choice(self, key: str, allowed: Sequence[str], *, default: str | None = None) -> str:
        value = self._take(key, default, " or ".join(allowed))
        if value is not None and value not in allowed:
            self.fault(key, f"is {value!r}; write {' or '.join(allowed)}")
            return allowed[0]
        return allowed[0] if value is None else str(value)

    def flag(self, key: str) -> bool:
        value = self._take(key, None, "true or false")
        if value is not None and not isinstance(value, bool):
            self.fault(key, f"is {value!r}; write true or false, without quotes")
        return value is True

    def whole(self, key: str, minimum: int, maximum: int, *, default: int) -> int:
        value = self._left.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.fault(key, f"is {value!r}; write a whole number from {minimum} to {maximum}")
            return default
        return value

    def decimal(self, key: str, *, minimum: str, maximum: str, default: str | None = None) -> Decimal:
        wanted = f'a number from {minimum} to {maximum}, such as "{minimum}"'
        value = self._take(key, default, wanted)
        if value is None:
            return Decimal(minimum)
        number = _decimal_of(value)
        if number is None or not Decimal(minimum) <= number <= Decimal(maximum):
            self.fault(key, f"is {str(value)!r}; write {wanted}")
            return Decimal(minimum)
        return number

    def _take(self, key: str, default: str | None, wanted: str) -> Any:
        if key not in self._left:
            if default is None:
                self.fault(key, f"is missing; write {wanted}")
            return default
        return self._left.pop(key)

    def _path(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


def _decimal_of(value: object) -> Decimal | None:
    """An exact, finite number from a decimal string or a TOML number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
