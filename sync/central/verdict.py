"""Recompute everything about a batch's record from the stored bytes: "record verified", or what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from appliance.domain.blob_names import blobs_hash
from appliance.record.canonical import NO_HASH, record_hash
from appliance.record.segments import SIGNING_DOMAIN, merkle_root, signed_by
from sync.central.blob_store import BlobStore, file_hash
from sync.central.intake import SegmentFacts
from sync.central.review import Review
from sync.central.store import Row, SegmentRow, Store, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the record of a batch is whole, signed and unchanged; `faults` says what is not."""

    records: int
    segments: int
    files: int
    faults: list[str]

    @property
    def good(self) -> bool:
        return not self.faults


def verify_record(store: Store, blobs: BlobStore, review: Review) -> Verdict:
    """Check chain, signatures and files of a batch, from the first record of its log to the seal."""
    unit = store.unit(review.unit_id)
    assert unit is not None, review.unit_id
    epoch = review.row.epoch
    last = int(review.seal.get("sealed_seq", 0)) or review.row.last_seq
    gxp = _Walk(store, unit, "gxp", epoch)
    gxp.check(last)
    telemetry_last = int(review.seal.get("telemetry_seq", 0))
    telemetry = _Walk(store, unit, "telemetry", epoch)
    if telemetry_last:
        telemetry.check(telemetry_last)
    faults = gxp.faults + telemetry.faults + _seal_faults(review, gxp, telemetry)
    for blob in review.blobs:
        if file_hash(blobs.path(blob.sha256)) != blob.sha256:
            faults.append(f"File {blob.sha256[:16]} is missing here or was changed.")
    return Verdict(
        records=gxp.count + telemetry.count,
        segments=gxp.segments + telemetry.segments,
        files=len(review.blobs),
        faults=faults,
    )


def _seal_faults(review: Review, gxp: _Walk, telemetry: _Walk) -> list[str]:
    if not review.seal:
        return ["The batch is not sealed."]
    faults = []
    if gxp.hash.hex() != review.seal["sealed_hash"]:
        faults.append("The sealed head is not the head of the record that is here.")
    if telemetry.count and telemetry.hash.hex() != review.seal["telemetry_hash"]:
        faults.append("The sealed head of the trends is not that of the trends that are here.")
    sealed_seq = int(review.seal["sealed_seq"])
    before = [entry for entry in review.entries if entry.batch and entry.seq <= sealed_seq]
    if blobs_hash(name for entry in before for name in entry.blobs) != review.seal["blobs_hash"]:
        faults.append("The files that the seal names are not those that the events name.")
    return faults


class _Walk:
    """Walks one log from its first record and checks every hash and every signature on the way."""

    def __init__(self, store: Store, unit: Unit, log: str, epoch: str) -> None:
        self._store, self._unit, self._log, self._epoch = store, unit, log, epoch
        self.hash = NO_HASH
        self.count = self.segments = 0
        self.faults: list[str] = []

    def check(self, last: int) -> None:
        data: dict[int, bytes] = {}
        previous = NO_HASH
        for seq, row in enumerate(self._rows(last), 1):
            if row.seq != seq:
                self.faults.append(f"{self._log} record {seq} is missing here.")
                return
            previous = record_hash(previous, row.data)
            if previous != row.hash:
                self.faults.append(f"{self._log} record {seq} was changed here.")
                return
            data[seq] = row.data
            if seq == last:
                self.hash = previous
        self.count = min(len(data), last)
        if self.count < last:
            self.faults.append(f"{self._log} ends at {self.count}; the seal names {last}.")
        self._check_segments(data, last)

    def _rows(self, last: int) -> list[Row]:
        # A segment may reach beyond the seal; its root needs all of its records.
        reach = max((s.last for s in self._segments() if s.first <= last), default=last)
        return list(self._store.records(self._unit.unit_id, self._log, self._epoch, 1, reach))

    def _segments(self) -> list[SegmentRow]:
        return self._store.segments(self._unit.unit_id, self._log, self._epoch)

    def _check_segments(self, data: dict[int, bytes], last: int) -> None:
        signed = 0
        for segment in self._segments():
            if segment.first > last:
                break
            facts = msgspec.json.decode(segment.header, type=SegmentFacts)
            records = [data[seq] for seq in range(segment.first, segment.last + 1) if seq in data]
            right = signed_by(self._unit.public_key, SIGNING_DOMAIN + segment.header, segment.signature)
            if not right or merkle_root(records).hex() != facts.root:
                self.faults.append(f"The signature over {self._log} {segment.first} to {segment.last} fails.")
            if segment.first <= signed + 1:
                signed = max(signed, segment.last)
            self.segments += 1
        if signed < last:
            self.faults.append(f"{self._log} is signed by the unit up to {signed} only.")
