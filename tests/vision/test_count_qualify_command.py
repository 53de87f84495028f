"""`cellwright count qualify` as a person runs it: words, JSON, the page, and what it refuses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vision.counting.count_command import count

COMET = Path(__file__).parents[1] / "data" / "vision" / "nist_comet"
ONE = COMET / "Full_Template_Example_1_COMET.csv"
FOUR = COMET / "Full_Template_Example_2_COMET.csv"
QUICK = ("--rounds", "100")


@pytest.mark.requirement("F-039")
def test_a_method_that_passes_is_told_with_its_figures_and_intervals(capsys):
    code = count(["qualify", str(ONE), *QUICK])

    said = capsys.readouterr().out
    assert code == 0
    assert said.startswith("Method 2 · Cell Type A · Total Cell Concentration: PASS\n")
    assert "0.99838  (" in said
    assert "0.0116  (" in said
    assert "CV < 10 % at each dilution" in said


@pytest.mark.requirement("F-039")
def test_several_methods_in_one_file_give_a_line_each_and_one_that_fails_is_told_by_the_exit(capsys):
    code = count(["qualify", str(FOUR), "--json", "--performed-on", "2026-01-31", *QUICK])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 1
    assert [line["counting_method"] for line in lines] == ["Method 5", "Method 6", "Method 7", "Method 8"]
    assert {line["performed_on"] for line in lines} == {"2026-01-31"}
    assert all(line["verdict"] == "fail" and line["failures"] for line in lines)


def test_one_series_can_be_chosen_and_its_last_day_is_named(capsys):
    asked = ["--series", "Method 2", "--expires-months", "1", "--performed-on", "2026-01-31"]

    code = count(["qualify", str(ONE), "--json", *asked, *QUICK])

    (line,) = capsys.readouterr().out.splitlines()
    assert code == 0
    assert json.loads(line)["expires_on"] == "2026-02-28"


def test_limits_can_be_set_by_the_site(capsys):
    assert count(["qualify", str(ONE), "--cv-max", "7", *QUICK]) == 1
    assert "less than 7 % is accepted" in capsys.readouterr().out


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data")]


def test_the_report_is_one_page_that_loads_nothing_and_shows_three_plots_a_method(tmp_path, capsys):
    out = tmp_path / "report.html"

    count(["qualify", str(FOUR), "--report", str(out), *QUICK])

    text = out.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.addresses == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 12
    for drawing in text.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + drawing.split("</svg>")[0] + "</svg>")
    assert "FAIL: not qualified." in text
    assert "Gunetti" in text


def test_a_name_from_the_file_cannot_act_on_the_page(tmp_path, capsys):
    design = tmp_path / "design.csv"
    rows = [f"<img src=x onerror=alert(1)>,{t},{t}-{s},{t * 1e6}" for t in (0.25, 0.5) for s in range(3)]
    head = "counting_method,target_dilution_fraction,random_sample_number,cell_conc"
    design.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")

    count(["qualify", str(design), "--report", str(tmp_path / "r.html"), *QUICK])

    assert "<img" not in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["no-such-file.csv"], "No such file"),
        ([str(ONE), "--series", "Method 9"], "has no counting_method 'Method 9'; it has: Method 2"),
        ([str(ONE), "--rounds", "7"], "is not a whole number from 100"),
        ([str(ONE), "--r2-min", "2"], "is not from 0 to 1"),
        ([str(ONE), "--performed-on", "soon"], "is not a day"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_words(asked, words, capsys):
    assert count(["qualify", *asked]) == 2
    assert words in capsys.readouterr().err


def test_missing_columns_are_named_to_the_person(tmp_path, capsys):
    design = tmp_path / "design.csv"
    design.write_text("counting_method,cell_conc\nA,1\n", encoding="utf-8")

    assert count(["qualify", str(design)]) == 2
    assert "target_dilution_fraction, random_sample_number" in capsys.readouterr().err
