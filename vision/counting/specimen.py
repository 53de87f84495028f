"""All fields of one specimen together: what is pooled, what is left out, and whether it is enough."""

from __future__ import annotations

from collections.abc import Sequence

from vision.counting import uncertainty
from vision.counting.chamber import FieldGeometry, concentration_cells_ml
from vision.counting.frame_quality import WHAT_TO_DO, Verdict
from vision.counting.method import Cell, Method
from vision.counting.results import ImageResult, Numbers, PooledResult

# Below this a pooled viability says too little to be used (10 percentage points either way).
POOLED_CELLS_LEAST = 100


def method_error(method: Method) -> uncertainty.MethodError:
    """Return a method's validated error, out of its card."""
    validation = method.card()["validation"]
    return uncertainty.MethodError(
        viability_pp=validation.get("viability_rms_pp", 0.0),
        count_percent=validation["sample_count_rms_percent"],
        cells=validation["cells_per_specimen"],
    )


def tells_live_from_dead(method: Method) -> bool:
    """Say whether the method gives a viability."""
    return "live" in method.classes


def numbers_of(
    method: Method, cells: Sequence[Cell], *, volume_ml: float | None, dilution: float, with_viability: bool
) -> Numbers:
    """Turn the cells of one field into numbers with their intervals."""
    kinds = [cell.kind for cell in cells if cell.included]
    return _numbers(
        method,
        (kinds.count("live"), kinds.count("dead"), kinds.count("unclassified")),
        len(kinds),
        volume_ml=volume_ml,
        dilution=dilution,
        with_viability=with_viability,
    )


def _numbers(
    method: Method,
    kinds: tuple[int, int, int],
    total: int,
    *,
    volume_ml: float | None,
    dilution: float,
    with_viability: bool,
) -> Numbers:
    error = method_error(method)
    live, dead, unclassified = kinds
    classified = tells_live_from_dead(method)
    usable = classified and with_viability and live + dead > 0
    return Numbers(
        total=total,
        live=live if classified else None,
        dead=dead if classified else None,
        unclassified=unclassified if classified else None,
        viability_percent=100 * live / (live + dead) if usable else None,
        viability_interval_percent=uncertainty.viability_interval(live, dead, unclassified, error)
        if usable
        else None,
        concentration_cells_ml=None
        if volume_ml is None
        else concentration_cells_ml(total, volume_ml, dilution),
        concentration_interval_cells_ml=None
        if volume_ml is None
        else uncertainty.concentration_interval(total, volume_ml, dilution, error),
    )


def volume_ml_of(image: ImageResult, field_depth_um: float | None) -> float | None:
    """Return the volume above a counted field, or None where scale or depth is not known."""
    if image.um_per_px is None or field_depth_um is None:
        return None
    return FieldGeometry(image.width_px, image.height_px, image.um_per_px, field_depth_um).volume_ml()


def pool(
    images: Sequence[ImageResult], method: Method, *, field_depth_um: float | None, dilution: float
) -> PooledResult:
    """Pool the counted fields of one specimen; fields with another verdict are left out."""
    counted = [image for image in images if image.verdict == "counted"]
    kinds = (
        sum(i.live or 0 for i in counted),
        sum(i.dead or 0 for i in counted),
        sum(i.unclassified or 0 for i in counted),
    )
    total = sum(i.total for i in counted)
    volumes = [volume_ml_of(i, field_depth_um) for i in counted]
    known = [volume for volume in volumes if volume is not None]
    numbers = _numbers(
        method,
        kinds,
        total,
        # One field of unknown volume makes the whole volume unknown.
        volume_ml=sum(known) if counted and len(known) == len(counted) else None,
        dilution=dilution,
        with_viability=True,
    )
    reasons = [] if total >= POOLED_CELLS_LEAST else ["too_few_cells"]
    if not counted:
        # What kept every field out is what the person must mend first.
        reasons = sorted({reason for image in images for reason in image.reasons}) or reasons
    refused = bool(images) and all(image.verdict == "refused" for image in images)
    verdict: Verdict = "refused" if refused else "repeat" if reasons else "counted"
    return PooledResult(
        verdict=verdict,
        reasons=tuple(reasons),
        numbers=numbers,
        fields=len(counted),
        fields_left_out=len(images) - len(counted),
        words=" ".join(WHAT_TO_DO[reason] for reason in reasons),
    )
