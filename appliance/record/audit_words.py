"""What each kind of event says in the audit trail: one sentence, with what changed and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from appliance.record.report.text import listed, plain, words_of

Body = Mapping[str, Any]
NAMED_ELSEWHERE = ("phase", "reason", "why", "old", "new", "recipe_text", "order_text", "content")
_EMPTY_END = re.compile(r"(?:[;,][^;,]*)?(?: -)+$")

SENTENCES: dict[str, str] = {
    "Genesis": "The log began, unit {unit}, software {software_version}",
    "BatchOpened": "Batch opened: order {order_id}, recipe {recipe_id} version {recipe_version}",
    "BatchCompleted": "All work up to the seal is done; dose labels {dose_labels}",
    "BatchSealed": "The record was sealed at event {sealed_seq}",
    "BatchAborted": "The batch was aborted",
    "DispositionRecorded": "{disposition} ({stage}, version {version}) by {name}, over event {sealed_seq}",
    "DispositionRefused": "A decision was refused: {words}",
    "HandOverSigned": "Hand-over signed: {giver} gave, {receiver} received, label {dose_label}",
    "HandedOver": "The dose {dose_label} was handed over for order {order_id}",
    "ScanRequested": "The camera was asked for {key} ({scan_id})",
    "ScanRead": "The camera read {texts} for {key}; not read: {reasons}",
    "ScanCancelled": "The scan {scan_id} for {key} was ended by a person",
    "LabelTyped": "The label for {key} was typed, {part} person; typed in this batch: {number}",
    "TypedEntriesDiffered": "Two people typed the label for {key} differently ({tries}): {words}",
    "LineCleared": "Line clearance by {performed_by}, verified by {verified_by}",
    "BagAccepted": "Bag {din} accepted",
    "BagRefused": "Label refused ({reason}): {words}",
    "MaterialAccepted": "{material} accepted: {catalogue}, lot {lot}, expires {expires_at}, receipt "
    "{receipt}, in place of {substitutes}",
    "MaterialRefused": "Material refused: {words}",
    "MaterialReceived": "{quantity} of {title} came in as {receipt}: {catalogue}, lot {lot}, expires "
    "{expires_at}, from {supplier}; look: {visual_check}",
    "MaterialReleased": "{receipt} was released by {person}, who looked at certificate {certificate}",
    "MaterialRejected": "{receipt} was rejected by {person}, who looked at certificate {certificate}",
    "MaterialBookedOut": "{quantity} of {receipt} were booked out by {person}: {why}",
    "LotRecalled": "Lot {lot} of {catalogue} was recalled by {reference}",
    "RecallLifted": "The recall {reference} of lot {lot} of {catalogue} was lifted",
    "LotOfBatchRecalled": "A lot that this batch has taken was recalled: {words}",
    "LabelRequested": "Label {label_id} ({template}) was ordered",
    "LabelDrawn": "Label {label_id} was drawn by template {template} version {version} and read back",
    "LabelPrinted": "Label {label_id} was printed on {printer}, said by {said_by}",
    "LabelVerified": "Label {label_id} was scanned back and is right",
    "LabelVoided": "Label {label_id} was voided",
    "LabelShown": "Void label {label_id} was shown",
    "LabelDestroyed": "Label {label_id} was destroyed by {person}, witnessed by {witness}",
    "PrintTestOrdered": "The test label {job} was ordered from {device} by {person}",
    "PrintHeadTested": "The print head of {device} was tested by {person}: {verdict}. {words}",
    "LabelMissing": "A label is missing: {words}",
    "LabelLossAccepted": "{first_person} and {second_person} signed that label {label_id} is missing",
    "LabelsReconciled": "Labels: printed {printed}, applied {applied}, void {void}, destroyed {destroyed}, "
    "missing {missing}; {labels}",
    "ProductLabelled": "The product was labelled {label_id}, expires {expires_at}",
    "BedsideMatched": "Wristband {wristband}, bag {bag} and order {order} belong together",
    "CustodyTransferred": "{giver} gave {kind} {key} to {receiver} at {place}: seal {seal} {seal_number}, "
    "{temperature_c} C",
    "TransportRecorded": "Transport of {key} in shipper {shipper}, {started} to {ended}: {lowest_c} to "
    "{highest_c} C, {outside_min} min outside {range_c}, {verdict}",
    "ConsentRecorded": "The consent {consent} of {coi} was recorded, received from {received_from}",
    "ConsentWithdrawn": "The consent {consent} of {coi} was withdrawn, received from {received_from}",
    "OrderAssigned": "Assignment {assignment} of order {order} came: unit {unit}, until {expires_at}",
    "OrderHandedBack": "{name} handed back order {order} (assignment {assignment})",
    "SecondUseNoticed": "Central says that {subject} {key} was used twice: {batches}, {elsewhere}",
    "CentralWordTaken": "Version {version} of {type} {document} by central has taken effect",
    "PhaseStarted": "Phase started",
    "PhaseHolding": "Phase going to hold: {words}",
    "PhaseHeld": "Phase held",
    "PhaseRestarting": "Phase restarting",
    "PhaseRestarted": "Phase goes on",
    "PhaseAborted": "Phase aborted",
    "PhaseCompleted": "Phase completed",
    "InstructionConfirmed": "Confirmed {key}: {words} {values}",
    "ValueRecorded": "{key} = {value} {unit} ({quality}, from {source})",
    "ValueCorrected": "{key} {field} of event {corrected_seq} corrected by {name}",
    "CorrectionProposed": "A correction of event {corrected_seq} was proposed by {name}: {values}",
    "SignatureGiven": "Signed by {name}: {meaning}, {what}",
    "SignatureVoided": "The signature of {person} at event {signed_seq} no longer holds: {words}",
    "SecondPersonConfirmed": "{key} checked by a second person, {person}, after {first_person}",
    "SessionOpened": "{name} signed in at {station}",
    "SessionClosed": "Session of {person} at {station} ended",
    "SignInRefused": "Sign-in of {person} refused ({reason}), failure {failures}, locked: {locked}",
    "AccountSet": "Account {person} ({name}) {change}: {roles}, active: {active}, list {people_version}",
    "AccountRemoved": "Account {person} left the list, version {people_version}",
    "AccountUnlocked": "Account {person} was unlocked",
    "AccountDisabled": "Account {person} was disabled by {source}",
    "AccountEnabled": "Account {person} was enabled by {source}",
    "RolesApplied": "Permissions of version {version} apply",
    "SecretChanged": "{person} set a new {factor}",
    "IdentityErased": "The identity of {patient} was erased by {person}",
    "IdentitiesUnlocked": "Patients' identities were unlocked by {person} at {station}",
    "TimeConfirmed": "{first_person} and {second_person} confirmed the clock, {difference_s} s off",
    "ClockAdjusted": "The clock stepped by {difference_s} s; followed: {followed}",
    "EngineStarted": "Start {term}, software {software_version}, check passed: {check_passed}",
    "EngineStoppedCleanly": "Clean end of start {term}",
    "RecoveredFromCrash": "Restarted after an unclean end; phases held: {phases}",
    "DeviceIdentified": "{device}: {maker} {model} {serial_number}, {firmware}, qualified: {qualified}",
    "DeviceQualified": "{device}: {maker} {model} {serial_number}, {firmware}, was qualified by "
    "{first_person} and {second_person}; calibrated until {calibrated_until}, qualified until "
    "{qualified_until}",
    "CountMethodQualified": "Counting method {method}, version {version}, was judged by {first_person} and "
    "{second_person}: {verdict}; R2 and CV {figures}; qualified until {qualified_until}. {words}",
    "DeviceNoticeRaised": "Notice about {device} ({priority}): {title}. {cause}",
    "WearCounted": "{device}: {writes} writes more into memory {memory}, {total} of {limit}",
    "DeviceLabelRefused": "The label of {device} was refused ({reason}): {words}",
    "ExchangeFileRequested": "The file {file} of a device was chosen ({import_id})",
    "ExchangeFileRead": "File {file}, SHA-256 {sha256}: device {serial_number}, {programme}, {started} to "
    "{ended}: {results} {words}",
    "ExchangeFileAccepted": "File {file} accepted, SHA-256 {blob}",
    "ExchangeFileRefused": "File {file} refused: {words}",
    "DeviceOrdered": "{device} was ordered: {name} {parameters}",
    "DeviceReported": "{device} reported: {result}",
    "DeviceRefusedOrder": "{device} did not do it ({fault}): {words}",
    "DeviceWentSilent": "{device} fell silent: {words}",
    "DeviceRecovered": "{device} answers again",
    "DeviceStopped": "STOP was pressed at {station}",
    "StopReleased": "STOP was ended",
    "LimitCrossed": "{limit}: {value} {unit} is beyond the {level} limit {bound}",
    "CellCountReported": "Count {replicate}: {verdict}, viability {viability_percent} %",
    "CountRepeated": "A count was repeated",
    "ResultReceived": "{test}: {value} {unit}, limit {limit}: {verdict}",
    "AlarmRaised": "Alarm ({priority}): {title}. {cause}",
    "AlarmAcknowledged": "Alarm {alarm} was acknowledged",
    "AlarmCleared": "Alarm {alarm} ended",
    "DeviationOpened": "Deviation {deviation} ({classification}): {words}",
    "CommentAdded": "Comment: {text}",
    "BadgeIssued": "Badge {badge} was issued to {person}, valid until {expires_at}",
    "BadgeTested": "The badge of {person} was tested, passed: {passed}",
    "BadgeWithdrawn": "Badge {badge} of {person} was withdrawn",
    "EmergencyOpened": "{first_name} and {second_name} opened the emergency account at {station}",
    "EmergencyEnded": "The emergency account ended",
    "FirstActLapsed": "The act of {person} at event {first_seq} lapsed: {words}",
    "SecurityNoticeRaised": "Notice to the security role ({priority}): {title}. {cause}",
    "CountRequested": "A count of replicate {replicate} was asked for",
    "CountFailed": "The count of replicate {replicate} failed: {words}",
    "DeviceRestartSeen": "{device} restarted by itself: {words}",
    "MeasurementsSealed": "Measurements were sealed at {telemetry_seq}",
    "ReadingsUsed": "Readings that decided: {readings}",
    "RecordFaultSeen": "The record: {words}",
    "BackupTaken": "A copy of the record up to event {seq} was made and verified in {place}",
    "BackupFailed": "No copy of the record was made: {words}",
    "RestoreDrilled": "Restore drill with {place}: {words}",
    "RecordVerified": "The whole record was checked: {words}",
    "RecordMigrated": "Tables brought to a new version: {words}",
    "SampleTaken": "Sample {sample_id} was taken, {volume_ml} mL",
    "TimerElapsed": "The time {key} of {target_s} s is over",
    "CommandWasRefused": "'{name}' was refused ({reason}): {words}",
    "CommandTaken": "'{name}' was asked at {station}: {body} {values}",
    "DocumentReceived": "A {type} document came: {words}",
    "DocumentVerified": "The {type} document, version {version}, was verified",
    "DocumentActivated": "The {type} document, version {version}, holds from here on",
    "DocumentRefused": "A {type} document was refused ({reason}): {words}",
}


class _Plain(dict[str, str]):
    """Fields as plain text; one that an event does not have is a dash, never a fault."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __missing__(self, name: str) -> str:
        value = self._body.get(name)
        return plain(value) if value not in (None, "", [], {}) else "-"


def sentence(kind: str, body: Body) -> str:
    """What happened, in words; a kind without a sentence says all its fields."""
    found = SENTENCES.get(kind)
    if found is None:
        rest = listed(body, *(name for name in body if name not in NAMED_ELSEWHERE))
        return f"{words_of(kind)}: {rest}" if rest else words_of(kind)
    text = found.format_map(_Plain(body))
    # Where nothing stands for a field at the end, nothing is said of it.
    text = _EMPTY_END.sub("", text)
    return text


def change(body: Body) -> tuple[str, str]:
    """The old and the new value, where the event changed one."""
    if "old" not in body and "new" not in body:
        return "", ""
    unit = f" {body['unit']}" if body.get("unit") else ""
    return tuple(f"{plain(body.get(name, ''))}{unit}" for name in ("old", "new"))  # type: ignore[return-value]


def reason(kind: str, body: Body) -> str:
    """Why, as the person or the unit said it."""
    if kind.startswith(("DeviceLabel", "ExchangeFile")):
        return ""  # the same
    if kind in ("BagRefused", "MaterialRefused", "CommandWasRefused", "DocumentRefused", "SignInRefused"):
        return ""  # it stands in the sentence
    return plain(body.get("reason") or body.get("why") or "")
