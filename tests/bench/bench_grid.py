"""How often the ruling of a chamber is read right, refused, or read wrong, and how long it takes.

    python tests/bench/bench_grid.py [--scenes N] [--first SEED] [--width-most PX]
        [--photos DIR] [--pictures DIR...]

Scenes are rendered by seed (`tests/vision/chamber_scenes.py`); right means both scales within 1 % of the
truth where the lines are. A scene is good when its lines can be read by what is in view (the spacing changes
on an axis, or multiple lines stand resolved beside single ones), with moderate noise and blur.
DIRs of photos are expected to hold chambers, DIRs of pictures to hold none. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from itertools import count, islice, pairwise
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "vision"))

from chamber_scenes import ChamberScene, random_scene

from vision.counting.chamber_table import chamber_named
from vision.counting.neubauer import Grid, find_grid
from vision.picture_file import PictureUnreadable, read_grey

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def is_good(scene: ChamberScene) -> bool:
    """Say whether a scene shows enough to be sure, well enough to be seen."""
    if abs(scene.contrast) < 5.0 * scene.noise or scene.blur_px > max(1.2, 0.005 * scene.px_per_mm):
        return False
    ruling = chamber_named(scene.ruling).ruling
    assert ruling is not None
    # As much as is in view whatever the rotation, but for a rim.
    reach_mm = 0.45 * min(scene.width, scene.height) / scene.px_per_mm
    telling, number = 0, []
    for axis in (0, 1):
        low, high = scene.centre_mm[axis] - reach_mm, scene.centre_mm[axis] + reach_mm
        within = [one for one in range(len(ruling.positions_mm)) if low < ruling.positions_mm[one] < high]
        gaps = {round(ruling.positions_mm[b] - ruling.positions_mm[a], 3) for a, b in pairwise(within)}
        number.append(len(within))
        multiple = sum(ruling.multiple[one] for one in within)
        resolved = scene.sub_spacing_mm * scene.px_per_mm > 1.5
        telling += len(gaps) > 1 and len(within) >= 5
        telling += resolved and multiple >= 1 and len(within) - multiple >= 3
    return telling >= 1 and min(number) >= 3 and sum(number) >= 8


def outcome(scene: ChamberScene, found: object) -> str:
    """Say right, wrong, or why refused."""
    if not isinstance(found, Grid):
        return found.reason  # type: ignore[attr-defined, no-any-return]
    true = scene.px_per_mm_at(np.array(found.middle))
    error = float(np.abs(np.array(found.px_per_mm) / np.array(true) - 1.0).max())
    return "right" if error < 0.01 else "WRONG"


def scenes(first: int, number: int, width_most: int) -> None:
    """Read rendered scenes and print the tally, good scenes apart."""
    tally: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    took_ms, wrong = [], []
    chosen = (one for one in map(random_scene, count(first)) if one.width <= width_most)
    for done, scene in enumerate(islice(chosen, number), 1):
        picture = scene.render()
        began = time.process_time()
        found = find_grid(picture)
        took_ms.append(1000 * (time.process_time() - began))
        said = outcome(scene, found)
        tally[is_good(scene)][said] += 1
        if said == "WRONG":
            wrong.append(scene.seed)
        if done % 50 == 0:
            state = {"done": done, "good": tally[True], "others": tally[False], "wrong": wrong}
            print(json.dumps(state), file=sys.stderr, flush=True)
    print(
        json.dumps(
            {
                "scenes": number,
                "good": dict(tally[True]),
                "others": dict(tally[False]),
                "wrong_seeds": wrong,
                "processor_ms": {str(p): round(float(np.percentile(took_ms, p)), 1) for p in (10, 50, 90)},
            }
        ),
        flush=True,
    )


def folder(path: Path) -> None:
    """Read each picture of a folder and print what was said of it, or the tally of many."""
    tally: Counter[str] = Counter()
    files = sorted(one for one in path.rglob("*") if one.suffix.lower() in PICTURES)
    for file in files:
        try:
            found = find_grid(read_grey(file).grey)
        except PictureUnreadable:
            tally["unreadable"] += 1
            continue
        tally[found.ruling if isinstance(found, Grid) else found.reason] += 1
        if isinstance(found, Grid) or len(files) <= 20:
            print(json.dumps({"picture": file.name, **said(found)}), flush=True)
    print(json.dumps({"folder": path.name, **tally}), flush=True)


def said(found: object) -> dict[str, object]:
    """Return what a person wants to see of an answer."""
    if not isinstance(found, Grid):
        return {"reason": found.reason}  # type: ignore[attr-defined]
    return {
        "ruling": found.ruling,
        "spacings_mm": found.spacings_mm,
        "px_per_mm": [round(one, 2) for one in found.px_per_mm],
        "angle_deg": round(found.angle_deg, 2),
        "um_per_px": round(found.um_per_px, 4),
        "relative_u": round(found.um_per_px_relative_u, 5),
        "residual_um": round(found.residual_um, 2),
        "squares": len(found.squares),
    }


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--width-most", type=int, default=4096, help="leave out larger pictures")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--pictures", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    for path in [arguments.photos] if arguments.photos else []:
        folder(path)
    for path in arguments.pictures:
        folder(path)
    if arguments.scenes:
        scenes(arguments.first, arguments.scenes, arguments.width_most)


if __name__ == "__main__":
    main()
