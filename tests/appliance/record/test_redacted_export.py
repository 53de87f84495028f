"""A redacted archive tells no name and no typed word, and is proved whole to the last byte all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from record_bench import BATCH, PNG, UNIT_KEY, new_record, stamp, trust, write

from appliance.domain import events as ev
from appliance.domain.blob_names import blobs_hash, named_blobs
from appliance.domain.redaction import SHOWN, UNKNOWN, WITHHELD, reason_to_withhold
from appliance.record import archive
from appliance.record.audit_command import list_trail
from appliance.record.canonical import canonical_json, split_record
from appliance.record.command import report
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.redact import redacted
from appliance.record.stand_alone_verify import verify as verify_alone
from appliance.record.verify import load_trust
from appliance.record.verify_archive import verify_archive

NAMES = ("Ada Lovelace", "Grace Hopper", "Mrs Smith", "call her son", "Charles Babbage")
ORDER = {"id": "o-7", "patient": "DEMO7F3A", "din": "A999926123456", "staff_note": ""}


def batch_with_names(record: Record, *, note: str = "") -> None:
    """A batch in which names stand wherever the record has room for one."""
    write(record, "EngineStarted", {"term": 1}, batch=None)
    record.seal(stamp(1))
    write(record, "SessionOpened", {"person": "p-0001", "name": NAMES[0], "station": "bed"}, batch=None)
    people = record.put_blob(json.dumps({"people": [NAMES[0], NAMES[1]]}).encode(), "application/json")
    recipe = record.put_blob(b"recipe", "application/json")
    opened = {
        "order_id": "o-7",
        "time_zone": "Europe/Berlin",
        "order_text": json.dumps(ORDER | {"staff_note": note}),
    }
    opened |= {"people_blob": people.sha256, "recipe_blob": recipe.sha256, "recipe_hash": "ab" * 32}
    write(record, "BatchOpened", opened)
    write(record, "PhaseStarted", {"phase": "thaw"})
    shown = record.put_blob(PNG + NAMES[2].encode(), "image/png")
    counted = record.put_blob(PNG + b"cells", "image/png")
    write(record, "ScanRead", {"phase": "thaw", "key": "bag", "texts": [NAMES[2]], "picture": shown.sha256})
    write(record, "BagAccepted", {"phase": "thaw", "din": "A999926123456", "picture": shown.sha256})
    write(record, "CommentAdded", {"text": f"{NAMES[2]}: {NAMES[3]}"})
    write(record, "PhaseHolding", {"phase": "thaw", "reason": "by_person", "words": f"Held by {NAMES[1]}"})
    write(record, "InstructionConfirmed", {"phase": "thaw", "key": "out", "values": {"volume_out": "33.0"}})
    write(record, "InstructionConfirmed", {"phase": "thaw", "key": "seen", "values": {"who": NAMES[4]}})
    write(
        record, "CellCountReported", {"phase": "thaw", "viability_percent": "90.1", "overlay": counted.sha256}
    )
    write(record, "SomethingOfLater", {"phase": "thaw", "by": NAMES[4]})
    sealed = write(record, "PhaseCompleted", {"phase": "thaw"})
    files = {people.sha256, recipe.sha256, shown.sha256, counted.sha256}
    body = {"sealed_seq": sealed.seq, "sealed_hash": sealed.hash.hex(), "recipe_hash": "ab" * 32}
    write(record, "BatchSealed", {**body, "blobs_hash": blobs_hash(files), "blob_count": len(files)})
    write(record, "DispositionRecorded", {"disposition": "released", "name": NAMES[1]})
    record.seal(stamp(98))
    record.append(
        "Chunk", b'{"batch":null,"command":null,"body":{}}', actor="unit", stamp=stamp(), log="telemetry"
    )
    record.seal(stamp(99), log="telemetry")


def exported(tmp_path: Path, *, note: str = "", redact: bool = True) -> Path:
    with new_record(tmp_path / "record") as record:
        batch_with_names(record, note=note)
        page = f"<p>{NAMES[0]}</p>".encode()
        return export_batch(record, BATCH, tmp_path, report_html=page, report_pdf=page, redact=redact)


def entries_of(path: Path) -> dict[str, bytes]:
    return archive.take_apart(path.read_bytes()).entries


def resealed(entries: dict[str, bytes], path: Path, *, key: Any = UNIT_KEY) -> Path:
    """The archive with changed entries and a manifest that lists and signs them anew."""
    import hashlib

    manifest = json.loads(entries[archive.MANIFEST])
    manifest["entries"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in entries.items()
        if name not in archive.NOT_IN_MANIFEST
    }
    changed = dict(entries)
    changed[archive.MANIFEST] = canonical_json(manifest)
    changed[archive.MANIFEST_SIGNATURE] = key.sign(archive.MANIFEST_DOMAIN + changed[archive.MANIFEST])
    path.write_bytes(archive.build(changed))
    return path


def both(path: Path) -> tuple[bool, bool]:
    """Whether it is whole, by the product's verifier and by the one that stands alone."""
    ours, alone = verify_archive(path).as_json(), verify_alone(path.read_bytes())
    for field in ("first_bad", "words", "events", "withheld"):
        assert ours[field] == alone[field], field
    return bool(ours["whole"]), bool(alone["whole"])


@pytest.mark.requirement("F-103", "T33")
def test_no_name_and_no_typed_word_is_left_in_a_redacted_archive(tmp_path: Path) -> None:
    whole, safe = exported(tmp_path / "a", redact=False), exported(tmp_path / "b")

    assert all(name.encode() in whole.read_bytes() for name in NAMES[:4])
    assert [name for name in NAMES if name.encode() in safe.read_bytes()] == []
    assert safe.name == f"{BATCH}-redacted.zip"
    assert "report.pdf" not in entries_of(safe)


@pytest.mark.requirement("F-103", "R-02", "R-03")
def test_both_verifiers_prove_what_is_withheld_and_name_how_much(tmp_path: Path) -> None:
    path = exported(tmp_path)
    trusted = tmp_path / "trust.json"
    trusted.write_text(json.dumps(trust()), encoding="utf-8")

    verdict = verify_archive(path, load_trust(trusted))
    alone = verify_alone(path.read_bytes(), trust())

    rows = json.loads(entries_of(path)["withheld.json"])
    assert (verdict.good, alone["whole"], alone["trusted"]) == (True, True, True)
    assert verdict.withheld == (len(rows["records"]), len(rows["files"])) == (7, 3)
    assert alone["withheld"] == {"records": 7, "files": 3} == verdict.as_json()["withheld"]
    for words in (verdict.words, str(alone["words"])):
        assert "7 records and 3 files withheld, named in withheld.json with reasons" in words
    assert [row["kind"] for row in rows["records"]] == [
        "SessionOpened", "ScanRead", "CommentAdded", "PhaseHolding", "InstructionConfirmed",
        "SomethingOfLater", "DispositionRecorded",
    ]  # fmt: skip
    assert all(row["reason"] for row in rows["records"] + rows["files"])


@pytest.mark.requirement("F-103")
def test_a_note_on_the_order_withholds_the_opening_and_the_rest_is_proved(tmp_path: Path) -> None:
    path = exported(tmp_path, note=f"{NAMES[2]}, {NAMES[3]}")

    kinds = [row["kind"] for row in json.loads(entries_of(path)["withheld.json"])["records"]]
    assert "BatchOpened" in kinds
    assert both(path) == (True, True)
    assert not [name for name in NAMES if name.encode() in path.read_bytes()]


def test_what_remains_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = exported(tmp_path)
    page = entries_of(path)["report.html"].decode()

    assert "Withheld: it names a member of staff." in page
    assert "7 of 14 records" in page
    assert "90.1 %" in page
    assert "SIMULATED" in page
    assert list_trail([str(path), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "CellCountReported" in [row["kind"] for row in rows]
    assert len(rows) == 7
    assert report([str(path), "--out", str(tmp_path / "page.html")]) == 2
    assert "its own report.html" in capsys.readouterr().err


SPOILT: dict[str, Any] = {
    "another leaf": lambda one: one["records"][1].update(leaf="00" * 32),
    "another place": lambda one: one["records"][1].update(seq=one["records"][1]["seq"] + 1),
    "a row left out": lambda one: one["records"].pop(2),
    "a row too many": lambda one: one["records"].append({**one["records"][-1], "seq": 99}),
    "another file of the batch": lambda one: one["records"][1].update(files=["11" * 32]),
    "a file that nobody withheld": lambda one: one["files"].pop(0),
    "no reason": lambda one: one["records"][0].update(reason=""),
    "a field more": lambda one: one["records"][0].update(note="x"),
    "another version": lambda one: one.update(v=2),
    "a leaf that is none": lambda one: one["records"][0].update(leaf="AB" * 32),
}


@pytest.mark.requirement("F-103", "R-02")
@pytest.mark.parametrize("what", SPOILT)
def test_a_list_that_says_otherwise_is_found_by_both_even_when_the_unit_signed_it(
    tmp_path: Path, what: str
) -> None:
    entries = entries_of(exported(tmp_path))
    withheld = json.loads(entries["withheld.json"])
    SPOILT[what](withheld)
    entries["withheld.json"] = canonical_json(withheld) + b"\n"

    path = resealed(entries, tmp_path / "spoilt.zip")

    assert both(path) == (False, False)


@pytest.mark.requirement("F-103", "R-02")
@pytest.mark.parametrize(
    "what", ["hash", "shown record emptied", "withheld file put back changed", "no list"]
)
def test_nothing_can_be_withheld_or_slipped_in_without_being_found(tmp_path: Path, what: str) -> None:
    entries = entries_of(exported(tmp_path))
    frames = archive.unframe(entries["records/gxp.bin"])
    match what:
        case "hash":
            at = frames.index(b"") * 32
            hashes = bytearray(entries["records/gxp.hashes"])
            hashes[at] ^= 1
            entries["records/gxp.hashes"] = bytes(hashes)
        case "shown record emptied":
            shown = next(number for number, data in enumerate(frames) if data and number > 1)
            entries["records/gxp.bin"] = archive.frame([*frames[:shown], b"", *frames[shown + 1 :]])
        case "withheld file put back changed":
            name = json.loads(entries["withheld.json"])["files"][0]["sha256"]
            entries[f"blobs/{name}"] = b"another picture"
        case _:
            del entries["withheld.json"]

    assert both(resealed(entries, tmp_path / "spoilt.zip")) == (False, False)


@pytest.mark.requirement("R-02")
def test_every_byte_of_a_redacted_archive_counts(tmp_path: Path) -> None:
    raw = exported(tmp_path).read_bytes()
    entries = archive.take_apart(raw).entries
    begin = raw.index(entries["withheld.json"])
    places = range(begin, begin + len(entries["withheld.json"]), 37)
    spoilt = tmp_path / "spoilt.zip"
    for place in places:
        spoilt.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        assert both(spoilt) == (False, False), place


def test_a_whole_archive_withholds_nothing_and_says_so(tmp_path: Path) -> None:
    verdict = verify_archive(exported(tmp_path, redact=False))

    assert verdict.whole
    assert verdict.withheld == (0, 0)
    assert "withheld" not in verdict.words


def test_to_redact_twice_changes_nothing(tmp_path: Path) -> None:
    entries = entries_of(exported(tmp_path, redact=False))
    kept = {name: data for name, data in entries.items() if name not in archive.NOT_IN_MANIFEST}

    assert redacted(dict(kept), BATCH) == redacted(dict(kept), BATCH)


@pytest.mark.requirement("F-103")
def test_an_event_kind_that_nobody_judged_is_withheld() -> None:
    assert reason_to_withhold("SomethingOfLater", {}) == UNKNOWN
    assert not set(WITHHELD) & SHOWN
    assert set(WITHHELD) | SHOWN <= {*ev.KINDS, "Genesis"}
    free = {"name", "text", "reason", "words", "content"}
    telling = {kind: free & set(ev.KINDS[kind].__dataclass_fields__) for kind in SHOWN & set(ev.KINDS)}
    named = {kind: fields for kind, fields in telling.items() if fields & {"name", "text", "content"}}
    # The one name here is of an order to a device, such as "infuse".
    assert set(named) == {"DeviceOrdered"}


@pytest.mark.requirement("F-103")
def test_for_people_outside_an_export_is_redacted_without_being_asked(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    pem = UNIT_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (home / "keys" / "unit.key").write_bytes(pem)
    with new_record(home / "record") as record:
        batch_with_names(record)

    def export(*words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "appliance.cli", "export", BATCH, "--home", str(home), "--json"]
        done = subprocess.run(
            [*command, "--out", str(tmp_path), *words], capture_output=True, text=True, timeout=60, check=True
        )
        return dict(json.loads(done.stdout))

    whole, outside, asked = export(), export("--for", "outside"), export("--redacted")

    assert "withheld.json" not in entries_of(Path(whole["archive"]))
    assert "withheld.json" in entries_of(Path(outside["archive"]))
    assert outside["archive"] == asked["archive"]
    alone = [sys.executable, "-I", "-"]
    checked = subprocess.run(
        [*alone, outside["archive"]],
        input=entries_of(Path(outside["archive"]))["verify.py"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, b"withheld" in checked.stdout) == (0, True), checked.stderr


def test_what_a_withheld_record_could_still_be_guessed_by_is_documented() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "qa-guide.md").read_text(encoding="utf-8")
    assert "Do not call it\nanonymous" in guide


def test_the_story_of_this_page_names_files_in_every_way(tmp_path: Path) -> None:
    entries = entries_of(exported(tmp_path, redact=False))
    bodies = [json.loads(data[208:])["body"] for data in archive.unframe(entries["records/gxp.bin"])]
    kinds = {split_record(data)[0].kind for data in archive.unframe(entries["records/gxp.bin"])}

    assert len({name for body in bodies for name in named_blobs(body)}) == 4
    assert {"ScanRead", "BagAccepted", "BatchOpened", "CellCountReported"} <= kinds
