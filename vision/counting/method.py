"""What every counting method is: how it is named, what it finds, and what is known of size.

A method is static: code and weights that ship with a version, pinned by one hash. It finds cells and
measures; it neither judges a picture (`frame_quality`) nor turns counts into a dose (`uncertainty`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from vision.picture_file import FieldPicture

CellClass = Literal["live", "dead", "unclassified", "nucleus"]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell found, in pixels of the picture as given.

    `confidence` is the method's probability, 0 to 1, that a cell is here; `typicality` says how far its
    looks are from those that the method learnt from (1 is usual, 3 is strange). `excluded` names why a
    cell found does not count: `edge` (on the two edges that are left out), `grid_line`, `small`, `large`.
    """

    x: float
    y: float
    radius: float
    kind: CellClass
    confidence: float
    typicality: float
    excluded: str = ""

    @property
    def included(self) -> bool:
        """Say whether the cell counts."""
        return not self.excluded


@dataclass(frozen=True, slots=True)
class Scale:
    """What is known of size: micrometres a pixel, or a cell's diameter in pixels, or neither."""

    um_per_px: float | None = None
    object_diameter_px: float | None = None

    def known(self) -> bool:
        """Say whether lengths in the picture mean something."""
        return self.um_per_px is not None or self.object_diameter_px is not None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a method found in one picture, before anybody judged it.

    Attributes
    ----------
    cells : tuple of Cell
        In reading order.
    labels : (h, w) int32 ndarray or None
        0 for background, k + 1 where `cells[k]` lies, at the picture's own pixels; None where the
        method gives centres and radii only.
    agreement : float or None
        Share of cells, 0 to 1, on which two detectors that share no step agree; None without a second.
    measures : mapping
        Further figures for the gates and the report, by name with its unit last.
    """

    cells: tuple[Cell, ...]
    labels: Labels | None = None
    agreement: float | None = None
    measures: Mapping[str, float] = field(default_factory=dict)


class Method(Protocol):
    """A counting method; `vision.counting.methods` lists them by id.

    `card()` is the performance card (Annex 22): what the method is for, what it learnt from, how the
    split was made, every figure of its validation, and its limits. `hash()` is the SHA-256 over code
    and weights; id, version and hash bind a result to the method.
    """

    @property
    def id(self) -> str:
        """Name of the method, e.g. `trypan-blue`."""

    @property
    def version(self) -> str:
        """Version of code and weights."""

    @property
    def channels(self) -> int:
        """How many pictures make one field."""

    @property
    def classes(self) -> tuple[CellClass, ...]:
        """The classes that its cells may have."""

    def find(self, pictures: Sequence[FieldPicture], scale: Scale) -> Finding:
        """Find the cells of one field; `pictures` are its `channels`, aligned and of one size."""

    def warm(self) -> None:
        """Compile and load all that `find` needs."""

    def card(self) -> Mapping[str, Any]:
        """Return the performance card, for people and for the report."""

    def hash(self) -> str:
        """Return the SHA-256 over the method's code and weights, in hexadecimal."""
