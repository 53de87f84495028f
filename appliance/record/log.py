"""Append to and read the hash-chained log; the only code that writes it.

One writer, many readers. A record is durable when `append` returns: write-ahead log with
`synchronous=FULL`, one `BEGIN IMMEDIATE` transaction, and the number and previous hash read from the
log inside that transaction. After a failed commit nobody knows what the disk holds, so the record
refuses everything until it has been closed, opened and checked again.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.record import (
    acknowledgements,
    attachments,
    beginning,
    schema,
    sqlite,
    startup,
    writer_lock,
)
from appliance.record.attachments import BlobRef
from appliance.record.canonical import (
    ALGORITHM_SHA256_ED25519,
    HEADER_BYTES,
    NO_HASH,
    QUALITY_SIMULATED,
    Header,
    NewRecord,
    Stamp,
    StoredRecord,
    encode_record,
    record_hash,
    wall_of,
    wall_us,
)
from appliance.record.errors import RecordRefused, RecordUnusable
from appliance.record.origin import Origin, genesis, read_origin
from appliance.record.segments import (
    Segment,
    fingerprint,
    make_segment,
    public_bytes,
    runs_of,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

DATABASE = "record.db"
BLOBS = "blobs"
EARLIER = "earlier"  # the logs before a restore; they share the files of the present one
READ_PAGE = 500
SCAN_PAGE = 20_000  # of which few records come back
KIND_BYTES = 48
KIND_AT = HEADER_BYTES - 4 - KIND_BYTES  # the kind stands before the payload's length, which ends the header
_SEGMENTS_SQL = "SELECT header, signature, first, last FROM segment WHERE log = ?"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record of a log."""

    epoch: bytes
    seq: int
    hash: bytes


class Record:
    """The record of one unit: two logs, their signed segments, acknowledgements and files.

    Safe to use from several threads of the process that opened it.
    """

    def __init__(
        self,
        folder: Path,
        connection: Connection,
        *,
        key: Ed25519PrivateKey | None = None,
        lock: IO[str] | None = None,
        software_version: str = "",
        origin: Origin | None = None,
    ) -> None:
        self.folder = folder
        self.blobs_folder = _blobs_of(folder)
        self.report: startup.StartUpReport | None = None
        self._connection = connection
        self._key = key
        self._lock = lock
        self._mutex = threading.RLock()
        self._lost = ""
        self._origin = origin or read_origin(connection, folder)
        self._software_version = software_version or self._origin.software_version

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        unit_id: str,
        key: Ed25519PrivateKey,
        software_version: str,
        simulated: bool,
        stamp: Stamp,
        epoch: bytes | None = None,
        hardware: str = "",
        previous: Mapping[str, Any] | None = None,
    ) -> Record:
        """Begin a record in `folder`, with genesis as number 1 of both logs, and open it for writing.

        `previous` are the facts of the log that this one goes on from (`epochs.link_to`), after a restore.

        Raises
        ------
        RecordUnusable
            There is a record already, another engine holds the folder, or the disk refuses.
        """
        sqlite.require_sound()
        (folder / BLOBS).mkdir(parents=True, exist_ok=True)
        public = public_bytes(key)
        origin = Origin(unit_id, epoch or secrets.token_bytes(16), public, software_version, simulated)
        with contextlib.ExitStack() as undo:
            lock = undo.enter_context(writer_lock.take(folder))
            unfinished = beginning.begun(folder / DATABASE)
            with contextlib.closing(_connect(folder, read_only=False, name=unfinished.name)) as first:
                sqlite.begin_wal(first)
                record = cls(folder, first, key=key, origin=origin)
                with record._transaction():
                    schema.create(first)
                    record._insert([genesis(origin, log, stamp, hardware, previous) for log in schema.LOGS])
                record.checkpoint()
            beginning.finish(unfinished, folder / DATABASE)
            connection = undo.enter_context(contextlib.closing(_connect(folder, read_only=False)))
            record = cls(folder, connection, key=key, lock=lock, origin=origin)
            undo.pop_all()
        schema.guard(connection)
        return record

    @classmethod
    def open(cls, folder: Path, *, key: Ed25519PrivateKey, software_version: str = "") -> Record:
        """Check a record and open it for writing; `report` holds what the check found.

        Raises
        ------
        RecordUnusable
            No record, another writer, an unsound library, or a check that failed; says what to do.
        """
        sqlite.require_sound()
        _require_database(folder)
        with contextlib.ExitStack() as undo:
            lock = undo.enter_context(writer_lock.take(folder))
            connection = undo.enter_context(contextlib.closing(_connect(folder, read_only=False)))
            try:
                record = cls(folder, connection, key=key, lock=lock, software_version=software_version)
                record.report = record._start_up(public_bytes(key))
            except sqlite.Error as problem:
                raise sqlite.unusable(folder, problem) from problem
            undo.pop_all()
        schema.guard(connection)
        return record

    @classmethod
    def open_readonly(cls, folder: Path) -> Record:
        """Open a record beside the engine that writes it; nothing is checked and nothing can be written."""
        _require_database(folder)
        connection = _connect(folder, read_only=True)
        try:
            return cls(folder, connection)
        except sqlite.Error as problem:
            raise sqlite.unusable(folder, problem) from problem

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let another writer in; closing twice is harmless."""
        with self._mutex:
            with contextlib.suppress(sqlite.Error):
                self._connection.close()
            if self._lock is not None:
                self._lock.close()
            self._lost = self._lost or "The record was closed. Open it again."

    @property
    def unit_id(self) -> str:
        """The unit whose record this is."""
        return self._origin.unit

    @property
    def simulated(self) -> bool:
        """Whether genesis says `simulated`; it stays so for ever."""
        return self._origin.simulated

    @property
    def public_key(self) -> bytes:
        """The unit's raw public key, as genesis names it."""
        return self._origin.public_key

    @property
    def software_version(self) -> str:
        """The software that writes now; of a record opened for reading, the one that began it."""
        return self._software_version

    @property
    def signing_key(self) -> Ed25519PrivateKey | None:
        """The unit's key, where the record was opened for writing."""
        return self._key

    def append(
        self,
        kind: str,
        payload: bytes,
        *,
        actor: str,
        stamp: Stamp,
        payload_version: int = 1,
        log: str = "gxp",
        down_cursor: int = 0,
    ) -> StoredRecord:
        """Write one record; it is durable when this returns.

        Raises
        ------
        RecordRefused
            The payload or a header field is not fit for the record; nothing was written.
        RecordFull
            No room; nothing acknowledged is lost.
        RecordUnusable
            The commit failed; open the record again before anything else.
        """
        new = NewRecord(
            kind=kind,
            payload=payload,
            actor=actor,
            stamp=stamp,
            payload_version=payload_version,
            log=log,
            down_cursor=down_cursor,
        )
        return self.append_many([new])[0]

    def append_many(self, records: Sequence[NewRecord]) -> list[StoredRecord]:
        """Write records in one transaction: all of them or none. Raises what `append` raises."""
        with self._transaction():
            return self._insert(records)

    def read(
        self, first_seq: int = 1, last_seq: int | None = None, *, log: str = "gxp"
    ) -> Iterator[StoredRecord]:
        """Records in order, in short transactions: a slow reader never holds the writer's file."""
        for page in self.pages(first_seq, last_seq, log=log):
            yield from (StoredRecord(*row) for row in page)

    def pages(
        self, first_seq: int = 1, last_seq: int | None = None, *, log: str = "gxp"
    ) -> Iterator[list[tuple[int, bytes, bytes]]]:
        """Rows of records (number, hash, bytes) by the page, for who passes over very many."""
        table, seq = schema.table_of(log), first_seq
        while last_seq is None or seq <= last_seq:
            end = seq + READ_PAGE - 1 if last_seq is None else min(last_seq, seq + READ_PAGE - 1)
            rows = self._query(
                f"SELECT seq, hash, data FROM {table} WHERE seq BETWEEN ? AND ? ORDER BY seq", (seq, end)
            )
            if not rows:
                return
            yield rows
            seq = rows[-1][0] + 1

    def read_without(
        self, kinds: Iterable[str], last_seq: int, *, log: str = "gxp"
    ) -> Iterator[StoredRecord]:
        """Records up to `last_seq` of every kind but these, in order; the others are not even decoded."""
        yield from self._by_kind("NOT IN", kinds, last_seq, log)

    def read_of(self, kinds: Iterable[str], *, log: str = "gxp") -> Iterator[StoredRecord]:
        """Records of these kinds alone, in order; the others are not even decoded."""
        yield from self._by_kind("IN", kinds, self.head(log).seq, log)

    def _by_kind(self, among: str, kinds: Iterable[str], last_seq: int, log: str) -> Iterator[StoredRecord]:
        table, named = schema.table_of(log), [_kind_bytes(kind) for kind in kinds]
        marks = ", ".join("?" * len(named))
        for first in range(1, last_seq + 1, SCAN_PAGE):
            rows = self._query(
                f"SELECT seq, hash, data FROM {table} WHERE seq BETWEEN ? AND ?"
                f" AND substr(data, {KIND_AT + 1}, {KIND_BYTES}) {among} ({marks}) ORDER BY seq",
                (first, min(last_seq, first + SCAN_PAGE - 1), *named),
            )
            yield from (StoredRecord(*row) for row in rows)

    def newest(self, kind: str, log: str = "gxp") -> StoredRecord | None:
        """The newest record of a kind, None when there is none."""
        rows = self._query(
            f"SELECT seq, hash, data FROM {schema.table_of(log)}"
            f" WHERE substr(data, {KIND_AT + 1}, {KIND_BYTES}) = ? ORDER BY seq DESC LIMIT 1",
            (_kind_bytes(kind),),
        )
        return StoredRecord(*rows[0]) if rows else None

    def head(self, log: str = "gxp") -> Head:
        """The newest record's number and hash."""
        table = schema.table_of(log)
        seq, newest = self._query(f"SELECT seq, hash FROM {table} ORDER BY seq DESC LIMIT 1")[0]
        return Head(self._origin.epoch, seq, newest)

    def seal(self, stamp: Stamp, log: str = "gxp") -> Segment | None:
        """Sign everything not signed yet; returns the last segment made, None when nothing is new.

        A long run becomes several segments of at most 1,000 records or 256 KiB.
        """
        if self._key is None:
            raise RecordUnusable("The record is open for reading only; the engine seals it.")
        made: Segment | None = None
        with self._transaction():
            sealed = self._sealed(log)
            for run in runs_of(self.read(sealed + 1, log=log)):
                made = make_segment(
                    run,
                    self._hash_before(run[0].seq, log),
                    self._key,
                    stamp,
                    software_version=self._software_version,
                    simulated=self._origin.simulated,
                )
                self._connection.execute(
                    "INSERT INTO segment (log, first, last, header, signature) VALUES (?, ?, ?, ?, ?)",
                    (log, made.first, made.last, made.header, made.signature),
                )
        return made

    def segments(self, first_seq: int = 1, log: str = "gxp") -> Iterator[Segment]:
        """Signed runs that reach `first_seq` or later, in order."""
        rows = self._query(
            f"{_SEGMENTS_SQL} AND last >= ? ORDER BY first LIMIT ?", (log, first_seq, READ_PAGE)
        )
        while rows:
            yield from (Segment(*row) for row in rows)
            rows = self._query(
                f"{_SEGMENTS_SQL} AND first > ? ORDER BY first LIMIT ?", (log, rows[-1][2], READ_PAGE)
            )

    def signed(self, log: str = "gxp") -> int:
        """The newest number that a segment signs, 0 when none does."""
        return self._sealed(log)

    def put_blob(self, data: bytes, media_type: str) -> BlobRef:
        """Keep a picture or file for good; the event that names it comes after."""
        reference = BlobRef(attachments.store(self.blobs_folder, data), len(data), media_type)
        with self._transaction():
            known = self._query("SELECT 1 FROM blob WHERE sha256 = ?", (reference.sha256,))
            if not known:
                self._connection.execute(
                    "INSERT INTO blob (sha256, size_bytes, media_type) VALUES (?, ?, ?)",
                    (reference.sha256, reference.size_bytes, media_type),
                )
        return reference

    def blob(self, sha256: str) -> bytes:
        """A stored file's bytes; raises `BlobMissing` when it is gone or was changed."""
        return attachments.load(self.blobs_folder, sha256)

    def blob_refs(self) -> list[BlobRef]:
        """Every file in the index, by name."""
        rows = self._query("SELECT sha256, size_bytes, media_type FROM blob ORDER BY sha256")
        return [BlobRef(*row) for row in rows]

    def store_ack(
        self, ack: bytes, signature: bytes, *, log: str, acked_seq: int, at: datetime | None = None
    ) -> None:
        """Keep central's signed acknowledgement, in the record and in a second place beside it.

        `at` is central's time for it; left out, it is taken from the acknowledgement's `server_time`.
        The caller has checked the signature.
        """
        if len(ack) > acknowledgements.LARGEST_BYTES:
            raise RecordRefused(
                f"The acknowledgement has {len(ack)} bytes; at most {acknowledgements.LARGEST_BYTES} fit."
            )
        head = self.head(log).seq
        if not 1 <= acked_seq <= head:
            raise RecordRefused(
                f"Central acknowledges event {acked_seq} of {log}; the record ends at {head}. Call QA."
            )
        moment = wall_us(at) if at is not None else acknowledgements.server_time_us(ack)
        with self._transaction():
            self._connection.execute(
                "INSERT INTO ack (number, log, acked_seq, ack, signature, at_us)"
                " SELECT coalesce(max(number), 0) + 1, ?, ?, ?, ?, ? FROM ack",
                (log, acked_seq, ack, signature, moment),
            )
        if acked_seq >= self.acked(log)[0]:
            acknowledgements.keep_second(self.folder, log, acked_seq, ack, signature)

    def acked(self, log: str = "gxp") -> tuple[int, datetime | None]:
        """The highest acknowledged number, 0 when none, and central's time for it."""
        rows = self._query(
            "SELECT acked_seq, at_us FROM ack WHERE log = ? ORDER BY acked_seq DESC, number DESC LIMIT 1",
            (log,),
        )
        if not rows:
            return 0, None
        return rows[0][0], None if rows[0][1] is None else wall_of(rows[0][1])

    def acks(self, log: str = "gxp") -> list[tuple[int, bytes, bytes]]:
        """Every acknowledgement kept: number acknowledged, exact bytes, signature."""
        return [
            (row[0], row[1], row[2])
            for row in self._query(
                "SELECT acked_seq, ack, signature FROM ack WHERE log = ? ORDER BY number", (log,)
            )
        ]

    def checkpoint(self) -> None:
        """Move the whole write-ahead log into the file, on the disk.

        After a failed write this is what makes true on the disk what can be read: the system may have
        forgotten pages whose sync it could not do, and reads them from memory all the same.

        Raises
        ------
        RecordUnusable
            A reader kept it from ending, or the disk refuses.
        """
        if self._query("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            raise RecordUnusable(
                f"Another program reads the record in {self.folder} and does not let go. Close it; try again."
            )

    def _start_up(self, public_key: bytes) -> startup.StartUpReport:
        if public_key != self._origin.public_key:
            raise RecordUnusable(
                f"This unit's key is {fingerprint(public_key)[:16]}…, the record in {self.folder} belongs to "
                f"key {fingerprint(self._origin.public_key)[:16]}…. Put the right key in place, or call QA."
            )
        report = startup.check(self._connection, self.folder, public_key)
        for log in schema.LOGS:
            kept = acknowledgements.second_place(self.folder, log)
            if kept is not None and kept[0] > self.head(log).seq:
                report.problems.append(acknowledgements.cut_off_words(log, kept[0], self.head(log).seq))
        if not report.good:
            raise RecordUnusable(" ".join(report.problems))
        return report

    def _insert(self, records: Sequence[NewRecord]) -> list[StoredRecord]:
        execute, origin = self._connection.execute, self._origin
        heads: dict[str, tuple[int, bytes]] = {}
        stored: list[StoredRecord] = []
        for new in records:
            log, stamp = new.log, new.stamp
            if stamp.quality == QUALITY_SIMULATED and not origin.simulated:
                raise RecordRefused("A simulated clock has no place in the record of a real unit.")
            if log not in heads:
                # Read here and nowhere else: a number kept in memory would be given twice after a rollback.
                heads[log] = execute(_newest_sql(log)).fetchone() or (0, NO_HASH)
            newest, previous = heads[log]
            seq = newest + 1
            data = encode_record(_header(origin, new, seq), new.payload)
            hashed = record_hash(previous, data)
            execute(_insert_sql(log), (seq, hashed, data))
            heads[log] = (seq, hashed)
            stored.append(StoredRecord(seq, hashed, data))
        return stored

    def _sealed(self, log: str) -> int:
        return int(self._query("SELECT coalesce(max(last), 0) FROM segment WHERE log = ?", (log,))[0][0])

    def _hash_before(self, seq: int, log: str) -> bytes:
        if seq == 1:
            return NO_HASH
        rows = self._query(f"SELECT hash FROM {schema.table_of(log)} WHERE seq = ?", (seq - 1,))
        return bytes(rows[0][0])

    def _query(self, sql: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        with self._mutex:
            if self._lost:
                raise RecordUnusable(self._lost)
            try:
                return self._connection.execute(sql, arguments).fetchall()
            except sqlite.Error as problem:
                raise sqlite.unusable(self.folder, problem) from problem

    def _transaction(self) -> _Transaction:
        return _Transaction(self)

    def _begin(self) -> None:
        if self._key is None:
            raise RecordUnusable("The record is open for reading only; the engine writes it.")
        if self._lost:
            raise RecordUnusable(self._lost)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite.Error as problem:
            self._lose(problem)

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite.Error as problem:
            self._lose(problem)

    def _undo(self, problem: BaseException) -> None:
        if isinstance(problem, sqlite.Error):
            self._lose(problem)
        self._roll_back()
        if isinstance(problem, RecordUnusable):
            self._lost = str(problem)

    def _lose(self, problem: Exception) -> NoReturn:
        """After a failed write: what the disk holds is unknown until the file is opened and read again."""
        self._roll_back()
        error = sqlite.unusable(self.folder, problem)
        self._lost = str(error)
        raise error from problem

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


class _Transaction:
    """All of it or none; a failed one leaves the record unusable. Bare, because each event passes here."""

    __slots__ = ("_record",)

    def __init__(self, record: Record) -> None:
        self._record = record

    def __enter__(self) -> None:
        record = self._record
        record._mutex.acquire()
        try:
            record._begin()
        except BaseException:
            record._mutex.release()
            raise

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        record = self._record
        try:
            if problem is None:
                record._commit()
            else:
                record._undo(problem)
        finally:
            record._mutex.release()


@functools.cache
def _newest_sql(log: str) -> str:
    return f"SELECT seq, hash FROM {schema.table_of(log)} ORDER BY seq DESC LIMIT 1"


@functools.cache
def _insert_sql(log: str) -> str:
    return f"INSERT INTO {schema.table_of(log)} (seq, hash, data) VALUES (?, ?, ?)"


def _header(origin: Origin, new: NewRecord, seq: int) -> Header:
    stamp = new.stamp
    return Header(
        unit=origin.unit,
        log=new.log,
        epoch=origin.epoch,
        seq=seq,
        wall=stamp.wall,
        monotonic_ns=stamp.monotonic_ns,
        boot_id=stamp.boot_id,
        clock_quality=stamp.quality,
        algorithm=ALGORITHM_SHA256_ED25519,
        payload_version=new.payload_version,
        down_cursor=new.down_cursor,
        actor=new.actor,
        kind=new.kind,
    )


def _blobs_of(folder: Path) -> Path:
    """Where the files of a record lie; those of an earlier log lie with the present one's."""
    above = folder.absolute().parent
    return above.parent / BLOBS if above.name == EARLIER else folder / BLOBS


def _kind_bytes(kind: str) -> bytes:
    """A kind as it stands in a record's header."""
    return kind.encode().ljust(KIND_BYTES, b"\x00")


def _require_database(folder: Path) -> None:
    if not (folder / DATABASE).is_file():
        raise RecordUnusable(f"There is no record in {folder}. Name the folder that holds {DATABASE}.")


def _connect(folder: Path, *, read_only: bool, name: str = DATABASE) -> Connection:
    try:
        return sqlite.connect(folder / name, read_only=read_only)
    except sqlite.Error as problem:
        raise sqlite.unusable(folder, problem) from problem
