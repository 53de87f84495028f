"""Scenes that the trypan-blue network learns from: labelled patches, turned, sized, lit and pasted anew.

Everything happens on relative pictures (over the background, minus 1). A scene is a square canvas; what
lies outside a patch is 0, as the margin is when a picture is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting.background import background_of, relative_to
from vision.counting.training import scoring
from vision.picture_file import read_grey

Array = npt.NDArray[np.float32]

CANVAS_PX = 224
STRIDE_PX = 4
# A centre's hill in the map of centres, in label radii; never narrower than the grid can show.
HILL_SHARE, HILL_SIGMA_LEAST_PX = 0.32, 2.6
# Within this share of the radius a pixel tells the class and the radius.
CORE_SHARE = 0.5
SIZE_LOW, SIZE_HIGH = 0.72, 1.38
DEAD_PATCH_WEIGHT = 0.8
SHARE_AT_ANY_ANGLE, SHARE_OF_TWO_PATCHES = 0.4, 0.25
SHARE_WITH_PASTED_DEAD, SHARE_WITH_PASTED_LIVE = 0.4, 0.15
SHARE_WITH_LINES, SHARE_WITHOUT_CELLS = 0.12, 0.05
# A centre this near to the canvas' edge, in radii, teaches neither a cell nor its absence.
UNSURE_AT_EDGE = 0.5


@dataclass(frozen=True, slots=True)
class Patch:
    """A labelled picture over its background, with (n, 4) rows x, y, radius, dead (0 or 1)."""

    relative: Array
    cells: Array


@dataclass(frozen=True, slots=True)
class Scene:
    """A canvas and what the network should answer, on the grid of every `STRIDE_PX`-th pixel.

    `targets` holds four maps: centre hills (0 to 1), dead (0 or 1), log of radius over 10 px, and the
    weight of the class and the radius; `sure` is 0 where the labels do not say what is there.
    """

    image: Array
    targets: Array
    sure: Array


def read_patch(image: scoring.LabelledImage) -> Patch:
    """Read one labelled picture."""
    grey = read_grey(image.path).grey
    cells = [(c.x, c.y, c.radius, float(c.kind == "dead")) for c in image.cells]
    return Patch(
        relative=relative_to(grey, background_of(grey)),
        cells=np.array(cells, np.float32).reshape(-1, 4),
    )


class Scenes:
    """An endless row of scenes drawn from patches; one seed gives one row."""

    def __init__(self, patches: Sequence[Patch], seed: int) -> None:
        self._patches = list(patches)
        self._rng = np.random.default_rng(seed)
        weight = np.array([1 + DEAD_PATCH_WEIGHT * float(p.cells[:, 3].sum()) for p in patches])
        self._weight = weight / weight.sum()
        self._cut = {kind: _whole_cells(patches, dead=kind == "dead") for kind in ("dead", "live")}

    def draw(self) -> Scene:
        """Make the next scene."""
        rng = self._rng
        if rng.random() < SHARE_WITHOUT_CELLS:
            return _scene_of(_nothing(rng), np.zeros((0, 4), np.float32))
        image, cells = self._turned()
        if rng.random() < SHARE_OF_TWO_PATCHES:
            image, cells = self._joined(image, cells)
        if rng.random() < SHARE_WITH_PASTED_DEAD:
            image, cells = self._with_pasted(image, cells, "dead", int(rng.integers(1, 4)))
        if rng.random() < SHARE_WITH_PASTED_LIVE:
            image, cells = self._with_pasted(image, cells, "live", int(rng.integers(1, 4)))
        if rng.random() < SHARE_WITH_LINES:
            image = _with_lines(image, rng)
        return _scene_of(_lit(image, rng), cells)

    def _turned(self) -> tuple[Array, Array]:
        """Lay one patch on the canvas: mirrored, turned, sized, moved."""
        rng = self._rng
        patch = self._patches[int(rng.choice(len(self._patches), p=self._weight))]
        height, width = patch.relative.shape
        angle = (
            rng.uniform(0, 2 * np.pi)
            if rng.random() < SHARE_AT_ANY_ANGLE
            else np.pi / 2 * int(rng.integers(4))
        )
        size = float(np.exp(rng.uniform(np.log(SIZE_LOW), np.log(SIZE_HIGH))))
        stretch = float(np.exp(rng.normal(0, 0.03)))
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.diag([mirror * size * stretch, size / stretch])
        # Small patches lie somewhere on the canvas with their edges in sight; large ones are cut by it.
        slack = 0.5 * abs(CANVAS_PX - size * max(height, width))
        middle = CANVAS_PX / 2 - 0.5 + rng.uniform(-slack, slack, 2)
        shift = middle - matrix @ np.array([(width - 1) / 2, (height - 1) / 2])
        affine = np.column_stack([matrix, shift]).astype(np.float64)
        way = cv2.INTER_AREA if size < 1 else (cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR)
        image = cv2.warpAffine(
            patch.relative,
            affine,
            (CANVAS_PX, CANVAS_PX),
            flags=cv2.INTER_LINEAR if way == cv2.INTER_AREA else way,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
        cells = patch.cells.copy()
        if len(cells):
            cells[:, :2] = cells[:, :2] @ matrix.T + shift
            cells[:, 2] *= size
        return np.asarray(image, np.float32), cells

    def _joined(self, image: Array, cells: Array) -> tuple[Array, Array]:
        """Put another patch on one side of a seam, so that edges of pictures are not the only neighbours."""
        other, others = self._turned()
        seam = int(self._rng.integers(CANVAS_PX // 4, 3 * CANVAS_PX // 4))
        joined = image.copy()
        joined[:, seam:] = other[:, seam:]
        kept = np.concatenate([cells[cells[:, 0] < seam], others[others[:, 0] >= seam]])
        return joined, kept

    def _with_pasted(self, image: Array, cells: Array, kind: str, number: int) -> tuple[Array, Array]:
        """Paste cut-out cells where no other cell lies."""
        rng = self._rng
        library = self._cut[kind]
        for _ in range(number if library else 0):
            stamp, radius = library[int(rng.integers(len(library)))]
            stamp = np.rot90(stamp, int(rng.integers(4)))
            stamp = stamp[::-1] if rng.random() < 0.5 else stamp
            size = float(np.exp(rng.uniform(-0.25, 0.25)))
            stamp = np.asarray(cv2.resize(np.ascontiguousarray(stamp), None, fx=size, fy=size), np.float32)
            stamp = stamp * np.float32(np.exp(rng.uniform(-0.25, 0.25)))
            side, radius = len(stamp), radius * size
            left, top = (int(v) for v in rng.integers(8, CANVAS_PX - side - 8, 2))
            x, y = left + (side - 1) / 2, top + (side - 1) / 2
            if (
                len(cells)
                and (np.hypot(cells[:, 0] - x, cells[:, 1] - y) < 0.95 * (cells[:, 2] + radius)).any()
            ):
                continue
            rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
            gap = np.hypot(rows, columns) / radius
            mask = np.clip((1.45 - gap) / 0.3, 0, 1).astype(np.float32)
            under = image[top : top + side, left : left + side]
            image = image.copy()
            image[top : top + side, left : left + side] = under * (1 - mask) + stamp * mask
            row = np.array([[x, y, radius, float(kind == "dead")]], np.float32)
            cells = np.concatenate([cells, row])
        return image, cells


def _whole_cells(patches: Sequence[Patch], *, dead: bool) -> list[tuple[Array, float]]:
    """Cut out the cells that lie whole in their patch, with nothing labelled beside them."""
    cut = []
    for patch in patches:
        height, width = patch.relative.shape
        for x, y, radius, is_dead in patch.cells:
            reach = int(np.ceil(1.5 * radius)) + 1
            column, row = round(float(x)), round(float(y))
            inside = reach <= column < width - reach and reach <= row < height - reach
            if bool(is_dead) != dead or not inside:
                continue
            gaps = np.hypot(patch.cells[:, 0] - x, patch.cells[:, 1] - y) - patch.cells[:, 2]
            if (gaps < 1.5 * radius).sum() > 1:
                continue
            stamp = patch.relative[row - reach : row + reach + 1, column - reach : column + reach + 1]
            cut.append((stamp, float(radius)))
    return cut


def _lit(image: Array, rng: np.random.Generator) -> Array:
    """Change contrast, sharpness, background and grain as another microscope would."""
    gain = np.exp(rng.uniform(-0.4, 0.35))
    bright, dark = np.exp(rng.normal(0, 0.12, 2))
    image = image * np.where(image > 0, gain * bright, gain * dark).astype(np.float32)
    if rng.random() < 0.35:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3)), np.float32)
    elif rng.random() < 0.25:
        image = image + rng.uniform(0.2, 1.0) * (image - cv2.GaussianBlur(image, (0, 0), 1.5))
    if rng.random() < 0.3:
        coarse = rng.normal(0, rng.uniform(0.005, 0.04), (4, 4)).astype(np.float32)
        image = image + cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        grain = rng.normal(0, rng.uniform(0.003, 0.035), image.shape).astype(np.float32)
        if rng.random() < 0.4:
            grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.4, 0.9)), np.float32)
        image = image + grain
    if rng.random() < 0.4:
        # A camera near its top level clips the bright cores, not far above the background.
        image = np.minimum(image, np.float32(np.exp(rng.uniform(np.log(0.1), np.log(1.5)))))
    return np.asarray(image, np.float32)


def _with_lines(image: Array, rng: np.random.Generator) -> Array:
    """Draw one to three ruled lines across the canvas, dark, bright, or dark with bright rims."""
    drawn = image.copy()
    angle = rng.uniform(0, np.pi)
    for turn in range(int(rng.integers(1, 4))):
        along = angle + (np.pi / 2 if turn == 1 else 0)
        x, y = rng.uniform(0, CANVAS_PX, 2)
        dx, dy = 400 * np.cos(along), 400 * np.sin(along)
        ends = (round(x - dx), round(y - dy)), (round(x + dx), round(y + dy))
        width = int(rng.integers(1, 6))
        line = np.zeros(image.shape, np.float32)
        if rng.random() < 0.5:
            cv2.line(line, *ends, float(rng.uniform(0.1, 0.4)), 3 * width)
        cv2.line(line, *ends, float(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.7)), width)
        drawn = drawn + cv2.GaussianBlur(line, (0, 0), rng.uniform(0.6, 1.5))
    return drawn


def _nothing(rng: np.random.Generator) -> Array:
    """Draw a canvas without a cell: grain of any coarseness, smears, strokes."""
    kind = int(rng.integers(3))
    image = rng.normal(0, 1, (CANVAS_PX, CANVAS_PX)).astype(np.float32)
    coarseness = float(rng.uniform(0, 6)) if kind < 2 else 0.8
    if coarseness > 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), coarseness), np.float32)
    image = image / np.float32(image.std() + 1e-6) * np.float32(np.exp(rng.uniform(-5, -0.7)))
    if kind == 2:
        for _ in range(int(rng.integers(4, 60))):
            x, y = (int(v) for v in rng.integers(0, CANVAS_PX, 2))
            dx, dy = (int(v) for v in rng.integers(-40, 41, 2))
            shade = float(rng.uniform(-0.9, 0.9))
            cv2.line(image, (x, y), (x + dx, y + dy), shade, int(rng.integers(1, 5)))
    return _with_lines(image, rng) if rng.random() < 0.3 else np.asarray(image, np.float32)


def _scene_of(image: Array, cells: Array) -> Scene:
    side = CANVAS_PX // STRIDE_PX
    targets = np.zeros((4, side, side), np.float32)
    sure = np.ones((side, side), np.float32)
    places = np.arange(side, dtype=np.float32) * STRIDE_PX
    for x, y, radius, dead in cells:
        square = (places[None, :] - x) ** 2 + (places[:, None] - y) ** 2
        inside = min(x, y, CANVAS_PX - 1 - x, CANVAS_PX - 1 - y)
        if inside < UNSURE_AT_EDGE * radius:
            if inside > -2 * radius:
                sure[square < (1.5 * radius) ** 2] = 0
            continue
        sigma = max(HILL_SHARE * radius, HILL_SIGMA_LEAST_PX)
        hill = np.exp(-square / (2 * sigma**2))
        # The grid point next to the centre stands for the peak, wherever the centre falls between points.
        hill = hill / hill.max()
        higher = hill > targets[0]
        core = (square <= max((CORE_SHARE * radius) ** 2, STRIDE_PX**2 / 2)) & higher
        targets[0] = np.maximum(targets[0], hill)
        targets[1][core], targets[2][core], targets[3][core] = dead, np.log(radius / 10), 1
    return Scene(image=image, targets=targets, sure=sure)
