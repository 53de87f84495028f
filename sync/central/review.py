"""One batch as a reviewer needs it: exceptions first, results against limits, then all the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from appliance.access.qp_decision import ExpectedSeal
from appliance.domain import recipe as recipes
from appliance.domain.blob_names import named_blobs
from appliance.domain.errors import RecipeRefused
from appliance.domain.events import NOT_A_CHANGE_AFTER_SEAL
from appliance.domain.upcasters import todays_body
from appliance.record.canonical import decode_payload, split_record
from appliance.record.errors import RecordRefused
from sync.central.audit_review import AuditState, audit_state
from sync.central.exceptions import exception_in
from sync.central.second_use import SecondUse, of_batch
from sync.central.stops import stops_of
from sync.central.store import BatchRow, BlobName, Decision, Row, Store

DECISION_LASTS = timedelta(hours=24)  # where the product names no expiry of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of the batch, readable."""

    seq: int
    kind: str
    at: datetime
    actor: str
    body: dict[str, Any]
    hash: str
    clock: str
    blobs: list[str]
    batch: str

    @property
    def phase(self) -> str:
        return str(self.body.get("phase") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionShown:
    """Something to look at, with the event that is its evidence."""

    group: str
    words: str
    entry: Entry


@dataclass(slots=True, kw_only=True)
class PhaseShown:
    """One phase with its events; collapsed on the page."""

    id: str
    title: str
    started: datetime | None = None
    completed: datetime | None = None
    entries: list[Entry] = field(default_factory=list)
    exceptions: int = 0


# A lot that the batch has taken was recalled: the QP decides anew, whatever was decided before.
ENDS_A_RELEASE = "LotOfBatchRecalled"


@dataclass(slots=True, kw_only=True)
class Review:
    """Everything about one batch that central can say."""

    unit_id: str
    batch: str
    row: BatchRow
    simulated: bool
    entries: list[Entry]
    opened: dict[str, Any]
    seal: dict[str, Any]
    recipe_title: str
    order: dict[str, str]
    exceptions: list[ExceptionShown]
    results: list[Entry]
    counts: list[Entry]
    phases: list[PhaseShown]
    blobs: list[BlobName]
    decisions: list[Decision]
    disposition: str
    missing: list[str]  # why no decision is possible yet
    audit: AuditState  # whether QA's review of the audit trail holds
    second_uses: list[SecondUse] = field(default_factory=list)  # of its order, bag or hand-over

    @property
    def group(self) -> str:
        """Where the batch stands in the list: decided, blocked, exceptions or ready."""
        if self.disposition:
            return "decided"
        if self.missing or self.failed or self.used_twice:
            return "blocked"
        return "exceptions" if self.exceptions else "ready"

    @property
    def failed(self) -> list[str]:
        """Release tests whose result is out of its limit: such a batch can only be rejected."""
        return [str(e.body.get("test")) for e in self.results if e.body.get("verdict") == "fail"]

    @property
    def used_twice(self) -> list[SecondUse]:
        """Second uses that no release may pass: a QP has not said why, or never can."""
        return [one for one in self.second_uses if one.blocks]

    def expected_seal(self) -> ExpectedSeal:
        """What a decision about this batch must bind; only for a sealed one."""
        assert self.seal, self.batch
        return ExpectedSeal(
            unit=self.unit_id,
            batch=self.batch,
            recipe_hash=str(self.seal["recipe_hash"]),
            log_epoch=str(self.seal["log_epoch"]),
            sealed_seq=int(self.seal["sealed_seq"]),
            sealed_hash=str(self.seal["sealed_hash"]),
            telemetry_seq=int(self.seal["telemetry_seq"]),
            telemetry_hash=str(self.seal["telemetry_hash"]),
            blobs_hash=str(self.seal["blobs_hash"]),
            dose_labels=tuple(self.seal["dose_labels"]),
        )

    def decision_expiry(self, now: datetime) -> datetime:
        """A release ends with the product: its expiry from the record, else a day."""
        completed = next((e for e in reversed(self.entries) if e.kind == "BatchCompleted"), None)
        with contextlib.suppress(ValueError, TypeError):
            expiry = datetime.fromisoformat(str(completed.body["expires_at"] if completed else ""))
            if expiry.utcoffset() is not None:
                return expiry.astimezone(UTC)
        return now + DECISION_LASTS


def review_batch(store: Store, unit_id: str, batch: str) -> Review | None:
    """Read a batch from the store; None when there is no such batch."""
    row = store.batch(unit_id, batch)
    if row is None:
        return None
    last = row.last_seq
    rows = store.records(unit_id, "gxp", row.epoch, row.first_seq, last)
    entries = [entry for one in rows if one.batch in ("", batch) and (entry := _entry(one))]
    opened = next((e.body for e in entries if e.kind == "BatchOpened"), {})
    seal = next((e.body for e in reversed(entries) if e.kind == "BatchSealed"), {})
    unit = store.unit(unit_id)
    exceptions = [
        ExceptionShown(group=found[0], words=found[1], entry=entry)
        for entry in entries
        if (found := exception_in(entry.kind, entry.body))
    ]
    decisions = store.decisions(unit_id, batch)
    notes = store.events(unit_id=unit_id, batch=batch)
    second_uses = of_batch(store, unit_id, batch, notes)
    title, phase_titles = _recipe(opened)
    review = Review(
        unit_id=unit_id,
        batch=batch,
        row=row,
        simulated=bool(unit and unit.simulated),
        entries=entries,
        opened=opened,
        seal=seal,
        recipe_title=title,
        order=_order(opened),
        exceptions=exceptions + _untrusted_time(entries) + _identity(store, second_uses, entries),
        results=_newest(entries, "ResultReceived", "test"),
        counts=[e for e in entries if e.kind == "CellCountReported"],
        phases=_phases(entries, phase_titles, exceptions),
        blobs=store.batch_blobs(unit_id, batch),
        decisions=decisions,
        disposition=_disposition(decisions, entries),
        missing=[],
        audit=audit_state(notes, [(e.seq, e.hash, e.kind, e.batch) for e in entries]),
        second_uses=second_uses,
    )
    review.missing = _missing(store, review)
    return review


def all_reviews(store: Store) -> list[Review]:
    """Every batch, newest of each unit first."""
    found = [review_batch(store, row.unit_id, row.batch) for row in store.batches()]
    return [review for review in found if review is not None]


def _entry(row: Row) -> Entry | None:
    try:
        header, raw = split_record(row.data)
        payload = decode_payload(raw)
    except RecordRefused:
        return None  # counted as a projection fault at intake, which blocks the batch
    return Entry(
        seq=row.seq,
        kind=row.kind,
        at=header.wall,
        actor=header.actor,
        body=todays_body(row.kind, header.payload_version, payload.body),
        hash=row.hash.hex(),
        clock=("untrusted", "trusted", "simulated")[header.clock_quality],
        blobs=named_blobs(payload.body),
        batch=row.batch,
    )


def _missing(store: Store, review: Review) -> list[str]:
    """Why this batch cannot be decided yet, in words; empty when sealed and complete."""
    missing = []
    if any(entry.kind == "BatchAborted" for entry in review.entries):
        missing.append("The batch was aborted.")
    elif not review.seal:
        missing.append(
            "The batch is not sealed yet: it is still being made, or its last events are not here."
        )
    else:
        missing += _not_here(store, review)
    if any(not blob.verified for blob in review.blobs):
        count = sum(not blob.verified for blob in review.blobs)
        missing.append(f"{count} of {len(review.blobs)} files have not arrived yet.")
    faults = store.projection_faults(review.unit_id, review.row.epoch)
    if faults:
        missing.append(f"{faults} events of this log cannot be read by this central. Call the administrator.")
    epochs = {head.epoch for head in store.heads(review.unit_id) if head.log == "gxp"} - {review.row.epoch}
    if any(store.batch_records(review.unit_id, epoch, review.batch) for epoch in epochs):
        missing.append(
            "The unit was restored from a copy during this batch: it goes on in another log, which is not "
            "on this page. Read both logs at the unit; QA decides how to go on."
        )
    if store.forks(review.unit_id):
        missing.append(
            "The unit sent two different records under one number (fork). QA decides how to go on."
        )
    return missing


def _not_here(store: Store, review: Review) -> list[str]:
    seal, missing = review.seal, []
    # What follows the decision is the hand-over; it changes nothing that was reviewed, but for a recall.
    sealed = int(seal["sealed_seq"])
    of_this_seal = (e.seq for e in review.entries if e.kind == "DispositionRecorded" and e.seq > sealed)
    decided = next(of_this_seal, 2**63)
    changed = [
        entry.kind
        for entry in review.entries
        if entry.batch
        and entry.seq > sealed
        and entry.kind not in NOT_A_CHANGE_AFTER_SEAL
        and (entry.seq < decided or entry.kind == ENDS_A_RELEASE)
    ]
    if changed:
        missing.append(f"The record changed after it was sealed ({changed[0]}). The unit must seal again.")
    wanted = int(seal["telemetry_seq"])
    held = [
        h.seq for h in store.heads(review.unit_id) if (h.log, h.epoch) == ("telemetry", seal["log_epoch"])
    ]
    if wanted > max(held, default=0):
        missing.append(f"The trends have not arrived yet (at {max(held, default=0)} of {wanted}).")
    return missing


def _disposition(decisions: Sequence[Decision], entries: Sequence[Entry]) -> str:
    """What holds of the newest decision: a recall that it has not seen ends a release."""
    if not decisions:
        return ""
    content = msgspec.json.decode(decisions[-1].envelope, type=_EnvelopeContent).content
    said = msgspec.json.decode(content)
    disposition = str(said.get("disposition", ""))
    recalled = max((one.seq for one in entries if one.kind == ENDS_A_RELEASE), default=0)
    return "" if disposition == "released" and recalled > int(said["sealed_seq"]) else disposition


class _EnvelopeContent(msgspec.Struct):
    content: bytes


def _recipe(opened: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Title and phase titles of the control recipe, as frozen in the record."""
    try:
        recipe = recipes.parse(str(opened.get("recipe_text", "")).encode())
    except (RecipeRefused, UnicodeEncodeError):
        return str(opened.get("recipe_id", "")), {}
    return recipe.title, {phase.id: phase.title for phase in recipe.phases.values()}


def _order(opened: dict[str, Any]) -> dict[str, str]:
    with contextlib.suppress(msgspec.DecodeError):
        found = msgspec.json.decode(str(opened.get("order_text", "")))
        if isinstance(found, dict):
            return {str(name): str(value) for name, value in found.items()}
    return {}


def _untrusted_time(entries: Sequence[Entry]) -> list[ExceptionShown]:
    first = next((entry for entry in entries if entry.clock == "untrusted"), None)
    if first is None:
        return []
    words = "The unit's clock was not trusted while this was recorded."
    return [ExceptionShown(group="Clock", words=words, entry=first)]


def _identity(
    store: Store, second_uses: Sequence[SecondUse], entries: Sequence[Entry]
) -> list[ExceptionShown]:
    """What only central knows of this batch: used elsewhere too, a lot recalled, a consent withdrawn."""
    own = [entry for entry in entries if entry.batch]
    if not own:
        return []
    found = []
    for one in second_uses:
        at = {use.seq for use in one.uses}
        words = f"{one.words} {_judged(one)}"
        entry = next((entry for entry in own if entry.seq in at), own[0])
        found.append(ExceptionShown(group="Second use", words=words, entry=entry))
    for group, words, kind in stops_of(store, [(e.kind, e.body) for e in own]):
        entry = next((entry for entry in own if entry.kind == kind), own[0])
        found.append(ExceptionShown(group=group, words=words, entry=entry))
    return found


def _judged(one: SecondUse) -> str:
    if one.subject == "hand_over":
        return "No release can be signed."
    if not one.judged_by:
        return "No release can be signed before a QP has said why."
    return f"{one.judged_by} said why: {one.judged_words}"


def _newest(entries: Sequence[Entry], kind: str, key: str) -> list[Entry]:
    """The last event of a kind for each value of `key`, in order of first appearance."""
    newest: dict[str, Entry] = {}
    for entry in entries:
        if entry.kind == kind:
            newest[str(entry.body.get(key))] = entry
    return list(newest.values())


def _phases(
    entries: Sequence[Entry], titles: dict[str, str], exceptions: Sequence[ExceptionShown]
) -> list[PhaseShown]:
    phases: dict[str, PhaseShown] = {}
    marked = {shown.entry.seq for shown in exceptions}
    for entry in entries:
        name = entry.phase
        title = titles.get(name, name.replace("_", " ").capitalize()) if name else "Outside of phases"
        phase = phases.setdefault(name, PhaseShown(id=name or "outside", title=title))
        phase.entries.append(entry)
        phase.exceptions += entry.seq in marked
        if entry.kind == "PhaseStarted":
            phase.started = phase.started or entry.at
        elif entry.kind == "PhaseCompleted":
            phase.completed = entry.at
    return list(phases.values())
