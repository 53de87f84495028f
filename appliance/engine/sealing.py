"""The sealed head: everything of a batch that a QP's decision binds (SAFETY 13)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from appliance.access.qp_decision import ExpectedSeal
from appliance.domain import events as ev
from appliance.domain.batch import Fact, Unit
from appliance.domain.sealed_head import Heads, batch_sealed
from appliance.record.log import Record


def must_seal(unit: Unit, facts: Sequence[Fact]) -> bool:
    """Whether these facts complete a batch, or change a sealed one that nobody has decided yet."""
    batch = unit.batch
    if batch is None or batch.state not in ("complete", "awaiting_disposition"):
        return False
    kinds = {type(fact.event).__name__ for fact in facts}
    return "BatchCompleted" in kinds or (
        batch.sealed is not None and bool(kinds - ev.NOT_A_CHANGE_AFTER_SEAL)
    )


def seal_owed(unit: Unit, record: Record) -> bool:
    """Whether the batch is complete and its record is unsealed, or was changed since and is undecided."""
    batch = unit.batch
    if batch is None or batch.state not in ("complete", "awaiting_disposition"):
        return False
    if batch.must_be_signed:  # a signature that covers the batch is void, or a correction waits
        return False
    if batch.sealed is None or batch.sealed.log_epoch != record.head().epoch.hex():
        return True  # sealed in the log before a restore: a decision binds the log that goes on
    following = {one.header.kind for one in record.read(batch.sealed.sealed_seq + 1)}
    return bool(following - ev.NOT_A_CHANGE_AFTER_SEAL)


def sealed_event(unit: Unit, record: Record, now: datetime) -> list[ev.Event]:
    """`BatchSealed` over the heads as they are now; called in a turn, so nothing comes between."""
    if not seal_owed(unit, record):
        return []
    gxp, telemetry = record.head("gxp"), record.head("telemetry")
    heads = Heads(gxp.epoch.hex(), gxp.seq, gxp.hash.hex(), telemetry.seq, telemetry.hash.hex())
    return [batch_sealed(unit, heads, now)]


def expected_seal(unit: Unit, following: Iterable[str]) -> ExpectedSeal:
    """What a decision for the sealed batch must name, and which kinds of events came after."""
    batch = unit.batch
    assert batch is not None and batch.sealed is not None
    sealed = batch.sealed
    return ExpectedSeal(
        unit=unit.id,
        batch=batch.id,
        recipe_hash=sealed.recipe_hash,
        log_epoch=sealed.log_epoch,
        sealed_seq=sealed.sealed_seq,
        sealed_hash=sealed.sealed_hash,
        telemetry_seq=sealed.telemetry_seq,
        telemetry_hash=sealed.telemetry_hash,
        blobs_hash=sealed.blobs_hash,
        dose_labels=tuple(sealed.dose_labels),
        following=tuple(following),
    )
