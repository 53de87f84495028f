"""Stories of live sources: newest picture, end of a video, frames that agree and frames that do not."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_scenes import DIN, OTHER_DIN, PRODUCT, bars, matrix, on_paper, turned

from vision.labels.agreement import Symbol
from vision.labels.frames import SourceGone
from vision.labels.live_reading import LiveReading
from vision.labels.live_scan import scan_source
from vision.labels.locate import Gray
from vision.labels.sources import PictureFolder, VideoFile, open_source
from vision.labels.symbols import FrameRead

BARS = ("code128",)


def put(folder: Path, name: str, scene: Gray) -> Path:
    part = folder / f"{name}.part"
    good, data = cv2.imencode(".png", scene)
    assert good
    part.write_bytes(data.tobytes())
    return part.rename(folder / f"{name}.png")


def video(path: Path, scenes: list[Gray]) -> Path:
    height, width = scenes[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height))
    for scene in scenes:
        writer.write(cv2.cvtColor(scene, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def texts(line: dict[str, object]) -> list[str]:
    symbols = line["symbols"]
    assert isinstance(symbols, list)
    return [each["text"] for each in symbols if each["confirmed"]]


def test_the_newest_picture_of_a_folder_is_read(tmp_path: Path) -> None:
    put(tmp_path, "first", on_paper(bars(OTHER_DIN)))
    time.sleep(0.03)
    newest = put(tmp_path, "a-second", on_paper(bars(DIN)))

    line = scan_source(str(tmp_path), BARS, 2000, None)

    assert texts(line) == [DIN]
    assert line["image"] == str(newest)


def test_a_picture_that_was_there_before_is_not_looked_at(tmp_path: Path) -> None:
    old = put(tmp_path, "old", on_paper(bars(OTHER_DIN)))
    time.sleep(0.05)

    line = scan_source(str(tmp_path), BARS, 120, time.time())

    assert line["image"] == ""
    assert line["reasons"] == ["no_picture"]
    assert old.exists()


def test_a_picture_that_was_used_is_not_used_again(tmp_path: Path) -> None:
    for number in range(8):
        used = put(tmp_path, f"frame-{number}", on_paper(bars(DIN), 500, 200))
        # All decimals of the clock, as they come.
        at_ns = 1_795_000_000_123_456_000 + number * 10_000_123
        os.utime(used, ns=(at_ns, at_ns))
        assert texts(scan_source(str(tmp_path), BARS, 2000, None)) == [DIN]

        again = scan_source(str(tmp_path), BARS, 60, float(f"{used.stat().st_mtime:.6f}"))

        assert again["reasons"] == ["no_picture"]


def test_an_unreadable_newest_picture_is_not_answered_by_an_older_one(tmp_path: Path) -> None:
    shown_after = time.time() - 1
    put(tmp_path, "older", on_paper(bars(OTHER_DIN)))
    time.sleep(0.03)
    (tmp_path / "newer.png").write_bytes(b"half a pic")

    line = scan_source(str(tmp_path), BARS, 150, shown_after)

    assert line["symbols"] == []
    assert line["reasons"] == ["no_picture"]


def test_a_half_written_picture_is_waited_for(tmp_path: Path) -> None:
    import threading

    good, data = cv2.imencode(".png", on_paper(bars(DIN)))
    assert good
    path = tmp_path / "slow.png"
    path.write_bytes(data.tobytes()[:20])
    writer = threading.Timer(0.25, path.write_bytes, [data.tobytes()])
    writer.start()

    line = scan_source(str(tmp_path), BARS, 5000, None)

    writer.join()
    assert texts(line) == [DIN]


def test_two_different_bags_shown_in_one_scan_are_a_conflict(tmp_path: Path) -> None:
    shown_after = time.time() - 1
    put(tmp_path, "one", on_paper(bars(OTHER_DIN)))
    time.sleep(0.03)
    put(tmp_path, "two", on_paper(bars(DIN)))

    line = scan_source(str(tmp_path), BARS, 2000, shown_after)

    assert texts(line) == []
    assert line["reasons"] == ["conflict"]


def test_a_video_is_read_when_two_frames_agree_and_the_frame_is_kept(tmp_path: Path) -> None:
    empty = np.full((760, 760), 200, dtype=np.uint8)
    scenes = [empty, *(turned(on_paper(bars(DIN)), angle) for angle in (2, 4, 6))]
    path = video(tmp_path / "bag.avi", scenes)

    line = scan_source(str(path), BARS, 30_000, None, tmp_path / "evidence")

    assert texts(line) == [DIN]
    assert Path(str(line["image"])).parent == tmp_path / "evidence"
    assert Path(str(line["image"])).stat().st_size > 1000


def test_the_end_of_a_video_is_an_end_and_a_missing_source_is_gone(tmp_path: Path) -> None:
    path = video(tmp_path / "short.avi", [on_paper(matrix(DIN))] * 3)

    frames = list(VideoFile(path).frames(time.monotonic() + 10))

    assert len(frames) == 3
    with pytest.raises(SourceGone):
        open_source(str(tmp_path / "unplugged"), None)
    with pytest.raises(SourceGone):
        list(PictureFolder(tmp_path / "unplugged", None).frames(time.monotonic() + 0.2))
    (tmp_path / "noise.avi").write_bytes(b"no video")
    with pytest.raises(SourceGone):
        list(VideoFile(tmp_path / "noise.avi").frames(time.monotonic() + 0.2))


def frame(
    *payloads: tuple[str, int], reasons: tuple[str, ...] = ("not_confirmed",), sure: bool = False
) -> FrameRead:
    """A reading with unconfirmed bars at the given heights."""
    found = []
    for text, top in payloads:
        corners = np.array([(0, top), (300, top), (300, top + 60), (0, top + 60)], dtype=np.float32)
        found.append(Symbol("code128", text, text.encode(), "]C0", corners, sure, ("zxing:whole",)))
    return FrameRead(tuple(found), reasons, 1.0)


def confirmed_after(*frames: FrameRead) -> list[str]:
    live = LiveReading()
    judged = FrameRead((), (), 0.0)
    for number, each in enumerate(frames):
        judged = live.add(np.full((4, 4), number, dtype=np.uint8), each)
    return [each.text for each in judged.symbols if each.confirmed]


def test_one_frame_is_not_enough_and_two_are() -> None:
    assert confirmed_after(frame((DIN, 0))) == []
    assert confirmed_after(frame((DIN, 0)), frame((DIN, 40))) == [DIN]


def test_a_differing_frame_among_the_last_five_takes_the_reading_back() -> None:
    assert confirmed_after(frame((DIN, 0)), frame((OTHER_DIN, 0)), frame((DIN, 0))) == []
    quiet = [frame() for _ in range(5)]
    assert confirmed_after(frame((OTHER_DIN, 0)), *quiet, frame((DIN, 0)), frame((DIN, 0))) == [DIN]


def test_a_still_that_was_sure_is_taken_back_by_a_differing_frame() -> None:
    assert confirmed_after(frame((OTHER_DIN, 0)), frame((DIN, 0), sure=True, reasons=())) == []


def test_two_symbols_of_one_label_do_not_contradict_each_other() -> None:
    both = frame((DIN, 0), (PRODUCT, 200))

    assert confirmed_after(both, frame((DIN, 0)), both) == [DIN, PRODUCT]


def test_a_frozen_camera_gives_no_second_look() -> None:
    live = LiveReading()
    content = np.full((4, 4), 9, dtype=np.uint8)

    live.add(content, frame((DIN, 0)))
    judged = live.add(content, frame((DIN, 0)))

    assert not any(each.confirmed for each in judged.symbols)
