"""A small static network over a whole picture, by OpenCV's dnn module, tile by tile.

Tiles bound the memory whatever the picture's size; each is seen with a margin wide enough that no seam
shows. One thread, and always the same tiles for the same picture: the same bits come out each time.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

ENGINE = cv2.dnn.ENGINE_NEW
TILE_PX = 512


class WeightsUnusable(Exception):
    """The committed weights are not what their card says; `str(error)` says what to do."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The cell counter's weights {name} are changed or damaged. Install the software again."
        )


class Network:
    """A network read from an ONNX file.

    Parameters
    ----------
    source : Path or bytes
        ONNX file, or its content: one input (1, channels, height, width), one output (1, maps,
        height / stride, width / stride), both float32; any height and width that are multiples of
        `multiple`.
    sha256 : str
        What the file's bytes must hash to.
    multiple : int
        What height and width given to the network must be multiples of, in pixels; `stride` divides it.
    stride : int
        Input pixels a pixel of the output, a side.
    margin : int
        How far the network sees, in input pixels; a multiple of `multiple`.
    tile : int
        About the side of a tile without its margin, in input pixels: a picture is parted into equal
        tiles of up to 1.5 times this. Wider tiles spend less on margins and more memory.
    beyond : {"mirror", "zero"}
        What the network sees beyond the picture's edge.

    Raises
    ------
    WeightsUnusable
    """

    def __init__(
        self,
        source: Path | bytes,
        sha256: str,
        *,
        multiple: int,
        stride: int,
        margin: int,
        tile: int = TILE_PX,
        beyond: Literal["mirror", "zero"] = "mirror",
    ) -> None:
        assert multiple % stride == 0, (multiple, stride)
        assert margin % multiple == 0, (margin, multiple)
        self._multiple, self._stride, self._margin, self._tile_px = multiple, stride, margin, tile
        self._border = cv2.BORDER_CONSTANT if beyond == "zero" else cv2.BORDER_REFLECT_101
        data = source.read_bytes() if isinstance(source, Path) else source
        if hashlib.sha256(data).hexdigest() != sha256:
            raise WeightsUnusable(source.name if isinstance(source, Path) else "given")
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8), engine=ENGINE)
        self._lock = threading.Lock()

    def run(self, image: Array) -> Array:
        """Run the network over a picture of any size.

        Parameters
        ----------
        image : (channels, h, w) float32 ndarray
            As the network was trained on. Not changed.

        Returns
        -------
        (maps, ceil(h / stride), ceil(w / stride)) float32 ndarray
        """
        _, height, width = image.shape
        rows, columns = -(-height // self._stride), -(-width // self._stride)
        down_px, across_px = self._side_of(height), self._side_of(width)
        out: Array | None = None
        for top in range(0, height, down_px):
            for left in range(0, width, across_px):
                bottom, right = min(top + down_px, height), min(left + across_px, width)
                part = self._answer(self._tile(image, slice(top, bottom), slice(left, right)))
                if out is None:
                    out = np.empty((len(part), rows, columns), np.float32)
                y, x = top // self._stride, left // self._stride
                down, across = out[0, y : y + part.shape[1], x : x + part.shape[2]].shape
                out[:, y : y + down, x : x + across] = part[:, :down, :across]
        assert out is not None, "a picture has pixels"
        return out

    def forward(self, tile: Array) -> Array:
        """Run the network over one tile that has its margins: (channels, h, w) to (maps, h / stride, …)."""
        with self._lock:
            self._net.setInput(np.ascontiguousarray(tile[None]))
            out: Array = np.asarray(self._net.forward(), np.float32)[0]
        return out

    def _side_of(self, length: int) -> int:
        """Part a length into equal tiles, so that no thin rest is seen with margins wider than itself."""
        number = max(1, round(length / self._tile_px))
        return -(-length // (number * self._multiple)) * self._multiple

    def _tile(self, image: Array, rows: slice, columns: slice) -> Array:
        """Cut a tile with its margin, filled up beyond the picture's edge to whole multiples."""
        channels, height, width = image.shape
        end_y = rows.stop + -(rows.stop - rows.start) % self._multiple + self._margin
        end_x = columns.stop + -(columns.stop - columns.start) % self._multiple + self._margin
        first_y, first_x = rows.start - self._margin, columns.start - self._margin
        seen_y, seen_x = (max(0, first_y), min(height, end_y)), (max(0, first_x), min(width, end_x))
        tile = np.empty((channels, end_y - first_y, end_x - first_x), np.float32)
        for channel in range(channels):
            cv2.copyMakeBorder(
                image[channel, seen_y[0] : seen_y[1], seen_x[0] : seen_x[1]],
                seen_y[0] - first_y,
                end_y - seen_y[1],
                seen_x[0] - first_x,
                end_x - seen_x[1],
                self._border,
                dst=tile[channel],
            )
        return tile

    def _answer(self, tile: Array) -> Array:
        part = self.forward(tile)
        edge = self._margin // self._stride
        inner: Array = part[:, edge : part.shape[1] - edge, edge : part.shape[2] - edge]
        return inner
