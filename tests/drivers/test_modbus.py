"""Modbus RTU: the codec against every row of the sheets, the unit on lines that do what lines do."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_peer import speaking

from drivers import modbus
from drivers.faults import DeviceGarbled, DeviceSilent, WrongDevice
from drivers.framing import BrokenFrame
from drivers.line import LineSettings
from drivers.modbus import ModbusRefused, ModbusUnit, Request, frame, take_reply
from drivers.simulated.modbus_slave import ModbusException, ModbusSlave

SERIAL = LineSettings(baud_rate=9600)
PROBES = (modbus.read_registers(1, 3), modbus.read_registers(1, 4))


def row(text: str) -> bytes:
    return bytes.fromhex(text)


REQUESTS = [
    (1, modbus.read_registers(1, 1), "01 03 00 01 00 01 D5 CA"),
    (1, modbus.read_registers(1, 5), "01 03 00 01 00 05 D4 09"),
    (1, modbus.write_register(26, 370), "01 06 00 1A 01 72 29 B8"),
    (1, modbus.write_register(2, 370), "01 06 00 02 01 72 A9 BF"),
    (1, modbus.read_registers(75, 1), "01 03 00 4B 00 01 F4 1C"),
    (1, modbus.write_coil(0, True), "01 05 00 00 FF 00 8C 3A"),
    (1, modbus.write_coil(0, False), "01 05 00 00 00 00 CD CA"),
    (1, modbus.read_coils(0, 8), "01 01 00 00 00 08 3D CC"),
    (1, modbus.write_coils(0, [False] * 8), "01 0F 00 00 00 08 01 00 FE 95"),
    (1, modbus.read_registers(0x0829, 10), "01 03 08 29 00 0A 16 65"),
    (1, modbus.read_registers(0x0969, 10), "01 03 09 69 00 0A 16 4D"),
    (1, modbus.read_registers(0x10BF, 4), "01 03 10 BF 00 04 71 2D"),
    (0xF0, modbus.read_registers(0, 2), "F0 03 00 00 00 02 D1 2A"),
    (0xF0, modbus.read_registers(0x0800, 2), "F0 03 08 00 00 02 D3 4A"),
    (
        0xF0,
        modbus.write_registers(0x0208, modbus.words_low_first(1013.25)),
        "F0 10 02 08 00 02 04 50 00 44 7D 0E B7",
    ),
    (0xFE, modbus.read_registers(3, 1, function=4), "FE 04 00 03 00 01 D5 C5"),
    (1, modbus.write_register(1, 11), "01 06 00 01 00 0B 99 CD"),
    (1, modbus.write_register(1, 12), "01 06 00 01 00 0C D8 0F"),
    (1, modbus.read_registers(2, 1), "01 03 00 02 00 01 25 CA"),
    (1, modbus.write_register(0x18, 0xFFFF), "01 06 00 18 FF FF 08 7D"),
    (1, modbus.read_registers(0, 20, function=4), "01 04 00 00 00 14 F0 05"),
    (1, modbus.read_registers(6, 8), "01 03 00 06 00 08 A4 0D"),
    (1, modbus.write_register(0x21, 60), "01 06 00 21 00 3C D9 D1"),
]

ARC_PH = "01 03 14 10 00 00 00 66 66 40 E6 00 00 00 00 00 00 00 00 00 00 41 60 2A 0B"
ARC_CELSIUS = "01 03 14 00 04 00 00 00 00 42 14 00 00 00 00 00 00 00 00 00 00 43 02 90 F0"
REPLIES = [
    (1, modbus.read_registers(1, 1), "01 03 02 01 6D 78 39"),
    (1, modbus.read_registers(1, 5), "01 03 0A 01 6D 01 72 00 00 01 A9 01 72 46 43"),
    (1, modbus.write_register(26, 370), "01 06 00 1A 01 72 29 B8"),
    (1, modbus.read_registers(999, 1), "01 83 02 C0 F1"),
    (1, modbus.write_register(2, 9999), "01 86 03 02 61"),
    (1, modbus.read_coils(0, 8), "01 01 01 05 91 8B"),
    (1, modbus.write_coils(0, [False] * 8), "01 0F 00 00 00 08 54 0D"),
    (1, modbus.read_registers(0x0829, 10), ARC_PH),
    (1, modbus.read_registers(0x0969, 10), ARC_CELSIUS),
    (0xF0, modbus.read_registers(0, 2), "F0 03 04 50 00 47 43 79 FD"),
    (0xF0, modbus.read_registers(0, 2), "F0 03 04 00 00 7F C0 3A 9C"),
    (0xF0, modbus.read_registers(0x0800, 2), "F0 03 04 00 00 00 00 1A FC"),
    (0xF0, modbus.read_registers(0x0800, 2), "F0 03 04 00 04 01 00 5A AD"),
    (
        0xF0,
        modbus.write_registers(0x0208, modbus.words_low_first(1013.25)),
        "F0 10 02 08 00 02 D4 93",
    ),
    (1, modbus.read_registers(2, 1), "01 03 02 00 03 F8 45"),
]


@pytest.mark.parametrize(("address", "request_", "sheet"), REQUESTS)
def test_a_request_is_the_sheets_to_the_byte(address: int, request_: Request, sheet: str) -> None:
    assert frame(address, request_.pdu) == row(sheet)


@pytest.mark.parametrize(("address", "request_", "sheet"), REPLIES)
def test_a_reply_of_the_sheets_is_taken_whole_and_never_before_its_end(
    address: int, request_: Request, sheet: str
) -> None:
    reply = row(sheet)
    buffer = bytearray()

    for byte in reply[:-1]:
        buffer.append(byte)
        assert take_reply(buffer, address, request_) is None
    buffer.append(reply[-1])

    assert take_reply(buffer, address, request_) == reply
    assert not buffer


def test_floats_come_low_word_first_where_the_sheets_say_so() -> None:
    arc = modbus.words_of(row(ARC_PH)[3:-2])
    vaisala = modbus.words_of(row("F0 03 04 50 00 47 43 79 FD")[3:-2])
    no_value = modbus.words_of(row("F0 03 04 00 00 7F C0 3A 9C")[3:-2])

    assert modbus.float_low_word_first(arc[2:4]) == pytest.approx(7.2)
    assert modbus.float_low_word_first(vaisala) == 50_000
    assert math.isnan(modbus.float_low_word_first(no_value))


def test_whole_replies_to_other_questions_in_front_are_dropped() -> None:
    other_unit = frame(2, row("03 02 01 6D"))
    longer = row("01 03 0A 01 6D 01 72 00 00 01 A9 01 72 46 43")
    mine = row("01 03 02 01 6D 78 39")
    buffer = bytearray(b"\x00\xff" + other_unit + longer + mine + b"\x11")

    assert take_reply(buffer, 1, modbus.read_registers(1, 1)) == mine
    assert buffer == b"\x11"


@given(data=st.binary(max_size=40), damage=st.integers(0, 8 * 15 - 1))
@settings(derandomize=True, deadline=None)
def test_no_damaged_bit_and_no_noise_ever_make_a_reply(data: bytes, damage: int) -> None:
    damaged = bytearray(row("01 03 0A 01 6D 01 72 00 00 01 A9 01 72 46 43"))
    damaged[damage // 8] ^= 1 << damage % 8

    for buffer in (damaged, bytearray(data)):
        try:
            taken = take_reply(buffer, 1, modbus.read_registers(1, 5))
        except BrokenFrame:
            taken = None
        assert taken is None or modbus.whole(taken)
        assert taken is None or buffer is not damaged


@given(data=st.binary(max_size=60))
@settings(derandomize=True, deadline=None)
def test_no_bytes_make_the_servers_half_fail(data: bytes) -> None:
    slave = ModbusSlave(1, Cells())

    for reply in slave.receive(data, 0.0):
        assert modbus.whole(reply)
    assert slave.receive(frame(1, row("03 0001 0001")), 1.0) == [row("01 03 02 01 6D 78 39")]


class Cells:
    """Six registers from address 1 and eight coils; register 6 takes no value above 100."""

    FUNCTIONS = frozenset((1, 3, 5, 6, 15, 16))

    def __init__(self) -> None:
        self.words = {1: 365, 2: 370, 3: 0, 4: 425, 5: 370, 6: 1}
        self.bits = [True, False, True, False, False, False, False, False]

    def read_bits(self, function: int, start: int, count: int) -> Sequence[bool]:
        if start + count > len(self.bits):
            raise ModbusException(2)
        return self.bits[start : start + count]

    def read_words(self, function: int, start: int, count: int) -> Sequence[int]:
        if not {*range(start, start + count)} <= set(self.words):
            raise ModbusException(2)
        return [self.words[address] for address in range(start, start + count)]

    def write_bits(self, start: int, states: Sequence[bool]) -> None:
        self.read_bits(1, start, len(states))
        self.bits[start : start + len(states)] = states

    def write_words(self, start: int, words: Sequence[int]) -> None:
        self.read_words(3, start, len(words))
        if start == 6 and words[0] > 100:
            raise ModbusException(3)
        self.words |= {start + index: word for index, word in enumerate(words)}


SERVED = [
    ("01 03 00 01 00 01 D5 CA", "01 03 02 01 6D 78 39"),
    ("01 03 00 01 00 05 D4 09", "01 03 0A 01 6D 01 72 00 00 01 A9 01 72 46 43"),
    ("01 06 00 02 01 72 A9 BF", "01 06 00 02 01 72 A9 BF"),
    (frame(1, row("03 0063 0001")).hex(), "01 83 02 C0 F1"),
    (frame(1, row("06 0006 0065")).hex(), "01 86 03 02 61"),
    ("01 05 00 00 FF 00 8C 3A", "01 05 00 00 FF 00 8C 3A"),
    ("01 01 00 00 00 08 3D CC", "01 01 01 05 91 8B"),
    ("01 0F 00 00 00 08 01 00 FE 95", "01 0F 00 00 00 08 54 0D"),
    (frame(1, row("10 0002 0002 04 0001 0002")).hex(), frame(1, row("10 0002 0002")).hex()),
    (frame(1, row("05 0000 1234")).hex(), frame(1, row("85 03")).hex()),
    (frame(1, row("03 0001 0000")).hex(), frame(1, row("83 03")).hex()),
    (frame(1, row("0F 0000 0008 02 0000")).hex(), frame(1, row("8F 03")).hex()),
    ("01 04 00 00 00 14 F0 05", frame(1, row("84 01")).hex()),
    (frame(1, row("2B 0E 01 00")).hex(), frame(1, row("AB 01")).hex()),
    ("F0 03 00 00 00 02 D1 2A", ""),
    ("01 03 00 01 00 01 D5 CB", ""),
]


@pytest.mark.parametrize(("request_", "reply"), SERVED)
def test_the_servers_half_answers_as_the_specification(request_: str, reply: str) -> None:
    slave = ModbusSlave(1, Cells())

    assert b"".join(slave.receive(row(request_), 0.0)) == row(reply)


def test_the_servers_half_takes_split_and_merged_requests_and_what_follows_noise() -> None:
    slave = ModbusSlave(1, Cells())
    first, second = row("01 03 00 01 00 01 D5 CA"), row("01 01 00 00 00 08 3D CC")
    answers = [row("01 03 02 01 6D 78 39"), row("01 01 01 05 91 8B")]

    assert slave.receive(first[:3], 0.0) == []
    assert slave.receive(first[3:] + second, 0.05) == answers
    assert slave.receive(first[:-1] + first, 0.1) == answers[:1], "a request that lost its end, then another"
    assert slave.receive(b"\xff" * 900 + second, 0.15) == answers[1:]


def test_a_broadcast_is_obeyed_without_a_word() -> None:
    cells = Cells()
    slave = ModbusSlave(1, cells)

    assert slave.receive(frame(0, modbus.write_coils(0, [False] * 8).pdu), 0.0) == []
    assert not any(cells.bits)


def unit_at(port: str, address: int = 1) -> ModbusUnit:
    unit = ModbusUnit("Unit", port, SERIAL, address=address, probes=PROBES)
    unit.open(within_s=0.4)
    return unit


def answering(cells: Cells, request: bytes) -> bytes:
    return b"".join(ModbusSlave(1, cells).receive(request, 0.0))


def soon() -> float:
    return time.monotonic() + 0.9


def test_a_unit_is_read_and_written() -> None:
    cells = Cells()
    with speaking(lambda request: [(0.0, answering(cells, request))]) as peer:
        unit = unit_at(peer.port)

        assert unit.registers(1, 5, soon()) == (365, 370, 0, 425, 370)
        assert unit.coils(0, 8, soon()) == (True, False, True, *[False] * 5)
        unit.ask(modbus.write_register(2, 381))
        unit.ask(modbus.write_coil(1, True))
        unit.ask(modbus.write_registers(3, [7, 8]))
        unit.ask(modbus.write_coils(4, [True] * 4))
        unit.broadcast(modbus.write_register(6, 9))
        assert unit.registers(1, 6, soon()) == (365, 381, 7, 8, 370, 9)
        assert cells.bits == [True, True, True, False, True, True, True, True]
        unit.close()


def test_an_exception_is_a_refusal_in_words_and_leaves_the_line_in_step() -> None:
    cells = Cells()
    with speaking(lambda request: [(0.0, answering(cells, request))]) as peer:
        unit = unit_at(peer.port)

        with pytest.raises(ModbusRefused, match="no such address") as refusal:
            unit.registers(700, 1, soon())

        assert refusal.value.code == 2
        assert unit.registers(1, 1, soon()) == (365,)
        assert len(peer.heard) == 3, "the probe at open, the refused question and the next"
        unit.close()


def test_an_adapter_that_echoes_is_found_at_open_and_lived_with() -> None:
    cells = Cells()
    with speaking(lambda request: [(0.0, request), (0.03, answering(cells, request))]) as peer:
        unit = unit_at(peer.port)

        assert unit.echoes
        assert unit.registers(1, 1, soon()) == (365,)
        unit.ask(modbus.write_register(2, 381))
        assert cells.words[2] == 381
        with pytest.raises(ModbusRefused):
            unit.ask(modbus.write_register(6, 101))
        assert unit.coils(0, 8, soon())[0]
        unit.close()


def test_the_echo_alone_is_never_taken_for_the_reply_to_a_write() -> None:
    cells = Cells()

    def deaf_for_writes(request: bytes) -> list[tuple[float, bytes]]:
        reads = request[1] in modbus.READS
        return [(0.0, request)] + ([(0.0, answering(cells, request))] if reads else [])

    with speaking(deaf_for_writes) as peer:
        unit = unit_at(peer.port)

        with pytest.raises(DeviceSilent):
            unit.ask(modbus.write_register(2, 381))
        assert unit.registers(2, 1, soon()) == (370,)
        unit.close()


def test_a_late_reply_never_answers_the_next_question() -> None:
    cells = Cells()
    lateness = {frame(1, modbus.read_registers(4, 1).pdu): 0.45}

    def late(request: bytes) -> list[tuple[float, bytes]]:
        return [(lateness.pop(request, 0.0), answering(cells, request))]

    with speaking(late) as peer:
        unit = unit_at(peer.port)

        with pytest.raises(DeviceSilent):
            unit.ask(modbus.read_registers(4, 1))
        assert unit.ask(modbus.read_registers(1, 1)) == row("01 6D")
        time.sleep(0.25)
        assert unit.ask(modbus.read_registers(3, 1)) == row("00 00")
        unit.close()


def test_a_reply_that_comes_twice_does_not_answer_another_question() -> None:
    cells = Cells()

    def twice(request: bytes) -> list[tuple[float, bytes]]:
        reply = answering(cells, request)
        return [(0.0, reply), (0.03, reply)]

    with speaking(twice) as peer:
        unit = unit_at(peer.port)

        for _ in range(3):
            assert unit.registers(1, 1, soon()) == (365,)
            assert unit.registers(4, 1, soon()) == (425,)
            with pytest.raises(ModbusRefused):
                unit.registers(900, 1, soon())
        unit.close()


def test_a_wrong_checksum_is_asked_again_and_never_believed() -> None:
    cells = Cells()
    damages = [0, 1, 0, 0, 1]

    def sometimes_damaged(request: bytes) -> list[tuple[float, bytes]]:
        reply = bytearray(answering(cells, request))
        reply[-3] ^= damages.pop(0) if damages else 0
        return [(0.0, bytes(reply))]

    with speaking(sometimes_damaged) as peer:
        unit = unit_at(peer.port)

        with pytest.raises(DeviceGarbled, match="checksum"):
            unit.ask(modbus.read_registers(1, 1))
        unit.ask(modbus.read_registers(1, 1))
        assert unit.registers(1, 1, soon()) == (365,)
        assert not damages
        unit.close()


def test_a_damaged_reply_with_an_impossible_head_ends_at_the_time_out() -> None:
    cells = Cells()
    with (
        speaking(lambda request: [(0.0, b"\x55" + answering(cells, request)[1:])]) as peer,
        pytest.raises(WrongDevice, match="no Modbus unit 1"),
    ):
        unit_at(peer.port)


def test_a_silent_unit_is_said_to_be_silent_within_the_deadline() -> None:
    with speaking(lambda request: []) as peer:
        began = time.monotonic()

        with pytest.raises(DeviceSilent):
            unit_at(peer.port)

        assert 0.4 < time.monotonic() - began < 1.3


def test_a_slow_unit_is_waited_for() -> None:
    cells = Cells()
    with speaking(lambda request: [(0.2, answering(cells, request))]) as peer:
        unit = unit_at(peer.port)
        assert unit.registers(1, 1, soon()) == (365,)
        unit.close()


def test_the_rest_between_frames_is_three_and_a_half_characters() -> None:
    assert modbus.silence_s(LineSettings(baud_rate=9600)) == pytest.approx(3.5 * 10 / 9600)
    assert modbus.silence_s(LineSettings(baud_rate=19200, stop_bits=2)) == pytest.approx(3.5 * 11 / 19200)
    assert modbus.silence_s(LineSettings(baud_rate=115200)) == 0.00175
