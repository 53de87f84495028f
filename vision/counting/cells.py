"""From candidates to cells: live or dead by how the cell refracts and takes up trypan blue.

A live cell is a bright core within a dark ring; a dead one is grey throughout. A small static
network, trained by `vision.counting.training.train_trypan_blue`, reads the rings around each candidate.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.counting import kernels, segment
from vision.counting.method import Cell, CellClass

WEIGHTS_FILE = Path(__file__).with_name("trypan_blue.json")
METHOD_ID = "trypan-blue"
# The files whose text decides a result; their bytes and the weights make the method's hash.
METHOD_SOURCES = ("kernels.py", "segment.py", "cells.py", "frame_quality.py")

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Network:
    """Weights of one network, in the order that `kernels.class_probabilities` takes them."""

    w1: Array
    b1: Array
    w2: Array
    b2: Array
    w3: Array
    b3: Array


@dataclass(frozen=True, slots=True)
class Model:
    """The learned part of the method with its decision levels and validated errors."""

    version: str
    centre: Array
    scale: Array
    networks: tuple[Network, ...]
    cell_level: float
    grey_zone: tuple[float, float]
    distance_px: float
    validation: dict[str, Any]
    sha256: str


class WeightsUnusable(Exception):
    """The committed weights are not what their own hash says."""


def pack(array: npt.NDArray[Any], kind: str) -> str:
    """Write an array as base64 of little-endian numbers of numpy type `kind`."""
    return base64.b64encode(array.astype(kind).tobytes()).decode("ascii")


def _unpack(text: str, kind: str, shape: tuple[int, ...]) -> Array:
    raw = np.frombuffer(base64.b64decode(text), dtype=kind)
    return np.ascontiguousarray(raw.reshape(shape).astype(np.float32))


def content_hash(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a weights document without its own `sha256`."""
    body = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def model_from(document: dict[str, Any]) -> Model:
    """Read a weights document.

    Raises
    ------
    WeightsUnusable
        Its content does not give the hash that it states.
    """
    if content_hash(document) != document["sha256"]:
        raise WeightsUnusable(
            "The cell counter's weights are changed or damaged. Install the software again."
        )
    inputs, (first, second) = document["inputs"], document["hidden"]
    shapes = {
        "w1": (inputs, first),
        "b1": (first,),
        "w2": (first, second),
        "b2": (second,),
        "w3": (second, 3),
        "b3": (3,),
    }
    return Model(
        version=document["version"],
        centre=_unpack(document["centre"], "<f4", (inputs,)),
        scale=_unpack(document["scale"], "<f4", (inputs,)),
        networks=tuple(
            Network(**{name: _unpack(net[name], "<f2", shape) for name, shape in shapes.items()})
            for net in document["networks"]
        ),
        cell_level=document["cell_level"],
        grey_zone=(document["grey_zone"][0], document["grey_zone"][1]),
        distance_px=document["distance_px"],
        validation=document["validation"],
        sha256=document["sha256"],
    )


@cache
def committed_model() -> Model:
    """Return the model that ships with this version, read and checked once."""
    return model_from(json.loads(WEIGHTS_FILE.read_text(encoding="utf-8")))


@cache
def method_hash() -> str:
    """Return the SHA-256 over the method's code and weights: what a record binds a count to."""
    digest = hashlib.sha256()
    for name in METHOD_SOURCES:
        digest.update(name.encode() + b"\x00" + Path(__file__).with_name(name).read_bytes())
    digest.update(committed_model().sha256.encode())
    return digest.hexdigest()


def probabilities(model: Model, features: Array) -> Array:
    """Return (n, 3) probabilities of background, live, dead: the mean over the networks."""
    total = np.zeros((len(features), 3), np.float32)
    for net in model.networks:
        total += kernels.class_probabilities(
            features, model.centre, model.scale, net.w1, net.b1, net.w2, net.b2, net.w3, net.b3
        )
    return total / np.float32(len(model.networks))


def radius_of(description: Array) -> float:
    """Estimate a cell's radius: the ring where its contrast has fallen below half of its peak.

    Parameters
    ----------
    description : (FEATURES,) float32 ndarray
        One row of `segment.describe`.

    Returns
    -------
    float
        Pixels of the working scale, 4 to 18.
    """
    rings = description[: kernels.RINGS * kernels.PER_RING].reshape(kernels.RINGS, kernels.PER_RING)
    contrast = np.sqrt(rings[:, 0] ** 2 + rings[:, 1] ** 2)[:13]
    # From 6 px on: a live cell's glaring core would hide its dark ring.
    peak = 4 + int(np.argmax(contrast[4:9]))
    ring = peak
    while ring + 1 < len(contrast) and contrast[ring] > 0.45 * contrast[peak]:
        ring += 1
    return float(min(max(ring * kernels.RING_STEP_PX, 4.0), 18.0))


def _kind_of(live: float, dead: float, grey_zone: tuple[float, float]) -> CellClass:
    share = live / (live + dead)
    if share > grey_zone[1]:
        return "live"
    return "dead" if share < grey_zone[0] else "unclassified"


def find_cells(maps: segment.Prepared, model: Model) -> list[Cell]:
    """Find and classify the cells of a prepared picture, in reading order."""
    points = segment.candidates(maps)
    if len(points) == 0:
        return []
    features = segment.describe(maps, points)
    chances = probabilities(model, features)
    cell = 1.0 - chances[:, 0]
    likely = np.flatnonzero(cell > model.cell_level)
    kept = likely[kernels.keep_strongest(points[likely], cell[likely].astype(np.float32), model.distance_px)]
    typical = np.clip((features[kept] - model.centre) * model.scale, -12, 12)
    found = [
        Cell(
            x=round(float(points[k, 0] + 0.5) / maps.scale - 0.5, 2),
            y=round(float(points[k, 1] + 0.5) / maps.scale - 0.5, 2),
            radius=round(radius_of(features[k]) / maps.scale, 2),
            kind=_kind_of(float(chances[k, 1]), float(chances[k, 2]), model.grey_zone),
            confidence=round(float(cell[k]), 4),
            typicality=round(float(np.sqrt(np.mean(typical[n] ** 2))), 4),
        )
        for n, k in enumerate(kept)
    ]
    return sorted(found, key=lambda c: (c.y, c.x))
