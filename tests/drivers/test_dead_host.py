"""SAFETY 3: the host is killed while the device moves; each type keeps what the catalogue says of it."""

from __future__ import annotations

import pytest
from dead_host import in_words
from side_by_side import SideBySide

from drivers.catalog import device_types


@pytest.mark.parametrize("type_name", [entry.name for entry in device_types()])
def test_a_type_whose_host_is_killed_keeps_its_bound(side_by_side: SideBySide, type_name: str) -> None:
    of_type = [row for row in side_by_side.dead_hosts.result() if row.type_name == type_name]

    assert of_type
    assert [row for row in of_type if not row.held] == []


def test_the_table_of_all_types_is_printed(
    side_by_side: SideBySide, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = side_by_side.dead_hosts.result()
    with capsys.disabled():
        print(f"\n{in_words(measured)}")

    assert {row.stops_by for row in measured} >= {"watchdog", "bounded run", "relay", "none needed"}
