"""The verifiers' check of one record, from the true state before it: so each single flip can be tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from record_bench import EPOCH, UNIT_KEY
from tampering import Row

from appliance.record import stand_alone_verify
from appliance.record.canonical import NO_HASH
from appliance.record.checks import Origin, Run
from appliance.record.segments import public_bytes

Flips = Callable[[bytes], Iterable[tuple[int, int]]]
UNIT = "unit-0001"
MOST_SHOWN = 10


def flips_not_found(rows: Iterable[Row], flips_of: Flips) -> tuple[int, list[tuple[int, int, int]]]:
    """Turn over bits of each stored record, hash first, then its bytes; returns how many and which passed.

    A flip passes when either verifier takes the record, or the two name another place.
    """
    tried, missed, before = 0, list[tuple[int, int, int]](), NO_HASH
    for row in rows:
        ours, alone = _ours_at(row.seq, before), _alone_at(row.seq, before)
        stored = row.hash + row.data
        for at, mask in flips_of(stored):
            changed = stored[:at] + bytes([stored[at] ^ mask]) + stored[at + 1 :]
            tried += 1
            if ours(changed) != row.seq or alone(changed) != row.seq:
                missed.append((row.seq, at, mask))
        before = row.hash
        assert ours(stored) == 0 and alone(stored) == 0, f"event {row.seq} itself is not taken"
    return tried, missed[:MOST_SHOWN]


def _ours_at(seq: int, before: bytes) -> Callable[[bytes], int]:
    """Our verifier just before an event: gives the number it names, 0 when it takes the record."""
    run = Run("gxp", seq, before, Origin(UNIT, EPOCH, public_bytes(UNIT_KEY), True))

    def check(stored: bytes) -> int:
        run.findings.clear()
        return 0 if run.add(stored[32:], stored[:32]) else run.findings[0].seq

    return check


def _alone_at(seq: int, before: bytes) -> Callable[[bytes], int]:
    """The stand-alone verifier just before an event, likewise."""
    manifest: dict[str, Any] = {"unit": UNIT, "epoch": EPOCH.hex(), "simulated": True}
    run = stand_alone_verify.Run("gxp", seq, before)

    def check(stored: bytes) -> int:
        words = stand_alone_verify.record_misfit(run, manifest, stored[32:], stored[:32])
        return run.last + 1 if words else 0

    return check
