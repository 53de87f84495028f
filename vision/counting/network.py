"""A small static network over a whole picture, by OpenCV's dnn module, tile by tile.

Tiles bound the memory whatever the picture's size; each is seen with a margin wide enough that no seam
shows. One thread, and always the same tiles for the same picture: the same bits come out each time.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

ENGINE = cv2.dnn.ENGINE_NEW
TILE_PX = 512


class WeightsUnusable(Exception):
    """The committed weights are not what their card says; `str(error)` says what to do."""


class Network:
    """A network read from an ONNX file.

    Parameters
    ----------
    path : Path
        ONNX file: one input (1, channels, height, width), one output (1, maps, height / stride,
        width / stride), both float32; any height and width that are multiples of `multiple`.
    sha256 : str
        What the file's bytes must hash to.
    multiple : int
        What height and width given to the network must be multiples of, in pixels; `stride` divides it.
    stride : int
        Input pixels a pixel of the output, a side.
    margin : int
        How far the network sees, in input pixels; a multiple of `multiple`.

    Raises
    ------
    WeightsUnusable
    """

    def __init__(self, path: Path, sha256: str, *, multiple: int, stride: int, margin: int) -> None:
        assert multiple % stride == 0, (multiple, stride)
        assert margin % multiple == 0, (margin, multiple)
        assert TILE_PX % multiple == 0, multiple
        self._multiple, self._stride, self._margin = multiple, stride, margin
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise WeightsUnusable(
                f"The cell counter's weights {path.name} are changed or damaged. Install the software again."
            )
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
        padded = self._padded(image)
        out: Array | None = None
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                part = self._tile(padded, top, left)
                if out is None:
                    size = (len(part), -(-height // self._stride), -(-width // self._stride))
                    out = np.empty(size, np.float32)
                y, x = top // self._stride, left // self._stride
                rows, columns = out[0, y : y + part.shape[1], x : x + part.shape[2]].shape
                out[:, y : y + rows, x : x + columns] = part[:, :rows, :columns]
        assert out is not None, "a picture has pixels"
        return out

    def forward(self, tile: Array) -> Array:
        """Run the network once over a tile that has its margins: (channels, h, w) to (maps, h / stride, …)."""
        with self._lock:
            self._net.setInput(np.ascontiguousarray(tile[None]))
            out: Array = np.asarray(self._net.forward(), np.float32)[0]
        return out

    def _padded(self, image: Array) -> Array:
        """Mirror the picture's edges outwards by the margin, and up to whole multiples."""
        _, height, width = image.shape
        below, right = -height % self._multiple + self._margin, -width % self._multiple + self._margin
        return np.stack(
            [
                cv2.copyMakeBorder(plane, self._margin, below, self._margin, right, cv2.BORDER_REFLECT_101)
                for plane in image
            ]
        )

    def _tile(self, padded: Array, top: int, left: int) -> Array:
        reach = TILE_PX + 2 * self._margin
        part = self.forward(padded[:, top : top + reach, left : left + reach])
        edge = self._margin // self._stride
        inner: Array = part[:, edge : part.shape[1] - edge, edge : part.shape[2] - edge]
        return inner
