"""When a read counts: single stills confirmed by independent looks, any disagreement means "not read".

The rules are those for identity: a linear symbol needs two different engines or a matrix symbol of the same
label that says the same; a matrix symbol needs two different looks; overlapping reads that differ confirm
nothing. Two engines on one restored look are not two: restoring may invent an edge, and both would see it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vision.labels.locate import Points

LINEAR = frozenset({"code128", "code39"})
OVERLAP_MIN = 0.2
# A shorter text could stand in a longer one by chance.
CONTAINED_CHARACTERS_MIN = 10
# Looks whose edges were restored begin with this word: what that invents, both engines would see.
RESTORED = "restored"
# The matrix of a label is printed level with its bars; a bag's curve and a tilted view turn it a little.
LEVEL_DEG_MAX = 20.0
# A label of 100 mm with the usual bars of 0.25 mm; the module is guessed a quarter too small at the most.
LABEL_MODULES_MAX = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One engine's result on one look at the frame."""

    engine: str  # "zxing" reads, "zbar" only confirms
    look: str  # which preparation of the pixels was read
    symbology: str
    data: bytes
    text: str
    symbology_identifier: str
    corners: Points  # (4, 2), frame pixels


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """One symbol of the frame, as far as it was read."""

    symbology: str
    text: str
    data: bytes
    symbology_identifier: str
    corners: Points
    confirmed: bool
    looks: tuple[str, ...]


def agree(reads: Sequence[Read]) -> tuple[list[Symbol], bool]:
    """Join reads to symbols and say which are confirmed; the flag tells of a conflict anywhere."""
    groups = _groups(reads)
    conflict = False
    symbols: list[Symbol] = []
    matrices = [read for group in groups for read in _matrix_of(group)]
    for group in groups:
        first_of: dict[bytes, Read] = {}
        for read in group:
            if read.engine == "zxing":
                first_of.setdefault(read.data, read)
        differing = len({read.data for read in group if _counts(read, first_of)}) > 1
        conflict |= differing and bool(first_of)
        for data, read in first_of.items():
            same = [each for each in group if each.data == data]
            confirmed = not differing and (_confirmed(read, same) or _said_by_matrix(read, matrices))
            looks = tuple(dict.fromkeys(f"{each.engine}:{each.look}" for each in same))
            symbols.append(
                Symbol(
                    read.symbology, read.text, data, read.symbology_identifier, read.corners, confirmed, looks
                )
            )
    symbols.sort(key=lambda symbol: (float(symbol.corners[:, 1].min()), float(symbol.corners[:, 0].min())))
    return symbols, conflict


def _counts(read: Read, first_of: dict[bytes, Read]) -> bool:
    """ZBar knows no FNC4: beside extended characters its vote counts neither way."""
    return read.engine == "zxing" or not any(max(data, default=0) >= 0x80 for data in first_of)


def _confirmed(read: Read, same: Sequence[Read]) -> bool:
    if read.symbology in LINEAR:
        return any(
            one.engine != other.engine and (one.look != other.look or not one.look.startswith(RESTORED))
            for one in same
            for other in same
        )
    return len({each.look for each in same}) >= 2


def _matrix_of(group: Sequence[Read]) -> list[Read]:
    """One read of a matrix symbol that nobody contradicts; none of others."""
    texts = {read.text for read in group}
    matrix = all(read.symbology not in LINEAR for read in group)
    return [group[0]] if matrix and len(texts) == 1 and group[0].text else []


def _said_by_matrix(read: Read, matrices: Sequence[Read]) -> bool:
    """A matrix symbol of the same label says the same, or holds it whole."""
    if read.symbology not in LINEAR:
        return False
    contained = len(read.text) >= CONTAINED_CHARACTERS_MIN
    return any(
        (read.text == matrix.text or (contained and read.text in matrix.text)) and _on_one_label(read, matrix)
        for matrix in matrices
    )


def _on_one_label(linear: Read, matrix: Read) -> bool:
    """The two lie level with one another, and no further apart than the ends of a label."""
    bars = (linear.corners[1] + linear.corners[-2] - linear.corners[0] - linear.corners[-1]) / 2
    side = matrix.corners[1] - matrix.corners[0]
    turn = np.degrees(np.arctan2(bars[1], bars[0]) - np.arctan2(side[1], side[0]))
    off = abs((float(turn) + 45) % 90 - 45)
    # Eleven modules a character, with start, check and stop; digits in pairs take half, so this is a least.
    module_px = float(np.linalg.norm(bars)) / (11 * (len(linear.data) + 3) + 2)
    apart = float(np.linalg.norm(linear.corners.mean(axis=0) - matrix.corners.mean(axis=0)))
    return off <= LEVEL_DEG_MAX and apart <= LABEL_MODULES_MAX * module_px


def _groups(reads: Sequence[Read]) -> list[list[Read]]:
    groups: list[list[Read]] = []
    for read in reads:
        near = [group for group in groups if any(one_place(read, each) for each in group)]
        joined = [read]
        for group in near:
            joined = group + joined
            groups.remove(group)
        groups.append(joined)
    return groups


def one_place(one: Read | Symbol, other: Read | Symbol) -> bool:
    """Two reads stand on one symbol when their outlines overlap.

    Engines tell a linear symbol's place as a thin strip where they crossed it, so strips are widened. Strips
    with the same payload may lie further apart and are still one symbol; so are those of one kind or one
    length: a scratch lets a symbol read as one number at its top and as another at its foot.
    """
    alike = one.data == other.data or (one.symbology == other.symbology and _alike(one.text, other.text))
    return overlap(one.corners, other.corners, thickness=0.5 if alike else 0.2) > OVERLAP_MIN


def _alike(one: str, other: str) -> bool:
    return len(one) == len(other) or (bool(kind_of(one)) and kind_of(one) == kind_of(other))


def kind_of(text: str) -> str:
    """What stands before the first letter or digit: `=<` of `=<S1295100`."""
    return re.split("[A-Za-z0-9]", text, maxsplit=1)[0]


def overlap(one: Points, other: Points, *, thickness: float = 0.2) -> float:
    """Share of the smaller outline that lies in the other, 0 to 1."""
    first, second = _widened(one, thickness), _widened(other, thickness)
    kind, points = cv2.rotatedRectangleIntersection(first, second)
    if kind == cv2.INTERSECT_NONE or points is None or len(points) < 3:
        return 0.0
    area = float(cv2.contourArea(cv2.convexHull(points)))
    smaller = min(first[1][0] * first[1][1], second[1][0] * second[1][1])
    return area / max(smaller, 1.0)


def _widened(corners: Points, thickness: float) -> tuple[tuple[float, float], tuple[float, float], float]:
    center, (width, height), angle = cv2.minAreaRect(np.asarray(corners, dtype=np.float32))
    least = max(6.0, thickness * max(width, height))
    return (center[0], center[1]), (max(width, least), max(height, least)), angle
