"""Bytes to frames and back: ASCII lines, the packets of the NE-1000, blocks with a block check (BCC).

A `take_*` function looks at a receive buffer. It removes one whole frame and returns its content,
returns None while the frame is not complete, or raises `BrokenFrame` after removing what was broken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

Take = Callable[[bytearray], bytes | None]

STX, ETX = 0x02, 0x03
EOT, ENQ, ACK, NAK = 0x04, 0x05, 0x06, 0x15
XON, XOFF = 0x11, 0x13
LINE_BYTES_MAX = 256
PACKET_OVERHEAD = 4  # the length byte itself, two bytes of CRC, ETX
PACKET_PAYLOAD_MAX = 255 - PACKET_OVERHEAD


class BrokenFrame(ValueError):
    """These bytes can never become a frame."""


def take_line(buffer: bytearray) -> bytes | None:
    """Take one line that ends CR LF, without its end."""
    end = buffer.find(b"\r\n")
    if end < 0:
        if len(buffer) > LINE_BYTES_MAX:
            _discard(buffer, "no end of line in sight")
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 2]
    if len(line) > LINE_BYTES_MAX:
        raise BrokenFrame("line too long")
    return line


def take_line_without_flow_control(buffer: bytearray) -> bytes | None:
    """Take one line as `take_line`, with the XON and XOFF bytes of software flow control removed."""
    if XON in buffer or XOFF in buffer:
        buffer[:] = buffer.translate(None, bytes((XON, XOFF)))
    return take_line(buffer)


def ascii_text(line: bytes) -> str:
    """Return a line as text; a control character or a top bit means that it was damaged.

    Raises
    ------
    BrokenFrame
        A byte outside the printable ASCII range.
    """
    if any(byte < 0x20 or byte > 0x7E for byte in line):
        raise BrokenFrame("a byte that is not printable ASCII")
    return line.decode("ascii")


def crc16_ccitt(data: bytes) -> int:
    """Return the CRC-16 with polynomial 0x1021, start 0x0000, most significant bit first."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def safe_packet(payload: bytes) -> bytes:
    """Return a Safe-mode packet: STX, length, payload, CRC high, CRC low, ETX."""
    assert len(payload) <= PACKET_PAYLOAD_MAX, len(payload)
    return (
        bytes((STX, len(payload) + PACKET_OVERHEAD))
        + payload
        + crc16_ccitt(payload).to_bytes(2, "big")
        + bytes((ETX,))
    )


def take_safe_packet(buffer: bytearray) -> bytes | None:
    """Take the payload of one Safe-mode packet."""
    start = buffer.find(STX)
    if start != 0 and buffer:
        _discard(buffer, "bytes outside a packet", keep_from=start if start > 0 else len(buffer))
    if len(buffer) < 2:
        return None
    length = buffer[1]
    if length < PACKET_OVERHEAD:
        _discard(buffer, "impossible packet length", keep_from=1)
    if len(buffer) < 1 + length:
        return None
    payload = bytes(buffer[2 : length - 2])
    crc = int.from_bytes(buffer[length - 2 : length], "big")
    if buffer[length] != ETX or crc != crc16_ccitt(payload):
        _discard(buffer, "packet with a wrong checksum", keep_from=1)
    del buffer[: 1 + length]
    return payload


def basic_reply(payload: bytes) -> bytes:
    """Return a reply of the NE-1000 in Basic mode: STX, text, ETX."""
    return bytes((STX,)) + payload + bytes((ETX,))


def take_basic_reply(buffer: bytearray) -> bytes | None:
    """Take the text of one reply of the NE-1000 in Basic mode."""
    start = buffer.find(STX)
    if start != 0 and buffer:
        _discard(buffer, "bytes outside a reply", keep_from=start if start > 0 else len(buffer))
    end = buffer.find(ETX)
    if end < 0:
        if len(buffer) > LINE_BYTES_MAX:
            _discard(buffer, "no end of a reply in sight")
        return None
    payload = bytes(buffer[1:end])
    del buffer[: end + 1]
    return payload


def bcc(data: bytes) -> int:
    """Return the exclusive or of all bytes: the block check of EI-Bisynch and of Hettich."""
    check = 0
    for byte in data:
        check ^= byte
    return check


def bcc_block(text: bytes) -> bytes:
    """Return a block: STX, text, ETX, and the check of all that stands behind STX."""
    checked = text + bytes((ETX,))
    return bytes((STX,)) + checked + bytes((bcc(checked),))


def take_bcc_block(buffer: bytearray, address: bytes = b"") -> bytes | None:
    """Take the text of one block. `address` stands before its STX, where a protocol has one there.

    Notes
    -----
    The check has any value, that of STX or ETX too, so only its place tells what it is. One turned bit
    makes an ETX of a "C" or a "#", and the block then seems to end there: what stands behind a block must
    begin another answer. If the rest comes later, only the shape of the text tells.
    """
    head = address + bytes((STX,))
    start = buffer.find(head)
    if start != 0 and not head.startswith(buffer):
        begun = next(size for size in range(len(head) - 1, -1, -1) if buffer.endswith(head[:size]))
        _discard(buffer, "bytes outside a block", keep_from=start if start > 0 else len(buffer) - begun)
    end = buffer.find(ETX, len(head))
    if end < 0 or len(buffer) < end + 2:
        if len(buffer) > LINE_BYTES_MAX:
            _discard(buffer, "no end of a block in sight")
        return None
    text, check, behind = bytes(buffer[len(head) : end]), buffer[end + 1], bytes(buffer[end + 2 :])
    # What is wrong is dropped whole: a bit that turned into STX must not make a smaller block of it.
    if bcc(text + bytes((ETX,))) != check:
        _discard(buffer, "block with a wrong check")
    if any(byte < 0x20 or byte > 0x7E for byte in text) or not _begins_answer(behind, address):
        _discard(buffer, "block with bytes that do not belong there")
    del buffer[: end + 2]
    return text


def take_bcc_answer(buffer: bytearray, address: bytes = b"") -> bytes | None:
    """Take the text of one block, or a lone ACK, NAK or EOT as that one byte."""
    at = len(address)
    if buffer.startswith(address) and bytes(buffer[at : at + 1]) in _LONE:
        if not _begins_answer(bytes(buffer[at + 1 :]), address):
            _discard(buffer, "bytes behind an answer")
        answer = bytes(buffer[at : at + 1])
        del buffer[: at + 1]
        return answer
    return take_bcc_block(buffer, address)


_LONE = (bytes((ACK,)), bytes((NAK,)), bytes((EOT,)))


def _begins_answer(data: bytes, address: bytes) -> bool:
    """Tell whether these bytes are nothing, or the beginning of an answer."""
    at = len(address)
    return address.startswith(data) or (
        data.startswith(address) and data[at : at + 1] in (*_LONE, bytes((STX,)))
    )


def _discard(buffer: bytearray, words: str, keep_from: int | None = None) -> NoReturn:
    del buffer[: len(buffer) if keep_from is None else keep_from]
    raise BrokenFrame(words)
