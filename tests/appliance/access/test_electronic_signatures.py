"""A signature says who, when and what it means, and covers these bytes alone."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from access_site import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.errors import SignatureRefused
from appliance.access.signing import MEANINGS, covers, printed, short_code, signature_block

REVIEWED = b'{"count":"412","viability_percent":"86.2"}'


@pytest.mark.requirement("R-21", "R-24", "F-056")
def test_a_signature_names_person_meaning_time_and_the_hash_of_what_was_signed(site):
    body = signature_block(
        site.person("p-0001"), "performed", REVIEWED, what="Cell count, replicate 1", at=NOW
    )

    assert body == {
        "person": "p-0001",
        "name": "Anna Berg",
        "meaning": "performed",
        "signs": hashlib.sha256(REVIEWED).hexdigest(),
        "what": "Cell count, replicate 1",
        "at": "2026-11-21T09:00:00Z",
    }
    assert printed(body) == "Anna Berg (p-0001), performed, 2026-11-21T09:00:00Z"
    assert body["signs"].startswith(short_code(REVIEWED))


@pytest.mark.requirement("R-22")
@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.binary(max_size=64))
def test_a_signature_covers_the_bytes_signed_and_no_others(other):
    body = {"signs": hashlib.sha256(REVIEWED).hexdigest()}

    assert covers(body, REVIEWED)
    assert covers(body, other) == (other == REVIEWED)


@pytest.mark.parametrize("body", [{}, {"signs": None}, {"signs": ""}, {"signs": "ä"}, {"signs": "\udc80"}])
def test_a_body_without_a_hash_covers_nothing(body):
    assert not covers(body, REVIEWED)


@pytest.mark.requirement("R-21")
def test_a_signature_means_one_of_eight_things(site):
    assert len(MEANINGS) == 8
    with pytest.raises(SignatureRefused, match="cannot mean 'seen'"):
        signature_block(site.person("p-0001"), "seen", REVIEWED, what="x", at=NOW)


def test_somebody_who_left_cannot_sign(site):
    gone = msgspec.structs.replace(site.person("p-0001"), active=False)

    with pytest.raises(SignatureRefused, match="is not active"):
        signature_block(gone, "performed", REVIEWED, what="x", at=NOW)


@pytest.mark.requirement("R-24")
def test_a_signature_never_carries_a_local_time(site):
    with pytest.raises(AssertionError):
        signature_block(
            site.person("p-0001"), "performed", REVIEWED, what="x", at=NOW.astimezone().replace(tzinfo=None)
        )
