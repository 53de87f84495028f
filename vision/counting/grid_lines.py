"""Straight ruled lines in a picture: two families, nearly square to each other, whatever lies on them.

A line is seen by what it sums to along its length, not by its pixels: cells, dirt and grain do not add up
along a straight line. The power of the picture's spectrum by direction gives the two directions (the
projection-slice theorem makes it the contrast of the projections along each angle); then the picture is
turned, cut into strips across the lines, and each strip is summed along them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import grid_kernels

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

SPECTRUM_SIDE_PX = 512
SPECTRUM_ANGLES = 1440  # over the full turn: a quarter of a degree
# Below it sit uneven light and clumps of cells, which have directions of their own.
SPECTRUM_RADIUS_LEAST = 14
# How far the second family may be from square to the first: a tilted stage, a skewed camera.
SQUARE_WITHIN_DEG = 4.0
# The background is the median of every fourth pixel of a window this wide.
BACKGROUND_PX, BACKGROUND_STRIDE = 76, 4
# Darker than this share of the bright parts is outside the field of view.
BLACK_SHARE = 0.25
STRIP_PX = 40.0
STRIPS_LEAST, STRIPS_MOST = 5, 24
# A peak of the summed profile is a line from here on, in robust spreads of that profile.
PEAK_SPREADS = 4.0
# Far fainter than the strong ones it is a scratch, or a row of cells.
FAINT_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Working:
    """A picture made ready for lines: small, flat, and no pixel louder than a line.

    `detail` is (h, w) float32, brightness above the surroundings in robust spreads of the picture's own
    detail; `factor` is its pixels per pixel of the picture given.
    """

    detail: Floats
    factor: float


@dataclass(frozen=True, slots=True)
class Family:
    """Parallel lines as found, in a frame turned so that they stand upright.

    Attributes
    ----------
    to_turned : (2, 3) float64 ndarray
        Affine map from working pixels to the turned frame.
    strips_y : (s,) float64 ndarray
        Middle of each strip in the turned frame, in pixels.
    strips : (s, w) float32 ndarray
        Mean detail of each strip by column, lines positive; 0 outside the picture.
    valid : (s, w) bool ndarray
        Where a strip lies inside the picture.
    shift : (2,) float64 ndarray
        Lean of a line: its x moves by (shift[0] + shift[1] * x') per pixel of y, x' = -1 to 1 over the width.
    profile : (w,) float64 ndarray
        All strips summed along the lean, in robust spreads.
    peaks_x, heights : (n,) float64 ndarray
        Place (at the frame's middle height) and height of each line in the profile, ascending in x.
    polarity : int
        1 for bright lines on dark, -1 for dark lines on bright.
    prominence : float
        How far the family's direction stands out of the spectrum, in robust spreads over all directions.
    """

    to_turned: Doubles
    strips_y: Doubles
    strips: Floats
    valid: npt.NDArray[np.bool_]
    shift: Doubles
    profile: Doubles
    peaks_x: Doubles
    heights: Doubles
    polarity: int
    prominence: float

    def lean(self, x: Doubles) -> Doubles:
        """Return the lean of lines at `x`, in pixels per pixel."""
        width = self.strips.shape[1]
        return np.asarray(self.shift[0] + self.shift[1] * (2.0 * x / width - 1.0))

    def middle_y(self) -> float:
        """Return the height at which `peaks_x` holds, in pixels of the turned frame."""
        return float(self.strips_y.mean())


def prepare(grey: Floats, pixels_most: float) -> Working:
    """Shrink a picture to `pixels_most`, flatten it, and limit what a single pixel can say."""
    height, width = grey.shape
    factor = min(1.0, (pixels_most / (height * width)) ** 0.5)
    small = grey
    if factor < 1.0:
        size = (max(8, round(width * factor)), max(8, round(height * factor)))
        small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    detail = small - _background(small)
    light = small[::3, ::3]
    # Seen through an eyepiece a field ends in black; its rim is no line.
    black = np.float32(BLACK_SHARE * float(np.percentile(light, 90.0)))
    lit = None
    if float(light.min()) < black:
        dim = (cv2.blur(small, (15, 15)) < black).astype(np.uint8)
        if 0.01 < float(dim[::3, ::3].mean()) < 0.9:
            rim = np.ones((BACKGROUND_PX // 2, BACKGROUND_PX // 2), np.uint8)
            dim = np.asarray(cv2.dilate(dim, rim), np.uint8)
            detail[dim > 0] = 0.0
            lit = dim[::3, ::3] == 0
    sample = np.abs(detail[::3, ::3])
    if lit is not None:
        sample = sample[lit]
    spread = max(1.4826 * float(np.median(sample)), 0.05) if sample.size else 0.05
    most = max(4.0 * spread, float(np.percentile(sample, 98.0))) if sample.size else 1.0
    np.clip(detail, -most, most, out=detail)
    return Working(detail * np.float32(1.0 / spread), factor)


def _background(small: Floats) -> Floats:
    """Return the brightness between the lines: a wide median, which lines do not pull along as a mean."""
    thin = np.ascontiguousarray(small[1::BACKGROUND_STRIDE, 1::BACKGROUND_STRIDE])
    low, high = float(thin.min()), float(thin.max())
    step = max((high - low) / 255.0, 1e-6)
    side = BACKGROUND_PX // BACKGROUND_STRIDE // 2 * 2 + 1
    levels = cv2.medianBlur(((thin - low) / step + 0.5).astype(np.uint8), side)
    smooth = cv2.blur(levels.astype(np.float32), (5, 5))
    wide = cv2.resize(smooth, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide * np.float32(step) + np.float32(low), np.float32)


def directions(working: Working) -> tuple[Doubles, Doubles]:
    """Return the angles of up to two families of lines, in degrees, and how far each stands out."""
    height, width = working.detail.shape
    scale = min(1.0, SPECTRUM_SIDE_PX / max(height, width))
    small = working.detail
    if scale < 1.0:
        size = (round(width * scale), round(height * scale))
        small = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), np.float32)
    small = small * np.outer(_taper(small.shape[0]), _taper(small.shape[1]))
    square = np.zeros((SPECTRUM_SIDE_PX, SPECTRUM_SIDE_PX), np.float32)
    square[: small.shape[0], : small.shape[1]] = small
    spectrum = cv2.dft(square, flags=cv2.DFT_COMPLEX_OUTPUT)
    power = np.fft.fftshift(cv2.magnitude(spectrum[..., 0], spectrum[..., 1]))
    half = SPECTRUM_SIDE_PX // 2
    polar = cv2.warpPolar(
        power, (half, SPECTRUM_ANGLES), (half, half), float(half), cv2.INTER_LINEAR | cv2.WARP_POLAR_LINEAR
    )
    by_angle = polar[:, SPECTRUM_RADIUS_LEAST:-4].mean(axis=1).astype(np.float64)
    turn = SPECTRUM_ANGLES // 2
    by_angle = by_angle[:turn] + by_angle[turn:]
    floor = _circular_median(by_angle, turn // 20)
    excess = by_angle / np.maximum(floor, 1e-9) - 1.0
    excess /= max(1.4826 * float(np.median(np.abs(excess))), 1e-3)
    # A direction in the spectrum is square to the lines that make it.
    first = int(np.argmax(excess))
    reach = round(SQUARE_WITHIN_DEG * turn / 180.0)
    near = (first + turn // 2 + np.arange(-reach, reach + 1)) % turn
    second = int(near[int(np.argmax(excess[near]))])
    peaks = np.array([_peak_place(excess, one) for one in (first, second)])
    return (peaks * 180.0 / turn + 90.0) % 180.0, excess[[first, second]]


def _taper(length: int) -> Floats:
    rim = max(2, length // 12)
    window = np.ones(length, np.float32)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(rim) + 0.5) / rim)
    window[:rim], window[-rim:] = ramp, ramp[::-1]
    return window


def _circular_median(values: Doubles, half_width: int) -> Doubles:
    around = np.concatenate([values[-half_width:], values, values[:half_width]])
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * half_width + 1)
    return np.asarray(np.median(windows[:, ::3], axis=1))


def _peak_place(values: Doubles, index: int) -> float:
    """Return the place of a maximum by the parabola through it and its neighbours."""
    left, middle, right = (float(values[(index + step) % len(values)]) for step in (-1, 0, 1))
    bend = left - 2.0 * middle + right
    return index + (0.5 * (left - right) / bend if bend < 0 else 0.0)


def turns_deg(angles: Doubles) -> tuple[float, float]:
    """Return by how much to turn the picture so that the lines of each of two directions stand upright.

    What lies to the right of the first comes out to the right, what lies below along the second too: the
    two turned frames are the ruling's own axes, not their mirror image.
    """
    first = (135.0 - float(angles[0])) % 180.0 - 45.0
    second = 90.0 - float(angles[1])
    return first, second + 180.0 * round((first - 90.0 - second) / 180.0)


def family(working: Working, turn_deg: float, prominence: float) -> Family:
    """Turn the picture, sum it along lines that then stand about upright, and find the lines."""
    turned, valid, to_turned = _turned(working.detail, turn_deg)
    count = int(np.clip(round(turned.shape[0] / STRIP_PX), STRIPS_LEAST, STRIPS_MOST))
    size = (turned.shape[1], count)
    share = cv2.resize(valid, size, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(turned, size, interpolation=cv2.INTER_AREA)
    inside = share > 0.5
    strips = np.where(inside, sums / np.maximum(share, 0.5), 0.0).astype(np.float32)
    strip_height = turned.shape[0] / count
    strips_y = (np.arange(count) + 0.5) * strip_height - 0.5
    polarity = _polarity(strips, inside)
    strips *= polarity
    shift = _best_shift(strips, inside, strips_y)
    weights = np.ones(count)
    for _ in range(2):
        profile = _summed(strips, inside, weights, strips_y, shift)
        peaks, heights = _peaks(profile)
        weights = _shown_by_strip(strips, strips_y, shift, peaks, heights)
    return Family(to_turned, strips_y, strips, inside, shift, profile, peaks, heights, polarity, prominence)


def _turned(detail: Floats, turn_deg: float) -> tuple[Floats, Floats, Doubles]:
    """Turn the picture clockwise as seen on a screen; give its outline and the map too."""
    height, width = detail.shape
    turn = np.deg2rad(turn_deg)
    cos, sin = np.cos(turn), np.sin(turn)
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)
    matrix = np.array([[cos, -sin], [sin, cos]])
    moved = corners @ matrix.T
    low, high = moved.min(axis=0), moved.max(axis=0)
    affine = np.column_stack([matrix, -low])
    size = (int(np.ceil(high[0] - low[0])) + 1, int(np.ceil(high[1] - low[1])) + 1)
    turned = np.asarray(cv2.warpAffine(detail, affine, size, flags=cv2.INTER_LINEAR), np.float32)
    outline = np.zeros((size[1], size[0]), np.float32)
    cv2.fillConvexPoly(outline, np.round(moved[[0, 1, 3, 2]] - low).astype(np.int32), 1.0)
    return turned, outline, affine


def _polarity(strips: Floats, inside: npt.NDArray[np.bool_]) -> int:
    values = strips[inside]
    if values.size == 0:
        return 1
    values = values - np.median(values)
    spread = max(1.4826 * float(np.median(np.abs(values))), 1e-6)
    loud = np.clip(values / spread, -12.0, 12.0)
    # The cube: a bright line has dim dark rims (diffraction, the background taken off), wider than itself.
    up, down = float((loud[loud > 2.5] ** 3).sum()), -float((loud[loud < -2.5] ** 3).sum())
    return 1 if up >= down else -1


def _best_shift(strips: Floats, inside: npt.NDArray[np.bool_], strips_y: Doubles) -> Doubles:
    """Find the lean that makes the sum over strips sharpest: lean and fan in turn, coarse to fine."""
    height = 2.0 * float(strips_y[-1] - strips_y.mean())
    best = np.zeros(2)
    even = np.ones(len(strips_y))

    def along(axis: int, reach: float, step: float) -> None:
        number = max(1, round(reach / step))
        tries = [best.copy() for _ in range(2 * number + 1)]
        for steps, one in enumerate(tries):
            one[axis] += step * (steps - number)
        scores = [_sharpness(_summed(strips, inside, even, strips_y, one)) for one in tries]
        # The middle wins a draw: without evidence of a lean there is none.
        order = np.argsort(np.abs(np.arange(2 * number + 1) - number), kind="stable")
        best[:] = tries[max(order.tolist(), key=lambda one: scores[one])]

    # The spectrum's direction is good to a line's thickness over its length; perspective fans lines out.
    pixel = 1.0 / max(height, 1.0)
    along(0, 0.012, max(0.002, pixel))
    along(1, 0.030, max(0.005, 2.0 * pixel))
    along(0, 0.003, max(0.0006, 0.4 * pixel))
    along(1, 0.005, max(0.0010, 0.8 * pixel))
    return best


def _summed(
    strips: Floats, inside: npt.NDArray[np.bool_], weights: Doubles, strips_y: Doubles, shift: Doubles
) -> Doubles:
    """Return the mean over strips along lines of this lean, by column."""
    offsets = strips_y - strips_y.mean()
    return np.asarray(
        grid_kernels.sum_along(strips, inside, weights, offsets, float(shift[0]), float(shift[1]))
    )


def _shown_by_strip(
    strips: Floats, strips_y: Doubles, shift: Doubles, peaks: Doubles, heights: Doubles
) -> Doubles:
    """Weigh each strip by how strongly it shows the strongest lines: a ruling ends within the picture."""
    count, width = strips.shape
    if len(peaks) == 0:
        return np.ones(count)
    chosen = peaks[np.argsort(-heights, kind="stable")[:12]]
    lean = shift[0] + shift[1] * (2.0 * chosen / width - 1.0)
    places = np.round(chosen + lean * (strips_y - strips_y.mean())[:, None]).astype(np.int64)
    shown = np.take_along_axis(strips, np.clip(places, 0, width - 1), axis=1)
    weights = np.maximum(np.median(shown, axis=1).astype(np.float64), 0.0)
    most = float(weights.max())
    if most <= 0.0:
        return np.ones(count)
    weights = np.minimum(weights / (0.7 * most), 1.0)
    return np.asarray(np.where(weights < 0.25, 0.02, weights))


def _sharpness(profile: Doubles) -> float:
    centred = profile - np.median(profile)
    return float((np.maximum(centred, 0.0) ** 3).sum())


def _peaks(profile: Doubles) -> tuple[Doubles, Doubles]:
    """Return place and height (in robust spreads) of the profile's maxima that are lines."""
    # Where lines stand close the background taken off is brighter: each stretch has its own ground.
    half = BACKGROUND_PX // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(profile, half, mode="reflect"), 2 * half + 1)
    flat = profile - np.percentile(windows[:, ::4], 30.0, axis=1)
    lower = flat[flat < 0]
    # Lines are bright: what lies below the ground tells the noise.
    # (Of a normal distribution the middle of the lowest 30 % lies 0.51 spreads under their upper end.)
    spread = max(1.95 * float(np.median(-lower)) if lower.size else 0.0, 0.02)
    loud = flat / spread
    middle = loud[1:-1]
    top = np.flatnonzero((middle > PEAK_SPREADS) & (middle >= loud[:-2]) & (middle > loud[2:])) + 1
    if top.size:
        strong = float(np.sort(loud[top])[-min(3, top.size)])
        top = top[loud[top] >= FAINT_SHARE * strong]
    places = [_peak_place(loud, int(one)) for one in top]
    return np.array(places, np.float64), loud[top].astype(np.float64)
