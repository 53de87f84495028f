"""The label printer at its line: a label is out when the printer counted it, and none is sent twice."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from printing import DOTS, LABEL_S, PrintRoom, fault_of, print_room, zpl
from served_devices import CELLWRIGHT, BenchProcess, wait_until

from drivers.catalog import driver_for
from drivers.faults import CutShort, DeviceFault, DeviceRefused, DeviceRestarted, LineLost, WrongDevice
from drivers.tcp_wire import TcpWire, answers_at, is_loopback
from drivers.trace import TraceEntry

F_091 = pytest.mark.requirement("F-091")


def cut_short(room: PrintRoom, job: str = "j1", copies: int = 1) -> CutShort:
    fault = fault_of(lambda: room.prints(job, copies))
    assert isinstance(fault, CutShort)
    return fault


@F_091
@pytest.mark.parametrize("tcp", [False, True], ids=["serial", "tcp"])
def test_a_label_that_was_sent_is_told_printed_when_it_lies_in_the_tray(tmp_path: Path, tcp: bool) -> None:
    with print_room(tmp_path, tcp=tcp) as room:
        result = room.prints(copies=2)

        assert result == {"printed": "2", "state": "ready", "counted_by": "odometer"}
        assert room.twin.came_out == [DOTS, DOTS]
        pictures = sorted((tmp_path / "printer-tray").glob("*.png"))
    with Image.open(pictures[0]) as picture:
        assert picture.size == (32, 24)
        assert bytes(byte ^ 0xFF for byte in picture.tobytes()) == DOTS
    assert len(pictures) == 2


@F_091
def test_the_dots_that_come_out_are_those_of_the_label_that_was_sent(tmp_path: Path) -> None:
    import numpy as np

    from vision.labels.label_outputs import as_zpl, dots_of

    label = noisy_label(width=333, height=120)
    with print_room(tmp_path, tcp=True) as room:
        room.prints(data=as_zpl(label))
        (picture,) = (tmp_path / "printer-tray").glob("*.png")

    with Image.open(picture) as came_out:
        assert np.array_equal(~np.asarray(came_out), dots_of(label))


@F_091
def test_bytes_that_were_taken_are_no_label_that_is_out(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.twin.label_s = 0.6
        began_s = time.monotonic()

        room.prints()

        assert time.monotonic() - began_s >= 0.6
        told = [{one.name: one.value for one in readings} for readings in room.told]
        assert {"state": "printing", "labels_done": "0", "labels_waiting": "1"} in told


@pytest.mark.requirement("F-091", "T18")
def test_paper_out_in_mid_job_tells_how_many_came_out_and_the_rest_follows_once(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.twin.stock = 1

        fault = cut_short(room, copies=3)

        assert (fault.kind, fault.result["printed"]) == ("paper_out", "1")
        assert "Load labels" in str(fault)
        assert room.read() == {"state": "paper_out", "labels_done": "1", "labels_waiting": "2"}
        room.twin.load(50)
        ended = room.until(lambda readings: readings["state"] == "ready" and readings["labels_done"] == "3")
        assert ended["labels_waiting"] == "0"
        time.sleep(2 * LABEL_S)
        assert room.out == 3, "none came twice"


@F_091
@pytest.mark.parametrize(
    ("hand", "word"),
    [("take_paper_out", "paper_out"), ("ribbon_out", "ribbon_out"), ("open_head", "head_open")],
)
def test_what_ends_in_the_middle_of_a_label_is_told_by_its_name(tmp_path: Path, hand: str, word: str) -> None:
    with print_room(tmp_path) as room:
        room.twin.label_s = 0.3
        with room.hand(lambda: room.out == 1, getattr(room.twin, hand)):
            fault = cut_short(room, copies=3)

        assert (fault.kind, fault.result["printed"], room.out) == (word, "1", 1)


@F_091
@pytest.mark.parametrize("word", ["paper_out", "head_open"])
def test_a_printer_that_is_not_ready_is_sent_nothing(tmp_path: Path, word: str) -> None:
    with print_room(tmp_path) as room:
        room.twin.errors[word] = True

        fault = cut_short(room)

        assert (fault.kind, fault.result["printed"]) == (word, "0")
        room.twin.errors[word] = False
        assert room.prints()["printed"] == "1", "that job was never sent, so that it may be now"
        assert room.out == 1


@F_091
def test_a_paused_printer_says_so_and_goes_on_at_its_key(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        with room.hand(lambda: room.out == 1, room.twin.press_pause):
            fault = cut_short(room, copies=2)
        assert (fault.kind, fault.result["printed"]) == ("paused", "1")

        room.twin.press_pause()

        assert room.until(lambda readings: readings["labels_done"] == "2")["state"] in ("printing", "ready")


@F_091
def test_one_job_is_printed_after_the_other_and_never_the_same_twice(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.prints("first")
        room.prints("second", copies=2)

        again = cut_short(room, "first")

        assert again.kind == "sent_before"
        assert "not sent twice" in str(again)
        assert room.out == 3


@F_091
def test_a_job_is_not_sent_behind_another_that_is_still_in_the_printer(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.twin.stock = 0
        room.twin.label_s = 0.5
        assert cut_short(room, "first", copies=3).kind == "paper_out"
        room.twin.load(10)

        second = cut_short(room, "second")

        assert (second.kind, second.result["printed"]) == ("printing", "0")
        assert room.driver.order("cancel", {})["state"] == "ready"
        assert room.out == 1, "the label in print is finished"


@F_091
def test_a_file_that_is_not_the_one_that_was_checked_is_not_sent(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        parameters = room.job()
        Path(parameters["zpl_file"]).write_bytes(zpl(1).replace(b"FF0F", b"FE0F"))

        fault = fault_of(lambda: room.driver.order("print", parameters))

        assert isinstance(fault, DeviceRefused)
        assert "not the file that was checked" in str(fault)
        assert room.out == 0


@F_091
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zpl(2), "the order says 1"),
        (zpl(1) + zpl(1), "not one label"),
        (zpl(1).replace(b"^FS", b"^FS~JR"), "not one label"),
        (zpl(1).replace(b"^FS", b"^FS^JUF"), "^JU"),
        (b"! U1 setvar\r\n" + zpl(1), "not one label"),
        (b"", "not one label"),
    ],
)
def test_a_file_that_holds_more_than_the_label_is_not_sent(tmp_path: Path, data: bytes, words: str) -> None:
    with print_room(tmp_path) as room:
        fault = fault_of(lambda: room.prints(data=data))

        assert isinstance(fault, DeviceRefused)
        assert words in str(fault)
        assert b"^XA" not in b"".join(one.data for one in room.driver.line.trace if one.direction == "out")


@F_091
def test_a_label_made_for_other_dots_is_refused(tmp_path: Path) -> None:
    with print_room(tmp_path, dpi="203") as room:
        fault = fault_of(lambda: room.prints(dpi="300"))

        assert isinstance(fault, CutShort)
        assert (fault.kind, fault.result["printed"]) == ("dpi", "0")
        assert "203 dots an inch, the label is made for 300" in str(fault)
        assert "203 dots an inch, the label is made for 300" in str(fault_of(lambda: room.prints("j2")))
        assert room.prints("j3", dpi="203")["printed"] == "1"


@F_091
def test_a_printer_with_other_dots_than_its_setting_is_not_opened(tmp_path: Path) -> None:
    with print_room(tmp_path, dpi="203") as room:
        room.driver.close()
        other = driver_for("zebra-zpl", {"dpi": "300"})(str(room.device.link))

        fault = fault_of(other.open)

        assert isinstance(fault, WrongDevice)
        assert "has 203 dots an inch, its setting dpi says 300" in str(fault)


@pytest.mark.requirement("F-091", "F-028")
def test_a_printer_switched_off_in_mid_job_is_unknown_and_then_tells_that_it_lost_the_rest(
    tmp_path: Path,
) -> None:
    with print_room(tmp_path) as room:
        room.driver.READ_S, room.driver.SILENT_S = 0.3, 0.6  # type: ignore[misc]
        room.driver.OUT_OF_REACH_S = 0.4  # type: ignore[misc]
        room.driver.LOST_S = 0.3  # type: ignore[misc]
        room.twin.label_s = 0.4
        with room.hand(lambda: room.out == 1, lambda: (time.sleep(0.2), room.twin.switch_off())):
            fault = cut_short(room, copies=3)
        assert (fault.kind, fault.result["printed"], fault.result["state"]) == ("silent", "1", "unknown")

        room.twin.boot_s = 0.1
        room.twin.switch_on(time.monotonic())
        room.twin.feed()  # as some do by themselves when they get power: counted, and no label of the job
        time.sleep(0.2)
        restarted = fault_of(lambda: room.until(lambda _: False))

        assert isinstance(restarted, DeviceRestarted)
        assert "1 of 3 came out" in str(restarted)
        assert room.read()["labels_waiting"] == "0"
        assert room.prints("j2", copies=2)["printed"] == "2"
        assert room.out == 3


@F_091
def test_a_short_loss_of_power_ends_the_order_as_lost(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.driver.LOST_S = 0.3  # type: ignore[misc]
        room.twin.boot_s = 0.05
        with room.hand(lambda: room.out == 1, room.device.restart):
            fault = cut_short(room, copies=3)

        assert (fault.kind, fault.result["printed"]) == ("lost", "1")
        assert room.read()["state"] == "ready"


@F_091
def test_a_label_more_than_ordered_is_told(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        with room.hand(lambda: room.out == 1, room.twin.feed):
            fault = cut_short(room, copies=2)

        assert (fault.kind, fault.result["printed"], fault.result["counted"]) == ("surplus", "2", "3")


@F_091
def test_what_is_fed_blank_after_loading_is_no_label_of_the_job(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.twin.stock = 1
        cut_short(room, copies=3)
        room.twin.label_s = room.twin._left_s = 0.5
        room.twin.load(10)
        room.twin.feed()
        room.twin.feed()

        readings = room.until(lambda readings: readings["state"] == "printing")

        assert (readings["labels_done"], readings["labels_waiting"]) == ("1", "2")


@pytest.mark.requirement("F-091", "F-028")
def test_a_line_that_breaks_under_a_job_leaves_it_unknown_and_sends_none_of_it_again(tmp_path: Path) -> None:
    rows = [bytes((row * 7 + column) % 251 for column in range(50)) for row in range(45)]
    with print_room(tmp_path, pace_baud=38400, line="38400-8N1") as room:
        with room.hand(lambda: len(room.told) >= 2, lambda: room.device.fault("unplug", 0.2)):
            fault = fault_of(lambda: room.prints(data=zpl(1, rows)))
        assert isinstance(fault, CutShort)
        assert (fault.kind, fault.result["printed"]) == ("silent", "0")
        room.driver.close()
        wait_until(room.device.link.exists, 5.0, "the line did not come back")
        room.driver.open()

        held = room.until(lambda readings: readings["state"] != "unknown")

        assert int(held["labels_waiting"]) <= 1
        sent = b"".join(one.data for one in room.driver.line.trace if one.direction == "out")
        assert sent.count(b"^XA") == 1


@pytest.mark.requirement("F-091", "F-028")
def test_half_a_job_of_a_process_that_died_is_forgotten_and_does_not_hold_up_the_next(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.driver.line.feed(zpl(1)[:60], wait_s=0.5)
        room.driver.close()
        again = driver_for("zebra-zpl", {})(str(room.device.link))
        again.HALF_S = 0.2  # type: ignore[attr-defined]
        again.open()
        assert {one.name: one.value for one in again.read()}["state"] == "printing"

        deadline = time.monotonic() + 5.0
        while {one.name: one.value for one in again.read()}["state"] != "ready":
            assert time.monotonic() < deadline

        assert again.order("print", room.job())["printed"] == "1"
        assert room.twin.came_out == [DOTS]
        again.close()


@F_091
def test_a_printer_without_a_count_is_refused_unless_it_is_set_so(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.twin.has_variables = False

        fault = fault_of(room.prints)

        assert isinstance(fault, DeviceRefused)
        assert "counter=batch" in str(fault)
        assert room.out == 0


@F_091
@pytest.mark.parametrize("flag", [False, True], ids=["counts down", "one until the end"])
def test_without_a_count_its_batch_is_believed_and_named(tmp_path: Path, flag: bool) -> None:
    with print_room(tmp_path, counter="batch") as room:
        room.twin.has_variables, room.twin.batch_is_a_flag = False, flag

        assert room.prints(copies=2) == {"printed": "2", "state": "ready", "counted_by": "batch"}
        assert room.out == 2


@F_091
def test_cancel_leaves_nothing_waiting_and_counts_what_came_out(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.twin.stock = 1
        cut_short(room, copies=3)

        result = room.driver.order("cancel", {})

        assert result["printed"] == "1"
        room.twin.load(10)
        time.sleep(3 * LABEL_S)
        assert (room.out, room.read()["labels_waiting"]) == (1, "0")


@pytest.mark.requirement("F-028")
def test_rubbish_on_the_line_is_no_state_and_no_label(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.device.fault("flood")
        time.sleep(0.1)
        assert "good" not in qualities(room)

        room.device.fault("none")

        deadline = time.monotonic() + 5.0
        while qualities(room) != {"good"}:
            assert time.monotonic() < deadline
        assert room.out == 0


def qualities(room: PrintRoom) -> set[str]:
    try:
        return {one.quality for one in room.driver.read()}
    except DeviceFault:
        return set()


def noisy_label(*, width: int, height: int) -> Any:
    """Return a label as far as `as_zpl` looks at it: a picture of chance, with white and black lines."""
    import numpy as np

    black = np.random.default_rng(7).random((height, width)) < 0.5
    black[10:14], black[20:22], black[:, 300:] = False, True, False
    buffer = io.BytesIO()
    Image.fromarray(~black).save(buffer, format="PNG")
    return SimpleNamespace(png=buffer.getvalue())


@F_091
def test_a_long_job_on_a_slow_line_goes_on_telling_that_it_lives(tmp_path: Path) -> None:
    rows = [bytes((row * 7 + column) % 251 for column in range(50)) for row in range(34)]
    with print_room(tmp_path, pace_baud=38400, line="38400-8N1") as room:
        # A line this slow answers byte by byte, and the newest few hundred entries would not reach back.
        room.driver.line.traced.spool = spool = deque[TraceEntry]()
        began_s = time.monotonic()

        room.prints(data=zpl(1, rows))

        assert time.monotonic() - began_s > 0.8, "3.4 kB at 38400 baud"
        assert len(room.told) >= 2
        assert {one.quality for readings in room.told[:2] for one in readings} == {"uncertain"}
        assert room.twin.came_out == [b"".join(rows)]
        fed = [one for one in spool if one.direction == "out" and one.size > 200]
        assert fed, "the job went out in pieces"
        assert max(len(one.data) for one in fed) <= 24, "what a label says is not for the trace"


@F_091
def test_a_printer_that_asks_to_wait_is_waited_for(tmp_path: Path) -> None:
    rows = [bytes((row * 7 + column) % 251 for column in range(100)) for row in range(300)]
    with print_room(tmp_path) as room:
        room.twin.buffer_bytes, room.twin.reads_bytes_s = 40_000, 100_000.0
        asked: list[float] = []

        with room.hand(lambda: room.twin.asks_to_wait, lambda: asked.append(time.monotonic())):
            result = room.prints(data=zpl(1, rows))

        assert asked, "60 kB are more than its buffer holds"
        assert result["printed"] == "1"
        assert room.twin.came_out == [b"".join(rows)]


@F_091
def test_a_dead_dot_of_the_head_is_a_white_line_along_the_label(tmp_path: Path) -> None:
    with print_room(tmp_path) as room:
        room.twin.dead_dots = (12,)

        room.prints()

        (label,) = room.twin.came_out
        mask = int.from_bytes(bytes((0xFF, 0xF7, 0xFF, 0xFF)) * 24, "big")
        assert int.from_bytes(label, "big") == int.from_bytes(DOTS, "big") & mask
        assert label != DOTS


@pytest.mark.requirement("F-028")
def test_a_tcp_connection_that_broke_is_made_anew_and_the_count_goes_on(tmp_path: Path) -> None:
    with print_room(tmp_path, tcp=True) as room:
        room.twin.stock = 1
        cut_short(room, copies=3)
        room.device.fault("unplug", 0.2)
        assert isinstance(fault_of(lambda: room.until(lambda _: False)), LineLost)
        room.driver.close()
        room.twin.load(10)

        deadline = time.monotonic() + 5.0
        while True:
            try:
                room.driver.open()
                break
            except LineLost:
                assert time.monotonic() < deadline
                time.sleep(0.05)

        assert room.until(lambda readings: readings["labels_done"] == "3")["labels_waiting"] == "0"
        assert room.out == 3


def test_a_second_program_is_told_that_a_tcp_port_is_taken(tmp_path: Path) -> None:
    with print_room(tmp_path, tcp=True) as room:
        second = driver_for("zebra-zpl", {})(room.driver.line.port)

        fault = fault_of(second.open)

        assert isinstance(fault, LineLost)
        assert "another program holds" in str(fault)
        assert room.read()["state"] == "ready"


def test_an_address_where_nothing_listens_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert answers_at(free)

    fault = fault_of(driver_for("zebra-zpl", {})(free).open)

    assert isinstance(fault, LineLost)
    assert "nothing answers at" in str(fault)
    assert not answers_at(free)


def test_another_name_of_this_machine_is_no_printers_address() -> None:
    """A twin must not pass for a printer because its address does not look like one of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"tcp://0.0.0.0:{server.getsockname()[1]}"
        assert not is_loopback(port)

        fault = fault_of(driver_for("zebra-zpl", {})(port).open)

    assert isinstance(fault, LineLost)
    assert "leads to this machine" in str(fault)


@pytest.mark.parametrize(
    ("port", "here"),
    [
        ("tcp://127.0.0.1:9100", True),
        ("tcp://localhost:9100", True),
        ("tcp://[::1]:9100", True),
        ("tcp://192.168.1.20:9100", False),
        ("tcp://127.0.0.1.example.org:9100", False),
        ("tcp://printer:9100", False),
        ("tcp://", False),
    ],
)
def test_a_port_on_this_machine_is_known_by_its_name(port: str, here: bool) -> None:
    assert is_loopback(port) is here


@pytest.mark.soak
def test_a_printer_that_takes_no_bytes_for_long_keeps_its_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        wire = TcpWire(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        sent, began_s = 0, time.monotonic()
        while time.monotonic() - began_s < 15.0:
            sent += wire.write_some(b"x" * 65536, 0.5)
        received = 0
        while received < sent:
            received += len(peer.recv(65536))
        wire.close()
        peer.close()

    assert received == sent


@F_091
def test_hands_at_the_bench_load_the_printer_and_the_command_prints(
    tmp_path: Path, cellwright: Callable[..., Any]
) -> None:
    file = tmp_path / "label.zpl"
    file.write_bytes(zpl(2))
    bench = BenchProcess(tmp_path, "--with", "zebra-zpl=printer")
    try:
        bench.do("printer", device="printer", act="leave", labels=1)
        refused = bench.ask("printer", device="balance", act="load")
        order = ("device", "order", "zebra-zpl", "--port", bench.port("printer"), "--json", "print", "job=a")
        sha256 = hashlib.sha256(zpl(2)).hexdigest()

        said = cellwright(*order, f"zpl_file={file}", "copies=2", f"sha256={sha256}")

        told = json.loads(said.stdout)
        assert (told["fault"], told["result"]["printed"]) == ("paper_out", "1")
        assert "no printer" in refused["words"]
        bench.do("printer", device="printer", act="load", labels=10)
        wait_until(lambda: printer_of(bench)["state"] == "ready", 5.0, "the rest did not come")
        assert printer_of(bench)["labels_out"] == 2
    finally:
        bench.end()


def printer_of(bench: BenchProcess) -> dict[str, Any]:
    printer: dict[str, Any] = bench.do("state")["printers"]["printer"]
    return printer


@pytest.mark.soak
def test_a_simulated_printer_at_a_tcp_port_conforms_by_the_command(
    tmp_path: Path, cellwright: Callable[..., Any]
) -> None:
    link = tmp_path / "printer"
    simulate = [str(CELLWRIGHT), "device", "simulate", "zebra-zpl", "--link", str(link), "--tcp", "0"]
    process = subprocess.Popen(simulate)
    try:
        wait_until(link.exists, 20.0, "the twin did not start")

        said = cellwright("device", "conform", "zebra-zpl", "--port", link.read_text().strip(), "--json")

        assert said.returncode == 0, said.stdout
        taken = cellwright("device", "simulate", "mt-sics", "--link", tmp_path / "x", "--tcp", "0")
        assert taken.returncode == 2
    finally:
        process.terminate()
        process.wait(10)
    assert not link.exists()
