"""SAFETY 3: the host is killed while the device moves; each type keeps what the catalogue says of it."""

from __future__ import annotations

import pytest
from dead_host import Row, in_words, rows

from drivers.catalog import device_types


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return rows(tmp_path_factory.mktemp("dead"))


@pytest.mark.parametrize("type_name", [entry.name for entry in device_types()])
def test_a_type_whose_host_is_killed_keeps_its_bound(measured: list[Row], type_name: str) -> None:
    of_type = [row for row in measured if row.type_name == type_name]

    assert of_type
    assert [row for row in of_type if not row.held] == []


def test_the_table_of_all_types_is_printed(measured: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{in_words(measured)}")

    assert {row.stops_by for row in measured} >= {"watchdog", "bounded run", "relay", "none needed"}
