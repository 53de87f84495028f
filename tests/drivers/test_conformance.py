"""The conformance suite: every type of the catalogue passes it, and a driver that breaks a rule does not."""

from __future__ import annotations

import pytest
from side_by_side import SideBySide
from type_variants import LABELS

from drivers.catalog import device_types
from drivers.conformance.suite import CHECKS


@pytest.mark.requirement("F-025")
@pytest.mark.parametrize("type_name", LABELS)
def test_every_type_of_the_catalogue_conforms(side_by_side: SideBySide, type_name: str) -> None:
    made = list(side_by_side.of_types[type_name].result().values())

    assert [one.check for one in made] == [check.name for check in CHECKS]
    assert [f"{one.check}: {one.evidence}" for one in made if one.result == "failed"] == []
    held = {one.check for one in made if one.result == "held"}
    assert {"opens", "identity", "readings_good", "reads_bounded", "old_answers", "nonsense_refused"} <= held


@pytest.mark.parametrize(
    "type_name", [one.name for one in device_types() if any(t.moves for t in one.trials)]
)
def test_what_moves_is_seen_to_end_and_to_stop(side_by_side: SideBySide, type_name: str) -> None:
    results = {one.check: one.result for one in side_by_side.of_types[type_name].result().values()}

    assert (results["run_bounded"], results["stop_in_motion"]) == ("held", "held")
