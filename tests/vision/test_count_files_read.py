"""Any bytes in, one result out: files that are no pictures, and pictures of odd kinds."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.counting.count_images import count_file
from vision.counting.method import Scale
from vision.picture_file import PictureUnreadable, read_grey

PATCH = Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan" / "ldc_0001.png"
SCALE = Scale(um_per_px=0.6)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_file_gives_a_result_and_never_a_crash(tmp_path_factory, data):
    whole = PATCH.read_bytes()
    kept = data.draw(st.integers(0, len(whole)))
    flips = data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 255)), max_size=6))
    damaged = bytearray(whole[:kept])
    for place, mask in flips:
        if place < kept:
            damaged[place] ^= mask
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(bytes(damaged))

    result = count_file(path, scale=SCALE)

    assert result.verdict in ("counted", "repeat", "refused")
    assert (result.reasons == ("unreadable",)) <= (result.verdict == "refused")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(content=st.binary(max_size=400))
def test_bytes_that_are_no_picture_are_unreadable(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "content.png"
    path.write_bytes(content)

    result = count_file(path, scale=SCALE)

    assert result.reasons == ("unreadable",)
    assert result.words.endswith("Take it again.")


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_what_is_no_file_is_unreadable(tmp_path, name):
    assert count_file(tmp_path / name, scale=SCALE).reasons == ("unreadable",)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
    (tmp_path / "bomb.png").write_bytes(bomb + chunk(b"IEND", b""))

    with pytest.raises(PictureUnreadable):
        read_grey(tmp_path / "bomb.png")


def test_one_picture_in_every_usual_packing_gives_one_count(tmp_path):
    grey = read_grey(PATCH).grey.astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "rgb.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(grey).save(tmp_path / "grey.tif")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "sixteen.png")

    cells = [count_file(path, scale=SCALE).cells for path in sorted(tmp_path.iterdir())]

    assert len(cells[0]) > 0
    assert all(each == cells[0] for each in cells)


@pytest.mark.parametrize("mode", ["F", "CMYK"])
def test_kinds_without_plain_grey_levels_are_refused(tmp_path, mode):
    Image.fromarray(read_grey(PATCH).grey.astype(np.uint8)).convert(mode).save(tmp_path / "odd.tif")

    with pytest.raises(PictureUnreadable, match="Save it as grey or RGB PNG"):
        read_grey(tmp_path / "odd.tif")


def test_a_picture_of_a_few_pixels_is_refused(tmp_path):
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(tmp_path / "dot.png")

    assert count_file(tmp_path / "dot.png", scale=SCALE).reasons == ("unreadable",)
