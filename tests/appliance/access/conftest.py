"""One small site for all tests of this room; it is never changed."""

from __future__ import annotations

import pytest
from access_site import Site, make_seal, make_site

from appliance.access.qp_decision import ExpectedSeal


@pytest.fixture(scope="session")
def site() -> Site:
    return make_site()


@pytest.fixture(scope="session")
def seal() -> ExpectedSeal:
    return make_seal()
