"""What kind of picture is this? Cheap statistics of texture, light and shape, read by a small network.

A field is looked at through a few windows. Each is described by some eighty numbers: how brightness is
spread about the local background, how much there is at each size, how lines run, what the connected
spots are like, and the mean profile around the strongest of them. A small static network, trained by
`vision.counting.training.train_picture_kind`, gives the odds of trypan-blue brightfield, of fluorescence,
and of anything else. It uses nothing of any counting method.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting.network import WeightsUnusable
from vision.picture_file import FieldPicture

MODEL_FILE = Path(__file__).parent / "models" / "picture_kind.json"
KINDS = ("brightfield", "fluorescence", "other")
WINDOW_PX = 224
# Of a large field so many windows are looked at, and so many of them wherever nothing need be.
WINDOWS_MOST, WINDOWS_ANYWHERE = 6, 2
# Windows whose strongest spot is fainter than this (in logarithm of brightness) show nothing to judge by.
QUIET_CONTRAST = 0.015
# The focus is judged by what is cells: a brightfield out of focus leaves next to nothing, while nuclei
# stand far above their haze.
FOCUS_CONTRAST = {"brightfield": 0.015, "fluorescence": 0.3}
BACKGROUND_SHRINK = 12
# Added to grey levels before the logarithm, so that the grain of a black ground stays small.
GREY_OFFSET = 4.0
SPOTS = 10
RING_EDGES_PX = (0, 2, 4, 6, 8, 10, 13, 16)
# Sizes of a spot's power, in periods over its square of 32 px.
BAND_EDGES = (1.0, 2.0, 3.0, 4.5, 6.5, 9.0, 12.0, 16.0)
NUMBERS_AROUND = 4 * (len(RING_EDGES_PX) - 1) + 2 + 2 * (len(BAND_EDGES) + 1)
BIN_EDGES = (-1.0, -0.5, -0.25, -0.12, -0.06, -0.03, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0)

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Windows:
    """The parts of a field that are looked at.

    Attributes
    ----------
    greys : list of (h, w) float32 ndarray
        Grey levels at the working scale, at most `WINDOW_PX` a side.
    colour : (2,) tuple of float
        Mean and 95th percentile of the difference between the strongest and weakest channel, 0 to 1.
    """

    greys: list[Array]
    colour: tuple[float, float]


def _starts(length: int, window: int) -> list[int]:
    """Spread windows over a length, at most a quarter of one over its neighbour."""
    count = max(1, round(length / window))
    if count == 1:
        return [max(0, (length - window) // 2)]
    return [round(k * (length - window) / (count - 1)) for k in range(count)]


def _evenly(items: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    if len(items) <= count:
        return items
    return [items[round(k * (len(items) - 1) / (count - 1))] for k in range(count)]


def windows_of(picture: FieldPicture, factor: float, places: Array | None = None) -> Windows:
    """Cut the windows of a picture and bring them to the working scale.

    Parameters
    ----------
    picture : FieldPicture
    factor : float
        What the picture is resized by, so that a cell measures about 20 px.
    places : (n, 2) ndarray, optional
        x, y in pixels of the picture: where something was found. Of a large field most windows are
        taken there, the others without regard to them.
    """
    height, width = picture.grey.shape
    side = max(16, round(WINDOW_PX / factor))
    tiles = [(top, left) for top in _starts(height, side) for left in _starts(width, side)]
    if len(tiles) > WINDOWS_MOST and places is not None and len(places):
        x, y = places[:, 0], places[:, 1]
        with_finds = [
            (top, left)
            for top, left in tiles
            if ((x >= left) & (x < left + side) & (y >= top) & (y < top + side)).any()
        ]
        anywhere = _evenly(tiles, WINDOWS_ANYWHERE)
        chosen = _evenly(with_finds, WINDOWS_MOST - WINDOWS_ANYWHERE)
        tiles = sorted({*anywhere, *chosen})
    greys = []
    for top, left in _evenly(tiles, WINDOWS_MOST):
        part = picture.grey[top : top + side, left : left + side]
        if abs(factor - 1) > 0.15:
            way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            part = np.asarray(cv2.resize(part, None, fx=factor, fy=factor, interpolation=way), np.float32)
        greys.append(np.ascontiguousarray(part, np.float32))
    return Windows(greys, (picture.colourfulness, picture.colourfulness_high))


def _blur(values: Array, sigma_px: float) -> Array:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), np.float32)


def background_of(grey: Array, *, small: bool = False) -> Array:
    """Estimate the empty ground: a median over some 60 px, at the picture's size or as made small for it."""
    height, width = grey.shape
    size = (max(2, round(width / BACKGROUND_SHRINK)), max(2, round(height / BACKGROUND_SHRINK)))
    reduced = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    middle = np.asarray(cv2.GaussianBlur(cv2.medianBlur(reduced, 5), (0, 0), 0.8), np.float32)
    if small:
        return middle
    return np.asarray(cv2.resize(middle, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _moments(values: Array) -> tuple[float, float, float]:
    """Return spread, lopsidedness (-3 to 3) and peakedness (mean size over spread) of a zero-mean map."""
    squared = values * values
    spread = float(np.sqrt(squared.mean())) + 1e-6
    squared *= values
    cubed = float(squared.mean()) / spread**3
    return spread, float(np.clip(np.cbrt(cubed), -3, 3)), float(np.abs(values).mean()) / spread


def _noise_of(values: Array) -> tuple[float, Array]:
    """Return the grain (standard deviation) and the map of second differences that it is taken from."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    mask = np.abs(cv2.filter2D(values, cv2.CV_32F, kernel)) / 6
    return float(np.median(mask[::2, ::2]) / 0.6745), np.asarray(mask, np.float32)


def _bands(contrast: Array) -> tuple[list[float], list[Array]]:
    """Describe what there is at each size, from 1 to 16 px."""
    small = _blur(contrast, 2.0)
    half = np.ascontiguousarray(small[::2, ::2])
    coarse = _blur(half, 1.73)
    quarter = np.ascontiguousarray(coarse[::2, ::2])
    wide, wider = _blur(quarter, 1.73), _blur(quarter, 3.9)
    fine = _blur(contrast, 1.0)
    numbers: list[float] = []
    for band in (contrast - fine, fine - small, half - coarse, quarter - wide, wide - wider):
        spread, lopsided, peaked = _moments(band)
        numbers += [np.log(spread), lopsided, peaked]
    levels = numbers[0::3]
    numbers += [b - a for a, b in itertools.pairwise(levels)]
    return numbers, [fine, small, quarter]


def _lines(fine: Array) -> list[float]:
    """Describe how edges run: their strength, and whether one direction or two prevail."""
    gx = cv2.Sobel(fine, cv2.CV_32F, 1, 0)[::2, ::2] / 8
    gy = cv2.Sobel(fine, cv2.CV_32F, 0, 1)[::2, ::2] / 8
    power = gx * gx + gy * gy
    ranked = np.sqrt(np.partition(power.ravel(), [int(q * (power.size - 1)) for q in (0.5, 0.9, 0.99)]))
    middle, high, top = (float(ranked[int(q * (power.size - 1))]) for q in (0.5, 0.9, 0.99))
    strong = power > max(1e-6, (0.3 * top) ** 2)
    angle = np.arctan2(gy[strong], gx[strong])
    weight = np.sqrt(power[strong])
    total = float(weight.sum()) + 1e-6
    turns = [
        abs(complex((weight * np.cos(n * angle)).sum(), (weight * np.sin(n * angle)).sum())) / total
        for n in (2, 4)
    ]
    upright = float((weight * np.cos(4 * angle)).sum()) / total
    return [
        np.log(middle + 1e-4),
        np.log(high + 1e-4),
        np.log(top + 1e-4),
        float(strong.mean()),
        *turns,
        upright,
    ]


def _spots(small: Array, floor: float) -> list[float]:
    """Describe the connected spots that stand out of the ground, dark and bright together."""
    mask = (np.abs(small) > floor).astype(np.uint8)
    _count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    stats = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= 12]
    cover = float(mask.mean())
    if len(stats) == 0:
        return [cover, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    area = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    wide, tall = stats[:, cv2.CC_STAT_WIDTH].astype(float), stats[:, cv2.CC_STAT_HEIGHT].astype(float)
    size = np.sqrt(area)
    return [
        cover,
        float(np.log1p(len(stats) * 5e4 / mask.size)),
        float(np.log(np.median(size))),
        float(np.std(np.log(size))),
        float(area.max() / area.sum()),
        float(area.max() / mask.size),
        float(np.median(area / (wide * tall))),
        float(np.median(np.minimum(wide, tall) / np.maximum(wide, tall))),
    ]


@cache
def _ring_table() -> list[tuple[npt.NDArray[np.intp], ...]]:
    reach = RING_EDGES_PX[-1]
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    far = np.hypot(rows, columns)
    return [np.nonzero((far >= low) & (far < high)) for low, high in itertools.pairwise(RING_EDGES_PX)]


def _strongest(activity: Array) -> npt.NDArray[np.intp]:
    """Return row and column of the strongest spots in a map a quarter of the window's size, (n, 2)."""
    peak = cv2.dilate(activity, np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero((activity >= peak) & (activity > 0.01))
    order = np.argsort(-activity[rows, columns], kind="stable")[:SPOTS]
    return np.stack([rows[order], columns[order]], axis=1)


def _patches(values: Array, places: npt.NDArray[np.intp]) -> Array:
    """Cut the square around each place, mirrored where it reaches over the edge."""
    reach = RING_EDGES_PX[-1]
    side = 2 * reach + 1
    padded = cv2.copyMakeBorder(values, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    tops = np.minimum(4 * places[:, 0], padded.shape[0] - side)
    lefts = np.minimum(4 * places[:, 1], padded.shape[1] - side)
    cut = [padded[y : y + side, x : x + side] for y, x in zip(tops, lefts, strict=True)]
    return np.asarray(np.stack(cut), np.float32)


def _profiles(patches: Array, strength: Array) -> list[float]:
    """Describe what lies around the strongest spots: mean and spread of each ring, over the spots."""
    rings = _ring_table()
    means = np.stack([patches[:, r, c].mean(axis=1) for r, c in rings], axis=1)
    spreads = np.stack([patches[:, r, c].std(axis=1) for r, c in rings], axis=1)
    return [
        *means.mean(axis=0).tolist(),
        *means.std(axis=0).tolist(),
        *spreads.mean(axis=0).tolist(),
        *(spreads.mean(axis=0) / (np.abs(means).mean(axis=0) + 0.02)).clip(0, 10).tolist(),
        float(np.log1p(len(patches))),
        float(strength[-1] / strength[0]),
    ]


@cache
def _spectrum_table() -> tuple[Array, npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the taper of a patch, and for each frequency its band, and how many each band has."""
    side = 2 * RING_EDGES_PX[-1]
    taper = np.hanning(side + 1)[:side]
    taper = np.outer(taper, taper)
    taper /= np.sqrt((taper**2).mean())
    far = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]) * side
    band = np.digitize(far, BAND_EDGES) - 1
    band[(far < BAND_EDGES[0]) | (far >= BAND_EDGES[-1])] = len(BAND_EDGES) - 1
    counts = np.bincount(band.ravel(), minlength=len(BAND_EDGES))[:-1]
    return taper.astype(np.float32), band.ravel(), counts.astype(np.float64)


def _edges(patches: Array, noise: float) -> list[float]:
    """Describe how sharp the strongest spots are: their power at each size, and their steepest slope.

    A blur takes power from the small sizes first, whatever the contrast; the grain's even share is
    taken off before. The slope is that of a slightly smoothed patch over its range (1/px).
    """
    taper, band, counts = _spectrum_table()
    side = taper.shape[0]
    flat = patches[:, :side, :side]
    flat = flat - flat.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2(flat * taper)) ** 2 / side**2
    sums = np.stack([np.bincount(band, one.ravel(), len(counts) + 1)[:-1] for one in power])
    signal = np.maximum(sums - counts * noise**2, 1e-3 * sums + 1e-9)
    levels = np.log(signal)
    ratios = np.diff(levels, axis=1)
    smooth = np.stack([_blur(patch, 0.8) for patch in patches])
    gy, gx = np.diff(smooth[:, :, 1:], axis=1), np.diff(smooth[:, 1:, :], axis=2)
    slopes = np.sort(np.hypot(gx, gy).reshape(len(patches), -1), axis=1)
    levels_of = np.sort(smooth.reshape(len(patches), -1), axis=1)
    last = levels_of.shape[1] - 1
    span = levels_of[:, round(0.99 * last)] - levels_of[:, round(0.01 * last)]
    steep = np.log(slopes[:, round(0.98 * slopes.shape[1]) - 1] / (span + 0.01) + 1e-3)
    both = np.concatenate([ratios, levels[:, :1], steep[:, None], np.log(span + 0.01)[:, None]], axis=1)
    return [*np.median(both, axis=0).tolist(), *np.percentile(both, 85, axis=0).tolist()]


def contrast_of(grey: Array) -> tuple[Array, Array]:
    """Return the logarithm of brightness over the ground's, and the ground in grey levels."""
    ground = background_of(grey)
    offset = np.float32(GREY_OFFSET)
    return np.log((np.maximum(grey, 0) + offset) / (np.maximum(ground, 0) + offset)), ground


def describe(grey: Array, colour: tuple[float, float]) -> tuple[Array, float]:
    """Describe one window by numbers, and say how strong its strongest spot is.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Grey levels, at least 16 px a side.
    colour : tuple of float
        As in `Windows`.

    Returns
    -------
    (n,) float32 ndarray
        The description.
    float
        Contrast of the strongest spot (logarithm of brightness), without its share of grain.
    """
    contrast, ground = contrast_of(grey)
    noise, mask = _noise_of(contrast)
    bands, (fine, small, quarter) = _bands(contrast)
    activity = np.sqrt(np.maximum(_blur(quarter * quarter, 1.0), 0))
    places = _strongest(activity)
    around = [0.0] * NUMBERS_AROUND
    if len(places):
        around = _profiles(_patches(_blur(contrast, 0.8), places), activity[places[:, 0], places[:, 1]])
        around += _edges(_patches(contrast, places), noise)
    shares = np.diff(
        np.searchsorted(np.sort(fine[::2, ::2].ravel()), BIN_EDGES), prepend=0, append=fine[::2, ::2].size
    )
    dark, bright = small < -max(0.1, 4 * noise), small > max(0.1, 4 * noise)
    grain = [
        float(np.log((np.median(mask[part]) + 1e-3) / (noise * 0.6745 + 1e-3))) if part.sum() > 60 else 0.0
        for part in (dark, bright)
    ]
    levels = cv2.calcHist([grey[::2, ::2].copy()], [0], None, [256], [0, 256]).ravel()
    cumulated = np.cumsum(levels) / max(1.0, float(levels.sum()))
    ranks = [float(np.searchsorted(cumulated, q)) / 255 for q in (0.01, 0.25, 0.5, 0.75, 0.99)]
    span = max(ranks[4] - ranks[0], 1 / 255)
    low, middle, high = np.percentile(ground[::4, ::4], [5, 50, 95])
    numbers = [
        *bands,
        *_lines(fine),
        *_spots(small, max(0.08, 3 * noise)),
        *around,
        *np.sqrt(shares / max(1, int(shares.sum()))).tolist(),
        float(np.log(noise + 1e-3)),
        *grain,
        *ranks,
        (ranks[2] - ranks[0]) / span,
        float(np.log(span)),
        float((levels > 0).mean()),
        float(levels[0] / levels.sum()),
        float(levels[255] / levels.sum()),
        float(np.log((low + GREY_OFFSET) / (middle + GREY_OFFSET))),
        float(np.log((high + GREY_OFFSET) / (middle + GREY_OFFSET))),
        float(np.sqrt(colour[0])),
        float(np.sqrt(colour[1])),
    ]
    return np.asarray(numbers, np.float32), float(activity.max()) - noise


@dataclass(frozen=True, slots=True)
class Model:
    """The committed networks: each a list of members, each a list of layers (weights, offsets)."""

    version: str
    centre: Array
    spread: Array
    networks: Mapping[str, list[list[tuple[Array, Array]]]]
    validation: Mapping[str, Any]
    sha256: str


def packed(array: npt.NDArray[np.floating], kind: str = "<f2") -> dict[str, Any]:
    """Write an array as its shape and the base64 of little-endian numbers of numpy type `kind`."""
    text = base64.b64encode(array.astype(kind).tobytes()).decode("ascii")
    return {"shape": list(array.shape), "kind": kind, "numbers": text}


def _unpacked(entry: Mapping[str, Any]) -> Array:
    numbers = np.frombuffer(base64.b64decode(entry["numbers"]), dtype=entry["kind"])
    return np.ascontiguousarray(numbers.reshape(entry["shape"]).astype(np.float32))


def content_hash(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a weights document without its own `sha256`."""
    body = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def model_from(document: Mapping[str, Any]) -> Model:
    """Read a weights document.

    Raises
    ------
    WeightsUnusable
        Its content does not give the hash that it states.
    """
    if content_hash(document) != document["sha256"]:
        raise WeightsUnusable(MODEL_FILE.name)
    networks = {
        name: [[(_unpacked(layer["w"]), _unpacked(layer["b"])) for layer in member] for member in members]
        for name, members in document["networks"].items()
    }
    return Model(
        version=document["version"],
        centre=_unpacked(document["centre"]),
        spread=_unpacked(document["spread"]),
        networks=networks,
        validation=document["validation"],
        sha256=document["sha256"],
    )


@cache
def committed_model() -> Model:
    """Return the model that ships with this version, read and checked once."""
    return model_from(json.loads(MODEL_FILE.read_text(encoding="utf-8")))


def outputs(model: Model, name: str, descriptions: Array) -> Array:
    """Return the mean over a network's members of their outputs before any squashing, (n, outputs).

    einsum's own loops, and not a matrix library, so that threads cannot change the last bit.
    """
    scaled = np.clip((descriptions - model.centre) / model.spread, -5, 5)
    total: Array | None = None
    for member in model.networks[name]:
        values = scaled
        for number, (weights, offsets) in enumerate(member):
            values = np.einsum("ni,io->no", values, weights, optimize=False) + offsets
            if number + 1 < len(member):
                values = np.maximum(values, 0)
        total = values if total is None else total + values
    assert total is not None, name
    return np.asarray(total / np.float32(len(model.networks[name])), np.float32)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look through a few windows says of a field.

    Attributes
    ----------
    odds : mapping of str to float
        Odds of each of `KINDS`, 0 to 1, summing to 1; empty where no window shows anything.
    blur : float or None
        How much rather strongly blurred than sharp the field is, as the kind of cells asked for: logarithm
        of the odds, positive for blurred; None where no window shows anything that could be cells.
    contrast : float
        Contrast of the strongest spot (logarithm of brightness), without its share of grain.
    """

    odds: Mapping[str, float]
    blur: float | None
    contrast: float


# One window must not outvote all others, however sure it is.
SURENESS_MOST = 6.0
# A spot of this contrast has a full vote, a fainter one less: dirt far from focus is faint.
FULL_VOTE_CONTRAST = 0.25


def look_at(
    picture: FieldPicture,
    factor: float,
    places: Array | None = None,
    *,
    kind: str,
    model: Model | None = None,
) -> Look:
    """Look at a field for a method of pictures of this kind; the first parameters as in `windows_of`."""
    model = model or committed_model()
    windows = windows_of(picture, factor, places)
    described = [describe(grey, windows.colour) for grey in windows.greys]
    strengths = np.array([strength for _, strength in described])
    telling = strengths > QUIET_CONTRAST
    if places is not None and len(places):
        # Where a method found cells there must be something to judge by.
        telling[np.argmax(strengths)] = True
    if not telling.any():
        return Look({}, None, float(strengths.max()))
    numbers = np.stack([description for description, _ in described])[telling]
    votes = np.clip(strengths[telling] / FULL_VOTE_CONTRAST, 0.01, 1.0)
    raw = outputs(model, "kind", numbers).astype(np.float64)
    raw -= raw.max(axis=1, keepdims=True)
    level = np.average(np.maximum(raw, -SURENESS_MOST), axis=0, weights=votes)
    grown = np.exp(level - level.max())
    sharpness = strengths[telling] > FOCUS_CONTRAST[kind]
    blur = None
    if sharpness.any():
        two = outputs(model, "focus_" + kind, numbers[sharpness])
        margin = np.clip(two[:, 1] - two[:, 0], -SURENESS_MOST, SURENESS_MOST)
        blur = float(np.average(margin, weights=votes[sharpness]))
    return Look(dict(zip(KINDS, (grown / grown.sum()).tolist(), strict=True)), blur, float(strengths.max()))
