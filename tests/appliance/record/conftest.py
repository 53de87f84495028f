"""A record with one batch, on a real disk, with real keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from record_bench import UNIT_KEY, new_record, run_batch

from appliance.record.log import Record


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return UNIT_KEY


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """A fresh record: genesis only."""
    with new_record(tmp_path / "record") as fresh:
        yield fresh


@pytest.fixture
def batch_record(record: Record) -> Record:
    """A record with one sealed and certified batch."""
    run_batch(record)
    return record
