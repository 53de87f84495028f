"""What an archive for people outside withholds: one table, by kind of event and by what a file is.

A record is shown whole or withheld whole, so that its hash still proves it. A kind that stands in
neither table is withheld: nobody has said that it is free of names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Body = Mapping[str, Any]

STAFF = "names a member of staff"
FREE_TEXT = "holds words that a person typed"
WORDS = "holds words that may repeat what a person typed or a label said"
SYMBOLS = "holds what a camera read, which may be any text"
FILE = "names a file of a stick as somebody called it"
UNKNOWN = "is of a kind that nobody has said to be free of names"

WITHHELD: dict[str, str] = {
    "AccountDisabled": FREE_TEXT,
    "AccountEnabled": FREE_TEXT,
    "AccountRemoved": STAFF,
    "AccountSet": STAFF,
    "AccountUnlocked": FREE_TEXT,
    "AlarmRaised": WORDS,
    "BadgeIssued": STAFF,
    "BadgeTested": STAFF,
    "BadgeWithdrawn": STAFF,
    "BagRefused": SYMBOLS,
    "BatchAborted": FREE_TEXT,
    "CommandTaken": STAFF,
    "CommandWasRefused": STAFF,
    "CommentAdded": FREE_TEXT,
    "ConsentRecorded": STAFF,
    "ConsentWithdrawn": FREE_TEXT,
    "CorrectionProposed": STAFF,
    "CountMethodQualified": STAFF,
    "CustodyTransferred": STAFF,
    "CountRepeated": FREE_TEXT,
    "DeviationOpened": WORDS,
    "DeviceNoticeRaised": WORDS,
    "DeviceQualified": STAFF,
    "DeviceLabelRefused": SYMBOLS,
    "DispositionRecorded": STAFF,
    "DispositionRefused": WORDS,
    "DocumentReceived": WORDS,
    "DocumentRefused": WORDS,
    "EmergencyEnded": WORDS,
    "EmergencyOpened": STAFF,
    "ExchangeFileAccepted": FILE,
    "ExchangeFileRead": FILE,
    "ExchangeFileRefused": FILE,
    "ExchangeFileRequested": FILE,
    "FirstActLapsed": WORDS,
    "IdentitiesUnlocked": STAFF,
    "IdentityErased": FREE_TEXT,
    "LabelDestroyed": STAFF,
    "LabelLossAccepted": STAFF,
    "LabelMissing": WORDS,
    "PrintHeadTested": STAFF,
    "PrintTestOrdered": STAFF,
    "LabelVoided": FREE_TEXT,
    "LotOfBatchRecalled": WORDS,
    "LotRecalled": FREE_TEXT,
    "MaterialBookedOut": FREE_TEXT,
    "MaterialReceived": SYMBOLS,
    "MaterialRefused": SYMBOLS,
    "MaterialRejected": FREE_TEXT,
    "MaterialReleased": FREE_TEXT,
    "PhaseAborted": FREE_TEXT,
    "PhaseHolding": WORDS,
    "PhaseRestarting": FREE_TEXT,
    "RecallLifted": FREE_TEXT,
    "RecordFaultSeen": WORDS,
    "RolesApplied": STAFF,
    "ScanRead": SYMBOLS,
    "SecondPersonConfirmed": WORDS,
    "SecretChanged": STAFF,
    "SecurityNoticeRaised": WORDS,
    "SessionOpened": STAFF,
    "SignatureGiven": STAFF,
    "SignatureVoided": WORDS,
    "StopReleased": FREE_TEXT,
    "TransportRecorded": FILE,
    "LabelTyped": SYMBOLS,
    "TypedEntriesDiffered": WORDS,
    "ValueCorrected": STAFF,
}

SHOWN = frozenset(
    {
        "AlarmAcknowledged", "AlarmCleared", "BagAccepted", "BatchCompleted", "BatchOpened", "BatchSealed",
        "BedsideMatched", "CellCountReported", "ClockAdjusted", "CountFailed", "CountRequested",
        "DeviceIdentified", "DeviceOrdered", "DeviceRecovered", "DeviceRefusedOrder", "DeviceReported",
        "DeviceRestartSeen", "DeviceStopped", "DeviceWentSilent", "DocumentActivated", "DocumentVerified",
        "EngineStarted", "EngineStoppedCleanly", "Genesis", "HandOverSigned", "HandedOver",
        "InstructionConfirmed", "LabelDrawn", "LabelPrinted", "LabelRequested", "LabelShown",
        "LabelVerified", "LabelsReconciled",
        "LimitCrossed", "LineCleared", "MaterialAccepted", "MeasurementsSealed", "PhaseCompleted",
        "PhaseHeld", "PhaseRestarted", "PhaseStarted", "ProductLabelled", "ReadingsUsed",
        "RecordMigrated", "RecordVerified", "RecoveredFromCrash", "ResultReceived", "SampleTaken",
        "ScanCancelled", "ScanRequested", "SessionClosed", "SignInRefused", "TimeConfirmed", "TimerElapsed",
        "ValueRecorded", "WearCounted",
    }
)  # fmt: skip

# Files that events name, by the field that names them; other fields' files are shown.
WITHHELD_FILES: dict[str, str] = {
    "blob": "a document that may name people",
    "decision_blob": "names the QP",
    "order_blob": "the order, with what the ward wrote on it",
    "people_blob": "the list of staff",
    "template_blob": "its signers can be judged by the list of staff alone",
    "recipe_blob": "its signers can be judged by the list of staff alone; its text is in the record",
    "picture": "a picture of a label, or taken at a patient's side",
    "zpl_blob": "a label as its printer drew it",
}

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def reason_to_withhold(kind: str, body: Body) -> str:
    """Why a record is withheld; empty where it is shown."""
    if kind in WITHHELD:
        return WITHHELD[kind]
    if kind not in SHOWN:
        return UNKNOWN
    if kind == "BatchOpened" and _staff_note(body):
        return "holds the ward's note on the order"
    if kind == "LabelRequested" and body.get("reason"):
        return FREE_TEXT  # of a reprint, in the words of who asked for it
    if kind == "InstructionConfirmed" and not _only_numbers(body.get("values")):
        return FREE_TEXT
    return ""


def _staff_note(body: Body) -> bool:
    """Whether the order carries free text; an order that cannot be read is taken to."""
    try:
        order = json.loads(str(body.get("order_text", "")))
        return bool(str(order.get("staff_note") or "").strip())
    except (ValueError, AttributeError):
        return True


def _only_numbers(values: object) -> bool:
    if not isinstance(values, dict):
        return not values
    return all(_NUMBER.fullmatch(str(value)) for value in values.values())
