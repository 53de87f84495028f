"""Stories of a still: what is read, what is confirmed, and what never is."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_scenes import COMPOUND, DIN, OTHER_DIN, PRODUCT, bars, matrix, on_paper, turned

from vision.labels.agreement import Read, agree
from vision.labels.engines import check_formats, read_zbar
from vision.labels.symbols import FrameRead, UnreadableImage, load_gray, read_symbols

LABELS = Path(__file__).parents[1] / "data" / "labels"
FORMATS = {"Code128": "code128", "DataMatrix": "datamatrix", "QRCode": "qr"}


def confirmed(read: FrameRead) -> list[str]:
    return [each.text for each in read.symbols if each.confirmed]


def photos() -> list[dict[str, str]]:
    with (LABELS / "manifest.csv").open(newline="") as rows:
        return list(csv.DictReader(rows))


def right_payloads(photo: dict[str, str]) -> set[bytes]:
    """The payload as published; a leading FNC1 is a mark of GS1 and not data."""
    expected = {bytes.fromhex(photo["expected_hex"])}
    expected |= {bytes.fromhex(each) for each in photo["also_hex"].split(";") if each}
    spoken = {each.replace(b"<GS>", b"\x1d") for each in expected}
    return expected | spoken | {each.lstrip(b"\x1d") for each in spoken}


def test_real_photos_are_read_and_confirmed_and_none_is_confirmed_wrong() -> None:
    missed, wrong = [], []
    for number, photo in enumerate(photos()):
        gray = np.ascontiguousarray(np.rot90(load_gray(LABELS / photo["file"]), number % 4))
        read = read_symbols(gray, budget_ms=60_000)

        expected = right_payloads(photo)
        right = [each for each in read.symbols if {each.data, each.text.encode()} & expected]
        if photo["symbology"] in FORMATS and not any(each.confirmed for each in right):
            missed.append(photo["file"])
        wrong += [photo["file"] for each in read.symbols if each.confirmed and each not in right]

    assert wrong == []
    assert missed == []


@pytest.mark.parametrize("angle", [0, 13, 35, 62, 90, 118, 180, 251])
def test_bars_are_read_and_confirmed_at_any_angle(angle: int) -> None:
    read = read_symbols(turned(on_paper(bars(DIN)), angle), ("code128",), budget_ms=60_000)

    assert confirmed(read) == [DIN]
    assert read.reasons == ()


@pytest.mark.parametrize("angle", [0, 20, 45, 77, 180])
def test_a_matrix_is_confirmed_by_a_second_different_look(angle: int) -> None:
    read = read_symbols(turned(on_paper(matrix(COMPOUND)), angle), ("datamatrix",), budget_ms=60_000)

    assert confirmed(read) == [COMPOUND]
    assert len(set(read.symbols[0].looks)) >= 2
    assert read.symbols[0].symbology_identifier == "]d1"


def test_noise_that_blinds_the_second_engine_is_averaged_away() -> None:
    noise = np.random.default_rng(7).normal(0, 28, (760, 760))
    spoilt = np.clip(turned(on_paper(bars(DIN)), 33) * 0.8 + noise, 0, 255).astype(np.uint8)
    assert read_zbar(spoilt, ("code128",), "whole") == []

    assert confirmed(read_symbols(spoilt, ("code128",), budget_ms=60_000)) == [DIN]


def test_a_format_that_was_not_asked_for_is_not_returned() -> None:
    scene = on_paper(bars(DIN))

    assert read_symbols(scene, ("datamatrix", "qr")).symbols == ()
    with pytest.raises(ValueError, match="ean13"):
        check_formats(["code128", "ean13"])


def test_a_gs1_symbol_keeps_its_separators_and_its_identifier() -> None:
    import zxingcpp

    code = zxingcpp.create_barcode("(10)ABC123(17)261231", zxingcpp.BarcodeFormat.DataMatrix, gs1=True)
    scene = on_paper(np.asarray(code.to_image(scale=6), dtype=np.uint8), 400, 400)

    (symbol,) = read_symbols(scene).symbols

    assert symbol.symbology_identifier == "]d2"
    assert symbol.data == b"10ABC123\x1d17261231"
    assert symbol.confirmed


def test_two_labels_lying_on_one_another_confirm_nothing() -> None:
    # Half of the height says one donation, half the other: each engine may see either of them.
    scene = on_paper(np.vstack([bars(DIN, 3, 60), bars(OTHER_DIN, 3, 60)]))

    for angle in (0, 30):
        read = read_symbols(turned(scene, angle), ("code128",), budget_ms=60_000)

        assert confirmed(read) == []
        assert read.reasons == ("conflict",)


def test_two_bags_side_by_side_are_two_symbols_and_no_conflict() -> None:
    scene = np.vstack([on_paper(bars(DIN), 760, 300), on_paper(bars(OTHER_DIN), 760, 300)])

    read = read_symbols(scene, ("code128",), budget_ms=60_000)

    assert confirmed(read) == [DIN, OTHER_DIN]


def seen(engine: str, look: str, symbology: str, text: str, left: int = 0, top: int = 0) -> Read:
    corners = [(left, top), (left + 300, top), (left + 300, top + 60), (left, top + 60)]
    return Read(engine, look, symbology, text.encode(), text, "]C0", np.array(corners, dtype=np.float32))


def test_the_same_engine_twice_does_not_confirm_bars() -> None:
    found, conflict = agree([seen("zxing", "whole", "code128", DIN), seen("zxing", "bars", "code128", DIN)])

    assert [each.confirmed for each in found] == [False]
    assert not conflict


def test_two_engines_confirm_bars_and_one_differing_look_takes_it_back() -> None:
    two = [seen("zxing", "whole", "code128", DIN), seen("zbar", "whole", "code128", DIN)]
    assert [each.confirmed for each in agree(two)[0]] == [True]

    found, conflict = agree([*two, seen("zxing", "bars, even", "code128", OTHER_DIN)])

    assert [each.confirmed for each in found] == [False, False]
    assert conflict


def test_the_second_engine_contradicts_too() -> None:
    found, conflict = agree(
        [seen("zxing", "whole", "code128", DIN), seen("zbar", "bars", "code128", OTHER_DIN)]
    )

    assert [(each.text, each.confirmed) for each in found] == [(DIN, False)]
    assert conflict


def test_the_second_engine_alone_is_no_read() -> None:
    assert agree([seen("zbar", "whole", "code128", DIN)]) == ([], False)


def test_bars_and_the_matrix_of_one_label_confirm_each_other() -> None:
    reads = [
        seen("zxing", "whole", "code128", DIN),
        seen("zxing", "whole", "code128", PRODUCT, top=200),
        seen("zxing", "whole", "datamatrix", COMPOUND, left=500),
    ]

    said = {each.text: each.confirmed for each in agree(reads)[0]}

    assert said == {DIN: True, PRODUCT: True, COMPOUND: False}


def test_a_matrix_of_another_donation_confirms_no_bars() -> None:
    other = COMPOUND.replace(DIN, OTHER_DIN)
    reads = [seen("zxing", "whole", "code128", DIN), seen("zxing", "whole", "datamatrix", other, left=500)]

    assert not any(each.confirmed for each in agree(reads)[0])


def test_without_the_second_engine_bars_need_their_matrix_and_say_so(tmp_path: Path) -> None:
    for name, scene in (("bars", on_paper(bars(DIN))), ("pair", pair())):
        cv2.imwrite(str(tmp_path / f"{name}.png"), scene)
    # What the wheel does where the system's library is missing: its import fails.
    code = (
        "import sys; sys.modules['pyzbar'] = None\n"
        "from vision.labels.scan_command import scan\n"
        f"sys.exit(scan([r'{tmp_path}/bars.png', r'{tmp_path}/pair.png', '--json']))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)

    alone, paired = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["text"], each["confirmed"]) for each in alone["symbols"]] == [(DIN, False)]
    assert "not_confirmed" in alone["reasons"]
    assert {each["text"] for each in paired["symbols"] if each["confirmed"]} == {DIN, COMPOUND}


def pair() -> np.ndarray:
    return np.hstack([on_paper(bars(DIN), 560, 300), on_paper(matrix(COMPOUND), 300, 300)])


@pytest.mark.parametrize(
    ("reason", "scene"),
    [
        ("no_symbol", np.full((480, 640), 200, dtype=np.uint8)),
        ("dark", (on_paper(bars(DIN), 640, 480) // 100).astype(np.uint8)),
        (
            "blur",
            np.asarray(cv2.GaussianBlur(on_paper(bars(DIN, 3, 160), 640, 480), (0, 0), 6), dtype=np.uint8),
        ),
        (
            "too_far",
            np.asarray(
                cv2.resize(
                    on_paper(bars(DIN, 3, 300), 760, 700),
                    None,
                    fx=0.18,
                    fy=0.18,
                    interpolation=cv2.INTER_AREA,
                )
            ),
        ),
    ],
)
def test_an_unread_frame_says_what_to_change(reason: str, scene: np.ndarray) -> None:
    read = read_symbols(scene, budget_ms=60_000)

    assert confirmed(read) == []
    assert reason in read.reasons


def test_glare_over_the_bars_is_named() -> None:
    scene = (on_paper(bars(DIN, 3, 120), 640, 480) * 0.7).astype(np.uint8)
    for left in (170, 300, 420):
        cv2.circle(scene, (left, 240), 62, 255, -1)

    read = read_symbols(scene, budget_ms=60_000)

    assert confirmed(read) == []
    assert "glare" in read.reasons


def test_a_spent_budget_ends_the_cascade_after_the_first_look() -> None:
    read = read_symbols(turned(on_paper(bars(DIN)), 35), ("code128",), budget_ms=0)

    assert read.symbols == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 600), (600, 1), (2, 3), (5, 20_000), (20_000, 3), (64, 64)])
@pytest.mark.parametrize("level", [0, 255, None])
def test_a_frame_of_any_shape_is_looked_at_without_failing(shape: tuple[int, int], level: int | None) -> None:
    noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    frame = noise if level is None else np.full(shape, level, dtype=np.uint8)

    read = read_symbols(frame, budget_ms=60_000)

    assert confirmed(read) == []
    assert read.reasons


def test_files_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    good, data = cv2.imencode(".png", on_paper(bars(DIN)))
    assert good
    (tmp_path / "cut.png").write_bytes(data.tobytes()[:60])

    for name in ("text.png", "empty.png", "cut.png", "missing.png"):
        with pytest.raises(UnreadableImage):
            load_gray(tmp_path / name)
    with pytest.raises(UnreadableImage):
        load_gray(tmp_path)
