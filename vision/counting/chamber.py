"""Geometry of the counted field: from pixels to millilitres."""

from __future__ import annotations

from dataclasses import dataclass

ML_PER_UM3 = 1e-12


@dataclass(frozen=True, slots=True)
class FieldGeometry:
    """One field of view of a chamber: picture size, scale and depth.

    A cell belongs to the field when its centre lies in it. That is unbiased without a guard
    frame: what is counted on two edges is what is lost on the other two.
    """

    width_px: int
    height_px: int
    um_per_px: float
    depth_um: float

    def area_um2(self) -> float:
        """Return the field's area in square micrometres."""
        return self.width_px * self.height_px * self.um_per_px**2

    def volume_ml(self) -> float:
        """Return the volume above the field in millilitres."""
        return self.area_um2() * self.depth_um * ML_PER_UM3


def concentration_cells_ml(count: int, volume_ml: float, dilution: float) -> float:
    """Return the concentration of the undiluted sample in cells per millilitre."""
    assert volume_ml > 0, volume_ml
    return count * dilution / volume_ml
