"""A count on the real engine with the real counting program: qualified, kept, counted again."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from engine_room import ADA, BEN, CLEO, RECIPE, Room, bag_texts, make_room, told
from test_engine_devices import MIA, with_pump

from appliance.access.documents import add_signature, dump, sign
from appliance.access.keys import load_key
from appliance.demo.site import Site, fill_microscope, write_dilution_series
from appliance.domain import events as ev
from appliance.domain.blob_names import named_blobs
from appliance.record.command import report
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.recount_command import Archived, Recounted, archived_in, counted_by, counts_in, recount

# The counting program may have to compile its kernels first.
pytestmark = pytest.mark.timeout(300)
PICTURES = 26  # of each replicate: some hundred cells
COUNTING = """
[phase.count]
title = "Count the cells"
type = "count_cells"
operation = "all"
after = ["bag"]
instruction = { load = "Fill the chamber." }
text = { method = "trypan-blue", rule = "point" }
parameter = { replicates = "2 count" }
[phase.count.limit]
cells_per_replicate = { action = ">= 1 cells", on_action = "deviation" }
replicate_cv = { action = "<= 100 %", on_action = "deviation" }
viability = { action = ">= 1 %", on_action = "deviation" }
"""


@dataclasses.dataclass
class Told:
    """What a whole story left behind."""

    room: Room
    refused_first: str
    refused_garbled: str
    typed: subprocess.CompletedProcess[str]
    counts: list[ev.CellCountReported]
    files: dict[str, bytes]
    again: list[Recounted]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Refused without a qualification; two persons put one on record; counted and accepted; sealed."""
    folder = tmp_path_factory.mktemp("count")
    room = with_pump(folder, "")
    room.home.unit_toml.write_text(room.home.unit_toml.read_text().split("[[device]]")[0], encoding="utf-8")
    text = RECIPE.replace('after = ["bag"]', 'after = ["count"]') + COUNTING
    envelope = sign("recipe", text.encode(), room.keys["developer"], "recipe_developer")
    dump(add_signature(envelope, room.keys["reviewer"], "qa_reviewer"), room.home.recipes / "short.json")
    _under_the_microscope(folder)
    series = folder / "series.csv"
    write_dilution_series(series)
    kept: list[Told] = []
    told(room, lambda: _whole(room, series, kept))
    return kept[0]


def _under_the_microscope(folder: Path) -> None:
    fill_microscope(Site(folder), seed=1)
    microscope = folder / "unit" / "sources" / "microscope"
    for replicate in microscope.iterdir():
        for picture in sorted(replicate.iterdir())[PICTURES:]:
            picture.unlink()


async def _whole(room: Room, series: Path, kept: list[Told]) -> None:
    engine = room.engine
    await engine.vision.start()
    try:
        async with asyncio.timeout(90):
            while not engine.vision.ready:
                await asyncio.sleep(0.05)
        await room.signs_in(ADA)
        refused = await room.refused("open_batch", {"order": "ORD-1"})
        body = {
            "method": "trypan-blue",
            "file": series.name,
            "design": base64.b64encode(zlib.compress(series.read_bytes())).decode(),
            "performed_on": "2026-02-20",
            "qualified_until": "2027-02-20",
            "reason": "First qualification",
        }
        await room.signs_in(MIA)
        garbled = await room.refused("qualify_count", body | {"design": "AAAA"}, CLEO.by_pin)
        await room.done("sign_out")
        typed = await _typed(room, series)
        await _counted(room)
        record = engine.record
        counts = [one for one in room.events(ev.CellCountReported) if isinstance(one, ev.CellCountReported)]
        names = [
            name
            for one in room.events(ev.CountMethodQualified, ev.CellCountReported)
            for name in named_blobs(ev.to_body(one))
        ]
        files = {name: record.blob(name) for name in names}
        again = await counted_by(engine.vision, _with_two_more(counts_in(record, "UNIT-1-00001")))
        kept.append(Told(room, refused.words, garbled.words, typed, counts, files, again))
    finally:
        await engine.vision.close()


def _with_two_more(archived: Archived) -> Archived:
    """The first count once more with another answer, and once more by another version."""
    _, first = archived.counts[0]
    forged = dataclasses.replace(first, live=first.live + 1, overlay="00" * 32)
    older = dataclasses.replace(first, method=first.method | {"version": "0.0.1", "hash": "ab" * 32})
    archived.counts += [(901, forged), (902, older)]
    return archived


async def _typed(room: Room, series: Path) -> subprocess.CompletedProcess[str]:
    """The command as two persons type it at the unit."""
    words = ["qualify-count", str(series), "--performed-on", "2026-02-20", "--reason", "First qualification"]
    people = ["--by", MIA.id, "--second", CLEO.id, "--pin-stdin", "--home", str(room.home.root)]
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "appliance.cli", "unit", *words, *people],
        input=f"{MIA.pin}\n{CLEO.pin}\n",
        capture_output=True,
        text=True,
        check=False,
    )


async def _counted(room: Room) -> None:
    await room.begins_batch()
    for prompt, proof in (("clear/clear", None), ("clear/clear.verify", BEN.by_pin), ("bag/retrieve", None)):
        await room.answers(prompt, proof)
    await room.shows("bag", "bag", bag_texts())
    await room.answers("bag/identity")
    await room.answers("bag/identity.verify", BEN.by_pin)
    await room.answers("count/load")
    async with asyncio.timeout(60):
        while room.code_shown("count/accept") == "":
            await asyncio.sleep(0.05)
    body = {"prompt": "count/accept", "values": {"decision": "accept"}}
    await room.done("answer", body, ADA.by_password)
    await room.answers("seal/performed", ADA.by_password)
    await room.answers("seal/verified", BEN.by_password)
    await room.until(lambda: room.batch.sealed is not None)


# ── Qualified ──────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-039", "T30")
def test_no_batch_opens_before_the_counting_method_is_qualified(story: Told) -> None:
    assert "trypan-blue is not qualified on this unit" in story.refused_first


@pytest.mark.requirement("F-039", "R-07")
def test_two_persons_put_the_series_its_figures_and_its_page_on_record(story: Told) -> None:
    (said,) = story.room.events(ev.CountMethodQualified)
    assert isinstance(said, ev.CountMethodQualified)

    assert story.typed.returncode == 0, story.typed.stderr
    assert "trypan-blue · FICTITIOUS: PASS" in story.typed.stderr, "both saw the figures first"
    assert said.verdict == "pass"
    assert said.qualified_until == "2027-02-20"
    assert (said.first_person, said.second_person) == (MIA.id, CLEO.id)
    assert said.hash == story.counts[0].method["hash"]
    assert said.station == {"um_per_px": "0.6", "field_depth_um": "100"}
    assert story.files[said.design_blob].startswith(b"counting_method,")
    page = story.files[said.report_blob].decode()
    assert "FICTITIOUS: made up for demonstration" in page
    assert "Mia Demo" in page
    assert said.hash in page
    assert page.count("<svg") == 3
    assert float(said.figures["r2"]) > 0.99


def test_a_file_that_did_not_come_whole_is_refused(story: Told) -> None:
    assert "did not come whole" in story.refused_garbled


# ── Kept ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-042", "R-45")
def test_pictures_marks_and_cells_of_each_count_are_in_the_record(story: Told) -> None:
    first, second, pooled = story.counts

    assert [one.replicate for one in story.counts] == [1, 2, 0]
    assert len(first.images) == len(second.images) == PICTURES
    for count in story.counts:
        assert story.files[count.overlay].startswith(b"\x89PNG")
        table = story.files[count.cells_blob].decode()
        assert table.count("\n") > count.live + count.dead
    assert pooled.live + pooled.dead == first.live + first.dead + second.live + second.dead


def test_nothing_of_a_count_is_left_lying_beside_the_record(story: Told) -> None:
    left = [path for path in (story.room.home.run / "counts").rglob("*") if path.is_file()]

    assert left == []


# ── Counted again ──────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-042")
def test_the_archived_pictures_counted_again_give_the_identical_result(story: Told) -> None:
    assert [(one.replicate, one.differences, one.why) for one in story.again[:3]] == [
        (1, (), ""),
        (2, (), ""),
        (0, (), ""),
    ]


@pytest.mark.requirement("F-042")
def test_another_answer_is_listed_and_another_version_is_named(story: Told) -> None:
    *_, differs, other = story.again
    live = story.counts[0].live

    assert f"live is {live}, on record {live + 1}." in differs.differences
    assert any(words.startswith("overlay is") for words in differs.differences)
    assert len(differs.differences) == 2
    assert "with the software that has version 0.0.1" in other.why


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (Recounted(48, 1), 0, "Event 48, replicate 1: identical."),
        (Recounted(51, 0, ("live is 3, on record 4.",)), 1, "pooled: DIFFERS. live is 3, on record 4."),
        (Recounted(48, 2, why="Another version."), 2, "replicate 2: NOT COUNTED. Another version."),
    ],
)
def test_the_command_says_it_in_words_and_by_its_exit(
    story: Told, monkeypatch, capsys, found: Recounted, code: int, words: str
) -> None:
    async def counted(_: Archived) -> list[Recounted]:
        return [found]

    monkeypatch.setattr("appliance.recount_command.count_again", counted)

    assert recount(["UNIT-1-00001", "--home", str(story.room.home.root)]) == code
    assert words in capsys.readouterr().out


@pytest.mark.requirement("F-042", "R-03")
def test_an_archive_holds_all_that_is_needed_to_count_again(story: Told, tmp_path: Path) -> None:
    with Record.open_readonly(story.room.home.record) as record:
        path = export_batch(
            record,
            "UNIT-1-00001",
            tmp_path / "batch.zip",
            report_html=b"<!doctype html>",
            key=load_key(story.room.home.unit_key),
        )

    archived = archived_in(path)

    assert [count for _, count in archived.counts] == story.counts
    assert archived.simulated
    names = [name for _, name in archived.images_of(2)]
    assert names == [*story.counts[0].images, *story.counts[1].images], "the pooled count is of these"
    assert all(archived.load(name) == story.files[name] for name in names)


@pytest.mark.requirement("F-039", "R-45")
def test_the_batch_record_shows_by_what_the_count_was_qualified(story: Told, tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    report(["UNIT-1-00001", "--home", str(story.room.home.root), "--html", str(page)])

    text = page.read_text(encoding="utf-8")
    (said,) = story.room.events(ev.CountMethodQualified)
    assert isinstance(said, ev.CountMethodQualified)
    for words in (
        "FICTITIOUS",
        said.hash,
        said.design_blob,
        "on 2026-02-20, until 2027-02-20: pass",
        "r2 0.99",
    ):
        assert words in text, words


def test_a_batch_without_a_count_says_so(tmp_path: Path, capsys) -> None:
    room = make_room(tmp_path / "unit")

    async def nothing() -> None:
        await room.begins_batch()

    told(room, nothing)

    assert recount(["UNIT-1-00001", "--home", str(room.home.root)]) == 2
    assert "holds no count" in capsys.readouterr().err
