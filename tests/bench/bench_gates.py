"""The gates in figures: good pictures kept, blur flagged, other pictures that got a number, and the time.

    python tests/bench/bench_gates.py [--every N] [FOLDER_OF_OTHER_PICTURES…]

Reads the shared sets beside the checkout (or under CELLWRIGHT_SHARED), and the committed ones where that
is missing. Pictures of other things are made by number (`vision.counting.training.other_pictures`, with
seeds that no training used), and taken from the folders named and from scikit-image where it is there.
Everything is counted without a scale and with `allow_unscaled`, which is the hardest case for a gate.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vision.counting import count_images, frame_quality
from vision.counting.method import Finding, Method, Scale
from vision.counting.methods import method_named
from vision.counting.training import other_pictures
from vision.picture_file import FieldPicture, PictureUnreadable, field_of, read_grey

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "tests" / "data" / "vision"
SHARED = Path(os.environ.get("CELLWRIGHT_SHARED", ROOT.parent / "shared")) / "data"
BLURS = (("gauss", 2.0), ("gauss", 3.0), ("gauss", 4.0), ("gauss", 6.0), ("disc", 5.0), ("disc", 8.0))
SIDES_PX = (200, 320, 640)
LARGE_SIDE_PX = 2000
MADE_OF_A_FAMILY = 12
DIAMETER_TRYPAN_PX = 20.0


def folder_of(name: str) -> Path:
    """Return the shared set of this name, or the committed part of it."""
    shared = SHARED / "vision" / name
    return shared if shared.is_dir() else COMMITTED / name.removesuffix("_counts")


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Read a set's table."""
    with (folder / "images.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def picture_of(folder: Path, row: dict[str, str]) -> FieldPicture:
    """Read one picture of a set, wherever its folder keeps it."""
    inner = folder / "images" / row["image"]
    return read_grey(inner if inner.exists() else folder / row["image"])


def judged(method: Method, picture: FieldPicture) -> tuple[str, tuple[str, ...], bool]:
    """Count a picture: verdict, reasons, and whether a viability or a count came out of it."""
    try:
        finding, told = count_images.count_picture(
            [picture] * method.channels, method=method, scale=Scale(), allow_unscaled=True
        )
    except PictureUnreadable:
        return "refused", ("unreadable",), False
    return told.verdict, told.reasons, told.verdict == "counted" and bool(finding.cells)


def kept(method: Method, pictures: Sequence[FieldPicture]) -> dict[str, object]:
    """Say how many good pictures were counted, and what kept the others out."""
    told = [judged(method, picture) for picture in pictures]
    against = Counter(
        reason
        for verdict, reasons, _ in told
        if verdict != "counted"
        for reason in reasons
        if reason not in ("unknown_scale", "empty")
    )
    share = np.mean([verdict != "counted" for verdict, _, _ in told])
    return {
        "pictures": len(told),
        "sent_back_percent": round(100 * float(share), 2),
        "reasons": dict(against.most_common()),
    }


def blurred(picture: FieldPicture, how: str, strength: float, unit_px: float) -> FieldPicture:
    """Put a picture out of focus; the strength is in twentieths of a cell's diameter."""
    size = max(strength, strength * unit_px)
    if how == "gauss":
        grey = cv2.GaussianBlur(picture.grey, (0, 0), size)
    else:
        reach = int(np.ceil(size))
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        disc = np.clip(size + 0.5 - np.hypot(rows, columns), 0, 1).astype(np.float32)
        grey = cv2.filter2D(picture.grey, cv2.CV_32F, disc / disc.sum())
    return FieldPicture(np.clip(np.round(grey), 0, 255).astype(np.float32), 8, 0.0)


def flagged(method: Method, pictures: Sequence[tuple[FieldPicture, float]]) -> dict[str, float]:
    """Say what share of blurred pictures was not counted, by strength."""
    table = {}
    for how, strength in BLURS:
        verdicts = [judged(method, blurred(picture, how, strength, unit))[0] for picture, unit in pictures]
        table[f"{how}_{strength:g}"] = round(100 * float(np.mean([v != "counted" for v in verdicts])), 2)
    return table


def made(every: int) -> Iterator[tuple[str, FieldPicture]]:
    """Yield pictures of each family, at several sizes."""
    for name, maker in other_pictures.FAMILIES.items():
        for number in range(0, MADE_OF_A_FAMILY, every):
            rng = np.random.default_rng([17, number, *name.encode()])
            side = LARGE_SIDE_PX if number == 0 else SIDES_PX[number % len(SIDES_PX)]
            yield name, field_of(maker(rng, side, round(side * rng.uniform(0.8, 1.3))))


def found(folders: Sequence[Path], every: int) -> Iterator[tuple[str, FieldPicture]]:
    """Yield pictures of other things as they are, small, and as one crop; in colour and in grey."""
    for folder in folders:
        paths = [p for p in sorted(folder.iterdir()) if p.suffix in (".png", ".jpg", ".jpeg", ".webp")]
        for path in paths[::every]:
            try:
                picture = read_grey(path)
            except PictureUnreadable:
                continue
            levels = picture.colours if picture.colours is not None else picture.grey.astype(np.uint8)
            grey = picture.grey.astype(np.uint8)
            factor = 220 / min(grey.shape)
            small = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            y, x = (max(0, (length - 224) // 2) for length in grey.shape)
            for one in (levels, small, grey[y : y + 224, x : x + 224]):
                if min(one.shape[:2]) >= 64:
                    yield folder.name, field_of(np.ascontiguousarray(one))


def foreign(method: Method, pictures: Iterator[tuple[str, FieldPicture]]) -> dict[str, list[int]]:
    """Count pictures of other things: of each family how many, and how many got a number."""
    table: dict[str, list[int]] = {}
    for name, picture in pictures:
        row = table.setdefault(name, [0, 0])
        row[0] += 1
        row[1] += judged(method, picture)[2]
    return table


def gate_ms_per_megapixel(method: Method, picture: FieldPicture) -> float:
    """Return the least processor time of the gate alone on a field of 4 MP, of seven runs."""
    height, width = picture.grey.shape
    tiled = np.tile(picture.grey, (-(-2048 // height), -(-2048 // width)))[:2048, :2048]
    field = FieldPicture(np.ascontiguousarray(tiled), 8, 0.0)
    finding: Finding = method.find([field], Scale())
    best = float("inf")
    for _ in range(7):
        began = time.thread_time()
        frame_quality.judge(method.id, [field], finding, Scale(), allow_unscaled=True)
        best = min(best, time.thread_time() - began)
    return round(1000 * best / (field.grey.size / 1e6), 2)


def negatives(pictures: Sequence[FieldPicture], name: str) -> Iterator[tuple[str, FieldPicture]]:
    """Yield each picture as a photographic negative."""
    for picture in pictures:
        yield name, FieldPicture(np.ascontiguousarray(255 - picture.grey), 8, 0.0)


def named(pictures: Sequence[FieldPicture], name: str) -> Iterator[tuple[str, FieldPicture]]:
    """Yield each picture with a family's name."""
    for picture in pictures:
        yield name, picture


def nuclei_unit_px(labels: Path) -> float:
    """Return a twentieth of the median diameter of the objects in a label picture."""
    areas = np.bincount(np.asarray(cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)).ravel())[1:]
    return float(np.sqrt(4 / np.pi * np.median(areas[areas > 0]))) / 20 if (areas > 0).any() else 1.0


def main() -> int:
    """Run all and print a line for each table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("others", type=Path, nargs="*")
    parser.add_argument("--every", type=int, default=1, help="take only every N-th picture")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    every = arguments.every
    trypan, nuclei = method_named("trypan-blue"), method_named("nuclei")
    ldc = [picture_of(folder_of("ldc_trypan"), row) for row in rows_of(folder_of("ldc_trypan"))[::every]]
    dsb_folder, bbbc_folder = folder_of("dsb2018_fluo"), folder_of("bbbc005_counts")
    dsb_rows = rows_of(dsb_folder)[::every]
    dsb = [picture_of(dsb_folder, row) for row in dsb_rows]
    bbbc = {
        level: [picture_of(bbbc_folder, row) for row in rows_of(bbbc_folder) if row["blur_level"] == level]
        for level in ("1", "23", "48")
    }
    folders = [*arguments.others, *(f for f in [SHARED / "labels" / "img"] if f.is_dir())]

    def show(name: str, work: Callable[[], object]) -> None:
        print(json.dumps({"bench": "gates", name: work()}), flush=True)

    show("kept_trypan", lambda: kept(trypan, ldc))
    show("kept_dsb", lambda: kept(nuclei, dsb))
    for level, pictures in bbbc.items():
        show(f"bbbc_blur_{level}", partial(kept, nuclei, pictures))
    show("flagged_trypan_percent", lambda: flagged(trypan, [(p, 1.0) for p in ldc]))
    unit_of = [nuclei_unit_px(dsb_folder / "labels" / row["image"]) for row in dsb_rows]
    show("flagged_dsb_percent", lambda: flagged(nuclei, list(zip(dsb, unit_of, strict=True))))
    show("foreign_trypan", lambda: foreign(trypan, made(every)))
    show("foreign_trypan_found", lambda: foreign(trypan, found(folders, every)))
    show("foreign_trypan_fluorescence", lambda: foreign(trypan, named([*dsb, *bbbc["1"]], "fluorescence")))
    show("foreign_trypan_negatives", lambda: foreign(trypan, negatives([*dsb, *bbbc["1"]], "negative_fluo")))
    show("foreign_trypan_own_negatives", lambda: foreign(trypan, negatives(ldc, "negative_trypan")))
    show("foreign_nuclei", lambda: foreign(nuclei, made(every)))
    show("foreign_nuclei_brightfield", lambda: foreign(nuclei, named(ldc, "brightfield")))
    show("foreign_nuclei_found", lambda: foreign(nuclei, found(folders, 4 * every)))
    show("gate_trypan_ms_mp", lambda: gate_ms_per_megapixel(trypan, ldc[0]))
    show("gate_nuclei_ms_mp", lambda: gate_ms_per_megapixel(nuclei, dsb[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
