"""Stories of two labels in one picture: told as such, and never one confirmed by the other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from label_scenes import COI, COMPOUND, DIN, OTHER_DIN, PRODUCT, bars, matrix, on_paper, turned

from vision.labels.agreement import RESTORED, Read, Symbol, agree, kind_of
from vision.labels.live_reading import LiveReading
from vision.labels.one_label import two_labels
from vision.labels.symbols import FrameRead, read_symbols

OTHER_COMPOUND = COMPOUND.replace(DIN, OTHER_DIN)
OTHER_PRODUCT = "=<S1295200"


def symbol(text: str, symbology: str = "code128", identifier: str = "]C0") -> Symbol:
    corners = np.array([(0, 0), (300, 0), (300, 60), (0, 60)], dtype=np.float32)
    return Symbol(symbology, text, text.encode(), identifier, corners, True, ())


def dots(text: str, identifier: str = "]d1") -> Symbol:
    return symbol(text, "datamatrix", identifier)


@pytest.mark.requirement("F-003")
@pytest.mark.parametrize(
    "symbols",
    [
        [dots(COMPOUND), dots(OTHER_COMPOUND)],
        [symbol(DIN), symbol(OTHER_DIN)],
        [symbol(PRODUCT), symbol(OTHER_PRODUCT)],
        [symbol(OTHER_DIN), dots(COMPOUND)],
        [symbol(DIN), symbol("=<S9991100"), dots(COMPOUND)],
        [dots("0109501101530003", "]d2"), dots("0109501101530010", "]d2")],
    ],
)
def test_what_no_single_label_says_is_two_labels(symbols: list[Symbol]) -> None:
    assert two_labels(symbols)


@pytest.mark.parametrize(
    "symbols",
    [
        [],
        [symbol(DIN), symbol(PRODUCT), dots(COMPOUND)],
        [symbol(DIN), symbol(DIN), dots(COMPOUND), dots(COMPOUND)],
        # A kind of text that the matrix does not hold says nothing against it.
        [symbol(COI), dots(COMPOUND)],
        # The last two characters may mark which label it is; whoever knows the meaning compares them.
        [symbol(DIN[:-2] + "00"), dots(COMPOUND)],
        # Parts of one package: GS1 bars beside one another, and what the print head's test prints.
        [symbol("0109501101530003", identifier="]C1"), symbol("10ABC123", identifier="]C1")],
        [dots("PT PRINTER-1 2611211405 H"), dots("PT PRINTER-1 2611211405 F")],
        [symbol("https://a.example", "qr", "]Q1"), symbol("https://b.example", "qr", "]Q1"), dots(COMPOUND)],
    ],
)
def test_what_one_label_may_say_is_not(symbols: list[Symbol]) -> None:
    assert not two_labels(symbols)


def test_the_kind_of_a_text_stands_before_its_first_letter_or_digit() -> None:
    assert [kind_of(each) for each in (DIN, PRODUCT, COMPOUND, COI, "10ABC", "")] == [
        "=", "=<", "=+", "&/", "", "",
    ]  # fmt: skip


@pytest.mark.requirement("F-003")
def test_two_bags_in_one_picture_are_told_by_a_still_and_by_the_camera() -> None:
    scene = np.vstack([on_paper(bars(DIN), 760, 300), on_paper(matrix(OTHER_COMPOUND), 760, 300)])

    still = read_symbols(scene, ("code128", "datamatrix"), budget_ms=60_000)
    live = LiveReading()
    moved = np.roll(scene, 3, axis=1)
    judged = [live.add(each, read_symbols(each, budget_ms=60_000)) for each in (scene, moved)][-1]

    assert still.reasons == ("two_labels",)
    assert judged.reasons == ("two_labels",)


def seen(symbology: str, text: str, corners: list[tuple[float, float]], look: str = "whole") -> Read:
    points = np.array(corners, dtype=np.float32)
    return Read("zxing", look, symbology, text.encode(), text, "]C0", points)


def box(
    left: float, top: float, width: float, height: float, turn_deg: float = 0.0
) -> list[tuple[float, float]]:
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    turn = np.radians(turn_deg)
    about = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = corners.mean(axis=0)
    return [tuple(each) for each in (corners - middle) @ about.T + middle + (left, top)]


@pytest.mark.parametrize(
    ("place", "confirmed"),
    [
        (box(500, 0, 60, 60), True),
        (box(500, 0, 60, 60, 90), True),
        (box(500, 0, 60, 60, 12), True),
        (box(500, 0, 60, 60, 45), False),
        (box(4000, 0, 60, 60), False),
    ],
)
def test_only_a_matrix_near_the_bars_and_level_with_them_speaks_for_them(
    place: list[tuple[float, float]], confirmed: bool
) -> None:
    reads = [seen("code128", DIN, box(0, 0, 300, 60)), seen("datamatrix", COMPOUND, place)]

    assert {each.text: each.confirmed for each in agree(reads)[0]}[DIN] is confirmed


def test_two_engines_on_one_restored_look_do_not_confirm_bars() -> None:
    """What restoring the edges invents, both would see."""
    place = np.array(box(0, 0, 300, 60), dtype=np.float32)

    def read(engine: str, look: str) -> Read:
        return Read(engine, look, "code128", DIN.encode(), DIN, "", place)

    same = [read("zxing", f"{RESTORED} sharp 1"), read("zbar", f"{RESTORED} sharp 1")]
    other = [read("zxing", f"{RESTORED} sharp 1"), read("zbar", f"{RESTORED} level 0")]

    assert [each.confirmed for each in agree(same)[0]] == [False]
    assert [each.confirmed for each in agree(other)[0]] == [True]


def test_bars_with_a_hard_shadow_across_them_are_read_and_confirmed() -> None:
    scene = turned(on_paper(bars(DIN), 760, 760), 70)
    shadow = np.clip((np.arange(760) - 330) / 12, 0, 1)
    scene = np.asarray(scene * (1 - 0.7 * shadow), dtype=np.uint8)

    read = read_symbols(scene, ("code128",), budget_ms=60_000)

    assert [(each.text, each.confirmed) for each in read.symbols] == [(DIN, True)]


def test_a_matrix_out_of_focus_is_sharpened_and_read() -> None:
    scene = on_paper(matrix(COMPOUND, 3), 300, 300)
    soft = np.asarray(cv2.GaussianBlur(scene, (0, 0), 1.7), dtype=np.uint8)

    read = read_symbols(soft, ("datamatrix",), budget_ms=60_000)

    assert [(each.text, each.confirmed) for each in read.symbols] == [(COMPOUND, True)]


MISREAD = "=A93992600000116"


@pytest.mark.requirement("F-004")
def test_bars_that_read_in_two_ways_at_top_and_foot_confirm_neither() -> None:
    """Found by a long run: a scratch changed the lower half of the bars, in every frame alike."""
    top, foot = box(0, 0, 300, 4), box(0, 80, 300, 4)
    reads = [
        seen("code128", DIN, top, "bars"),
        seen("code128", MISREAD, foot, "bars"),
        Read("zbar", "bars", "code128", DIN.encode(), DIN, "", np.array(top, dtype=np.float32)),
    ]

    symbols, conflict = agree(reads)
    live = LiveReading()
    frames = [FrameRead(tuple(symbols), ("conflict",), 1.0) for _ in range(3)]
    judged = [live.add(np.full((4, 4), n, np.uint8), each) for n, each in enumerate(frames)][-1]

    assert conflict
    assert not any(each.confirmed for each in (*symbols, *judged.symbols))
    assert judged.reasons == ("conflict",)


def test_frames_do_not_vote_while_two_labels_are_in_the_picture() -> None:
    far = [np.array(box(0, at, 300, 40), dtype=np.float32) for at in (0, 400)]
    both = [
        Symbol("code128", text, text.encode(), "]C0", place, False, ())
        for text, place in zip((DIN, OTHER_DIN), far, strict=True)
    ]
    live = LiveReading()
    frames = [FrameRead(tuple(both), ("not_confirmed",), 1.0) for _ in range(4)]

    judged = [live.add(np.full((4, 4), n, np.uint8), each) for n, each in enumerate(frames)][-1]

    assert not any(each.confirmed for each in judged.symbols)
    assert "two_labels" in judged.reasons


@pytest.mark.requirement("F-004")
def test_the_scratched_label_that_once_was_accepted_as_another_is_not() -> None:
    from tests.bench.bench_bag_labels import held_up

    told = held_up(699, "scratches", 2.0, 5)

    assert told.frames_with_a_read == 5
    assert told.wrong_accepts == 0
