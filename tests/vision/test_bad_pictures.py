"""Bad pictures: a clear refusal in bounded time and memory, and odd but honest ones read as they are."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bad_pictures import write_all
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.picture_file import PIXELS_MAX, PictureUnreadable, read_grey

ROOT = Path(__file__).parents[2]
# Python, OpenCV and Pillow alone map about 1 GB; a bomb let through would need 3.6 GB and more.
ADDRESS_SPACE_BYTES = 2_500_000_000
READ_ALL_IN_BOUNDS = """
import json, resource, sys, time
from pathlib import Path
from vision.picture_file import PictureUnreadable, read_grey
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in json.load(sys.stdin):
    began = time.perf_counter()
    try:
        read_grey(Path(path))
        words = ""
    except PictureUnreadable as error:
        words = str(error)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    print(json.dumps([path, words, time.perf_counter() - began, grown_kb]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    paths = write_all(tmp_path_factory.mktemp("bad"))
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL_IN_BOUNDS, str(ADDRESS_SPACE_BYTES)],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(paths)
    return lines


@pytest.mark.requirement("F-043")
def test_every_bad_file_is_refused_in_words_that_say_what_to_do(answers):
    told = {Path(path).name: words for path, words, _, _ in answers}

    # Pillow follows a circle of pages once and finds one whole picture in it.
    assert {name for name, words in told.items() if not words} <= {"circle.tif"}
    assert all(words.rstrip(".").count(".") >= 1 for name, words in told.items() if words)


def test_no_bad_file_takes_long_or_much_memory(answers):
    assert max(seconds for _, _, seconds, _ in answers) < 5
    assert max(grown_kb for _, _, _, grown_kb in answers) < 200_000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wide.png", "too large"),
        ("huge.png", "too large"),
        ("one_pixel.png", "too small"),
        ("nan.tif", "is a F picture"),
        ("cmyk.jpg", "is a CMYK picture"),
        ("half_clear.png", "partly transparent"),
        ("pages.tif", "several pictures"),
        ("moving.gif", "several pictures"),
        ("moving.png", "several pictures"),
        ("empty.png", "is empty"),
        ("pipe.png", "no file of a picture"),
        ("zero", "no file of a picture"),
        ("to_zeros.png", "no file of a picture"),
    ],
)
def test_the_words_name_what_is_wrong(answers, name, words):
    assert words in {Path(path).name: told for path, told, _, _ in answers}[name]


def _written(path: Path, levels: np.ndarray, **options: object) -> Path:
    Image.fromarray(levels).save(path, **options)
    return path


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_camera_of_fewer_bits_in_a_file_of_sixteen_is_as_bright_as_one_of_eight(tmp_path, bits):
    grey = np.linspace(0, 255, 64 * 64).reshape(64, 64)
    levels = np.round(grey / 255 * (2**bits - 1)).astype(np.uint16)

    for name in ("narrow.png", "narrow.tif"):
        picture = read_grey(_written(tmp_path / name, levels))
        assert picture.bit_depth == bits
        assert np.abs(picture.grey - grey).max() < 0.51


def test_bytes_in_a_file_of_sixteen_bits_are_the_same_picture(tmp_path):
    levels = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    levels[0, 0] = 255

    eight = read_grey(_written(tmp_path / "8.png", levels))
    sixteen = read_grey(_written(tmp_path / "16.png", levels.astype(np.uint16)))

    assert np.array_equal(eight.grey, sixteen.grey)


def test_big_ends_first_reads_the_same(tmp_path):
    levels = np.random.default_rng(2).integers(0, 65536, (64, 64), np.uint16)
    levels[0, 0] = 65535
    Image.frombytes("I;16B", (64, 64), levels.astype(">u2").tobytes()).save(tmp_path / "big.tif")

    assert np.array_equal(
        read_grey(tmp_path / "big.tif").grey, read_grey(_written(tmp_path / "little.png", levels)).grey
    )


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_grey_in_another_packing_is_grey(tmp_path, mode):
    levels = np.random.default_rng(3).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(levels).convert(mode).save(tmp_path / "packed.png")

    picture = read_grey(tmp_path / "packed.png")

    assert np.array_equal(picture.grey, levels)
    assert picture.colours is None


def test_a_picture_named_after_another_format_is_read_by_what_it_holds(tmp_path):
    levels = np.full((64, 64), 90, np.uint8)
    _written(tmp_path / "really.jpg", levels)
    (tmp_path / "really.jpg").rename(tmp_path / "named.png")

    assert abs(float(read_grey(tmp_path / "named.png").grey.mean()) - 90) < 2


def test_a_turned_camera_is_turned_back(tmp_path):
    levels = np.zeros((64, 96), np.uint8)
    levels[:8] = 200
    note = Image.Exif()
    note[0x0112] = 6
    _written(tmp_path / "turned.png", levels, exif=note)

    grey = read_grey(tmp_path / "turned.png").grey

    assert grey.shape == (96, 64)
    assert grey[:, -8:].min() == 200


def test_blue_light_on_a_dark_ground_counts_as_much_as_green(tmp_path):
    light = np.zeros((64, 64, 3), np.uint8)
    light[20:30, 20:30, 2] = 180
    light[40:50, 40:50, 1] = 180

    picture = read_grey(_written(tmp_path / "blue.png", light))

    assert picture.grey[25, 25] == picture.grey[45, 45] == 180
    assert picture.colours is not None


def test_colours_are_measured_and_kept(tmp_path):
    pink = np.full((64, 64, 3), (230, 150, 190), np.uint8)

    picture = read_grey(_written(tmp_path / "pink.png", pink))

    assert picture.colourfulness == pytest.approx(80 / 255, abs=1e-6)
    assert picture.colourfulness_high == pytest.approx(80 / 255, abs=1e-6)
    assert picture.grey[0, 0] == pytest.approx(178, abs=1)


def test_the_largest_picture_allowed_is_read_and_one_row_more_is_not(tmp_path):
    side = round(PIXELS_MAX**0.5)
    assert (
        read_grey(_written(tmp_path / "most.png", np.zeros((side, side), np.uint8))).grey.size == PIXELS_MAX
    )

    with pytest.raises(PictureUnreadable, match="too large"):
        read_grey(_written(tmp_path / "over.png", np.zeros((side + 1, side), np.uint8)))


@settings(derandomize=True, deadline=None, max_examples=120)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM"]),
    data=st.data(),
)
def test_a_damaged_file_of_any_format_is_read_or_refused(tmp_path_factory, kind, data):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(6).integers(0, 256, (40, 50), np.uint8)).save(out, kind)
    damaged = bytearray(out.getvalue())
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, min(len(damaged) - 1, 400)))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.any"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))

    try:
        grey = read_grey(path).grey
    except PictureUnreadable as error:
        assert str(error)
    else:
        assert np.isfinite(grey).all()
        assert 0 <= grey.min() <= grey.max() <= 255
