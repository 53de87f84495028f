"""What a person sees while aiming: the newest frame, what to change, and nothing once the scan is over."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_scenes import DIN, PRODUCT, bars, on_paper
from net_camera import NetCamera, net_camera
from PIL import Image

from vision.labels import live_scan
from vision.labels.aiming import AimingPicture
from vision.labels.frames import Frame
from vision.labels.live_camera import camera_at
from vision.labels.live_scan import scan_source
from vision.labels.locate import Gray

BARS = ("code128",)
PATIENCE_S = 15.0


@pytest.fixture
def far() -> Iterator[NetCamera]:
    with net_camera(np.full((480, 640), 90, np.uint8)) as started:
        yield started
        camera_at(started.url).close()


def said_in(path: Path) -> dict[str, Any]:
    """The comment line of the picture; the file is whole whenever it is there."""
    head = path.read_bytes().split(b"\n", 3)
    assert head[0] == b"P5"
    said: dict[str, Any] = json.loads(head[1].removeprefix(b"# "))
    return said


def seen(path: Path, ends: float) -> list[dict[str, Any]]:
    """Everything that the file said until then, each once, with the moment."""
    found: list[dict[str, Any]] = []
    while time.monotonic() < ends:
        try:
            said = said_in(path)
        except FileNotFoundError:
            said = {}
        if said and (not found or said["number"] != found[-1]["number"]):
            found.append(said | {"at": time.monotonic()})
        time.sleep(0.01)
    return found


def scanning(far: NetCamera, path: Path, out: list[dict[str, Any]], **more: Any) -> threading.Thread:
    pixels = more.pop("pixels", True)
    work = lambda: out.append(  # noqa: E731
        scan_source(
            far.url,
            BARS,
            8000,
            None,
            path.parent / "evidence",
            aiming=AimingPicture(path, pixels=pixels),
            **more,
        )
    )
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.requirement("F-001", "F-003")
def test_the_newest_frame_is_shown_four_times_a_second_and_is_gone_when_the_label_is_read(
    far: NetCamera, tmp_path: Path
) -> None:
    path, out = tmp_path / "aiming.pgm", list[dict[str, Any]]()
    next(camera_at(far.url).frames(time.monotonic() + PATIENCE_S))
    scan = scanning(far, path, out)
    found = seen(path, time.monotonic() + 1.2)
    picture = Image.open(path)
    picture.load()
    far.scene = on_paper(bars(DIN), 640, 480)
    scan.join(PATIENCE_S)

    assert len(found) >= 4
    assert max(later["at"] - one["at"] for one, later in itertools.pairwise(found)) < 1.0
    assert picture.size == (192, 144) and abs(float(np.asarray(picture).mean()) - 90) < 6
    assert found[-1]["hints"] == ["no_symbol"]
    assert [each["text"] for each in out[0]["symbols"]] == [DIN]
    assert [each.name for each in tmp_path.iterdir()] == ["evidence"]


@pytest.mark.requirement("F-001")
def test_at_the_patients_side_no_pixel_is_written_only_outlines_and_words(
    far: NetCamera, tmp_path: Path
) -> None:
    far.scene = on_paper(bars(DIN, 1), 640, 480)  # seen, and too far away to be read twice
    path, out = tmp_path / "aiming.pgm", list[dict[str, Any]]()
    next(camera_at(far.url).frames(time.monotonic() + PATIENCE_S))
    scan = scanning(far, path, out, pixels=False, cancelled=lambda: time.monotonic() > ends)
    ends = time.monotonic() + 0.6
    sizes = set()
    while time.monotonic() < ends:
        if path.exists():
            sizes.add(path.read_bytes().split(b"\n")[2])
        time.sleep(0.02)
    scan.join(PATIENCE_S)

    assert sizes == {b"1 1"}


@pytest.mark.soak  # the engine's own story says the same in `make test`
@pytest.mark.requirement("F-001")
def test_a_scan_ends_when_the_person_ends_it_and_nothing_is_read(far: NetCamera, tmp_path: Path) -> None:
    path, out, told = tmp_path / "aiming.pgm", list[dict[str, Any]](), threading.Event()
    next(camera_at(far.url).frames(time.monotonic() + PATIENCE_S))
    scan = scanning(far, path, out, cancelled=told.is_set)
    seen(path, time.monotonic() + 0.5)
    told.set()
    began = time.monotonic()
    scan.join(PATIENCE_S)

    assert time.monotonic() - began < 1.0
    assert (out[0]["symbols"], out[0]["reasons"]) == ([], ["cancelled"])
    assert not path.exists()


@pytest.mark.soak  # the same
@pytest.mark.requirement("F-001")
def test_a_camera_pulled_out_in_mid_scan_ends_it_within_two_seconds_with_nothing_read(
    far: NetCamera, tmp_path: Path
) -> None:
    path, out = tmp_path / "aiming.pgm", list[dict[str, Any]]()
    next(camera_at(far.url).frames(time.monotonic() + PATIENCE_S))
    scan = scanning(far, path, out)
    seen(path, time.monotonic() + 0.5)
    far.unplug()
    began = time.monotonic()
    found = seen(path, began + 1.0)
    scan.join(PATIENCE_S)
    took_s = time.monotonic() - began

    assert took_s < 2.0
    assert out[0]["symbols"] == [] and out[0]["reasons"][0].startswith("camera_")
    assert found[-1]["hints"][0].startswith("camera_") and not found[-1]["pixels"]

    far.plug_in()
    far.scene = on_paper(bars(DIN), 640, 480)
    again = scan_source(far.url, BARS, 8000, None, tmp_path / "evidence")
    assert [each["text"] for each in again["symbols"]] == [DIN]


class Held:
    """A label that comes into view piece by piece, as a hand lifts it."""

    def __init__(self, scenes: list[Gray]) -> None:
        self._scenes = scenes

    def frames(self, deadline: float, ended: Callable[[], bool] = lambda: False) -> Iterator[Frame]:
        grain = np.random.default_rng(3)
        for number, scene in enumerate(self._scenes):
            noisy = np.clip(scene + grain.normal(0, 2, scene.shape), 0, 255).astype(np.uint8)
            yield Frame(noisy, "", f"{number:03d}")

    def trouble(self) -> str:
        return "no_picture"


@pytest.mark.requirement("F-004")
def test_a_label_whose_second_symbol_comes_into_view_later_is_read_whole() -> None:
    part = np.full((480, 720), 235, np.uint8)
    part[60:150, 60 : 60 + bars(DIN).shape[1]] = bars(DIN)
    whole = part.copy()
    whole[280:370, 60 : 60 + bars(PRODUCT).shape[1]] = bars(PRODUCT)

    used = live_scan._used(
        Held([part] * 4 + [whole] * 10), BARS, time.monotonic() + 60, None, None, lambda: False
    )

    assert used is not None
    assert {each.text for each in used[1].symbols if each.confirmed} == {DIN, PRODUCT}
