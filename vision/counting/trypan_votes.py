"""A second opinion on where cells are: edges of the picture vote for centres of circles.

It shares no step with the network of `trypan_blue`: it works on the logarithm of the grey levels, at half
size, without a background, without anything learnt. Alone it is no counter; where it and the network
see different things, one of them is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# All sizes are in pixels of a picture whose cells measure 20 px, shrunken by half.
SHRINK = 2
RADII_PX = (3, 4, 5, 6, 7)
GRADIENT_FLOOR, GRADIENT_CEILING = 0.02, 0.2
# A gradient below this many times the picture's own middle gradient is grain.
GRAIN_FACTOR = 3.0
VOTE_SIGMA_PX = 1.5
VOTE_FLOOR = 1.5
BRIGHT_SHARE = 0.5
REACH_PX, NEAR_PX = 4, 2
# Of more edge pixels than this share of the picture every n-th one votes, for n times as much.
EDGES_MOST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Votes:
    """How many edges point at each place.

    Attributes
    ----------
    strength : (rows, columns) float32 ndarray
        Votes within one's reach (no unit), on a picture shrunken to half the working scale.
    pixel_x, pixel_y : float
        Size of a pixel of it, in pixels of the picture as given.
    """

    strength: Array
    pixel_x: float
    pixel_y: float

    def centres(self) -> Array:
        """Return the (n, 2) float32 places, x and y in pixels of the picture, that most edges point at."""
        highest = cv2.dilate(self.strength, np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8))
        y, x = np.nonzero((self.strength >= highest) & (self.strength > VOTE_FLOOR))
        places = np.column_stack([(x + 0.5) * self.pixel_x - 0.5, (y + 0.5) * self.pixel_y - 0.5])
        return np.asarray(places, np.float32)

    def near(self, x: Array, y: Array) -> Array:
        """Return the greatest strength near each of (n,) places in pixels of the picture."""
        highest = cv2.dilate(self.strength, np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8))
        rows, columns = self.strength.shape
        column = np.clip(np.rint((x + 0.5) / self.pixel_x - 0.5), 0, columns - 1).astype(np.intp)
        row = np.clip(np.rint((y + 0.5) / self.pixel_y - 0.5), 0, rows - 1).astype(np.intp)
        return np.asarray(highest[row, column], np.float32)


def votes_of(grey: Array, factor: float) -> Votes:
    """Let the edges of a picture vote.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Picture in grey levels. Not changed.
    factor : float
        What the picture is resized by to bring its cells to 20 px.

    References
    ----------
    .. [1] G. Loy and A. Zelinsky, "Fast radial symmetry for detecting points of interest",
       IEEE Trans. Pattern Anal. Mach. Intell. 25(8), 959-973, 2003.
    """
    height, width = grey.shape
    share = factor / SHRINK
    size = (max(8, round(width * share)), max(8, round(height * share)))
    way = cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
    light = cv2.log(np.maximum(cv2.resize(grey, size, interpolation=way), np.float32(1.0)))
    light = cv2.GaussianBlur(light, (0, 0), 0.8)
    return Votes(_votes(np.asarray(light, np.float32)), width / size[0], height / size[1])


def _votes(light: Array) -> Array:
    gx = cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=0.125)
    gy = cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=0.125)
    size = cv2.magnitude(gx, gy)
    floor = max(GRADIENT_FLOOR, GRAIN_FACTOR * float(np.median(size[::4, ::4])))
    y, x = np.nonzero(size > floor)
    skip = 1 + int(len(y) / (EDGES_MOST_SHARE * size.size))
    y, x = y[::skip], x[::skip]
    strength = size[y, x]
    ux, uy = gx[y, x] / strength, gy[y, x] / strength
    weight = np.minimum(strength, np.float32(GRADIENT_CEILING)) * np.float32(skip / GRADIENT_CEILING)
    rows, columns = light.shape
    places, shares = [], []
    for sign, worth in ((-1, 1.0), (1, BRIGHT_SHARE)):
        for radius in RADII_PX:
            i = np.rint(x + np.float32(sign * radius) * ux).astype(np.int32)
            j = np.rint(y + np.float32(sign * radius) * uy).astype(np.int32)
            inside = (i >= 0) & (j >= 0) & (i < columns) & (j < rows)
            places.append(j[inside] * columns + i[inside])
            shares.append(weight[inside] * np.float32(worth / radius))
    total = np.bincount(np.concatenate(places), np.concatenate(shares), minlength=light.size)
    votes = total.reshape(light.shape).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(votes, (0, 0), VOTE_SIGMA_PX), np.float32)
