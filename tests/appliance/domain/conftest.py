"""A fresh bedside for each story."""

from __future__ import annotations

import pytest
from bedside import Bedside


@pytest.fixture
def bedside() -> Bedside:
    """A unit whose devices answer; no batch is open."""
    return Bedside()
