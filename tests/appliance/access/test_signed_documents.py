"""An envelope is believed only when the right keys signed exactly these bytes."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta

import msgspec
import pytest
from access_site import NOW
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.canonical import canonical_json
from appliance.access.documents import (
    DocumentRefused,
    Envelope,
    add_signature,
    dump,
    fingerprint,
    load,
    parse,
    refuse_expired,
    refuse_lower_version,
    sign,
    to_json,
    verify,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
CONTENT = b'{"order":"O-1","version":1}'
ENVELOPE = sign("order", CONTENT, KEY, "central")
ALLOWED = {"central": {fingerprint(KEY)}}
ONE = {"central": 1}


def refused(envelope: Envelope, **how: object) -> DocumentRefused:
    rules: dict = {"allowed": ALLOWED, "threshold": ONE} | how
    with pytest.raises(DocumentRefused) as caught:
        verify(envelope, **rules)
    return caught.value


def test_what_is_signed_comes_back_byte_for_byte_through_a_file(tmp_path):
    dump(ENVELOPE, tmp_path / "documents" / "order.json")

    envelope = load(tmp_path / "documents" / "order.json")

    assert verify(envelope, allowed=ALLOWED, threshold=ONE, document_type="order") == CONTENT
    assert envelope.content_hash == hashlib.sha256(CONTENT).hexdigest()


def test_the_file_has_the_agreed_shape_and_the_signature_can_be_checked_without_this_code():
    written = json.loads(to_json(ENVELOPE))

    assert set(written) == {"type", "content", "signatures"}
    one = written["signatures"][0]
    assert set(one) == {"role", "key", "public_key", "algorithm", "signature"}
    public = base64.b64decode(one["public_key"])
    assert one["key"] == hashlib.sha256(public).hexdigest()
    content = base64.b64decode(written["content"])
    message = b"cellwright/doc/1\0order\0" + hashlib.sha256(content).digest()
    Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(one["signature"]), message)


def test_the_fingerprint_of_the_first_key_of_rfc_8032_is_the_hash_of_its_public_bytes():
    key = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")

    assert fingerprint(key) == hashlib.sha256(public).hexdigest()
    assert fingerprint(public) == fingerprint(key)


def test_every_flipped_bit_of_content_signature_or_key_is_found():
    one = ENVELOPE.signatures[0]
    for field, value in (("content", CONTENT), ("signature", one.signature), ("public_key", one.public_key)):
        for position in range(len(value) * 8):
            spoilt = bytearray(value)
            spoilt[position // 8] ^= 1 << position % 8
            if field == "content":
                envelope = msgspec.structs.replace(ENVELOPE, content=bytes(spoilt))
            else:
                bad = msgspec.structs.replace(one, **{field: bytes(spoilt)})
                envelope = msgspec.structs.replace(ENVELOPE, signatures=(bad,))
            assert refused(envelope).reason == "altered", (field, position)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.data())
def test_a_changed_byte_of_the_file_never_yields_other_content(data):
    file = bytearray(to_json(ENVELOPE))
    position = data.draw(st.integers(0, len(file) - 1))
    file[position] = data.draw(st.integers(0, 255))

    try:
        content = verify(parse(bytes(file)), allowed=ALLOWED, threshold=ONE, document_type="order")
    except DocumentRefused:
        return
    assert content == CONTENT


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data):
    with pytest.raises(DocumentRefused):
        verify(parse(data), allowed=ALLOWED, threshold=ONE)


def test_another_type_over_the_same_bytes_is_refused_as_altered():
    envelope = msgspec.structs.replace(ENVELOPE, type="recipe")

    assert refused(envelope).reason == "altered"


def test_an_unsigned_document_is_refused_with_what_to_do():
    caught = refused(Envelope(type="recipe", content=b"x"))

    assert caught.reason == "unsigned"
    assert str(caught) == "This recipe is not signed. Do not use it; ask QA for the signed one."


def test_a_stranger_s_key_is_named_by_its_fingerprint():
    caught = refused(sign("order", CONTENT, OTHER, "central"))

    assert caught.reason == "wrong_key"
    assert fingerprint(OTHER)[:16] in str(caught)
    assert "must be signed by central" in str(caught)


def test_a_stranger_cannot_borrow_a_trusted_fingerprint():
    forged = sign("order", CONTENT, OTHER, "central")
    borrowed = msgspec.structs.replace(forged.signatures[0], key=fingerprint(KEY))

    assert refused(msgspec.structs.replace(forged, signatures=(borrowed,))).reason == "altered"


def test_a_known_key_in_another_role_is_refused_as_the_wrong_role():
    allowed = {"central": {fingerprint(OTHER)}, "root": {fingerprint(KEY)}}

    assert refused(ENVELOPE, allowed=allowed).reason == "wrong_role"


def test_a_document_of_another_type_is_refused_where_an_order_is_expected():
    caught = refused(ENVELOPE, document_type="people")

    assert caught.reason == "wrong_type"


def test_two_signatures_by_one_key_count_once():
    allowed = {"root": {fingerprint(KEY), fingerprint(OTHER)}}
    one = sign("people", CONTENT, KEY, "root")
    doubled = msgspec.structs.replace(one, signatures=one.signatures * 2)

    assert refused(doubled, allowed=allowed, threshold={"root": 2}).reason == "too_few_signatures"
    two = add_signature(one, OTHER, "root")
    assert verify(two, allowed=allowed, threshold={"root": 2}) == CONTENT


def test_one_key_cannot_stand_for_developer_and_reviewer():
    mine = {fingerprint(KEY)}
    envelope = sign("recipe", CONTENT, KEY, "recipe_developer")
    again = sign("recipe", CONTENT, KEY, "qa_reviewer")
    both = msgspec.structs.replace(envelope, signatures=envelope.signatures + again.signatures)

    caught = refused(
        both,
        allowed={"recipe_developer": mine, "qa_reviewer": mine},
        threshold={"recipe_developer": 1, "qa_reviewer": 1},
    )

    assert caught.reason == "too_few_signatures"


def test_a_second_signature_spoilt_spoils_the_document_even_where_one_would_do():
    two = add_signature(ENVELOPE, OTHER, "central")
    bad = msgspec.structs.replace(two.signatures[1], signature=b"\0" * 64)

    assert refused(msgspec.structs.replace(two, signatures=(two.signatures[0], bad))).reason == "altered"


def test_a_lower_version_is_refused_and_the_same_one_may_come_again():
    refuse_lower_version("people", 4, 4)

    with pytest.raises(DocumentRefused, match="version 3; this unit has version 4 already"):
        refuse_lower_version("people", 3, 4)


def test_an_expired_document_and_an_untrusted_clock_are_both_refused():
    refuse_expired("order", NOW + timedelta(seconds=1), NOW, time_trusted=True)

    with pytest.raises(DocumentRefused, match="This order expired at 2026-11-21 09:00 UTC"):
        refuse_expired("order", NOW, NOW, time_trusted=True)
    with pytest.raises(DocumentRefused, match="clock is not trusted"):
        refuse_expired("order", NOW + timedelta(days=1), NOW, time_trusted=False)


def test_an_oversized_document_is_refused_before_it_is_parsed():
    with pytest.raises(DocumentRefused, match="too large"):
        parse(b"[" * (2 * 1024 * 1024 + 1))
    with pytest.raises(DocumentRefused, match="too large"):
        parse(to_json(msgspec.structs.replace(ENVELOPE, signatures=ENVELOPE.signatures * 17)))


def test_an_envelope_arrives_over_the_local_socket_as_decoded_json():
    assert parse(json.loads(to_json(ENVELOPE))) == ENVELOPE


def test_canonical_json_has_one_form_and_refuses_what_has_two():
    assert canonical_json({"b": [1, True, None], "a": "µL"}) == '{"a":"µL","b":[1,true,null]}'.encode()
    with pytest.raises(TypeError, match="decimal string"):
        canonical_json({"volume_ml": 1.5})
    with pytest.raises(ValueError, match="does not fit"):
        canonical_json([2**53 + 1])
    with pytest.raises(ValueError, match="not a string"):
        canonical_json({1: "one"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(json_values)
def test_canonical_json_reads_back_and_is_a_fixed_point(value):
    try:
        written = canonical_json(value)
    except UnicodeEncodeError:
        return

    assert json.loads(written) == value
    assert canonical_json(json.loads(written)) == written
