"""`cellwright verify`, `export` and `report`, as people and programs call them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from record_bench import BATCH, OTHER_KEY, UNIT_KEY, new_record, run_batch, trust, write

from appliance.record.command import export, report, verify


def save_key(path: Path, key: object = UNIT_KEY) -> None:
    path.parent.mkdir(exist_ok=True)
    pem = UNIT_KEY if key is UNIT_KEY else OTHER_KEY
    path.write_bytes(pem.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


@pytest.fixture(scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("unit")
    with new_record(home / "record") as record:
        run_batch(record)
    save_key(home / "keys" / "unit.key")
    (home / "trust.json").write_text(json.dumps(trust()))
    return home


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Path:
    """A unit's home with one finished batch."""
    return Path(shutil.copytree(made_home, tmp_path / "home"))


def test_one_batch_from_export_to_verdict(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export([BATCH, "--home", str(home), "--out", str(home), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["archive"] == str(home / f"{BATCH}.zip")
    assert verify([result["archive"], "--trust", str(home / "trust.json"), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["whole"] and verdict["trusted"] and verdict["first_bad"] is None
    assert report([result["archive"], "--out", str(home / "r.html")]) == 0
    assert report([BATCH, "--home", str(home), "--out", str(home / "s.html")]) == 0
    assert (home / "r.html").read_bytes() == (home / "s.html").read_bytes()


def test_export_works_beside_the_engine_that_writes(
    made_home: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from appliance.record.log import Record

    with Record.open(home / "record", key=UNIT_KEY) as engine:
        write(engine, "CommentAdded", {"text": "goes on"})
        assert export([BATCH, "--home", str(home), "--out", str(home / "a.zip")]) == 0
        write(engine, "CommentAdded", {"text": "and on"})
        assert verify([str(home / "record")]) == 0
    assert "2 of them not yet signed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["record", "", BATCH])
def test_a_folder_a_home_and_a_batch_id_are_targets(
    home: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLWRIGHT_HOME", str(home))
    target = name if name == BATCH else str(home / name)
    assert verify([target]) == 0
    assert capsys.readouterr().out.startswith("whole and unchanged")


def test_a_bad_event_is_named_and_the_status_is_1(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export([BATCH, "--home", str(home), "--out", str(home)]) == 0
    path = home / f"{BATCH}.zip"
    path.write_bytes(path.read_bytes().replace(b'"value":"37.2"', b'"value":"36.2"', 1))
    capsys.readouterr()
    assert verify([str(path)]) == 1
    assert "(ValueRecorded)" in capsys.readouterr().out
    assert report([str(path), "--out", str(home / "r.html")]) == 2
    assert "NOT whole" in capsys.readouterr().err


def test_untrusted_keys_give_status_1(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = home / "others.json"
    keys.write_text(json.dumps(trust(unit=["ab" * 32])))
    assert verify([str(home / "record"), "--trust", str(keys)]) == 1
    assert "NOT signed by trusted keys" in capsys.readouterr().out


def test_what_cannot_be_read_gives_status_2_and_words(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "empty").mkdir()
    (home / "text.zip").write_text("no archive")
    for arguments in (
        [str(home / "absent.zip"), "--home", str(home)],
        [str(home / "text.zip")],
        [str(home / "empty")],
        ["batch-9999", "--home", str(home)],
        [str(home / "record"), "--trust", str(home / "absent.json")],
        [str(home / "record"), "--trust", str(home / "text.zip")],
    ):
        assert verify(arguments) == 2, arguments
        said = capsys.readouterr()
        assert said.err.strip() and not said.err.startswith("{") and not said.out


def test_wrong_usage_gives_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (verify, export, report):
        with pytest.raises(SystemExit) as stopped:
            command(["--tru", "x"])
        assert stopped.value.code == 2


def test_export_needs_the_units_own_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_key(home / "keys" / "unit.key", OTHER_KEY)
    assert export([BATCH, "--home", str(home), "--out", str(home)]) == 2
    (home / "keys" / "unit.key").unlink()
    assert export([BATCH, "--home", str(home), "--out", str(home)]) == 2
    assert "unit.key" in capsys.readouterr().err


def test_export_of_an_unknown_batch_gives_status_1(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(["batch-9999", "--home", str(home), "--out", str(home)]) == 1
    assert "no batch batch-9999" in capsys.readouterr().err


def test_trailing_garbage_in_the_folder_does_not_stop_verify(home: Path) -> None:
    (home / "record" / "blobs" / "zz").mkdir()
    (home / "record" / "blobs" / "zz" / "orphan").write_bytes(b"left by a crash")
    assert verify([str(home / "record")]) == 0
