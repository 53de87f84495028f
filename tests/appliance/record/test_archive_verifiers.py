"""Two verifiers that share no code say the same about an archive, down to its last byte."""

from __future__ import annotations

import ast
import hashlib
import json
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from record_bench import BATCH, OTHER_KEY, PNG, UNIT_KEY, new_record, run_batch, stamp, trust, write

from appliance.record import archive, stand_alone_verify
from appliance.record.canonical import canonical_json
from appliance.record.checks import Trust
from appliance.record.errors import RecordRefused, RecordUnusable
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.verify import verify_record

CHANGES = 200
CHANGES_BY_PROCESS = 4
REPORT = b"<!doctype html><title>x</title>"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of one batch."""
    folder = tmp_path_factory.mktemp("exported")
    with new_record(folder / "record") as record:
        run_batch(record)
        return export_batch(record, BATCH, folder, report_html=REPORT)


def both(path: Path, raw: bytes, trusted: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """The verdict of both verifiers, which must be the same."""
    path.write_bytes(raw)
    lists = None if trusted is None else Trust({role: frozenset(keys) for role, keys in trusted.items()})
    ours = verify_record(path, lists).as_json()
    alone = stand_alone_verify.verify(raw, trusted)
    for field in ("whole", "trusted", "first_bad", "words", "events", "unit", "simulated"):
        assert ours[field] == alone[field], field
    return ours


def run_alone(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The verifier as a stranger runs it: isolated from this environment."""
    command = [sys.executable, "-I", "-S", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.requirement("F-054", "R-03")
def test_an_untouched_archive_is_whole_and_signed_by_trusted_keys(exported: Path, tmp_path: Path) -> None:
    verdict = both(tmp_path / "a.zip", exported.read_bytes(), trust())
    assert verdict["whole"] and verdict["trusted"] is True
    assert verdict["words"].startswith("whole and unchanged")
    assert "SIMULATED" in verdict["words"]


def test_without_a_list_of_keys_trust_is_not_claimed(exported: Path, tmp_path: Path) -> None:
    verdict = both(tmp_path / "a.zip", exported.read_bytes())
    assert verdict["whole"] and verdict["trusted"] is None
    assert "was not asked" in verdict["words"]


@pytest.mark.requirement("F-054", "R-02")
def test_any_changed_byte_is_found_by_both(exported: Path, tmp_path: Path) -> None:
    raw = exported.read_bytes()
    chance = random.Random(1)
    program_starts = raw.index(stand_alone_verify.__doc__.encode()[:40])  # type: ignore[union-attr]
    # Half of the changes go where little is: into the structure and the records, not into verify.py.
    places = [chance.randrange(len(raw)) for _ in range(CHANGES // 2)]
    places += [chance.randrange(program_starts) for _ in range(CHANGES - len(places))]
    for place in places:
        changed = bytearray(raw)
        changed[place] ^= chance.randrange(1, 256)
        verdict = both(tmp_path / "a.zip", bytes(changed), trust())
        assert not verdict["whole"], f"byte {place} was changed and nobody noticed"


@pytest.mark.requirement("F-054", "R-03")
def test_the_verifier_in_the_archive_runs_alone_and_finds_changes(exported: Path, tmp_path: Path) -> None:
    program, keys = tmp_path / "verify.py", tmp_path / "trust.json"
    with zipfile.ZipFile(exported) as opened:
        program.write_bytes(opened.read("verify.py"))
    keys.write_text(json.dumps(trust()))
    good = run_alone(program, str(exported), "--trust", str(keys))
    assert (good.returncode, good.stderr) == (0, "")
    assert "signed by trusted keys" in good.stdout
    raw, chance = exported.read_bytes(), random.Random(2)
    for _ in range(CHANGES_BY_PROCESS):
        changed = bytearray(raw)
        changed[chance.randrange(len(raw))] ^= 1
        (tmp_path / "b.zip").write_bytes(changed)
        done = run_alone(program, str(tmp_path / "b.zip"))
        assert done.returncode == 1 and done.stdout.startswith("NOT whole"), done.stderr
    assert run_alone(program, str(tmp_path / "absent.zip")).returncode == 2
    assert run_alone(program, str(keys)).returncode == 2
    assert run_alone(program).returncode == 2
    assert run_alone(program, str(exported), "--trust", str(program)).returncode == 2


@pytest.mark.requirement("R-02", "F-054")
def test_a_changed_event_is_named(exported: Path, tmp_path: Path) -> None:
    raw = bytearray(exported.read_bytes())
    place = raw.index(b'"value":"37.3"')
    raw[place + 12] = ord("9")
    verdict = both(tmp_path / "a.zip", bytes(raw))
    assert verdict["first_bad"]["log"] == "gxp"
    assert verdict["first_bad"]["kind"] == "ValueRecorded"
    assert f"gxp event {verdict['first_bad']['seq']} (ValueRecorded)" in verdict["words"]


def test_an_archive_signed_again_by_somebody_else_fails_under_trust(tmp_path: Path) -> None:
    with new_record(tmp_path / "record", OTHER_KEY) as forged:
        run_batch(forged)
        raw = export_batch(forged, BATCH, tmp_path / "forged.zip", report_html=REPORT).read_bytes()
    assert both(tmp_path / "a.zip", raw)["whole"]
    verdict = both(tmp_path / "a.zip", raw, trust())
    assert verdict["whole"] and verdict["trusted"] is False
    assert "NOT signed by trusted keys" in verdict["words"]


@pytest.mark.parametrize("role", ["qp", "root", "unit"])
def test_a_document_signed_by_an_unknown_key_fails_under_trust(
    exported: Path, tmp_path: Path, role: str
) -> None:
    verdict = both(tmp_path / "a.zip", exported.read_bytes(), trust(**{role: ["00" * 32]}))
    assert verdict["trusted"] is False


def resigned(raw: bytes, key: Ed25519PrivateKey = UNIT_KEY, **changed: bytes | None) -> bytes:
    """The archive with entries changed and the manifest made and signed again by the unit's own key."""
    entries = {name: data for name, data in archive.take_apart(raw).entries.items()}
    for name, data in changed.items():
        entries.pop(name, None)
        if data is not None:
            entries[name] = data
    manifest = json.loads(entries["manifest.json"])
    manifest["entries"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in entries.items()
        if name not in archive.NOT_IN_MANIFEST
    }
    entries["manifest.json"] = canonical_json(manifest)
    entries["manifest.sig"] = key.sign(archive.MANIFEST_DOMAIN + entries["manifest.json"])
    return archive.build(entries)


def test_signing_the_manifest_again_does_not_hide_a_change_of_the_records(
    exported: Path, tmp_path: Path
) -> None:
    raw = exported.read_bytes()
    entries = archive.take_apart(raw).entries
    records = archive.unframe(entries["records/gxp.bin"])
    cut = archive.frame(records[:-1])
    swapped = archive.frame([records[0], records[2], records[1], *records[3:]])
    missing = archive.frame(records[:2] + records[3:])
    edited = archive.frame([*records[:-1], records[-1].replace(b"released", b"rejected")])
    for forged in (cut, swapped, missing, edited):
        verdict = both(tmp_path / "a.zip", resigned(raw, **{"records/gxp.bin": forged}))
        assert not verdict["whole"] and verdict["first_bad"]["log"] == "gxp"
    picture = f"blobs/{hashlib.sha256(PNG).hexdigest()}"
    for content in (None, b"another picture"):
        verdict = both(tmp_path / "a.zip", resigned(raw, **{picture: content}))
        assert verdict["first_bad"]["kind"] == "BagRefused"
    verdict = both(tmp_path / "a.zip", resigned(raw, **{"records/gxp-genesis.bin": records[0]}))
    assert verdict["first_bad"]["kind"] == "Genesis"


def test_a_changed_report_or_verifier_is_not_the_record(exported: Path, tmp_path: Path) -> None:
    raw = exported.read_bytes()
    entries = archive.take_apart(raw).entries
    changed = archive.build({**entries, "report.html": REPORT + b" "})
    assert not both(tmp_path / "a.zip", changed)["whole"]
    # verify.py is the one entry that nothing covers: take it from elsewhere.
    assert both(tmp_path / "a.zip", archive.build({**entries, "verify.py": b"pass\n"}))["whole"]


def zip_tricks(raw: bytes) -> dict[str, bytes]:
    """Ways to put something into a ZIP that most readers do not show."""
    entries = archive.take_apart(raw).entries
    end = raw.rindex(archive.END_MARK)
    directory = struct.unpack_from("<I", raw, end + 16)[0]
    dated = bytearray(raw)
    dated[directory + 14] ^= 1
    mode = bytearray(raw)
    mode[directory + 41] ^= 0x40
    commented = bytearray(raw) + b"hello"
    commented[end + 20 : end + 22] = struct.pack("<H", 5)
    first = raw.index(b"blobs.json")
    doubled = raw[:directory] + raw[: first - 30] + raw[directory:]
    return {
        "prepended": b"#!/bin/sh\n" + raw,
        "appended": raw + b"\x00",
        "commented": bytes(commented),
        "another date": bytes(dated),
        "another mode": bytes(mode),
        "doubled entry": doubled,
        "hidden entry": raw[:directory] + b"hidden bytes" + raw[directory:],
        "an entry more": archive.build({**entries, "extra.txt": b"x"}),
        "an entry less": archive.build({k: v for k, v in entries.items() if k != "README.txt"}),
        "no signature": archive.build({k: v for k, v in entries.items() if k != "manifest.sig"}),
        "no directory": raw[:directory],
        "half of it": raw[: len(raw) // 2],
    }


@pytest.mark.parametrize("trick", sorted(zip_tricks(archive.build({"blobs.json": b"", "README.txt": b""}))))
def test_zip_tricks_are_found_by_both(exported: Path, tmp_path: Path, trick: str) -> None:
    raw = zip_tricks(exported.read_bytes())[trick]
    assert not both(tmp_path / "a.zip", raw)["whole"]


def test_a_zip_made_by_another_tool_is_refused(exported: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(exported) as opened, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as made:
        for name in opened.namelist():
            made.writestr(name, opened.read(name))
    assert not both(tmp_path / "a.zip", other.read_bytes())["whole"]


@pytest.mark.requirement("F-062", "R-45")
def test_the_archive_is_an_ordinary_zip_and_the_same_each_time(exported: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(exported) as opened:
        assert opened.testzip() is None
        manifest = json.loads(opened.read("manifest.json"))
        assert set(manifest["entries"]) | archive.NOT_IN_MANIFEST == set(opened.namelist())
    with Record.open_readonly(exported.parent / "record") as record:
        again = export_batch(record, BATCH, tmp_path / "again.zip", report_html=REPORT, key=UNIT_KEY)
    assert again.read_bytes() == exported.read_bytes()


def test_a_decision_for_another_head_is_found(record: Record, tmp_path: Path) -> None:
    from record_bench import QP_KEY, signed_document

    write(record, "BatchOpened", {})
    decision = json.dumps({"batch": BATCH, "sealed_seq": 2, "sealed_hash": "11" * 32}).encode()
    blob = record.put_blob(signed_document("decision", decision, "qp", QP_KEY), "application/json")
    write(record, "DispositionRecorded", {"decision_blob": blob.sha256})
    record.seal(stamp())
    record.seal(stamp(), log="telemetry")
    raw = export_batch(record, BATCH, tmp_path, report_html=REPORT).read_bytes()
    assert both(tmp_path / "a.zip", raw)["first_bad"]["kind"] == "DispositionRecorded"
    assert verify_record(record.folder).as_json()["first_bad"]["kind"] == "DispositionRecorded"


@pytest.mark.requirement("R-22")
def test_a_signature_that_does_not_cover_its_text_is_found(record: Record, tmp_path: Path) -> None:
    write(record, "BatchOpened", {})
    write(record, "SignatureGiven", {"content": "I released it.", "signs": "22" * 32})
    record.seal(stamp())
    record.seal(stamp(), log="telemetry")
    raw = export_batch(record, BATCH, tmp_path, report_html=REPORT).read_bytes()
    assert both(tmp_path / "a.zip", raw)["first_bad"]["kind"] == "SignatureGiven"


def test_a_seal_on_another_head_is_found(record: Record, tmp_path: Path) -> None:
    opened = write(record, "BatchOpened", {})
    write(record, "BatchSealed", {"sealed_seq": opened.seq, "sealed_hash": opened.hash.hex()})
    record.seal(stamp())
    record.seal(stamp(), log="telemetry")
    raw = export_batch(record, BATCH, tmp_path, report_html=REPORT).read_bytes()
    assert both(tmp_path / "a.zip", raw)["whole"]
    write(record, "BatchSealed", {"sealed_seq": opened.seq, "sealed_hash": "33" * 32})
    record.seal(stamp())
    raw = export_batch(record, BATCH, tmp_path, report_html=REPORT).read_bytes()
    assert both(tmp_path / "a.zip", raw)["first_bad"] == {
        "log": "gxp",
        "seq": 4,
        "kind": "BatchSealed",
        "words": "it seals another record.",
    }


def test_a_batch_that_is_not_signed_yet_is_not_exported(record: Record, tmp_path: Path) -> None:
    record.seal(stamp())
    write(record, "BatchOpened", {})
    with pytest.raises(RecordRefused, match="not signed yet"):
        export_batch(record, BATCH, tmp_path, report_html=REPORT)
    with pytest.raises(RecordRefused, match="no batch"):
        export_batch(record, "batch-9999", tmp_path, report_html=REPORT)
    with pytest.raises(RecordUnusable, match="own key"):
        export_batch(record, BATCH, tmp_path, report_html=REPORT, key=OTHER_KEY)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 511))
def test_the_verifiers_own_ed25519_agrees_with_the_library(secret: bytes, message: bytes, bit: int) -> None:
    from appliance.record.segments import public_bytes, signed_by

    key = Ed25519PrivateKey.from_private_bytes(secret)
    signature = bytearray(key.sign(message))
    assert stand_alone_verify.signed_by(public_bytes(key), message, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not stand_alone_verify.signed_by(public_bytes(key), message, bytes(signature))
    assert not signed_by(public_bytes(key), message, bytes(signature))


def test_ed25519_vectors_of_rfc_8032_hold() -> None:
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert stand_alone_verify.signed_by(key, b"\x72", signature)
    larger = int.from_bytes(signature[32:], "little") + stand_alone_verify.ORDER
    assert not stand_alone_verify.signed_by(key, b"\x72", signature[:32] + larger.to_bytes(32, "little"))
    assert not stand_alone_verify.signed_by(key, b"\x72", signature + b"\x00")
    assert not stand_alone_verify.signed_by(b"\xff" * 32, b"\x72", signature)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_after_a_zip_mark_are_judged_and_never_crash(raw: bytes) -> None:
    raw = archive.LOCAL_MARK + raw
    assert archive.take_apart(raw).problems
    assert not stand_alone_verify.verify(raw)["whole"]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=6), st.binary(max_size=12))
def test_framed_bytes_come_back_and_a_wrong_length_is_refused(parts: list[bytes], tail: bytes) -> None:
    assert archive.unframe(archive.frame(parts)) == parts
    try:
        assert archive.frame(archive.unframe(archive.frame(parts) + tail)) == archive.frame(parts) + tail
    except RecordRefused:
        assert tail


@pytest.mark.requirement("F-054", "F-062")
def test_the_verifier_in_the_archive_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(stand_alone_verify.__file__).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "appliance"]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported and imported <= sys.stdlib_module_names
