"""`cellwright doctor` names what is wrong and what to do, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from test_config import GOOD as UNIT_TOML
from test_config import SORTER

from appliance import __version__
from appliance.access.documents import fingerprint
from appliance.access.keys import Trust, make_key, make_pin_secret
from appliance.config import Home
from appliance.doctor import disk_is_encrypted, doctor
from appliance.engine.clock import ScaledClock, stamp
from appliance.link.messages import (
    DeviceView,
    ReadingView,
    RecordView,
    Snapshot,
    SyncView,
    UnitView,
)
from appliance.link.server import LinkServer
from appliance.record.acknowledgements import keep_second
from appliance.record.log import Record

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A simulated unit in good order: record, keys, trust and ports are there; the engine does not run."""
    home = Home(tmp_path)
    home.keys.mkdir()
    key = make_key(home.unit_key)
    make_pin_secret(home.pin_secret)
    Trust(root=("ab" * 32,), unit=(fingerprint(key),)).save(home.trust)
    ports = tmp_path / "bench"
    ports.mkdir()
    for name in ("balance", "pump"):
        (ports / name).touch()
    toml = UNIT_TOML.replace("/run/bench", str(ports)).replace('url = "https://central.example:8443"', "")
    home.unit_toml.write_text(toml)
    clock = ScaledClock(Decimal(1))
    with Record.create(
        home.record, unit_id="u", key=key, software_version="0", simulated=True, stamp=stamp(clock)
    ) as record:
        payload = b'{"batch":null,"body":{"text":"the door was open"},"command":null}'
        record.append("CommentAdded", payload, actor="p-0001", stamp=stamp(clock))
        record.checkpoint()
    return home


def examined(home: Home, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The status, and the findings by what they are about."""
    status = doctor(["--home", str(home.root), "--json"])
    findings: dict[str, list[dict[str, Any]]] = {}
    for line in capsys.readouterr().out.splitlines():
        finding = json.loads(line)
        findings.setdefault(finding["about"], []).append(finding)
    return status, findings


def test_a_unit_in_good_order_has_nothing_wrong(home, capsys):
    status, findings = examined(home, capsys)

    assert status == 0
    assert [one for found in findings.values() for one in found if one["state"] == "wrong"] == []
    assert f"cellwright {__version__}" in findings["versions"][0]["words"]
    assert "SQLite 3." in findings["versions"][0]["words"]
    assert "event 2 (CommentAdded)" in findings["last write"][0]["words"]


def test_no_protection_against_theft_is_claimed_on_a_disk_that_is_not_known_to_be_encrypted(home, capsys):
    status, findings = examined(home, capsys)

    assert status == 0
    if not disk_is_encrypted(home.root):
        assert findings["theft"][0]["state"] == "note"
        assert "no protection against theft is claimed" in findings["theft"][0]["words"]


def test_a_file_system_without_a_disk_of_its_own_does_not_pass_for_an_encrypted_one():
    assert not disk_is_encrypted(Path("/proc"))


def test_an_exposed_key_is_wrong_and_says_how_to_close_it(home, capsys):
    home.unit_key.chmod(0o644)

    status, findings = examined(home, capsys)

    assert status == 1
    assert "chmod 600" in findings["unit key"][0]["words"]


def test_a_changed_byte_in_the_record_is_found(home, capsys):
    database = home.record / "record.db"
    data = database.read_bytes()
    assert b"the door was open" in data
    database.write_bytes(data.replace(b"the door was open", b"the door was shut"))

    status, findings = examined(home, capsys)

    assert status == 1
    assert "Event 2 of gxp does not continue the chain" in findings["record"][0]["words"]


def test_a_record_shorter_than_what_central_holds_is_wrong(home, capsys):
    keep_second(home.record, "gxp", 9, b'{"acked_seq":9}', b"")

    status, findings = examined(home, capsys)

    assert status == 1
    assert "Central holds events of gxp up to 9" in findings["sync"][0]["words"]


def test_a_port_that_is_not_there_is_wrong_while_the_engine_does_not_run(home, capsys):
    (home.root / "bench" / "pump").unlink()

    status, findings = examined(home, capsys)

    assert status == 1
    assert findings["balance"][0]["state"] == "ok"
    assert findings["pump"][0]["state"] == "wrong"


def test_a_port_named_by_the_order_of_plugging_in_is_noted_with_what_to_write_instead(home, capsys):
    pump = home.root / "bench" / "pump"
    home.unit_toml.write_text(home.unit_toml.read_text().replace(str(pump), "/dev/ttyUSB7"))

    _, findings = examined(home, capsys)

    noted = [one for one in findings["pump"] if one["state"] == "note"]
    assert "/dev/serial/by-id" in noted[0]["do"]
    assert all(one["state"] == "ok" for one in findings["balance"])


def test_every_fault_of_the_appliance_file_is_told_and_hides_nothing_else(home, capsys):
    home.unit_toml.write_text(home.unit_toml.read_text().replace("poll_ms = 250", "pol_ms = 250"))

    status, findings = examined(home, capsys)

    assert status == 1
    assert "device[1].pol_ms" in findings["unit.toml"][0]["words"]
    assert findings["record"][0]["state"] == "ok"


def test_a_unit_without_a_trusted_root_is_wrong(home, capsys):
    Trust().save(home.trust)

    status, findings = examined(home, capsys)

    assert status == 1
    assert "no root key" in findings["trust"][0]["words"]


def test_a_certificate_that_is_missing_is_wrong_where_a_central_is_named(home, capsys):
    home.unit_toml.write_text(
        home.unit_toml.read_text().replace("[central]", '[central]\nurl = "https://central.example"')
    )

    status, findings = examined(home, capsys)

    assert status == 1
    assert findings["certificate"][0]["state"] == "wrong"


def test_a_record_and_an_appliance_file_that_disagree_about_simulation_are_wrong(home, capsys):
    toml = home.unit_toml.read_text().replace("simulated = true", "simulated = false")
    home.unit_toml.write_text(toml.replace('clock_speed = "60"', ""))

    status, findings = examined(home, capsys)

    assert status == 1
    assert "do not agree" in findings["record"][-1]["words"]


def test_a_dead_engines_socket_is_wrong_but_an_engine_that_was_not_started_is_a_note(home, capsys):
    assert examined(home, capsys)[1]["engine"][0]["state"] == "note"

    home.run.mkdir()
    home.socket.touch()

    status, findings = examined(home, capsys)
    assert status == 1
    assert findings["engine"][0]["state"] == "wrong"


def test_a_running_engine_tells_how_its_devices_are(home, capsys):
    balance = DeviceView(
        id="balance",
        title="Balance",
        role="balance",
        state="ready",
        words="",
        readings=[ReadingView(name="weight_g", value="12.00", unit="g", quality="good", age_s="0.2")],
    )
    pump = DeviceView(id="pump", title="Pump", role="pump", state="silent", words="does not answer.")

    with serving(home, [balance, pump]):
        status, findings = examined(home, capsys)

    assert status == 1
    assert findings["engine"][0]["state"] == "ok"
    assert findings["balance"][0]["words"] == "weight_g 12.00 g (good, 0.2 s old)"
    assert findings["pump"][0]["state"] == "wrong"
    assert findings["pump"][0]["words"] == "does not answer."


@pytest.mark.requirement("F-029", "F-030")
def test_a_device_that_may_not_be_used_or_soon_may_not_is_told(home, capsys):
    def device(id: str, fitness: str) -> DeviceView:
        return DeviceView(id=id, title=id, role="pump", state="ready", words="", fitness=fitness)

    with serving(home, [device("one", "calibration ends today"), device("two", "NOT QUALIFIED: call")]):
        status, findings = examined(home, capsys)

    assert status == 1
    assert (findings["one"][0]["state"], findings["two"][0]["state"]) == ("note", "wrong")
    assert "cellwright unit qualify" in findings["two"][0]["do"]


def test_the_lines_for_people_say_state_subject_words_and_what_to_do(home, capsys):
    home.unit_key.chmod(0o644)

    doctor(["--home", str(home.root)])

    lines = capsys.readouterr().out.splitlines()
    wrong = next(line for line in lines if line.startswith("wrong"))
    assert wrong.split()[1:3] == ["unit", "key"]
    assert " → " in wrong


def test_a_home_that_is_not_there_is_wrong_usage(tmp_path, capsys):
    assert doctor(["--home", str(tmp_path / "nowhere")]) == 2

    assert "--home" in capsys.readouterr().err


@contextmanager
def serving(home: Home, devices: list[DeviceView]) -> Iterator[None]:
    """The engine's socket with a snapshot of these devices, served by a thread."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    server = LinkServer(home.socket, on_hello=lambda hello, caller: snapshot(devices), on_command=never_asked)

    async def begin() -> None:
        await server.start()
        ready.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(begin()), loop.run_forever()))
    thread.start()
    assert ready.wait(5)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def never_asked(command: Any, caller: Any) -> Any:
    raise AssertionError(command)


def snapshot(devices: list[DeviceView]) -> Snapshot:
    unit = UnitView(
        id="u",
        site="s",
        time_zone="UTC",
        simulated=True,
        clock_speed="1",
        software_version=__version__,
        term=4,
    )
    return Snapshot(
        seq=2,
        utc=NOW,
        time_trust="trusted",
        unit=unit,
        people=[],
        person=None,
        locked=False,
        stop_latched=False,
        orders=[],
        batch=None,
        prompts=[],
        alarms=[],
        devices=devices,
        timers=[],
        sync=SyncView(acknowledged_seq=0, behind=0),
        record=RecordView(seq=2, hash="", committed_at=None),
    )


@pytest.mark.requirement("R-37", "R-38")
def test_the_last_copy_and_the_last_drill_are_told_with_their_age(home, capsys):
    from appliance.record.copy_command import backup, restore

    before = _findings(home, capsys)
    medium = home.root / "medium"
    assert backup(["--home", str(home.root), "--to", str(medium)]) == 0
    copy = next(medium.iterdir())
    assert restore(["--home", str(home.root), str(copy), "--drill", "--reason", "Yearly proof"]) == 0
    _put_notes_on_record(home)
    capsys.readouterr()
    after = _findings(home, capsys)

    assert [one["state"] for one in before if one["about"] in ("copies", "restore drill")] == ["note", "note"]
    told = {one["about"]: one for one in after if one["about"] in ("copies", "restore drill")}
    assert {about: one["state"] for about, one in told.items()} == {"copies": "ok", "restore drill": "ok"}
    assert str(copy) in told["copies"]["words"]


def test_copies_on_the_disk_of_the_record_itself_are_told(home, capsys):
    folder = home.root / "copies"
    folder.mkdir()
    home.unit_toml.write_text(home.unit_toml.read_text() + f'[backup]\nfolder = "{folder}"\n')

    told = [one for one in _findings(home, capsys) if one["about"] == "copies"]

    assert any("lost with it" in one["words"] for one in told)


def _findings(home: Home, capsys: Any) -> list[dict[str, Any]]:
    doctor(["--home", str(home.root), "--json"])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _put_notes_on_record(home: Home) -> None:
    """What the engine does with the commands' notes."""
    from appliance.access.keys import load_key
    from appliance.record import copy_notes
    from appliance.record.canonical import encode_payload

    with Record.open(home.record, key=load_key(home.unit_key)) as record:
        for path, kind, body in list(copy_notes.waiting(home.record)):
            payload = encode_payload(None, None, body)
            record.append(kind, payload, actor="unit", stamp=stamp(ScaledClock(Decimal(1))))
            path.unlink()


def test_a_device_that_people_run_needs_no_port_and_is_told_with_its_qualified_serial_number(home, capsys):
    home.unit_toml.write_text(home.unit_toml.read_text() + SORTER)

    status, findings = examined(home, capsys)

    assert status == 0
    words = findings["sorter"][0]["words"]
    assert "qualified serial number SIM-CP-0001, calibrated until 2027-06-30" in words
    assert findings["station"][0]["state"] == "note" and "mount the stick" in findings["station"][0]["do"]
