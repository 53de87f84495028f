"""The sealed head: everything of a batch that a QP's decision binds (SAFETY 13)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from appliance.access.qp_decision import ExpectedSeal
from appliance.domain import events as ev
from appliance.domain.batch import Batch, Fact, Unit
from appliance.domain.blob_names import blobs_hash, named_blobs
from appliance.record.log import Record


def batch_blobs(batch: Batch) -> list[str]:
    """Every file that an event of the batch names, each once."""
    names = (name for fact in batch.facts for name in named_blobs(ev.to_body(fact.event)))
    return list(dict.fromkeys(names))


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
    if batch.sealed is None:
        return True
    following = {one.header.kind for one in record.read(batch.sealed.sealed_seq + 1)}
    return bool(following - ev.NOT_A_CHANGE_AFTER_SEAL)


def sealed_event(unit: Unit, record: Record) -> list[ev.Event]:
    """`BatchSealed` over the heads as they are now; called in a turn, so nothing comes between."""
    if not seal_owed(unit, record):
        return []
    batch = unit.batch
    assert batch is not None
    completed = batch.last(ev.BatchCompleted)
    assert completed is not None
    gxp, telemetry, names = record.head("gxp"), record.head("telemetry"), batch_blobs(batch)
    sealed = ev.BatchSealed(
        log_epoch=gxp.epoch.hex(),
        sealed_seq=gxp.seq,
        sealed_hash=gxp.hash.hex(),
        telemetry_seq=telemetry.seq,
        telemetry_hash=telemetry.hash.hex(),
        blobs_hash=blobs_hash(names),
        blob_count=len(names),
        recipe_hash=batch.recipe.hash,
        dose_labels=completed[1].dose_labels,
    )
    return [sealed]


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
