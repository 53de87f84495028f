"""The state that a record tells, folded at the start: closed batches for what lasts, the last one whole.

A unit of ten years starts as fast as a new one: of a batch that another one followed only those
events are read that the unit still goes by, such as orders made, bags used and accounts. What is
left out is a named list, so that a kind nobody thought of is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from appliance.domain import events as ev
from appliance.domain.batch import Fact, Unit, evolve
from appliance.domain.earlier import fact_counted_back
from appliance.engine.answered import Answered
from appliance.engine.journal import fact_of
from appliance.record.canonical import StoredRecord
from appliance.record.epochs import records_before
from appliance.record.log import Record

# What the lock-outs are folded from.
ACCESS_EVENTS = (
    ev.SignInRefused,
    ev.AccountUnlocked,
    ev.SessionOpened,
    ev.SecondPersonConfirmed,
    ev.SignatureGiven,
    ev.SecretChanged,
)

# Kinds that change nothing but their own batch, or nothing at all.
OF_THEIR_BATCH = frozenset(
    {
        "CommandTaken", "ReadingsUsed", "InstructionConfirmed", "ValueRecorded", "TimerElapsed",
        "PhaseStarted", "PhaseHolding", "PhaseHeld", "PhaseRestarting", "PhaseRestarted", "PhaseAborted",
        "PhaseCompleted", "BatchCompleted", "BatchSealed", "BatchAborted", "HandOverSigned", "HandedOver",
        "DeviceLabelRefused", "ExchangeFileRequested", "ExchangeFileRead", "ExchangeFileRefused",
        "ScanRequested", "ScanRead", "ScanCancelled", "LabelTyped", "TypedEntriesDiffered", "LineCleared",
        "BagRefused", "MaterialRefused",
        "LabelRequested", "LabelDrawn", "LabelPrinted", "LabelVerified", "LabelVoided", "LabelsReconciled",
        "BedsideMatched", "CustodyTransferred", "TransportRecorded", "DeviceOrdered", "DeviceReported",
        "DeviceRefusedOrder",
        "DeviceRestartSeen", "MeasurementsSealed", "LimitCrossed", "CountRequested",
        "CellCountReported", "CountFailed", "CountRepeated", "ResultReceived", "DeviationOpened",
        "CommentAdded", "CommandWasRefused", "DispositionRefused", "ValueCorrected",
        "CorrectionProposed", "FirstActLapsed", "SignatureVoided", "SessionClosed", "RecoveredFromCrash",
        "ClockAdjusted", "RecordFaultSeen", "RecordVerified", "BackupTaken", "BackupFailed",
        "RestoreDrilled", "DocumentReceived", "DocumentVerified",
        "DocumentRefused",
    }
)  # fmt: skip

# A command that was answered before this many records is not sent again by anybody.
ANSWERS_WITHIN_RECORDS = 20_000


@dataclass(slots=True)
class Folded:
    """What a start needs to know of the record."""

    unit: Unit
    access: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answered: Answered = field(default_factory=Answered)

    def take(self, stored: StoredRecord) -> None:
        """Fold one record."""
        fact = fact_of(stored)
        if fact is not None:
            self._fold(fact)

    def take_earlier(self, stored: StoredRecord, records: int) -> None:
        """Fold one record of an earlier log, whose numbers count back from the beginning of this one."""
        fact = fact_of(stored)
        if fact is not None:
            self._fold(fact_counted_back(fact, records))

    def _fold(self, fact: Fact) -> None:
        evolve(self.unit, fact)
        if isinstance(fact.event, ACCESS_EVENTS):
            self.access.append((type(fact.event).__name__, ev.to_body(fact.event)))


def folded(unit: Unit, record: Record) -> Folded:
    """Fold a record into a fresh unit."""
    state, head = Folded(unit), record.head().seq
    opened = record.newest("BatchOpened")
    # Where none was opened here, one of an earlier log may have gone on.
    whole_from = opened.seq if opened is not None else 1
    for stored, records in records_before(record.folder):
        state.take_earlier(stored, records)
    for stored in record.read_without(OF_THEIR_BATCH, whole_from - 1):
        state.take(stored)
    for stored in record.read(whole_from):
        state.take(stored)
    for stored in record.read(max(1, head - ANSWERS_WITHIN_RECORDS)):
        state.answered.take(stored)
    unit.qualified.clear()
    unit.identities.clear()
    unit.silent.clear()
    return state
