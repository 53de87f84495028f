"""The trypan-blue method: candidates by radial votes, told apart by a network over rings (see `cells`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vision.counting import cells, kernels, segment
from vision.counting.method import CellClass, Finding, Scale
from vision.picture_file import PIXELS_MAX, FieldPicture, PictureUnreadable

# Smaller than one cell at the working scale there is nothing to find.
SIDE_LEAST_PX = 24


class TrypanRings:
    """Live and dead cells in brightfield pictures; `model` takes the place of the committed one."""

    id = cells.METHOD_ID
    channels = 1
    classes: tuple[CellClass, ...] = ("live", "dead", "unclassified")

    def __init__(self, model: cells.Model | None = None) -> None:
        self._own = model
        self.version = self._model().version

    def find(self, pictures: Sequence[FieldPicture], scale: Scale) -> Finding:
        """Find the cells of one field.

        Raises
        ------
        PictureUnreadable
            At the stated scale the picture holds less than one cell, or more than can be worked on.
        """
        (picture,) = pictures
        factor = _factor(scale)
        height, width = picture.grey.shape
        if min(height, width) * factor < SIDE_LEAST_PX or height * width * factor**2 > PIXELS_MAX:
            raise PictureUnreadable(
                f"At this scale a picture of {width} x {height} pixels cannot be counted. Check the scale."
            )
        maps = segment.prepare(picture.grey, factor)
        return Finding(tuple(cells.find_cells(maps, self._model())))

    def warm(self) -> None:
        """Compile and load all that `find` needs."""
        kernels.warm()
        self._model()
        cells.method_hash()

    def card(self) -> Mapping[str, Any]:
        """Return what is known of the method."""
        return {"id": self.id, "version": self.version, "validation": self._model().validation}

    def hash(self) -> str:
        """Return the SHA-256 over the method's code and weights."""
        return cells.method_hash()

    def _model(self) -> cells.Model:
        return self._own or cells.committed_model()


def _factor(scale: Scale) -> float:
    """Return the factor that brings a picture to the working scale."""
    if scale.um_per_px is not None:
        return segment.working_scale(
            segment.WORKING_DIAMETER_PX * segment.WORKING_UM_PER_PX / scale.um_per_px
        )
    return segment.working_scale(scale.object_diameter_px or segment.WORKING_DIAMETER_PX)


METHOD = TrypanRings()
