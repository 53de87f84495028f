"""`cellwright keys` and `cellwright users`, as an installer types them."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.access.command import keys
from appliance.access.documents import load
from appliance.access.keys import Trust, fingerprint, load_key, load_pin_secret, unlock_qp_key
from appliance.access.people import People, verify_secret
from appliance.users_command import users

CELLWRIGHT = str(Path(sys.executable).with_name("cellwright"))
PEOPLE = """
[[people]]
id = "p-0001"
name = "Anna Berg"
roles = ["operator"]
badge = "B1"
pin = "482915"
password = "blue kettle morning"

[[people]]
id = "p-0007"
name = "Quinn Falk"
roles = ["qp"]

[[keys]]
person = "p-0007"
role = "qp"
file = "qp.json"
"""


def said(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def home(tmp_path, capsys, monkeypatch):
    """A unit's home with keys, a trusted root, a QP's key, and a list of people not yet signed."""
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    assert keys(["root-make", "--out", str(tmp_path / "root.key"), "--json"]) == 0
    qp = ["--out", str(tmp_path / "qp.json"), "--person", "p-0007", "--passphrase-stdin"]
    assert keys(["qp-make", *qp]) == 0
    root = fingerprint(load_key(tmp_path / "root.key"))
    assert keys(["init", "--home", str(tmp_path / "home"), "--unit", "unit-07", "--root", root]) == 0
    (tmp_path / "people.toml").write_text(PEOPLE)
    capsys.readouterr()
    return tmp_path / "home"


def make_people(home) -> int:
    source, root = home.parent / "people.toml", home.parent / "root.key"
    return users(["make", "--in", str(source), "--root-key", str(root), "--home", str(home), "--json"])


def test_init_makes_the_unit_s_keys_private_and_trusts_the_given_root(home, capsys):
    key = load_key(home / "keys" / "unit.key")
    root = load_key(home.parent / "root.key")

    assert Trust.load(home / "trust.json") == Trust(root=(fingerprint(root),), unit=(fingerprint(key),))
    assert len(load_pin_secret(home / "keys" / "pin.secret")) == 32
    assert keys(["fingerprint", "--home", str(home), "--json"]) == 0
    assert said(capsys)[0]["fingerprint"] == fingerprint(key)


def test_init_a_second_time_changes_nothing(home, capsys):
    before = (home / "keys" / "unit.key").read_bytes()

    assert keys(["init", "--home", str(home), "--unit", "unit-07"]) == 1

    assert "Nothing was changed" in capsys.readouterr().err
    assert (home / "keys" / "unit.key").read_bytes() == before


def test_people_are_hashed_signed_and_listed_and_no_plain_secret_is_left(home, capsys):
    assert make_people(home) == 0
    assert said(capsys)[0]["version"] == 1

    written = (home / "documents" / "people.json").read_bytes()
    envelope = load(home / "documents" / "people.json")
    made = People.from_envelope(envelope, root_keys=Trust.load(home / "trust.json").root)
    anna = made.person("p-0001")
    assert verify_secret(anna.pin, "482915", load_pin_secret(home / "keys" / "pin.secret"))
    assert b"482915" not in written + envelope.content
    assert b"kettle" not in written + envelope.content

    assert users(["list", "--home", str(home), "--json"]) == 0
    listed = said(capsys)
    assert [one["name"] for one in listed] == ["Anna Berg", "Quinn Falk"]
    key = unlock_qp_key(home.parent / "qp.json", "correct horse battery")
    assert listed[1]["keys"] == {"qp": fingerprint(key)}


def test_making_the_list_again_raises_its_version(home, capsys):
    assert make_people(home) == make_people(home) == 0

    assert [one["version"] for one in said(capsys)] == [1, 2]


def test_a_list_under_a_root_that_the_unit_does_not_trust_is_refused_with_what_to_type(home, capsys):
    (home.parent / "root.key").unlink()
    assert keys(["root-make", "--out", str(home.parent / "root.key"), "--json"]) == 0
    stranger = said(capsys)[0]["fingerprint"]

    assert make_people(home) == 1
    assert f"--root {stranger}" in capsys.readouterr().err

    assert keys(["trust", "--home", str(home), "--root", stranger]) == 0
    assert make_people(home) == 0


@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        ('pin = "482915"', 'pin = "4829"', 1, "at least 6 digits"),
        ('password = "blue kettle morning"', 'password = "blue"', 1, "at least 12 characters"),
        ('roles = ["operator"]', 'roles = ["wizard"]', 2, "not a list of people"),
        ('id = "p-0001"', 'id = "p-0007"', 1, "twice"),
        ('roles = ["qp"]', 'roles = ["auditor"]', 1, "without that role"),
        ('file = "qp.json"', 'file = "gone.json"', 2, "cannot be read"),
        ('file = "qp.json"', "", 1, "needs either public_key or file"),
        ("[[people]]", "[[people", 2, "not a list of people"),
    ],
)
def test_a_faulty_list_is_refused_in_words_and_nothing_is_written(home, capsys, old, new, status, words):
    (home.parent / "people.toml").write_text(PEOPLE.replace(old, new, 1))

    assert make_people(home) == status

    assert words in capsys.readouterr().err
    assert not (home / "documents" / "people.json").exists()


def test_an_altered_list_is_not_listed(home, capsys):
    make_people(home)
    path = home / "documents" / "people.json"
    envelope = json.loads(path.read_text())
    envelope["content"] = envelope["content"][:-8] + "AAAAAAA="
    path.write_text(json.dumps(envelope))

    assert users(["list", "--home", str(home)]) == 1
    assert "altered after it was signed" in capsys.readouterr().err


def test_a_short_passphrase_and_an_unreadable_home_say_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    qp = ["--out", str(tmp_path / "qp.json"), "--person", "p-0007", "--passphrase-stdin"]

    assert keys(["qp-make", *qp]) == 1
    assert "at least 12 characters" in capsys.readouterr().err
    assert not (tmp_path / "qp.json").exists()
    assert keys(["fingerprint", "--home", str(tmp_path / "nowhere")]) == 2


def test_a_wrong_fingerprint_is_refused_before_any_key_is_made(tmp_path):
    home = tmp_path / "home"

    assert keys(["init", "--home", str(home), "--unit", "unit-07", "--root", "abc"]) == 1
    assert keys(["init", "--home", str(home), "--unit", "u" * 33]) == 2
    assert not home.exists()


def test_the_installed_command_speaks_json_on_stdout_and_words_on_stderr(tmp_path):
    run = [CELLWRIGHT, "keys", "root-make", "--out", str(tmp_path / "root.key"), "--json"]

    first = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    second = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    wrong = subprocess.run([CELLWRIGHT, "keys", "mint"], capture_output=True, timeout=60, check=False)

    assert (first.returncode, second.returncode, wrong.returncode) == (0, 1, 2)
    assert json.loads(first.stdout)["file"] == str(tmp_path / "root.key")
    assert second.stdout == ""
    assert "never overwritten" in second.stderr


def test_a_pin_left_out_of_the_file_is_asked_for_at_the_terminal(home):
    source = home.parent / "people.toml"
    source.write_text(PEOPLE.replace('pin = "482915"\n', ""))
    leader, follower = pty.openpty()
    root = home.parent / "root.key"
    words = [CELLWRIGHT, "users", "make", "--in", source, "--root-key", root, "--home", home]
    run = subprocess.Popen(
        words, stdin=follower, stdout=follower, stderr=follower, start_new_session=True, close_fds=True
    )
    os.close(follower)

    shown = b""
    while b"PIN of Anna Berg" not in shown:
        shown += os.read(leader, 1024)
    os.write(leader, b"730164\n")
    assert run.wait(timeout=60) == 0
    os.close(leader)

    envelope = load(home / "documents" / "people.json")
    made = People.from_envelope(envelope, root_keys=Trust.load(home / "trust.json").root)
    assert verify_secret(made.person("p-0001").pin, "730164", load_pin_secret(home / "keys" / "pin.secret"))
