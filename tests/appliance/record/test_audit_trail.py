"""The audit trail as one uses it: what is asked for is found, in words, in order, and nothing besides."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.domain import events as ev
from appliance.record.audit import COLUMNS, ONLY, Filter, in_order, is_of, moment, row_of, trail, write_csv
from appliance.record.audit_command import list_trail
from appliance.record.audit_words import SENTENCES, sentence
from appliance.record.canonical import NewRecord, Stamp, encode_payload
from appliance.record.log import Record
from appliance.record.report.text import Times

START = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)
BATCH = "UNIT-1-00001"
BERLIN = Times("Europe/Berlin")

STORY: list[tuple[str, ev.Event]] = [
    ("p-1", ev.SessionOpened(person="p-1", name="Ada Demo", station="bed")),
    ("p-1", ev.PhaseStarted(phase="clear")),
    ("p-1", ev.InstructionConfirmed(phase="clear", key="clear", words="Line is clear")),
    (
        "unit",
        ev.ValueRecorded(
            phase="thaw", key="core", value="-1.0", unit="degC", quality="bad", source="t", source_at=""
        ),
    ),
    (
        "p-1",
        ev.ValueCorrected(
            phase="thaw", key="volume", field="volume", old="50.0", new="51.0", unit="mL",
            reason="Read the display wrongly", corrected_seq=4, person="p-1", name="Ada Demo",
        ),
    ),
    ("unit", ev.SignInRefused(person="p-2", station="bed", reason="wrong_secret", failures=1, locked=False)),
    (
        "p-2",
        ev.SignatureGiven(
            phase="seal", key="performed", person="p-2", name="Ben Demo", meaning="performed",
            signs="ab", what="The whole record", at="", content="",
        ),
    ),
    ("unit", ev.ClockAdjusted(difference_s=7, followed=False)),
    ("p-1", ev.CommentAdded(text="=HYPERLINK(1)")),
    ("p-3", ev.BatchAborted(reason="The ward called it off")),
]  # fmt: skip


def written(record: Record, number: int, actor: str, event: ev.Event) -> None:
    kind = type(event).__name__
    at = Stamp(START + timedelta(hours=number), number + 1, bytes(16), 2)
    batch = None if kind in ev.UNIT_KINDS else BATCH
    record.append(kind, encode_payload(batch, None, ev.to_body(event)), actor=actor, stamp=at)


def made(folder: Path) -> Record:
    return Record.create(
        folder,
        unit_id="UNIT-1",
        key=Ed25519PrivateKey.generate(),
        software_version="0.1.0",
        simulated=True,
        stamp=Stamp(START - timedelta(hours=1), 1, bytes(16), 2),
    )


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    with made(tmp_path / "record") as record:
        for number, (actor, event) in enumerate(STORY):
            written(record, number, actor, event)
        yield record


def kinds(record: Record, **wanted: object) -> list[str]:
    return [row.kind for row in trail(record.read(), Filter(**wanted))]  # type: ignore[arg-type]


@pytest.mark.requirement("R-11")
def test_each_filter_finds_what_it_names_and_nothing_else(record: Record) -> None:
    assert kinds(record, who="p-3") == ["BatchAborted"]
    assert kinds(record, who="Ben Demo") == ["SignatureGiven"]
    assert kinds(record, kind="signin") == ["SignInRefused"]
    assert kinds(record, what="HYPER") == ["CommentAdded"]
    assert kinds(record, what="display wrongly") == ["ValueCorrected"]
    assert kinds(record, begin=START + timedelta(hours=8), end=START + timedelta(hours=9)) == ["CommentAdded"]
    assert kinds(record, batch="UNIT-1-00002") == []
    assert "SessionOpened" not in kinds(record, batch=BATCH)
    assert len(kinds(record)) == len(STORY) + 1  # and the genesis


@pytest.mark.requirement("R-11")
@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("refusals", ["SignInRefused"]),
        ("signatures", ["SignatureGiven"]),
        ("access", ["SessionOpened", "SignInRefused"]),
        ("time", ["ClockAdjusted"]),
        ("changes", ["ValueCorrected", "ClockAdjusted", "BatchAborted"]),
    ],
)
def test_a_group_of_events_is_one_choice(record: Record, only: str, expected: list[str]) -> None:
    assert kinds(record, only=only) == expected


def test_exceptions_are_those_of_the_report(record: Record) -> None:
    found = kinds(record, only="exceptions")
    assert {"ValueRecorded", "ValueCorrected", "SignInRefused", "BatchAborted", "CommentAdded"} <= set(found)
    assert not {"PhaseStarted", "InstructionConfirmed", "SessionOpened"} & set(found)


@pytest.mark.requirement("R-07", "R-11")
def test_a_change_says_who_when_old_new_and_why(record: Record) -> None:
    (row,) = trail(record.read(), Filter(kind="ValueCorrected"))

    assert (row.who, row.old, row.new, row.why) == ("p-1", "50.0 mL", "51.0 mL", "Read the display wrongly")
    facts = row.facts(BERLIN)
    assert facts["utc"] == "2026-03-29T02:00:00+00:00"
    assert facts["local"] == "2026-03-29 04:00:00 CEST (UTC+02:00)"  # after the change to summer time
    assert "event 4" in row.what


def test_rows_come_by_person_or_kind_and_backwards_with_the_records_order_among_equals(
    record: Record,
) -> None:
    def order(sort: str, reverse: bool) -> list[tuple[str, str, int]]:
        rows = in_order(record.read, Filter(), sort, reverse=reverse)
        return [(row.who, row.kind, row.seq) for row in rows]

    forward = order("time", False)
    assert [seq for _, _, seq in forward] == list(range(1, len(STORY) + 2))
    assert order("time", True) == forward[::-1]
    assert order("who", False) == sorted(forward, key=lambda row: row[0])
    assert order("kind", False) == sorted(forward, key=lambda row: row[1])
    assert [who for who, _, _ in order("who", True)] == sorted((who for who, _, _ in forward), reverse=True)


@pytest.mark.requirement("R-11")
def test_csv_holds_every_row_and_no_cell_that_a_spreadsheet_would_run(record: Record) -> None:
    out = io.StringIO()
    count = write_csv(trail(record.read(), Filter()), out, BERLIN)

    rows = list(csv.reader(io.StringIO(out.getvalue())))
    assert (tuple(rows[0]), len(rows) - 1) == (COLUMNS, count)
    assert count == len(STORY) + 1
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@")]
    assert any("=HYPERLINK(1)" in cell for row in rows for cell in row)


def test_every_sentence_is_of_a_kind_that_there_is_and_says_what_is_missing_with_a_dash() -> None:
    assert set(SENTENCES) - set(ev.KINDS) - {"Genesis"} == set()
    for kind in {*SENTENCES, *ev.KINDS}:
        assert "{" not in sentence(kind, {}), kind
        assert sentence(kind, {}).strip("- "), kind
    assert sentence("SomethingOfLater", {"volume_ml": "3.0"}) == "Something of later: volume ml: 3.0"


def test_every_kind_of_event_with_refusal_or_signature_in_its_name_falls_into_that_group() -> None:
    assert all(is_of("refusals", kind) for kind in ev.KINDS if "Refused" in kind)
    assert all(is_of("signatures", kind) for kind in ev.KINDS if kind.startswith("Signature"))
    assert not is_of("time", "TimerElapsed")
    assert is_of("time", "EngineStarted") and is_of("time", "TimeConfirmed")
    assert all(is_of("access", kind) for kind in ev.KINDS if kind.startswith(("Account", "Badge", "Session")))


def test_the_command_shows_text_json_and_csv_of_a_folder_and_refuses_what_is_none(
    record: Record, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = str(record.folder)
    assert list_trail([folder, "--only", "changes", "--time-zone", "Europe/Berlin"]) == 0
    said = capsys.readouterr().out
    assert "50.0 mL → 51.0 mL" in said
    assert "Why: Read the display wrongly" in said
    assert "CEST" in said

    assert list_trail([folder, "--json", "--limit", "2", "--reverse"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["BatchAborted", "CommentAdded"]

    assert list_trail([folder, "--csv", str(tmp_path / "trail.csv")]) == 0
    assert len((tmp_path / "trail.csv").read_text().splitlines()) == len(STORY) + 2
    assert list_trail([str(tmp_path / "nothing"), "--home", str(tmp_path / "nowhere")]) == 2
    for wrong in (["--from", "yesterday"], ["--only", "nonsense"], ["--limit", "-1"], ["--lim", "1"]):
        with pytest.raises(SystemExit) as left:
            list_trail([folder, *wrong])
        assert left.value.code == 2


def test_a_moment_without_a_zone_is_utc() -> None:
    assert moment("2026-11-21") == datetime(2026, 11, 21, tzinfo=UTC)
    assert moment("2026-11-21T08:00+01:00") == datetime(2026, 11, 21, 7, tzinfo=UTC)


@pytest.mark.requirement("R-11")
def test_a_long_trail_is_read_in_bounded_memory(tmp_path: Path) -> None:
    at = Stamp(START, 2, bytes(16), 2)
    payload = encode_payload(BATCH, None, {"text": "x" * 400})
    many = [NewRecord(kind="CommentAdded", payload=payload, actor="p-1", stamp=at) for _ in range(2000)]
    with made(tmp_path) as record:
        for _ in range(4):
            record.append_many(many)
        tracemalloc.start()
        count = sum(1 for _ in in_order(record.read, Filter(kind="Comment"), "time", reverse=False))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert count == 8_000
    assert peak < 3_000_000, "8,000 events of 700 bytes are 6 MB"


@pytest.mark.parametrize("only", ONLY)
def test_every_choice_of_the_command_is_a_filter_of_the_trail(only: str) -> None:
    assert Filter(only=only).raw()(b"\x00" * 300) in (True, False)


def test_an_untrusted_clock_is_said_in_the_row(tmp_path: Path) -> None:
    with made(tmp_path) as record:
        stamp = Stamp(START, 5, bytes(16), 0)
        record.append("CommentAdded", encode_payload(BATCH, None, {"text": "x"}), actor="p-1", stamp=stamp)
        rows = [row_of(stored) for stored in record.read(2)]

    assert [row.clock for row in rows] == ["untrusted"]
