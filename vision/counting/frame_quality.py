"""Is this field good enough, and of the kind that the method was made for?

Each check gives a reason key of `docs/counting.md`. A check never mends a number: it says that the
picture should be taken again, or that it will never be counted by this method. The checks look at the
pictures with measures of their own, and use of a method's finding only where its cells are, how large
they are, and how far its two detectors agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import picture_kind
from vision.counting.method import Cell, Finding, Scale
from vision.picture_file import FieldPicture

Verdict = Literal["counted", "repeat", "refused"]
Kind = Literal["brightfield", "fluorescence"]

KIND_OF_METHOD: dict[str, Kind] = {
    "trypan-blue": "brightfield",
    "nuclei": "fluorescence",
    "live-dead": "fluorescence",
}
# Micrometres across a typical object: what `picture_kind` sees at 20 px.
DIAMETER_UM: dict[Kind, float] = {"brightfield": 12.0, "fluorescence": 10.0}
LOOKED_AT_DIAMETER_PX = 20.0
# Enlarged further, a coarse picture shows nothing more.
FACTOR_LEAST, FACTOR_MOST = 0.1, 2.5


@dataclass(frozen=True, slots=True)
class Levels:
    """Where the checks of one method draw their lines; docs/counting.md says why there.

    Odds and shares are 0 to 1, brightness in grey levels of 0 to 255.
    """

    kind_odds_least: float
    blur_most: float
    dark_grey: float
    bright_grey: float
    saturated_share: float
    ground_low: float
    ground_high: float
    dense_cover: float
    clumped_share: float
    agreement_least: float


_NUCLEI = Levels(
    # Preparations differ more than the public sets show; a strange one is rather counted than refused.
    kind_odds_least=0.2,
    blur_most=-0.5,
    dark_grey=4.0,
    bright_grey=200.0,
    saturated_share=0.15,
    ground_low=0.8,
    ground_high=1.2,
    dense_cover=0.75,
    clumped_share=0.98,
    agreement_least=0.4,
)
LEVELS: dict[str, Levels] = {
    "trypan-blue": Levels(
        kind_odds_least=0.7,
        blur_most=-1.5,
        dark_grey=30.0,
        bright_grey=246.0,
        saturated_share=0.2,
        ground_low=0.2,
        ground_high=1.8,
        dense_cover=0.35,
        clumped_share=0.6,
        agreement_least=0.5,
    ),
    "nuclei": _NUCLEI,
    # A viability comes out of it, so doubt refuses.
    "live-dead": replace(_NUCLEI, kind_odds_least=0.5),
}
# Mean difference of the channels, 0 to 1: brightfield of trypan blue is grey with a touch of blue.
COLOURFUL = 0.2
SATURATED_GREY = 254.5
# A camera's grain spreads over more levels than that, however empty the field.
FLAT_LEVELS = 2
SAMPLED_PIXELS = 250_000
# The ground of a fluorescence field is compared in so many parts a side.
GROUND_PARTS = 4
CLUMPED_DISTANCE, CLUMPED_LEAST_CELLS = 1.05, 20
AGREEMENT_LEAST_CELLS = 8
CELLS_AT_ONCE = 64
# Far outside what the cells of good fields show: of a hundred, one median is over 1.9, one mean under 0.78.
STRANGE_TYPICALITY, STRANGE_CONFIDENCE = 2.3, 0.55
TELLING_CONTRAST_SHARE = 0.5
# A nucleus seen by both channels lies in one place: in pictures of one field within 0.05 of its radius.
OFFSET_RADII_MOST = 0.2

REFUSING = ("unreadable", "not_this_kind")
# A field without cells is a true answer of zero; the key is a remark, not a fault.
REMARKS = ("empty",)

WHAT_TO_DO = {
    "unreadable": "The file cannot be read as a picture. Take it again.",
    "not_this_kind": "This is no picture of the kind that the method is for. Check method, sample, lens.",
    "channels_differ": "The channels are not two pictures of one field. Take both without moving the stage.",
    "out_of_focus": "Out of focus. Focus on the cells and take the picture again.",
    "dark": "Too dark. Raise the light or the exposure.",
    "bright": "Too bright. Lower the light or the exposure.",
    "saturated": "Over-exposed. Lower the light or the exposure.",
    "uneven_light": "The light is uneven. Centre the lamp and clear the field.",
    "dense": "Too many cells to tell apart. Dilute the sample and fill a new chamber.",
    "clumped": "Cells lie in clumps. Mix the sample and fill a new chamber.",
    "detectors_disagree": "Two ways of counting differ. Look at the marked picture and take another field.",
    "empty": "No cells in this field.",
    "unknown_scale": "The scale is not known. Give the size of a pixel or of a cell.",
    "scale_disagrees": "The ruling in the picture tells another scale than was given. Check the pixel size.",
    "too_few_cells": "Too few cells for a result. Take more fields of this sample.",
}
# Where one method's remedy is not another's.
WHAT_TO_DO_BY_METHOD = {
    "trypan-blue": {
        "not_this_kind": "This is not a trypan-blue brightfield picture. Check sample, light and lens.",
        "uneven_light": "The light is uneven. Centre the condenser and clear the field.",
    },
    "nuclei": {
        "not_this_kind": "This is no picture of bright nuclei on a dark ground. Check stain, filter, method.",
        "dark": "Hardly any light of the stain. Lengthen the exposure or stain again.",
        "bright": "The ground is too bright. Shorten the exposure, or wash off the free stain.",
        "saturated": "The nuclei are over-exposed. Shorten the exposure.",
        "dense": "Too many nuclei to tell apart. Spread the sample thinner.",
        "clumped": "Nuclei lie in clumps. Spread the sample thinner and mix it.",
    },
    "live-dead": {
        "not_this_kind": "This is not a pair of fluorescence pictures. Check stains, filters and method.",
        "dark": "Hardly any light of the stains. Lengthen the exposure or stain again.",
        "bright": "The ground is too bright. Shorten the exposure, or wash off the free stain.",
        "saturated": "The cells are over-exposed. Shorten the exposure.",
    },
}


def words_for(reasons: Sequence[str], method_id: str) -> str:
    """Say what is so and what to do, reason by reason, as fits the method."""
    by_method = WHAT_TO_DO_BY_METHOD.get(method_id, {})
    return " ".join(by_method.get(reason, WHAT_TO_DO[reason]) for reason in reasons)


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of a field; of several channels the worst of each.

    Shares and odds are 0 to 1, brightness in grey levels of 0 to 255; None where nothing was there to be
    measured.

    Attributes
    ----------
    median_grey, saturated_share : float
        Middle brightness, and the share of pixels at the top level.
    ground_low, ground_high : float
        How far the ground's brightness goes down and up from its middle: see `_ground_of`.
    contrast : float
        Contrast of the strongest spot (logarithm of brightness).
    kind_odds : float or None
        Odds that the picture is of the method's kind.
    blur : float or None
        Logarithm of the odds of strongly blurred against sharp.
    cover_share, touching_share : float
        Share of the field under cells, and of the cells that touch another.
    agreement : float or None
        Share of cells on which the method's two detectors agree.
    """

    median_grey: float
    saturated_share: float
    ground_low: float
    ground_high: float
    contrast: float
    kind_odds: float | None
    blur: float | None
    cover_share: float
    touching_share: float
    agreement: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gates say of one field.

    Attributes
    ----------
    reasons : tuple of str
        Keys of `WHAT_TO_DO`, faults and remarks, the gravest first.
    verdict : str
        Only a field that is `counted` may give a viability or a concentration.
    quality : Quality
        What was measured, for the report.
    """

    reasons: tuple[str, ...]
    verdict: Verdict
    quality: Quality


@dataclass(frozen=True, slots=True)
class _Channel:
    """The measures of one picture of a field."""

    median_grey: float
    saturated_share: float
    ground_low: float
    ground_high: float
    span_grey: float
    flat: bool
    look: picture_kind.Look


def factor_of(method_id: str, finding: Finding, scale: Scale) -> float:
    """Return what a picture is resized by for its look, so that an object measures 20 px.

    The scale says it; for nuclei, whose size differs by a factor of five between preparations, those
    found say it before that.
    """
    kind = KIND_OF_METHOD[method_id]
    diameter_px = LOOKED_AT_DIAMETER_PX
    if scale.um_per_px is not None:
        diameter_px = DIAMETER_UM[kind] / scale.um_per_px
    elif scale.object_diameter_px is not None:
        diameter_px = scale.object_diameter_px
    if kind == "fluorescence" and finding.cells:
        diameter_px = 2 * float(np.median([cell.radius for cell in finding.cells]))
    return min(max(LOOKED_AT_DIAMETER_PX / max(diameter_px, 1e-3), FACTOR_LEAST), FACTOR_MOST)


def _ground_of(kind: Kind, sample: npt.NDArray[np.float32], span_grey: float) -> tuple[float, float]:
    """Return how far the ground's brightness goes down and up from its middle, which is 1.

    In brightfield 1 is the middle itself; in fluorescence, whose ground is next to black, it is the
    brightness of the objects above it. There the ground is the dark tenth of each part of the field.
    """
    if kind == "brightfield":
        ground = picture_kind.background_of(sample, small=True) + 1.0
        low, middle, high = np.percentile(ground, [5, 50, 95])
        return float(low / middle), float(high / middle)
    rows = np.array_split(np.arange(sample.shape[0]), GROUND_PARTS)
    columns = np.array_split(np.arange(sample.shape[1]), GROUND_PARTS)
    ground = np.array([np.percentile(sample[np.ix_(r, c)][::2, ::2], 10) for r in rows for c in columns])
    change = (ground - np.median(ground)) / max(span_grey, 1.0)
    return 1.0 + float(change.min()), 1.0 + float(change.max())


def _measured(kind: Kind, picture: FieldPicture, factor: float, places: npt.NDArray[np.float32]) -> _Channel:
    step = max(1, int(np.sqrt(picture.grey.size / SAMPLED_PIXELS)))
    sample = np.ascontiguousarray(picture.grey[::step, ::step])
    # A mean of nine pixels: light of the stain stays, grain goes.
    least, half, most = np.percentile(cv2.blur(sample, (3, 3)), [1, 50, 99.8])
    low, high = _ground_of(kind, sample, float(most - least))
    return _Channel(
        median_grey=float(half),
        saturated_share=float((sample >= SATURATED_GREY).mean()),
        ground_low=low,
        ground_high=high,
        span_grey=float(most - least),
        flat=len(np.unique(sample[:: max(1, len(sample) // 128)])) <= FLAT_LEVELS
        and float(sample.max() - sample.min()) <= FLAT_LEVELS,
        look=picture_kind.look_at(picture, factor, places, kind=kind),
    )


def _touching_share(cells: Sequence[Cell]) -> float:
    """Return the share of cells that touch another."""
    places = np.array([(cell.x, cell.y, cell.radius) for cell in cells], np.float32).reshape(-1, 3)
    places = places[np.argsort(places[:, 0], kind="stable")]
    reach = 2 * CLUMPED_DISTANCE * float(places[:, 2].max(initial=0.0))
    touching = 0
    for start in range(0, len(places), CELLS_AT_ONCE):
        some = places[start : start + CELLS_AT_ONCE]
        # Sorted by x, whatever may touch these lies in one stretch.
        first, last = np.searchsorted(places[:, 0], [some[0, 0] - reach, some[-1, 0] + reach])
        others = places[first : last + 1]
        far = np.hypot(some[:, None, 0] - others[None, :, 0], some[:, None, 1] - others[None, :, 1])
        near = far < CLUMPED_DISTANCE * (some[:, None, 2] + others[None, :, 2])
        touching += int((near.sum(axis=1) > 1).sum())
    return touching / max(1, len(places))


def _cover_share(finding: Finding, area_px: int) -> float:
    if finding.labels is not None:
        return cv2.countNonZero(finding.labels) / area_px
    return min(1.0, sum(float(np.pi) * cell.radius**2 for cell in finding.cells) / area_px)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _quality_of(kind: Kind, channels: Sequence[_Channel], finding: Finding, area_px: int) -> Quality:
    # A channel in which next to nothing is stained looks like nothing; the others say what kind it is.
    strongest = max(channel.look.contrast for channel in channels)
    telling = [c for c in channels if c.look.contrast >= TELLING_CONTRAST_SHARE * strongest]
    odds = _known([channel.look.odds.get(kind) for channel in telling or channels])
    blur = _known([channel.look.blur for channel in channels])
    return Quality(
        median_grey=max((c.median_grey for c in channels), key=lambda grey: abs(grey - 90)),
        saturated_share=max(c.saturated_share for c in channels),
        ground_low=min(c.ground_low for c in channels),
        ground_high=max(c.ground_high for c in channels),
        contrast=max(c.look.contrast for c in channels),
        kind_odds=min(odds) if odds else None,
        blur=max(blur) if blur else None,
        cover_share=_cover_share(finding, area_px),
        touching_share=_touching_share(finding.cells),
        agreement=finding.agreement,
    )


def _strange(cells: Sequence[Cell]) -> bool:
    """Say whether the cells found are next to nothing like those that their method learnt from."""
    if not cells:
        return False
    typicality = float(np.median([cell.typicality for cell in cells]))
    confidence = float(np.mean([cell.confidence for cell in cells]))
    return typicality > STRANGE_TYPICALITY or confidence < STRANGE_CONFIDENCE


def _kind_reasons(
    method_id: str,
    pictures: Sequence[FieldPicture],
    channels: Sequence[_Channel],
    cells: Sequence[Cell],
    quality: Quality,
) -> list[str]:
    coloured = KIND_OF_METHOD[method_id] == "brightfield" and any(
        picture.colourfulness > COLOURFUL for picture in pictures
    )
    unlike = quality.kind_odds is not None and quality.kind_odds < LEVELS[method_id].kind_odds_least
    flat = all(channel.flat for channel in channels)
    # Of bright nuclei strange ones are still nuclei; of dark discs anything round is strange.
    strange = KIND_OF_METHOD[method_id] == "brightfield" and _strange(cells)
    return ["not_this_kind"] if coloured or unlike or flat or strange else []


def _light_reasons(
    method_id: str, channels: Sequence[_Channel], quality: Quality, *, with_cells: bool
) -> list[str]:
    levels, bright_ground = LEVELS[method_id], KIND_OF_METHOD[method_id] == "brightfield"
    brightness = [c.median_grey if bright_ground else c.span_grey for c in channels]
    reasons = []
    # Where nothing is stained there is no light, and nothing is wrong.
    if max(brightness) < levels.dark_grey and (bright_ground or with_cells):
        reasons.append("dark")
    if max(c.median_grey for c in channels) > levels.bright_grey:
        reasons.append("bright")
    if quality.saturated_share > levels.saturated_share:
        reasons.append("saturated")
    if quality.ground_low < levels.ground_low or quality.ground_high > levels.ground_high:
        reasons.append("uneven_light")
    return reasons


def _cell_reasons(method_id: str, finding: Finding, quality: Quality) -> list[str]:
    levels = LEVELS[method_id]
    reasons = []
    if quality.cover_share > levels.dense_cover:
        reasons.append("dense")
    if len(finding.cells) >= CLUMPED_LEAST_CELLS and quality.touching_share > levels.clumped_share:
        reasons.append("clumped")
    if (
        finding.agreement is not None
        and len(finding.cells) >= AGREEMENT_LEAST_CELLS
        and finding.agreement < levels.agreement_least
    ):
        reasons.append("detectors_disagree")
    return reasons


def _channel_reasons(pictures: Sequence[FieldPicture], finding: Finding) -> list[str]:
    """Say whether two channels are one file twice, or lie apart as the method measured it."""
    if len(pictures) < 2:
        return []
    first, second = pictures
    measures = finding.measures
    limit_px = measures.get("channel_shift_limit_px", float("inf"))
    shifted = bool(measures.get("channel_shift_known")) and measures.get("channel_shift_px", 0.0) > limit_px
    apart = measures.get("channel_offset_radii", 0.0) > OFFSET_RADII_MOST
    return ["channels_differ"] if shifted or apart or np.array_equal(first.grey, second.grey) else []


def verdict_of(reasons: Sequence[str], *, allow_unscaled: bool = False) -> Verdict:
    """Turn reasons into the verdict: refused beats repeat beats counted."""
    if any(reason in REFUSING for reason in reasons):
        return "refused"
    remarks = (*REMARKS, "unknown_scale") if allow_unscaled else REMARKS
    return "counted" if all(reason in remarks for reason in reasons) else "repeat"


def judge(
    method_id: str,
    pictures: Sequence[FieldPicture],
    finding: Finding,
    scale: Scale,
    *,
    allow_unscaled: bool = False,
) -> Judgement:
    """Judge one field: may the numbers that a method found in it be used?

    Parameters
    ----------
    method_id : str
        `trypan-blue`, `nuclei` or `live-dead`.
    pictures : sequence of FieldPicture
        The field's channels, as the method was given them.
    finding : Finding
        What the method found in them.
    scale : Scale
        What is known of size.
    allow_unscaled : bool
        An unknown scale is a remark then, and not a fault.
    """
    kind = KIND_OF_METHOD[method_id]
    factor = factor_of(method_id, finding, scale)
    places = np.array([(cell.x, cell.y) for cell in finding.cells], np.float32).reshape(-1, 2)
    channels = [_measured(kind, picture, factor, places) for picture in pictures]
    quality = _quality_of(kind, channels, finding, pictures[0].grey.size)
    reasons = _kind_reasons(method_id, pictures, channels, finding.cells, quality) + _channel_reasons(
        pictures, finding
    )
    if quality.blur is not None and quality.blur > LEVELS[method_id].blur_most:
        reasons.append("out_of_focus")
    reasons += _light_reasons(method_id, channels, quality, with_cells=bool(finding.cells))
    reasons += _cell_reasons(method_id, finding, quality)
    if not finding.cells:
        reasons.append("empty")
    if not scale.known():
        reasons.append("unknown_scale")
    return Judgement(tuple(reasons), verdict_of(reasons, allow_unscaled=allow_unscaled), quality)
