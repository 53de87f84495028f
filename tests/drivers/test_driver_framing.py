"""Frames: what the sheets print, byte by byte, and what must hold for any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.framing import (
    BrokenFrame,
    Take,
    ascii_text,
    crc16_ccitt,
    safe_packet,
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
    st.binary(max_size=600), st.sampled_from([take_line, take_line_without_flow_control, take_safe_packet])
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
