"""Frames: what the sheets print, byte by byte, and what must hold for any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.framing import (
    BrokenFrame,
    Take,
    ascii_text,
    bcc,
    bcc_block,
    crc16_ccitt,
    safe_packet,
    take_bcc_answer,
    take_bcc_block,
    take_line,
    take_line_without_flow_control,
    take_safe_packet,
)

quick = settings(derandomize=True, deadline=None, max_examples=200)
SAF0 = bytes.fromhex("02 08 53 41 46 30 55 43 03")
SAF5 = bytes.fromhex("02 09 30 53 41 46 35 09 08 03")
STATUS = bytes.fromhex("02 05 30 36 53 03")
STOPPED = bytes.fromhex("02 07 30 30 53 AA A6 03")
INFUSING = bytes.fromhex("02 07 30 30 49 19 DD 03")
ALARM_TIME_OUT = bytes.fromhex("02 09 30 30 41 3F 54 05 40 03")
PACKETS = [
    (b"SAF0", SAF0),
    (b"0SAF5", SAF5),
    (b"0", STATUS),
    (b"00S", STOPPED),
    (b"00I", INFUSING),
    (b"00A?T", ALARM_TIME_OUT),
]


@pytest.mark.parametrize(("payload", "packet"), PACKETS)
def test_a_safe_mode_packet_is_the_manuals_to_the_byte(payload: bytes, packet: bytes) -> None:
    assert safe_packet(payload) == packet
    assert take_safe_packet(bytearray(packet)) == payload


def test_the_checksum_of_an_empty_payload_is_its_start_value() -> None:
    assert crc16_ccitt(b"") == 0x0000


@quick
@given(st.binary(max_size=251), st.binary(max_size=20))
def test_any_payload_comes_back_and_what_follows_stays(payload: bytes, rest: bytes) -> None:
    buffer = bytearray(safe_packet(payload) + rest)

    assert take_safe_packet(buffer) == payload
    assert buffer == rest


@quick
@given(st.binary(max_size=40), st.data())
def test_no_turned_bit_makes_another_payload(payload: bytes, data: st.DataObject) -> None:
    packet = bytearray(safe_packet(payload))
    place = data.draw(st.integers(0, len(packet) * 8 - 1))
    packet[place // 8] ^= 1 << place % 8

    try:
        taken = take_safe_packet(packet)
    except BrokenFrame:
        taken = None

    assert taken is None


@quick
@given(
    st.binary(max_size=600),
    st.sampled_from([take_line, take_line_without_flow_control, take_safe_packet, take_bcc_answer]),
)
def test_any_bytes_end_in_frames_or_in_a_typed_error(noise: bytes, take: Take) -> None:
    buffer = bytearray(noise)
    before = len(buffer) + 1

    while len(buffer) < before:
        before = len(buffer)
        try:
            if take(buffer) is None:
                break
        except BrokenFrame:
            assert len(buffer) < before, "a broken frame must leave the buffer shorter"


@quick
@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200))
def test_a_line_split_at_any_place_comes_whole(text: str) -> None:
    line = text.encode("ascii")
    buffer = bytearray()
    taken = []

    for byte in line + b"\r\n":
        buffer.append(byte)
        taken.append(take_line(buffer))

    assert taken[:-1] == [None] * (len(taken) - 1)
    assert taken[-1] == line


def test_flow_control_bytes_inside_a_line_are_no_part_of_it() -> None:
    assert take_line_without_flow_control(bytearray(b"3\x117.0\x132\r\n")) == b"37.02"


def test_a_line_without_end_is_given_up() -> None:
    with pytest.raises(BrokenFrame):
        take_line(bytearray(b"x" * 300))


@pytest.mark.parametrize("line", [b"S S \xb1 g", b"S S\x00", b"\x7f"])
def test_a_byte_that_is_no_printable_ascii_is_damage(line: bytes) -> None:
    with pytest.raises(BrokenFrame):
        ascii_text(line)


BLOCKS = [  # what stands before STX, text, check: EI-Bisynch, then Hettich
    (b"", b"PV36.5", 0x1B),
    (b"", b"SL37.0", 0x06),
    (b"T", b"00685=0000", 0x05),
    (b"T", b"00634=0162", 0x0A),
    (b"T", b"00635=0292", 0x07),
    (b"T", b"00528=1800", 0x08),
    (b"]", b"00633=0002", 0x0A),
    (b"T", b"00524=0604", 0x0F),
    (b"T", b"00526=0070", 0x08),
    (b"T", b"00537=C800", 0x74),
]
texts = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(str.encode)
addresses = st.sampled_from([b"", b"T", b"]"])


def all_out_of(buffer: bytearray, address: bytes) -> tuple[list[bytes], bool]:
    """Take answers until nothing more comes; tell whether something was broken."""
    taken: list[bytes] = []
    broken = False
    while True:
        try:
            answer = take_bcc_answer(buffer, address)
        except BrokenFrame:
            broken = True
            continue
        if answer is None:
            return taken, broken
        taken.append(answer)


@pytest.mark.parametrize(("address", "text", "check"), BLOCKS)
def test_a_block_with_a_check_is_the_sheets_to_the_byte(address: bytes, text: bytes, check: int) -> None:
    block = b"\x02" + text + b"\x03" + bytes((check,))

    assert bcc(text + b"\x03") == check
    assert bcc_block(text) == block
    assert take_bcc_block(bytearray(address + block), address) == text


@pytest.mark.parametrize("check", [0x02, 0x03, 0x04, 0x05, 0x06, 0x15, 0x00])
def test_a_check_that_looks_like_a_control_byte_is_a_check(check: int) -> None:
    text = bytes((0x50, 0x50 ^ 0x03 ^ check))
    buffer = bytearray(bcc_block(text))
    assert buffer[-1] == check

    assert take_bcc_answer(buffer) == text
    assert not buffer


@pytest.mark.parametrize(
    ("data", "answers"),
    [
        (b"\x06", [b"\x06"]),
        (b"\x15", [b"\x15"]),
        (b"\x04", [b"\x04"]),
        (b"\x06\x06", [b"\x06", b"\x06"]),
        (bcc_block(b"PV36.5") * 2, [b"PV36.5", b"PV36.5"]),
        (b"\x06" + bcc_block(b"PV36.5"), [b"\x06", b"PV36.5"]),
        (bcc_block(b"PV36.5") + b"\x06", [b"PV36.5", b"\x06"]),
        (bcc_block(b"PV36.5")[:-1], []),
    ],
)
def test_answers_behind_each_other_are_taken_one_by_one(data: bytes, answers: list[bytes]) -> None:
    assert all_out_of(bytearray(data), b"") == (answers, False)
    pieces, taken = bytearray(), []
    for byte in data:
        pieces.append(byte)
        taken += all_out_of(pieces, b"")[0]
    assert taken == answers


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x7f" + bcc_block(b"PV36.5"),
        bcc_block(b"PV36.5")[:-1] + b"\x1a",
        bcc_block(b"PV36.5")[:5] + bcc_block(b"PV36.5"),
        bcc_block(b"PV36.5") + b"\x00",
        b"\x06x",
        b"\x02" + b"x" * 300,
    ],
)
def test_what_does_not_belong_there_is_told(data: bytes) -> None:
    with pytest.raises(BrokenFrame):
        take_bcc_answer(bytearray(data))


@quick
@given(texts, addresses)
def test_any_text_comes_back_out_of_its_block_however_it_is_split(text: bytes, address: bytes) -> None:
    block = address + bcc_block(text)
    buffer = bytearray()
    taken = []

    for byte in block:
        buffer.append(byte)
        taken.append(take_bcc_block(buffer, address))

    assert taken[:-1] == [None] * (len(block) - 1)
    assert taken[-1] == text
    assert not buffer


@settings(derandomize=True, deadline=None, max_examples=1000)
@given(texts, addresses, st.data())
def test_no_turned_bit_leaves_an_answer(text: bytes, address: bytes, data: st.DataObject) -> None:
    block = bytearray(address + bcc_block(text))
    place = data.draw(st.integers(0, len(block) * 8 - 1))
    block[place // 8] ^= 1 << place % 8

    taken, _ = all_out_of(block, address)

    assert taken == []


def test_no_turned_bit_leaves_an_answer_of_those_on_the_sheets() -> None:
    for address, text, _ in [*BLOCKS, (b"", b"BB12", 0), (b"", b"SCP#C", 0), (b"", b"C", 0), (b"", b"", 0)]:
        block = address + bcc_block(text)
        for place in range(len(block) * 8):
            turned = bytearray(block)
            turned[place // 8] ^= 1 << place % 8
            assert all_out_of(turned, address)[0] == [], (text, place)


@quick
@given(st.binary(max_size=80), addresses)
def test_any_bytes_end_in_answers_that_have_a_right_check(noise: bytes, address: bytes) -> None:
    taken, _ = all_out_of(bytearray(noise), address)

    for answer in taken:
        whole = answer if answer in (b"\x06", b"\x15", b"\x04") else bcc_block(answer)
        assert address + whole in noise
