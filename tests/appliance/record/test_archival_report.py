"""The printed batch record: archival, complete, the same bytes anywhere, and nothing in it acts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pikepdf
import pytest
from pdf_text import page_texts, squeezed
from record_bench import BATCH, UNIT_KEY, new_record
from report_bench import BUILD_HASH, ENDLESS, RECIPE_HASH, run_telling_batch

from appliance.record.canonical import HEADER_BYTES, record_hash
from appliance.record.command import report_of
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.report.batch_record import Report, content_of, page, pdf, source_of_archive

REPORT = (sys.executable, "-m", "appliance.cli", "report")


@dataclass(frozen=True)
class Printed:
    """One batch with its report in both forms."""

    folder: Path
    told: dict[str, int]
    report: Report
    html: str
    pdf: bytes
    pages: list[str]

    @property
    def text(self) -> str:
        return "".join(self.pages)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    folder = tmp_path_factory.mktemp("printed") / "record"
    with new_record(folder) as record:
        told = run_telling_batch(record)
        made = report_of(record, BATCH)
    drawn = pdf(made)
    pages = page_texts(drawn.data)
    assert drawn.pages == len(pages)
    return Printed(folder, told, made, page(made).decode(), drawn.data, pages)


def between(printed: Printed, first: str, last: str) -> str:
    """The text of one section on paper."""
    text = printed.text
    begin = text.index(squeezed(first))
    return text[begin : text.index(squeezed(last), begin + 1)]


@pytest.mark.requirement("R-03", "F-061")
def test_the_same_record_gives_the_same_bytes_in_another_folder_process_zone_and_language(
    printed: Printed, tmp_path: Path
) -> None:
    made = []
    for place, zone, language in (("a", "Asia/Tokyo", "C"), ("b b", "America/Lima", "de_DE.UTF-8")):
        folder = tmp_path / place
        folder.mkdir()
        surroundings = {**os.environ, "TZ": zone, "LANG": language, "LC_ALL": language, "TMPDIR": str(folder)}
        subprocess.run(
            [*REPORT, str(printed.folder), "--html", "r.html", "--pdf", "r.pdf"],
            cwd=folder,
            env=surroundings | {"PYTHONPATH": str(Path.cwd())},
            check=True,
            capture_output=True,
        )
        made.append(((folder / "r.html").read_bytes(), (folder / "r.pdf").read_bytes()))
    assert made[0] == made[1] == (printed.html.encode(), printed.pdf)
    assert str(tmp_path).encode() not in printed.pdf


@pytest.mark.requirement("R-03", "F-061")
def test_the_report_in_an_archive_can_be_made_again_from_the_archive(
    printed: Printed, tmp_path: Path
) -> None:
    with Record.open(printed.folder, key=UNIT_KEY) as record:
        # The one file that was lost is put back: an archive is made of whole batches.
        made = report_of(record, BATCH)
        lost = next(name for name, (size, _) in _files(record).items() if not _there(record, name))
        from report_bench import picture_png

        record.put_blob(picture_png("white"), "image/png")
        assert _there(record, lost)
        whole = report_of(record, BATCH)
        path = export_batch(
            record, BATCH, tmp_path, report_html=page(whole), report_pdf=pdf(whole).data, key=UNIT_KEY
        )
        (record.blobs_folder / lost[:2] / lost).unlink()
    again = content_of(source_of_archive(path))
    assert again == whole and again != made
    assert pdf(again).data == pdf(whole).data


def _files(record: Record) -> dict[str, tuple[int, str]]:
    return {one.sha256: (one.size_bytes, one.media_type) for one in record.blob_refs()}


def _there(record: Record, name: str) -> bool:
    return (record.blobs_folder / name[:2] / name).exists()


@pytest.mark.requirement("R-03", "F-061")
def test_the_pdf_is_marked_as_archival_with_all_fonts_inside_and_nothing_that_acts(printed: Printed) -> None:
    with pikepdf.open(BytesIO(printed.pdf)) as opened:
        meta = opened.Root.Metadata.read_bytes().decode()
        assert "<pdfaid:part>3</pdfaid:part>" in meta
        assert "<pdfaid:conformance>B</pdfaid:conformance>" in meta
        assert opened.Root.OutputIntents[0].S == "/GTS_PDFA1"
        assert not opened.is_encrypted
        fonts = [one for one in opened.objects if _is(one, "/FontDescriptor")]
        assert fonts
        assert all("/FontFile2" in font or "/FontFile3" in font for font in fonts)
        assert {str(font.FontName).split("+")[1] for font in fonts} <= {
            "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono",
        }  # fmt: skip
        names = {str(key) for one in opened.objects if isinstance(one, pikepdf.Dictionary) for key in one}
        assert not names & {"/JS", "/JavaScript", "/AA", "/OpenAction", "/Launch"}
        actions = {str(one.S) for one in opened.objects if _is(one, "/Action")}
        assert actions <= {"/GoTo"}


def _is(one: object, kind: str) -> bool:
    return isinstance(one, pikepdf.Dictionary) and one.get("/Type") == kind


@pytest.mark.requirement("R-03", "F-061")
def test_the_attached_record_gives_the_hash_of_every_event(printed: Printed) -> None:
    with pikepdf.open(BytesIO(printed.pdf)) as opened:
        spec = opened.Root.AF[0]
        assert spec.AFRelationship == "/Source"
        raw = spec.EF.F.read_bytes()
    first, *attached = raw.splitlines()
    assert json.loads(first) == {"format": "cellwright-events/1", "unit": "unit-0001", "log": "gxp"}
    with Record.open_readonly(printed.folder) as record:
        stored = list(record.read(2))
        previous = next(record.read(1, 1)).hash
    assert len(attached) == len(stored)
    for line, one in zip(attached, stored, strict=True):
        told = json.loads(line)
        payload = line[line.index(b'"payload":') + len(b'"payload":') : -1]
        assert payload == one.payload
        assert (
            told["hash"] == one.hash.hex() == record_hash(previous, one.data[:HEADER_BYTES] + payload).hex()
        )
        assert (told["seq"], told["kind"], told["actor"]) == (one.seq, one.header.kind, one.header.actor)
        previous = one.hash


@pytest.mark.requirement("R-03", "F-061")
def test_every_event_stands_in_both_forms_also_of_an_unknown_kind(printed: Printed) -> None:
    trail = between(printed, "All events (audit trail)", "Code" + printed.report.code) + printed.pages[-1]
    with Record.open_readonly(printed.folder) as record:
        events = list(record.read(2))
    for stored in events:
        assert f'id="e{stored.seq}"' in printed.html
        assert stored.hash.hex()[:8] in printed.html
        assert stored.hash.hex()[:8] in printed.text, stored.header.kind
        assert stored.header.kind in printed.html and stored.header.kind in printed.text
    assert "moon:waxing·nested:(craters:Tycho)" in printed.text
    assert trail


@pytest.mark.requirement("R-03", "F-061")
def test_every_exception_stands_at_the_beginning_with_a_link_to_its_event(printed: Printed) -> None:
    first = between(printed, "Exceptions", "Corrections")
    for name in ("limit", "hostile", "endless", "unknown", "result", "correction", "void"):
        seq = printed.told[name]
        assert f'<a href="#e{seq}">{seq}</a>' in printed.html
        assert str(seq) in first, name
    assert printed.report.exceptions == 7
    assert "Thisfirst" not in first and "viability65.0%,limit>=70%:fail" in first
    with pikepdf.open(BytesIO(printed.pdf)) as opened:
        targets = [one for one in opened.objects if isinstance(one, pikepdf.Dictionary) and "/Dest" in one]
        annotated = [
            one for one in opened.objects if _is(one, "/Annot") or "/Subtype" in getattr(one, "keys", list)()
        ]
    assert targets or annotated


@pytest.mark.requirement("R-04", "R-09", "F-055")
def test_a_corrected_value_shows_the_first_struck_through_the_new_why_who_and_when(printed: Printed) -> None:
    told = between(printed, "Corrections", "Results")
    for words in ("28 %", "82 %", "Digits swapped", "Ada Demo (p-0001)", "2026-11-21 07:30:09 UTC"):
        assert squeezed(words) in told
    values = between(printed, "Recorded values", "Trends")
    assert squeezed("28 % 82 % (Digits swapped; Ada Demo, event ") in values
    assert "<s>28 %</s>" in printed.html and "<strong> 82 %</strong>" in printed.html
    assert "CHANGEDLATERby" in printed.text and f"ValueCorrected{printed.told['correction']}" in printed.text


@pytest.mark.requirement("R-09", "F-055")
def test_what_was_not_corrected_is_not_struck_through(printed: Printed) -> None:
    assert "<s>36.65 °C</s>" not in printed.html and "<strong>36.65 °C</strong>" in printed.html


@pytest.mark.requirement("R-21", "R-23", "R-24", "F-056", "F-057")
def test_a_signature_shows_name_meaning_utc_local_time_and_whether_it_still_covers(printed: Printed) -> None:
    signed = between(printed, "Signatures", "Phases")
    for words in ("Ada Demo", "p-0001", "performed", "Sign the thaw"):
        assert squeezed(words) in signed
    assert squeezed("2026-11-21 07:30:08 UTC · 08:30:08 CET (UTC+01:00)") in signed
    assert squeezed("2026-11-21 23:30:11 UTC · 2026-11-22 00:30:11 CET (UTC+01:00)") in signed
    assert squeezed("void: no longer signed. The recovery was corrected. Sign again.") in signed
    assert signed.count("yes") == 1
    assert "<s>Ada Demo</s>" in printed.html and "<strong>Ada Demo</strong>" in printed.html


@pytest.mark.requirement("R-01")
def test_the_record_names_the_version_and_the_build_that_made_it(printed: Printed) -> None:
    assert "Cellwright0.1.0" in printed.pages[0]
    assert BUILD_HASH in printed.pages[0] and BUILD_HASH in printed.html
    assert RECIPE_HASH in printed.pages[0]


@pytest.mark.requirement("F-061")
def test_each_page_says_simulated_the_batch_the_code_and_its_number(printed: Printed) -> None:
    count = len(printed.pages)
    for number, told in enumerate(printed.pages, start=1):
        assert told.startswith(f"Batchrecord{BATCH}SIMULATED–neverforapatient")  # noqa: RUF001
        assert told.endswith(f"Code{squeezed(printed.report.code)}page{number}of{count}")
    with Record.open_readonly(printed.folder) as record:
        last = list(record.read())[-1]
    assert squeezed(printed.report.code) == last.hash.hex()[:12]


@pytest.mark.requirement("F-061")
def test_hostile_text_is_printed_and_never_acts(printed: Printed) -> None:
    for words in (
        "<b>bold</b>",
        '#import"@preview/evil:1.0.0"',
        "#panic()",
        "$x^2$",
        "*strong*",
        "`raw`=title",
    ):
        assert words in printed.text
    assert "[U+202E]gnp.exe[U+200B][U+0007][U+1F600][U+05D0][U+05D1]e[U+0301]" in printed.text
    assert "<b>" not in printed.html and "\u202e" not in printed.html and "\x07" not in printed.html
    assert ENDLESS in squeezed(printed.html) and printed.text.count("W") >= len(ENDLESS)


@pytest.mark.requirement("F-061")
def test_no_text_runs_over_the_edge_of_the_paper(printed: Printed) -> None:
    with pikepdf.open(BytesIO(printed.pdf)) as opened:
        for sheet in opened.pages:
            right = float(sheet.mediabox[2])
            for x in re.findall(rb"1 0 0 -?1 (-?[0-9.]+) -?[0-9.]+ Tm", sheet.Contents.read_bytes()):
                assert -1 <= float(x) <= right


@pytest.mark.requirement("R-45", "F-061")
def test_originals_are_named_in_full_and_a_missing_or_broken_picture_is_said(printed: Printed) -> None:
    with Record.open_readonly(printed.folder) as record:
        names = [one.sha256 for one in record.blob_refs()]
    for name in names:
        assert name in printed.text and name in printed.html
    for words in ("the file is missing or was changed", "the file cannot be read as a picture"):
        assert words in printed.html and squeezed(words) in printed.text
    assert printed.html.count("data:image/jpeg;base64,") == 1


@pytest.mark.requirement("F-061", "F-050")
def test_a_gap_in_the_readings_is_a_gap_in_the_line_and_told_in_words(printed: Printed) -> None:
    chart = next(
        block for section in printed.report.sections for block in section.blocks if hasattr(block, "svg")
    )
    assert chart.title == "thawer-1: bath c (°C)"
    line = next(found for found in re.findall(r'<path d="([^"]*)" fill="none"', chart.svg.decode()))
    assert line.count("M") == 2
    told = squeezed("nothing was read once, 1 min 01 s in all: 2026-11-21 07:32:59 to 2026-11-21 07:34:00")
    assert told in printed.text
    assert squeezed("1 readings were not good") in printed.text
    assert squeezed("<heating> (4)") in printed.text


def test_the_command_tells_what_it_wrote(printed: Printed, tmp_path: Path) -> None:
    done = subprocess.run(
        [*REPORT, str(printed.folder), "--pdf", "x.pdf", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        check=True,
        capture_output=True,
        text=True,
    )
    told = json.loads(done.stdout)
    data = (tmp_path / "x.pdf").read_bytes()
    assert told["pdf"] == {
        "path": str(tmp_path / "x.pdf"),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "pages": len(printed.pages),
    }
    assert told["simulated"] is True and told["exceptions"] == 7 and "html" not in told
