"""What central keeps, as a port: the SQLite adapter is `store_sqlite`; PostgreSQL is to take its place.

Every call inside one `transaction()` is committed together or not at all. The port
promises nothing that PostgreSQL, CockroachDB or YugabyteDB cannot do: no sequences for
order, no triggers as logic, the unit first in each key, all of a transaction inside one unit. What is
used (`UseRow`) is the exception: whether two units used one thing can only be seen across units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit that may send: its log key, and whether it is (still) enrolled."""

    unit_id: str
    public_key: bytes
    status: str  # active | revoked
    simulated: bool
    enrolled_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A client certificate, known by the SHA-256 of its DER bytes."""

    fingerprint: str
    unit_id: str
    status: str  # active | revoked
    not_after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far a log is held without a gap."""

    unit_id: str
    log: str
    epoch: str
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record as received: the exact bytes, and what was read out of them for finding it again."""

    seq: int
    hash: bytes
    data: bytes
    kind: str
    batch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """A signed segment header as received."""

    first: int
    last: int
    header: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAck:
    """What central said about a log, with central's signature."""

    acked_seq: int
    ack: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobName:
    """A file that an event of this unit names; `verified` once central holds bytes with that hash."""

    unit_id: str
    sha256: str
    size_bytes: int
    media_type: str
    batch: str
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """Where a batch lies in the unit's gxp log."""

    unit_id: str
    batch: str
    epoch: str
    first_seq: int
    last_seq: int
    sealed_seq: int  # 0 while it is not sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRow:
    """An event by which a batch or a unit uses something that may be used once, or that may be recalled."""

    subject: str  # order bag hand_over hand_back consent lot lot_received word_taken
    key: str  # order id; donation, product and division of the bag; catalogue number and lot
    unit_id: str
    epoch: str
    seq: int
    batch: str
    kind: str
    detail: str  # of an order its patient's pseudonym, of a consent its chain, of a hand-back its assignment
    received_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Two different records with one number: evidence, kept for people to look at."""

    unit_id: str
    log: str
    epoch: str
    seq: int
    evidence: str
    found_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DownRow:
    """A signed document on its way to a unit."""

    cursor: int
    type: str
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A signed document that central holds; lower versions are refused."""

    type: str
    document_id: str
    version: int
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A signed decision about a batch."""

    unit_id: str
    batch: str
    version: int
    envelope: bytes
    person: str
    stored_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The exact decision bytes that central showed to one person."""

    offer_id: str
    unit_id: str
    batch: str
    content: bytes
    person: str
    made_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A named person who may sign in at central."""

    person: str
    name: str
    role: str  # qa_reviewer | qp
    verifier: str
    failures: int
    locked_until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """An open sign-in; the cookie holds a secret of which only the hash is kept."""

    token_hash: str
    person: str
    form_token: str
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralEvent:
    """An entry of central's own log."""

    seq: int
    at: str
    actor: str
    kind: str
    unit_id: str
    batch: str
    body: str


class Store(Protocol):
    """See the module's docstring; each method's arguments say what it does."""

    def transaction(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...

    def put_unit(self, unit: Unit) -> None: ...
    def unit(self, unit_id: str) -> Unit | None: ...
    def units(self) -> list[Unit]: ...
    def put_certificate(self, certificate: Certificate) -> None: ...
    def certificate(self, fingerprint: str) -> Certificate | None: ...
    def certificates(self, unit_id: str) -> list[Certificate]: ...

    def head(self, unit_id: str, log: str, epoch: str) -> Head | None: ...
    def heads(self, unit_id: str) -> list[Head]: ...
    def move_head(self, head: Head, *, from_seq: int) -> bool: ...
    def record_hash(self, unit_id: str, log: str, epoch: str, seq: int) -> bytes | None: ...
    def add_records(
        self, unit_id: str, log: str, epoch: str, rows: Sequence[Row], received_at: str
    ) -> None: ...
    def records(self, unit_id: str, log: str, epoch: str, first: int, last: int) -> Iterable[Row]: ...
    def batch_records(self, unit_id: str, epoch: str, batch: str) -> list[Row]: ...
    def add_segment(self, unit_id: str, log: str, epoch: str, segment: SegmentRow) -> None: ...
    def segments(self, unit_id: str, log: str, epoch: str) -> list[SegmentRow]: ...
    def put_ack(self, unit_id: str, log: str, epoch: str, ack: SignedAck) -> None: ...
    def add_fork(self, fork: Fork) -> None: ...
    def forks(self, unit_id: str) -> list[Fork]: ...
    def add_projection_fault(self, unit_id: str, log: str, epoch: str, seq: int, reason: str) -> None: ...
    def projection_faults(self, unit_id: str, epoch: str) -> int: ...

    def note_batch(self, batch: BatchRow) -> None: ...
    def batch(self, unit_id: str, batch: str) -> BatchRow | None: ...
    def batches(self) -> list[BatchRow]: ...

    def note_use(self, use: UseRow) -> bool: ...
    def uses(self, subject: str, key: str) -> list[UseRow]: ...
    def uses_of_batch(self, unit_id: str, batch: str) -> list[UseRow]: ...
    def used_twice(self, subjects: Sequence[str]) -> list[tuple[str, str]]: ...
    def records_of_kinds(self, kinds: Sequence[str]) -> Iterable[tuple[str, str, Row]]: ...

    def name_blob(self, blob: BlobName) -> None: ...
    def blob(self, unit_id: str, sha256: str) -> BlobName | None: ...
    def verify_blob(self, unit_id: str, sha256: str, *, size_bytes: int, media_type: str) -> None: ...
    def batch_blobs(self, unit_id: str, batch: str) -> list[BlobName]: ...

    def put_document(self, document: Document) -> None: ...
    def document(self, type: str, document_id: str) -> Document | None: ...
    def documents(self, type: str) -> list[Document]: ...
    def queue_down(self, unit_id: str, type: str, envelope: bytes) -> int: ...
    def down_after(self, unit_id: str, cursor: int, limit: int) -> list[DownRow]: ...
    def down_cursor(self, unit_id: str) -> int: ...

    def put_offer(self, offer: Offer) -> None: ...
    def offers(self, unit_id: str, batch: str, person: str) -> list[Offer]: ...
    def put_decision(self, decision: Decision) -> None: ...
    def decisions(self, unit_id: str, batch: str) -> list[Decision]: ...

    def put_account(self, account: Account) -> None: ...
    def account(self, person: str) -> Account | None: ...
    def put_session(self, session: SessionRow) -> None: ...
    def session(self, token_hash: str) -> SessionRow | None: ...
    def end_session(self, token_hash: str) -> None: ...
    def end_sessions_before(self, moment: str) -> None: ...

    def add_event(
        self, *, at: str, actor: str, kind: str, unit_id: str = "", batch: str = "", body: str = "{}"
    ) -> None: ...
    def events(self, *, unit_id: str = "", batch: str = "") -> list[CentralEvent]: ...
