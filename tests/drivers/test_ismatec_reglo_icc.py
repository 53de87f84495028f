"""The Reglo ICC by its sheet: each row of the twin, and the driver's story on good and bad lines."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from roller_peers import SheetOnlyReglo, roller_bench
from served_devices import wait_until

from drivers.catalog import device_type
from drivers.faults import DeviceRefused, DeviceSilent
from drivers.pumps.ismatec_reglo_icc import request_of, take_reglo, volume_of, volume_type_2
from drivers.settings import SettingRefused, settled
from drivers.simulated.clock import HandMovedClock
from drivers.simulated.ismatec_reglo_icc import RegloTwin
from drivers.simulated.world import World

TYPE = "ismatec-reglo-icc"
RUN = {"volume_ml": "2", "rate_ml_min": "40"}


class Desk:
    """A twin in channel addressing, asked by hand."""

    def __init__(self) -> None:
        self.clock = HandMovedClock()
        self.world = World(seed=1, now=self.clock)
        self.twin = RegloTwin(self.world)
        assert self.ask("1~1\r0xE0\r") == b"**"

    def ask(self, text: str) -> bytes:
        return b"".join(self.twin.receive(text.encode("ascii"), 0.0))


SHEET_ROWS = [
    ("@1\r", b"*"),
    ("1~\r", b"1\r\n"),
    ("1~0\r1~\r1~1\r", b"*0\r\n*"),
    ("0x!\r", b"2\r\n"),
    ("0xE0\r", b"*"),
    ("2S012300\r", b"#"),  # above this head's 100 rpm
    ("2S001230\r2S\r", b"*12.30\r\n"),
    ("4S\r", b"10.00\r\n"),
    ("1J\r1xD\r", b"*J\r\n"),
    ("1K\r1xD\r", b"*K\r\n"),
    ("4v3000+2\r", b"3000E+2\r\n"),
    ("4v3000+2\r\n", b"3000E+2\r\n"),
    ("1f1300-3\r", b"1300E-3\r\n"),
    ("1f1300-3\r1f\r", b"1300E-3\r\n1300E-3\r\n"),
    ("1f9000+3\r", b"4301E+1\r\n"),  # more than the tubing carries: what was set is less
    ("1v9999+9\r", b"9999E+3\r\n"),
    *[(f"1{mode}\r1xM\r", b"*" + mode.encode() + b"\r\n") for mode in "LMOGNQP"],
    ("1O\r1f1000+1\r1v1000+0\r1H\r1E\r", b"*1000E+1\r\n1000E+0\r\n*+"),
    ("3I\r3E\r", b"*-"),
    ("1xI\r1E\r", b"*-"),
    ("1M\r1f0000+0\r1H\r1xe\r", b"*0000E+0\r\n-R 43.01\r\n"),
    ("1Q\r1H\r1xe\r", b"*-C 0000E+0\r\n"),
    ("1O\r1v0000+0\r1H\r1xe\r", b"*0000E+0\r\n-V 9999.00\r\n"),
    ("1xG\r", b"0000000000\r\n"),
    ("1xT00000150\r1xT\r", b"*150\r\n"),
    ("1+\r", b"3.17 mm\r\n"),
    ("1+0051\r1+\r", b"*0.51 mm\r\n"),
    ("1#\r", b"REGLO ICC 0208 408\r\n"),
    ("5E\r", b"#"),
    ("nonsense\r", b"#"),
    ("1A\r1B\r", b"**"),
]


@pytest.mark.parametrize(("requests", "answers"), SHEET_ROWS)
def test_the_twin_answers_each_row_of_the_sheet(requests: str, answers: bytes) -> None:
    assert Desk().ask(requests) == answers


@pytest.mark.parametrize(
    ("mode", "moved_ml"), [("1O\r", 1.5), ("1G\r1xT00000030\r", 1.5), ("1N\r1xT00000030\r", 1.0)]
)
def test_the_modes_that_are_bounded_end_by_themselves(mode: str, moved_ml: float) -> None:
    desk = Desk()
    desk.ask(f"1f2000+1\r1v1500+0\r{mode}")
    assert desk.ask("1H\r1E\r") == b"*+"

    desk.clock.move(30.0)

    assert desk.ask("1E\r") == b"-"
    assert desk.world.tubing[1].moved_ml == pytest.approx(moved_ml)
    assert desk.ask("1xG\r") == b"0000000001\r\n"


def test_in_rpm_and_flow_mode_nothing_ends_a_run() -> None:
    desk = Desk()
    desk.ask("1M\r1f2000+1\r1H\r2L\r2H\r")

    desk.clock.move(600.0)

    assert desk.ask("1E\r2E\r0I\r1E\r2E\r") == b"++*--"


def test_event_messages_come_unasked_until_they_are_switched_off() -> None:
    desk = Desk()
    desk.ask("1xE1\r1O\r1f2000+1\r1v1000+0\r")

    assert desk.ask("1H\r") == b"*^U1\r\n"
    desk.clock.move(5.0)
    assert desk.twin.tick(0.0) == [b"^X1\r\n"]

    desk.ask("1xE0\r1H\r")
    desk.clock.move(5.0)
    assert desk.twin.tick(0.0) == []


def test_a_pump_in_legacy_addressing_answers_to_its_own_address_only() -> None:
    twin = RegloTwin(World(), {"address": "3"})

    assert b"".join(twin.receive(b"3E\r2E\r@5\r5E\r3~\r", 0.0)) == b"-*-0\r\n"


def test_both_shapes_of_an_answer_are_cut_and_an_echo_ends_with_its_cr() -> None:
    buffer = bytearray(b"*+1300E-3\r\n1E\r-^X1|0\r\n#R 12.30\r\n1xG\r")

    taken = [take_reglo(buffer) for _ in range(9)]

    assert taken == [b"*", b"+", b"1300E-3", b"1E", b"-", b"^X1|0", b"#", b"R 12.30", None]


@pytest.mark.parametrize(
    ("value", "sent"),
    [("300", "3000+2"), ("0.0013", "1300-3"), ("12.349", "1234+1"), ("9.9999", "9999+0"), ("1", "1000+0")],
)
def test_numbers_are_written_as_the_sheet_prints_them(value: str, sent: str) -> None:
    assert volume_type_2(Decimal(value)) == sent


@given(st.decimals(min_value="0.000001", max_value="99999", places=6))
@hypothesis_settings(derandomize=True, deadline=None)
def test_a_number_is_never_rounded_up(value: Decimal) -> None:
    sent = volume_of(volume_type_2(value))

    assert value * Decimal("0.999") < sent <= value


@pytest.mark.parametrize("command", ["0", "000000", "*", "@3"])
def test_what_would_reset_the_pump_or_lose_its_calibration_is_never_sent(command: str) -> None:
    with pytest.raises(DeviceRefused, match="never sent"):
        request_of("1", command)


@pytest.mark.parametrize(
    ("name", "value"), [("address", "9"), ("channel", "0"), ("channel", "5"), ("tubing", "1")]
)
def test_a_setting_it_cannot_have_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingRefused):
        settled(device_type(TYPE).settings, {name: value})


# The driver's story


def test_a_run_delivers_its_volume_on_its_channel_and_ends_by_itself(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, channel="3") as bench:
        told = bench.driver.order("infuse", {"volume_ml": "1.25", "rate_ml_min": "40"})
        assert sum(request.endswith(b"H\r") for request in bench.sent()) == 1
        assert bench.shown()["state"].value == "infusing"
        wait_until(lambda: bench.shown()["state"].value == "stopped", 4.0, "the run did not end")

        delivered = bench.shown()["delivered_ml"]

        assert told == {"volume_ml": "1.250", "rate_ml_min": "40.00"}
        assert (delivered.value, delivered.quality) == (Decimal("1.250"), "good")
        assert "steps of 1 mL" in delivered.detail
        assert bench.world.tubing[3].moved_ml == pytest.approx(1.25)
        assert sum(tubing.moved_ml for tubing in bench.world.tubing.values()) == pytest.approx(1.25)
        assert bench.driver.identify().firmware == "0208"


@pytest.mark.requirement("F-028")
def test_stop_goes_out_first_and_a_stopped_run_counts_only_what_was_counted(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        bench.driver.order("infuse", {"volume_ml": "20", "rate_ml_min": "40"})
        bench.world.start_rollers(4, rate_ml_min=1.0, volume_ml=None, infusing=True)
        before = len(bench.sent())

        began_s = time.monotonic()
        bench.driver.stop()

        assert time.monotonic() - began_s < 0.5
        assert bench.sent()[before] == b"1I\r"
        assert not any(tubing.motion.moving for tubing in bench.world.tubing.values())
        bench.driver.stop()
        bench.driver.apply_safe_state("keep")
        shown = bench.shown()
        assert (shown["state"].value, shown["delivered_ml"].value) == ("stopped", Decimal(0))
        assert bench.driver.order("clear", {}) == {"delivered_ml": "0"}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"volume_ml": "5", "rate_ml_min": "80"}, "holds the rate 43.01 in place of 80"),
        ({"volume_ml": "20000", "rate_ml_min": "20"}, "holds the volume 9999 in place of 2"),
        ({"volume_ml": "5", "rate_ml_min": "20", "diameter_mm": "26.7"}, "has no syringe"),
        ({"volume_ml": "5"}, "knows infuse"),
        ({"volume_ml": "-5", "rate_ml_min": "5"}, "above 0"),
        ({"volume_ml": "NaN", "rate_ml_min": "5"}, "above 0"),
    ],
)
def test_an_impossible_run_is_refused_and_nothing_moves(
    tmp_path: Path, parameters: dict[str, str], words: str
) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        with pytest.raises(DeviceRefused, match=words):
            bench.driver.order("infuse", parameters)

        assert bench.world.tubing[1].moved_ml == 0
        assert not any(request.endswith(b"H\r") for request in bench.sent())


def test_a_second_run_while_one_goes_on_is_refused(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        bench.driver.order("infuse", {"volume_ml": "20", "rate_ml_min": "20"})

        with pytest.raises(DeviceRefused, match="is running"):
            bench.driver.order("infuse", RUN)
        with pytest.raises(DeviceRefused, match="is running"):
            bench.driver.order("clear", {})


def test_why_a_start_was_refused_is_asked(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, twin=SheetOnlyReglo) as bench:
        assert isinstance(bench.device.twin, SheetOnlyReglo)
        bench.device.twin.refuses_with = "R 12.30"

        with pytest.raises(DeviceRefused, match=r"the rate is out of its range, its limit is 12\.30"):
            bench.driver.order("infuse", RUN)

        assert bench.device.twin.starts == 1


def test_a_pump_that_knows_the_sheets_rows_only_is_driven_all_the_same(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, twin=SheetOnlyReglo) as bench:
        assert {reading.quality for reading in bench.shown().values()} == {"good"}
        assert bench.driver.identify().firmware == "protocol 2"

        bench.driver.order("infuse", {"volume_ml": "1", "rate_ml_min": "40"})
        wait_until(lambda: bench.shown()["state"].value == "stopped", 5.0, "the run did not end")

        assert bench.shown()["delivered_ml"].value == 1
        assert bench.world.tubing[1].moved_ml == pytest.approx(1.0)


def test_channel_addressing_is_written_on_change_only(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        bench.driver.close()
        bench.driver.line.trace.clear()
        bench.driver.open()

        assert b"1~1\r" not in bench.sent()
        assert not isinstance(bench.fault_of(bench.driver.read), DeviceSilent)


class LosesWhatStarts(RegloTwin):
    """The answer to a start, or the start itself, is lost."""

    loses_request = False

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        if not data.endswith(b"H\r"):
            return super().receive(data, now_s)
        if not self.loses_request:
            super().receive(data, now_s)
        return []


class LosesTheStart(LosesWhatStarts):
    loses_request = True


def test_a_start_whose_answer_is_lost_is_looked_for_and_never_sent_again(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, twin=LosesWhatStarts) as bench:
        told = bench.driver.order("infuse", RUN)

        assert told["volume_ml"] == "2.000"
        assert sum(request.endswith(b"H\r") for request in bench.sent()) == 1
        assert bench.world.tubing[1].motion.moving


def test_a_start_that_was_lost_is_refused_and_never_sent_again(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, twin=LosesTheStart) as bench:
        with pytest.raises(DeviceRefused, match="Nothing was moved"):
            bench.driver.order("infuse", RUN)

        assert sum(request.endswith(b"H\r") for request in bench.sent()) == 1
        assert bench.world.tubing[1].moved_ml == 0


def test_events_that_came_back_are_switched_off_again(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        assert isinstance(bench.device.twin, RegloTwin)
        bench.device.twin.events = True

        bench.driver.order("infuse", {"volume_ml": "1", "rate_ml_min": "40"})
        wait_until(lambda: bench.shown()["state"].value == "stopped", 4.0, "the run did not end")
        wait_until(
            lambda: bench.fault_of(bench.driver.read) is None and not bench.device.twin.events,
            2.0,
            "event messages stay on",
        )

        assert bench.shown()["delivered_ml"].value == Decimal("1.000")


def test_no_story_reset_the_pump_or_lost_its_calibration(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path) as bench:
        bench.driver.order("infuse", RUN)
        bench.driver.stop()
        bench.driver.order("clear", {})

        assert isinstance(bench.device.twin, RegloTwin)
        assert (bench.device.twin.factory_resets, bench.device.twin.calibrated) == (0, True)


class AnswersOneLate(RegloTwin):
    """Keeps the next answer to `1E` back for longer than a time-out."""

    LATE_S = 0.45
    keeps_back = False
    _kept: tuple[float, bytes] | None = None

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        answers = super().receive(data, now_s)
        if self.keeps_back and data == b"1E\r":
            self.keeps_back, self._kept = False, (now_s + self.LATE_S, answers[0])
            return []
        return answers

    def tick(self, now_s: float) -> list[bytes]:
        late = self._kept
        if late is None or now_s < late[0]:
            return super().tick(now_s)
        self._kept = None
        return [late[1], *super().tick(now_s)]


def test_a_late_yes_never_answers_whether_the_pump_runs_now(tmp_path: Path) -> None:
    with roller_bench(TYPE, tmp_path, twin=AnswersOneLate) as bench:
        bench.driver.order("infuse", {"volume_ml": "20", "rate_ml_min": "40"})
        assert isinstance(bench.device.twin, AnswersOneLate)
        bench.device.twin.keeps_back = True
        bench.fault_of(bench.driver.read)
        bench.world.stop_rollers(1)

        states = [bench.shown()["state"] for _ in range(4)]

        assert not any(state.quality == "good" and state.value == "infusing" for state in states)
        assert states[-1].value == "stopped"
