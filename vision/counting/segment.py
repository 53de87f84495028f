"""From a grey picture to places that may be a cell: background, edges, votes, candidates."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import kernels

# All later sizes are in pixels of a picture scaled so that a cell measures about this much.
WORKING_DIAMETER_PX = 20.0
# 20 px at this scale are 12 um, the middle of the band of cells that the method is for (8-20 um).
WORKING_UM_PER_PX = 0.6
# Pictures within this factor of the working scale are used as they are: resampling costs sharpness.
SCALE_LEFT_ALONE = 1.15

SHRINK = 8
BACKGROUND_HALF_WINDOW = 6
BACKGROUND_STRIDE = 2
# Of every so many rows one serves to estimate the noise; that is plenty.
NOISE_ROW_STRIDE = 4
EDGE_SIGMA_PX = 1.2
VOTE_SIGMA_PX = 2.0
ACTIVITY_SIGMA_PX = 4.0
RADIUS_LOW_PX, RADIUS_HIGH_PX = 5, 13
GRADIENT_FLOOR = 0.012
GRADIENT_CEILING = 0.15
DARK_VOTE_FLOOR, BRIGHT_VOTE_FLOOR, ACTIVITY_FLOOR = 0.1, 0.1, 0.04
CANDIDATE_DISTANCE_PX = 3.0
# Bound of work: a field of 1 MP crowded to the limit of this method holds some 1500 cells.
CANDIDATES_PER_MEGAPIXEL = 12000

Grey = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The maps that candidates and their description are taken from, at the working scale."""

    relative: Grey
    background: Grey
    dark_votes: Grey
    bright_votes: Grey
    activity: Grey
    noise: float
    scale: float


def working_scale(object_diameter_px: float) -> float:
    """Return the factor by which a picture with cells of this diameter is resized."""
    factor = WORKING_DIAMETER_PX / object_diameter_px
    return 1.0 if 1 / SCALE_LEFT_ALONE <= factor <= SCALE_LEFT_ALONE else factor


def background_of(grey: Grey) -> Grey:
    """Estimate the empty field's brightness: a wide median that cells and thin lines do not move.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Picture at the working scale, in grey levels.

    Returns
    -------
    (h, w) float32 ndarray
        Background, in grey levels, at least 1.
    """
    height, width = grey.shape
    size = (max(1, round(width / SHRINK)), max(1, round(height / SHRINK)))
    small = np.ascontiguousarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    median = kernels.median_of_windows(small, BACKGROUND_HALF_WINDOW, BACKGROUND_STRIDE)
    median = cv2.GaussianBlur(median, (0, 0), 0.8)
    wide = cv2.resize(median, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.maximum(wide, np.float32(1.0)), np.float32)


def noise_of(relative: Grey) -> float:
    """Estimate the pixel noise of a relative image from its second differences (no unit).

    References
    ----------
    .. [1] J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image
       Understanding 64(2), 300-302, 1996; with the median instead of the mean, so that cells
       do not count as noise.
    """
    if min(relative.shape) < 3:
        return 0.0
    end = relative.shape[0] - 2
    above, here, below = (relative[k : end + k : NOISE_ROW_STRIDE] for k in range(3))
    corners = above[:, :-2] + above[:, 2:] + below[:, :-2] + below[:, 2:]
    sides = above[:, 1:-1] + below[:, 1:-1] + here[:, :-2] + here[:, 2:]
    mask = corners - 2.0 * sides + 4.0 * here[:, 1:-1]
    return float(np.median(np.abs(mask)) / (6.0 * 0.6745))


def prepare(grey: Grey, scale: float) -> Prepared:
    """Bring a picture to the working scale and compute its maps.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Picture in grey levels 0-255, at least 16 px a side after scaling.
    scale : float
        Factor from `working_scale`.
    """
    if scale != 1.0:
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=way), np.float32)
    background = background_of(grey)
    return maps_of((grey / background - 1.0).astype(np.float32), background, scale)


def maps_of(relative: Grey, background: Grey, scale: float) -> Prepared:
    """Compute the maps of an image already divided by its background (see `prepare`)."""
    noise = noise_of(relative)
    smooth = cv2.GaussianBlur(relative, (0, 0), EDGE_SIGMA_PX)
    # After smoothing, the difference of pixels two apart keeps about 0.2 of the pixel noise.
    floor = max(GRADIENT_FLOOR, 0.6 * noise)
    dark, bright = kernels.vote_for_centres(
        smooth, floor, RADIUS_LOW_PX, RADIUS_HIGH_PX, max(GRADIENT_CEILING, floor)
    )
    return Prepared(
        relative=np.asarray(cv2.GaussianBlur(relative, (0, 0), 0.8), np.float32),
        background=background,
        dark_votes=cv2.GaussianBlur(dark, (0, 0), VOTE_SIGMA_PX),
        bright_votes=cv2.GaussianBlur(bright, (0, 0), VOTE_SIGMA_PX),
        activity=np.sqrt(np.maximum(cv2.GaussianBlur(smooth * smooth, (0, 0), ACTIVITY_SIGMA_PX), 0)),
        noise=noise,
        scale=scale,
    )


def candidates(maps: Prepared) -> npt.NDArray[np.float32]:
    """List the places that may be a cell, many more than there are cells.

    Returns
    -------
    (n, 2) float32 ndarray
        x, y in pixels of the working scale, strongest first.
    """
    most = int(CANDIDATES_PER_MEGAPIXEL * max(0.1, maps.relative.size / 1e6))
    quiet = max(ACTIVITY_FLOOR, 1.5 * maps.noise)
    found = [
        kernels.local_maxima(maps.dark_votes, DARK_VOTE_FLOOR, 3, most),
        kernels.local_maxima(maps.bright_votes, BRIGHT_VOTE_FLOOR, 3, most),
        kernels.local_maxima(maps.activity, quiet, 4, most),
    ]
    # A vote map's maximum sits nearer to the centre of a disc than the maximum of activity does.
    weight = np.concatenate([found[0][:, 2], 0.5 * found[1][:, 2], 0.01 * found[2][:, 2]])
    points = np.ascontiguousarray(np.concatenate(found)[:, :2])
    # Grain votes too; where the picture is as quiet as its grain there is no cell.
    active = maps.activity[points[:, 1].astype(int), points[:, 0].astype(int)] >= quiet
    points, weight = points[active], weight[active]
    kept = kernels.keep_strongest(points, weight.astype(np.float32), CANDIDATE_DISTANCE_PX)
    return np.ascontiguousarray(points[kept])


def describe(maps: Prepared, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Describe each candidate by rotation-invariant numbers (see `kernels.describe`)."""
    return np.asarray(
        kernels.describe(maps.relative, maps.dark_votes, maps.bright_votes, maps.activity, points),
        np.float32,
    )
