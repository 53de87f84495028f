"""The look at a field: its kind and its focus, whoever counted in it."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.counting import frame_quality, picture_kind
from vision.counting.method import Cell, Finding, Scale
from vision.counting.training import other_pictures
from vision.picture_file import FieldPicture, field_of, read_grey

DATA = Path(__file__).parents[1] / "data" / "vision"
PATCHES = sorted((DATA / "ldc_trypan").glob("ldc_*.png"))
NUCLEI = sorted((DATA / "dsb2018_fluo" / "images").glob("*.png"))
SIMULATED = DATA / "bbbc005"
UNSCALED = Scale()
# Odds are judged alone here, without any cell found: nothing but the picture's looks may decide.
NOTHING = Finding(())


def _judged(method_id, picture, finding=NOTHING, scale=UNSCALED):
    return frame_quality.judge(method_id, [picture], finding, scale, allow_unscaled=True)


def _field(grey):
    return FieldPicture(np.clip(np.round(grey), 0, 255).astype(np.float32), 8, 0.0)


def _disc(radius_px):
    reach = int(radius_px) + 1
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius_px + 0.5 - np.hypot(rows, columns), 0, 1).astype(np.float32)
    return disc / disc.sum()


def _nuclei_of(path):
    areas = np.bincount(cv2.imread(str(DATA / "dsb2018_fluo" / "labels" / path.name), -1).ravel())[1:]
    radii = np.sqrt(areas[areas > 0] / np.pi)
    # Places do not matter here, but cells that lie apart are no clump.
    return Finding(tuple(Cell(500.0 * n, 9.0, float(r), "nucleus", 1.0, 1.0) for n, r in enumerate(radii)))


@pytest.mark.requirement("F-043")
@pytest.mark.parametrize("family", sorted(other_pictures.FAMILIES))
def test_no_picture_of_another_kind_is_taken_for_trypan_blue(family):
    for number in range(4):
        rng = np.random.default_rng([29, number, *family.encode()])
        picture = field_of(other_pictures.FAMILIES[family](rng, 200, 240))
        judged = _judged("trypan-blue", picture)
        # What is next to an even ground is an empty field to any method, and gives no number.
        assert "not_this_kind" in judged.reasons or judged.quality.contrast < 0.2


def test_a_culture_a_smear_and_a_page_are_refused_at_any_size():
    for family in ("phase_contrast", "blood_smear", "printed_text", "tissue"):
        for side in (128, 500):
            rng = np.random.default_rng([31, side])
            picture = field_of(other_pictures.FAMILIES[family](rng, side, side))
            assert _judged("trypan-blue", picture).verdict == "refused"


def test_patches_of_the_public_set_are_of_their_kind_and_sharp():
    judged = [_judged("trypan-blue", read_grey(path)) for path in PATCHES]
    sent_back = [path.name for path, one in zip(PATCHES, judged, strict=True) if one.verdict != "counted"]

    assert len(PATCHES) >= 90
    assert len(sent_back) <= 0.03 * len(PATCHES)


def test_nuclei_are_of_their_kind_and_sharp():
    judged = [_judged("nuclei", read_grey(path), _nuclei_of(path)) for path in NUCLEI]

    assert len(NUCLEI) >= 10
    assert [one.reasons for one in judged] == [("unknown_scale",)] * len(NUCLEI)


@pytest.mark.parametrize(
    ("how", "strength"), [("gauss", 3), ("gauss", 4), ("gauss", 7), ("disc", 5), ("disc", 8)]
)
def test_every_strongly_defocused_patch_is_called_so(how, strength):
    for path in PATCHES[::3]:
        grey = read_grey(path).grey
        blurred = (
            cv2.GaussianBlur(grey, (0, 0), strength)
            if how == "gauss"
            else cv2.filter2D(grey, cv2.CV_32F, _disc(strength))
        )
        assert "out_of_focus" in _judged("trypan-blue", _field(blurred)).reasons


def test_nuclei_blurred_by_a_fifth_of_their_size_are_called_out_of_focus():
    for path in NUCLEI:
        found = _nuclei_of(path)
        sigma = max(3.0, 0.4 * float(np.median([cell.radius for cell in found.cells])))
        blurred = cv2.GaussianBlur(read_grey(path).grey, (0, 0), sigma)
        assert "out_of_focus" in _judged("nuclei", _field(blurred), found).reasons


def test_the_focus_of_simulated_fields_is_told_by_their_own_blur():
    with (SIMULATED / "images.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = {}
    for row in rows:
        picture = read_grey(SIMULATED / "images" / row["image"])
        diameter = 30 if row["looks_like"] == "nucleus" else 65
        judged = _judged("nuclei", picture, scale=Scale(object_diameter_px=diameter))
        told.setdefault(row["blur_level"], set()).add("out_of_focus" in judged.reasons)

    assert told["48"] == {True}
    assert told["1"] == {False}


def test_each_light_is_refused_by_the_other_lights_method():
    assert all("not_this_kind" in _judged("trypan-blue", read_grey(path)).reasons for path in NUCLEI)
    assert all("not_this_kind" in _judged("nuclei", read_grey(path)).reasons for path in PATCHES[::4])


def test_a_negative_of_nuclei_is_no_field_of_dead_cells():
    for path in NUCLEI:
        negative = _field(255 - read_grey(path).grey)
        assert "not_this_kind" in _judged("trypan-blue", negative).reasons


def test_one_picture_gives_the_same_bits_at_any_number_of_threads():
    picture = read_grey(PATCHES[3])
    before = cv2.getNumThreads()
    looks = []
    for threads in (1, 2, 4):
        cv2.setNumThreads(threads)
        looks.append(picture_kind.look_at(picture, 1.0, kind="brightfield"))
    cv2.setNumThreads(before)

    assert looks[0] == looks[1] == looks[2]


def test_of_a_large_field_a_few_windows_are_looked_at_and_most_where_cells_lie():
    field = _field(np.random.default_rng(8).normal(95, 2, (2048, 2048)))
    places = np.array([[1900.0, 1900.0], [1910.0, 1700.0]], np.float32)

    anywhere = picture_kind.windows_of(field, 1.0)
    field.grey[1890:1910, 1890:1910] = 30
    there = picture_kind.windows_of(field, 1.0, places)

    assert len(anywhere.greys) == picture_kind.WINDOWS_MOST
    assert max(part.size for part in anywhere.greys) <= picture_kind.WINDOW_PX**2
    assert any((part == 30).any() for part in there.greys)


def test_a_judgement_of_a_large_field_takes_few_bytes_a_pixel():
    grey = np.random.default_rng(9).normal(95, 2, (2048, 2048)).astype(np.float32)
    field = FieldPicture(grey, 8, 0.0)
    cells = tuple(Cell(7.0 * n % 2048, 11.0 * n % 2048, 10.0, "live", 1.0, 1.0) for n in range(3000))
    _judged("trypan-blue", field, Finding(cells))

    tracemalloc.start()
    _judged("trypan-blue", field, Finding(cells))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak / grey.size < 12


def test_damaged_weights_are_not_used(tmp_path):
    document = json.loads(picture_kind.MODEL_FILE.read_text(encoding="utf-8"))
    picture_kind.model_from(document)
    document["version"] = "9"

    with pytest.raises(picture_kind.WeightsUnusable, match="Install the software again"):
        picture_kind.model_from(document)
