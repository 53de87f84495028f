"""The networks that saw none of a picture's acquisition group, for tests and benches.

A fold's file holds only weights, as 16-bit floats; they are put into the places of the shipped ONNX file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vision.counting import trypan_blue

PLACES_FILE = "trypan_blue.json"
# The acquisition groups that each part of the set holds out; the small ones together.
PARTS: Mapping[str, tuple[str, ...]] = {
    "image": ("image",),
    "image_": ("image_",),
    "ncell": ("ncell",),
    "few": ("b", "d", "g"),
}


def model_with(weights: bytes, card: Mapping[str, Any]) -> trypan_blue.Model:
    """Return a model that decides by a card's levels with other weights."""
    own = {**card, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    return trypan_blue.model_of(weights, {**own, "content_sha256": trypan_blue.content_hash(own)})


def write_fold(path: Path, weights: bytes, places: list[tuple[int, int]]) -> None:
    """Write the float32 weights at `places` (offset in bytes, count) as 16-bit floats, which they fit."""
    values = [np.frombuffer(weights, "<f4", count, offset) for offset, count in places]
    rounded = np.concatenate(values).astype("<f2")
    assert np.array_equal(rounded.astype("<f4"), np.concatenate(values)), "export rounds to 16 bits"
    path.write_bytes(rounded.tobytes())


def read_folds(folder: Path) -> dict[str, trypan_blue.Model]:
    """Return for each acquisition group the model that was taught without it."""
    plan = json.loads((folder / PLACES_FILE).read_text(encoding="utf-8"))
    shipped = trypan_blue.WEIGHTS_FILE.read_bytes()
    card = trypan_blue.committed_model().card
    models: dict[str, trypan_blue.Model] = {}
    for part, groups in PARTS.items():
        values = np.frombuffer((folder / f"trypan_blue_{part}.f16").read_bytes(), "<f2").astype("<f4")
        weights, start = bytearray(shipped), 0
        for offset, count in plan["places"]:
            weights[offset : offset + 4 * count] = values[start : start + count].tobytes()
            start += count
        assert start == len(values), part
        model = model_with(bytes(weights), card)
        models |= dict.fromkeys(groups, model)
    return models
