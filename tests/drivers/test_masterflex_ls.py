"""The Masterflex L/S by its sheet: each row of the twin, and the driver's story on good and bad lines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from roller_peers import SheetOnlyMasterflex, roller_bench
from served_devices import wait_until

from drivers.catalog import device_type
from drivers.faults import DeviceRefused
from drivers.framing import BrokenFrame
from drivers.pumps.masterflex_ls import frame_of, take_masterflex
from drivers.settings import SettingRefused, settled
from drivers.simulated.clock import HandMovedClock
from drivers.simulated.masterflex_ls import MasterflexTwin
from drivers.simulated.world import World

TYPE = "masterflex-ls"
START = b"\x02P01G\r"
RUN = {"volume_ml": "2", "rate_ml_min": "40"}


class Desk:
    """A numbered twin, asked by hand."""

    def __init__(self, *, numbered: bool = True) -> None:
        self.clock = HandMovedClock()
        self.world = World(seed=1, now=self.clock)
        self.twin = MasterflexTwin(self.world)
        if numbered:
            assert self.ask(b"\x02P01\r") == b"\x06"

    def ask(self, data: bytes) -> bytes:
        return b"".join(self.twin.receive(data, 0.0))


SHEET_ROWS = [
    ("02 50 30 31 53 2B 30 36 30 2E 30 0D", "06"),
    ("02 50 30 31 47 30 0D", "15"),  # it starts, whatever it answers
    ("02 50 30 31 48 0D", "06"),
    ("02 50 30 31 53 0D", "02 53 2B 30 31 30 2E 30 0D"),
]
ROWS = [
    (b"\x02P01R\r", b"\x06"),
    (b"\x02P01L\r", b"\x06"),
    (b"\x02P01S+0600\r\x02P01S\r", b"\x06\x02S+600.0\r"),
    (b"\x02P01S-060.0\r\x02P01S\r", b"\x06\x02S-060.0\r"),
    (b"\x02P01S+0601\r", b"\x15"),
    (b"\x02P01V00010.00\r\x02P01E\r", b"\x06\x02E00010.00\r"),
    (b"\x02P01V99999.99\r", b"\x06"),
    (b"\x02P01V100000.00\r", b"\x15"),
    (b"\x02P01G\r", b"\x15"),
    (b"\x02P01V1\r\x02P01Z\r\x02P01E\r", b"\x06\x06\x02E00000.00\r"),
    (b"\x02P01Z0\r\x02P01C\r", b"\x06\x02C0000000.00\r"),
    (b"\x02P01I\r", b"\x02P01I00010\r"),
    (b"\x02P01RI\r", b"\x02P01I10010\r"),
    (b"\x02P01K\r", b"\x02K0\r"),
    (b"\x02P01A\r", b"\x02A0\r"),
    (b"\x02P01O10\r\x02P01B01\r", b"\x06\x06"),
    (b"\x02P01U05\r\x02P05I\r", b"\x06\x02P05I00010\r"),
    (b"\x02P01U90\r", b"\x15"),
    (b"\x02P02I\r", b""),
    (b"\x02P01S+1\x18\x02P01S\r", b"\x02S+010.0\r"),
    (b"\x02P01S+020.0V00005.00E\r", b"\x02E00005.00\r"),
    (b"\x02p01s\n\r", b"\x02S+010.0\r"),
    (b"\x02P99H\r", b""),
    (b"\x02P01X\r", b"\x15"),
    (b"\x05", b"\x02P01I00010\r"),
]


@pytest.mark.parametrize(("request_hex", "answer_hex"), SHEET_ROWS)
def test_the_twin_answers_the_bytes_of_the_sheet(request_hex: str, answer_hex: str) -> None:
    assert Desk().ask(bytes.fromhex(request_hex)) == bytes.fromhex(answer_hex)


@pytest.mark.parametrize(("request_bytes", "answer"), ROWS)
def test_the_twin_answers_each_row_of_the_sheet(request_bytes: bytes, answer: bytes) -> None:
    assert Desk().ask(request_bytes) == answer


def test_a_drive_that_was_switched_on_ignores_commands_until_it_has_a_number() -> None:
    desk = Desk(numbered=False)

    assert desk.ask(b"\x02P01S+060.0\r") == b""
    assert desk.ask(b"\x05") == bytes.fromhex("02 50 3F 30 0D")
    assert desk.ask(bytes.fromhex("02 50 30 31 0D")) == b"\x06"
    assert desk.ask(b"\x02P01S\r") == b"\x02S+010.0\r"

    desk.twin.restart(0.0)
    assert desk.ask(b"\x02P01I\r\x05") == b"\x02P?0\r"


def test_a_bounded_run_ends_and_its_counters_tell_of_it() -> None:
    desk = Desk()
    desk.ask(b"\x02P01RS+060.0V00010.00G\r")
    assert desk.ask(b"\x02P01I\r") == b"\x02P01I10030\r"

    desk.clock.move(4.0)
    assert desk.ask(b"\x02P01C\r\x02P01E\r") == b"\x02C0000004.00\r\x02E00006.00\r"
    desk.clock.move(60.0)

    assert desk.ask(b"\x02P01C\r\x02P01E\r\x02P01I\r") == (b"\x02C0000010.00\r\x02E00000.00\r\x02P01I10010\r")
    assert desk.world.tubing[1].moved_ml == pytest.approx(8.0)


def test_g0_answers_nak_and_runs_until_it_is_halted() -> None:
    desk = Desk()

    assert desk.ask(b"\x02P01S+060.0G0\r") == b"\x15"
    desk.clock.move(3600.0)
    assert desk.ask(b"\x02P01I\r\x02P01H\r\x02P01I\r") == b"\x02P01I10030\r\x06\x02P01I10010\r"
    assert desk.world.tubing[1].moved_ml == pytest.approx(60 * 60 * 0.8)


def test_acks_and_data_are_cut_and_what_is_neither_is_broken() -> None:
    buffer = bytearray(b"\x06\x02S+060.0\r\x15\x02P01I\r")
    assert [take_masterflex(buffer) for _ in range(5)] == [b"\x06", b"S+060.0", b"\x15", b"P01I", None]

    for damaged in (b"garbage\x02C1\r", b"\x02C000\x02C0000001.00\r"):
        buffer = bytearray(damaged)
        with pytest.raises(BrokenFrame):
            take_masterflex(buffer)
        assert take_masterflex(buffer) in (b"C1", b"C0000001.00")


def test_a_run_without_a_bound_is_never_asked_for() -> None:
    with pytest.raises(DeviceRefused, match="never given G0"):
        frame_of("01", "S+060.0G0")


@pytest.mark.parametrize(
    ("name", "value"),
    [("address", "00"), ("address", "90"), ("address", "1"), ("ml_per_rev", "0"), ("rpm_max", "900")],
)
def test_a_setting_it_cannot_have_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingRefused):
        settled(device_type(TYPE).settings, {name: value})


# The driver's story


def test_a_run_delivers_its_turns_and_ends_by_itself(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, ml_per_rev="1.7", address="07") as bench:
        told = bench.driver.order("infuse", {"volume_ml": "1.25", "rate_ml_min": "80"})
        assert sum(request == b"\x02P07G\r" for request in bench.sent()) == 1
        assert bench.shown()["state"].value == "infusing"
        wait_until(lambda: bench.shown()["state"].value == "stopped", 4.0, "the run did not end")

        delivered = bench.shown()["delivered_ml"]

        assert told["volume_ml"] == "1.241"
        assert (str(delivered.value), delivered.quality) == ("1.241", "good")
        assert "of 1.7 mL" in delivered.detail
        assert bench.world.tubing[1].moved_ml == pytest.approx(1.241)
        assert isinstance(bench.device.twin, MasterflexTwin)
        assert bench.device.twin.endless_runs == 0


@pytest.mark.requirement("F-028")
def test_stop_goes_out_first_and_leaves_nothing_to_run(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        bench.driver.order("infuse", {"volume_ml": "20", "rate_ml_min": "40"})
        before = len(bench.sent())

        began_s = time.monotonic()
        bench.driver.stop()

        assert time.monotonic() - began_s < 0.5
        assert bench.sent()[before] == b"\x02P01H\r"
        assert not bench.world.tubing[1].motion.moving
        bench.driver.stop()
        bench.driver.apply_safe_state("keep")
        assert bench.shown()["state"].value == "stopped"
        assert isinstance(bench.device.twin, MasterflexTwin)
        assert bench.device.twin.receive(b"\x02P01E\r", 0.0) == [b"\x02E00000.00\r"]
        assert bench.driver.order("clear", {}) == {"delivered_ml": "0"}
        assert bench.shown()["delivered_ml"].value == 0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"volume_ml": "5", "rate_ml_min": "81"}, r"pumps 0\.080 to 80\.000 mL/min"),
        ({"volume_ml": "5", "rate_ml_min": "0.01"}, r"pumps 0\.080 to 80\.000 mL/min"),
        ({"volume_ml": "0.005", "rate_ml_min": "20"}, r"runs 0\.008 to 79999\.992 mL at a time"),
        ({"volume_ml": "5", "rate_ml_min": "20", "diameter_mm": "26.7"}, "has no syringe"),
        ({"rate_ml_min": "20"}, "knows infuse"),
    ],
)
def test_an_impossible_run_is_refused_and_nothing_moves(
    tmp_path: Path, parameters: dict[str, str], words: str
) -> None:
    with roller_bench(TYPE, tmp_path, rpm_max="100") as bench:
        with pytest.raises(DeviceRefused, match=words):
            bench.driver.order("infuse", parameters)

        assert bench.world.tubing[1].moved_ml == 0
        assert START not in bench.sent()


def test_a_speed_the_drive_does_not_take_is_found_by_reading_it_back(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        assert isinstance(bench.device.twin, MasterflexTwin)
        bench.device.twin.rpm_max = 30.0

        with pytest.raises(DeviceRefused, match=r"holds 10\.0 rpm in place of 50\.0"):
            bench.driver.order("infuse", RUN)

        assert START not in bench.sent()


def test_a_nak_to_the_start_is_not_believed(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        assert isinstance(bench.device.twin, MasterflexTwin)
        bench.device.twin.nak_on_start = True

        told = bench.driver.order("infuse", RUN)

        assert told["volume_ml"] == "2.000"
        assert bench.world.tubing[1].motion.moving
        assert bench.sent().count(START) == 1


def test_an_ack_to_a_start_that_did_not_happen_is_not_believed(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        assert isinstance(bench.device.twin, MasterflexTwin)
        bench.device.twin.deaf_to_start = True

        with pytest.raises(DeviceRefused, match="nothing was moved"):
            bench.driver.order("infuse", RUN)

        assert bench.sent().count(START) == 1
        assert bench.world.tubing[1].moved_ml == 0


class LosesWhatStarts(MasterflexTwin):
    """The answer to a start, or the start itself, is lost."""

    loses_request = False

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        if data != START:
            return super().receive(data, now_s)
        if not self.loses_request:
            super().receive(data, now_s)
        return []


class LosesTheStart(LosesWhatStarts):
    loses_request = True


def test_a_start_whose_answer_is_lost_is_looked_for_and_never_sent_again(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, twin=LosesWhatStarts) as bench:
        bench.driver.order("infuse", RUN)

        assert bench.sent().count(START) == 1
        assert bench.world.tubing[1].motion.moving


def test_a_start_that_was_lost_is_refused_and_never_sent_again(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, twin=LosesTheStart) as bench:
        with pytest.raises(DeviceRefused, match="nothing was moved"):
            bench.driver.order("infuse", RUN)

        assert bench.sent().count(START) == 1
        assert bench.world.tubing[1].moved_ml == 0


@pytest.mark.parametrize(("answer", "starts"), [(b"\x06", True), (b"\x15", True), (b"\x06", False)])
def test_a_drive_whose_status_says_nothing_is_told_by_its_counter(
    tmp_path: Path, answer: bytes, starts: bool
) -> None:
    with roller_bench(TYPE, tmp_path, twin=SheetOnlyMasterflex) as bench:
        assert isinstance(bench.device.twin, SheetOnlyMasterflex)
        bench.device.twin.start_answer, bench.device.twin.starts_for_real = answer, starts

        fault = bench.fault_of(lambda: bench.driver.order("infuse", RUN))

        assert bench.device.twin.starts == 1
        assert (fault is None) == starts
        assert bench.shown()["state"].value == ("infusing" if starts else "stopped")
        bench.driver.stop()
        assert not bench.world.tubing[1].motion.moving
        assert bench.shown()["state"].value == "stopped"


def test_a_numbered_drive_is_opened_without_an_enquiry(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        bench.driver.close()
        bench.driver.line.trace.clear()
        bench.driver.open()

        assert b"\x05" not in bench.sent()


def test_a_drive_with_another_number_is_not_taken(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        assert isinstance(bench.device.twin, MasterflexTwin)
        bench.driver.close()
        bench.device.twin.number = 5

        with pytest.raises(DeviceRefused, match="has the number 05, not 01"):
            bench.driver.open()
