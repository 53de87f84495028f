"""Put a copy back: as a drill beside the live record, or for good, which begins a new log.

A restored record never goes on under its old numbers: central may hold other events under them. It is
kept whole and read-only as an earlier log, and a new one begins whose genesis names its end, the
last acknowledgement that is known, and why it was restored.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.config import Home
from appliance.record import schema, writer_lock
from appliance.record.attachments import sync_folder
from appliance.record.backup import (
    BESIDE,
    Manifest,
    copy_acknowledgements,
    copy_beside,
    copy_database,
    copy_files,
    read_manifest,
    verify_copy,
)
from appliance.record.canonical import (
    QUALITY_SIMULATED,
    QUALITY_UNTRUSTED,
    Stamp,
    StoredRecord,
    decode_payload,
)
from appliance.record.epochs import (
    earlier_epochs,
    has_record,
    known_acknowledgements,
    link_to,
    next_folder,
)
from appliance.record.errors import RecordRefused, RecordUnusable
from appliance.record.log import BLOBS, DATABASE, EARLIER, Record
from appliance.record.migrate import version_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

WITHIN = "restore-drill"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What a drill found; the body of `RestoreDrilled`."""

    place: str
    epoch: str
    seq: int
    hash: str
    good: bool
    behind: int
    reason: str
    words: str
    made_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    unit: str
    record: str
    earlier: str
    replaced: str  # where the record went that was there before, empty when none was
    epoch: str
    previous_epoch: str
    previous_seq: int
    central_only: dict[str, list[int]]  # by log: first and last event that central alone holds
    words: str

    def as_json(self) -> dict[str, Any]:
        """The facts as one JSON object."""
        return asdict(self)


def drill(copy: Path, home: Home, reason: str) -> Drill:
    """Restore a copy into a scratch folder beside the live record, verify it, and hold it against it.

    Raises
    ------
    RecordRefused
        `copy` is no whole copy of a unit.
    """
    manifest = read_manifest(copy)
    scratch = home.root / f"{WITHIN}-{time.time_ns()}"
    try:
        faults, behind = _tried(copy, home, manifest, scratch / "record")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    seq = int(manifest.gxp["seq"])
    words = " ".join(faults) or (
        f"The copy restores: event {seq} and everything before it are whole and equal to the record, "
        f"which has {behind} more."
    )
    return Drill(
        place=str(copy),
        epoch=manifest.epoch,
        seq=seq,
        hash=str(manifest.gxp["hash"]),
        good=not faults,
        behind=behind,
        reason=reason,
        words=words,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def restore(
    copy: Path, home: Home, *, key: Ed25519PrivateKey, reason: str, replace: bool, software_version: str
) -> Restored:
    """Put a copy in use: verify it, keep it as an earlier log, and begin a new one.

    Raises
    ------
    RecordRefused
        There is a record and `replace` was not said, or the copy is of another unit, or no whole copy.
    RecordUnusable
        An engine writes the record, or the copy is damaged; nothing was changed.
    """
    manifest = read_manifest(copy)
    if has_record(home.record) and not replace:
        raise RecordRefused(
            f"There is a record in {home.record}. With --replace it is moved aside, not deleted; or name "
            "another home."
        )
    home.root.mkdir(parents=True, exist_ok=True)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{time.time_ns() % 10**6:06d}"
    fresh = home.root / f"record-restored-{stamp}"
    with contextlib.ExitStack() as held:
        if home.record.is_dir():
            held.enter_context(writer_lock.take(home.record))
        try:
            _bring(copy, fresh)
            verify_copy(fresh)
            _refuse_other(fresh, manifest, key)
            link, central_only = _begin(fresh, home, copy, key, reason, software_version)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        replaced = home.root / f"record-replaced-{stamp}" if home.record.exists() else None
        if replaced is None:
            fresh.rename(home.record)
        else:
            try:
                _change_places(fresh, home.record)
            except RecordUnusable:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            # Under this name lies the record that was in use; a crash here leaves it, misnamed and whole.
            fresh.rename(replaced)
        sync_folder(home.root)
    _bring_what_is_missing(copy, home)
    with Record.open_readonly(home.record) as record:
        epoch = record.head().epoch.hex()
    seq = int(link["gxp"]["seq"])
    return Restored(
        unit=manifest.unit,
        record=str(home.record),
        earlier=str(earlier_epochs(home.record)[-1]),
        replaced=str(replaced or ""),
        epoch=epoch,
        previous_epoch=str(link["epoch"]),
        previous_seq=seq,
        central_only=central_only,
        words=_words(manifest, seq, central_only, replaced),
    )


def _tried(copy: Path, home: Home, manifest: Manifest, scratch: Path) -> tuple[list[str], int]:
    """What is wrong with a copy, and by how many events it is behind the live record."""
    try:
        _bring(copy, scratch)
        verify_copy(scratch)
    except (RecordRefused, RecordUnusable, OSError) as problem:
        return [str(problem)], 0
    faults, behind = [], 0
    with Record.open_readonly(scratch) as restored, contextlib.ExitStack() as held:
        if _ends(restored) != _ends_of(manifest):
            faults.append("The copy ends elsewhere than its own list says.")
        if not has_record(home.record):
            return [*faults, f"There is no record in {home.record} to hold it against."], 0
        live = _same_epoch(home.record, restored.head().epoch)
        if live is None:
            return [
                *faults,
                "The copy is of another record: the unit's holds no log of this epoch.",
            ], 0
        held.enter_context(live)
        for log in schema.LOGS:
            head, end = restored.head(log), live.head(log)
            mine = next(live.read(head.seq, head.seq, log=log), None)
            if mine is None or mine.hash != head.hash:
                faults.append(f"Event {head.seq} of {log} is not the one in the unit's record. Call QA.")
            behind = max(behind, end.seq - head.seq) if log == "gxp" else behind
            acked = known_acknowledgements([live.folder, scratch], head.epoch)[log]
            faults += _against_central(restored, log, acked)
    return faults, behind


def _against_central(record: Record, log: str, acked: dict[str, Any] | None) -> list[str]:
    """Whether what central acknowledged of this log is what the copy holds, as far as the copy goes."""
    if acked is None or acked["seq"] > record.head(log).seq or not acked["hash"]:
        return []
    stored = next(record.read(acked["seq"], acked["seq"], log=log))
    if stored.hash.hex() == acked["hash"]:
        return []
    return [f"Central acknowledged another event {acked['seq']} of {log} than the copy holds. Call QA."]


def _same_epoch(folder: Path, epoch: bytes) -> Record | None:
    for one in (folder, *reversed(earlier_epochs(folder))):
        record = Record.open_readonly(one)
        if record.head().epoch == epoch:
            return record
        record.close()
    return None


def _ends(record: Record) -> tuple[str, int, str, int, str]:
    gxp, telemetry = record.head("gxp"), record.head("telemetry")
    return gxp.epoch.hex(), gxp.seq, gxp.hash.hex(), telemetry.seq, telemetry.hash.hex()


def _ends_of(said: Manifest) -> tuple[str, int, str, int, str]:
    gxp, telemetry = said.gxp, said.telemetry
    return said.epoch, int(gxp["seq"]), str(gxp["hash"]), int(telemetry["seq"]), str(telemetry["hash"])


def _bring(copy: Path, target: Path) -> None:
    """Copy a record out of a copy into a new folder."""
    source = copy / "record"
    if not has_record(source):
        raise RecordRefused(f"{copy} holds no {DATABASE}. Name a copy that `cellwright backup` made.")
    (target / BLOBS).mkdir(parents=True)
    for one in earlier_epochs(source):
        folder = target / EARLIER / one.name
        folder.mkdir(parents=True)
        copy_acknowledgements(one, folder)
        copy_database(one / DATABASE, folder / DATABASE)
        (folder / DATABASE).chmod(0o440)
    copy_acknowledgements(source, target)
    copy_database(source / DATABASE, target / DATABASE)
    copy_files(source / BLOBS, target / BLOBS)


def _refuse_other(fresh: Path, manifest: Manifest, key: Ed25519PrivateKey) -> None:
    from appliance.record.segments import fingerprint, public_bytes

    with Record.open_readonly(fresh) as record:
        if _ends(record) != _ends_of(manifest):
            raise RecordUnusable("The copy ends elsewhere than its own list says. Take another one.")
        if record.public_key != public_bytes(key):
            raise RecordRefused(
                f"The copy is of unit {record.unit_id} with key {fingerprint(record.public_key)[:16]}…; this "
                f"home's is {fingerprint(public_bytes(key))[:16]}…. Put the right key in place."
            )


def _change_places(one: Path, other: Path) -> None:
    """Let two folders take each other's name in one step.

    Between two renames the home would have no record, and an engine that starts then would begin an
    empty one that knows of no order made and no bag used.
    """
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    names = os.fsencode(one), os.fsencode(other)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return
    fault = ctypes.get_errno()
    raise RecordUnusable(
        f"{one.name} and {other} cannot change places ({os.strerror(fault)}); nothing was changed. "
        "Put the unit's home on a local disk."
    )


def _begin(
    fresh: Path, home: Home, copy: Path, key: Ed25519PrivateKey, reason: str, software_version: str
) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Make the restored record the last of the earlier logs, and begin the new one in its place."""
    _sign_the_end(fresh, key, software_version)
    with Record.open_readonly(fresh) as record:
        epoch, unit, simulated = record.head().epoch, record.unit_id, record.simulated
        known = [fresh, *(path for path in (home.record, *earlier_epochs(home.record)) if path.is_dir())]
        acked = known_acknowledgements(known, epoch)
        number = len(earlier_epochs(fresh)) + 1
        facts = {"acked": acked, "reason": reason, "copy": copy.name}
        link = link_to(record, number, facts)
        hardware = str(decode_payload(next(record.read(1, 1)).payload).body.get("hardware", ""))
        last = next(record.read(record.head().seq))
    kept = next_folder(fresh, epoch)
    kept.mkdir(parents=True)
    for path in (fresh / DATABASE, *fresh.glob("last-ack-*.json")):
        path.rename(kept / path.name)
    (kept / DATABASE).chmod(0o440)
    sync_folder(kept)
    sync_folder(kept.parent)
    moment = _stamp_after(last, simulated=simulated)
    with Record.create(
        fresh,
        unit_id=unit,
        key=key,
        software_version=software_version,
        simulated=simulated,
        stamp=moment,
        hardware=hardware,
        previous=link,
    ) as begun:
        for log in schema.LOGS:
            begun.seal(moment, log)
    return link, _central_only(link, acked)


def _sign_the_end(fresh: Path, key: Ed25519PrivateKey, software_version: str) -> None:
    """Put the events since the last signed run under a signature, so that central can still have them.

    Tables of an earlier version are left as they are: they are only read from here on.
    """
    if version_of(fresh) != schema.SCHEMA_VERSION:
        return
    with Record.open(fresh, key=key, software_version=software_version) as record:
        newest = next(record.read(record.head().seq))
        moment = _stamp_after(newest, simulated=record.simulated)
        for log in schema.LOGS:
            record.seal(moment, log)


def _central_only(link: dict[str, Any], acked: dict[str, dict[str, Any] | None]) -> dict[str, list[int]]:
    found = {}
    for log in schema.LOGS:
        known, end = acked[log], int(link[log]["seq"])
        if known is not None and known["seq"] > end:
            found[log] = [end + 1, int(known["seq"])]
    return found


def _stamp_after(last: StoredRecord, *, simulated: bool) -> Stamp:
    """When the new log begins: a simulated unit's time goes on from its record, as it does at a start."""
    header = last.header
    if simulated:
        return Stamp(header.wall, header.monotonic_ns, header.boot_id, QUALITY_SIMULATED)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    # Nobody vouches here for the clock of the computer; the engine judges it when it starts.
    return Stamp(datetime.now(UTC), time.monotonic_ns(), bytes.fromhex(boot), QUALITY_UNTRUSTED)


def _bring_what_is_missing(copy: Path, home: Home) -> None:
    """Lists, orders, identities and the appliance file, where this home has none; what is there stays."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=home.root) as scratch:
        copy_beside(copy, Path(scratch))
        for name in BESIDE:
            if (Path(scratch) / name).exists() and not (home.root / name).exists():
                (Path(scratch) / name).rename(home.root / name)
    sync_folder(home.root)


def _words(manifest: Manifest, seq: int, central_only: dict[str, list[int]], replaced: Path | None) -> str:
    told = [f"{manifest.unit} is restored to event {seq}; a new log begins at its next start."]
    for log, (first, last) in central_only.items():
        told.append(f"Events {first} to {last} of {log} are at central only; call QA.")
    if not central_only:
        told.append("No acknowledgement beyond the copy is known here; ask QA what central holds.")
    if replaced is not None:
        told.append(f"The record that was here is kept in {replaced}.")
    return " ".join(told)
