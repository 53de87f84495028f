"""Which events a reviewer must look at, and in what words (F-059).

What is not known to be uneventful is an exception: a kind that this software never heard of is
shown as one, not hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from appliance.domain.events import KINDS
from appliance.record.canonical import QUALITY_SIMULATED, QUALITY_TRUSTED
from appliance.record.report.entries import Entry
from appliance.record.report.text import listed, plain, words_of

Body = Mapping[str, Any]

ALWAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    # kind: (group, the fields that say it best)
    "AccountDisabled": ("People", ("person", "reason")),
    "AlarmRaised": ("Alarm", ("title", "cause", "priority", "phase")),
    "BagRefused": ("Identity", ("words", "scanned", "expected", "reason")),
    "BatchAborted": ("Aborted", ("reason",)),
    "ClockAdjusted": ("Time", ("difference_s", "followed")),
    "CommandWasRefused": ("Refused", ("words", "name")),
    "CommentAdded": ("Comment", ("text",)),
    "ConsentWithdrawn": ("Consent", ("reason", "consent", "coi", "received_from")),
    "CountFailed": ("Count", ("words", "replicate")),
    "CountRepeated": ("Count", ("reason", "phase")),
    "CountMethodQualified": (
        "Count",
        ("reason", "method", "version", "verdict", "words", "performed_on", "qualified_until"),
    ),
    "DeviationOpened": ("Deviation", ("words", "classification", "phase")),
    "DeviceQualified": (
        "Device",
        ("reason", "device", "serial_number", "firmware", "calibrated_until", "qualified_until"),
    ),
    "DeviceLabelRefused": ("Identity", ("words", "scanned", "expected", "reason")),
    "DeviceRefusedOrder": ("Device", ("words", "device", "fault")),
    "DeviceRestartSeen": ("Device", ("words", "device")),
    "DeviceStopped": ("STOP", ("station", "latency_ms")),
    "DeviceWentSilent": ("Device", ("words", "device")),
    "DispositionRefused": ("Refused", ("words", "reason")),
    "DocumentRefused": ("Refused", ("words", "type", "reason")),
    "EmergencyEnded": ("Emergency", ("why",)),
    "EmergencyOpened": ("Emergency", ("reason", "first_name", "second_name", "station")),
    "EngineStarted": ("Restart", ("check", "software_version", "term")),
    "ExchangeFileRefused": ("Identity", ("words", "reason", "sha256")),
    "FirstActLapsed": ("People", ("words", "phase", "key")),
    "IdentityErased": ("Identity", ("patient", "person", "reason")),
    "LabelDestroyed": ("Label", ("label_id", "person", "witness")),
    "LabelLossAccepted": ("Label", ("reason", "label_id", "first_person", "second_person")),
    "LabelMissing": ("Label", ("words", "label_id")),
    "LabelVoided": ("Label", ("reason", "label_id")),
    "LotOfBatchRecalled": ("Recall", ("words", "reference")),
    "LimitCrossed": ("Limit", ("limit", "value", "unit", "bound", "level")),
    "MaterialRefused": ("Identity", ("words", "scanned", "reason")),
    "PhaseAborted": ("Aborted", ("phase", "reason")),
    "PhaseHeld": ("Held", ("phase",)),
    "PhaseHolding": ("Held", ("words", "phase", "reason")),
    "PhaseRestarting": ("Held", ("phase", "reason")),
    "RecordFaultSeen": ("Record", ("words",)),
    "RecoveredFromCrash": ("Restart", ("phases", "last_seq")),
    "SecurityNoticeRaised": ("People", ("title", "cause", "priority")),
    "SignatureVoided": ("Signature", ("words", "phase", "key", "person", "signed_seq")),
    "SecondUseNoticed": ("Identity", ("words", "subject", "key")),
    "SignInRefused": ("People", ("person", "reason", "failures", "locked")),
    "TypedEntriesDiffered": ("Identity", ("words", "key", "tries")),
    "TimeConfirmed": ("Time", ("reference_at", "difference_s", "first_person", "second_person")),
    "ValueCorrected": ("Correction", ("key", "field", "old", "new", "unit", "reason", "name")),
}

# Later families of events are exceptions by the words in their names, until they stand above.
TELLING = ("Refused", "Voided", "Corrected", "Emergency", "Restored", "Failed", "Lost", "Untrusted", "Fault")


def exception_in(entry: Entry) -> tuple[str, str] | None:
    """(group, words) when a reviewer must see this event, else None."""
    found = _by_kind(entry.kind, entry.body)
    if entry.header.clock_quality not in (QUALITY_TRUSTED, QUALITY_SIMULATED):
        group, words = found or ("Time", words_of(entry.kind))
        return group, f"{words} · the time is not trusted"
    return found


def _by_kind(kind: str, body: Body) -> tuple[str, str] | None:
    if kind in ALWAYS:
        group, names = ALWAYS[kind]
        return group, _words(kind, body, names)
    if kind in SOMETIMES:
        group, judge = SOMETIMES[kind]
        words = judge(body)
        return (group, words) if words else None
    if kind not in KINDS:
        return "Unknown", f"{words_of(kind)}: this software does not know such events. Read it in full below."
    if any(word in kind for word in TELLING):
        return words_of(kind).split()[0], f"{words_of(kind)} · {listed(body, *body)}".rstrip(" ·")
    return None


def _words(kind: str, body: Body, names: tuple[str, ...]) -> str:
    if kind == "LimitCrossed":
        return (
            f"{words_of(str(body.get('limit', '')))}: {body.get('value', '')} {body.get('unit', '')}, "
            f"{body.get('level', '')} limit {body.get('bound', '')}"
        )
    first = body.get(names[0])
    lead = f"{plain(first)} · " if names[0] in ("words", "text", "title") and first else ""
    rest = listed(body, *(names[1:] if lead else names))
    return f"{words_of(kind)}: {lead}{rest}".rstrip(" ·:")


def _bad_quality(body: Body) -> str:
    quality = str(body.get("quality", ""))
    if quality in ("good", ""):
        return ""
    return f"A value of quality {quality} was used: {listed(body, 'phase', 'key', 'value', 'unit')}"


def _not_counted(body: Body) -> str:
    verdict = str(body.get("verdict", ""))
    if verdict == "counted":
        return ""
    return f"Count {plain(body.get('replicate'))}, verdict {verdict}: {plain(body.get('reasons'))}"


def _on_the_road(body: Body) -> str:
    if body.get("verdict") == "pass":
        return ""
    found = listed(body, "shipper", "lowest_c", "highest_c", "outside_min", "gaps")
    return f"Transport, verdict {plain(body.get('verdict')) or 'none'}: {found}"


def _not_passed(body: Body) -> str:
    verdict = str(body.get("verdict", ""))
    if verdict in ("pass", "report"):
        return ""
    found = f"{plain(body.get('test'))} {plain(body.get('value'))} {plain(body.get('unit') or '')}".strip()
    return f"{found}, limit {plain(body.get('limit'))}: {verdict or 'no verdict'}"


def _unqualified(body: Body) -> str:
    if body.get("qualified", True):
        return ""
    return str(body.get("words") or f"{body.get('device')} is another device than the qualified one.")


def _noticed(body: Body) -> str:
    """A day that is near concerns maintenance; one that is over, and another device, the reviewer too."""
    if body.get("priority") == "low":
        return ""
    return f"{body.get('title') or 'A notice about a device'}: {body.get('cause', '')}".rstrip(": ")


def _typed(body: Body) -> str:
    if body.get("part") != "second":
        return ""
    return f"A label was typed by two people, not read: {listed(body, 'phase', 'key', 'number')}"


def _fictitious(body: Body) -> str:
    station = body.get("station")
    said = isinstance(station, dict) and "fictitious" in station.values()
    return "The station's scale is fictitious: volumes and concentrations are not measured." if said else ""


def _by_hand(body: Body) -> str:
    return f"Entered by hand: {listed(body, *body)}"


SOMETIMES: dict[str, tuple[str, Callable[[Body], str]]] = {
    "BatchOpened": ("Station", _fictitious),
    "CellCountReported": ("Count", _not_counted),
    "DeviceIdentified": ("Device", _unqualified),
    "DeviceNoticeRaised": ("Device", _noticed),
    "LabelTyped": ("Identity", _typed),
    "ManualEntryVerified": ("Value", _by_hand),
    "ResultReceived": ("Result", _not_passed),
    "TransportRecorded": ("Transport", _on_the_road),
    "ValueRecorded": ("Value", _bad_quality),
}
