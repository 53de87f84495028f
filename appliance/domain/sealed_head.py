"""The sealed head: everything of a batch that a QP's decision binds (SAFETY 13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.domain import events as ev
from appliance.domain.batch import Batch, Unit
from appliance.domain.blob_names import blobs_hash, named_blobs
from appliance.domain.state_digest import state_digest, unit_digest


@dataclass(frozen=True, slots=True)
class Heads:
    """Where both logs end, hashes in hex."""

    epoch: str
    gxp_seq: int
    gxp_hash: str
    telemetry_seq: int
    telemetry_hash: str


def batch_blobs(batch: Batch) -> list[str]:
    """Every file that an event of the batch names, each once."""
    names = (name for fact in batch.facts for name in named_blobs(ev.to_body(fact.event)))
    return list(dict.fromkeys(names))


def batch_sealed(unit: Unit, heads: Heads, now: datetime) -> ev.BatchSealed:
    """The seal over a completed batch, with the unit's own state for replay to be held against."""
    batch = unit.batch
    assert batch is not None
    completed = batch.last(ev.BatchCompleted)
    assert completed is not None
    names = batch_blobs(batch)
    return ev.BatchSealed(
        log_epoch=heads.epoch,
        sealed_seq=heads.gxp_seq,
        sealed_hash=heads.gxp_hash,
        telemetry_seq=heads.telemetry_seq,
        telemetry_hash=heads.telemetry_hash,
        blobs_hash=blobs_hash(names),
        blob_count=len(names),
        recipe_hash=batch.recipe.hash,
        dose_labels=completed[1].dose_labels,
        state_digest=state_digest(unit, now),
        unit_digest=unit_digest(unit),
    )
