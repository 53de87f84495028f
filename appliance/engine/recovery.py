"""Start the engine: check and open the record, fold it, and put what was running to held."""

from __future__ import annotations

import functools
import hashlib
import logging
from typing import Any

import appliance
from appliance.access.keys import Trust, load_key, load_pin_secret
from appliance.build import build_hash
from appliance.config import Device, Home, UnitConfig, read_config
from appliance.domain import copies, device_news, recovery
from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec, Unit
from appliance.engine.clock import Clock, ScaledClock, SystemClock, stamp
from appliance.engine.engine import Engine
from appliance.engine.folding import folded
from appliance.engine.shelf import Shelf, load_shelf
from appliance.engine.site_documents import SiteDocuments
from appliance.engine.type_check import refuse_unknown_devices
from appliance.link.server import ANSWERS_KEPT_MAX
from appliance.record import migrate
from appliance.record.canonical import Stamp, StoredRecord, decode_payload
from appliance.record.disk import make_reserve
from appliance.record.epochs import link_of
from appliance.record.errors import RecordFull, RecordUnusable
from appliance.record.log import Record

# What genesis says of a unit on which people only practise; it says so for ever.
TRAINING = "training"

_logger = logging.getLogger(__name__)


async def start(home: Home, *, clock: Clock | None = None) -> Engine:
    """A recovered engine, ready to run.

    Parameters
    ----------
    clock
        Instead of the clock that `unit.toml` asks for.

    Raises
    ------
    ConfigurationUnusable, KeyRefused, DocumentRefused, RecordUnusable
        Each says what is so and what to do; the unit does not start.
    """
    config = read_config(home)
    await refuse_unknown_devices(home, config)
    home.run.mkdir(parents=True, exist_ok=True)
    record = _opened(home, config, clock)
    try:
        engine, last_seq = _recovered(home, config, record, clock)
        await engine.turn(lambda: _starting_events(engine, engine.shelf, last_seq))
        if (put_back := _restored(record)) is not None:
            await engine.turn(lambda: copies.restored(put_back))
        if migrated := _migrations(record):
            await engine.turn(lambda: migrated)
        for device in config.devices:
            if not device.has_line:
                await engine.turn(functools.partial(_declared, engine, device))
        await SiteDocuments(engine).at_start()
    except BaseException:
        record.close()
        raise
    return engine


def _opened(home: Home, config: UnitConfig, clock: Clock | None) -> Record:
    key = load_key(home.unit_key)
    if (home.record / "record.db").exists():
        migrate.bring_up(home.record)
        return Record.open(home.record, key=key, software_version=appliance.__version__)
    return Record.create(
        home.record,
        unit_id=config.unit.id,
        key=key,
        software_version=appliance.__version__,
        simulated=config.unit.simulated,
        stamp=stamp(clock or _fresh_clock(config)),
        hardware=TRAINING if config.unit.mode == "training" else "",
    )


def _recovered(home: Home, config: UnitConfig, record: Record, clock: Clock | None) -> tuple[Engine, int]:
    """An engine that knows what the record tells, and the record's last number before it."""
    refuse_mixed(record, config)
    _keep_reserve(home, config)
    last = next(iter(record.read(record.head().seq)))
    state = folded(fresh_unit(config), record)
    trust = Trust.load(home.trust)
    engine = Engine(
        home=home,
        config=config,
        record=record,
        clock=clock or _clock_after(config, last),
        unit=state.unit,
        shelf=load_shelf(home, trust),
        trust=trust,
        pin_secret=load_pin_secret(home.pin_secret),
        software_version=appliance.__version__,
        term=state.unit.term + 1,
    )
    for kind, body in state.access:
        engine.desk.lockouts.fold(kind, body, engine.desk.now_s())
    engine.server.answered.preload(state.answered.newest(ANSWERS_KEPT_MAX))
    return engine, last.seq


def _keep_reserve(home: Home, config: UnitConfig) -> None:
    """Room for the end of a batch; where there is none left, the batch that runs comes first."""
    try:
        make_reserve(home.record, size_bytes=config.record.reserve_mib * 1024 * 1024)
    except RecordFull as full:
        _logger.warning("no reserve could be made: %s", full)


def refuse_mixed(record: Record, config: UnitConfig) -> None:
    """A simulated record stays simulated for ever; a real unit never opens one (SAFETY 16)."""
    if record.simulated != config.unit.simulated:
        kind = "a simulated" if record.simulated else "a real"
        raise RecordUnusable(
            f"The record in {record.folder} is {kind} one and unit.toml says simulated = "
            f"{str(config.unit.simulated).lower()}. Give this unit its own record folder."
        )
    was_training = _genesis(record).get("hardware") == TRAINING
    if was_training != (config.unit.mode == "training"):
        kind = "a training" if was_training else "no training"
        raise RecordUnusable(
            f"The record in {record.folder} is {kind} record and unit.toml says mode = "
            f"'{config.unit.mode}'. Give training its own home."
        )
    if record.unit_id != config.unit.id:
        raise RecordUnusable(
            f"The record is of unit {record.unit_id}, unit.toml says {config.unit.id}. "
            "Put the right folder there."
        )


def _genesis(record: Record) -> dict[str, Any]:
    return decode_payload(next(iter(record.read(1, 1))).payload).body


def fresh_unit(config: UnitConfig) -> Unit:
    """The unit of an appliance file, before anything is known of it."""
    specs = {d.id: DeviceSpec(d.id, d.role, d.title, d.serial_number, d.firmware) for d in config.devices}
    return Unit(config.unit.id, config.unit.simulated, specs)


def _starting_events(engine: Engine, shelf: Shelf, last_seq: int) -> list[ev.Event]:
    unit, term = engine.unit, engine.unit.term + 1
    report = engine.record.report
    recovered = recovery.recover(unit, term, last_seq)
    started = ev.EngineStarted(
        term=term,
        software_version=engine.software_version,
        check="; ".join(f"{key}: {value}" for key, value in report.as_body().items())
        if report
        else "new record",
        check_passed=report.good if report else True,
        configuration_hash=hashlib.sha256(engine.home.unit_toml.read_bytes()).hexdigest(),
        recipe_hashes=sorted(one.recipe.hash for one in shelf.recipes.values()),
        build_hash=build_hash(),
        devices=[
            {name: getattr(one, name) for name in ("id", "role", "title", "serial_number", "firmware")}
            for one in engine.config.devices
        ],
        inputs_on_record=True,
    )
    return [started, *recovered]


def _declared(engine: Engine, device: Device) -> list[ev.Event]:
    """A device that tells nothing of itself is known as the appliance file names it."""
    days = {"calibrated_until": device.calibrated_until, "qualified_until": device.qualified_until}
    identity = {name: getattr(device, name) for name in ("maker", "model", "serial_number", "firmware")}
    return device_news.identified(engine.unit, device.id, identity, **days)


def _restored(record: Record) -> ev.RecordRestored | None:
    """The restore that this log began with, where it is not on record yet."""
    link = link_of(record)
    if link is None or record.newest("RecordRestored") is not None:
        return None
    end, acked = link["gxp"], (link.get("acked") or {}).get("gxp") or {"seq": 0}
    words = f"A copy that ends with event {end['seq']} was put back, and a new log began."
    if acked["seq"] > end["seq"]:
        words += f" Events {end['seq'] + 1} to {acked['seq']} are at central only."
    else:
        words += " What was recorded after the copy is not on this unit."
    return ev.RecordRestored(
        previous_epoch=link["epoch"],
        previous_seq=end["seq"],
        previous_hash=end["hash"],
        acked_seq=acked["seq"],
        copy=str(link.get("copy", "")),
        reason=str(link.get("reason", "")),
        words=words,
    )


def _migrations(record: Record) -> list[ev.Event]:
    """What was done to the tables at a start and is not on record yet, also where that start was cut off."""
    done = migrate.notes(record.folder)
    if not done:
        return []
    newest = record.newest("RecordMigrated")
    told = decode_payload(newest.payload).body["to_version"] if newest is not None else 0
    return [
        ev.RecordMigrated(
            **facts,
            words=f"The tables were brought from version {facts['from_version']} to {facts['to_version']}. "
            f"All {facts['records']} records are as they were; the old file is kept.",
        )
        for facts in done
        if facts["to_version"] > told
    ]


def _fresh_clock(config: UnitConfig) -> Clock:
    if config.unit.simulated:
        return ScaledClock(config.unit.clock_speed)
    return SystemClock(time_trust=config.unit.time_trust)


def _clock_after(config: UnitConfig, last: StoredRecord) -> Clock:
    """A simulated unit's time goes on from its record; a real one's comes from the system."""
    if not config.unit.simulated:
        return SystemClock(time_trust=config.unit.time_trust)
    header = last.header
    return ScaledClock.continuing(
        config.unit.clock_speed,
        Stamp(header.wall, header.monotonic_ns, header.boot_id, header.clock_quality),
    )
