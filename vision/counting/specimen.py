"""All fields of one specimen together: what is pooled, what is left out, and whether it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vision.counting.chamber import Dilution, FieldGeometry, Volume, volume_of
from vision.counting.chamber_table import Chamber
from vision.counting.frame_quality import WHAT_TO_DO, Verdict
from vision.counting.method import Cell, Method
from vision.counting.method_error import MethodError
from vision.counting.results import ImageResult, Numbers, PooledResult
from vision.counting.uncertainty import Budget, FieldCount, Quantity, budget, fields_wanted

# Below this a pooled viability says too little to be used (10 percentage points either way).
POOLED_CELLS_LEAST = 100
# Nobody takes more pictures than this of one filling; then the sample is too thin.
FIELDS_MORE_MOST = 100
UM2_PER_MM2 = 1e6
_ERRORS: dict[tuple[str, str], MethodError] = {}


def tells_live_from_dead(method: Method) -> bool:
    """Say whether the method gives a viability."""
    return "live" in method.classes


def method_error(method: Method) -> MethodError:
    """Return the method's validated error out of its card; read once, since a method is static."""
    key = (method.id, method.hash())
    if key not in _ERRORS:
        _ERRORS[key] = MethodError.from_card(method.card())
    return _ERRORS[key]


def field_count(method: Method, cells: Sequence[Cell], *, size: float = 1.0, chamber: str = "") -> FieldCount:
    """Return what was counted in one field: its included cells by class."""
    kinds = [cell.kind for cell in cells if cell.included]
    if not tells_live_from_dead(method):
        return FieldCount(len(kinds), size=size, chamber=chamber)
    return FieldCount(len(kinds), kinds.count("live"), kinds.count("dead"), size=size, chamber=chamber)


def numbers_of(
    method: Method,
    image: ImageResult,
    *,
    depth_um: float | None,
    dilution: float,
    chamber: Chamber | None = None,
    with_viability: bool,
) -> Numbers:
    """Turn the cells of one field into numbers with their intervals."""
    return numbers_of_fields(
        method,
        [field_count(method, image.cells)],
        volume=counted_volume([image], depth_um, chamber=chamber),
        dilution=Dilution.of(dilution),
        with_viability=with_viability,
    )


def numbers_of_fields(
    method: Method,
    fields: Sequence[FieldCount],
    *,
    volume: Volume | None,
    dilution: Dilution,
    with_viability: bool = True,
) -> Numbers:
    """Turn what was counted in the fields of one specimen into numbers with their intervals."""
    if not fields:
        nothing = 0 if tells_live_from_dead(method) else None
        return Numbers(live=nothing, dead=nothing, unclassified=nothing)
    result = budget(fields, volume=volume, dilution=dilution, method_error=method_error(method))
    total = sum(field.total for field in fields)
    live = dead = unclassified = None
    if tells_live_from_dead(method):
        live, dead = sum(field.live or 0 for field in fields), sum(field.dead or 0 for field in fields)
        unclassified = total - live - dead
    viability = result.viability if with_viability else None
    return Numbers(
        total=total,
        live=live,
        dead=dead,
        unclassified=unclassified,
        viability_percent=None if viability is None else 100 * viability.value,
        viability_interval_percent=_interval(viability, 100.0),
        concentration_cells_ml=None if result.concentration is None else result.concentration.value,
        concentration_interval_cells_ml=_interval(result.concentration, 1.0),
        uncertainty=_figures(result, with_viability),
    )


def _interval(quantity: Quantity | None, factor: float) -> tuple[float, float] | None:
    return None if quantity is None else (factor * quantity.interval[0], factor * quantity.interval[1])


def _figures(result: Budget, with_viability: bool) -> dict[str, object]:
    return (
        result if with_viability else replace(result, viability=None, viable_concentration=None)
    ).as_json()


def area_um2_of(image: ImageResult) -> float | None:
    """Return the area in which a field's cells were counted, or None where the scale is not known."""
    if image.area_mm2 is not None:
        return image.area_mm2 * UM2_PER_MM2
    return None if image.um_per_px is None else image.width_px * image.height_px * image.um_per_px**2


def geometry_of(image: ImageResult, field_depth_um: float | None) -> FieldGeometry | None:
    """Return the counted field's geometry, or None where scale or depth is not known."""
    area_um2 = area_um2_of(image)
    if area_um2 is None or field_depth_um is None:
        return None
    return FieldGeometry(area_um2, 1.0, 1.0, field_depth_um)


def counted_volume(
    images: Sequence[ImageResult], field_depth_um: float | None, *, chamber: Chamber | None = None
) -> Volume | None:
    """Return the volume of all these fields; one field of unknown volume makes the whole unknown."""
    geometries = [
        geometry for image in images if (geometry := geometry_of(image, field_depth_um)) is not None
    ]
    if not geometries or len(geometries) < len(images):
        return None
    if chamber is None:
        volume = volume_of(geometries)
    else:
        volume = volume_of(geometries, depth_relative_u=chamber.depth_relative_u, depth_source=chamber.source)
    rulings = [image.grid["um_per_px_relative_u"] for image in images if image.grid is not None]
    if len(rulings) < len(images):
        return volume
    # An area has the error of a length twice.
    return replace(volume, area_relative_u=2 * max(rulings), area_source="the ruling in the picture")


def pool(
    images: Sequence[ImageResult],
    method: Method,
    *,
    field_depth_um: float | None,
    dilution: float,
    chamber: Chamber | None = None,
) -> PooledResult:
    """Pool the counted fields of one specimen; fields with another verdict are left out.

    The pictures of one folder are taken as the fields of one filling of the chamber.
    """
    counted = [image for image in images if image.verdict == "counted"]
    areas = [area_um2_of(image) for image in counted]
    # Where one scale is unknown, pixels are the one unit that all fields have.
    known = all(area is not None for area in areas)
    fields = [
        FieldCount(
            image.total,
            image.live,
            image.dead,
            size=area if known and area is not None else float(image.width_px * image.height_px),
            chamber=str(Path(image.image).parent),
        )
        for image, area in zip(counted, areas, strict=True)
    ]
    volume = counted_volume(counted, field_depth_um, chamber=chamber)
    numbers = numbers_of_fields(method, fields, volume=volume, dilution=Dilution.of(dilution))
    reasons = [] if numbers.total >= POOLED_CELLS_LEAST else ["too_few_cells"]
    words = [_more_fields(len(counted), numbers.total)] if reasons else []
    if not counted:
        # What kept every field out is what the person must mend first.
        reasons = sorted({reason for image in images for reason in image.reasons}) or reasons
        words = [WHAT_TO_DO[reason] for reason in reasons]
    refused = bool(images) and all(image.verdict == "refused" for image in images)
    verdict: Verdict = "refused" if refused else "repeat" if reasons else "counted"
    return PooledResult(
        verdict=verdict,
        reasons=tuple(reasons),
        numbers=numbers,
        fields=len(counted),
        fields_left_out=len(images) - len(counted),
        words=" ".join(words),
    )


def _more_fields(fields: int, cells: int) -> str:
    """Say how many more fields bring enough cells."""
    more = fields_wanted(fields, cells, POOLED_CELLS_LEAST)
    found = f"{cells} cell{'' if cells == 1 else 's'} in {fields} field{'' if fields == 1 else 's'}"
    needed = f"{POOLED_CELLS_LEAST} are needed"
    if more is None or more > FIELDS_MORE_MOST:
        return f"{found}, {needed}: the sample is too thin. Dilute it less or concentrate it."
    return f"{found}, {needed}. Take {more} more field{'' if more == 1 else 's'} of this filling."
