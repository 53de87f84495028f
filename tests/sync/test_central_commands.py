"""Making and feeding a central from the command line."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from pathlib import Path

import pytest
from central_site import CELLWRIGHT, CentralProcess, agent_of, enrol, make_central
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access.documents import raw_public_key
from sync.central.command import central as central_command
from sync.central.home import CentralHome


def public_key() -> str:
    return base64.b64encode(raw_public_key(Ed25519PrivateKey.generate())).decode()


def test_a_central_is_made_once_and_its_keys_are_its_owners_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["init", "--home", str(tmp_path / "c"), "--json"]

    first, second = central_command(words), central_command(words)

    said = json.loads(capsys.readouterr().out)
    home = CentralHome(tmp_path / "c")
    assert (first, second) == (0, 1)
    assert said["fingerprint"] == home.fingerprint()
    for secret in (home.key_file, home.password_secret, home.server_key, home.root / "tls" / "ca.key"):
        assert secret.stat().st_mode & 0o077 == 0


def test_a_production_central_enrols_no_simulated_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    central_command(["init", "--home", str(tmp_path / "c")])
    words = ["add-unit", "--home", str(tmp_path / "c"), "--unit", "sim-1", "--public-key", public_key()]

    status = central_command([*words, "--out", str(tmp_path / "keys"), "--simulated"])

    assert status == 1
    assert "no simulated units" in capsys.readouterr().err
    assert not (tmp_path / "keys" / "client.key").exists()


def test_a_simulated_record_is_refused_where_the_unit_was_enrolled_as_real(tmp_path: Path) -> None:
    central = make_central(tmp_path / "c", simulated=False)
    unit = enrol(central, tmp_path / "unit", simulated=False)
    unit.chatter(1)
    central.start()
    agent = agent_of(unit, central.url)

    agent.round()

    assert "never mixed" in agent.outbox.blocked["gxp"]
    central.stop()
    unit.record.close()


def test_another_key_under_a_known_unit_id_is_not_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    central_command(["init", "--home", str(tmp_path / "c")])
    words = ["add-unit", "--home", str(tmp_path / "c"), "--unit", "u-1", "--out", str(tmp_path / "keys")]

    first = central_command([*words, "--public-key", public_key()])
    second = central_command([*words, "--public-key", public_key()])

    assert (first, second) == (0, 1)
    assert "another key" in capsys.readouterr().err


@pytest.mark.parametrize("unit_id", ["", "../x", "a" * 33, "u 1", "-u"])
def test_a_unit_id_with_a_trick_in_it_is_refused(tmp_path: Path, unit_id: str) -> None:
    words = ["add-unit", "--home", str(tmp_path), f"--unit={unit_id}", "--public-key", public_key()]

    with pytest.raises(SystemExit) as ended:
        central_command([*words, "--out", str(tmp_path)])

    assert ended.value.code == 2


def test_a_short_password_makes_no_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    central_command(["init", "--home", str(tmp_path)])
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    words = ["add-account", "--home", str(tmp_path), "--person", "p-1", "--name", "One", "--role", "qp"]

    status = central_command([*words, "--password-stdin"])

    assert status == 1
    assert "at least 12 characters" in capsys.readouterr().err


def test_serving_what_is_no_central_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(CELLWRIGHT), "central", "serve", "--home", str(tmp_path)], capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "central init" in done.stderr


def test_central_ends_cleanly_when_asked(central: CentralProcess) -> None:
    assert central.stop() == 0
    assert "Traceback" not in central.log.read_text()


def test_centrals_own_log_and_the_records_refuse_to_be_changed(tmp_path: Path) -> None:
    central_command(["init", "--home", str(tmp_path)])
    store = CentralHome(tmp_path).store()
    store.add_event(at="2026-11-20T08:00:00Z", actor="p-1", kind="SessionOpened")

    for change in ("DELETE FROM central_log", "UPDATE central_log SET actor='p-2'"):
        with pytest.raises(Exception, match="never"):
            store._connection.execute(change)

    assert [event.actor for event in store.events()] == ["p-1"]
