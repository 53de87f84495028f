"""The batch record for a human: exceptions first, then everything.

Made from the events alone, so the same record gives the same bytes. A kind of event that this page
does not know is shown with its plain fields; nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from appliance.domain.blob_names import named_blobs
from appliance.record import report_html as html
from appliance.record.canonical import (
    QUALITY_SIMULATED,
    QUALITY_TRUSTED,
    Header,
    Payload,
    StoredRecord,
    decode_payload,
)
from appliance.record.errors import RecordRefused

EXCEPTION_KINDS = frozenset(
    {
        "AlarmRaised",
        "BagRefused",
        "BatchAborted",
        "ClockAdjusted",
        "CommandWasRefused",
        "CountFailed",
        "CountRepeated",
        "DeviceRefusedOrder",
        "DeviceRestartSeen",
        "DeviceStopped",
        "DeviceWentSilent",
        "DeviationOpened",
        "DispositionRefused",
        "DocumentRefused",
        "EngineStarted",
        "LabelVoided",
        "LimitCrossed",
        "ManualEntryVerified",
        "MaterialRefused",
        "PhaseAborted",
        "PhaseHeld",
        "PhaseHolding",
        "RecordFaultSeen",
        "RecoveredFromCrash",
        "SignInRefused",
        "TimeTrustChanged",
    }
)
PHASE_ENDS = {
    "PhaseCompleted": "complete",
    "PhaseAborted": "aborted",
    "PhaseStopped": "stopped",
}
LARGEST_PICTURE_BYTES = 600_000
MOST_PICTURE_BYTES = 24_000_000

Picture = tuple[bytes, str]  # bytes, media type


@dataclass(frozen=True)
class Entry:
    """One event as the report shows it."""

    stored: StoredRecord

    @cached_property
    def header(self) -> Header:
        """The record's head."""
        return self.stored.header

    @cached_property
    def payload(self) -> Payload:
        """The record's facts."""
        return decode_payload(self.stored.payload)

    @property
    def kind(self) -> str:
        """The event's name."""
        return self.header.kind

    @property
    def body(self) -> dict[str, Any]:
        """The event's fields."""
        return self.payload.body


def batch_report(
    events: Iterable[StoredRecord],
    batch: str,
    picture: Callable[[str], Picture | None],
    *,
    simulated: bool,
) -> bytes:
    """The page for one batch.

    Parameters
    ----------
    events
        gxp records in order, from the opening of the batch or earlier.
    picture
        Gives a stored file's bytes and media type, or None when it is not at hand.

    Raises
    ------
    RecordRefused
        The events hold no opening of this batch.
    """
    entries = list(_of_batch(events, batch))
    if not entries:
        raise RecordRefused(f"There is no batch {batch} among these events. Check the batch id.")
    page = _Page(entries, batch, picture, simulated)
    return html.page(f"Batch record {batch}", page.content())


def _of_batch(events: Iterable[StoredRecord], batch: str) -> Iterator[Entry]:
    """From the opening to the batch's last event; what concerns no batch in between belongs to it."""
    waiting: list[Entry] = []
    opened = False
    for stored in events:
        entry = Entry(stored)
        if entry.payload.batch == batch:
            opened = opened or entry.kind == "BatchOpened"
            yield from waiting
            yield entry
            waiting = []
        elif opened and entry.payload.batch is None:
            waiting.append(entry)


class _Page:
    """The sections of one report."""

    def __init__(
        self,
        entries: Sequence[Entry],
        batch: str,
        picture: Callable[[str], Picture | None],
        simulated: bool,
    ) -> None:
        self.entries, self.batch, self.picture = entries, batch, picture
        self.simulated = simulated or any(e.header.clock_quality == QUALITY_SIMULATED for e in entries)
        self.opened = next((e.body for e in entries if e.kind == "BatchOpened"), {})
        self.zone = _zone(str(self.opened.get("time_zone", "")))
        self.picture_room = MOST_PICTURE_BYTES

    def content(self) -> str:
        """Everything inside the page."""
        simulated = html.banner("SIMULATED: made on simulated devices. Never for a patient.")
        return "".join(
            [
                f"<h1>Batch record {html.text(self.batch)}</h1>\n",
                simulated if self.simulated else "",
                self._head(),
                html.section("Exceptions", self._exceptions()),
                html.section("Phases", self._phases()),
                html.section("Identity, materials and labels", self._identity()),
                html.section("Results", self._results()),
                html.section("Cell counts", self._counts()),
                html.section("Recorded values", self._values()),
                html.section("Signatures", self._signatures()),
                html.section("Pictures", self._pictures()),
                html.section("All events", self._everything()),
                self._foot(),
                simulated if self.simulated else "",
            ]
        )

    def _head(self) -> str:
        first, opened = self.entries[0], self.opened
        rows = [
            ("Unit", html.text(first.header.unit)),
            ("Order", html.value(opened.get("order_id"))),
            ("Recipe", f"{html.value(opened.get('recipe_id'))} {html.value(opened.get('recipe_version'))}"),
            ("Recipe hash", html.value(opened.get("recipe_hash"))),
            ("Opened", self._both_times(first.header.wall)),
            ("State", html.text(self._state())),
            ("Disposition", self._disposition()),
            ("Site", f"{html.value(opened.get('site'))}, local time {html.text(self.zone or 'UTC')}"),
            ("Software", html.value(opened.get("software_version"))),
            ("Log epoch", f"<code>{first.header.epoch.hex()}</code>"),
            ("Events", f"{first.stored.seq} to {self.entries[-1].stored.seq}"),
        ]
        return html.pairs(rows)

    def _state(self) -> str:
        kinds = {entry.kind for entry in self.entries}
        for kind, words in (
            ("HandedOver", "handed over"),
            ("BatchAborted", "aborted"),
            ("DispositionRecorded", "disposition recorded"),
            ("BatchSealed", "sealed, awaiting disposition"),
            ("BatchCompleted", "complete, not sealed"),
        ):
            if kind in kinds:
                return words
        return "running"

    def _disposition(self) -> str:
        found = [entry for entry in self.entries if entry.kind == "DispositionRecorded"]
        if not found:
            return "none recorded"
        body = found[-1].body
        return (
            f"<strong>{html.value(body.get('disposition'))}</strong> ({html.value(body.get('stage'))}) by "
            f"{html.value(body.get('name') or body.get('by'))}, {html.value(body.get('decided_at'))}"
        )

    def _exceptions(self) -> str:
        rows = [
            (*self._when(entry), html.text(html.words_of(entry.kind)), self._facts(entry))
            for entry in self.entries
            if _is_exception(entry)
        ]
        return html.table(
            ("No.", "UTC", "Local", "What", "Facts"), rows, none="None: no exception is on record."
        )

    def _phases(self) -> str:
        started: dict[str, Entry] = {}
        ended: dict[str, Entry] = {}
        held: dict[str, int] = {}
        for entry in self.entries:
            phase = str(entry.body.get("phase", ""))
            if entry.kind == "PhaseStarted":
                started.setdefault(phase, entry)
            elif entry.kind in PHASE_ENDS:
                ended[phase] = entry
            elif entry.kind == "PhaseHeld":
                held[phase] = held.get(phase, 0) + 1
        rows = []
        for phase, start in started.items():
            end = ended.get(phase)
            rows.append(
                (
                    html.text(phase),
                    self._both_times(start.header.wall),
                    self._both_times(end.header.wall) if end else html.NOTHING,
                    _duration(end.header.wall - start.header.wall) if end else html.NOTHING,
                    html.text(PHASE_ENDS[end.kind] if end else "not ended"),
                    str(held.get(phase, 0)),
                )
            )
        return html.table(
            ("Phase", "Started", "Ended", "Took", "State", "Held"), rows, none="No phase was started."
        )

    def _identity(self) -> str:
        kinds = (
            "LineCleared BagAccepted MaterialAccepted ManualEntryVerified LabelPrinted LabelVerified "
            "LabelsReconciled ProductLabelled SampleTaken BedsideMatched HandOverSigned HandedOver"
        )
        return self._table_of(kinds.split(), "Nothing was scanned.")

    def _results(self) -> str:
        rows = [
            (
                *self._when(entry),
                html.value(entry.body.get("test")),
                f"<strong>{html.value(entry.body.get('value'))}</strong> "
                f"{html.value(entry.body.get('unit'))} {_interval(entry.body.get('interval'))}",
                html.value(entry.body.get("limit")),
                html.value(entry.body.get("verdict")),
                html.value(entry.body.get("rule")),
            )
            for entry in self.entries
            if entry.kind == "ResultReceived"
        ]
        heads = ("No.", "UTC", "Local", "Test", "Result", "Limit", "Verdict", "Rule")
        return html.table(heads, rows, none="No result was received.")

    def _counts(self) -> str:
        parts = []
        for entry in self.entries:
            if entry.kind != "CellCountReported":
                continue
            body = entry.body
            parts.append(
                html.pairs(
                    [
                        ("Replicate", f"{html.value(body.get('replicate'))} (event {entry.stored.seq})"),
                        ("Verdict", f"{html.value(body.get('verdict'))} {html.value(body.get('reasons'))}"),
                        (
                            "Viability",
                            f"<strong>{html.value(body.get('viability_percent'))} %</strong> "
                            f"{_interval(body.get('viability_interval_percent'))}",
                        ),
                        (
                            "Concentration",
                            f"<strong>{html.value(body.get('concentration_cells_ml'))} cells/mL</strong> "
                            f"{_interval(body.get('concentration_interval_cells_ml'))}",
                        ),
                        (
                            "Cells",
                            f"{html.value(body.get('live'))} live, {html.value(body.get('dead'))} dead, "
                            f"{html.value(body.get('unclassified'))} unclassified "
                            f"in {html.value(body.get('fields'))} fields",
                        ),
                        ("Method", html.value(body.get("method"))),
                        ("Station", html.value(body.get("station"))),
                    ]
                )
            )
            overlay = str(body.get("overlay") or "")
            parts.extend(self._figure(name, "what was counted") for name in named_blobs({"blob": overlay}))
        return "".join(parts) or '<p class="none">No cells were counted.</p>\n'

    def _values(self) -> str:
        rows = [
            (
                *self._when(entry),
                html.value(entry.body.get("phase")),
                html.value(entry.body.get("key")),
                f"<strong>{html.value(entry.body.get('value'))}</strong> "
                f"{html.value(entry.body.get('unit'))}",
                html.value(entry.body.get("quality")),
                html.value(entry.body.get("source")),
            )
            for entry in self.entries
            if entry.kind == "ValueRecorded"
        ]
        heads = ("No.", "UTC", "Local", "Phase", "What", "Value", "Quality", "Source")
        return html.table(heads, rows, none="No value was recorded.")

    def _signatures(self) -> str:
        rows = []
        for entry in self.entries:
            body = entry.body
            if entry.kind == "SignatureGiven":
                meaning, who = body.get("meaning"), body.get("name")
                what, signs = body.get("what"), body.get("signs")
            elif entry.kind == "SecondPersonConfirmed":
                meaning, who, what, signs = "verified", body.get("person"), body.get("key"), ""
            elif entry.kind == "DispositionRecorded":
                meaning, who = "certified", body.get("name") or body.get("by")
                what, signs = body.get("disposition"), body.get("decision_hash")
            else:
                continue
            person = f"{html.value(who)} ({html.text(body.get('person') or body.get('by') or '')})"
            code = f"<code>{html.text(str(signs or entry.stored.hash.hex())[:8])}</code>"
            rows.append((*self._when(entry), person, html.value(meaning), html.value(what), code))
        heads = ("No.", "UTC", "Local", "Name", "Meaning", "What was signed", "Code")
        return html.table(heads, rows, none="Nobody has signed.")

    def _pictures(self) -> str:
        parts, seen = [], set()
        for entry in self.entries:
            if entry.kind == "CellCountReported":
                continue
            for name in named_blobs(
                {key: item for key, item in entry.body.items() if not key.endswith("blob")}
            ):
                if name not in seen:
                    seen.add(name)
                    caption = f"event {entry.stored.seq}, {html.words_of(entry.kind)}"
                    parts.append(self._figure(name, caption))
        return "".join(parts) or '<p class="none">No picture was stored.</p>\n'

    def _everything(self) -> str:
        rows = [
            (
                *self._when(entry),
                html.text(entry.kind),
                html.text(entry.header.actor),
                self._facts(entry),
                f"<code>{entry.stored.hash.hex()[:8]}</code>",
            )
            for entry in self.entries
        ]
        return html.table(("No.", "UTC", "Local", "Kind", "Who", "Facts", "Hash"), rows, none="None.")

    def _foot(self) -> str:
        last = self.entries[-1].stored
        return (
            f'<p class="quiet">Code of this record: <code>{last.hash.hex()[:16]}</code>, event {last.seq}. '
            "Times are the unit's; the order of events is their number. This page is for reading; the "
            "signed events beside it are the record.</p>\n"
        )

    def _table_of(self, kinds: Sequence[str], none: str) -> str:
        rows = [
            (*self._when(entry), html.text(html.words_of(entry.kind)), self._facts(entry))
            for entry in self.entries
            if entry.kind in kinds
        ]
        return html.table(("No.", "UTC", "Local", "What", "Facts"), rows, none=none)

    def _facts(self, entry: Entry) -> str:
        return (
            "<br>".join(
                f"{html.text(html.words_of(key))}: {html.value(item)}" for key, item in entry.body.items()
            )
            or html.NOTHING
        )

    def _figure(self, sha256: str, caption: str) -> str:
        found = self.picture(sha256)
        if found is None or len(found[0]) > min(LARGEST_PICTURE_BYTES, self.picture_room):
            return html.figure(sha256, None, "", caption)
        self.picture_room -= len(found[0])
        return html.figure(sha256, found[0], found[1], caption)

    def _when(self, entry: Entry) -> tuple[str, str, str]:
        wall, quality = entry.header.wall, entry.header.clock_quality
        doubt = "" if quality in (QUALITY_TRUSTED, QUALITY_SIMULATED) else " (time not trusted)"
        return str(entry.stored.seq), _utc(wall) + doubt, self._local(wall)

    def _local(self, wall: datetime) -> str:
        if self.zone is None:
            return html.NOTHING
        local = wall.astimezone(self.zone)
        return f"<time>{local:%Y-%m-%d %H:%M:%S} {html.text(local.tzname())}</time>"

    def _both_times(self, wall: datetime) -> str:
        return _utc(wall) if self.zone is None else f"{_utc(wall)}<br>{self._local(wall)}"


def _is_exception(entry: Entry) -> bool:
    """What a reviewer looks at first: named kinds, results that did not pass, doubtful values and times."""
    body = entry.body
    if entry.kind in EXCEPTION_KINDS or entry.header.clock_quality not in (
        QUALITY_TRUSTED,
        QUALITY_SIMULATED,
    ):
        return True
    if entry.kind == "ResultReceived":
        return body.get("verdict") not in ("pass", "report")
    if entry.kind == "CellCountReported":
        return body.get("verdict") != "counted"
    return entry.kind == "ValueRecorded" and body.get("quality") != "good"


def _utc(wall: datetime) -> str:
    return f"<time>{wall:%Y-%m-%d %H:%M:%S} UTC</time>"


def _duration(took: timedelta) -> str:
    seconds = int(took.total_seconds())
    hours, minutes = divmod(seconds // 60, 60)
    return (
        f"{hours} h {minutes:02} min {seconds % 60:02} s" if hours else f"{minutes} min {seconds % 60:02} s"
    )


def _interval(bounds: object) -> str:
    if not isinstance(bounds, list) or len(bounds) != 2:
        return ""
    return f"(95 % interval {html.value(bounds[0])} to {html.value(bounds[1])})"


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None  # the site named a zone this machine does not have; UTC stands alone then
