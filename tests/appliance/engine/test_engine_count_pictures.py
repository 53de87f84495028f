"""The pictures of a count lie where nothing but the engine put them, under its own names."""

from __future__ import annotations

from pathlib import Path

from appliance.engine import counting

PNG, JPEG, TIFF = b"\x89PNG\r\n", b"\xff\xd8\xff\xe0", b"II*\x00"
STATION = {"um_per_px": "0.6", "field_depth_um": "100", "dilution": "2", "scale": "calibrated"}


def test_copies_have_names_that_tell_replicate_field_and_kind_and_nothing_of_where_they_came_from(
    tmp_path: Path,
) -> None:
    pictures = [(1, lambda: PNG), (1, lambda: JPEG), (2, lambda: TIFF), (2, lambda: b"text")]

    paths = counting.laid_out(tmp_path / "counts" / "C1", pictures)

    assert [path.name for path in paths] == [
        "replicate-1-field-001.png",
        "replicate-1-field-002.jpg",
        "replicate-2-field-001.tif",
        "replicate-2-field-002",
    ]
    assert [path.read_bytes() for path in paths] == [PNG, JPEG, TIFF, b"text"]


def test_a_chamber_is_told_to_the_counting_program_only_where_the_station_names_one(tmp_path: Path) -> None:
    plain = counting.request([], "trypan-blue", STATION, folder=tmp_path, simulated=False)
    named = counting.request(
        [], "trypan-blue", STATION | {"chamber": "neubauer-improved"}, folder=tmp_path, simulated=False
    )

    assert "chamber" not in plain
    assert named["chamber"] == "neubauer-improved"
    assert (named["um_per_px"], named["dilution"]) == ("0.6", "2")
