"""Take in a signed run of records: verify all of it, store all of it, and only then say so.

Everything here happens in one transaction. The acknowledgement names the last record that
is held without a gap; a repeat gives the same answer; a second record with a known number is a
fork and is kept as evidence, because it means a cloned, restored or altered unit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.domain.blob_names import named_blobs
from appliance.domain.upcasters import todays_body
from appliance.record.canonical import NO_HASH, decode_payload, record_hash, split_record
from appliance.record.errors import RecordRefused
from appliance.record.segments import SIGNING_DOMAIN, merkle_root, signed_by
from sync.acks import Ack, sign_ack
from sync.central import second_use
from sync.central.store import BatchRow, BlobName, Fork, Head, Row, SegmentRow, SignedAck, Store, Unit
from sync.envelope import Envelope

LOGS = ("gxp", "telemetry")
FORKS_KEPT_MAX = 100  # a unit gone wild must not fill central's disk with evidence
EPOCH = re.compile(r"[0-9a-f]{32}")


class IntakeRefused(Exception):
    """Nothing was stored; `reason` is a stable key."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason = reason
        super().__init__(words)


class GapFound(IntakeRefused):
    """Records before this run are missing here."""

    def __init__(self, wanted_seq: int) -> None:
        self.wanted_seq = wanted_seq
        super().__init__("gap", f"Records are missing before this run. Send from number {wanted_seq}.")


class ForkFound(IntakeRefused):
    """The unit sent another record under a number that is held already."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        super().__init__(
            "fork",
            f"Record {seq} differs from the one held here. The unit was cloned, restored or altered: "
            "start no batch on it, and call QA.",
        )


class SegmentFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A segment header as the unit signed it."""

    v: int
    unit: str
    log: str
    epoch: str
    first: int
    last: int
    prev_hash: str
    last_hash: str
    root: str
    count: int
    wall_us: int
    boot_id: str
    software_version: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Which log a run belongs to."""

    unit_id: str
    log: str
    epoch: str


def take_segment(
    store: Store, key: Ed25519PrivateKey, unit: Unit, place: Place, envelope: Envelope, *, received_at: str
) -> SignedAck:
    """Verify and store one run; returns the signed acknowledgement.

    Raises
    ------
    GapFound, ForkFound
        The run does not continue what is held.
    IntakeRefused
        The run is not whole, not signed by this unit, or simulated where it must not be.
    """
    facts = read_facts(envelope, unit, place)
    rows = _chained(facts, envelope, place)
    fork: ForkFound | None = None
    with store.transaction():
        head = store.head(place.unit_id, place.log, place.epoch)
        held = head.seq if head else 0
        if facts.first > held + 1:
            raise GapFound(held + 1)
        fork = _fork(store, place, facts, rows, held)
        if fork is None:
            if facts.first == 1 and not held:
                _refuse_unlinked(store, place, rows[0], received_at)
            fresh = [row for row in rows if row.seq > held]
            _append(store, key, place, facts, envelope, fresh, held, received_at)
            return _acknowledge(store, key, place, received_at)
        # The evidence is committed; the refusal is raised outside, or it would undo it.
        _keep_evidence(store, place, fork, envelope, received_at)
    raise fork


def read_facts(envelope: Envelope, unit: Unit, place: Place) -> SegmentFacts:
    """Check signature and claims of a segment header against who sends it and where to."""
    if not signed_by(unit.public_key, SIGNING_DOMAIN + envelope.header, envelope.signature):
        raise IntakeRefused("signature", "The segment is not signed by this unit's key.")
    try:
        facts = msgspec.json.decode(envelope.header, type=SegmentFacts)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise IntakeRefused("header", f"The segment's header cannot be read: {problem}.") from None
    if (facts.v, facts.unit, facts.log, facts.epoch) != (1, place.unit_id, place.log, place.epoch):
        raise IntakeRefused("place", "The segment belongs to another unit, log or epoch than its address.")
    if facts.simulated != unit.simulated:
        raise IntakeRefused(
            "simulated",
            "A simulated record is never mixed with real ones: this unit was enrolled as "
            + ("simulated." if unit.simulated else "real."),
        )
    if facts.first < 1 or facts.count != len(envelope.records) or facts.count < 1:
        raise IntakeRefused("count", "The segment does not hold the records that its header names.")
    if facts.last - facts.first + 1 != facts.count:
        raise IntakeRefused("count", "The segment's borders do not agree with its count.")
    return facts


def _chained(facts: SegmentFacts, envelope: Envelope, place: Place) -> list[Row]:
    """Each record with its chain hash; the chain must end where the signed header says."""
    try:
        previous = bytes.fromhex(facts.prev_hash)
    except ValueError:
        previous = b""
    if len(previous) != 32 or (facts.first == 1 and previous != NO_HASH):
        raise IntakeRefused("chain", "The segment does not say which record it follows.")
    if merkle_root(envelope.records).hex() != facts.root:
        raise IntakeRefused("root", "The records are not those that the unit signed.")
    rows = []
    for seq, data in enumerate(envelope.records, facts.first):
        previous = record_hash(previous, data)
        rows.append(_row(place, seq, previous, data))
    if previous.hex() != facts.last_hash:
        raise IntakeRefused("chain", "The chain of hashes does not end where the unit signed it.")
    return rows


def _row(place: Place, seq: int, hash_: bytes, data: bytes) -> Row:
    try:
        header, payload = split_record(data)
    except RecordRefused as problem:
        raise IntakeRefused("record", f"Record {seq} cannot be read: {problem}") from None
    if (header.unit, header.log, header.epoch.hex(), header.seq) != (
        place.unit_id,
        place.log,
        place.epoch,
        seq,
    ):
        raise IntakeRefused("record", f"Record {seq} carries another unit, log, epoch or number.")
    batch = ""
    if place.log == "gxp":
        try:
            batch = decode_payload(payload).batch or ""
        except RecordRefused:
            # The bytes are held all the same; `_project` counts what it cannot read.
            batch = ""
    return Row(seq=seq, hash=hash_, data=data, kind=header.kind, batch=batch)


def _fork(
    store: Store, place: Place, facts: SegmentFacts, rows: Sequence[Row], held: int
) -> ForkFound | None:
    """Compare what overlaps with what is held, and the join between both."""
    if facts.first > 1:
        before = store.record_hash(place.unit_id, place.log, place.epoch, facts.first - 1)
        if before is None or before.hex() != facts.prev_hash:
            return ForkFound(facts.first - 1)
    for row in rows:
        if row.seq > held:
            return None
        if store.record_hash(place.unit_id, place.log, place.epoch, row.seq) != row.hash:
            return ForkFound(row.seq)
    return None


def _refuse_unlinked(store: Store, place: Place, first: Row, received_at: str) -> None:
    """A unit's second log must name the end of one that is held: otherwise it hides what went before.

    Where it does, the unit was restored from a copy, and central's own log says so.
    """
    known = {head.epoch: head for head in store.heads(place.unit_id) if head.log == place.log}
    if not known:
        return
    try:
        link = decode_payload(split_record(first.data)[1]).body.get("previous_epoch")
    except RecordRefused:
        link = None
    epoch = link.get("epoch") if isinstance(link, dict) else None
    end = link.get(place.log) if isinstance(link, dict) else None
    seq = _whole(end.get("seq")) if isinstance(end, dict) else 0
    if not isinstance(end, dict) or epoch not in known or not seq:
        raise IntakeRefused(
            "epoch",
            "The unit began a new log that names none of its logs held here. It was set up anew or cloned: "
            "start no batch on it, and call QA.",
        )
    held = known[epoch]
    if seq <= held.seq:
        hash_ = store.record_hash(place.unit_id, place.log, epoch, seq)
        if hash_ is None or hash_.hex() != end.get("hash"):
            raise IntakeRefused(
                "epoch",
                f"The unit's new log goes on from another event {seq} than the one held here. It was "
                "altered: start no batch on it, and call QA.",
            )
    said = {
        "log": place.log,
        "epoch": place.epoch,
        "previous_epoch": epoch,
        "goes_on_from": seq,
        "held_here_up_to": held.seq,
        "reason": str(link.get("reason", ""))[:300] if isinstance(link, dict) else "",
    }
    body = msgspec.json.encode(said).decode()
    store.add_event(at=received_at, actor="central", kind="UnitRestored", unit_id=place.unit_id, body=body)


def _keep_evidence(store: Store, place: Place, fork: ForkFound, envelope: Envelope, received_at: str) -> None:
    if len(store.forks(place.unit_id)) >= FORKS_KEPT_MAX:
        return
    evidence = msgspec.json.encode(
        {"header": envelope.header, "signature": envelope.signature, "records": envelope.records}
    ).decode()
    store.add_fork(
        Fork(
            unit_id=place.unit_id,
            log=place.log,
            epoch=place.epoch,
            seq=fork.seq,
            evidence=evidence,
            found_at=received_at,
        )
    )
    store.add_event(at=received_at, actor="central", kind="ForkFound", unit_id=place.unit_id)


def _append(
    store: Store,
    key: Ed25519PrivateKey,
    place: Place,
    facts: SegmentFacts,
    envelope: Envelope,
    rows: Sequence[Row],
    held: int,
    received_at: str,
) -> None:
    if not rows:
        return
    store.add_records(place.unit_id, place.log, place.epoch, rows, received_at)
    segment = SegmentRow(
        first=facts.first, last=facts.last, header=envelope.header, signature=envelope.signature
    )
    store.add_segment(place.unit_id, place.log, place.epoch, segment)
    new = Head(unit_id=place.unit_id, log=place.log, epoch=place.epoch, seq=rows[-1].seq, hash=rows[-1].hash)
    if not store.move_head(new, from_seq=held):
        raise IntakeRefused("busy", "Another run of this log was stored at the same time. Send it again.")
    if place.log == "gxp":
        for row in rows:
            _project(store, key, place, row, received_at)


def _project(store: Store, key: Ed25519PrivateKey, place: Place, row: Row, received_at: str) -> None:
    """Note batches, files and what a record uses; a record that cannot be read is counted, not lost."""
    try:
        header, raw = split_record(row.data)
        payload = decode_payload(raw)
    except RecordRefused as problem:
        store.add_projection_fault(place.unit_id, place.log, place.epoch, row.seq, str(problem))
        return
    if row.batch:
        sealed = _whole(payload.body.get("sealed_seq")) if row.kind == "BatchSealed" else 0
        store.note_batch(
            BatchRow(
                unit_id=place.unit_id,
                batch=row.batch,
                epoch=place.epoch,
                first_seq=row.seq,
                last_seq=row.seq,
                sealed_seq=sealed,
            )
        )
    if row.kind in second_use.KINDS:
        second_use.note(
            store,
            key,
            unit_id=place.unit_id,
            epoch=place.epoch,
            seq=row.seq,
            batch=row.batch,
            kind=row.kind,
            body=todays_body(row.kind, header.payload_version, payload.body),
            received_at=received_at,
        )
    for sha256 in named_blobs(payload.body):
        held = store.blob(place.unit_id, sha256)
        store.name_blob(
            BlobName(
                unit_id=place.unit_id,
                sha256=sha256,
                size_bytes=held.size_bytes if held else 0,
                media_type=held.media_type if held else "",
                batch=row.batch,
                verified=bool(held and held.verified),
            )
        )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else 0


def _acknowledge(store: Store, key: Ed25519PrivateKey, place: Place, received_at: str) -> SignedAck:
    head = store.head(place.unit_id, place.log, place.epoch)
    assert head is not None
    ack, signature = sign_ack(
        Ack(
            unit=place.unit_id,
            log=place.log,
            epoch=place.epoch,
            acked_seq=head.seq,
            acked_hash=head.hash.hex(),
            server_time=received_at,
            down_cursor=store.down_cursor(place.unit_id),
        ),
        key,
    )
    signed = SignedAck(acked_seq=head.seq, ack=ack, signature=signature)
    store.put_ack(place.unit_id, place.log, place.epoch, signed)
    return signed
