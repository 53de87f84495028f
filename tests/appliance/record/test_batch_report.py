"""The page a reviewer reads: exceptions first, nothing left out, nothing that acts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_bench import BATCH, PNG, new_record, run_batch, stamp, write
from report_bench import picture_png

from appliance.record.canonical import encode_payload
from appliance.record.command import report_of as content_in
from appliance.record.errors import RecordRefused
from appliance.record.log import Record
from appliance.record.report import as_html as report_html
from appliance.record.report import exceptions as report_exceptions
from appliance.record.report.batch_record import page as drawn
from appliance.record.report.text import words_of
from sync.central import exceptions as central


class Reader(HTMLParser):
    """Headings, cells and dangerous tags of a page, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self._in_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")], attrs
        self._in_heading = tag in ("h1", "h2")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_heading:
            self.headings.append(data)
            self._in_heading = False


def report_of(record: Record, batch: str) -> bytes:
    """The page of one batch."""
    return drawn(content_in(record, batch))


def read(page: bytes) -> Reader:
    reader = Reader()
    reader.feed(page.decode())
    return reader


def section(text: str, title: str, following: str) -> str:
    """What stands under a heading; the first mention of each is in the contents."""
    begin = text.index(title, text.index(title) + 1)
    return text[begin : text.index(following, begin + len(title))]


def test_exceptions_stand_before_everything_else(batch_record: Record) -> None:
    reader = read(report_of(batch_record, BATCH))
    assert reader.headings[:3] == [f"Batch record {BATCH}", "Exceptions", "Corrections"]
    exceptions = section(reader.text, "Exceptions", "Corrections")
    assert "Bag refused" in exceptions
    assert "=A9999" in exceptions


def test_every_event_of_the_batch_is_in_the_table(batch_record: Record) -> None:
    page = read(report_of(batch_record, BATCH)).text
    everything = page[page.rindex("All events") :]
    for stored in batch_record.read(3):
        assert stored.header.kind in everything
        assert stored.hash.hex()[:8] in everything


def test_simulated_is_said_where_nobody_can_miss_it(batch_record: Record) -> None:
    page = report_of(batch_record, BATCH).decode()
    assert page.index("<body>") < page.index("SIMULATED", page.index("<body>")) < page.index("Exceptions")
    assert page[page.index("<body>") :].count("SIMULATED – never for a patient") == 2  # noqa: RUF001


def test_what_was_scanned_cannot_act_in_the_page(record: Record) -> None:
    write(record, "BatchOpened", {"recipe_id": "<script>alert(1)</script>"})
    write(record, "CommentAdded", {"text": '"><img src=x onerror=alert(1)>', "<b>": "\u202egnp.exe"})
    page = report_of(record, BATCH)
    reader = read(page)
    assert "script" not in reader.tags and "img" not in reader.tags and "b" not in reader.tags
    assert "\u202e" not in page.decode()
    assert b"default-src 'none'" in page


def test_the_same_record_gives_the_same_bytes(batch_record: Record, tmp_path: Path) -> None:
    with new_record(tmp_path / "again") as again:
        run_batch(again)
        assert report_of(again, BATCH) == report_of(batch_record, BATCH)


def test_times_stand_in_utc_and_in_the_zone_of_the_site(batch_record: Record) -> None:
    page = report_of(batch_record, BATCH).decode()
    assert "2026-11-21 07:30:02 UTC" in page
    assert "2026-11-21 07:30:02 UTC · 08:30:02 CET (UTC+01:00)" in page


def test_a_time_zone_nobody_knows_leaves_utc_alone(record: Record) -> None:
    write(record, "BatchOpened", {"time_zone": "../../etc/passwd"})
    assert b"2026-11-21 07:30:01 UTC" in report_of(record, BATCH)


def test_a_signature_shows_name_meaning_what_and_code(batch_record: Record) -> None:
    text = read(report_of(batch_record, BATCH)).text
    signatures = section(text, "Signatures", "Phases")
    for word in ("Ada", "p-0001", "performed", "thaw", "certified"):
        assert word in signatures


@pytest.mark.requirement("R-45")
def test_pictures_stand_scaled_down_with_their_hash_and_what_is_no_picture_is_named(record: Record) -> None:
    write(record, "BatchOpened", {})
    whole = picture_png(size=(3000, 1500))
    names = [record.put_blob(whole, "image/png"), record.put_blob(PNG, "image/png")]
    names += [record.put_blob(b"<svg onload=alert(1)>", "image/svg+xml")]
    for reference in names:
        write(record, "ScanRead", {"picture": reference.sha256})
    page = report_of(record, BATCH).decode()
    shown = re.findall(r'width="([0-9]+)" height="([0-9]+)"[^>]* src="data:image/jpeg;base64,', page)
    assert shown == [("1000", "500")]
    assert all(f'href="blobs/{one.sha256}"' in page and page.count(one.sha256) == 2 for one in names)
    assert "the file cannot be read as a picture" in page
    assert "the file is no picture (image/svg+xml)" in page and "<svg onload" not in page


def test_a_picture_that_is_gone_is_named_and_the_page_still_made(record: Record) -> None:
    write(record, "BatchOpened", {})
    reference = record.put_blob(PNG, "image/png")
    write(record, "ScanRead", {"picture": reference.sha256})
    (record.blobs_folder / reference.sha256[:2] / reference.sha256).unlink()
    page = report_of(record, BATCH).decode()
    assert f'href="blobs/{reference.sha256}"' in page
    assert "the file is missing or was changed" in page


def test_counts_and_results_never_stand_without_their_interval(record: Record) -> None:
    write(record, "BatchOpened", {})
    write(
        record,
        "CellCountReported",
        {
            "replicate": 1,
            "verdict": "repeat",
            "reasons": ["too_few"],
            "viability_percent": "91.2",
            "viability_interval_percent": ["88.0", "93.9"],
            "concentration_cells_ml": "1200000",
            "concentration_interval_cells_ml": ["1100000", "1300000"],
        },
    )
    write(record, "ResultReceived", {"test": "viability", "value": "91.2", "verdict": "fail", "interval": []})
    text = read(report_of(record, BATCH)).text
    assert "91.2 % 95 % interval 88.0 to 93.9" in text
    assert "1200000 cells/mL 95 % interval 1100000 to 1300000" in text
    exceptions = section(text, "Exceptions", "Corrections")
    assert "verdict repeat: too_few" in exceptions and "viability 91.2, limit -: fail" in exceptions


def test_events_of_another_batch_are_left_out_and_those_of_the_unit_stay(record: Record) -> None:
    write(record, "CommentAdded", {"text": "before it all"}, batch=None)
    write(record, "BatchOpened", {})
    write(record, "RecoveredFromCrash", {"term": 2}, batch=None)
    write(record, "CommentAdded", {"text": "of another patient"}, batch="batch-0002")
    write(record, "HandedOver", {})
    write(record, "CommentAdded", {"text": "after it all"}, batch=None)
    page = report_of(record, BATCH).decode()
    assert "RecoveredFromCrash" in page
    assert "another patient" not in page and "before it all" not in page and "after it all" not in page


@pytest.mark.requirement("R-04", "R-09", "F-055")
def test_what_followed_from_a_corrected_entry_is_struck_through_and_what_came_after_is_not(
    record: Record,
) -> None:
    write(record, "BatchOpened", {})
    entry = write(
        record, "InstructionConfirmed", {"phase": "wash", "key": "result", "values": {"gram": "seen"}}
    )
    write(record, "ResultReceived", {"phase": "wash", "test": "gram", "value": "seen", "verdict": "fail"})
    write(record, "ValueRecorded", {"phase": "wash", "key": "volume", "value": "33.0", "quality": "good"})
    write(record, "ValueRecorded", {"phase": "fill", "key": "gram", "value": "seen", "quality": "good"})
    correction = {"phase": "wash", "key": "result", "corrected_seq": entry.seq, "reason": "Typed wrongly"}
    who = {"person": "p-0001", "name": "Ada"}
    write(record, "ValueCorrected", correction | who | {"field": "gram", "old": "seen", "new": "none_seen"})
    write(
        record, "ResultReceived", {"phase": "wash", "test": "gram", "value": "none_seen", "verdict": "pass"}
    )

    page = report_of(record, BATCH).decode()

    assert re.findall("<td><s>([^<]*)</s><strong> ([^<]*)</strong> [(]Typed wrongly; Ada", page) == [
        ("seen", "none_seen")
    ]
    assert "<strong>33.0</strong>" in page and "<strong>none_seen</strong>" in page
    struck = re.findall(r'<tr id="e([0-9]+)" class="struck">', page)
    assert struck == [str(entry.seq), str(entry.seq + 1)]


def test_what_central_calls_an_exception_is_one_in_the_report() -> None:
    known = list(central._ALWAYS)
    assert len(known) > 20
    assert not [kind for kind in known if report_exceptions._by_kind(kind, {}) is None]


def test_an_untrusted_clock_is_an_exception(record: Record) -> None:
    write(record, "BatchOpened", {})
    record.append("CommentAdded", encode_payload(BATCH, None, {}), actor="p-1", stamp=stamp(5, quality=0))
    text = read(report_of(record, BATCH)).text
    assert "the time is not trusted" in section(text, "Exceptions", "Corrections")


def test_a_batch_that_was_never_opened_has_no_report(record: Record) -> None:
    with pytest.raises(RecordRefused, match="no batch"):
        report_of(record, BATCH)


@settings(derandomize=True, deadline=None)
@given(st.text())
def test_no_text_leaves_its_place(text: str) -> None:
    safe = report_html.text(text)
    assert not re.search(r"[<>\"']", safe)


def test_words_of_names() -> None:
    assert words_of("CellCountReported") == "Cell count reported"
    assert words_of("volume_ml") == "volume ml"


@pytest.mark.requirement("T20")
@pytest.mark.parametrize(
    "order", ['{"unit": "unit-0001", "assignment": "2", "consent": "C-7"}', "[]", "not JSON"]
)
def test_the_head_says_for_which_unit_the_order_was_and_on_which_consent(tmp_path: Path, order: str) -> None:
    record = new_record(tmp_path / "record")
    write(record, "BatchOpened", {"order_id": "ORD-7", "order_text": order})
    write(record, "BatchCompleted", {})
    record.seal(stamp(9))

    text = read(report_of(record, BATCH)).text

    assert "ORD-7" in text
    assert ("unit unit-0001, assignment 2" in text) is order.startswith("{")
    record.close()
