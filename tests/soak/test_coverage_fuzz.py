"""The fuzzer works: led by coverage it reaches a planted defect that chance alone does not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "drivers"))

from fuzzed_replies import targets

from appliance.domain import hibc, isbt128
from tests.soak import fuzzed_labels
from tests.soak.coverage_fuzz import Fuzzer, in_drivers, keep_corpus, load_corpus

INPUTS = 400_000
SMOKE_S = 10.0
STEPS_MIN = 6


def planted(data: bytes) -> None:
    """A parser with a defect behind five bytes in a row."""
    if data[:1] != b"\x02":
        return
    if data[1:2] != b"W":
        return
    if data[2:3] != b"Z":
        return
    if data[3:4] != b"7":
        return
    if data[4:5] == b"\x03":
        raise ZeroDivisionError("planted")


def here(filename: str) -> bool:
    return filename == __file__


@pytest.mark.requirement("F-028")
def test_the_fuzzer_reaches_a_planted_defect_that_chance_alone_does_not() -> None:
    led, blind = Fuzzer(planted, here, seed=1), Fuzzer(planted, here, seed=1, led=False)

    led.run(INPUTS, until_found=True)
    blind.run(led.inputs)

    assert [found.error for found in led.found] == ["ZeroDivisionError: planted"]
    assert led.found[0].data.startswith(b"\x02WZ7\x03")
    assert blind.found == []


def test_a_loop_without_an_end_is_a_finding() -> None:
    def endless(data: bytes) -> None:
        while len(data) > 3:
            pass

    fuzzer = Fuzzer(endless, here)
    fuzzer.try_one(b"four")

    assert "Endless" in fuzzer.found[0].error


def test_what_was_kept_is_taken_up_again(tmp_path: Path) -> None:
    first = Fuzzer(planted, here, seed=2)
    first.run(4_000)
    keep_corpus(tmp_path, first.corpus)

    second = Fuzzer(planted, here, seed=3)
    second.load(load_corpus(tmp_path))

    assert second.steps == first.steps
    assert second.inputs == len(first.corpus)


@pytest.mark.requirement("F-028")
def test_seconds_of_fuzzing_find_nothing_in_any_parser_and_driver() -> None:
    found: list[str] = []

    for name, target in targets().items():
        fuzzer = Fuzzer(target, in_drivers, seed=7)
        until_s = time.monotonic() + SMOKE_S / len(targets())
        while time.monotonic() < until_s:
            fuzzer.run(10)
        assert fuzzer.steps >= STEPS_MIN, f"{name}: the search is led by nothing"
        found += [f"{name}: {one.error} for {one.data!r}" for one in fuzzer.found]

    assert found == []


@pytest.mark.requirement("F-001")
@pytest.mark.parametrize("name", sorted(fuzzed_labels.targets()))
def test_a_moment_of_fuzzing_finds_nothing_in_any_label_grammar(name: str) -> None:
    fuzzer = Fuzzer(
        fuzzed_labels.targets()[name], fuzzed_labels.in_labels, seed=7, tokens=fuzzed_labels.TOKENS
    )
    fuzzer.load(fuzzed_labels.first_inputs(7))
    fuzzer.run(300)

    assert fuzzer.steps >= STEPS_MIN, "the search is led by nothing"
    assert [f"{one.error} for {one.data!r}" for one in fuzzer.found] == []


def any_check_character(monkeypatch: pytest.MonkeyPatch) -> None:
    """HIBC takes a symbol whatever its last character is."""
    true_parse, true_check = hibc.parse, hibc.check_character

    def parse(text: str) -> hibc.Hibc:
        return true_parse(text[:-1] + true_check(text[:-1]))

    monkeypatch.setattr(hibc, "parse", parse)


def any_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """ISBT 128 takes flags of type 3 that do not belong to the number."""
    monkeypatch.setattr(isbt128, "check_value", lambda text: 7)


@pytest.mark.requirement("F-001")
@pytest.mark.parametrize("defect", [any_check_character, any_flags])
def test_a_grammar_that_forgets_a_check_is_found(
    defect: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    defect(monkeypatch)
    fuzzer = Fuzzer(fuzzed_labels.front_door, fuzzed_labels.in_labels, seed=3, tokens=fuzzed_labels.TOKENS)
    fuzzer.load(fuzzed_labels.first_inputs(3))
    fuzzer.run(6_000, until_found=True)

    assert fuzzer.found
