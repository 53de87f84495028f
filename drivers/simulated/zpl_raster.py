"""Dots out of a ^GF graphic as a printer makes them, written apart from whoever packs them."""

from __future__ import annotations

from dataclasses import dataclass

DOTS_MAX = 64 * 1024 * 1024
_HEX = b"0123456789ABCDEFabcdef"


class NoGraphic(ValueError):
    """These bytes are no graphic; a printer leaves the field out."""


@dataclass(frozen=True, slots=True)
class Raster:
    """Black dots: `rows` of whole bytes, the leftmost dot the highest bit; a set bit is black."""

    row_bytes: int
    rows: tuple[bytes, ...]


def graphic(parameters: bytes) -> Raster:
    """Return the dots of `A,total,field,row bytes,data`, in plain or packed hexadecimal digits.

    Raises
    ------
    NoGraphic
        Another compression, numbers without sense, or digits that do not fill the rows.
    """
    parts = parameters.split(b",", 4)
    if len(parts) != 5 or parts[0] != b"A":
        raise NoGraphic("only ^GFA is known here")
    try:
        _, total, row_bytes = (int(part) for part in parts[1:4])
    except ValueError:
        raise NoGraphic("a size that is no number") from None
    if not 0 < row_bytes <= total <= DOTS_MAX // 8 or total % row_bytes:
        raise NoGraphic("sizes without sense")
    rows = _unpacked(parts[4], row_bytes)
    if len(rows) != total // row_bytes:
        raise NoGraphic(f"{len(rows)} rows in place of {total // row_bytes}")
    return Raster(row_bytes, tuple(rows))


def _unpacked(data: bytes, row_bytes: int) -> list[bytes]:
    """Unpack row by row: G to Y count 1 to 19 of the next digit, g to z 20 to 400, both add up."""
    width = 2 * row_bytes
    rows: list[bytes] = []
    row = bytearray()
    count = 0
    for byte in data:
        if byte in b"\r\n":
            continue
        if ord("G") <= byte <= ord("Y"):
            count += byte - ord("F")
            continue
        if ord("g") <= byte <= ord("z"):
            count += 20 * (byte - ord("f"))
            continue
        if byte in _HEX:
            row += bytes((byte,)) * (count or 1)
        elif byte == ord(","):
            row += b"0" * (width - len(row))
        elif byte == ord("!"):
            row += b"F" * (width - len(row))
        elif byte == ord(":") and not row and rows:
            rows.append(rows[-1])
            continue
        else:
            raise NoGraphic(f"{bytes((byte,))!r} in a graphic")
        count = 0
        while len(row) >= width:
            rows.append(bytes.fromhex(row[:width].decode("ascii")))
            del row[:width]
    if row or count:
        raise NoGraphic("the last row is not full")
    return rows


def placed(raster: Raster, *, x: int, y: int, width: int, height: int) -> bytes:
    """Return the label's dots, whole bytes a row, with a graphic's upper left corner at x and y."""
    label_bytes = -(-width // 8)
    lines: list[bytes] = []
    for number in range(height):
        here = number - y
        dots = int.from_bytes(raster.rows[here], "big") if 0 <= here < len(raster.rows) else 0
        shift = 8 * (label_bytes - raster.row_bytes) - x
        dots = dots << shift if shift >= 0 else dots >> -shift
        lines.append((dots & ((1 << 8 * label_bytes) - 1)).to_bytes(label_bytes, "big"))
    return b"".join(lines)


def without_dots(dots: bytes, label_bytes: int, dead: tuple[int, ...]) -> bytes:
    """Return the label with white lines where the print head has dead dots, along the way of the paper."""
    mask = bytearray(b"\xff" * label_bytes)
    for dot in dead:
        if dot // 8 < label_bytes:
            mask[dot // 8] &= ~(0x80 >> dot % 8) & 0xFF
    whole = int.from_bytes(bytes(mask) * (len(dots) // label_bytes or 1), "big")
    return (int.from_bytes(dots, "big") & whole).to_bytes(len(dots), "big")
