"""Geometry of what was counted: from pixels and squares to millilitres, and back to the undiluted sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ML_PER_UM3 = 1e-12
DILUTION_FACTOR_MAX = 1000.0
# One pipetting into a diluent goes to 1:20 at most; a greater dilution was made in several.
STEP_FACTOR_MAX = 20.0
# A piston pipette in skilled hands. ISO 8655-2 allows 0.8 % systematic and 0.3 % random error at the nominal
# volume, and four to five times as much at a fifth of it; 1.5 % stands for the middle of the range.
PIPETTE_RELATIVE_U = 0.015
# A station's stage micrometer gives the size of a pixel to this; the area has it twice.
SCALE_RELATIVE_U = 0.005
# Where no chamber is named: +-4 % as a rectangular distribution (GUM 4.3.7), as for moulded slides.
DEPTH_RELATIVE_U = 0.0231
DEPTH_SOURCE = "+-4 % depth, assumed (no chamber named)"


class NotAVolume(ValueError):
    """What was said of field, chamber or dilution makes no volume; `str(error)` says what to correct.

    NotAVolume
    +- ImpossibleField
    +- ImpossibleDilution
    """


class ImpossibleField(NotAVolume):
    """A field without area, scale or depth."""


class ImpossibleDilution(NotAVolume):
    """A dilution below 1, above what is pipetted, or no number."""


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


@dataclass(frozen=True, slots=True)
class FieldGeometry:
    """One field of view of a chamber: picture size, scale and depth.

    A cell belongs to the field when its centre lies in it. That is unbiased without a guard
    frame: what is counted on two edges is what is lost on the other two.
    """

    width_px: float
    height_px: float
    um_per_px: float
    depth_um: float

    def __post_init__(self) -> None:
        if not (_positive(self.width_px) and _positive(self.height_px)):
            raise ImpossibleField("The field has no area. Give its width and height in pixels, above zero.")
        if not _positive(self.um_per_px):
            raise ImpossibleField("The size of a pixel is not known. Give it in micrometres, above zero.")
        if not _positive(self.depth_um):
            raise ImpossibleField("The chamber's depth is not known. Give it in micrometres, above zero.")

    @classmethod
    def of_squares(cls, squares: int, side_um: float, depth_um: float) -> FieldGeometry:
        """Return the field that is made of whole ruled squares, e.g. four of 1000 um."""
        return cls(width_px=squares, height_px=1, um_per_px=side_um, depth_um=depth_um)

    def area_um2(self) -> float:
        """Return the field's area in square micrometres."""
        return self.width_px * self.height_px * self.um_per_px**2

    def volume_ml(self) -> float:
        """Return the volume above the field in millilitres."""
        return self.area_um2() * self.depth_um * ML_PER_UM3


@dataclass(frozen=True, slots=True)
class Volume:
    """The volume of all fields counted, and what is known of its parts.

    `depth_relative_u` and `area_relative_u` are relative standard uncertainties; the sources say what
    each rests on. All fields share one chamber type and one scale, so neither shrinks with more fields.
    """

    volume_ml: float
    depth_relative_u: float = DEPTH_RELATIVE_U
    area_relative_u: float = 2 * SCALE_RELATIVE_U
    depth_source: str = DEPTH_SOURCE
    area_source: str = "pixel size known to 0.5 % (stage micrometer)"

    def __post_init__(self) -> None:
        if not _positive(self.volume_ml):
            raise ImpossibleField(
                "The volume counted is not known. Check the fields and the chamber's depth."
            )
        assert 0 <= self.depth_relative_u < 1, self.depth_relative_u
        assert 0 <= self.area_relative_u < 1, self.area_relative_u


@dataclass(frozen=True, slots=True)
class DilutionStep:
    """One pipetting: a sample volume into diluent, `factor` = final volume over sample volume.

    factor = (sample + diluent) / sample, so that of both volumes' relative uncertainties the part
    (factor - 1) / factor reaches the factor: little of it when little is added.
    """

    factor: float
    sample_relative_u: float = PIPETTE_RELATIVE_U
    diluent_relative_u: float = PIPETTE_RELATIVE_U

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and 1 <= self.factor <= DILUTION_FACTOR_MAX):
            raise ImpossibleDilution(
                f"A dilution is 1 (none) to {DILUTION_FACTOR_MAX:g}: final volume over sample volume."
            )

    def relative_u(self) -> float:
        """Return the relative standard uncertainty of the factor."""
        return (self.factor - 1) / self.factor * math.hypot(self.sample_relative_u, self.diluent_relative_u)


@dataclass(frozen=True, slots=True)
class Dilution:
    """How the counted liquid was made from the sample: steps after one another, none when undiluted."""

    steps: tuple[DilutionStep, ...] = ()

    @classmethod
    def of(cls, factor: float) -> Dilution:
        """Return the dilution of a known factor, in as few equal steps as are pipetted."""
        whole = DilutionStep(factor)
        if whole.factor == 1:
            return cls()
        steps = max(1, math.ceil(math.log(factor) / math.log(STEP_FACTOR_MAX) - 1e-9))
        return cls((DilutionStep(factor ** (1 / steps)),) * steps) if steps > 1 else cls((whole,))

    def factor(self) -> float:
        """Return the product of the steps."""
        return math.prod(step.factor for step in self.steps)

    def relative_u(self) -> float:
        """Return the steps' relative standard uncertainties together: factors multiply."""
        return math.sqrt(sum(step.relative_u() ** 2 for step in self.steps))


def volume_of(
    fields: Sequence[FieldGeometry],
    *,
    depth_relative_u: float = DEPTH_RELATIVE_U,
    depth_source: str = DEPTH_SOURCE,
) -> Volume:
    """Pool fields into one volume.

    Raises
    ------
    ImpossibleField
        There is no field.
    """
    return Volume(
        math.fsum(field.volume_ml() for field in fields),
        depth_relative_u=depth_relative_u,
        depth_source=depth_source,
    )


def concentration_cells_ml(count: float, volume_ml: float, dilution: float) -> float:
    """Return the concentration of the undiluted sample in cells per millilitre."""
    assert volume_ml > 0, volume_ml
    return count * dilution / volume_ml
