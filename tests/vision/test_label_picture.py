"""Stories of drawn labels: what is on them, read back from any side, and what is never drawn."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from label_scenes import ALL_TEMPLATES, BAG, COMPOUND, DIN, DOSE, OTHER_DIN, PRODUCT, label, turned

from vision.labels.label_picture import LabelNotDrawn, draw_label, render_label
from vision.labels.label_template import shipped_templates
from vision.labels.symbols import load_gray, read_symbols


@pytest.mark.parametrize("template", sorted(ALL_TEMPLATES))
@pytest.mark.parametrize("angle", [0, 24, 90, 205])
def test_every_label_is_read_back_and_confirmed_at_any_angle(template: str, angle: int) -> None:
    read = read_symbols(turned(label(template), angle), ("code128", "datamatrix"), budget_ms=60_000)

    drawn = draw_label(template, ALL_TEMPLATES[template])
    assert sorted(each.text for each in read.symbols if each.confirmed) == sorted(drawn.symbols)
    # The test of a print head has two square symbols on purpose.
    assert set(read.reasons) <= ({"two_labels"} if template == "print_test" else set())


def test_every_template_has_its_story() -> None:
    assert set(ALL_TEMPLATES) == set(shipped_templates())


def test_the_same_fields_give_the_same_bytes_and_other_fields_do_not() -> None:
    once, again = draw_label("dose", DOSE), draw_label("dose", DOSE)
    other = draw_label("dose", DOSE | {"volume_readable": "31.0 mL"})

    assert once.png == again.png
    assert once.sha256 != other.sha256
    assert once.symbols == (DIN, PRODUCT, COMPOUND)


def test_a_simulated_label_says_so_in_large_bands_and_still_reads() -> None:
    plain = cv2.imdecode(np.frombuffer(draw_label("bag", BAG).png, np.uint8), cv2.IMREAD_GRAYSCALE)
    data = draw_label("bag", BAG | {"simulated": "true"}).png
    simulated = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)

    def bands(image: np.ndarray) -> int:
        return int((image[:, :40] == 0).all(axis=1).sum())

    assert bands(plain) == 0
    assert bands(simulated) >= 120
    texts = {each.text for each in read_symbols(np.asarray(simulated, dtype=np.uint8)).symbols}
    assert texts == {DIN, PRODUCT, COMPOUND}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"din_text": ""}, "din_text"),
        ({"expiry_readable": "x" * 200}, "expiry_readable"),
        ({"product_readable": "line\nbreak"}, "product_readable"),
        ({"expiry_readable": "雪"}, "expiry_readable"),
        ({"expiry_readable": "W" * 110}, "too long for its place"),
        ({"colour": "red"}, "colour"),
        ({"simulated": "yes"}, "simulated"),
        ({"compound_text": "=" * 3000}, "cannot be written"),
    ],
)
def test_what_cannot_be_printed_as_ordered_is_not_drawn(change: dict[str, str], words: str) -> None:
    with pytest.raises(LabelNotDrawn, match=words):
        draw_label("bag", BAG | change)


def test_a_missing_field_and_an_unknown_template_are_named() -> None:
    with pytest.raises(LabelNotDrawn, match="without din_readable"):
        draw_label("bag", {name: value for name, value in BAG.items() if name != "din_readable"})
    with pytest.raises(LabelNotDrawn, match="wristband"):
        draw_label("poster", BAG)


def test_a_refused_label_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(LabelNotDrawn):
        render_label("bag", BAG | {"simulated": "perhaps"}, tmp_path / "bag.png")

    assert list(tmp_path.iterdir()) == []


def test_a_rendered_file_holds_the_bytes_of_its_hash(tmp_path: Path) -> None:
    picture = render_label("bag", BAG | {"din_text": OTHER_DIN}, tmp_path / "labels" / "bag.png")

    path = tmp_path / "labels" / "bag.png"
    assert path.read_bytes() == picture.png
    assert OTHER_DIN in {each.text for each in read_symbols(load_gray(path)).symbols}
    assert [each.name for each in path.parent.iterdir()] == ["bag.png"]
