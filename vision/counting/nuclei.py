"""Method `nuclei`: count nuclei that shine on a dark background, and give each its pixels.

A small static network says for each pixel whether it lies in a nucleus and how deep inside; climbing to
the deepest places parts nuclei that touch. A second detector without any learned part (local half-maximum,
distance to the background) says on how many of them it agrees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import nuclei_joins, nuclei_light
from vision.counting import nuclei_kernels as kernels
from vision.counting.method import Cell, CellClass, Finding, Labels, Scale
from vision.counting.network import Network
from vision.picture_file import FieldPicture

Image = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Table = npt.NDArray[np.float64]

MODELS = Path(__file__).parent / "models"
CARD_FILE, WEIGHTS_FILE = MODELS / "nuclei.json", MODELS / "nuclei.onnx"
SOURCES = ("nuclei.py", "nuclei_kernels.py", "nuclei_light.py", "nuclei_joins.py", "network.py")

# The network halves a picture four times. What it sees beyond the margins changes no answer by much.
MULTIPLE, STRIDE, MARGIN_PX, BORDER_PX = 16, 2, 32, 16
# A strip with its margins holds at most this many pixels; each takes some 120 bytes while it is looked at.
STRIP_PX = 1_100_000
TABLE_REACH = 8.0

# Diameters that the network was taught; a picture beyond is brought to the nearer working diameter.
DIAMETER_PX_LEAST, DIAMETER_PX_MOST = 9.0, 56.0
SMALL_TO_PX, LARGE_TO_PX = 14.0, 36.0
FACTOR_LEAST, FACTOR_MOST = 0.05, 3.0
NUCLEUS_UM = 12.0

# The second detector: half-maximum within this window, in pixels of the half-size picture.
WINDOW_PX = 31
HALF_MAXIMUM = 0.3
GRAINS_LEAST = 6.0
WIDEST_LEAST_PX, ROOM_SHARE = 1.0, 0.6


@dataclass(frozen=True, slots=True)
class Levels:
    """Where the method decides; chosen on out-of-fold answers, kept in the card.

    `inside` and `peak` are of 255; two basins are one from a probability of `joined` on; `speck_px` is an
    area at the working scale; `confidence` the mean foreground of a nucleus, 0 to 1. A nucleus is brighter
    than what surrounds it by `grains` times the noise and by `glare_share` of the brightest nuclei: less
    is a lens' glare or a trace of compression.
    """

    inside: int = 110
    saddle_share: float = 0.85
    peak: int = 60
    seed_px: int = 4
    joined: float = 0.45
    speck_px: int = 25
    confidence: float = 0.7
    grains: float = 2.0
    glare_share: float = 0.012


@dataclass(frozen=True, slots=True)
class Model:
    """A network with its levels and the looks of the nuclei that it learnt from."""

    network: Network
    levels: Levels
    judge: nuclei_joins.Judge | None = None
    looks: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Plain:
    """What the second detector found, in pixels of the picture: (n, 3) x, y, radius."""

    places: Image

    def diameter_px(self) -> float | None:
        """Return the diameter of the nucleus that holds the middle of all nuclear area."""
        if len(self.places) == 0:
            return None
        return float(_weighted_median(2 * self.places[:, 2], self.places[:, 2] ** 2))


def _weighted_median(values: npt.NDArray[Any], weights: npt.NDArray[Any]) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _sigmoid_table() -> Bytes:
    at = np.linspace(-TABLE_REACH, TABLE_REACH, 2049)
    return np.asarray(np.round(255 / (1 + np.exp(-at))), np.uint8)


def find_plainly(grey: Image, light: nuclei_light.Light) -> Plain:
    """Find nuclei by half-maximum and distance alone, at half size."""
    height, width = grey.shape
    size = ((width + 1) // 2, (height + 1) // 2)
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    small = np.asarray(cv2.GaussianBlur(small, (5, 5), 1.0), np.float32)
    low = np.asarray(cv2.resize(light.low, size, interpolation=cv2.INTER_LINEAR), np.float32)
    small -= low
    window = np.ones((WINDOW_PX, WINDOW_PX), np.uint8)
    # Blurred, so that one bright pixel raises no window's maximum far.
    top = cv2.dilate(cv2.GaussianBlur(small, (0, 0), 1.5), window)
    level = np.maximum(HALF_MAXIMUM * top, GRAINS_LEAST * light.noise)
    mask = (small > level).astype(np.uint8)
    # Cells at the picture's edge are cut there: the edge counts as background.
    bordered = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(bordered, cv2.DIST_L2, 5)[1:-1, 1:-1]
    smooth = np.ascontiguousarray(cv2.GaussianBlur(distance, (5, 5), 1.0), np.float32)
    places = kernels.strongest_places(smooth, WIDEST_LEAST_PX, ROOM_SHARE)
    places[:, :2] = 2 * places[:, :2] + np.float32(0.5)
    places[:, 2] = 2 * places[:, 2] + np.float32(1.0)
    return Plain(places=places)


def _look(grey: Image, light: nuclei_light.Light, network: Network) -> tuple[Bytes, Bytes]:
    """Run the network over a picture in strips of full width; return foreground and depth as bytes."""
    height, width = grey.shape
    inside, depth = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
    right = -width % MULTIPLE + BORDER_PX
    whole = width + BORDER_PX + right
    most = max(4 * MULTIPLE, STRIP_PX // whole - 2 * MARGIN_PX)
    strips = (height + most - 1) // most
    rows = (height + strips * MULTIPLE - 1) // (strips * MULTIPLE) * MULTIPLE
    table = _sigmoid_table()
    for top in range(0, height, rows):
        count = min(rows, height - top)
        above, below = min(MARGIN_PX, top), min(MARGIN_PX, height - top - count)
        views = nuclei_light.views(grey[top - above : top + count + below], light, top - above)
        fill = (MARGIN_PX - above, MARGIN_PX - below + (-count % MULTIPLE), BORDER_PX, right)
        height_seen, width_seen = views.shape[1] + fill[0] + fill[1], width + fill[2] + fill[3]
        tile = np.empty((2, height_seen, width_seen), np.float32)
        for k in range(2):
            tile[k] = _mirrored(views[k], fill)
        # A strip is the largest thing in memory here: nothing of it is kept longer than it must be.
        del views
        maps = np.ascontiguousarray(network.forward(tile))
        del tile
        at = (MARGIN_PX // STRIDE, BORDER_PX // STRIDE)
        kernels.shuffle_to_bytes(maps, at, table, TABLE_REACH, top, count, inside, depth)
        del maps
    return inside, depth


def _mirrored(view: Image, fill: tuple[int, int, int, int]) -> Image:
    """Mirror a view outwards by (above, below, left, right) pixels, also by more than it is wide."""
    out = view
    above, below, left, right = fill
    while max(above, below, left, right) > 0:
        height, width = out.shape
        now = (min(above, height - 1), min(below, height - 1), min(left, width - 1), min(right, width - 1))
        out = np.asarray(cv2.copyMakeBorder(out, *now, cv2.BORDER_REFLECT_101), np.float32)
        above, below, left, right = above - now[0], below - now[1], left - now[2], right - now[3]
    return out


@dataclass(frozen=True, slots=True)
class Basins:
    """A picture parted into basins, before those that are one nucleus are joined."""

    labels: Labels
    found: Table
    inside: Bytes
    depth: Bytes
    contrast: float
    touching: nuclei_joins.Touching


def basins_of(grey: Image, light: nuclei_light.Light, model: Model) -> Basins:
    """Run the network over a picture at its working scale and part the foreground, rather too much."""
    inside, raw = _look(grey, light, model.network)
    depth = np.asarray(cv2.GaussianBlur(raw, (3, 3), 0.8), np.uint8)
    levels = model.levels
    labels, made, parent = kernels.part(
        inside, depth, levels.inside, levels.saddle_share, levels.peak, levels.seed_px
    )
    found = kernels.settle(labels, parent, inside, depth, np.zeros(made + 1, np.int32))
    touching = nuclei_joins.touching(labels, found, inside, depth, grey)
    contrast = float(np.median(light.high - light.low))
    return Basins(labels, found, inside, depth, contrast, touching)


def nuclei_of(basins: Basins, model: Model) -> tuple[Labels, Table]:
    """Join basins that are one nucleus and drop what is none; changes `basins.labels`."""
    labels, found = basins.labels, basins.found
    if model.judge is not None and len(basins.touching.pairs):
        names = nuclei_joins.names_of_joined(
            basins.touching, basins.contrast, model.judge, model.levels.joined
        )
        kernels.relabel(labels, names)
        found = kernels.measure(labels, int(names.max()), basins.inside, basins.depth)
    area = found[:, 0]
    kept = (area >= model.levels.speck_px) & (found[:, 6] >= 255 * model.levels.confidence * area)
    return _without(labels, found, kept)


def _without(labels: Labels, found: Table, kept: npt.NDArray[np.bool_]) -> tuple[Labels, Table]:
    """Erase the labels that are not kept and close up the numbers."""
    if not kept.all():
        names = np.zeros(len(found) + 1, np.int32)
        names[1:][kept] = np.arange(1, int(kept.sum()) + 1)
        kernels.relabel(labels, names)
    return labels, found[kept]


def _factor(diameter_px: float | None) -> float:
    """Return the factor that brings nuclei of a diameter into the range that the network was taught."""
    if diameter_px is None or DIAMETER_PX_LEAST <= diameter_px <= DIAMETER_PX_MOST:
        return 1.0
    to = SMALL_TO_PX if diameter_px < DIAMETER_PX_LEAST else LARGE_TO_PX
    return min(FACTOR_MOST, max(FACTOR_LEAST, to / diameter_px))


def _expected_diameter_px(scale: Scale) -> float | None:
    if scale.object_diameter_px is not None:
        return scale.object_diameter_px
    return None if scale.um_per_px is None else NUCLEUS_UM / scale.um_per_px


def _at_factor(grey: Image, light: nuclei_light.Light, factor: float, model: Model) -> tuple[Labels, Table]:
    """Find nuclei at one working scale; labels and measurements are in pixels of the picture itself."""
    if factor == 1.0:
        return nuclei_of(basins_of(grey, light, model), model)
    height, width = grey.shape
    size = (
        max(nuclei_light.BLOCK_PX, round(width * factor)),
        max(nuclei_light.BLOCK_PX, round(height * factor)),
    )
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    working = np.asarray(cv2.resize(grey, size, interpolation=how), np.float32)
    basins = basins_of(working, nuclei_light.light_of(working), model)
    labels, found = nuclei_of(basins, model)
    back = (width, height)
    labels = np.ascontiguousarray(
        cv2.resize(labels.view(np.float32), back, interpolation=cv2.INTER_NEAREST).view(np.int32)
    )
    inside = np.asarray(cv2.resize(basins.inside, back, interpolation=cv2.INTER_LINEAR), np.uint8)
    depth = np.asarray(cv2.resize(basins.depth, back, interpolation=cv2.INTER_LINEAR), np.uint8)
    found = kernels.measure(labels, len(found), inside, depth)
    return _without(labels, found, found[:, 0] > 0)


def _diameters_px(found: Table) -> npt.NDArray[np.float64]:
    out: npt.NDArray[np.float64] = 2 * np.sqrt(found[:, 0] / np.pi)
    return out


@dataclass(frozen=True, slots=True)
class Field:
    """A field with its nuclei found: labels, measurements and edges have one row a nucleus."""

    grey: Image
    light: nuclei_light.Light
    plain: Plain
    labels: Labels
    found: Table
    edges: Table
    factor: float


def _look_through(picture: FieldPicture, scale: Scale, model: Model) -> Field:
    """Find the nuclei of one field at the scale that suits them."""
    grey = picture.grey
    light = nuclei_light.light_of(grey)
    plain = find_plainly(grey, light)
    expected = _expected_diameter_px(scale)
    factor = _factor(plain.diameter_px() if expected is None else expected)
    labels, found = _at_factor(grey, light, factor, model)
    if scale.object_diameter_px is None and len(found) > 0:
        # What was found at the first scale decides whether that scale was right: nuclei of one kind
        # may be twice as large as those of another, so the size of a pixel alone does not settle it.
        again = _factor(_weighted_median(_diameters_px(found), found[:, 0]))
        if max(again, factor) > 1.3 * min(again, factor):
            factor = again
            labels, found = _at_factor(grey, light, factor, model)
    smooth = np.asarray(cv2.GaussianBlur(grey, (3, 3), 0.8), np.float32)
    edges = kernels.edges_and_light(smooth, labels, len(found))
    brightest = float((light.high - light.low).max())
    least = max(model.levels.grains * light.noise, model.levels.glare_share * brightest)
    bright = _contrast(found, edges, light) >= least
    labels, found = _without(labels, found, bright)
    return Field(grey, light, plain, labels, found, edges[bright], factor)


def looks_in(picture: FieldPicture, scale: Scale, model: Model) -> Table:
    """Describe the nuclei of a field as `typicality` compares them, (n, 5) float64."""
    field = _look_through(picture, scale, model)
    return _looks(field.found, field.edges, field.light)


def find_nuclei(picture: FieldPicture, scale: Scale, model: Model) -> Finding:
    """Find the nuclei of one field with a given model."""
    field = _look_through(picture, scale, model)
    found = field.found
    x, y = found[:, 9] + found[:, 1] / found[:, 0], found[:, 10] + found[:, 2] / found[:, 0]
    radius, confidence = _diameters_px(found) / 2, found[:, 6] / found[:, 0] / 255
    strange = _strangeness(_looks(found, field.edges, field.light), model.looks)
    cells = tuple(
        Cell(
            x=round(float(x[k]), 3),
            y=round(float(y[k]), 3),
            radius=round(float(radius[k]), 3),
            kind="nucleus",
            confidence=round(float(confidence[k]), 4),
            typicality=round(float(strange[k]), 3),
        )
        for k in range(len(found))
    )
    return Finding(
        cells=cells,
        labels=field.labels,
        agreement=_agreement(field.plain, field.labels, len(found)),
        measures=_measures(field),
    )


def _looks(found: Table, edges: Table, light: nuclei_light.Light) -> Table:
    """Describe each nucleus by what has no unit: (n, 5) float64.

    Log contrast to the noise, edge steepness times radius over contrast, elongation, mean foreground,
    peak depth.
    """
    area = found[:, 0]
    contrast = _contrast(found, edges, light)
    mx, my = found[:, 1] / area, found[:, 2] / area
    xx, yy = found[:, 3] / area - mx * mx + 1 / 12, found[:, 4] / area - my * my + 1 / 12
    xy = found[:, 5] / area - mx * my
    root = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    longer, shorter = (xx + yy + root) / 2, np.maximum((xx + yy - root) / 2, 1 / 12)
    steep = edges[:, 1] * np.sqrt(area / np.pi) / np.maximum(contrast, light.noise)
    return np.stack(
        [
            np.log(np.maximum(contrast, light.noise) / light.noise),
            np.log(np.maximum(steep, 0.05)),
            np.log(longer / shorter) / 2,
            found[:, 6] / area / 255,
            found[:, 7] / 255,
        ],
        axis=1,
    )


def _contrast(found: Table, edges: Table, light: nuclei_light.Light) -> npt.NDArray[np.float64]:
    """Return how much brighter each nucleus is than what surrounds it, in grey levels."""
    around = np.where(edges[:, 3] > 0, edges[:, 2] / np.maximum(edges[:, 3], 1), float(np.median(light.low)))
    out: npt.NDArray[np.float64] = edges[:, 0] / found[:, 0] - around
    return out


def _strangeness(looks: Table, usual: tuple[tuple[float, float], ...]) -> npt.NDArray[np.float64]:
    """Return how far each nucleus is from those learnt from: 1 is usual, 3 is strange."""
    if not usual:
        return np.ones(len(looks))
    middle, spread = np.array(usual).T
    out: npt.NDArray[np.float64] = np.sqrt((((looks - middle) / spread) ** 2).mean(axis=1))
    return out


def _agreement(plain: Plain, labels: Labels, count: int) -> float | None:
    """Return the share of nuclei, of both detectors' together, that the two have in common."""
    if count + len(plain.places) == 0:
        return None
    height, width = labels.shape
    x = np.clip(np.round(plain.places[:, 0]).astype(int), 0, width - 1)
    y = np.clip(np.round(plain.places[:, 1]).astype(int), 0, height - 1)
    hit = np.unique(labels[y, x])
    return round(2 * int((hit > 0).sum()) / (count + len(plain.places)), 4)


def _measures(field: Field) -> dict[str, float]:
    """Measure the field for gates and report; greys are levels of 0 to 255."""
    light, found, edges = field.light, field.found, field.edges
    out = {
        "background_grey": float(np.median(light.low)),
        "background_low_grey": float(np.percentile(light.low, 5)),
        "background_high_grey": float(np.percentile(light.low, 95)),
        "noise_grey": light.noise,
        "working_factor": field.factor,
        "second_detector_cells": float(len(field.plain.places)),
        "foreground_share": float(found[:, 0].sum() / field.labels.size),
    }
    if len(found):
        contrast = np.maximum(_contrast(found, edges, light), light.noise)
        radius = _diameters_px(found) / 2
        seen = edges[:, 1] > 0
        steep = (edges[:, 1] / contrast)[seen] if seen.any() else np.zeros(1)
        out |= {
            "diameter_px": float(2 * np.median(radius)),
            "contrast_grey": float(np.median(contrast)),
            "edge_steepness_per_px": float(np.median(steep)),
            "edge_steepness_per_radius": float(np.median(steep * radius[seen])) if seen.any() else 0.0,
            "confidence_mean": float((found[:, 6] / found[:, 0]).mean() / 255),
        }
    return {name: round(value, 5) for name, value in out.items()}


@cache
def committed_card() -> dict[str, Any]:
    """Return the performance card that ships with this version."""
    card: dict[str, Any] = json.loads(CARD_FILE.read_text(encoding="utf-8"))
    return card


def model_of(weights: Path, sha256: str, card: Mapping[str, Any]) -> Model:
    """Return a model from an ONNX file and a card's levels.

    Raises
    ------
    WeightsUnusable
        The file's bytes are not those of `sha256`.
    """
    network = Network(weights, sha256, multiple=MULTIPLE, stride=STRIDE, margin=MARGIN_PX)
    looks = tuple((float(a), float(b)) for a, b in card.get("looks", ()))
    judge = nuclei_joins.Judge.from_card(card["joins"]) if "joins" in card else None
    return Model(network=network, levels=Levels(**card["levels"]), judge=judge, looks=looks)


@cache
def committed_model() -> Model:
    """Return the model that ships with this version."""
    card = committed_card()
    return model_of(WEIGHTS_FILE, card["weights_sha256"], card)


@cache
def method_hash() -> str:
    """Return the SHA-256 over the code that decides, the weights and the card."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    digest.update(WEIGHTS_FILE.read_bytes())
    digest.update(CARD_FILE.read_bytes())
    return digest.hexdigest()


def segment(picture: FieldPicture, scale: Scale) -> Finding:
    """Find the nuclei of one picture; see `vision.counting.method.Finding`."""
    return find_nuclei(picture, scale, committed_model())


class Nuclei:
    """The method `nuclei`."""

    id: str = "nuclei"
    channels: int = 1
    classes: tuple[CellClass, ...] = ("nucleus",)

    @property
    def version(self) -> str:
        """Version of the method, as its card says."""
        return str(committed_card()["version"])

    def find(self, pictures: Sequence[FieldPicture], scale: Scale) -> Finding:
        """Find the nuclei of one field; labels are unique and in reading order."""
        (picture,) = pictures
        return segment(picture, scale)

    def warm(self) -> None:
        """Compile and load all that `find` needs."""
        kernels.warm()
        grey = np.zeros((64, 64), np.float32)
        grey[20:40, 20:40] = 120
        segment(FieldPicture(grey, 8, 0.0), Scale())
        self.hash()

    def card(self) -> Mapping[str, Any]:
        """Return the performance card."""
        return committed_card()

    def hash(self) -> str:
        """Return the SHA-256 over code, weights and card."""
        return method_hash()


METHOD = Nuclei()
