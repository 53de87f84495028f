"""One batch as the sections of its report look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from appliance.domain.blob_names import named_blobs
from appliance.record.canonical import QUALITY_SIMULATED, StoredRecord
from appliance.record.report import pictures as report_pictures
from appliance.record.report import text as report_text
from appliance.record.report.entries import Entry
from appliance.record.report.exceptions import exception_in
from appliance.record.report.model import Thumbnail
from appliance.record.report.pictures import Picture
from appliance.record.report.text import Times, or_nothing, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the facts of a batch come from: an open record or an archive."""

    batch: str
    simulated: bool
    events: Iterable[StoredRecord]  # gxp records in order, from the opening of the batch or earlier
    telemetry: Sequence[StoredRecord]  # telemetry records of this batch, in order
    telemetry_record: Callable[[int], StoredRecord | None]  # any telemetry record, by its number
    picture: Callable[[str], Picture | None]  # a stored file's bytes and media type
    # Size and media type of every stored file that is known.
    files: dict[str, tuple[int, str]] = field(default_factory=dict)


@dataclass
class Batch:
    """The entries of one batch and what the sections look up in them."""

    source: Source
    entries: Sequence[Entry]

    @cached_property
    def simulated(self) -> bool:
        """Whether the record or any moment in it is simulated; it stays so for ever."""
        return self.source.simulated or any(
            entry.header.clock_quality == QUALITY_SIMULATED for entry in self.entries
        )

    @cached_property
    def opened(self) -> Entry:
        """The opening of the batch; its first event where the opening is missing."""
        return next((one for one in self.entries if one.kind == "BatchOpened"), self.entries[0])

    @cached_property
    def times(self) -> Times:
        """Moments in UTC and at the site."""
        return Times(self.opened.text("time_zone"))

    @cached_property
    def exceptions(self) -> dict[int, tuple[str, str]]:
        """Group and words of every event that a reviewer must see, by number."""
        found = ((entry.seq, exception_in(entry)) for entry in self.entries)
        return {seq: said for seq, said in found if said is not None}

    @cached_property
    def corrected(self) -> dict[int, list[Entry]]:
        """The corrections of an event, by its number (R-04)."""
        return self._pointing("ValueCorrected", "corrected_seq")

    def changes_of(self, entry: Entry) -> list[Entry]:
        """The corrections that make an event's value the first and no longer the last one.

        A correction names the entry; the value or result that followed from that entry is its too.
        """
        derived_from = {"ValueRecorded": "key", "ResultReceived": "test"}.get(entry.kind)
        if entry.seq in self.corrected or derived_from is None:
            return self.corrected.get(entry.seq, [])
        field = (entry.text("phase"), entry.text(derived_from))
        later = self._corrections_of_fields.get(field, [])
        return [one for one in later if _first(one) < entry.seq < one.seq][:1]

    @cached_property
    def _corrections_of_fields(self) -> dict[tuple[str, str], list[Entry]]:
        found: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.of("ValueCorrected"):
            found.setdefault((entry.text("phase"), entry.text("field")), []).append(entry)
        return found

    @cached_property
    def voided(self) -> dict[int, list[Entry]]:
        """Why a signature covers no more, by its number (R-23)."""
        return self._pointing("SignatureVoided", "signed_seq")

    @cached_property
    def people(self) -> dict[str, str]:
        """Printed names by person's id, as the batch's events tell them."""
        named = [entry.body for entry in self.entries if "name" in entry.body]
        pairs = [(str(body.get("person") or body.get("by") or ""), str(body["name"])) for body in named]
        return {person: name for person, name in pairs if person}

    @cached_property
    def thumbnails(self) -> dict[str, tuple[Thumbnail | None, str]]:
        """Every picture that is shown, scaled down."""
        return report_pictures.thumbnails(
            [name for entry in self.entries for name in pictures_of(entry)], self.source.picture
        )

    @cached_property
    def texts(self) -> dict[str, str]:
        """Long texts of the events with the names under which they are printed."""
        found: dict[str, str] = {}
        for entry in self.entries:
            for value in entry.body.values():
                if is_long(value):
                    found.setdefault(value, f"Text {len(found) + 1}")
        return found

    def of(self, *kinds: str) -> list[Entry]:
        """The events of these kinds, in order."""
        return [entry for entry in self.entries if entry.kind in kinds]

    def person(self, person: object) -> str:
        """`Ada Demo (p-0001)`."""
        name = self.people.get(str(person))
        return f"{name} ({person})" if name else or_nothing(person)

    def value(self, value: object) -> str:
        """A fact's value in one line; a long text by the name under which it is printed."""
        if is_long(value):
            assert isinstance(value, str)
            return f"{self.texts[value]}, {len(value)} characters"
        return plain(value)

    def facts(self, entry: Entry) -> str:
        """All fields of an event in one line."""
        return " · ".join(
            f"{name}: {self.value(value)}"
            for name, value in entry.body.items()
            if value not in ("", None, [], {})
        )

    def _pointing(self, kind: str, to: str) -> dict[int, list[Entry]]:
        found: dict[int, list[Entry]] = {}
        for entry in self.of(kind):
            target = entry.body.get(to)
            if isinstance(target, int):
                found.setdefault(target, []).append(entry)
        return found


def _first(correction: Entry) -> int:
    seq = correction.body.get("corrected_seq")
    return seq if isinstance(seq, int) else correction.seq


def is_long(value: object) -> bool:
    """Whether a fact is printed among the long texts, and only named in its place."""
    return isinstance(value, str) and (len(value) > report_text.LONGEST_INLINE or "\n" in value)


def pictures_of(entry: Entry) -> list[str]:
    """The pictures that are shown of an event: what was scanned, printed and counted, not each raw field."""
    shown = {key: item for key, item in entry.body.items() if key in ("picture", "overlay")}
    return named_blobs(shown)
