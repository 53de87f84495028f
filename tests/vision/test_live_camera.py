"""Stories of a plugged-in camera: read live, frozen, covered, stalled, pulled out and put back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_scenes import DIN, OTHER_DIN, bars, on_paper
from net_camera import NetCamera, net_camera

from vision.labels.camera_command import camera
from vision.labels.focus import focus_of, is_soft
from vision.labels.frames import SourceGone
from vision.labels.live_camera import Capture, LiveCamera, camera_at
from vision.labels.live_scan import scan_source
from vision.labels.locate import Gray
from vision.labels.scan_command import scan
from vision.labels.torch import Torch

BARS = ("code128",)
PATIENCE_S = 15.0


@pytest.fixture
def far() -> Iterator[NetCamera]:
    with net_camera(on_paper(bars(DIN), 640, 480)) as started:
        yield started


@pytest.fixture
def near(far: NetCamera) -> Iterator[LiveCamera]:
    opened = LiveCamera(far.url)
    next(opened.frames(time.monotonic() + PATIENCE_S))
    yield opened
    opened.close()


def until(what: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.02)


def texts(line: dict[str, object]) -> list[str]:
    symbols = line["symbols"]
    assert isinstance(symbols, list)
    return [each["text"] for each in symbols if each["confirmed"]]


@pytest.mark.requirement("F-001")
def test_a_label_held_before_the_camera_is_read_and_the_frame_is_kept(far: NetCamera, tmp_path: Path) -> None:
    line = scan_source(far.url, BARS, 10_000, None, tmp_path)

    assert texts(line) == [DIN]
    assert Path(str(line["image"])).parent == tmp_path
    camera_at(far.url).close()


def test_each_frame_is_given_once_and_only_the_newest(near: LiveCamera) -> None:
    names = []
    for frame in near.frames(time.monotonic() + 1.0):
        names.append(frame.name)
        time.sleep(0.12)  # slower than the camera: frames in between are dropped

    assert len(set(names)) == len(names)
    assert 4 <= len(names) <= 9


def test_a_label_taken_away_between_two_scans_is_not_read_again(far: NetCamera, tmp_path: Path) -> None:
    assert texts(scan_source(far.url, BARS, 10_000, None, tmp_path)) == [DIN]
    far.scene = on_paper(bars(OTHER_DIN), 640, 480)
    time.sleep(0.3)

    assert texts(scan_source(far.url, BARS, 10_000, None, tmp_path)) == [OTHER_DIN]
    camera_at(far.url).close()


def test_a_frozen_camera_is_noticed_and_opened_again(far: NetCamera, near: LiveCamera) -> None:
    opened = far.openings
    far.frozen = True
    until(lambda: near.state == "frozen")

    assert near.trouble() == "camera_frozen"
    far.frozen = False
    next(near.frames(time.monotonic() + PATIENCE_S))
    assert far.openings > opened


@pytest.mark.requirement("F-001")
def test_a_camera_that_froze_an_instant_ago_does_not_read_the_label_before(
    far: NetCamera, tmp_path: Path
) -> None:
    assert texts(scan_source(far.url, BARS, 10_000, None, tmp_path)) == [DIN]
    far.frozen = True
    time.sleep(0.3)  # its last frames are out; too short to know by the clock that it is frozen
    far.scene = on_paper(bars(OTHER_DIN), 640, 480)

    assert texts(scan_source(far.url, BARS, 900, None, tmp_path)) == []
    camera_at(far.url).close()


def test_a_driver_that_breaks_while_it_opens_is_asked_again() -> None:
    openings = []

    def breaks(device: str) -> Capture:
        openings.append(device)
        raise cv2.error("the driver broke")

    broken = LiveCamera("http://nowhere", opening=breaks)
    until(lambda: len(openings) >= 3)
    broken.close()

    assert broken.trouble() == "camera_unplugged"


@pytest.mark.parametrize("scene", [np.zeros((480, 640), np.uint8), np.full((480, 640), 254, np.uint8)])
def test_a_capped_or_blinded_camera_says_so_and_gives_no_frame(
    far: NetCamera, near: LiveCamera, scene: Gray
) -> None:
    far.scene = scene
    until(lambda: near.state == "dark")

    assert list(near.frames(time.monotonic() + 0.3)) == []
    assert near.trouble() == "camera_dark"


def test_a_camera_that_stalls_is_noticed_and_read_again_when_it_comes_back(
    far: NetCamera, near: LiveCamera
) -> None:
    far.stalled = True
    until(lambda: near.state == "stale")
    far.stalled = False

    assert next(near.frames(time.monotonic() + PATIENCE_S)).gray.shape == (480, 640)


@pytest.mark.requirement("F-001")
def test_a_camera_pulled_out_in_mid_scan_is_told_and_reads_on_when_it_is_back(
    far: NetCamera, tmp_path: Path
) -> None:
    far.scene = np.full((480, 640), 128, np.uint8)
    far.scene[:, ::40] = 90  # something to see, and no label
    said: list[dict[str, object]] = []
    scan = threading.Thread(target=lambda: said.append(scan_source(far.url, BARS, 4000, None, tmp_path)))
    scan.start()
    until(lambda: far.openings > 0)
    time.sleep(0.5)
    far.unplug()
    scan.join(PATIENCE_S)

    assert texts(said[0]) == []
    until(lambda: camera_at(far.url).state == "unplugged")
    assert scan_source(far.url, BARS, 200, None)["reasons"] == ["camera_unplugged"]

    far.scene = on_paper(bars(DIN), 640, 480)
    far.plug_in()
    assert texts(scan_source(far.url, BARS, 12_000, None, tmp_path)) == [DIN]
    camera_at(far.url).close()


def test_a_camera_that_never_comes_back_from_a_read_is_left_behind_and_the_unit_told() -> None:
    released = threading.Event()

    class Stuck:
        def read(self) -> tuple[bool, None]:
            released.wait(30)
            return False, None

        def release(self) -> None:
            released.set()

    stuck = LiveCamera("http://nowhere", opening=lambda device: Stuck())
    began = time.monotonic()
    try:
        assert list(stuck.frames(began + 0.5)) == []
        assert stuck.trouble() == "camera_opening"
    finally:
        released.set()
        stuck.close()
    assert time.monotonic() - began < 5
    with pytest.raises(SourceGone, match="was closed"):
        next(stuck.frames(time.monotonic() + 1))


def test_a_device_that_is_not_there_is_named_as_such() -> None:
    line = scan_source("/dev/v4l/by-id/no-such-camera", BARS, 700, None)

    assert line["reasons"] == ["camera_unplugged"]
    camera_at("/dev/v4l/by-id/no-such-camera").close()


def test_the_light_is_on_while_labels_are_looked_for_and_off_afterwards(
    far: NetCamera, tmp_path: Path
) -> None:
    brightness = tmp_path / "brightness"
    opened = LiveCamera(far.url, torch=Torch(brightness))

    next(opened.frames(time.monotonic() + PATIENCE_S))
    assert brightness.read_text() == "255\n"

    opened.close()
    assert brightness.read_text() == "0\n"


def test_a_light_that_does_not_obey_is_told_and_stops_nothing(tmp_path: Path) -> None:
    torch = Torch(tmp_path / "gone" / "brightness")

    torch.switch(on=True)

    assert "cannot be switched" in torch.fault


def test_a_soft_label_is_known_by_what_the_camera_gave_at_set_up() -> None:
    sharp = on_paper(bars(DIN), 640, 480)
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 3.5), np.uint8)
    baseline = focus_of(sharp)

    assert baseline is not None
    assert not is_soft(sharp, baseline)
    assert is_soft(soft, baseline)
    assert not is_soft(soft, 0.0), "nobody measured the camera: nothing to compare with"


def test_the_scan_command_reads_a_camera_and_says_what_the_label_means(
    far: NetCamera, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scan(["--video", far.url, "--keep", str(tmp_path), "--formats", "code128", "--json"]) == 0

    line = json.loads(capsys.readouterr().out)
    assert line["symbols"][0]["meaning"]["standard"] == "ISBT 128"
    assert Path(line["frame"]).exists()
    camera_at(far.url).close()

    assert scan(["--video", str(tmp_path / "nothing.avi")]) == 2
    with pytest.raises(SystemExit):
        scan([])


def test_the_command_watches_a_camera_and_measures_its_focus(
    far: NetCamera, capsys: pytest.CaptureFixture[str]
) -> None:
    assert camera(["watch", far.url, "--seconds", "3", "--json"]) == 0
    assert '"state": "live"' in capsys.readouterr().out

    assert camera(["focus", far.url]) == 0
    assert capsys.readouterr().out.startswith("focus_baseline = ")
