"""Pictures of our own labels on bags, by seed and with truth: drawn, printed badly, wrinkled, lit, and held.

No openly licensed photographs of such labels exist. A view is one label as a person holds it up for a second:
its print and its wrinkles stay, its place, its glare and the camera's grain differ from frame to frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vision.labels.label_picture import MARGIN_DOTS, MODULE_DOTS, draw_label
from vision.labels.locate import Gray

Harm = Literal[
    "none", "blur", "glare", "wrinkles", "dead_lines", "scratches", "motion", "curve", "perspective", "dim",
    "covered",
]  # fmt: skip
HARMS: tuple[Harm, ...] = (
    "none", "blur", "glare", "wrinkles", "dead_lines", "scratches", "motion", "curve", "perspective", "dim",
    "covered",
)  # fmt: skip
# What a label must stand: blur and wrinkles in pixels, glare as a share of the symbol, the others in number.
MUST_STAND: dict[Harm, float] = {
    "blur": 2.0, "glare": 0.3, "wrinkles": 4.0, "dead_lines": 1.0, "scratches": 2.0,
}  # fmt: skip
# At three pixels a module and more, what else a bag, a hand and a ward do to it, within reason.
MAY_MEET: dict[Harm, float] = {
    "none": 0.0, "dim": 0.35, "curve": 0.8, "perspective": 0.15, "covered": 0.25, "motion": 3.0,
}  # fmt: skip
# Twice of it and more is reported, without a target. Motion in pixels; curve, perspective, cover as shares.
HARSHER: dict[Harm, float] = {
    "blur": 3.5, "glare": 0.5, "wrinkles": 8.0, "dead_lines": 4.0, "scratches": 8.0, "motion": 9.0,
    "curve": 0.97, "perspective": 0.35, "dim": 0.08, "covered": 0.4,
}  # fmt: skip
LABELS = 256
BESIDE_PX = 60
MODULE_PX = (3.0, 4.0)
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DrawnLabel:
    """A label as it leaves the printer, with what its symbols say."""

    raster: Gray
    linear: frozenset[str]
    matrix: str
    places: Mapping[str, tuple[int, int, int, int]]  # of each payload: left, top, right, bottom in dots

    @property
    def payloads(self) -> frozenset[str]:
        """Every payload that is on this label."""
        return self.linear | {self.matrix}


@dataclass(frozen=True, slots=True)
class View:
    """One label held up once.

    Attributes
    ----------
    harm, level : str, float
        What is wrong with it, and how much (see `MUST_STAND`).
    module_px : float
        Pixels a module of the linear symbols.
    """

    seed: int
    harm: Harm
    level: float
    module_px: float
    label: DrawnLabel

    def frames(self, count: int) -> Iterator[Gray]:
        """Give the frames that a camera takes of it."""
        held = _Held(self)
        for number in range(count):
            yield held.frame(number)


def view_of(seed: int, harm: Harm, level: float, module_px: float | None = None) -> View:
    """Return the view of a seed: always the same one.

    Parameters
    ----------
    level : float
        Most of the harm; a view has between a half and all of it.
    module_px : float, optional
        Within `MODULE_PX` by the seed where it is not given.
    """
    rng = np.random.default_rng((seed, HARMS.index(harm)))
    size = module_px or float(rng.uniform(*MODULE_PX))
    strength = level * float(rng.uniform(0.5, 1.0))
    if harm in ("dead_lines", "scratches"):
        strength = max(1.0, round(strength))
    return View(seed, harm, strength, size, drawn_label(int(rng.integers(LABELS))))


@lru_cache(maxsize=LABELS)
def drawn_label(number: int) -> DrawnLabel:
    """Draw one of `LABELS` fictitious bag labels."""
    rng = np.random.default_rng((7, number))
    din = f"A9999{rng.integers(20, 40):02d}{rng.integers(1_000_000):06d}"
    product = f"S{rng.integers(10_000):04d}{rng.choice(['V', '1'])}00"
    texts = {
        "din_text": f"={din}{60 + _check_value(din):02d}",
        "product_text": f"=<{product}",
    }
    year, month, day = rng.integers(2026, 2040), rng.integers(1, 13), rng.integers(1, 29)
    expiry = f"=(2001{year}{month:02d}{day:02d}{rng.integers(24):02d}{rng.integers(60):02d}"
    compound = f"=+03000{texts['din_text']}{texts['product_text']}{expiry}"
    picture = draw_label(
        "bag",
        {
            **texts,
            "compound_text": compound,
            "din_readable": f"{din[:5]} {din[5:7]} {din[7:]}",
            "product_readable": product,
            "expiry_readable": f"{year}-{month:02d}-{day:02d}",
        },
    )
    raster = cv2.imdecode(np.frombuffer(picture.png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert raster is not None, number
    # A bag's label is no longer than its print: the empty paper below it is cut off.
    lowest = int(np.flatnonzero((raster < 128).any(axis=1)).max()) + MARGIN_DOTS
    sheet = np.asarray(raster[:lowest], np.uint8)
    return DrawnLabel(sheet, frozenset(texts.values()), compound, picture.places)


def _check_value(text: str) -> int:
    total = 0
    for character in text:
        total = (total + DIGITS.index(character)) * 2 % 37
    return (38 - total) % 37


class _Held:
    """A view's lasting state: print, sheet, wrinkles; and how each frame differs."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._rng = np.random.default_rng((view.seed, HARMS.index(view.harm), 1))
        rng = self._rng
        self._printed = _printed(view, rng)
        turn = rng.uniform(-20, 20) if rng.random() < 0.7 else rng.uniform(0, 360)
        self._turn_deg, self._tilt = float(turn), rng.uniform(-0.02, 0.02, 2)
        if view.harm == "perspective":
            self._tilt = rng.choice([-1, 1], 2) * view.level * rng.uniform(0.4, 1, 2)
        self._light = (float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, 0.25)))
        self._place = self._target(rng)
        self._waves = [
            (float(rng.uniform(60, 250)), float(rng.uniform(0, np.pi)), float(rng.uniform(0, 2 * np.pi)))
            for _ in range(2)
        ]

    def _target(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """Choose a symbol to harm: its middle and its length, in dots."""
        label = self._view.label
        payload = label.matrix
        if rng.random() >= 0.5:
            payload = sorted(label.linear)[int(rng.uniform(0, len(label.linear)))]
        left, top, right, bottom = label.places[payload]
        return (left + right) / 2, (top + bottom) / 2, float(right - left)

    def frame(self, number: int) -> Gray:
        """Take one frame."""
        rng = np.random.default_rng((self._view.seed, HARMS.index(self._view.harm), 2, number))
        x, y = self._maps(rng)
        paper = cv2.remap(
            self._printed, x, y, cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT, borderValue=190.0
        )
        lit = np.asarray(paper, np.float32) * 0.86 + 18
        lit *= self._shade(x, y)
        return self._sensed(self._spoilt(lit, x, y, rng), rng)

    def _maps(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """For each frame pixel, the dot of the label that it shows."""
        view = self._view
        height, width = view.label.raster.shape
        scale = view.module_px / MODULE_DOTS
        turn = math.radians(self._turn_deg + float(rng.normal(0, 0.4)))
        shift = rng.normal(0, 2, 2)
        reach = math.hypot(width, height) * scale
        across, up = abs(math.cos(turn)) * scale, abs(math.sin(turn)) * scale
        size = (
            int(width * across + height * up) + 2 * BESIDE_PX,
            int(width * up + height * across) + 2 * BESIDE_PX,
        )
        # One row and one column: all that follows is made of them, in single precision.
        u = (np.arange(size[0], dtype=np.float32) - float(size[0] / 2 + shift[0]))[np.newaxis]
        v = (np.arange(size[1], dtype=np.float32) - float(size[1] / 2 + shift[1]))[:, np.newaxis]
        depth = 1 + (u * float(self._tilt[0] / reach) + v * float(self._tilt[1] / reach))
        x = (u * math.cos(turn) + v * math.sin(turn)) / scale / depth
        y = (v * math.cos(turn) - u * math.sin(turn)) / scale / depth
        if view.harm == "curve":
            # The bag is a cylinder: towards its edge the same angle covers less of the picture.
            x = np.arcsin(np.clip(x / (0.5 * width) * view.level, -0.999, 0.999)) * (
                0.5 * width / math.asin(view.level)
            )
        if view.harm == "wrinkles":
            for length, angle, phase in self._waves:
                along = (u * math.cos(angle) + v * math.sin(angle)) * 2 * math.pi / length + phase
                move = view.level / 2 / scale * np.sin(along)
                x, y = x + move * math.cos(angle), y + move * math.sin(angle)
        return np.asarray(x + width / 2, np.float32), np.asarray(y + height / 2, np.float32)

    def _shade(self, x: Map, y: Map) -> Map:
        """Uneven light, and the dark side of each wrinkle."""
        height, width = self._view.label.raster.shape
        angle, fall = self._light
        shade = 1 - fall * (0.5 + (x / width - 0.5) * math.cos(angle) + (y / height - 0.5) * math.sin(angle))
        if self._view.harm == "wrinkles":
            length, wave_angle, phase = self._waves[0]
            along = (x * math.cos(wave_angle) + y * math.sin(wave_angle)) * 2 * math.pi / length
            shade = shade * (1 + 0.03 * self._view.level * np.cos(along + phase))
        return np.asarray(np.clip(shade, 0.2, 1.4), np.float32)

    def _spoilt(self, lit: Map, x: Map, y: Map, rng: np.random.Generator) -> Map:
        view = self._view
        middle_x, middle_y, length = self._place
        if view.harm == "glare":
            middle_x, middle_y = middle_x + float(rng.normal(0, 12)), middle_y + float(rng.normal(0, 12))
            away = np.hypot(x - middle_x, y - middle_y) / (view.level * length)
            lit = lit + 400 * np.exp(-0.5 * (away * 1.8) ** 2).astype(np.float32)
        if view.harm == "covered":
            inside = (np.abs(x - middle_x - length * (0.5 - view.level / 2)) < length * view.level / 2) & (
                np.abs(y - middle_y) < 0.4 * length
            )
            lit = np.where(inside, np.float32(120), lit)
        if view.harm == "dim":
            lit = lit * np.float32(max(view.level, 0.02))
        return lit

    def _sensed(self, lit: Map, rng: np.random.Generator) -> Gray:
        """Lens and sensor: soft edges, grain, and the camera's own compression."""
        view = self._view
        blur = 0.6 if view.harm != "blur" else max(0.6, view.level * float(rng.uniform(0.9, 1.1)))
        lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), blur), np.float32)
        if view.harm == "motion":
            lit = np.asarray(cv2.filter2D(lit, -1, _streak(view.level, float(rng.uniform(0, 180)))))
        height, width = lit.shape
        # A quarter of the grain, four times below itself: no symbol is read from grain that far apart.
        grain = rng.standard_normal((-(-height // 4), width), np.float32)
        noisy = lit + np.tile(3.0 * grain, (4, 1))[:height]
        _, data = cv2.imencode(
            ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 88]
        )
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def _printed(view: View, rng: np.random.Generator) -> Gray:
    """The label as the print head left it, and as it was scratched since."""
    raster = view.label.raster.copy()
    height, width = raster.shape
    if view.harm == "dead_lines":
        # The label leaves the printer head first: a dead dot leaves its column white, along the bars.
        inked = np.flatnonzero((raster < 128).mean(axis=0) > 0.1)
        for column in rng.choice(inked, int(view.level), replace=False):
            raster[:, column] = 255
    if view.harm == "scratches":
        for _ in range(int(view.level)):
            x, y = rng.uniform(0, width), rng.uniform(0.1 * height, height)
            angle, length = rng.uniform(0, np.pi), rng.uniform(150, 700)
            ends = [
                (int(x + way * length / 2 * np.cos(angle)), int(y + way * length / 2 * np.sin(angle)))
                for way in (-1, 1)
            ]
            cv2.line(raster, ends[0], ends[1], 255, int(rng.integers(2, 5)), cv2.LINE_AA)
    return raster


def _streak(length_px: float, angle_deg: float) -> Map:
    side = 2 * int(length_px / 2) + 3
    kernel = np.zeros((side, side), np.float32)
    reach = length_px / 2 * np.array([math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))])
    middle = side // 2
    first, last = ((middle + way * reach).round().astype(int).tolist() for way in (-1, 1))
    cv2.line(kernel, (first[0], first[1]), (last[0], last[1]), 1.0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)
