"""Central's store in one SQLite file, through pysqlite3, in WAL with every commit synced."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.record import sqlite
from sync.central.store import (
    Account,
    BatchRow,
    BlobName,
    CentralEvent,
    Certificate,
    Decision,
    Document,
    DownRow,
    Fork,
    Head,
    Offer,
    Row,
    SegmentRow,
    SessionRow,
    SignedAck,
    Unit,
    UseRow,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS units(
  unit_id TEXT PRIMARY KEY, public_key BLOB NOT NULL, status TEXT NOT NULL,
  simulated INTEGER NOT NULL, enrolled_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS certificates(
  fingerprint TEXT PRIMARY KEY, unit_id TEXT NOT NULL REFERENCES units(unit_id),
  status TEXT NOT NULL, not_after TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS heads(
  unit_id TEXT NOT NULL REFERENCES units(unit_id), log TEXT NOT NULL, epoch TEXT NOT NULL,
  seq INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY(unit_id, log, epoch)) STRICT;
CREATE TABLE IF NOT EXISTS records(
  unit_id TEXT NOT NULL, log TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  hash BLOB NOT NULL, data BLOB NOT NULL, kind TEXT NOT NULL, batch TEXT NOT NULL,
  received_at TEXT NOT NULL, PRIMARY KEY(unit_id, log, epoch, seq)) STRICT;
CREATE INDEX IF NOT EXISTS records_of_batch ON records(unit_id, epoch, batch, seq) WHERE batch <> '';
CREATE TABLE IF NOT EXISTS segments(
  unit_id TEXT NOT NULL, log TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, header BLOB NOT NULL, signature BLOB NOT NULL,
  PRIMARY KEY(unit_id, log, epoch, first, last)) STRICT;
CREATE TABLE IF NOT EXISTS acks(
  unit_id TEXT NOT NULL, log TEXT NOT NULL, epoch TEXT NOT NULL, acked_seq INTEGER NOT NULL,
  ack BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY(unit_id, log, epoch)) STRICT;
CREATE TABLE IF NOT EXISTS forks(
  unit_id TEXT NOT NULL, log TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  evidence TEXT NOT NULL, found_at TEXT NOT NULL,
  PRIMARY KEY(unit_id, log, epoch, seq, evidence)) STRICT;
CREATE TABLE IF NOT EXISTS projection_faults(
  unit_id TEXT NOT NULL, log TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  reason TEXT NOT NULL, PRIMARY KEY(unit_id, log, epoch, seq)) STRICT;
CREATE TABLE IF NOT EXISTS batches(
  unit_id TEXT NOT NULL, batch TEXT NOT NULL, epoch TEXT NOT NULL, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, sealed_seq INTEGER NOT NULL, PRIMARY KEY(unit_id, batch)) STRICT;
CREATE TABLE IF NOT EXISTS uses(
  subject TEXT NOT NULL, key TEXT NOT NULL, unit_id TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  batch TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL, received_at TEXT NOT NULL,
  PRIMARY KEY(subject, key, unit_id, epoch, seq)) STRICT;
CREATE INDEX IF NOT EXISTS uses_of_batch ON uses(unit_id, batch);
CREATE TABLE IF NOT EXISTS blobs(
  unit_id TEXT NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL, media_type TEXT NOT NULL,
  batch TEXT NOT NULL, verified INTEGER NOT NULL, PRIMARY KEY(unit_id, sha256, batch)) STRICT;
CREATE TABLE IF NOT EXISTS documents(
  type TEXT NOT NULL, document_id TEXT NOT NULL, version INTEGER NOT NULL, envelope BLOB NOT NULL,
  PRIMARY KEY(type, document_id)) STRICT;
CREATE TABLE IF NOT EXISTS down(
  unit_id TEXT NOT NULL, cursor INTEGER NOT NULL, type TEXT NOT NULL, envelope BLOB NOT NULL,
  PRIMARY KEY(unit_id, cursor)) STRICT;
CREATE TABLE IF NOT EXISTS offers(
  unit_id TEXT NOT NULL, batch TEXT NOT NULL, offer_id TEXT NOT NULL, content BLOB NOT NULL,
  person TEXT NOT NULL, made_at TEXT NOT NULL, PRIMARY KEY(unit_id, batch, offer_id)) STRICT;
CREATE TABLE IF NOT EXISTS decisions(
  unit_id TEXT NOT NULL, batch TEXT NOT NULL, version INTEGER NOT NULL, envelope BLOB NOT NULL,
  person TEXT NOT NULL, stored_at TEXT NOT NULL, PRIMARY KEY(unit_id, batch, version)) STRICT;
CREATE TABLE IF NOT EXISTS accounts(
  person TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, verifier TEXT NOT NULL,
  failures INTEGER NOT NULL, locked_until TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions(
  token_hash TEXT PRIMARY KEY, person TEXT NOT NULL, form_token TEXT NOT NULL,
  expires_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS central_log(
  seq INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL,
  unit_id TEXT NOT NULL, batch TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS records_stay BEFORE DELETE ON records
  BEGIN SELECT RAISE(ABORT, 'records are never deleted'); END;
CREATE TRIGGER IF NOT EXISTS records_keep BEFORE UPDATE ON records
  BEGIN SELECT RAISE(ABORT, 'records are never changed'); END;
CREATE TRIGGER IF NOT EXISTS central_log_stays BEFORE DELETE ON central_log
  BEGIN SELECT RAISE(ABORT, 'central''s log is never deleted'); END;
CREATE TRIGGER IF NOT EXISTS central_log_keeps BEFORE UPDATE ON central_log
  BEGIN SELECT RAISE(ABORT, 'central''s log is never changed'); END;
"""


class SqliteStore:
    """One connection, one lock: SQLite writes one transaction at a time anyway."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite.connect(path, read_only=False)
        sqlite.begin_wal(self._connection)
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together; an exception undoes it all."""
        with self._lock:
            if self._depth == 0:
                # A deferred BEGIN would fail with BUSY_SNAPSHOT at the first write.
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")

    def _write(self, sql: str, *values: Any) -> int:
        with self.transaction():
            return int(self._connection.execute(sql, values).rowcount)

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return list(self._connection.execute(sql, values).fetchall())

    def _row(self, sql: str, *values: Any) -> Any:
        rows = self._rows(sql, *values)
        return rows[0] if rows else None

    # ── Units ──────────────────────────────────────────────────────────────────────────

    def put_unit(self, unit: Unit) -> None:
        self._write(
            "INSERT INTO units VALUES(?,?,?,?,?) ON CONFLICT(unit_id) DO UPDATE SET status=excluded.status",
            *(unit.unit_id, unit.public_key, unit.status, int(unit.simulated), unit.enrolled_at),
        )

    def unit(self, unit_id: str) -> Unit | None:
        return next((u for u in self.units() if u.unit_id == unit_id), None)

    def units(self) -> list[Unit]:
        rows = self._rows("SELECT * FROM units ORDER BY unit_id")
        return [
            Unit(unit_id=r[0], public_key=r[1], status=r[2], simulated=bool(r[3]), enrolled_at=r[4])
            for r in rows
        ]

    def put_certificate(self, certificate: Certificate) -> None:
        self._write(
            "INSERT INTO certificates VALUES(?,?,?,?) "
            "ON CONFLICT(fingerprint) DO UPDATE SET status=excluded.status",
            *(certificate.fingerprint, certificate.unit_id, certificate.status, certificate.not_after),
        )

    def certificate(self, fingerprint: str) -> Certificate | None:
        row = self._row("SELECT * FROM certificates WHERE fingerprint=?", fingerprint)
        return row and Certificate(fingerprint=row[0], unit_id=row[1], status=row[2], not_after=row[3])

    def certificates(self, unit_id: str) -> list[Certificate]:
        rows = self._rows("SELECT * FROM certificates WHERE unit_id=? ORDER BY not_after", unit_id)
        return [Certificate(fingerprint=r[0], unit_id=r[1], status=r[2], not_after=r[3]) for r in rows]

    # ── Logs ───────────────────────────────────────────────────────────────────────────

    def head(self, unit_id: str, log: str, epoch: str) -> Head | None:
        return next((h for h in self.heads(unit_id) if (h.log, h.epoch) == (log, epoch)), None)

    def heads(self, unit_id: str) -> list[Head]:
        rows = self._rows("SELECT * FROM heads WHERE unit_id=? ORDER BY log, epoch", unit_id)
        return [Head(unit_id=r[0], log=r[1], epoch=r[2], seq=r[3], hash=r[4]) for r in rows]

    def move_head(self, head: Head, *, from_seq: int) -> bool:
        """Compare and set: false when another writer moved the head first."""
        if from_seq == 0:
            sql = "INSERT INTO heads VALUES(?,?,?,?,?) ON CONFLICT DO NOTHING"
            return self._write(sql, head.unit_id, head.log, head.epoch, head.seq, head.hash) == 1
        sql = "UPDATE heads SET seq=?, hash=? WHERE unit_id=? AND log=? AND epoch=? AND seq=?"
        return self._write(sql, head.seq, head.hash, head.unit_id, head.log, head.epoch, from_seq) == 1

    def record_hash(self, unit_id: str, log: str, epoch: str, seq: int) -> bytes | None:
        sql = "SELECT hash FROM records WHERE unit_id=? AND log=? AND epoch=? AND seq=?"
        row = self._row(sql, unit_id, log, epoch, seq)
        return row[0] if row else None

    def add_records(self, unit_id: str, log: str, epoch: str, rows: Sequence[Row], received_at: str) -> None:
        with self.transaction():
            self._connection.executemany(
                "INSERT INTO records VALUES(?,?,?,?,?,?,?,?,?)",
                [(unit_id, log, epoch, r.seq, r.hash, r.data, r.kind, r.batch, received_at) for r in rows],
            )

    def records(self, unit_id: str, log: str, epoch: str, first: int, last: int) -> Iterable[Row]:
        rows = self._rows(
            "SELECT seq, hash, data, kind, batch FROM records "
            "WHERE unit_id=? AND log=? AND epoch=? AND seq BETWEEN ? AND ? ORDER BY seq",
            *(unit_id, log, epoch, first, last),
        )
        return [Row(seq=r[0], hash=r[1], data=r[2], kind=r[3], batch=r[4]) for r in rows]

    def batch_records(self, unit_id: str, epoch: str, batch: str) -> list[Row]:
        rows = self._rows(
            "SELECT seq, hash, data, kind, batch FROM records "
            "WHERE unit_id=? AND log='gxp' AND epoch=? AND batch=? ORDER BY seq",
            *(unit_id, epoch, batch),
        )
        return [Row(seq=r[0], hash=r[1], data=r[2], kind=r[3], batch=r[4]) for r in rows]

    def add_segment(self, unit_id: str, log: str, epoch: str, segment: SegmentRow) -> None:
        self._write(
            "INSERT INTO segments VALUES(?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            *(unit_id, log, epoch, segment.first, segment.last, segment.header, segment.signature),
        )

    def segments(self, unit_id: str, log: str, epoch: str) -> list[SegmentRow]:
        rows = self._rows(
            "SELECT first, last, header, signature FROM segments "
            "WHERE unit_id=? AND log=? AND epoch=? ORDER BY first, last",
            *(unit_id, log, epoch),
        )
        return [SegmentRow(first=r[0], last=r[1], header=r[2], signature=r[3]) for r in rows]

    def put_ack(self, unit_id: str, log: str, epoch: str, ack: SignedAck) -> None:
        self._write(
            "INSERT INTO acks VALUES(?,?,?,?,?,?) ON CONFLICT(unit_id, log, epoch) DO UPDATE SET "
            "acked_seq=excluded.acked_seq, ack=excluded.ack, signature=excluded.signature",
            *(unit_id, log, epoch, ack.acked_seq, ack.ack, ack.signature),
        )

    def add_fork(self, fork: Fork) -> None:
        self._write(
            "INSERT INTO forks VALUES(?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            *(fork.unit_id, fork.log, fork.epoch, fork.seq, fork.evidence, fork.found_at),
        )

    def forks(self, unit_id: str) -> list[Fork]:
        rows = self._rows("SELECT * FROM forks WHERE unit_id=? ORDER BY found_at", unit_id)
        return [
            Fork(unit_id=r[0], log=r[1], epoch=r[2], seq=r[3], evidence=r[4], found_at=r[5]) for r in rows
        ]

    def add_projection_fault(self, unit_id: str, log: str, epoch: str, seq: int, reason: str) -> None:
        self._write(
            "INSERT INTO projection_faults VALUES(?,?,?,?,?) ON CONFLICT DO NOTHING",
            *(unit_id, log, epoch, seq, reason),
        )

    def projection_faults(self, unit_id: str, epoch: str) -> int:
        sql = "SELECT count(*) FROM projection_faults WHERE unit_id=? AND epoch=?"
        return int(self._row(sql, unit_id, epoch)[0])

    # ── Batches and blobs ──────────────────────────────────────────────────────────────

    def note_batch(self, batch: BatchRow) -> None:
        self._write(
            "INSERT INTO batches VALUES(?,?,?,?,?,?) ON CONFLICT(unit_id, batch) DO UPDATE SET "
            "last_seq=max(last_seq, excluded.last_seq), sealed_seq=max(sealed_seq, excluded.sealed_seq) "
            "WHERE epoch=excluded.epoch",
            *(batch.unit_id, batch.batch, batch.epoch, batch.first_seq, batch.last_seq, batch.sealed_seq),
        )

    def batch(self, unit_id: str, batch: str) -> BatchRow | None:
        return next((b for b in self.batches() if (b.unit_id, b.batch) == (unit_id, batch)), None)

    def batches(self) -> list[BatchRow]:
        rows = self._rows("SELECT * FROM batches ORDER BY unit_id, first_seq DESC")
        return [
            BatchRow(unit_id=r[0], batch=r[1], epoch=r[2], first_seq=r[3], last_seq=r[4], sealed_seq=r[5])
            for r in rows
        ]

    def note_use(self, use: UseRow) -> bool:
        """Whether it was not noted before."""
        return (
            self._write(
                "INSERT INTO uses VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                *(use.subject, use.key, use.unit_id, use.epoch, use.seq),
                *(use.batch, use.kind, use.detail, use.received_at),
            )
            == 1
        )

    def uses(self, subject: str, key: str) -> list[UseRow]:
        rows = self._rows(
            "SELECT * FROM uses WHERE subject=? AND key=? ORDER BY unit_id, epoch, seq", subject, key
        )
        return [_use(row) for row in rows]

    def uses_of_batch(self, unit_id: str, batch: str) -> list[UseRow]:
        rows = self._rows(
            "SELECT * FROM uses WHERE unit_id=? AND batch=? ORDER BY epoch, seq, subject", unit_id, batch
        )
        return [_use(row) for row in rows]

    def used_twice(self, subjects: Sequence[str]) -> list[tuple[str, str]]:
        """Subject and key of what stands on record more than once; what that means is not judged here."""
        places = ",".join("?" * len(subjects))
        rows = self._rows(
            f"SELECT subject, key FROM uses WHERE subject IN ({places}) "
            "GROUP BY subject, key HAVING count(*) > 1 ORDER BY max(received_at) DESC, subject, key",
            *subjects,
        )
        return [(row[0], row[1]) for row in rows]

    def records_of_kinds(self, kinds: Sequence[str]) -> Iterable[tuple[str, str, Row]]:
        places = ",".join("?" * len(kinds))
        rows = self._rows(
            f"SELECT unit_id, epoch, seq, hash, data, kind, batch FROM records "
            f"WHERE log='gxp' AND kind IN ({places}) ORDER BY unit_id, epoch, seq",
            *kinds,
        )
        return [(r[0], r[1], Row(seq=r[2], hash=r[3], data=r[4], kind=r[5], batch=r[6])) for r in rows]

    def name_blob(self, blob: BlobName) -> None:
        self._write(
            "INSERT INTO blobs VALUES(?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            *(blob.unit_id, blob.sha256, blob.size_bytes, blob.media_type, blob.batch, int(blob.verified)),
        )

    def blob(self, unit_id: str, sha256: str) -> BlobName | None:
        row = self._row(
            "SELECT * FROM blobs WHERE unit_id=? AND sha256=? ORDER BY verified DESC", unit_id, sha256
        )
        return _blob(row) if row else None

    def verify_blob(self, unit_id: str, sha256: str, *, size_bytes: int, media_type: str) -> None:
        self._write(
            "UPDATE blobs SET verified=1, size_bytes=?, media_type=? WHERE unit_id=? AND sha256=?",
            *(size_bytes, media_type, unit_id, sha256),
        )

    def batch_blobs(self, unit_id: str, batch: str) -> list[BlobName]:
        rows = self._rows("SELECT * FROM blobs WHERE unit_id=? AND batch=? ORDER BY sha256", unit_id, batch)
        return [_blob(row) for row in rows]

    # ── Documents and decisions ────────────────────────────────────────────────────────

    def put_document(self, document: Document) -> None:
        self._write(
            "INSERT INTO documents VALUES(?,?,?,?) ON CONFLICT(type, document_id) DO UPDATE SET "
            "version=excluded.version, envelope=excluded.envelope",
            *(document.type, document.document_id, document.version, document.envelope),
        )

    def document(self, type: str, document_id: str) -> Document | None:
        row = self._row("SELECT * FROM documents WHERE type=? AND document_id=?", type, document_id)
        return row and Document(type=row[0], document_id=row[1], version=row[2], envelope=row[3])

    def documents(self, type: str) -> list[Document]:
        rows = self._rows("SELECT * FROM documents WHERE type=? ORDER BY document_id", type)
        return [Document(type=r[0], document_id=r[1], version=r[2], envelope=r[3]) for r in rows]

    def queue_down(self, unit_id: str, type: str, envelope: bytes) -> int:
        with self.transaction():
            cursor = self.down_cursor(unit_id) + 1
            self._write("INSERT INTO down VALUES(?,?,?,?)", unit_id, cursor, type, envelope)
            return cursor

    def down_after(self, unit_id: str, cursor: int, limit: int) -> list[DownRow]:
        rows = self._rows(
            "SELECT cursor, type, envelope FROM down WHERE unit_id=? AND cursor>? ORDER BY cursor LIMIT ?",
            *(unit_id, cursor, limit),
        )
        return [DownRow(cursor=r[0], type=r[1], envelope=r[2]) for r in rows]

    def down_cursor(self, unit_id: str) -> int:
        return int(self._row("SELECT coalesce(max(cursor), 0) FROM down WHERE unit_id=?", unit_id)[0])

    def put_offer(self, offer: Offer) -> None:
        self._write(
            "INSERT INTO offers VALUES(?,?,?,?,?,?)",
            *(offer.unit_id, offer.batch, offer.offer_id, offer.content, offer.person, offer.made_at),
        )

    def offers(self, unit_id: str, batch: str, person: str) -> list[Offer]:
        rows = self._rows(
            "SELECT * FROM offers WHERE unit_id=? AND batch=? AND person=? ORDER BY made_at",
            *(unit_id, batch, person),
        )
        return [
            Offer(unit_id=r[0], batch=r[1], offer_id=r[2], content=r[3], person=r[4], made_at=r[5])
            for r in rows
        ]

    def put_decision(self, decision: Decision) -> None:
        self._write(
            "INSERT INTO decisions VALUES(?,?,?,?,?,?)",
            *(decision.unit_id, decision.batch, decision.version, decision.envelope),
            *(decision.person, decision.stored_at),
        )

    def decisions(self, unit_id: str, batch: str) -> list[Decision]:
        rows = self._rows(
            "SELECT * FROM decisions WHERE unit_id=? AND batch=? ORDER BY version", unit_id, batch
        )
        return [
            Decision(unit_id=r[0], batch=r[1], version=r[2], envelope=r[3], person=r[4], stored_at=r[5])
            for r in rows
        ]

    # ── People and central's own log ───────────────────────────────────────────────────

    def put_account(self, account: Account) -> None:
        self._write(
            "INSERT INTO accounts VALUES(?,?,?,?,?,?) ON CONFLICT(person) DO UPDATE SET "
            "name=excluded.name, role=excluded.role, verifier=excluded.verifier, "
            "failures=excluded.failures, locked_until=excluded.locked_until",
            *(account.person, account.name, account.role, account.verifier),
            *(account.failures, account.locked_until),
        )

    def account(self, person: str) -> Account | None:
        row = self._row("SELECT * FROM accounts WHERE person=?", person)
        return row and Account(
            person=row[0], name=row[1], role=row[2], verifier=row[3], failures=row[4], locked_until=row[5]
        )

    def put_session(self, session: SessionRow) -> None:
        self._write(
            "INSERT INTO sessions VALUES(?,?,?,?) ON CONFLICT(token_hash) DO UPDATE SET "
            "expires_at=excluded.expires_at",
            *(session.token_hash, session.person, session.form_token, session.expires_at),
        )

    def session(self, token_hash: str) -> SessionRow | None:
        row = self._row("SELECT * FROM sessions WHERE token_hash=?", token_hash)
        return row and SessionRow(token_hash=row[0], person=row[1], form_token=row[2], expires_at=row[3])

    def end_session(self, token_hash: str) -> None:
        self._write("DELETE FROM sessions WHERE token_hash=?", token_hash)

    def end_sessions_before(self, moment: str) -> None:
        self._write("DELETE FROM sessions WHERE expires_at<=?", moment)

    def add_event(
        self, *, at: str, actor: str, kind: str, unit_id: str = "", batch: str = "", body: str = "{}"
    ) -> None:
        with self.transaction():
            last = self._row("SELECT seq, hash FROM central_log ORDER BY seq DESC LIMIT 1") or (0, "")
            seq = last[0] + 1
            text = "\x00".join((last[1], str(seq), at, actor, kind, unit_id, batch, body))
            digest = hashlib.sha256(b"cellwright/central/1" + text.encode()).hexdigest()
            self._write(
                "INSERT INTO central_log VALUES(?,?,?,?,?,?,?,?)",
                *(seq, at, actor, kind, unit_id, batch, body, digest),
            )

    def events(self, *, unit_id: str = "", batch: str = "") -> list[CentralEvent]:
        rows = self._rows(
            "SELECT * FROM central_log WHERE (?='' OR unit_id=?) AND (?='' OR batch=?) ORDER BY seq",
            *(unit_id, unit_id, batch, batch),
        )
        return [
            CentralEvent(seq=r[0], at=r[1], actor=r[2], kind=r[3], unit_id=r[4], batch=r[5], body=r[6])
            for r in rows
        ]


def _use(row: Any) -> UseRow:
    return UseRow(
        subject=row[0],
        key=row[1],
        unit_id=row[2],
        epoch=row[3],
        seq=row[4],
        batch=row[5],
        kind=row[6],
        detail=row[7],
        received_at=row[8],
    )


def _blob(row: Any) -> BlobName:
    return BlobName(
        unit_id=row[0],
        sha256=row[1],
        size_bytes=row[2],
        media_type=row[3],
        batch=row[4],
        verified=bool(row[5]),
    )
