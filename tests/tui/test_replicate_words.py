"""What the screen of a count says of each replicate."""

from __future__ import annotations

import pytest

from appliance.link.messages import CountView
from tui.widgets.replicate_table import count_text

GOOD = CountView(
    replicate=1,
    verdict="counted",
    live=412,
    dead=31,
    viability_percent="93.0",
    viability_interval_percent=["90.3", "95.0"],
)


@pytest.mark.requirement("F-040", "F-043")
def test_a_good_replicate_is_shown_with_its_interval():
    said = count_text(GOOD, width=40)

    assert said.startswith("Replicate 1: counted\nviable 93.0 % (90.3 to 95.0 %)\n412 live · 31 dead")


@pytest.mark.requirement("F-043")
def test_one_that_cannot_be_used_says_why_and_what_to_do_in_place_of_numbers():
    words = "Out of focus. Focus on the cells and take the picture again."
    bad = CountView(
        replicate=0,
        verdict="repeat",
        live=12,
        dead=3,
        viability_percent="0",
        viability_interval_percent=["0", "100"],
        words=words,
    )

    assert count_text(bad, width=40) == f"Pooled: repeat\n{words}"
