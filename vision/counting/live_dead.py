"""Method `live-dead`: two aligned fluorescence channels, all nuclei in the first, dead ones in the second.

The live stain (acridine orange, Hoechst) enters every nucleus; the dead stain (propidium iodide, DAPI) only
those whose membrane is broken, where it may quench the other. Nuclei are found in the union of both channels.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import live_dead_kernels as kernels
from vision.counting import live_dead_populations as populations
from vision.counting import two_channels
from vision.counting.method import CellClass, Finding, Labels, Scale
from vision.picture_file import FieldPicture, PictureUnreadable

CARD_FILE = Path(__file__).parent / "models" / "live-dead.json"
# The files whose text decides a result, beside those of the nuclei's method.
SOURCES = ("live_dead.py", "live_dead_populations.py", "live_dead_kernels.py", "two_channels.py")

NUCLEUS_UM = 12.0
NUCLEUS_UNSCALED_PX = 20.0
TOP_GREY = 254.5
# A shift below this is not worth the smoothing that moving a picture costs.
SHIFT_LEFT_PX = 0.3
# A quarter of a nucleus is as large as a square of this side, in diameters: noise is that of such means.
QUARTER_DIAMETERS = 0.45
# Local background: mean of what is neither nucleus nor its halo, within this many diameters.
AROUND_DIAMETERS = 3.0
HALO_DIAMETERS = 0.15
# Seen in one channel alone and smaller than this share of the median nucleus: debris.
DEBRIS_AREA_SHARE = 0.33
SEEN_SPREADS = 6.0
# Where less than this share of the surroundings is free, the background that was taken off already stands.
FREE_SHARE_LEAST = 0.02
# So few places say too little of the noise; single pixels are asked then.
MEANS_LEAST = 50
# Noise is never taken as less than what rounding to 8 bit leaves.
NOISE_LEAST_GREY = 0.15

Image = npt.NDArray[np.float32]
Segment = Callable[[FieldPicture, Scale], Finding]


def _nuclei() -> Any:
    """Load the method that finds nuclei when it is needed: it brings a network."""
    return importlib.import_module("vision.counting.nuclei")


def _segment(picture: FieldPicture, scale: Scale) -> Finding:
    found: Finding = _nuclei().segment(picture, scale)
    return found


@cache
def committed_card() -> dict[str, Any]:
    """Return the performance card that ships with this version."""
    card: dict[str, Any] = json.loads(CARD_FILE.read_text(encoding="utf-8"))
    return card


class LiveDead:
    """The method `live-dead`.

    Parameters
    ----------
    pair : str
        Key of `STAIN_PAIRS`: how much bleed-through there may be.
    bleed_through : (a to b, b to a), optional
        Shares measured with single-stained controls; otherwise the field's own scatter gives them.
    segment : callable, optional
        Finds nuclei and their label image in one picture; the method `nuclei` when left out.
    """

    id: str = "live-dead"
    channels: int = 2
    classes: tuple[CellClass, ...] = ("live", "dead", "unclassified")

    def __init__(
        self,
        pair: str = "any",
        bleed_through: tuple[float, float] | None = None,
        segment: Segment | None = None,
    ) -> None:
        self._pair = populations.STAIN_PAIRS[pair]
        self._bleed_through = bleed_through
        self._segment = segment or _segment

    @property
    def version(self) -> str:
        """Version of the method, as its card says."""
        return str(committed_card()["version"])

    def find(self, pictures: Sequence[FieldPicture], scale: Scale) -> Finding:
        """Find the nuclei of one field and tell live from dead.

        Parameters
        ----------
        pictures : (live stain, dead stain)
            Of one field, one size, one exposure, without automatic contrast.
        scale : Scale

        Returns
        -------
        Finding
            In pixels of the first picture. `measures` tells shift, bleed-through and populations.

        Raises
        ------
        PictureUnreadable
            The two are not of one size.
        """
        first, second = pictures
        if first.grey.shape != second.grey.shape:
            raise PictureUnreadable(
                "The two channels are pictures of different size. Take both with one camera and one binning."
            )
        diameter_px = _diameter_px(scale)
        a = two_channels.without_background(first.grey, diameter_px)
        b = two_channels.without_background(second.grey, diameter_px)
        shift = two_channels.shift_between(a, b, diameter_px)
        limit_px = two_channels.SHIFT_DIAMETERS_MOST * diameter_px
        if SHIFT_LEFT_PX < shift.length_px <= limit_px:
            b = two_channels.shifted_back(b, shift)
        both = two_channels.picture_of_both(a, b, diameter_px)
        nuclei = self._segment(FieldPicture(both, 8, 0.0), scale)
        measures = {
            "channel_a_has_light": float(two_channels.brightest(a, diameter_px) > 0),
            "channel_b_has_light": float(two_channels.brightest(b, diameter_px) > 0),
            "channel_shift_x_px": round(shift.x_px, 3),
            "channel_shift_y_px": round(shift.y_px, 3),
            "channel_shift_px": round(shift.length_px, 3),
            "channel_shift_known": float(shift.known),
            "channel_shift_limit_px": round(limit_px, 3),
        }
        return self._classified(nuclei, a, b, first.grey >= TOP_GREY, diameter_px, measures)

    def _classified(
        self,
        nuclei: Finding,
        a: Image,
        b: Image,
        full_a: npt.NDArray[np.bool_],
        diameter_px: float,
        measures: dict[str, float],
    ) -> Finding:
        """Give each nucleus its kind by its light in both channels."""
        labels = nuclei.labels
        assert labels is not None, "nuclei are found as a label image"
        sums = kernels.light_of_nuclei(labels, a, b, full_a, len(nuclei.cells))
        lights = _lights(sums, a, b, labels, diameter_px)
        area = sums[:, kernels.AREA]
        small = area < DEBRIS_AREA_SHARE * float(np.median(area)) if len(area) else np.zeros(0, bool)
        # Fragments must not sway the populations; what they are is decided with the whole.
        whole = ~small
        decision = populations.decide(_chosen(lights, whole), self._pair, self._bleed_through)
        all_of = populations.decide(
            lights, self._pair, self._bleed_through or (decision.bleed_a_to_b, decision.bleed_b_to_a)
        )
        kinds: list[CellClass] = list(all_of.kinds)
        for k, kind in zip(np.flatnonzero(whole), decision.kinds, strict=True):
            kinds[k] = kind
        one_channel = (all_of.a_alone > SEEN_SPREADS) != (all_of.b_alone > SEEN_SPREADS)
        cells = tuple(
            replace(cell, kind=kind, excluded=cell.excluded or ("small" if debris else ""))
            for cell, kind, debris in zip(nuclei.cells, kinds, small & one_channel, strict=True)
        )
        return Finding(
            cells=cells,
            labels=labels,
            agreement=nuclei.agreement,
            measures={
                **nuclei.measures,
                **measures,
                "channel_offset_radii": _offset_radii(sums, all_of),
                "bleed_through_a_to_b": round(decision.bleed_a_to_b, 4),
                "bleed_through_b_to_a": round(decision.bleed_b_to_a, 4),
                "bleed_through_estimated": float(decision.estimated),
                "bleed_through_beyond_bound": float(decision.beyond_bound),
                "populations": float(decision.populations),
                "dead_in_b_alone_share": _share_in_b_alone(all_of, kinds),
                "unclassified_share": round(kinds.count("unclassified") / max(1, len(kinds)), 4),
                "noise_a_grey": round(lights.noise_a, 4),
                "noise_b_grey": round(lights.noise_b, 4),
            },
        )

    def warm(self) -> None:
        """Compile and load all that `find` needs."""
        kernels.warm()
        _nuclei().METHOD.warm()
        committed_card()

    def card(self) -> Mapping[str, Any]:
        """Return the performance card."""
        return committed_card()

    def hash(self) -> str:
        """Return the SHA-256 over code, card, options, and the method that finds the nuclei."""
        digest = hashlib.sha256()
        for name in SOURCES:
            digest.update(name.encode() + b"\x00" + Path(__file__).with_name(name).read_bytes())
        digest.update(CARD_FILE.read_bytes())
        digest.update(f"{self._pair.name} {self._bleed_through}".encode())
        digest.update(_nuclei().METHOD.hash().encode())
        return digest.hexdigest()


def _diameter_px(scale: Scale) -> float:
    if scale.object_diameter_px is not None:
        return scale.object_diameter_px
    return NUCLEUS_UNSCALED_PX if scale.um_per_px is None else NUCLEUS_UM / scale.um_per_px


def _chosen(lights: populations.Lights, which: npt.NDArray[np.bool_]) -> populations.Lights:
    return replace(lights, a=lights.a[which], b=lights.b[which], at_top=lights.at_top[which])


def _lights(
    sums: npt.NDArray[np.float64], a: Image, b: Image, labels: Labels, diameter_px: float
) -> populations.Lights:
    """Mean light of each nucleus over its local background, and the noise of such a mean."""
    if len(sums) == 0:
        nothing = np.zeros(0)
        return populations.Lights(nothing, nothing, NOISE_LEAST_GREY, NOISE_LEAST_GREY, nothing > 0)
    size = np.maximum(sums[:, kernels.AREA], 1)
    columns = (sums[:, kernels.X] / size).astype(np.int64) // 2
    rows = (sums[:, kernels.Y] / size).astype(np.int64) // 2
    # Half of the rows and columns say as much about the background at a quarter of the work.
    foreground = (labels[::2, ::2] > 0).astype(np.uint8)
    reach = 2 * max(1, round(HALO_DIAMETERS * diameter_px / 2)) + 1
    free = (cv2.dilate(foreground, np.ones((reach, reach), np.uint8)) == 0).astype(np.float32)
    around, noises = zip(
        *(_background(channel[::2, ::2] * free, free, diameter_px / 2, rows, columns) for channel in (a, b)),
        strict=True,
    )
    return populations.Lights(
        sums[:, kernels.MEAN_A] - around[0],
        sums[:, kernels.MEAN_B] - around[1],
        noises[0],
        noises[1],
        sums[:, kernels.AT_TOP] > 0,
    )


def _background(
    light: Image, free: Image, diameter_px: float, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], float]:
    """Mean of the light off the nuclei near each place, and the noise of a mean over a quarter's area."""
    wide = 2 * round(AROUND_DIAMETERS * diameter_px / 2) + 1
    weight = cv2.boxFilter(free, -1, (wide, wide), normalize=True)
    total = cv2.boxFilter(light, -1, (wide, wide), normalize=True)
    near = weight[rows, columns]
    around = np.where(near < FREE_SHARE_LEAST, 0.0, total[rows, columns] / np.maximum(near, FREE_SHARE_LEAST))
    side = max(1, round(QUARTER_DIAMETERS * diameter_px))
    # Neighbouring means share most of their pixels: every second row and column says the same.
    some = (slice(None, None, 2), slice(None, None, 2))
    inside = cv2.boxFilter(free, -1, (side, side), normalize=True)[some] > 0.999
    means = cv2.boxFilter(light, -1, (side, side), normalize=True)[some]
    off: npt.NDArray[np.floating[Any]] = (means - total[some] / np.maximum(weight[some], FREE_SHARE_LEAST))[
        inside
    ]
    if off.size < MEANS_LEAST:
        off = light[free > 0] / max(1.0, side / 2)
    noise = 1.4826 * float(np.median(np.abs(off - np.median(off)))) if off.size else 0.0
    return around.astype(np.float64), max(NOISE_LEAST_GREY, noise)


def _offset_radii(sums: npt.NDArray[np.float64], decision: populations.Decision) -> float:
    """Median distance of a nucleus' light in A from its light in B, in its radius; -1 for too few."""
    both = (decision.a_alone > SEEN_SPREADS) & (decision.b_alone > SEEN_SPREADS)
    if both.sum() < 5:
        return -1.0
    chosen = sums[both]
    x, y = (
        chosen[:, p] / chosen[:, kernels.LIGHT_A] - chosen[:, q] / chosen[:, kernels.LIGHT_B]
        for p, q in ((kernels.X_A, kernels.X_B), (kernels.Y_A, kernels.Y_B))
    )
    return round(float(np.median(np.hypot(x, y) / np.sqrt(chosen[:, kernels.AREA] / np.pi))), 4)


def _share_in_b_alone(decision: populations.Decision, kinds: Sequence[CellClass]) -> float:
    """Share of the dead nuclei that the live stain does not show at all."""
    dead = np.array([kind == "dead" for kind in kinds], bool)
    if not dead.any():
        return 0.0
    return round(float((decision.a_alone[dead] < SEEN_SPREADS).mean()), 4)


METHOD = LiveDead()
