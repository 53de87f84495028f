"""Pictures of counting chambers of known geometry: rendered by seed, with cells, blur, tilt and noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting.chamber_table import Ruling, chambers

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
OVERSHOOT_MM = 0.1
TABLE_STEP_MM = 0.0002


@dataclass(frozen=True, slots=True)
class ChamberScene:
    """What a picture shows and how it was taken; lengths in millimetres on the ruling, angles in degrees."""

    ruling: str = "neubauer-improved"
    width: int = 1024
    height: int = 768
    px_per_mm: float = 333.0
    centre_mm: tuple[float, float] = (1.0, 1.0)  # what of the ruling lies at the picture's middle
    angle_deg: float = 0.0
    stretch: float = 1.0  # scale down the picture over scale across
    tilt: tuple[float, float] = (0.0, 0.0)  # relative change of scale over half the longer side
    barrel: float = 0.0  # relative loss of radius at half the longer side
    line_mm: float = 0.004
    sub_spacing_mm: float = 0.0055
    contrast: float = 40.0  # of lines; negative for dark lines
    brightness: float = 120.0
    uneven: float = 0.1
    cells_per_mm2: float = 150.0
    cell_mm: float = 0.014
    blur_px: float = 0.8
    noise: float = 2.0
    jpeg: int = 0
    seed: int = 0
    multiplicity: int = 3
    extras: tuple[str, ...] = field(default=())

    def to_ruling(self, points: Doubles) -> Doubles:
        """Map pixels (n, 2) to millimetres on the ruling."""
        half = 0.5 * max(self.width, self.height)
        middle = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        u = (points - middle) / half
        u = u * (1.0 + self.barrel * (u**2).sum(axis=1, keepdims=True))
        u = u / (1.0 + u @ np.array(self.tilt))[:, None]
        turn = np.deg2rad(-self.angle_deg)
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        moved = (u * half / self.px_per_mm) @ matrix.T
        return np.asarray(moved * np.array([1.0, 1.0 / self.stretch]) + np.array(self.centre_mm))

    def px_per_mm_at(self, point: Doubles) -> tuple[float, float]:
        """Return the true scale along both axes of the ruling at a pixel."""
        steps = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
        moved = self.to_ruling(point + steps)
        to_mm = np.column_stack([moved[0] - moved[1], moved[2] - moved[3]])
        to_px = np.linalg.inv(to_mm)
        return float(np.linalg.norm(to_px[:, 0])), float(np.linalg.norm(to_px[:, 1]))

    def render(self) -> Floats:
        """Return the picture, (height, width) float32, 0 to 255."""
        chance = np.random.default_rng(self.seed)
        x, y = np.meshgrid(np.arange(self.width, dtype=np.float64), np.arange(self.height, dtype=np.float64))
        place = self.to_ruling(np.column_stack([x.ravel(), y.ravel()]))
        ruling = next(
            one.ruling for one in chambers().values() if one.ruling and one.ruling.name == self.ruling
        )
        u, v = place[:, 0], place[:, 1]
        ends = (-OVERSHOOT_MM, ruling.positions_mm[-1] + OVERSHOOT_MM)
        across = self._lines(ruling, u) * ((v > ends[0]) & (v < ends[1]))
        down = self._lines(ruling, v) * ((u > ends[0]) & (u < ends[1]))
        lines = np.maximum(across, down).reshape(self.height, self.width).astype(np.float32)
        picture = np.full((self.height, self.width), self.brightness, np.float32)
        picture += self.contrast * lines
        self._draw_cells(picture, chance)
        if self.blur_px > 0.2:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur_px)
        slope = chance.uniform(-1, 1, 2)
        light = 1.0 + self.uneven * (slope[0] * (x / self.width - 0.5) + slope[1] * (y / self.height - 0.5))
        picture = picture * light.astype(np.float32)
        picture += self.noise * chance.standard_normal(picture.shape, np.float32)
        picture = np.clip(picture, 0, 255)
        if self.jpeg:
            _, data = cv2.imencode(".jpg", picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])
            picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.float32)
        return np.asarray(picture, np.float32)

    def _lines(self, ruling: Ruling, places: Doubles) -> Doubles:
        """Return how much of each pixel a line covers, by its place along one axis."""
        pixel_mm = 1.0 / self.px_per_mm
        table = np.arange(-0.2, ruling.positions_mm[-1] + 0.2, TABLE_STEP_MM)
        cover = np.zeros_like(table)
        for middle, multiple in zip(ruling.positions_mm, ruling.multiple, strict=True):
            number = self.multiplicity if multiple else 1
            for one in range(number):
                at = middle + (one - (number - 1) / 2) * self.sub_spacing_mm
                cover = np.maximum(cover, np.abs(table - at) <= self.line_mm / 2)
        kernel = np.ones(max(1, round(pixel_mm / TABLE_STEP_MM)))
        cover = np.convolve(cover, kernel / kernel.sum(), "same")
        at = np.clip(((places - table[0]) / TABLE_STEP_MM + 0.5).astype(np.int32), 0, len(table) - 1)
        return np.asarray(cover[at])

    def _draw_cells(self, picture: Floats, chance: np.random.Generator) -> None:
        area_mm2 = self.width * self.height / self.px_per_mm**2
        number = min(3000, int(chance.poisson(self.cells_per_mm2 * area_mm2)))
        for _ in range(number):
            radius = max(1.5, self.px_per_mm * self.cell_mm / 2 * chance.uniform(0.75, 1.3))
            centre = (chance.uniform(0, self.width), chance.uniform(0, self.height))
            middle = (round(16 * centre[0]), round(16 * centre[1]))
            dark = chance.random() < 0.25
            rim = self.brightness * chance.uniform(0.35, 0.6)
            core = rim if dark else self.brightness * chance.uniform(1.0, 1.5)
            cv2.circle(picture, middle, round(16 * radius), rim, -1, cv2.LINE_AA, 4)
            cv2.circle(picture, middle, round(16 * radius * 0.65), core, -1, cv2.LINE_AA, 4)


def random_scene(seed: int) -> ChamberScene:
    """Return a scene of an improved Neubauer chamber as microscopes show it, good and poor alike."""
    chance = np.random.default_rng(seed)
    width, height = ((640, 480), (1024, 768), (1280, 960), (1600, 1200), (2048, 1536))[chance.integers(5)]
    # From the whole ruling in a third of the picture to a few groups of the centre.
    view_mm = float(np.exp(chance.uniform(np.log(0.45), np.log(9.0))))
    px_per_mm = min(3000.0, width / view_mm)
    view_mm = width / px_per_mm
    reach = max(0.2, 1.6 - 0.1 * view_mm)
    centre = 1.5 + chance.uniform(-reach, reach, 2)
    brightness = float(chance.uniform(90, 190))
    sign = 1.0 if chance.random() < 0.6 else -1.0
    return ChamberScene(
        width=width,
        height=height,
        px_per_mm=px_per_mm,
        centre_mm=(float(centre[0]), float(centre[1])),
        angle_deg=float(chance.uniform(-45, 45) if chance.random() < 0.5 else chance.uniform(-3, 3)),
        stretch=float(chance.choice([1.0, 1.0, 1.0, chance.uniform(0.985, 1.015)])),
        tilt=tuple(float(one) for one in chance.uniform(-0.015, 0.015, 2) * (chance.random() < 0.5)),
        barrel=float(chance.uniform(-0.004, 0.004) if chance.random() < 0.4 else 0.0),
        line_mm=float(chance.uniform(0.0025, 0.0045)),
        sub_spacing_mm=float(chance.uniform(0.005, 0.0065)),
        contrast=sign * brightness * float(chance.uniform(0.15, 0.55)),
        brightness=brightness,
        uneven=float(chance.uniform(0, 0.5)),
        cells_per_mm2=float(np.exp(chance.uniform(np.log(5), np.log(500)))),
        cell_mm=float(chance.uniform(0.008, 0.02)),
        blur_px=float(chance.uniform(0.4, 1.0 + px_per_mm / 400)),
        noise=float(chance.uniform(0.5, 5.0)),
        jpeg=int(chance.choice([0, 60, 80, 95])),
        seed=seed,
    )
