"""Judge a camera's picture of the print-head test label: which dots of the head print nothing.

A dead dot leaves a white line along the label's way, as wide as the dot, through a field that should be
black. Blur spreads such a line and takes its height away, but not its area: the white that is missing from
the black, summed over the line, is the line's width in the field whatever the lens did. So widths are
measured as areas, and the picture itself says how small an area it could still show. A picture that could
not show one dead dot never passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.labels import label_template as lt
from vision.labels.label_ink import RULER_SHARE, modules_of
from vision.labels.locate import Gray
from vision.labels.symbols import load_gray, read_symbols

TEMPLATE = "print_test"
HEAD, FOOT, LINEAR = "head_text", "foot_text", "linear_text"
READ_SIDE_PX = 2000  # the symbols are looked for in a picture no larger than this
SAMPLES_MM_MAX = 120.0  # of the field's own picture; more would show nothing further
INSIDE = (0.12, 0.88)  # the part of the field's height that is looked at
EDGE_MM = 0.6  # at each end nobody knows what lies beside the label; no label prints nearer than 1.5 mm
BANDS = 8  # of the field's height: a dead dot's line goes through all of them, a speck through one
BANDS_MIN = 0.75
SHEARS = 9  # how far the line may lean, in samples over the field's height, either way
BASELINE_MM, WIDE_MM = 1.6, 12.0
BROAD_SHARE = 0.25  # of the step to the paper, from which a broad stretch of the field is white
DOT_SHARE_MIN = 0.55  # of a dot's width: what is wider is a dead dot
PIXELS_A_DOT_MIN = 1.5
SURE = 6.0  # how often the noise's spread a dot must stand out
CONTRAST_MIN = 0.35  # between paper and black, as a share of the paper
GLARE = 0.45  # a black that is this far up to the paper is no black that can be judged
BUDGET_MS = 4000.0

Line = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DeadLine:
    """A white line in the black field."""

    at_mm: float  # from the label's left edge, as the ruler below the field counts
    width_mm: float


@dataclass(frozen=True, slots=True)
class PrintVerdict:
    """What the picture shows.

    Attributes
    ----------
    verdict
        `pass`, `fail`, or `cannot_tell` where the picture could not show a dead dot.
    narrowest_mm
        The narrowest line that this picture would have shown for certain; 0 where nothing was measured.
    pixels_a_dot
        Pixels of the picture for a dot of the print head.
    """

    verdict: str
    words: str
    dead: tuple[DeadLine, ...] = ()
    narrowest_mm: float = 0.0
    pixels_a_dot: float = 0.0
    symbols: tuple[str, ...] = ()

    def message(self) -> dict[str, object]:
        """The same as plain values, measures as decimal strings."""
        return {
            "verdict": self.verdict,
            "words": self.words,
            "dead": [
                {"at_mm": f"{each.at_mm:.1f}", "width_mm": f"{each.width_mm:.3f}"} for each in self.dead
            ],
            "narrowest_mm": f"{self.narrowest_mm:.3f}",
            "pixels_a_dot": f"{self.pixels_a_dot:.2f}",
            "symbols": list(self.symbols),
        }


def judge_file(
    path: Path, payload: str, *, dpi: int, template: lt.LabelTemplate | None = None
) -> PrintVerdict:
    """Judge a picture's file; raises `symbols.UnreadableImage` where it is none."""
    return judge(load_gray(path), payload, dpi=dpi, template=template)


def judge(gray: Gray, payload: str, *, dpi: int, template: lt.LabelTemplate | None = None) -> PrintVerdict:
    """Judge a picture of the test label.

    Parameters
    ----------
    gray : (h, w) uint8 ndarray
        The picture; the whole label, about level or turned in any way.
    payload : str
        What the label's linear symbol says: the label of another printer or time is not judged.
    dpi : int
        Dots an inch of the print head.
    """
    plan = template or lt.shipped_templates()[TEMPLATE]
    dot_mm = lt.MM_PER_INCH / dpi
    found = _symbols(gray)
    others = sorted(text for text in found if text.removesuffix(" H").removesuffix(" F") != payload)
    if others:
        return PrintVerdict(
            "cannot_tell", f"This is the label of another test: {others[0]!r}. Show the new one."
        )
    if f"{payload} H" not in found or f"{payload} F" not in found:
        return PrintVerdict(
            "cannot_tell", "The two square symbols were not read. Show the whole label, closer and sharp."
        )
    home = _homography(plan, {name: found[f"{payload} {name}"] for name in ("H", "F")}, payload, dpi)
    field = next(each for each in plan.elements if isinstance(each, lt.HeadPattern))
    pixels_mm = _pixels_mm(home, field)
    pixels_a_dot = pixels_mm * dot_mm
    said = tuple(sorted(found))
    if not _inside(gray, home, field):
        words = "The black field is not whole in the picture. Show the whole label."
        return PrintVerdict("cannot_tell", words, pixels_a_dot=pixels_a_dot, symbols=said)
    if pixels_a_dot < PIXELS_A_DOT_MIN:
        return PrintVerdict(
            "cannot_tell",
            f"The picture has {pixels_a_dot:.1f} pixels for a dot; {PIXELS_A_DOT_MIN:g} are needed. "
            "Come closer, or use a camera of more pixels.",
            pixels_a_dot=pixels_a_dot,
            symbols=said,
        )
    verdict = _looked_through(gray, home, field, pixels_mm, dot_mm)
    if verdict.verdict == "pass" and payload not in found:
        words = "The black field is whole, but the bars do not read. Clean the head; test again."
        verdict = PrintVerdict("fail", words, narrowest_mm=verdict.narrowest_mm)
    return PrintVerdict(
        verdict.verdict, verdict.words, verdict.dead, verdict.narrowest_mm, pixels_a_dot, said
    )


def _symbols(gray: Gray) -> dict[str, npt.NDArray[np.float64]]:
    """The confirmed symbols and their corners in pixels: upper left first, with the clock."""
    scale = min(1.0, READ_SIDE_PX / max(gray.shape))
    small = gray
    if scale < 1:
        size = (round(gray.shape[1] * scale), round(gray.shape[0] * scale))
        small = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
    read = read_symbols(small, ("code128", "datamatrix"), BUDGET_MS)
    return {
        each.text: np.asarray(each.corners, np.float64) / scale for each in read.symbols if each.confirmed
    }


def _homography(
    plan: lt.LabelTemplate, corners: dict[str, npt.NDArray[np.float64]], payload: str, dpi: int
) -> npt.NDArray[np.float64]:
    """From the label in millimetres to the picture in pixels, by the corners of the two square symbols."""
    there, here = [], []
    for element in plan.elements:
        if not isinstance(element, lt.Matrix) or element.field not in (HEAD, FOOT):
            continue
        name = "H" if element.field == HEAD else "F"
        module = max(1, lt.dots(element.module_mm, dpi)) * lt.MM_PER_INCH / dpi
        side = modules_of(f"{payload} {name}") * module
        right = element.x_mm + element.width_mm - lt.MATRIX_QUIET * module
        top = element.y_mm + lt.MATRIX_QUIET * module
        there += [(right - side, top), (right, top), (right, top + side), (right - side, top + side)]
        here += corners[name].tolist()
    found, _ = cv2.findHomography(np.asarray(there, np.float64), np.asarray(here, np.float64), 0)
    return np.asarray(found, np.float64)


def _corners_mm(field: lt.HeadPattern) -> npt.NDArray[np.float64]:
    right, bottom = field.x_mm + field.width_mm, field.y_mm + field.height_mm * (1 - RULER_SHARE)
    return np.asarray(
        [(field.x_mm, field.y_mm), (right, field.y_mm), (right, bottom), (field.x_mm, bottom)], np.float64
    )


def _placed(home: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.perspectiveTransform(points[None], home)[0], np.float64)


def _pixels_mm(home: npt.NDArray[np.float64], field: lt.HeadPattern) -> float:
    """Pixels a millimetre across the field, where there are fewest."""
    x = np.linspace(field.x_mm, field.x_mm + field.width_mm, 12)
    middle = field.y_mm + 0.4 * field.height_mm
    along = _placed(home, np.stack([x, np.full_like(x, middle)], axis=1))
    steps = np.hypot(*np.diff(along, axis=0).T) / np.diff(x)
    return float(steps.min())


def _inside(gray: Gray, home: npt.NDArray[np.float64], field: lt.HeadPattern) -> bool:
    corners = _placed(home, _corners_mm(field))
    height, width = gray.shape
    return bool((corners >= -1).all() and (corners[:, 0] <= width).all() and (corners[:, 1] <= height).all())


def _looked_through(
    gray: Gray, home: npt.NDArray[np.float64], field: lt.HeadPattern, pixels_mm: float, dot_mm: float
) -> PrintVerdict:
    samples_mm = min(SAMPLES_MM_MAX, 1.5 * pixels_mm)
    bands = _bands(gray, home, field, samples_mm)
    paper = _paper(gray, home, field)
    black = float(np.median(bands))
    if paper - black < CONTRAST_MIN * paper:
        words = "The black of the field is too light, or the light too poor. More light; then clean the head."
        return PrintVerdict("cannot_tell", words)
    window = max(3, round(BASELINE_MM * samples_mm) | 1)
    baseline = _running_median(bands, window)
    margin = max(round(EDGE_MM * samples_mm), window // 4)
    inner = slice(margin, bands.shape[1] - margin)
    wide = _running_median(bands.mean(axis=0)[None], max(3, round(WIDE_MM * samples_mm) | 1))[0]
    if float((wide[inner] - black).max()) > GLARE * (paper - black):
        words = "A glare, or no print, lies on a part of the black field. Tilt the label or the lamp."
        return PrintVerdict("cannot_tell", words)
    broad = (baseline.mean(axis=0) - wide)[inner] / (paper - black)
    # Paper and black both shine where more light falls: the step between them is taken from the local black.
    step = (paper - black) * np.maximum(baseline / max(black, 1.0), 0.25) if black > 8 else paper - black
    excess = (bands - baseline) / step
    spread_mm = _edge_spread_mm(gray, home, field, pixels_mm)
    reach = max(1, round((2 * spread_mm + dot_mm / 2) * samples_mm))
    area, each = _areas_mm(excess, reach, samples_mm)
    area, each = area[inner], each[:, inner]
    noise = 1.4826 * float(np.median(np.abs(area - np.median(area))))
    narrowest = max(SURE * noise, DOT_SHARE_MIN * dot_mm)
    if SURE * noise > DOT_SHARE_MIN * dot_mm:
        words = (
            f"This picture shows white lines from {SURE * noise:.2f} mm on; a dot is {dot_mm:.3f} mm wide. "
            "Come closer, hold still, more light."
        )
        return PrintVerdict("cannot_tell", words, narrowest_mm=SURE * noise)
    through = (each > 0.4 * DOT_SHARE_MIN * dot_mm).mean(axis=0) >= BANDS_MIN
    dead = _lines(np.where(through, area, 0.0), DOT_SHARE_MIN * dot_mm, samples_mm, margin, field.x_mm)
    # What is wider than the running median sees is its own level beside that of the field.
    dead += _broad_lines(broad, samples_mm, margin, field.x_mm)
    dead.sort(key=lambda line: line.at_mm)
    if not dead:
        return PrintVerdict(
            "pass", "No white line: every dot of the head that labels use prints.", (), narrowest
        )
    places = ", ".join(f"{line.at_mm:.1f} mm" for line in dead[:8])
    words = f"{len(dead)} white line{'s' if len(dead) > 1 else ''} at {places}. Clean the head; test again."
    return PrintVerdict("fail", words, tuple(dead), narrowest)


def _bands(gray: Gray, home: npt.NDArray[np.float64], field: lt.HeadPattern, samples_mm: float) -> Line:
    """The black field straightened and averaged over each band of its height: (bands, samples)."""
    corners = _corners_mm(field)
    left, top = float(corners[0, 0]), float(corners[0, 1])
    right, bottom = float(corners[2, 0]), float(corners[2, 1])
    low, high = (top + share * (bottom - top) for share in INSIDE)
    width, height = round((right - left) * samples_mm), max(BANDS * 4, round((high - low) * samples_mm))
    to_mm = np.asarray(
        [[(right - left) / width, 0, left], [0, (high - low) / height, low], [0, 0, 1]], np.float64
    )
    flat = cv2.warpPerspective(
        gray, home @ to_mm, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    rows = np.array_split(np.asarray(flat, np.float64), BANDS, axis=0)
    return np.stack([each.mean(axis=0) for each in rows])


def _paper(gray: Gray, home: npt.NDArray[np.float64], field: lt.HeadPattern) -> float:
    """The white of the label beside the field: right below the ruler, where nothing is printed."""
    below = field.y_mm + field.height_mm
    x, y = np.meshgrid(np.linspace(24, 96, 60), np.linspace(below + 0.6, below + 2.4, 6))
    at = _placed(home, np.stack([x.ravel(), y.ravel()], axis=1)).round().astype(int)
    height, width = gray.shape
    kept = at[(at[:, 0] >= 0) & (at[:, 0] < width) & (at[:, 1] >= 0) & (at[:, 1] < height)]
    return float(np.median(gray[kept[:, 1], kept[:, 0]])) if len(kept) else 0.0


def _running_median(bands: Line, window: int) -> Line:
    half = window // 2
    padded = np.pad(bands, ((0, 0), (half, half)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)
    return np.asarray(np.median(views, axis=-1), np.float64)


def _edge_spread_mm(
    gray: Gray, home: npt.NDArray[np.float64], field: lt.HeadPattern, pixels_mm: float
) -> float:
    """How far blur spreads an edge, from the field's own lower edge, as a standard deviation."""
    bottom = field.y_mm + field.height_mm * (1 - RULER_SHARE)
    y = np.linspace(bottom - 0.9, bottom + 0.25, 64)
    x = np.linspace(20, 80, 40)
    grid_x, grid_y = np.meshgrid(x, y)
    at = _placed(home, np.stack([grid_x.ravel(), grid_y.ravel()], axis=1)).astype(np.float32)
    seen = cv2.remap(
        gray, at[:, 0].reshape(grid_x.shape), at[:, 1].reshape(grid_x.shape), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    profile = np.asarray(seen, np.float64).mean(axis=1)
    slope = np.maximum(np.gradient(profile), 0)
    if slope.sum() <= 0:
        return 1.0 / pixels_mm
    slope[slope < 0.08 * slope.max()] = 0
    middle = float((slope * y).sum() / slope.sum())
    return max(0.4 / pixels_mm, float(np.sqrt((slope * (y - middle) ** 2).sum() / slope.sum())))


def _areas_mm(excess: Line, reach: int, samples_mm: float) -> tuple[Line, Line]:
    """White within reach of each sample, in millimetres of a wholly white line: over all bands, and in each.

    The bands are pushed against each other until a line that leans stands upright.
    """
    kernel = np.ones(2 * reach + 1)
    each = np.stack([np.convolve(row, kernel, mode="same") for row in excess]) / samples_mm
    best, best_each = each.mean(axis=0), each
    for lean in np.linspace(-SHEARS, SHEARS, 2 * SHEARS + 1):
        moves = np.round(np.linspace(-lean / 2, lean / 2, len(each))).astype(int)
        pushed = np.stack([np.roll(row, move) for row, move in zip(each, moves, strict=True)])
        mean = pushed.mean(axis=0)
        if mean.max() > best.max() * 1.02:
            best, best_each = mean, pushed
    return best, best_each


def _runs(over: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """The places that hold, each unbroken run of them apart."""
    at = np.flatnonzero(over)
    return np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if len(at) else []


def _lines(area: Line, least_mm: float, samples_mm: float, margin: int, left_mm: float) -> list[DeadLine]:
    """Where the area stands over the least, each line once."""
    return [
        DeadLine(
            left_mm + (margin + float((run * area[run]).sum() / area[run].sum()) + 0.5) / samples_mm,
            float(area[run].max()),
        )
        for run in _runs(area > least_mm)
    ]


def _broad_lines(lit: Line, samples_mm: float, margin: int, left_mm: float) -> list[DeadLine]:
    return [
        DeadLine(left_mm + (margin + float(run.mean()) + 0.5) / samples_mm, len(run) / samples_mm)
        for run in _runs(lit > BROAD_SHARE)
    ]
