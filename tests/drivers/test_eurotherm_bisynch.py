"""EI-Bisynch: the sheet's rows at either end, the driver against lines and units as they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fuzzed_replies import Script
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_line import PORT, MemoryWire, on_virtual_time
from served_devices import served

from drivers import line
from drivers.bisynch import BisynchUnit, question, write_request
from drivers.catalog import device_type, driver_for, twin_for
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    WrongDevice,
)
from drivers.framing import bcc_block
from drivers.line import LineSettings
from drivers.reading import Reading
from drivers.settings import SettingRefused
from drivers.simulated.eurotherm_3200 import EurothermTwin
from drivers.simulated.faults import LineFaults
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.world import World
from drivers.temperature.eurotherm_bisynch import BisynchController

TYPE = "eurotherm-3200"
BISYNCH = {"protocol": "bisynch"}
ACK, NAK, EOT = b"\x06", b"\x15", b"\x04"
READ_PV = bytes.fromhex("04 30 30 31 31 50 56 05")
TOLD_PV = bytes.fromhex("02 50 56 33 36 2E 35 03 1B")
WRITE_SL = b"\x040011\x02SL37.0\x03\x06"


def as_on_the_sheet(**more: str) -> EurothermTwin:
    """A unit at 36.5 °C that works to 37.0 °C; its time stands."""
    world = World(now=lambda: 0.0)
    world.incubator.temperature_c = 36.5
    return EurothermTwin(world, BISYNCH | more)


def answered(twin: EurothermTwin, request: bytes) -> bytes:
    return b"".join(twin.receive(request, time.monotonic()))


@pytest.mark.requirement("F-025")
def test_questions_and_writes_are_the_sheets_to_the_byte() -> None:
    assert question(1, "PV") == READ_PV
    assert write_request(1, "SL", "37.0") == WRITE_SL
    assert question(12, "PV") == b"\x041122PV\x05"
    assert question(90, "OP") == b"\x049900OP\x05"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (READ_PV, TOLD_PV),
        (question(1, "SL"), bcc_block(b"SL37.0")),
        (question(1, "OP"), bcc_block(b"OP42.5")),
        (question(1, "EE"), bcc_block(b"EE>0000")),
        (question(1, "XX"), EOT),
        (question(2, "PV"), b""),
        (WRITE_SL, ACK),
        (write_request(1, "SL", "  38"), ACK),
        (write_request(1, "SL", "warm"), NAK),
        (write_request(1, "SL", "6590.6"), NAK),
        (write_request(1, "PV", "37.0"), NAK),
        (write_request(2, "SL", "37.0"), b""),
        (WRITE_SL[:-1] + b"\x07", NAK),
        (b"\x040011PV", b""),
        (b"\x0401PV\x05", b""),
        (b"\x00\x7f\x040011P" + READ_PV, TOLD_PV),
        (READ_PV * 2, TOLD_PV * 2),
    ],
)
def test_the_twin_answers_as_the_sheet_says(request_: bytes, answer: bytes) -> None:
    assert answered(as_on_the_sheet(), request_) == answer


def test_the_twin_takes_a_request_in_pieces_and_tells_why_it_refused() -> None:
    twin = as_on_the_sheet(address="12")
    pieces = [twin.receive(bytes((byte,)), 1.0) for byte in write_request(12, "SL", "138.0")]

    assert [piece for piece in pieces if piece] == [[NAK]]
    assert answered(twin, question(12, "EE")) == bcc_block(b"EE>0004")
    assert answered(twin, question(12, "SL")) == bcc_block(b"SL37.0")
    assert twin.eeprom_writes == 0


class Line(LineFaults):
    """A line that does with each answer what a story says: pieces, each with the delay before it."""

    def __init__(self, does: Callable[[bytes], list[tuple[float, bytes]]], *, echoes: bool = False) -> None:
        super().__init__()
        self.does, self.echoes = does, echoes
        self.heard: list[bytes] = []

    def request(self, data: bytes, now_s: float) -> bytes:
        self.heard.append(data)
        return data

    def reply(self, data: bytes) -> list[tuple[float, bytes]]:
        return self.does(data)

    def echo(self, data: bytes) -> bytes:
        return data if self.echoes else b""


@contextmanager
def oven_on(
    line_: LineFaults, folder: Path, **more: str
) -> Iterator[tuple[BisynchController, EurothermTwin]]:
    """A driver, open, and its twin, with such a line between them."""
    twin = as_on_the_sheet()
    with served(PtyDevice(twin, folder / "oven", faults=line_)):
        made: Any = driver_for(TYPE, BISYNCH | more)(str(folder / "oven"))
        assert isinstance(made, BisynchController)
        made.open()
        yield made, twin
        made.close()


def clean(answer: bytes) -> list[tuple[float, bytes]]:
    return [(0.0, answer)]


def by_name(readings: list[Reading]) -> dict[str, Reading]:
    return {reading.name: reading for reading in readings}


@pytest.mark.requirement("F-025")
def test_a_unit_is_read_and_set_and_its_memory_written_on_change_only(tmp_path: Path) -> None:
    with oven_on(Line(clean), tmp_path) as (oven, twin):
        shown = by_name(oven.read())

        assert {name: (one.value, one.quality) for name, one in shown.items()} == {
            "bath_c": (Decimal("36.5"), "good"),
            "setpoint_c": (Decimal("37.0"), "good"),
            "output_percent": (Decimal("42.5"), "good"),
        }
        for setpoint_c in ("38.5", "38.50", "37", "37.0"):
            told = oven.order("set", {"setpoint_c": setpoint_c})
            assert told == {"setpoint_c": f"{Decimal(setpoint_c):.1f}"}
        assert twin.world.incubator.setpoint_c == 37.0
        (worn,) = oven.wear()
        assert (worn.writes, worn.limit, twin.eeprom_writes) == (2, 100_000, 2)


LINES: dict[str, Line] = {
    "slow, 200 ms": Line(lambda answer: [(0.2, answer)]),
    "an adapter that echoes": Line(lambda answer: [(0.02, answer)], echoes=True),
    "in two pieces": Line(lambda answer: [(0.0, answer[:3]), (0.03, answer[3:])]),
    "one byte at a time": Line(lambda answer: [(0.002, bytes((byte,))) for byte in answer]),
}


@pytest.mark.parametrize("name", LINES)
def test_a_healthy_unit_reads_good_and_takes_a_set_point_on_any_line(name: str, tmp_path: Path) -> None:
    with oven_on(LINES[name], tmp_path) as (oven, _):
        began_s = time.monotonic()
        shown = by_name(oven.read())

        assert time.monotonic() - began_s < 1.0
        assert {reading.quality for reading in shown.values()} == {"good"}
        assert shown["bath_c"].value == Decimal("36.5")
        assert oven.order("set", {"setpoint_c": "36.9"}) == {"setpoint_c": "36.9"}


def test_a_number_may_be_told_with_blanks_sign_or_more_digits(tmp_path: Path) -> None:
    told = [b"36.5"]
    line_ = Line(lambda one: clean(bcc_block(b"PV" + told[0]) if one == TOLD_PV else one))
    with oven_on(line_, tmp_path) as (oven, _):
        for told[0] in (b"36.50", b" 36.5", b"36.5 ", b"+36.5", b"036.5", b"36.5000000000"):
            bath = by_name(oven.read())["bath_c"]
            assert (bath.value, bath.quality) == (Decimal("36.5"), "good"), told


def test_a_unit_that_does_not_tell_its_output_is_read_without_it(tmp_path: Path) -> None:
    line_ = Line(lambda answer: clean(EOT if answer.startswith(b"\x02OP") else answer))
    with oven_on(line_, tmp_path) as (oven, _):
        shown = by_name(oven.read())

        assert set(shown) == {"bath_c", "setpoint_c"}
        assert {reading.quality for reading in shown.values()} == {"good"}


def test_a_unit_tells_no_number_for_a_temperature_that_it_does_not_have(tmp_path: Path) -> None:
    line_ = Line(lambda one: clean(bcc_block(b"PV-----") if one.startswith(b"\x02PV") else one))
    with oven_on(line_, tmp_path) as (oven, _):
        bath = by_name(oven.read())["bath_c"]

        assert (bath.value, bath.quality) == (None, "bad")


def test_a_full_scale_value_is_no_temperature_where_the_range_is_known(tmp_path: Path) -> None:
    with oven_on(Line(clean), tmp_path, range_high_c="100") as (oven, twin):
        twin.sensor_broken = True

        bath = by_name(oven.read())["bath_c"]

        assert (bath.value, bath.quality) == (None, "bad")
        assert "out of range" in bath.detail
        with pytest.raises(DeviceRefused, match="up to 100"):
            oven.order("set", {"setpoint_c": "100.1"})


@pytest.mark.requirement("F-028")
def test_what_it_cannot_know_is_left_out_and_what_it_cannot_do_is_refused_unsent(tmp_path: Path) -> None:
    line_ = Line(clean)
    with oven_on(line_, tmp_path) as (oven, twin):
        assert not {"running", "alarm"} & set(by_name(oven.read()))
        sent = len(line_.heard)

        for order in ("start", "stop"):
            with pytest.raises(DeviceRefused, match="Use its keys"):
                oven.order(order, {})
        with pytest.raises(DeviceRefused, match="Switch the heater off at the unit"):
            oven.stop()
        with pytest.raises(DeviceRefused, match="at the unit"):
            oven.apply_safe_state("stop")
        oven.apply_safe_state("keep")

        assert len(line_.heard) == sent
        assert twin.world.incubator.running


@pytest.mark.parametrize(
    ("setpoint_c", "words"), [("37.05", "steps of 0.1"), ("warm", "a temperature"), ("1e2", "a temperature")]
)
def test_a_set_point_that_cannot_be_is_refused_unsent(setpoint_c: str, words: str, tmp_path: Path) -> None:
    line_ = Line(clean)
    with oven_on(line_, tmp_path) as (oven, _):
        sent = len(line_.heard)

        with pytest.raises(DeviceRefused, match=words):
            oven.order("set", {"setpoint_c": setpoint_c})

        assert len(line_.heard) == sent


def test_a_refused_set_point_is_told_with_the_units_reason(tmp_path: Path) -> None:
    with oven_on(Line(clean), tmp_path) as (oven, twin):
        with pytest.raises(DeviceRefused, match=r"holds the set-point 37\.0 °C .* reason >0004"):
            oven.order("set", {"setpoint_c": "120"})

        assert twin.world.incubator.setpoint_c == 37.0
        assert by_name(oven.read())["setpoint_c"].value == Decimal("37.0")


def test_an_answer_with_a_wrong_check_is_asked_for_again(tmp_path: Path) -> None:
    damaged: list[bytes] = []
    line_ = Line(lambda one: clean(damaged.pop() if damaged and one == TOLD_PV else one))
    with oven_on(line_, tmp_path) as (oven, _):
        damaged.append(TOLD_PV[:4] + b"\x37" + TOLD_PV[5:])

        assert by_name(oven.read())["bath_c"].value == Decimal("36.5")
        assert not damaged


def test_wrong_checks_without_end_become_no_reading_within_a_second(tmp_path: Path) -> None:
    spoilt: list[bool] = []
    line_ = Line(lambda one: clean(one[:-1] + bytes((one[-1] ^ 1,)) if spoilt else one))
    with oven_on(line_, tmp_path) as (oven, _):
        oven._unit.OWED_S = 0.3
        spoilt.append(True)
        began_s = time.monotonic()

        with pytest.raises((DeviceGarbled, DeviceSilent)):
            oven.read()

        assert time.monotonic() - began_s < 1.0
        spoilt.clear()
        assert by_name(oven.read())["bath_c"].value == Decimal("36.5")


@pytest.mark.requirement("F-028")
def test_a_late_answer_never_answers_the_next_question(tmp_path: Path) -> None:
    late: list[float] = []
    line_ = Line(lambda one: [(late.pop() if late else 0.0, one)])
    with oven_on(line_, tmp_path) as (oven, twin):
        oven.READ_S = 0.2
        late[:] = [0.05, 0.05, 0.05, 0.35]
        with pytest.raises(DeviceSilent):
            oven.read()
        twin.world.incubator.temperature_c = 30.0
        oven.READ_S = 2.0

        assert by_name(oven.read())["bath_c"].value == Decimal("30.0")


class OneBehind:
    """A unit whose every answer comes only with the next question; each answer is the question's number."""

    def __init__(self) -> None:
        self.questions = 0
        self.held: list[bytes] = []

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        self.questions += 1
        due, self.held = self.held, [bcc_block(data[5:7] + str(self.questions).encode())]
        return due

    def tick(self, now_s: float) -> list[bytes]:
        return []


def test_answers_that_are_always_one_behind_are_never_taken() -> None:
    with on_virtual_time() as clock:
        wire = MemoryWire(OneBehind(), clock, lambda answer: [answer])
        line.open_wire = lambda _port, _settings: wire  # type: ignore[assignment]
        unit = BisynchUnit(
            "Thermostat", PORT, LineSettings.told("9600-7E1"), address=1, probes=("SL", "PV", "EE")
        )
        unit.line.open()

        with pytest.raises((DeviceSilent, DeviceGarbled)):
            unit.query("SL", clock.monotonic() + 1.9)


def test_a_lost_acknowledgement_is_settled_by_reading_and_nothing_is_written_twice(tmp_path: Path) -> None:
    line_ = Line(lambda one: [] if one == ACK else clean(one))
    with oven_on(line_, tmp_path) as (oven, twin):
        assert oven.order("set", {"setpoint_c": "36.9"}) == {"setpoint_c": "36.9"}

        assert sum(b"\x02SL" in request for request in line_.heard) == 1
        assert twin.eeprom_writes == 1


def test_a_write_that_was_lost_is_given_once_more_after_looking(tmp_path: Path) -> None:
    lost = [write_request(1, "SL", "36.9")]
    line_ = Line(clean)
    kept = line_.request

    def losing(data: bytes, now_s: float) -> bytes:
        kept(data, now_s)
        if data in lost:
            lost.remove(data)
            return b""
        return data

    line_.request = losing  # type: ignore[method-assign]
    with oven_on(line_, tmp_path) as (oven, twin):
        assert oven.order("set", {"setpoint_c": "36.9"}) == {"setpoint_c": "36.9"}

        assert (oven.wear()[0].writes, twin.eeprom_writes) == (2, 1)


def test_a_set_point_that_nobody_confirms_is_unknown_and_not_refused(tmp_path: Path) -> None:
    line_ = Line(lambda one: [] if any(b"\x02SL" in request for request in line_.heard) else clean(one))
    with oven_on(line_, tmp_path) as (oven, _):
        oven.ORDER_S = 0.2

        with pytest.raises(DeviceSilent):
            oven.order("set", {"setpoint_c": "36.9"})


@pytest.mark.requirement("F-028")
def test_a_power_loss_keeps_the_set_point_and_another_hand_is_told_once(tmp_path: Path) -> None:
    twin = as_on_the_sheet()
    device = PtyDevice(twin, tmp_path / "oven")
    with served(device):
        oven: Any = driver_for(TYPE, BISYNCH)(str(device.link))
        oven.open()
        oven.order("set", {"setpoint_c": "38.5"})
        device.restart()
        assert by_name(oven.read())["setpoint_c"].value == Decimal("38.5")
        twin.write_words(2, [360])

        with pytest.raises(DeviceRestarted, match=r"holds the set-point 36\.0 °C"):
            oven.read()

        assert by_name(oven.read())["setpoint_c"].value == Decimal("36.0")
        oven.order("set", {"setpoint_c": "37.5"})
        oven.close()
        twin.write_words(2, [360])
        oven.open()
        with pytest.raises(DeviceRestarted, match=r"in place of 37\.5 °C"):
            oven.read()
        oven.close()


def test_the_setting_chooses_the_language_and_each_stays_silent_to_the_other(tmp_path: Path) -> None:
    device = PtyDevice(EurothermTwin(World(seed=2)), tmp_path / "oven")
    with served(device):
        oven = BisynchController(str(device.link), BISYNCH)
        oven.OPEN_S = 0.2
        with pytest.raises(DeviceSilent):
            oven.open()

    by_default: Any = driver_for(TYPE)("/dev/null")
    assert by_default.line.settings == LineSettings.told("9600-8N1")
    chosen: Any = driver_for(TYPE, BISYNCH)("/dev/null")
    assert chosen.line.settings == LineSettings.told("9600-7E1")
    slower: Any = driver_for(TYPE, BISYNCH | {"line": "4800-7E1"})("/dev/null")
    assert slower.line.settings.baud_rate == 4800
    with pytest.raises(SettingRefused):
        driver_for(TYPE, {"protocol": "profibus"})


def test_an_address_that_this_protocol_does_not_have_is_told_at_opening() -> None:
    with pytest.raises(WrongDevice, match="end at 99"):
        BisynchController("/dev/null", BISYNCH | {"address": "120"}).open()


def test_the_suite_gives_such_a_unit_no_order_that_it_does_not_know() -> None:
    entry = device_type(TYPE)

    assert [one.order for one in entry.trials_with(BISYNCH)] == ["set"]
    assert [one.order for one in entry.trials_with({})] == ["set", "start"]


@pytest.mark.requirement("F-028")
@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.binary(max_size=160))
def test_whatever_the_unit_answers_ends_in_a_reading_or_in_a_fault(data: bytes) -> None:
    with on_virtual_time() as clock:
        twin = twin_for(TYPE, BISYNCH)(World(now=lambda: clock.now_s))
        wire = MemoryWire(twin, clock, Script(data).damage)
        line.open_wire = lambda _port, _settings: wire  # type: ignore[assignment]
        oven = driver_for(TYPE, BISYNCH)(PORT)
        calls: list[tuple[float, Callable[[], object]]] = [
            (6.5, oven.open),
            (1.01, oven.read),
            (40.0, lambda: oven.order("set", {"setpoint_c": "38.5"})),
            (1.01, oven.read),
        ]
        for bound_s, call in calls:
            began_s = clock.now_s
            with suppress(DeviceFault):
                call()
            assert clock.now_s - began_s <= bound_s
