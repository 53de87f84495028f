"""A release holds only by a QP's own key over the record sealed here; everything else has its words."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import msgspec
import pytest
from access_site import NOW, listed
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.canonical import canonical_json
from appliance.access.documents import DocumentRefused, Envelope, add_signature, parse, sign, to_json
from appliance.access.qp_decision import (
    Decision,
    check_decision,
    decision_content,
    qp_key_is_listed,
    read_decision,
    sign_decision,
)

CHANGED = "The record changed after it was certified. Certify again."


def content_of(site, seal, **how) -> bytes:
    facts = {
        "version": 1,
        "stage": "conditional",
        "disposition": "released",
        "by": site.person("p-0007"),
        "decided_at": NOW,
        "expires_at": NOW + timedelta(hours=4),
    } | how
    return decision_content(seal, **facts)


def checked(envelope: Envelope, site, seal, **how) -> Decision:
    facts = {
        "people": site.people,
        "expected": seal,
        "seen_version": 0,
        "now": NOW + timedelta(minutes=5),
        "time_trusted": True,
        "trust": site.trust,
    } | how
    return check_decision(envelope, **facts)


def refusal(envelope: Envelope, site, seal, **how) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as caught:
        checked(envelope, site, seal, **how)
    return caught.value


def test_a_release_by_the_qp_over_this_record_holds(site, seal):
    envelope = parse(to_json(sign_decision(content_of(site, seal), site.qp)))

    decision = checked(envelope, site, seal)

    assert (decision.disposition, decision.by, decision.version) == ("released", "p-0007", 1)
    assert qp_key_is_listed(site.qp, site.people)


@pytest.mark.parametrize(
    ("who", "reason", "words"),
    [
        ("central", "central_key", "signed by central's own key. Only a QP's own key can release"),
        ("unit", "unit_key", "signed by this unit's own key. Only a QP's own key can release"),
        ("reviewer", "wrong_role", "signed by Rita Holm with a key as qa reviewer. Only a QP's own key"),
        ("developer", "wrong_role", "signed by Dev Rao with a key as recipe developer"),
        ("root", "wrong_key", "signed by a key that nobody on the list has"),
    ],
)
def test_nobody_but_a_qp_can_release(site, seal, who, reason, words):
    key = getattr(site, who)
    content = content_of(site, seal)

    for role in ("qp", "central"):
        refused = refusal(sign("decision", content, key, role), site, seal)
        assert refused.reason == reason
        assert words in str(refused)
    assert not qp_key_is_listed(key, site.people)


def test_everything_central_holds_together_releases_nothing(site, seal):
    envelope = Envelope(type="decision", content=content_of(site, seal))
    for role in ("qp", "central", "root", "qa_reviewer"):
        envelope = add_signature(envelope, site.central, role)
        assert refusal(envelope, site, seal).reason == "central_key"
    for key in (site.unit, Ed25519PrivateKey.generate()):
        envelope = add_signature(envelope, key, "qp")
    refusal(envelope, site, seal)


def test_an_unsigned_and_an_altered_decision_are_refused(site, seal):
    content = content_of(site, seal)
    signed = sign_decision(content, site.qp)
    altered = msgspec.structs.replace(
        signed, content=content.replace(b"released", b"rejected").replace(b'"reason":""', b'"reason":"x"')
    )

    assert refusal(Envelope(type="decision", content=content), site, seal).reason == "unsigned"
    assert refusal(altered, site, seal).reason == "altered"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.data())
def test_any_flipped_bit_of_a_decision_is_refused(site, seal, data):
    signed = sign_decision(content_of(site, seal), site.qp)
    content = bytearray(signed.content)
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    refused = refusal(msgspec.structs.replace(signed, content=bytes(content)), site, seal)

    assert refused.reason == "altered"


def test_a_recipe_signed_by_the_qp_is_no_decision(site, seal):
    assert refusal(sign("recipe", content_of(site, seal), site.qp, "qp"), site, seal).reason == "wrong_type"


@pytest.mark.parametrize(
    "changed",
    [
        {"log_epoch": "ee" * 16},
        {"sealed_seq": 413},
        {"sealed_hash": "ee" * 32},
        {"telemetry_seq": 52},
        {"telemetry_hash": "ee" * 32},
        {"blobs_hash": "ee" * 32},
        {"following": ("BatchSealed", "CommentAdded")},
    ],
)
def test_a_record_changed_after_certification_is_not_released(site, seal, changed):
    envelope = sign_decision(content_of(site, seal), site.qp)

    refused = refusal(envelope, site, dataclasses.replace(seal, **changed))

    assert refused.reason == "changed"
    assert str(refused).startswith(CHANGED)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"unit": "unit-08"}, "wrong_batch"),
        ({"batch": "B-2026-0002"}, "wrong_batch"),
        ({"recipe_hash": "ee" * 32}, "wrong_recipe"),
        ({"dose_labels": ("=A999926123456 00 V 2",)}, "wrong_dose"),
        ({"dose_labels": ()}, "wrong_dose"),
    ],
)
def test_a_decision_of_another_batch_recipe_or_dose_is_refused(site, seal, changed, reason):
    envelope = sign_decision(content_of(site, seal), site.qp)

    assert refusal(envelope, site, dataclasses.replace(seal, **changed)).reason == reason


def test_every_field_of_the_seal_is_bound(site, seal):
    envelope = sign_decision(content_of(site, seal), site.qp)
    for field in dataclasses.fields(seal):
        value = getattr(seal, field.name)
        if isinstance(value, tuple):
            other: object = (*value, "x")
        else:
            other = value + 1 if isinstance(value, int) else "x"
        refusal(envelope, site, dataclasses.replace(seal, **{field.name: other}))


def test_a_release_expires_and_does_not_pass_an_untrusted_clock(site, seal):
    envelope = sign_decision(content_of(site, seal), site.qp)

    late = refusal(envelope, site, seal, now=NOW + timedelta(hours=4))
    unsure = refusal(envelope, site, seal, time_trusted=False)

    assert str(late) == "This decision expired at 2026-11-21 13:00 UTC. Ask for a new one."
    assert unsure.reason == "time_untrusted"
    assert "Two persons enter the time of a reference clock" in str(unsure)


def test_a_lower_version_is_refused_and_the_same_one_is_on_record_already(site, seal):
    second = sign_decision(content_of(site, seal, version=2), site.qp)

    assert refusal(second, site, seal, seen_version=3).reason == "lower_version"
    assert refusal(second, site, seal, seen_version=2).reason == "seen"
    assert checked(second, site, seal, seen_version=1).version == 2


def test_a_rejection_never_expires_and_always_wins(site, seal):
    content = content_of(site, seal, disposition="rejected", reason="Sterility: growth")
    rejection = sign_decision(content, site.qp)
    years_later = {"now": NOW + timedelta(days=3650), "time_trusted": False, "seen_version": 9}
    other_head = dataclasses.replace(seal, sealed_seq=999, following=("CommentAdded",))

    decision = checked(rejection, site, other_head, recorded=("released",), **years_later)

    assert (decision.disposition, decision.reason) == ("rejected", "Sterility: growth")


def test_after_a_rejection_or_a_recall_no_release_holds(site, seal):
    later = sign_decision(content_of(site, seal, version=10), site.qp)

    for final in ("rejected", "recalled"):
        refused = refusal(later, site, seal, seen_version=9, recorded=("released", final))
        assert refused.reason == "already_rejected"
        assert f"This batch is {final}" in str(refused)


def test_a_rejection_delivered_twice_is_recorded_once(site, seal):
    rejection = sign_decision(content_of(site, seal, disposition="rejected", reason="x"), site.qp)

    assert refusal(rejection, site, seal, seen_version=1, recorded=("rejected",)).reason == "seen"


def test_a_rejection_by_anybody_but_a_qp_or_for_another_batch_changes_nothing(site, seal):
    content = content_of(site, seal, disposition="rejected", reason="x")

    assert refusal(sign_decision(content, site.central), site, seal).reason == "central_key"
    other = dataclasses.replace(seal, batch="B-2026-0002")
    assert refusal(sign_decision(content, site.qp), site, other).reason == "wrong_batch"


def test_a_rejection_without_a_reason_is_not_even_written(site, seal):
    with pytest.raises(DocumentRefused, match="needs a reason"):
        content_of(site, seal, disposition="rejected", reason=" ")


def test_a_decision_names_the_qp_whose_key_signed_it(site, seal):
    second_key = Ed25519PrivateKey.generate()
    second = msgspec.structs.replace(site.person("p-0007"), id="p-0008", name="Vera Qvist")
    people = msgspec.structs.replace(
        site.people,
        people=(*site.people.people, second),
        keys=(*site.people.keys, listed("p-0008", "qp", second_key)),
    )
    envelope = sign_decision(content_of(site, seal), second_key)

    refused = refusal(envelope, site, seal, people=people)

    assert str(refused) == "This decision names Quinn Falk and is signed with the key of Vera Qvist. Tell QA."


def test_a_qp_who_left_releases_nothing(site, seal):
    left = tuple(msgspec.structs.replace(one, active=one.id != "p-0007") for one in site.people.people)
    people = msgspec.structs.replace(site.people, people=left)

    refused = refusal(sign_decision(content_of(site, seal), site.qp), site, seal, people=people)

    assert refused.reason == "not_active"
    assert "Quinn Falk, who is no longer active" in str(refused)


def test_bytes_that_two_readers_could_read_differently_are_refused(site, seal):
    content = content_of(site, seal)
    double = content[:-1] + b',"disposition":"rejected"}'
    spaced = json.dumps(json.loads(content)).encode()
    more = canonical_json(json.loads(content) | {"note": "x"})

    for strange in (
        double,
        spaced,
        more,
        b"",
        b"[]",
        b"\xff",
        content.replace(b'"version":1', b'"version":0'),
    ):
        assert refusal(sign_decision(strange, site.qp), site, seal).reason == "garbled"


def test_decision_bytes_read_back_as_they_were_written(site, seal):
    content = content_of(site, seal, stage="final", version=2)

    decision = read_decision(content)

    assert canonical_json(msgspec.to_builtins(decision)) == content
    assert decision.dose_labels == seal.dose_labels
