"""Count live and dead cells in a brightfield picture of a sample stained with trypan blue.

A live cell is a bright core within a dark ring; a dead one is grey throughout. One small network sees
the whole picture over its background and answers, for every fourth pixel, how likely a cell's centre is
there, whether the cell is dead, and how large it is. It is trained by
`vision.counting.training.train_trypan_blue`. Votes of edges (`trypan_votes`) give the second opinion.
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

from vision.counting.background import background_of, noise_of, relative_to
from vision.counting.method import Cell, CellClass, Finding, Scale
from vision.counting.network import Network, WeightsUnusable
from vision.counting.trypan_votes import votes_of
from vision.picture_file import PIXELS_MAX, FieldPicture, PictureUnreadable

MODELS = Path(__file__).with_name("models")
WEIGHTS_FILE, CARD_FILE = MODELS / "trypan-blue.onnx", MODELS / "trypan-blue.json"
# The files whose text decides a result; their bytes, the weights and the card make the method's hash.
SOURCES = ("background.py", "network.py", "trypan_blue.py", "trypan_votes.py")

# A cell of the working scale measures 20 px, and 12 um: the middle of the band the method is for.
WORKING_DIAMETER_PX, WORKING_UM_PER_PX = 20.0, 0.6
# Pictures within this factor of the working scale are used as they are: resampling costs sharpness.
SCALE_LEFT_ALONE = 1.2
# Bound of memory: beyond this factor small cells stay small, and the network still knows them.
ENLARGED_MOST = 2.0
# Smaller than one cell at the working scale there is nothing to find.
SIDE_LEAST_PX = 24

STRIDE_PX, MULTIPLE_PX, MARGIN_PX, TILE_PX = 4, 16, 32, 768
RADIUS_UNIT_PX = 10.0
RADIUS_LEAST_PX, RADIUS_MOST_PX = 3.0, 40.0
# Peaks of the network's answer below this probability are not looked at.
LEAST_LEVEL = 0.1
VOTES_MOST = 3.0
# From this probability on the network by itself takes a peak as a cell, when its agreement is asked.
ALONE_LEVEL = 0.55
# A centre must rule a disc of this many pixels of the network's answer, across.
RULED_PX = 5
# Two centres nearer than this share of the larger radius are one cell.
APART_SHARE = 0.8
RINGS, ANGLES, RINGS_REACH = 12, 16, 1.6
TYPICALITY_CLIP = 12.0
# Two detectors mean the same cell when their centres are within this share of its radius (at least 6 px).
SAME_SHARE, SAME_LEAST_PX = 1.0, 6.0

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a description varies over the training cells of one class, each (RINGS * 2,) float32."""

    middle: Array
    spread: Array


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure it is that a cell is to be counted: weights of all that speaks for and against it.

    People count a cell on the left or top edge and leave out one on the right or bottom edge (the rule of
    two edges), and so do the labels, if not always; hence a weight for each.
    """

    odds: float
    cut_left_top: float
    cut_right_bottom: float
    dead: float
    votes: float
    offset: float

    def of(self, found: Centres, shape: tuple[int, ...], votes: Array) -> Array:
        """Return the probability that each centre is a cell to be counted.

        Parameters
        ----------
        found : Centres
            What the network sees.
        shape : tuple of int
            Height and width of the picture at the working scale.
        votes : (n,) float32 ndarray
            Votes of edges near each centre (no unit); more than `VOTES_MOST` say no more.
        """
        first, last = cut_shares(found, shape)
        odds = self.odds * found.odds + self.cut_left_top * first + self.cut_right_bottom * last
        odds = odds + self.dead * found.dead + self.votes * np.minimum(votes, np.float32(VOTES_MOST))
        return _sigmoid(np.asarray(odds + self.offset, np.float32))


def cut_shares(found: Centres, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the share of its radius that each cell misses at left or top, and at right or bottom."""
    height, width = shape
    nearest = (
        np.minimum(found.x, found.y),
        np.minimum(width - 1 - found.x, height - 1 - found.y),
    )
    first, last = (np.clip((found.radius - d) / found.radius, 0, 1) for d in nearest)
    return np.asarray(first, np.float32), np.asarray(last, np.float32)


@dataclass(frozen=True, slots=True)
class Model:
    """The learned part of the method: the network, its decision levels and its card."""

    network: Network
    card: Mapping[str, Any]
    cell_level: float
    dead_level: float
    grey_zone: tuple[float, float]
    certainty: Certainty
    live: Spread
    dead: Spread


@dataclass(frozen=True, slots=True)
class Centres:
    """Cells as the network sees them: arrays of one length, in pixels of the working scale.

    `odds` are the network's log odds of a centre, `dead` the probability that the cell is dead.
    """

    x: Array
    y: Array
    radius: Array
    odds: Array
    dead: Array


def content_hash(card: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a card without its own `content_sha256`."""
    body = {key: value for key, value in card.items() if key != "content_sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def model_of(weights: bytes | Path, card: Mapping[str, Any]) -> Model:
    """Read a network and its card.

    Raises
    ------
    WeightsUnusable
        Weights or card are not what the card's hashes say.
    """
    if content_hash(card) != card["content_sha256"]:
        raise WeightsUnusable(f"{card['id']} (card)")
    levels = card["decision_levels"]
    spreads = {
        kind: Spread(*(np.array(rows[name], np.float32) for name in ("middle", "spread")))
        for kind, rows in card["typical"].items()
    }
    return Model(
        network=Network(
            weights,
            card["weights_sha256"],
            multiple=MULTIPLE_PX,
            stride=STRIDE_PX,
            margin=MARGIN_PX,
            tile=TILE_PX,
            beyond="zero",
        ),
        card=card,
        cell_level=levels["cell"],
        dead_level=levels["cell_if_dead"],
        grey_zone=(levels["grey_zone"][0], levels["grey_zone"][1]),
        certainty=Certainty(**levels["certainty"]),
        live=spreads["live"],
        dead=spreads["dead"],
    )


@cache
def committed_model() -> Model:
    """Return the model that ships with this version, read and checked once."""
    return model_of(WEIGHTS_FILE, json.loads(CARD_FILE.read_text(encoding="utf-8")))


def factor_of(scale: Scale) -> float:
    """Return what a picture is resized by to bring its cells to the working size."""
    if scale.object_diameter_px is not None:
        factor = WORKING_DIAMETER_PX / scale.object_diameter_px
    elif scale.um_per_px is not None:
        factor = scale.um_per_px / WORKING_UM_PER_PX
    else:
        return 1.0
    left_alone = 1 / SCALE_LEFT_ALONE <= factor <= SCALE_LEFT_ALONE
    return 1.0 if left_alone else min(factor, ENLARGED_MOST)


def working_picture(grey: Array, factor: float) -> Array:
    """Divide a picture by its background and bring it to the working scale (relative, no unit)."""
    relative = relative_to(grey, background_of(grey, factor))
    if factor == 1.0:
        return relative
    size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(relative, size, interpolation=way), np.float32)


def _sigmoid(odds: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -30, 30))), np.float32)


def _between(before: Array, here: Array, after: Array) -> Array:
    """Return where between its neighbours a peak lies, -0.5 to 0.5, by the parabola through the three."""
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / np.where(bend < 0, bend, -np.inf)
    return np.asarray(np.clip(shift, -0.5, 0.5), np.float32)


def centres_of(answer: Array, level: float) -> Centres:
    """Read the network's answer: peaks above a probability, each the highest of its surroundings.

    Parameters
    ----------
    answer : (3, rows, columns) float32 ndarray
        Log odds of a centre, log odds of dead, logarithm of the radius over 10 px.
    level : float
        Least probability of a centre.

    Returns
    -------
    Centres
        The likeliest first.
    """
    odds = answer[0]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (RULED_PX, RULED_PX))
    highest = cv2.dilate(odds, disc)
    y, x = np.nonzero((odds >= highest) & (odds > np.float32(np.log(level / (1 - level)))))
    order = np.argsort(-odds[y, x], kind="stable")
    y, x = y[order], x[order]
    # An edge pixel stands for the one beyond it, so that a peak on the edge stays there.
    wide = cv2.copyMakeBorder(odds, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    here = odds[y, x]
    shift_x = _between(wide[y + 1, x], here, wide[y + 1, x + 2])
    shift_y = _between(wide[y, x + 1], here, wide[y + 2, x + 1])
    radius = RADIUS_UNIT_PX * np.exp(np.clip(answer[2, y, x], -3, 3))
    found = Centres(
        x=np.asarray((x + shift_x) * STRIDE_PX, np.float32),
        y=np.asarray((y + shift_y) * STRIDE_PX, np.float32),
        radius=np.asarray(np.clip(radius, RADIUS_LEAST_PX, RADIUS_MOST_PX), np.float32),
        odds=here,
        dead=_sigmoid(answer[1, y, x]),
    )
    return _chosen(found, _apart(found))


def _chosen(found: Centres, which: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Centres:
    return Centres(found.x[which], found.y[which], found.radius[which], found.odds[which], found.dead[which])


def _apart(found: Centres) -> npt.NDArray[np.intp]:
    """Index the centres that lie in no likelier cell; the centres come likeliest first."""
    kept: list[int] = []
    squares: dict[tuple[int, int], list[int]] = {}
    side = APART_SHARE * RADIUS_MOST_PX
    xs, ys, radii = found.x.tolist(), found.y.tolist(), found.radius.tolist()
    for n, (x, y, radius) in enumerate(zip(xs, ys, radii, strict=True)):
        column, row = int(x // side), int(y // side)
        near = (
            k
            for j in (row - 1, row, row + 1)
            for i in (column - 1, column, column + 1)
            for k in squares.get((i, j), ())
        )
        if all(
            (x - xs[k]) ** 2 + (y - ys[k]) ** 2 >= (APART_SHARE * max(radius, radii[k])) ** 2 for k in near
        ):
            kept.append(n)
            squares.setdefault((column, row), []).append(n)
    return np.array(kept, np.intp)


def describe(relative: Array, found: Centres) -> Array:
    """Describe each cell by the mean and spread of rings about it, out to 1.6 radii.

    Returns
    -------
    (n, RINGS * 2) float32 ndarray
        Relative brightness (no unit); the same at any rotation and any size.
    """
    reach = np.linspace(0.1, RINGS_REACH, RINGS, dtype=np.float32)
    angle = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False, dtype=np.float32)
    dx, dy = np.outer(reach, np.cos(angle)).ravel(), np.outer(reach, np.sin(angle)).ravel()
    rows = []
    # Blocks keep below the 32767 rows that OpenCV's remap takes.
    for start in range(0, max(1, len(found.x)), 4096):
        part = slice(start, start + 4096)
        radius = found.radius[part, None]
        x, y = found.x[part, None] + radius * dx, found.y[part, None] + radius * dy
        if not len(x):
            break
        samples = cv2.remap(relative, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        rings = np.asarray(samples, np.float32).reshape(-1, RINGS, ANGLES)
        rows.append(np.concatenate([rings.mean(axis=2), rings.std(axis=2)], axis=1))
    return np.concatenate(rows) if rows else np.zeros((0, 2 * RINGS), np.float32)


def _typicality(model: Model, description: Array, dead: Array) -> Array:
    """Return how many spreads of the training cells of its class each cell is from the usual."""
    distances = [
        np.clip((description - kind.middle) / kind.spread, -TYPICALITY_CLIP, TYPICALITY_CLIP)
        for kind in (model.live, model.dead)
    ]
    live, gone = (np.sqrt(np.mean(d**2, axis=1)) for d in distances)
    return np.asarray(np.where(dead > 0.5, gone, live), np.float32)


def _agreement(seen: Array, voted: Array) -> float | None:
    """Return the share of cells found by network alone or by votes that both found; None without any.

    Parameters
    ----------
    seen : (n, 3) float32 ndarray
        x, y and radius of the network's cells, in pixels.
    voted : (m, 2) float32 ndarray
        x, y of the voted centres, in pixels, in reading order.
    """
    if not len(seen) and not len(voted):
        return None
    both, free = 0, np.ones(len(voted), bool)
    for x, y, radius in seen:
        within = max(SAME_LEAST_PX, SAME_SHARE * radius)
        low, high = np.searchsorted(voted[:, 1], (y - within, y + within))
        gaps = np.hypot(voted[low:high, 0] - x, voted[low:high, 1] - y)
        near = np.flatnonzero(free[low:high] & (gaps <= within))
        if len(near):
            free[low + near[0]] = False
            both += 1
    return round(2 * both / (len(seen) + len(voted)), 4)


def find_with(model: Model, picture: FieldPicture, scale: Scale) -> Finding:
    """Find the cells of one picture with a given model (see `TrypanBlue.find`)."""
    factor = factor_of(scale)
    height, width = picture.grey.shape
    if min(height, width) * factor < SIDE_LEAST_PX or height * width * factor**2 > PIXELS_MAX:
        raise PictureUnreadable(
            f"At this scale a picture of {width} x {height} pixels cannot be counted. Check the scale."
        )
    relative = working_picture(picture.grey, factor)
    answer = model.network.run(relative[None])
    found = centres_of(answer, LEAST_LEVEL)
    x, y = (np.asarray((each + 0.5) / factor - 0.5, np.float32) for each in (found.x, found.y))
    votes = votes_of(picture.grey, factor)
    certain = model.certainty.of(found, relative.shape, votes.near(x, y))
    alone = found.odds > np.log(ALONE_LEVEL / (1 - ALONE_LEVEL))
    agreement = _agreement(np.column_stack([x, y, found.radius / factor])[alone], votes.centres())
    kept = np.flatnonzero(certain > np.where(found.dead > 0.5, model.dead_level, model.cell_level))
    found, confidence, x, y = _chosen(found, kept), certain[kept], x[kept], y[kept]
    typicality = _typicality(model, describe(relative, found), found.dead)
    cells = sorted(
        (
            Cell(
                x=round(float(left), 2),
                y=round(float(top), 2),
                radius=round(float(radius) / factor, 2),
                kind=_kind_of(float(dead), model.grey_zone),
                confidence=round(float(sure), 4),
                typicality=round(float(usual), 4),
            )
            for left, top, radius, dead, sure, usual in zip(
                x, y, found.radius, found.dead, confidence, typicality, strict=True
            )
        ),
        key=lambda cell: (cell.y, cell.x),
    )
    return Finding(
        cells=tuple(cells),
        agreement=agreement,
        measures={"noise": round(noise_of(relative), 5)},
    )


def _kind_of(dead: float, grey_zone: tuple[float, float]) -> CellClass:
    if dead < grey_zone[0]:
        return "live"
    return "dead" if dead > grey_zone[1] else "unclassified"


class TrypanBlue:
    """The method `trypan-blue` (see `vision.counting.method.Method`).

    `model` takes the place of the committed one: a bench hands in one that never saw a picture's group.
    """

    id = "trypan-blue"
    channels = 1
    classes: tuple[CellClass, ...] = ("live", "dead", "unclassified")

    def __init__(self, model: Model | None = None) -> None:
        self._own = model

    @property
    def version(self) -> str:
        """Version of code and weights, from the card."""
        return str(self._model().card["version"])

    def find(self, pictures: Sequence[FieldPicture], scale: Scale) -> Finding:
        """Find the cells of one field; without a known scale its cells are taken to be some 20 px wide.

        Raises
        ------
        PictureUnreadable
            At the stated scale the picture holds less than one cell, or more than can be worked on.
        WeightsUnusable
        """
        (picture,) = pictures
        return find_with(self._model(), picture, scale)

    def warm(self) -> None:
        """Read the weights and run everything once, on a field with one dot in it."""
        grey = np.full((96, 96), 100, np.float32)
        cv2.circle(grey, (48, 48), 9, 40.0, -1)
        self.find([FieldPicture(grey, 8, 0.0)], Scale(object_diameter_px=WORKING_DIAMETER_PX))
        self.hash()

    def card(self) -> Mapping[str, Any]:
        """Return the performance card."""
        return self._model().card

    def hash(self) -> str:
        """Return the SHA-256 over code, weights and card: what a record binds a count to."""
        return _hash_of(str(self._model().card["weights_sha256"]), str(self._model().card["content_sha256"]))

    def _model(self) -> Model:
        return self._own or committed_model()


@cache
def _hash_of(weights: str, card: str) -> str:
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(name.encode() + b"\x00" + Path(__file__).with_name(name).read_bytes())
    digest.update(f"{weights} {card}".encode())
    return digest.hexdigest()


METHOD = TrypanBlue()
