"""Bodies and acknowledgements: what comes in is read whole, or refused with words."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.record.segments import fingerprint, public_bytes
from sync.acks import Ack, AckRefused, read_ack, sign_ack
from sync.envelope import (
    BODY_BYTES_MAX,
    RECORDS_MAX,
    EnvelopeTooLarge,
    EnvelopeUnreadable,
    digest_matches,
    digest_of,
    pack,
    unpack,
)
from sync.transport import compressed

KEY = Ed25519PrivateKey.generate()
OWN = [fingerprint(public_bytes(KEY))]
ACK = Ack(
    unit="u-1",
    log="gxp",
    epoch="0" * 32,
    acked_seq=7,
    acked_hash="a" * 64,
    server_time="2026-11-20T08:00:00.000000Z",
    down_cursor=2,
)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=300), st.binary(min_size=64, max_size=64), st.lists(st.binary(max_size=80)))
def test_what_was_packed_is_unpacked_unchanged(header: bytes, signature: bytes, records: list[bytes]) -> None:
    envelope = unpack(pack(header, signature, records))

    assert (envelope.header, envelope.signature, list(envelope.records)) == (header, signature, records)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_do_anything_but_refuse(noise: bytes) -> None:
    for body in (noise, b"CWS1" + noise):
        with contextlib.suppress(EnvelopeUnreadable):
            assert pack(*_parts(body)) == body


def _parts(body: bytes) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    envelope = unpack(body)
    return envelope.header, envelope.signature, envelope.records


@settings(derandomize=True, deadline=None)
@given(st.data())
def test_a_body_cut_anywhere_or_with_a_byte_too_many_is_refused(data: st.DataObject) -> None:
    body = pack(b"{}", bytes(64), [b"one", b"two"])
    cut = data.draw(st.integers(0, len(body) - 1))

    for wrong in (body[:cut], body + b"\x00"):
        with pytest.raises(EnvelopeUnreadable):
            unpack(wrong)


def test_too_many_records_or_bytes_are_refused_before_they_are_read() -> None:
    with pytest.raises(EnvelopeTooLarge):
        pack(b"{}", bytes(64), [b""] * (RECORDS_MAX + 1))
    with pytest.raises(EnvelopeTooLarge):
        pack(b"{}", bytes(64), [bytes(BODY_BYTES_MAX)])
    many = pack(b"{}", bytes(64), [])[:-4] + (10**6).to_bytes(4, "big")
    with pytest.raises(EnvelopeTooLarge):
        unpack(many)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=100), st.text(max_size=80))
def test_a_digest_names_exactly_its_body(body: bytes, other: str) -> None:
    assert digest_matches(digest_of(body), body)
    assert not digest_matches(digest_of(body), body + b"x")
    assert not digest_matches(other, body)


def test_a_compressed_body_is_smaller_and_reads_back() -> None:
    import zstandard

    body = b"the same words again and again " * 100

    assert len(compressed(body)) < len(body) / 10
    assert zstandard.ZstdDecompressor().decompress(compressed(body)) == body


def test_an_acknowledgement_is_read_back_under_centrals_key() -> None:
    assert read_ack(*sign_ack(ACK, KEY), trusted=OWN) == ACK


@settings(derandomize=True, deadline=None)
@given(st.data())
def test_an_acknowledgement_with_any_bit_changed_is_refused(data: st.DataObject) -> None:
    content, signature = sign_ack(ACK, KEY)
    where = data.draw(st.integers(0, 8 * len(content + signature) - 1))
    whole = bytearray(content + signature)
    whole[where // 8] ^= 1 << where % 8

    with pytest.raises(AckRefused):
        read_ack(bytes(whole[: len(content)]), bytes(whole[len(content) :]), trusted=OWN)


def test_an_acknowledgement_by_another_key_is_refused_however_right_it_is() -> None:
    with pytest.raises(AckRefused, match=r"trust\.json"):
        read_ack(*sign_ack(ACK, Ed25519PrivateKey.generate()), trusted=OWN)
