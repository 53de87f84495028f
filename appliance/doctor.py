"""`cellwright doctor`: is this unit fit for work, and if not, what to do.

Reads only: it opens no device and writes nothing, so that it may run beside a running batch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from appliance import __version__

if TYPE_CHECKING:
    from appliance.config import Home, UnitConfig
    from appliance.link.messages import DeviceView, Snapshot

GOOD, BAD, USAGE = 0, 1, 2
CERTIFICATE_NOTE_DAYS = 30
SYNC_NOTE_AGE = timedelta(hours=24)
COPY_NOTE_AGE = timedelta(days=7)
DRILL_NOTE_AGE = timedelta(days=180)
_DEVICE_LAYERS_MAX = 8

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was looked at, how it is, and what to do about it."""

    about: str
    state: State
    words: str
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What the checks look at; what could not be read is None."""

    home: Home
    config: UnitConfig | None
    snapshot: Snapshot | None

    @property
    def simulated(self) -> bool:
        return self.config is not None and self.config.unit.simulated


def doctor(argv: Sequence[str]) -> int:
    """Say whether this unit is fit for work, and what to do where it is not."""
    from appliance.config import add_home_option, home_from

    parser = argparse.ArgumentParser(prog="cellwright doctor", description=doctor.__doc__, allow_abbrev=False)
    add_home_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(argv)
    home = home_from(options)
    if not home.root.is_dir():
        print(f"{home.root} is not a folder. Give the unit's folder with --home.", file=sys.stderr)
        return USAGE
    findings = list(examine(home))
    for finding in findings:
        print(json.dumps(asdict(finding), ensure_ascii=False) if options.json else _line(finding))
    return BAD if any(finding.state == "wrong" for finding in findings) else GOOD


def examine(home: Home) -> Iterator[Finding]:
    """Every check in the order it is told; one that fails does not hide the others."""
    config, faults = _configuration(home)
    snapshot, away = _engine(home)
    unit = Unit(home=home, config=config, snapshot=snapshot)
    yield from _versions()
    yield from faults
    checks: tuple[Callable[[Unit], Iterator[Finding]], ...] = (
        _clock,
        _disk,
        _record,
        _sync,
        _copies,
        _keys,
        _certificate,
        _theft,
    )
    for check in checks:
        yield from check(unit)
    yield from away
    yield from _devices(unit)


def _line(finding: Finding) -> str:
    do = f" → {finding.do}" if finding.do else ""
    return f"{finding.state:<6}{finding.about:<14}{finding.words}{do}"


def _versions() -> Iterator[Finding]:
    from appliance.record import sqlite
    from appliance.record.errors import RecordUnusable

    found = f"cellwright {__version__}, Python {platform.python_version()}"
    library = ".".join(map(str, sqlite.version()))
    try:
        sqlite.require_sound()
    except RecordUnusable as unsound:
        yield Finding(about="versions", state="wrong", words=found, do=str(unsound))
    else:
        yield Finding(about="versions", state="ok", words=f"{found}, SQLite {library}")


def _configuration(home: Home) -> tuple[UnitConfig | None, list[Finding]]:
    from appliance.config import ConfigurationUnusable
    from appliance.device_types import read_checked

    try:
        config = read_checked(home)
    except ConfigurationUnusable as unusable:
        return None, [
            Finding(about="unit.toml", state="wrong", words=fault, do="Correct it and start again.")
            for fault in unusable.faults
        ]
    unit = config.unit
    kind = f"simulated, speed {unit.clock_speed}" if unit.simulated else "real"
    words = f"{unit.id}, {unit.site}; {kind}; {len(config.devices)} devices"
    return config, [Finding(about="unit.toml", state="ok", words=words)]


def _clock(unit: Unit) -> Iterator[Finding]:
    from appliance.engine.clock import kernel_says_synchronised

    if unit.simulated:
        yield Finding(about="clock", state="ok", words="simulated; the record says so on every page")
    elif unit.config is not None and unit.config.unit.time_trust == "declared":
        yield Finding(about="clock", state="ok", words="trusted, as the site declared in unit.toml")
    elif kernel_says_synchronised():
        yield Finding(about="clock", state="ok", words="trusted: a time service keeps it")
    else:
        yield Finding(
            about="clock",
            state="wrong",
            words="not trusted: no time service keeps it, so no expiry passes without two persons",
            do="Start chrony and wait until it is synchronised, or have two persons enter a reference time.",
        )


def _disk(unit: Unit) -> Iterator[Finding]:
    from appliance.record.disk import disk_level

    folder = unit.home.record if unit.home.record.is_dir() else unit.home.root
    level = disk_level(folder)
    free_gib = level.free_bytes / 2**30
    warned = unit.config is not None and (
        level.free_bytes * 100 < level.total_bytes * unit.config.record.free_percent_warn
    )
    if not level.may_start:
        yield Finding(about="disk", state="wrong", words=f"{free_gib:.1f} GiB free", do=level.words)
    elif warned or level.level != "good":
        yield Finding(about="disk", state="note", words=f"{free_gib:.1f} GiB free", do=level.words)
    else:
        yield Finding(about="disk", state="ok", words=f"{free_gib:.1f} GiB free")


def _record(unit: Unit) -> Iterator[Finding]:
    from appliance.record import sqlite, startup
    from appliance.record.errors import RecordError
    from appliance.record.log import Record

    folder = unit.home.record
    if not (folder / "record.db").exists():
        yield Finding(
            about="record",
            state="note",
            words=f"there is none yet in {folder}",
            do="The engine makes it when it first starts.",
        )
        return
    try:
        with Record.open_readonly(folder) as record:
            head = record.head()
            newest = next(iter(record.read(head.seq))).header
            public_key, simulated = record.public_key, record.simulated
        connection = sqlite.connect(folder / "record.db", read_only=True)
        try:
            report = startup.check(connection, folder, public_key)
        finally:
            connection.close()
    except (RecordError, sqlite.Error, OSError) as problem:
        yield Finding(about="record", state="wrong", words=str(problem), do="Start no batch; call service.")
        return
    for problem_words in report.problems:
        yield Finding(about="record", state="wrong", words=problem_words, do="Start no batch.")
    for warning in report.warnings:
        yield Finding(about="record", state="note", words=warning)
    if report.good:
        words = f"event {head.seq}; everything since the last signed segment continues the chain"
        yield Finding(about="record", state="ok", words=words)
    yield Finding(
        about="last write",
        state="ok",
        words=f"event {head.seq} ({newest.kind}) is durable since {_told(newest.wall)}",
    )
    if unit.config is not None and simulated != unit.simulated:
        yield Finding(
            about="record",
            state="wrong",
            words="record and unit.toml do not agree whether this unit is simulated",
            do="A record stays what it began as: give this unit a new home folder.",
        )


def _sync(unit: Unit) -> Iterator[Finding]:
    from appliance.record.acknowledgements import cut_off_words, second_place
    from appliance.record.errors import RecordError
    from appliance.record.log import Record

    if not (unit.home.record / "record.db").exists():
        return
    try:
        with Record.open_readonly(unit.home.record) as record:
            head, (acked, at) = record.head().seq, record.acked()
        kept = second_place(unit.home.record, "gxp")
    except (RecordError, OSError) as problem:
        yield Finding(about="sync", state="wrong", words=str(problem), do="Start no batch; call service.")
        return
    if kept is not None and kept[0] > head:
        words = cut_off_words("gxp", kept[0], head)
        yield Finding(about="sync", state="wrong", words=words, do="Start no batch; call QA.")
    elif unit.config is not None and not unit.config.central_url:
        yield Finding(
            about="sync",
            state="note",
            words=f"no central is named; {head - acked} events are on this unit alone",
            do="Name it in unit.toml, [central] url; until then carry exports to QA by hand.",
        )
    else:
        yield _lag(head - acked, at, simulated=unit.simulated)


def _lag(behind: int, at: datetime | None, *, simulated: bool) -> Finding:
    if at is None:
        words, is_late = f"central has acknowledged nothing yet; {behind} events wait", behind > 0
    else:
        words = f"{behind} events behind central; acknowledged last at {_told(at)}"
        # A simulated unit's time runs at another speed than central's.
        is_late = behind > 0 and not simulated and datetime.now(UTC) - at > SYNC_NOTE_AGE
    do = "Work may go on. Look at the network and at `cellwright sync`." if is_late else ""
    return Finding(about="sync", state="note" if is_late else "ok", words=words, do=do)


def _copies(unit: Unit) -> Iterator[Finding]:
    """The last copy on a second medium, and the last proof that one can be put back."""
    from appliance.record.canonical import decode_payload
    from appliance.record.errors import RecordError
    from appliance.record.log import Record

    if not (unit.home.record / "record.db").exists():
        return
    try:
        with Record.open_readonly(unit.home.record) as record:
            found = {kind: record.newest(kind) for kind in ("BackupTaken", "BackupFailed", "RestoreDrilled")}
    except (RecordError, OSError):
        return  # said by the check of the record
    bodies = {kind: decode_payload(one.payload).body for kind, one in found.items() if one is not None}
    taken, failed = found["BackupTaken"], found["BackupFailed"]
    if failed is not None and (taken is None or failed.seq > taken.seq):
        words = f"the last try failed: {bodies['BackupFailed']['words']}"
        yield Finding(about="copies", state="note", words=words, do="Look at the medium, then copy again.")
    yield _last_copy(bodies.get("BackupTaken"))
    yield _last_drill(bodies.get("RestoreDrilled"))
    folder = Path(unit.config.backup.folder) if unit.config and unit.config.backup.folder else None
    if folder is not None and folder.is_dir() and folder.stat().st_dev == unit.home.record.stat().st_dev:
        words = f"{folder} lies on the disk of the record itself, and is lost with it"
        yield Finding(about="copies", state="note", words=words, do="Put in the medium, or name another.")


def _last_copy(body: dict[str, Any] | None) -> Finding:
    if body is None:
        do = "Write [backup] folder in unit.toml, or run `cellwright backup --to FOLDER`."
        return Finding(about="copies", state="note", words="none is on record yet", do=do)
    made_at = datetime.fromisoformat(body["made_at"])
    words = f"event {body['seq']} lies in {body['place']} since {_told(made_at)}, verified there"
    if datetime.now(UTC) - made_at > COPY_NOTE_AGE:
        return Finding(about="copies", state="note", words=words, do="That is long ago: take another.")
    return Finding(about="copies", state="ok", words=words)


def _last_drill(body: dict[str, Any] | None) -> Finding:
    do = "Run `cellwright restore COPY --drill --reason …`."
    if body is None:
        return Finding(about="restore drill", state="note", words="none is on record yet", do=do)
    made_at = datetime.fromisoformat(body["made_at"])
    if not body["good"]:
        words = f"failed at {_told(made_at)}: {body['words']}"
        return Finding(about="restore drill", state="wrong", words=words, do="Take another copy, drill it.")
    words = f"event {body['seq']} was put back beside the record and verified, {_told(made_at)}"
    if datetime.now(UTC) - made_at > DRILL_NOTE_AGE:
        return Finding(about="restore drill", state="note", words=words, do=do)
    return Finding(about="restore drill", state="ok", words=words)


def _keys(unit: Unit) -> Iterator[Finding]:
    from appliance.access.documents import fingerprint
    from appliance.access.errors import KeyRefused
    from appliance.access.keys import Trust, load_key, load_pin_secret

    home, own = unit.home, ""
    try:
        own = fingerprint(load_key(home.unit_key))
        yield Finding(about="unit key", state="ok", words=own)
    except KeyRefused as refused:
        yield _refused_key("unit key", refused)
    try:
        load_pin_secret(home.pin_secret)
        yield Finding(about="PIN secret", state="ok", words="there, and readable by its owner alone")
    except KeyRefused as refused:
        yield _refused_key("PIN secret", refused)
    try:
        trust = Trust.load(home.trust)
    except KeyRefused as refused:
        yield _refused_key("trust", refused)
        return
    if not trust.root:
        yield Finding(
            about="trust",
            state="wrong",
            words="no root key is trusted, so no people and no recipes are accepted",
            do="Add the root's fingerprint to trust.json, read from paper and not from this disk.",
        )
    for kind in ("root", "unit", "central", "qp"):
        for one in getattr(trust, kind):
            yield Finding(about=f"trust {kind}", state="ok", words=one)
    if own and trust.unit and own not in trust.unit:
        yield Finding(
            about="trust unit",
            state="wrong",
            words=f"this unit's own key {own[:16]}… is not among the trusted ones",
            do="Correct trust.json, or put back the key this unit was enrolled with.",
        )


def _refused_key(about: str, refused: Exception) -> Finding:
    do = "Put the file back from the unit's key backup, or make it with `cellwright keys`."
    return Finding(about=about, state="wrong", words=str(refused), do=do)


def _certificate(unit: Unit) -> Iterator[Finding]:
    from cryptography import x509

    from appliance.access.errors import KeyRefused
    from appliance.access.private_files import read_private

    if unit.config is None or not unit.config.central_url:
        return
    try:
        read_private(unit.home.client_key)
        ends = x509.load_pem_x509_certificate(unit.home.client_crt.read_bytes()).not_valid_after_utc
    except (KeyRefused, OSError, ValueError) as problem:
        yield Finding(
            about="certificate",
            state="wrong",
            words=str(problem),
            do="Have central issue a certificate for this unit; batches go on, their records wait.",
        )
        return
    left = ends - datetime.now(UTC)
    words = f"towards central, good until {_told(ends)}"
    if left < timedelta(0):
        yield Finding(about="certificate", state="wrong", words=words, do="It has ended: renew it.")
    elif left < timedelta(days=CERTIFICATE_NOTE_DAYS):
        yield Finding(about="certificate", state="note", words=words, do="Renew it soon.")
    else:
        yield Finding(about="certificate", state="ok", words=words)


def _theft(unit: Unit) -> Iterator[Finding]:
    """What may be claimed, and no more (SAFETY 22)."""
    from appliance.access.errors import KeyRefused
    from appliance.access.identity_key import is_wrapped

    wrapped = False
    try:
        wrapped = is_wrapped(unit.home.identity_key) if unit.home.identity_key.exists() else False
    except KeyRefused as refused:
        yield _refused_key("identity key", refused)
    else:
        yield from _identity_key(unit.home, wrapped)
    if unit.snapshot is not None and unit.snapshot.unit.identities_locked:
        words = "patients' names are locked since the engine started; bedside scans wait"
        do = "Open them with `cellwright identity unlock`."
        yield Finding(about="identities", state="note", words=words, do=do)
    if disk_is_encrypted(unit.home.root):
        tpm = "a TPM is there" if Path("/sys/class/tpm/tpm0").exists() else "there is no TPM"
        yield Finding(about="theft", state="ok", words=f"the unit's folder is on an encrypted disk; {tpm}")
        return
    words = "the unit's folder is not on a disk that is known to be encrypted: "
    if wrapped:
        words += (
            "protection against theft is claimed for patients' identities alone, which a passphrase "
            "seals; whoever has the disk has the unit's keys and its record of pseudonyms"
        )
    else:
        words += "no protection against theft is claimed, and whoever has the disk has keys and patient data"
    do = "Encrypt the disk (LUKS with TPM or boot passphrase) before patients' data is on it."
    yield Finding(about="theft", state="note", words=words, do=do)


def _identity_key(home: Home, wrapped: bool) -> Iterator[Finding]:
    if wrapped:
        yield Finding(about="identity key", state="ok", words="wrapped by a boot passphrase")
    elif home.identity_key.exists():
        yield Finding(
            about="identity key",
            state="note",
            words="open: it protects patients' names against nobody who has the disk",
            do="Give it a passphrase with `cellwright keys identity-rewrap` before the first patient.",
        )
    else:
        words = "there is none yet; the engine makes an open one when it first starts"
        do = "Make it under a passphrase with `cellwright keys identity-make`."
        yield Finding(about="identity key", state="note", words=words, do=do)


def disk_is_encrypted(folder: Path) -> bool:
    """Whether the block device under `folder`, or one that it stands on, is a dm-crypt one."""
    number = folder.stat().st_dev
    layer = [Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")]
    for _ in range(_DEVICE_LAYERS_MAX):
        for device in layer:
            try:
                if (device / "dm" / "uuid").read_text(encoding="ascii").startswith("CRYPT-"):
                    return True
            except OSError:
                continue  # not a device-mapper device, or none at all, as in a container
        layer = [below for device in layer for below in (device / "slaves").glob("*")]
    return False


def _engine(home: Home) -> tuple[Snapshot | None, list[Finding]]:
    from appliance.link.client import EngineAway, look

    try:
        snapshot = look(home.socket)
    except EngineAway as away:
        if home.socket.exists():
            do = "It died or hangs: restart it (systemctl restart cellwright-engine)."
            return None, [Finding(about="engine", state="wrong", words=str(away), do=do)]
        do = "Start it (systemctl start cellwright-engine)."
        return None, [Finding(about="engine", state="note", words="it does not run", do=do)]
    if snapshot.record.words:
        return snapshot, [Finding(about="engine", state="wrong", words=snapshot.record.words)]
    words = f"runs since start {snapshot.unit.term}, software {snapshot.unit.software_version}"
    if snapshot.unit.software_version != __version__:
        do = "Restart the engine between two batches."
        return snapshot, [Finding(about="engine", state="note", words=f"{words}, not {__version__}", do=do)]
    return snapshot, [Finding(about="engine", state="ok", words=words)]


def _run_by_people(unit: Unit) -> Iterator[Finding]:
    """Devices without a line: what is known of them, and where their files come from."""
    by_hand = [one for one in unit.config.devices if not one.has_line] if unit.config is not None else []
    for device in by_hand:
        known = f"{device.maker} {device.model}, qualified serial number {device.serial_number}"
        words = f"run by people: {known}"
        for what, until in (("calibrated", device.calibrated_until), ("qualified", device.qualified_until)):
            words += f", {what} until {until}" if until else ""
        yield Finding(about=device.id, state="ok", words=words)
    if by_hand and unit.config is not None and not unit.config.station.exchange.is_dir():
        words = f"the folder for devices' files, {unit.config.station.exchange}, is not there"
        do = "Make it, or mount the stick there, where a recipe takes files of devices."
        yield Finding(about="station", state="note", words=words, do=do)


def _devices(unit: Unit) -> Iterator[Finding]:
    yield from _run_by_people(unit)
    yield from _port_names(unit)
    if unit.snapshot is not None:
        for view in unit.snapshot.devices:
            yield from _fitness(view)
            if view.state == "by_hand":
                continue  # told above
            if view.state == "ready":
                read = ", ".join(
                    f"{one.name} {one.value} {one.unit} ({one.quality}, {one.age_s} s old)".replace("  ", " ")
                    for one in view.readings
                )
                yield Finding(about=view.id, state="ok", words=read or "answers")
            else:
                state: State = "note" if view.state == "starting" else "wrong"
                yield Finding(
                    about=view.id, state=state, words=view.words or view.state, do="Check cable and power."
                )
        return
    from appliance.device_types import is_there

    for device in unit.config.served if unit.config is not None else ():
        if is_there(device.port):
            words = f"its port {device.port} is there; whether it answers, the engine tells"
            yield Finding(about=device.id, state="ok", words=words)
        else:
            do = "Check cable, network and power, then the port in unit.toml."
            yield Finding(about=device.id, state="wrong", words=f"its port {device.port} is not there", do=do)


def _port_names(unit: Unit) -> Iterator[Finding]:
    """Ports whose names may come to mean another device when cables are moved."""
    from appliance.device_types import port_advice

    for device in unit.config.served if unit.config is not None else ():
        if do := port_advice(device.port):
            words = f"its port {device.port} is named by the order of plugging in"
            yield Finding(about=device.id, state="note", words=words, do=do)


def _fitness(view: DeviceView) -> Iterator[Finding]:
    """What keeps a device from being used, or soon will."""
    if view.fitness:
        over = any(word in view.fitness for word in ("NOT QUALIFIED", "ENDED"))
        do = "Two persons qualify it anew: `cellwright unit qualify`."
        yield Finding(about=view.id, state="wrong" if over else "note", words=view.fitness, do=do)


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
