"""Signed segments held against the records that pass by."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from appliance.record.canonical import canonical_json
from appliance.record.errors import RecordRefused
from appliance.record.segments import SIGNING_DOMAIN, Segment, signed_by, tree_head

if TYPE_CHECKING:
    from appliance.record.checks import Origin

SIGNED_IS_MISSING = "events that were signed are missing or unreadable."
SEGMENT_FIELDS: dict[str, type] = {
    "v": int,
    "unit": str,
    "log": str,
    "epoch": str,
    "first": int,
    "last": int,
    "prev_hash": str,
    "last_hash": str,
    "root": str,
    "count": int,
    "wall_us": int,
    "boot_id": str,
    "software_version": str,
    "simulated": bool,
}


class SegmentWalk:
    """Goes along the log's segments, and stops at the first that is not right: `words` says why."""

    def __init__(
        self, log: str, first: int, before: bytes, origin: Origin, segments: Iterator[Segment]
    ) -> None:
        self.words = ""
        self.expected = first  # where the next segment must begin
        self.signatures = 0
        self.signatures_ns = 0
        self._log, self._origin, self._segments = log, origin, segments
        self._before = before
        self.leaves: list[bytes] = []  # of the segment under way
        self.ends_at = 0  # its last record; 0 when no segment is left
        self._facts: dict[str, Any] = {}
        self._open_next()

    def pass_by(self, seq: int, computed: bytes, data: bytes) -> None:
        """The record `seq` passes: a leaf of the segment's tree, and perhaps its end."""
        if not self.ends_at:
            return
        self.leaves.append(hashlib.sha256(b"\x00" + data).digest())
        if seq == self.ends_at:
            self.close(computed)

    def end(self, last: int) -> None:
        """The run is over at `last`: a segment that goes further signs what is not there."""
        if self.ends_at > last and not self.words:
            self.words = SIGNED_IS_MISSING

    def close(self, newest: bytes) -> None:
        """The segment's last record has passed, with the hash `newest`."""
        facts, leaves = self._facts, self.leaves
        if tree_head(leaves).hex() != facts["root"]:
            self._stop("the events are not the ones that were signed.")
        elif self._before.hex() != facts["prev_hash"] or newest.hex() != facts["last_hash"]:
            self._stop("the chain of hashes is not the one that was signed.")
        else:
            self.expected = self.ends_at + 1
            self._before, self.leaves = newest, []
            self._open_next()

    def _open_next(self) -> None:
        self.ends_at = 0
        segment = next(self._segments, None)
        if segment is None:
            return
        words = self._misfit(segment)
        if words:
            self._stop(words)
        else:
            self.ends_at = int(self._facts["last"])

    def _stop(self, words: str) -> None:
        self.words, self.ends_at, self.leaves = words, 0, []

    def _misfit(self, segment: Segment) -> str:
        try:
            self._facts = facts = segment.facts()
            canonical = canonical_json(facts) == segment.header
        except RecordRefused:
            return "the header of the segment cannot be read."
        fit = {key: type(value) for key, value in facts.items()} == SEGMENT_FIELDS
        if not canonical or not fit or facts["v"] != 1:
            return "the header of the segment is not of the known form."
        began = time.perf_counter_ns()
        signed = signed_by(self._origin.public_key, SIGNING_DOMAIN + segment.header, segment.signature)
        self.signatures_ns += time.perf_counter_ns() - began
        self.signatures += 1
        if not signed:
            return "the signature of the segment does not hold."
        origin = self._origin
        if (facts["unit"], facts["log"], facts["epoch"]) != (origin.unit, self._log, origin.epoch.hex()):
            return "the segment belongs to another unit, log or epoch."
        if facts["simulated"] is not origin.simulated:
            return "the segment and the beginning of the record differ on whether this is simulated."
        first, last = facts["first"], facts["last"]
        if first != self.expected or last < first or facts["count"] != last - first + 1:
            return "the borders of the segment do not follow the one before."
        return ""
