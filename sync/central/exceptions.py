"""Which events a reviewer must look at, and in what words: review by exception.

What is not known to be uneventful is an exception: an event kind that this central has
never heard of is shown, not hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from appliance.domain.events import KINDS

Body = Mapping[str, Any]
GENESIS = "Genesis"

_ALWAYS: dict[str, tuple[str, str]] = {
    # kind: (group, field of the body that says it best)
    "DeviationOpened": ("Deviation", "words"),
    "BatchAborted": ("Aborted", "reason"),
    "PhaseAborted": ("Aborted", "reason"),
    "LimitCrossed": ("Out of limit", "limit"),
    "CountRepeated": ("Repeated", "reason"),
    "CountFailed": ("Repeated", "words"),
    "PhaseHolding": ("Held", "words"),
    "AlarmRaised": ("Alarm", "title"),
    "BagRefused": ("Identity", "words"),
    "ConsentWithdrawn": ("Consent", "reason"),
    "MaterialRefused": ("Identity", "words"),
    "DeviceLabelRefused": ("Identity", "words"),
    "ExchangeFileRefused": ("Identity", "words"),
    "LabelLossAccepted": ("Label", "reason"),
    "LabelMissing": ("Label", "words"),
    "LabelVoided": ("Label", "reason"),
    "RecoveredFromCrash": ("Restart", "last_seq"),
    "RecordFaultSeen": ("Record", "words"),
    "DeviceRefusedOrder": ("Device", "words"),
    "DeviceWentSilent": ("Device", "words"),
    "DeviceRestartSeen": ("Device", "words"),
    "SecondUseNoticed": ("Second use", "words"),
    "DeviceQualified": ("Device", "reason"),
    "CountMethodQualified": ("Count", "reason"),
    "DeviceStopped": ("STOP", "station"),
    "CommandWasRefused": ("Refused", "words"),
    "DocumentRefused": ("Refused", "words"),
    "DispositionRefused": ("Refused", "words"),
    "SignInRefused": ("People", "reason"),
    "SecurityNoticeRaised": ("People", "cause"),
    "AccountDisabled": ("People", "reason"),
    "EmergencyOpened": ("Emergency", "reason"),
    "CommentAdded": ("Comment", "text"),
}


def _bad_quality(body: Body) -> str:
    quality = str(body.get("quality", ""))
    return "" if quality in ("good", "") else f"A value of quality {quality} was used."


def _on_the_road(body: Body) -> str:
    verdict = str(body.get("verdict", ""))
    if verdict == "pass":
        return ""
    minutes = f"{body.get('outside_min', '?')} min outside {_listed(body.get('range_c'))} °C"
    return f"Shipper {body.get('shipper', '?')}, verdict {verdict or 'none'}: {minutes}"


def _count_not_counted(body: Body) -> str:
    verdict = str(body.get("verdict", ""))
    return "" if verdict == "counted" else f"Count verdict {verdict}: {_listed(body.get('reasons'))}"


def _result_not_passed(body: Body) -> str:
    verdict = str(body.get("verdict", ""))
    if verdict in ("pass", "report"):
        return ""
    return f"{body.get('test')}: {body.get('value')} {body.get('unit')}, limit {body.get('limit')}: {verdict}"


def _unqualified(body: Body) -> str:
    return "" if body.get("qualified") else str(body.get("words") or "Another device than the qualified one.")


def _noticed(body: Body) -> str:
    """A day that is near concerns maintenance; one that is over, and another device, the reviewer too."""
    return "" if body.get("priority") == "low" else str(body.get("title") or "A notice about a device.")


def _start_check(body: Body) -> str:
    return "" if body.get("check_passed") else str(body.get("check") or "The start-up check did not pass.")


def _fictitious(body: Body) -> str:
    station = body.get("station")
    facts = station.items() if isinstance(station, dict) else ()
    said = any(str(value).lower() == "fictitious" for _, value in facts)
    said = said or any(name == "fictitious" and str(value).lower() == "true" for name, value in facts)
    return "The station's scale is fictitious: volumes are not measured." if said else ""


_SOMETIMES: dict[str, tuple[str, Callable[[Body], str]]] = {
    "ValueRecorded": ("Quality", _bad_quality),
    "CellCountReported": ("Repeated", _count_not_counted),
    "ResultReceived": ("Out of limit", _result_not_passed),
    "DeviceIdentified": ("Device", _unqualified),
    "TransportRecorded": ("Transport", _on_the_road),
    "DeviceNoticeRaised": ("Device", _noticed),
    "EngineStarted": ("Record", _start_check),
    "BatchOpened": ("Station", _fictitious),
}


def exception_in(kind: str, body: Body) -> tuple[str, str] | None:
    """(group, words) when a reviewer must see this event, else None."""
    if kind in _ALWAYS:
        group, field = _ALWAYS[kind]
        return group, _words(kind, body, field)
    if kind in _SOMETIMES:
        group, judge = _SOMETIMES[kind]
        words = judge(body)
        return (group, words) if words else None
    if kind not in KINDS and kind != GENESIS:
        return "Unknown", f"This central does not know events of the kind {kind}. Read it below."
    return None


def _words(kind: str, body: Body, field: str) -> str:
    said = str(body.get(field) or "").strip()
    if kind == "LimitCrossed":
        return (
            f"{said.replace('_', ' ')}: {body.get('value')} {body.get('unit')}, "
            f"{body.get('level')} limit {body.get('bound')}"
        )
    if kind == "DeviationOpened":
        return f"{said} ({body.get('classification')})"
    if kind == "AlarmRaised":
        return f"{said}: {body.get('cause')} (priority {body.get('priority')})"
    if kind == "SignInRefused":
        return f"Sign-in of {body.get('person') or 'an unknown person'} refused: {said.replace('_', ' ')}"
    if kind == "AccountDisabled":
        return f"The account {body.get('person')} was disabled: {said}"
    if kind == "EmergencyOpened":
        names = f"{body.get('first_name')} and {body.get('second_name')}"
        return f"{names} opened the emergency account: {said}"
    if kind == "RecoveredFromCrash":
        phases = _listed(body.get("phases")) or "none"
        return f"The engine restarted after an unclean end; phases held: {phases}."
    if kind == "DeviceStopped":
        return f"STOP was pressed at {said}."
    return said or kind


def _listed(value: Any) -> str:
    return ", ".join(str(one).replace("_", " ") for one in value) if isinstance(value, list) else ""
