"""Hamilton Arc probes: the sheet's bytes, whole blocks only, every unit and status, public clients."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_peer import Peer, speaking
from pymodbus.client import ModbusSerialClient
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus_peer import NO_BITS, NO_WORDS, pymodbus_unit
from served_devices import served

from drivers.catalog import driver_for, twin_for
from drivers.faults import DeviceRefused, DeviceSilent, WrongDevice
from drivers.modbus import crc16_modbus, frame, words_low_first
from drivers.probes.hamilton_arc import ArcProbe, Measurement
from drivers.reading import Reading
from drivers.settings import SettingRefused
from drivers.simulated.clock import HandMovedClock
from drivers.simulated.hamilton_arc import (
    ADMINISTRATOR,
    PASSWORDS,
    SPECIALIST,
    USER,
    HamiltonArcTwin,
)
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.world import World

ASK_VALUE, ASK_CELSIUS = "01 03 08 29 00 0A 16 65", "01 03 09 69 00 0A 16 4D"
PH_7_2 = "01 03 14 10 00 00 00 66 66 40 E6 00 00 00 00 00 00 00 00 00 00 41 60 2A 0B"
CELSIUS_37 = "01 03 14 00 04 00 00 00 00 42 14 00 00 00 00 00 00 00 00 00 00 43 02 90 F0"


@dataclass
class Bed:
    """A twin, its world and the clock that a story moves."""

    clock: HandMovedClock
    world: World
    twin: HamiltonArcTwin

    def ask(self, words: str) -> bytes:
        return b"".join(self.twin.receive(bytes.fromhex(words), self.clock()))

    def write(self, register: int, *words: int) -> bytes:
        pdu = struct.pack(f">BHHB{len(words)}H", 16, register - 1, len(words), 2 * len(words), *words)
        return b"".join(self.twin.receive(frame(1, pdu), self.clock()))

    def become(self, level: int) -> bytes:
        password = PASSWORDS[level]
        return self.write(4288, level, 0, password & 0xFFFF, password >> 16)

    def shown(self, register: int = 2090) -> Measurement:
        reply = b"".join(self.twin.receive(frame(1, struct.pack(">BHH", 3, register - 1, 10)), 0.0))
        return Measurement.out_of(struct.unpack(">10H", reply[3:-2]))


def bed(**kind: str) -> Bed:
    clock = HandMovedClock()
    world = World(now=clock)
    return Bed(clock, world, twin_for("hamilton-arc", kind)(world))


@contextmanager
def probe(port: str, **given: str) -> Iterator[ArcProbe]:
    driver = driver_for("hamilton-arc", given)(port)
    assert isinstance(driver, ArcProbe)
    try:
        driver.open()
        yield driver
    finally:
        driver.close()


def read(driver: ArcProbe) -> dict[str, Reading]:
    return {reading.name: reading for reading in driver.read()}


def block(unit: int, value: float, status: int = 0, low: float = 0.0, high: float = 0.0) -> bytes:
    numbers = [words_low_first(number) for number in (value, low, high)]
    words = (unit & 0xFFFF, unit >> 16, *numbers[0], status & 0xFFFF, status >> 16, *numbers[1], *numbers[2])
    return struct.pack(">10H", *words)


GOOD_CELSIUS = block(0x04, 37.0, low=0.0, high=130.0)
Answer = Callable[[bytes], list[tuple[float, bytes]]]


def answering(value: bytes, celsius: bytes = GOOD_CELSIUS, *, delay_s: float = 0.0) -> Answer:
    """A probe that knows nothing but its two measurements; all else is an exception."""

    def answer(request: bytes) -> list[tuple[float, bytes]]:
        data = {0x0829: value, 0x0969: celsius}.get(int.from_bytes(request[2:4], "big"))
        good = data is not None and request[1] == 3 and request[4:6] == b"\x00\x0a"
        pdu = bytes((3, 20)) + data if good and data else bytes((request[1] | 0x80, 2))
        return [(delay_s, frame(1, pdu))]

    return answer


def shown_by(value: bytes, celsius: bytes = GOOD_CELSIUS, **given: str) -> dict[str, Reading]:
    with speaking(answering(value, celsius)) as peer, probe(peer.port, **given) as driver:
        return read(driver)


# The twin ------------------------------------------------------------------------------------------


def test_in_a_quiet_world_the_twin_answers_with_the_bytes_of_the_sheet() -> None:
    quiet = bed()

    assert quiet.ask(ASK_VALUE) == bytes.fromhex(PH_7_2)
    assert quiet.ask(ASK_CELSIUS) == bytes.fromhex(CELSIUS_37)
    quiet.clock.move(3600.0)
    assert quiet.ask(ASK_VALUE) == bytes.fromhex(PH_7_2), "an hour later nothing has moved"
    assert quiet.ask(ASK_CELSIUS) == bytes.fromhex(CELSIUS_37)


def test_the_operator_level_is_told_and_the_password_never() -> None:
    asked = bed()

    assert asked.ask("01 03 10 BF 00 04 71 2D") == frame(1, bytes.fromhex("03 08 0003 0000 0000 0000"))
    assert asked.become(SPECIALIST) == frame(1, bytes.fromhex("10 10BF 0004"))
    assert asked.ask("01 03 10 BF 00 04 71 2D") == frame(1, bytes.fromhex("03 08 0030 0000 0000 0000"))


@pytest.mark.parametrize("function", [3, 4])
def test_both_reading_functions_answer(function: int) -> None:
    reply = bed().ask(frame(1, struct.pack(">BHH", function, 0x0829, 10)).hex())

    assert reply[:3] == bytes((1, function, 20))
    assert reply[3:-2] == bytes.fromhex(PH_7_2)[3:-2]


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        ((3, 0x0829, 2), 3),  # part of a block
        ((3, 0x0829, 9), 3),
        ((3, 0x0829, 11), 3),
        ((3, 0x082B, 2), 2),  # the value alone
        ((3, 0x082A, 10), 2),  # the number in place of the address
        ((3, 0, 1), 2),
        ((6, 0x0829, 1), 1),  # no function 6
        ((1, 0, 8), 1),
    ],
)
def test_part_blocks_and_foreign_functions_get_an_exception(pdu: tuple[int, int, int], code: int) -> None:
    reply = bed().ask(frame(1, struct.pack(">BHH", *pdu)).hex())

    assert reply == frame(1, bytes((pdu[0] | 0x80, code)))


def test_a_unit_is_changed_by_a_specialist_only_and_power_loss_ends_that_level() -> None:
    asked = bed()

    assert asked.write(2090, 0, 0x20) == frame(1, bytes((0x90, 3))), "a user may not"
    assert asked.write(4288, SPECIALIST, 0, 1, 1) == frame(1, bytes((0x90, 3))), "not with that password"
    asked.become(ADMINISTRATOR)
    assert asked.write(2090, 0, 0x20) == frame(1, bytes((0x90, 3))), "nor an administrator"
    asked.become(SPECIALIST)
    assert asked.write(2090, 0, 0x20) == frame(1, bytes.fromhex("10 0829 0002"))
    assert asked.twin.writes == 1
    assert asked.shown().unit_bits == 0x200000
    assert asked.shown().value == pytest.approx((7 - 7.2) * 61.54, abs=0.01)

    asked.twin.restart(0.0)

    assert asked.twin.level == USER
    assert asked.write(2090, 0x1000, 0) == frame(1, bytes((0x90, 3)))


def test_the_probe_follows_the_medium_slowly() -> None:
    asked = bed()
    asked.shown()
    asked.world.medium.ph = 6.8  # until the medium's next step

    asked.clock.move(1.0)
    assert asked.shown().value == pytest.approx(7.2), "no fresh value yet"
    asked.world.medium.lactate_made_mmol = 0.0
    asked.world.bag("culture").solutes.lactate_mmol = 1.0
    asked.clock.move(4.0)
    soon = asked.shown().value
    asked.clock.move(120.0)
    late = asked.shown().value

    assert asked.world.medium.ph < late + 0.001 < soon < 7.2


def test_oxygen_twins_show_saturation_and_other_firmware() -> None:
    asked = bed(kind="oxygen")

    assert asked.shown().unit_bits == 0x20
    assert asked.shown().value == pytest.approx(95.0)
    assert b"ODOUM043" in asked.ask(frame(1, struct.pack(">BHH", 3, 1031, 8)).hex())
    assert b"EPHUM011" in bed().ask(frame(1, struct.pack(">BHH", 3, 1031, 8)).hex())


def test_a_stuck_sensor_stands_and_a_drifting_one_runs_away() -> None:
    asked = bed()
    asked.twin.senses.drifting = True

    asked.clock.move(60.0)
    ran_to = asked.shown().value
    asked.twin.senses.stuck = True
    stood_at = asked.shown().value
    asked.clock.move(60.0)

    assert ran_to == pytest.approx(7.2 * 1.06, rel=0.01)
    assert asked.shown().value == stood_at


def test_a_public_client_reads_the_twin(tmp_path: Path) -> None:
    """What pymodbus gives a user who follows the maker's manual: ten registers from 2089 and from 2409."""
    device = PtyDevice(HamiltonArcTwin(World()), tmp_path / "arc")
    with served(device):
        client = ModbusSerialClient(
            str(device.link.resolve()), baudrate=19200, stopbits=1, parity="N", timeout=2, retries=0
        )
        assert client.connect()
        try:
            for address, value in ((2089, 7.2), (2409, 37.0)):
                for registers in (
                    client.read_holding_registers(address, count=10, device_id=1).registers,
                    client.read_input_registers(address, count=10, device_id=1).registers,
                ):
                    bits = registers[3] << 16 | registers[2]
                    assert struct.unpack(">f", bits.to_bytes(4, "big"))[0] == pytest.approx(value)
            part = client.read_holding_registers(2091, count=2, device_id=1)
            assert part.isError()
        finally:
            client.close()


# The driver ----------------------------------------------------------------------------------------


@pytest.mark.requirement("R-16")
def test_a_healthy_probe_reads_good_and_says_who_it_is(tmp_path: Path) -> None:
    device = PtyDevice(HamiltonArcTwin(World()), tmp_path / "arc", pace_baud=19200)
    with served(device), probe(str(device.link)) as driver:
        readings = read(driver)
        who = driver.identify()

        assert {name: one.quality for name, one in readings.items()} == {
            "ph": "good",
            "temperature_c": "good",
            "alarm": "good",
        }
        assert (readings["ph"].value, readings["ph"].unit) == (Decimal("7.2000"), "pH")
        assert (readings["temperature_c"].value, readings["temperature_c"].unit) == (Decimal("37.0000"), "°C")
        assert (who.maker, who.model, who.serial_number, who.firmware) == (
            "Hamilton",
            "Arc pH",
            "0001001",
            "EPHUM011",
        )


def test_nothing_is_ever_written_and_only_whole_blocks_are_asked_for(tmp_path: Path) -> None:
    device = PtyDevice(HamiltonArcTwin(World()), tmp_path / "arc")
    with served(device), probe(str(device.link)) as driver:
        driver.identify()
        read(driver)
        driver.stop()
        driver.apply_safe_state("stop")
        with pytest.raises(DeviceRefused, match="only measures"):
            driver.order("set", {"ph": "7"})

        sent = [entry.data for entry in driver.line.trace if entry.direction == "out"]
        lengths = {2090: 10, 2410: 10, 4288: 4, 2080: 8, 1032: 8, 1312: 8}
        assert {data[1] for data in sent} == {3}
        for data in sent:
            start, count = struct.unpack(">HH", data[2:6])
            assert lengths[start + 1] == count
        assert [(one.writes, one.limit) for one in driver.wear()] == [(0, 100_000), (0, 10_000)]


@pytest.mark.parametrize("kind", ["ph", "oxygen", "conductivity"])
def test_the_kind_is_found_and_another_than_set_is_refused(tmp_path: Path, kind: str) -> None:
    names = {"ph": "ph", "oxygen": "oxygen_percent", "conductivity": "conductivity_ms_cm"}
    other = "oxygen" if kind == "ph" else "ph"
    device = PtyDevice(twin_for("hamilton-arc", {"kind": kind})(World()), tmp_path / "arc")

    with served(device):
        with probe(str(device.link)) as driver:
            assert read(driver)[names[kind]].quality == "good"
        with (
            pytest.raises(WrongDevice, match=f"measures {kind}, not {other}"),
            probe(str(device.link), kind=other),
        ):
            pass


@pytest.mark.parametrize(
    ("unit", "value", "name", "expected"),
    [
        (0x1000, 7.2, "ph", "7.2000"),
        (0x20, 95.0, "oxygen_percent", "95.0000"),
        (0x10, 20.95, "oxygen_percent", "100.0000"),
        (0x400, 14.2, "conductivity_ms_cm", "14.2000"),
        (0x200, 14200.0, "conductivity_ms_cm", "14.2000"),
    ],
)
def test_each_unit_becomes_the_unit_of_the_role(unit: int, value: float, name: str, expected: str) -> None:
    reading = shown_by(block(unit, value))[name]

    assert (reading.value, reading.quality) == (Decimal(expected), "good")


@pytest.mark.parametrize(("unit", "value"), [(0x04, 37.0), (0x02, 310.15), (0x08, 98.6)])
def test_temperature_comes_in_degrees_celsius_whatever_the_probe_shows(unit: int, value: float) -> None:
    reading = shown_by(block(0x1000, 7.2), block(unit, value))["temperature_c"]

    assert reading.value is not None
    assert float(reading.value) == pytest.approx(37.0, abs=0.001)
    assert (reading.unit, reading.quality) == ("°C", "good")


@pytest.mark.parametrize(
    ("unit", "name", "words"),
    [
        (0x200000, "ph", "shows mV"),
        (0x80, "oxygen_percent", "shows mg/L"),
        (0x800000, "oxygen_percent", "shows mbar"),
    ],
)
def test_a_unit_that_cannot_be_converted_gives_no_value(unit: int, name: str, words: str) -> None:
    reading = shown_by(block(unit, 12.0))[name]

    assert (reading.value, reading.quality) == (None, "bad")
    assert words in reading.detail


def test_a_unit_that_nobody_knows_is_an_alarm() -> None:
    readings = shown_by(block(0x3000, 7.2))

    assert "0x3000" in str(readings["alarm"].value)
    assert "ph" not in readings
    assert shown_by(block(0x3000, 7.2), kind="ph")["ph"].quality == "bad"


@pytest.mark.parametrize(
    ("status", "quality", "words"),
    [
        (0x01, "bad", "out of the measuring range"),
        (0x02, "bad", "out of the operating range"),
        (0x04, "uncertain", "calibration is not in order"),
        (0x08, "uncertain", "calibration may be due"),
        (0x10, "bad", "error of its own"),
        (0x14, "bad", "error of its own"),
        (0x8000_0000, "bad", "does not explain"),
    ],
)
def test_a_status_that_is_not_zero_goes_with_the_reading(status: int, quality: str, words: str) -> None:
    readings = shown_by(block(0x1000, 7.2, status))

    assert readings["ph"].quality == quality
    assert words in readings["ph"].detail
    assert f"0x{status:02X}" in readings["ph"].detail
    assert words in str(readings["alarm"].value)
    assert readings["temperature_c"].quality == "good"
    assert (readings["ph"].value is None) == (quality == "bad")


@pytest.mark.parametrize("value", [14.1, -0.1, float("nan"), float("inf"), 3.4e38])
def test_a_value_outside_its_range_or_no_number_is_bad(value: float) -> None:
    reading = shown_by(block(0x1000, value, low=0.0, high=14.0))["ph"]

    assert (reading.value, reading.quality) == (None, "bad")
    assert reading.detail


def test_a_slow_probe_that_lacks_all_but_its_measurements_reads_good() -> None:
    answer = answering(block(0x1000, 7.2), delay_s=0.2)
    with speaking(answer) as peer, probe(peer.port) as driver:
        began = time.monotonic()
        readings = read(driver)
        took_s = time.monotonic() - began

        assert {one.quality for one in readings.values()} == {"good"}
        assert took_s < 1.0
        assert driver.identify().model == "Arc pH"
        assert driver.identify().serial_number == ""


def test_a_probe_that_keeps_silent_about_its_level_is_opened_all_the_same() -> None:
    answer = answering(block(0x1000, 7.2))

    def silent_about_level(request: bytes) -> list[tuple[float, bytes]]:
        return [] if request[2:4] == b"\x10\xbf" else answer(request)

    with speaking(silent_about_level) as peer, probe(peer.port) as driver:
        assert {one.quality for one in read(driver).values()} == {"good"}


def test_without_temperature_the_value_stands_and_the_alarm_does_not() -> None:
    answer = answering(block(0x1000, 7.2))

    def no_temperature(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, frame(1, b"\x83\x02"))] if request[2:4] == b"\x09\x69" else answer(request)

    with speaking(no_temperature) as peer, probe(peer.port) as driver:
        readings = read(driver)

    assert readings["ph"].quality == "good"
    assert (readings["temperature_c"].value, readings["temperature_c"].quality) == (None, "bad")
    assert readings["alarm"].quality == "uncertain"


def test_a_reply_to_the_other_measurement_is_never_taken_for_this_one() -> None:
    swapped = [True]

    def crosswise(request: bytes) -> list[tuple[float, bytes]]:
        value, celsius = block(0x1000, 7.2), GOOD_CELSIUS
        if swapped[0] and request[2:4] == b"\x08\x29":
            swapped[0] = False
            value = celsius
        return answering(value, celsius)(request)

    with speaking(crosswise) as peer, probe(peer.port) as driver:
        swapped[0] = True
        readings = read(driver)

    assert not swapped[0]
    assert readings["ph"].value == Decimal("7.2000")


def test_a_unit_played_by_somebody_else_reads_good() -> None:
    """pymodbus with nothing but the two blocks, in holding registers alone."""
    holding = [
        SimData(address, values=list(struct.unpack(">10H", data)), datatype=DataType.REGISTERS)
        for address, data in ((2089, block(0x1000, 7.2, high=14.0)), (2409, GOOD_CELSIUS))
    ]
    unit = SimDevice(1, simdata=(NO_BITS, NO_BITS, holding, NO_WORDS))

    with pymodbus_unit(unit) as port, probe(port) as driver:
        readings = read(driver)

    assert (readings["ph"].value, readings["ph"].quality) == (Decimal("7.2000"), "good")
    assert (readings["temperature_c"].value, readings["temperature_c"].quality) == (
        Decimal("37.0000"),
        "good",
    )


def test_an_echoing_line_is_read_like_any_other() -> None:
    answer = answering(block(0x1000, 7.2))

    with (
        speaking(lambda request: [(0.0, request), *answer(request)]) as peer,
        probe(peer.port) as driver,
    ):
        assert {one.quality for one in read(driver).values()} == {"good"}


def test_another_modbus_unit_is_the_wrong_device() -> None:
    def relay(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, frame(1, bytes((request[1] | 0x80, 1))))]

    with (
        speaking(relay) as peer,
        pytest.raises(WrongDevice, match="no Arc probe"),
        probe(peer.port),
    ):
        pass


def test_silence_is_told_within_a_second_of_reading() -> None:
    mute: list[bool] = []
    answer = answering(block(0x1000, 7.2))
    with (
        Peer(lambda request: [] if mute else answer(request)) as peer,
        probe(peer.port) as driver,
    ):
        mute.append(True)
        began = time.monotonic()
        with pytest.raises(DeviceSilent):
            driver.read()
        assert time.monotonic() - began < 1.2


@pytest.mark.parametrize("given", [{"address": "0"}, {"address": "33"}, {"kind": "co2"}, {"line": "300-7E1"}])
def test_settings_out_of_the_sheet_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(SettingRefused):
        driver_for("hamilton-arc", given)


def test_a_probe_with_another_address_is_found_at_its_own_only(tmp_path: Path) -> None:
    device = PtyDevice(twin_for("hamilton-arc", {"address": "32"})(World()), tmp_path / "arc")
    with served(device):
        with probe(str(device.link), address="32") as driver:
            assert read(driver)["ph"].quality == "good"
        with pytest.raises(DeviceSilent), probe(str(device.link), address="31"):
            pass


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(min_size=20, max_size=20))
def test_any_block_becomes_readings_or_words(data: bytes) -> None:
    shown = Measurement.out_of(struct.unpack(">10H", data))

    assert shown.unusable or (shown.unit is not None and shown.value == shown.value)
    assert bool(shown.status_words) == bool(shown.status)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=24), max_size=6))
def test_no_bytes_bring_the_twin_down_and_none_without_a_checksum_get_an_answer(chunks: list[bytes]) -> None:
    asked = bed()
    for chunk in chunks:
        for reply in asked.twin.receive(chunk, 0.0):
            assert crc16_modbus(reply[:-2]) == int.from_bytes(reply[-2:], "little")
    asked.clock.move(10.0)

    assert asked.twin.receive(bytes.fromhex(ASK_VALUE), 10.0) == [bytes.fromhex(PH_7_2)]
