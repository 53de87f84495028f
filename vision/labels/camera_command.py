"""`cellwright camera`: find, watch and set up the camera that looks at labels."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.labels.live_camera import LiveCamera

EXIT_GOOD, EXIT_FAULT, EXIT_USAGE = 0, 1, 2
BY_ID = Path("/dev/v4l/by-id")
FOCUS_FRAMES = 15


def camera(argv: Sequence[str]) -> int:
    """Find, watch and set up the camera that looks at labels.

    Returns 0 when the camera gives good frames, 1 when it does not, 2 on wrong usage.
    """
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:
        return EXIT_GOOD if stop.code == 0 else EXIT_USAGE
    if options.action == "list":
        return _list()
    from vision.labels.live_camera import LiveCamera

    opened = LiveCamera(options.source)
    try:
        if options.action == "watch":
            return _watch(opened, options.seconds, as_json=options.json)
        return _focus(opened, options.seconds)
    except KeyboardInterrupt:
        return EXIT_GOOD
    finally:
        opened.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellwright camera", description=camera.__doc__, allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="cameras by the name that stays theirs at any socket")
    for name, words in (
        ("watch", "say once a second what the camera does"),
        ("focus", "measure how sharp a label is, for the unit's file"),
    ):
        action = actions.add_parser(name, help=words)
        action.add_argument("source", metavar="SOURCE", help="/dev/v4l/by-id/… or the URL of a camera")
        action.add_argument("--seconds", type=_seconds, default=10.0, metavar="N", help="how long at most")
        if name == "watch":
            action.add_argument("--json", action="store_true", help="one JSON object a second")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 3600:
        raise argparse.ArgumentTypeError("1 to 3600 seconds")
    return value


def _list() -> int:
    found = sorted(BY_ID.iterdir()) if BY_ID.is_dir() else []
    for path in found:
        print(path)
    if not found:
        print("No camera is plugged in, or this user may not see it.", file=sys.stderr)
    return EXIT_GOOD if found else EXIT_FAULT


def _watch(opened: LiveCamera, seconds: float, *, as_json: bool) -> int:
    from vision.labels.focus import focus_of

    ends, good = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        second_ends = min(ends, time.monotonic() + 1)
        frames, newest = 0, None
        for frame in opened.frames(second_ends):
            frames, newest = frames + 1, frame
        sharp = None if newest is None else focus_of(newest.gray)
        state = opened.state if frames or opened.state != "live" else "stale"
        good = good + 1 if frames else 0
        line: dict[str, object] = {
            "state": state,
            "frames_a_second": frames,
            "size_px": None if newest is None else [newest.gray.shape[1], newest.gray.shape[0]],
            "focus": None if sharp is None else round(sharp, 3),
        }
        print(json.dumps(line) if as_json else _words(line), flush=True)
    return EXIT_GOOD if good else EXIT_FAULT


def _words(line: dict[str, object]) -> str:
    size = line["size_px"]
    shown = f"{size[0]} x {size[1]} px" if isinstance(size, list) else "no picture"
    focus = "no label in view" if line["focus"] is None else f"focus {line['focus']}"
    return f"{line['state']:9} {line['frames_a_second']:3} frames a second  {shown}  {focus}"


def _focus(opened: LiveCamera, seconds: float) -> int:
    from statistics import median

    from vision.labels.focus import focus_of

    found: list[float] = []
    for frame in opened.frames(time.monotonic() + seconds):
        sharp = focus_of(frame.gray)
        if sharp is not None:
            found.append(sharp)
        if len(found) == FOCUS_FRAMES:
            break
    if len(found) < FOCUS_FRAMES:
        print(
            f"No label was in view long enough (camera: {opened.state}). Hold a printed label where labels "
            "are shown and run this again.",
            file=sys.stderr,
        )
        return EXIT_FAULT
    print(f"focus_baseline = {median(found):.3f}  # in [station] of the unit's file")
    return EXIT_GOOD
