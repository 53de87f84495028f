"""Copies on a second medium, drills, and a restore that begins a new log (R-37, R-38, R-41)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from record_bench import UNIT_KEY, new_record, run_batch, stamp

from appliance.config import Home
from appliance.domain import events as ev
from appliance.domain.earlier import counted_back, event_counted_back
from appliance.record import copy_notes
from appliance.record.backup import MANIFEST, copies_in, take_backup
from appliance.record.canonical import encode_payload
from appliance.record.copy_command import backup, restore
from appliance.record.epochs import earlier_epochs, link_of, links_misfit
from appliance.record.errors import RecordRefused, RecordUnusable
from appliance.record.log import DATABASE, Record
from appliance.record.restore import drill
from appliance.record.verify import verify_record


@dataclass
class Site:
    """A unit's home and a second medium."""

    home: Home
    medium: Path
    record: Record

    def command(self, which: Any, *words: str) -> int:
        return int(which(["--home", str(self.home.root), *words]))

    def copy(self, *words: str) -> Path:
        assert self.command(backup, "--to", str(self.medium), *words) == 0
        return copies_in(self.medium)[-1]

    def says(self, count: int = 1) -> None:
        for number in range(count):
            event = ev.SessionOpened(person=f"p-{number}", name="Nobody", station="bedside")
            payload = encode_payload(None, None, ev.to_body(event))
            self.record.append("SessionOpened", payload, actor="p-0001", stamp=stamp(100))

    def acknowledged(self, seq: int, hash_: str = "") -> None:
        head = self.record.head()
        said = {
            "acked_seq": seq,
            "acked_hash": hash_ or next(self.record.read(seq, seq)).hash.hex(),
            "epoch": head.epoch.hex(),
            "server_time": "2026-03-02T08:00:00+00:00",
        }
        self.record.store_ack(json.dumps(said).encode(), b"\x00" * 64, log="gxp", acked_seq=seq)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    home = Home(tmp_path / "home")
    (home.documents / "orders").mkdir(parents=True)
    (home.documents / "people.json").write_text("{}")
    home.unit_toml.write_text("# the appliance file\n")
    home.trust.write_text("{}")
    save_key(home, UNIT_KEY)
    made = new_record(home.record)
    run_batch(made)
    yield Site(home, tmp_path / "medium", made)
    made.close()


def save_key(home: Home, key: Ed25519PrivateKey) -> None:
    home.keys.mkdir(parents=True, exist_ok=True)
    home.unit_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.mark.requirement("R-37")
def test_a_copy_is_the_whole_record_and_no_private_key(site: Site) -> None:
    copy = site.copy()

    said = json.loads((copy / MANIFEST).read_text())
    head = site.record.head()
    assert (said["gxp"]["seq"], said["gxp"]["hash"]) == (head.seq, head.hash.hex())
    assert said["verified"] and verify_record(copy / "record").whole
    assert (copy / "documents" / "people.json").exists() and (copy / "unit.toml").exists()
    assert not list(copy.rglob("*.key")) and not (copy / "keys").exists()
    (note,) = copy_notes.waiting(site.home.record)
    assert note[1] == "BackupTaken" and note[2]["seq"] == head.seq


@pytest.mark.requirement("R-37")
def test_a_copy_is_whole_while_the_record_is_written(site: Site) -> None:
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            site.says()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [take_backup(site.home, site.medium) for _ in range(3)]
    finally:
        done.set()
        writer.join()

    ends = [int(manifest.gxp["seq"]) for _, manifest in copies]
    assert ends == sorted(ends) and ends[-1] > ends[0]
    for path, manifest in copies:
        with Record.open_readonly(path / "record") as copied:
            mine = next(site.record.read(int(manifest.gxp["seq"]), int(manifest.gxp["seq"])))
            assert copied.head().hash == mine.hash


def test_only_the_newest_copies_are_kept_and_other_files_stay(site: Site) -> None:
    site.medium.mkdir()
    (site.medium / "holiday.jpg").write_bytes(b"not a copy")
    for _ in range(3):
        newest = site.copy("--keep", "2")

    assert len(copies_in(site.medium)) == 2 and newest in copies_in(site.medium)
    assert (site.medium / "holiday.jpg").exists()


@pytest.mark.parametrize("where", ["nowhere/at/all", "record"])
def test_a_copy_that_cannot_be_made_leaves_nothing_and_is_noted(site: Site, where: str) -> None:
    (site.home.root / "nowhere").write_text("a file, not a folder")

    assert site.command(backup, "--to", str(site.home.root / where)) == 1

    assert not list(site.home.root.rglob("*.part"))
    (note,) = copy_notes.waiting(site.home.record)
    assert note[1] == "BackupFailed" and str(site.home.root) in note[2]["words"]


@pytest.mark.requirement("R-37", "R-38")
def test_a_file_that_was_changed_is_not_copied_as_whole(site: Site) -> None:
    sha256 = site.record.put_blob(b"a picture", "image/png").sha256
    (site.home.record / "blobs" / sha256[:2] / sha256).write_bytes(b"another picture")

    assert site.command(backup, "--to", str(site.medium)) == 1

    assert copies_in(site.medium) == []


@pytest.mark.requirement("R-37")
def test_a_drill_restores_compares_and_leaves_only_its_note(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = site.copy()
    site.says(5)
    site.acknowledged(3)
    before = sorted(path.name for path in site.home.root.iterdir())
    capsys.readouterr()

    assert site.command(restore, str(copy), "--drill", "--reason", "quarterly", "--json") == 0

    found = json.loads(capsys.readouterr().out)
    assert found["good"] and found["behind"] == 5 and found["reason"] == "quarterly"
    assert sorted(path.name for path in site.home.root.iterdir()) == before
    assert [kind for _, kind, _ in copy_notes.waiting(site.home.record)] == ["BackupTaken", "RestoreDrilled"]


@pytest.mark.requirement("R-37", "R-41")
def test_a_drill_tells_a_copy_that_was_changed(site: Site) -> None:
    copy = site.copy()
    database = copy / "record" / DATABASE
    data = database.read_bytes()
    assert b"BatchOpened" in data
    database.write_bytes(data.replace(b"BatchOpened", b"BatchOpenee"))

    found = drill(copy, site.home, "quarterly")

    assert not found.good and found.words
    assert site.command(restore, str(copy), "--drill", "--reason", "again") == 1


@pytest.mark.requirement("R-37")
def test_a_drill_tells_what_central_acknowledged_otherwise(site: Site) -> None:
    copy = site.copy()
    site.acknowledged(3, "ab" * 32)

    found = drill(copy, site.home, "quarterly")

    assert not found.good and "Central acknowledged another event 3" in found.words


def test_a_drill_tells_a_copy_of_another_record(site: Site, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    Record.create(
        other.record, unit_id="unit-0001", key=UNIT_KEY, software_version="1", simulated=True, stamp=stamp()
    ).close()
    path, _ = take_backup(other, site.medium)

    found = drill(path, site.home, "quarterly")

    assert not found.good and "another record" in found.words


@pytest.mark.requirement("R-37", "R-41")
def test_a_restore_begins_a_new_log_that_names_the_old_ones_end(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = site.copy()
    end = site.record.head()
    site.says(7)
    site.acknowledged(end.seq + 4)
    site.record.close()
    capsys.readouterr()

    assert site.command(restore, str(copy), "--replace", "--reason", "the disk failed", "--json") == 0

    told = json.loads(capsys.readouterr().out)
    (earlier,) = earlier_epochs(site.home.record)
    assert earlier.name == f"0001-{end.epoch.hex()[:8]}"
    assert told["central_only"] == {"gxp": [end.seq + 1, end.seq + 4]}
    assert f"Events {end.seq + 1} to {end.seq + 4} of gxp are at central only; call QA." in told["words"]
    with Record.open_readonly(site.home.record) as record, Record.open_readonly(earlier) as old:
        link = link_of(record)
        assert link is not None
        assert record.head().epoch != end.epoch and record.head().seq == 1
        assert link["gxp"] == {"seq": end.seq, "hash": end.hash.hex()}
        assert link["reason"] == "the disk failed" and link["acked"]["gxp"]["seq"] == end.seq + 4
        assert old.head() == end
    assert verify_record(site.home.record).whole
    assert (Path(told["replaced"]) / DATABASE).exists()


@pytest.mark.requirement("R-37")
def test_a_second_restore_keeps_both_logs_in_order(site: Site) -> None:
    first = site.record.head()
    copy = site.copy()
    site.record.close()
    assert site.command(restore, str(copy), "--replace", "--reason", "first") == 0
    with Record.open(site.home.record, key=UNIT_KEY) as record:
        site.record = record
        site.says(3)
        second = record.head()
        copy = site.copy()
    assert site.command(restore, str(copy), "--replace", "--reason", "second") == 0

    names = [path.name for path in earlier_epochs(site.home.record)]
    assert names == [f"0001-{first.epoch.hex()[:8]}", f"0002-{second.epoch.hex()[:8]}"]
    assert links_misfit(site.home.record) == []
    assert verify_record(site.home.record).whole
    third = site.copy()
    assert drill(third, site.home, "quarterly").good


def test_a_restore_touches_no_record_that_is_there_or_in_use(site: Site) -> None:
    copy, head = site.copy(), site.record.head()

    assert site.command(restore, str(copy), "--reason", "why") == 1
    assert site.command(restore, str(copy), "--replace", "--reason", "an engine runs") == 1

    assert site.record.head() == head
    assert not list(site.home.root.glob("record-re*"))


@pytest.mark.requirement("R-37")
@pytest.mark.parametrize("moment", ["exchange", "naming"])
def test_a_restore_killed_at_its_switch_leaves_the_old_record_or_the_new_one_and_the_other_beside_it(
    site: Site, moment: str
) -> None:
    copy = site.copy()
    old = site.record.head().epoch
    site.record.close()

    words = [str(copy), "--replace", "--reason", "The disk broke", "--home", str(site.home.root)]
    code = KILLED_AT[moment].format(words=words)
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)

    assert killed.returncode == -9, killed.stderr
    with Record.open_readonly(site.home.record) as left:
        epoch = left.head().epoch
    assert (epoch == old) is (moment == "exchange")
    assert verify_record(site.home.record).whole
    beside = [path for path in site.home.root.glob("record-*") if (path / DATABASE).is_file()]
    assert len(beside) == 1
    assert verify_record(beside[0]).whole


# Each dies by a signal that nothing can catch, just before the step it is named after.
KILLED_AT = {
    "exchange": """
import os, signal
from appliance.record import restore
restore._change_places = lambda one, other: os.kill(os.getpid(), signal.SIGKILL)
from appliance.record.copy_command import restore as command
command({words})
""",
    "naming": """
import os, signal
from pathlib import Path
rename = Path.rename
def dies(self, target):
    if self.name.startswith("record-restored"):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.rename = dies
from appliance.record.copy_command import restore as command
command({words})
""",
}


def test_a_restore_into_an_empty_home_brings_lists_and_the_appliance_file(site: Site, tmp_path: Path) -> None:
    copy = site.copy()
    home = Home(tmp_path / "new home")
    save_key(home, UNIT_KEY)

    assert restore(["--home", str(home.root), str(copy), "--reason", "new computer"]) == 0

    assert home.unit_toml.read_text() == "# the appliance file\n" and home.people.exists()
    with Record.open(home.record, key=UNIT_KEY) as record:
        assert record.report is not None and record.report.good


def test_a_restore_with_another_units_key_changes_nothing(site: Site, tmp_path: Path) -> None:
    copy = site.copy()
    home = Home(tmp_path / "other")
    save_key(home, Ed25519PrivateKey.generate())

    assert restore(["--home", str(home.root), str(copy), "--reason", "why"]) == 1

    assert [path.name for path in home.root.iterdir()] == ["keys"]


@pytest.mark.requirement("R-41")
@pytest.mark.parametrize("harm", ["cut", "gone", "swapped"])
def test_an_earlier_log_that_was_cut_removed_or_swapped_is_told(site: Site, harm: str) -> None:
    site.says(3)
    copy = site.copy()
    site.record.close()
    assert site.command(restore, str(copy), "--replace", "--reason", "why") == 0
    (earlier,) = earlier_epochs(site.home.record)
    database = earlier / DATABASE
    database.chmod(0o640)
    if harm == "cut":
        cut = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1])\n"
        cut += "for n in ('gxp_record_refuses_delete',):\n"
        cut += "  g=c.execute('SELECT sql FROM sqlite_master WHERE name=?',(n,)).fetchone()[0]\n"
        cut += "  c.execute('DROP TRIGGER '+n)\n"
        cut += "  c.execute('DELETE FROM gxp_record WHERE seq=(SELECT max(seq) FROM gxp_record)')\n"
        cut += "  c.execute(g)\nc.commit()\n"
        subprocess.run([sys.executable, "-c", cut, str(database)], check=True)
    elif harm == "gone":
        for path in earlier.iterdir():
            path.unlink()
        earlier.rmdir()
    else:
        database.unlink()
        for one in new_record(earlier / "other").folder.glob("record.db*"):
            one.rename(earlier / one.name)

    assert not verify_record(site.home.record).whole


def test_an_old_copy_put_back_by_hand_is_refused_at_the_start(site: Site) -> None:
    copy = site.copy()
    site.says(4)
    site.acknowledged(site.record.head().seq)
    site.record.close()
    for name in ("record.db", "record.db-wal", "record.db-shm"):
        (site.home.record / name).unlink(missing_ok=True)
    (site.home.record / DATABASE).write_bytes((copy / "record" / DATABASE).read_bytes())

    with pytest.raises(RecordUnusable, match="it is an old copy"):
        Record.open(site.home.record, key=UNIT_KEY)


def test_a_folder_that_is_no_copy_is_refused(site: Site) -> None:
    (site.medium / "empty").mkdir(parents=True)

    assert site.command(restore, str(site.medium / "empty"), "--reason", "why") == 2
    with pytest.raises(RecordRefused, match="no whole copy"):
        drill(site.medium / "empty", site.home, "why")


def test_numbers_of_an_earlier_log_count_back_in_order_over_two_restores() -> None:
    first = [counted_back(counted_back(seq, 5), 4) for seq in range(1, 6)]
    second = [counted_back(seq, 4) for seq in range(1, 5)]
    assert first + second == [-9, -8, -7, -6, -5, -4, -3, -2, -1]
    assert [counted_back(seq, 9) for seq in range(1, 6)] == first
    # What the second log calls -1 is the last record of the first.
    assert counted_back(-1, 4) == first[-1]
    assert counted_back(0, 9) == 0
    voided = ev.SignatureVoided(**{**_voided(), "signed_seq": 3, "because_seq": 5})
    moved = event_counted_back(voided, 9)
    assert isinstance(moved, ev.SignatureVoided)
    assert (moved.signed_seq, moved.because_seq) == (-7, -5)


def _voided() -> dict[str, Any]:
    from dataclasses import fields

    return {one.name: 1 if one.type == "int" else "x" for one in fields(ev.SignatureVoided)}
