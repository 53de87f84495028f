"""The record's bytes are published and never change."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

import appliance.record
from appliance.record.canonical import (
    HEADER_BYTES,
    NO_HASH,
    Header,
    Stamp,
    StoredRecord,
    canonical_json,
    check_payload,
    decode_payload,
    encode_payload,
    encode_record,
    record_hash,
    split_record,
)
from appliance.record.errors import RecordRefused
from appliance.record.segments import make_segment, merkle_root

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "record-format.md").read_text()
RFC_8032_TEST_1 = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
EASY = settings(derandomize=True, deadline=None)

names = st.text(min_size=1, max_size=8).filter(lambda text: "\x00" not in text)
facts = st.recursive(
    st.none() | st.booleans() | st.text(max_size=20) | st.integers(-(2**53), 2**53),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.text(max_size=8), facts, max_size=5)
headers = st.builds(
    Header,
    unit=names,
    log=st.sampled_from(["gxp", "telemetry"]),
    epoch=st.binary(min_size=16, max_size=16),
    seq=st.integers(1, 2**63),
    wall=st.datetimes(timezones=st.just(UTC)),
    monotonic_ns=st.integers(0, 2**64 - 1),
    boot_id=st.binary(min_size=16, max_size=16),
    clock_quality=st.integers(0, 2),
    algorithm=st.just(1),
    payload_version=st.integers(0, 65535),
    down_cursor=st.integers(0, 2**64 - 1),
    actor=names,
    kind=names,
)


def block(name: str) -> str:
    found = re.search(rf"^```\w+ {name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found.group(1).strip()


def golden_header(seq: int, wall: datetime, monotonic_ns: int, actor: str, kind: str) -> Header:
    return Header(
        unit="unit-0001",
        log="gxp",
        epoch=bytes(range(16)),
        seq=seq,
        wall=wall,
        monotonic_ns=monotonic_ns,
        boot_id=bytes(range(16, 32)),
        clock_quality=1,
        algorithm=1,
        payload_version=1,
        down_cursor=7,
        actor=actor,
        kind=kind,
    )


def golden_records() -> list[StoredRecord]:
    wall = datetime(2026, 11, 21, 7, 30, 0, 123456, tzinfo=UTC)
    first = encode_record(
        golden_header(1, wall, 5_000_000_123, "p-0001", "CommentAdded"),
        encode_payload(
            "batch-0001", "command-0001", {"text": "37.0 °C reached", "volume_ml": "50.0", "count": 3}
        ),
    )
    second = encode_record(
        golden_header(2, datetime(2026, 11, 21, 7, 30, 1, tzinfo=UTC), 6_000_000_000, "unit", "TimerElapsed"),
        encode_payload("batch-0001", None, {"phase": "thaw", "key": "t", "target_s": 60}),
    )
    one = StoredRecord(1, record_hash(NO_HASH, first), first)
    return [one, StoredRecord(2, record_hash(one.hash, second), second)]


@pytest.mark.requirement("F-062", "R-05")
def test_the_golden_records_come_out_to_the_byte() -> None:
    for number, stored in enumerate(golden_records(), 1):
        assert stored.data.hex() == block(f"record-{number}").replace("\n", "")
        assert stored.hash.hex() == block(f"hash-{number}")


def test_the_golden_segment_and_its_signature_come_out_to_the_byte() -> None:
    sealed_at = Stamp(datetime(2026, 11, 21, 7, 31, tzinfo=UTC), 7_000_000_000, bytes(range(16, 32)), 1)
    segment = make_segment(
        golden_records(),
        NO_HASH,
        Ed25519PrivateKey.from_private_bytes(RFC_8032_TEST_1),
        sealed_at,
        software_version="0.1.0",
        simulated=False,
    )
    assert segment.header.decode() == block("segment")
    assert segment.signature.hex() == block("signature")


def test_the_golden_bytes_say_what_the_page_says() -> None:
    data = bytes.fromhex(block("record-1").replace("\n", ""))
    header, payload = split_record(data)
    assert (header.unit, header.log, header.seq, header.actor) == ("unit-0001", "gxp", 1, "p-0001")
    assert header.wall == datetime(2026, 11, 21, 7, 30, 0, 123456, tzinfo=UTC)
    assert decode_payload(payload).body == {"text": "37.0 °C reached", "volume_ml": "50.0", "count": 3}
    assert data[:4] == b"CWR1" and data[40:43] == b"gxp" and data[156:168] == b"CommentAdded"


def test_the_chain_rule_of_the_page_gives_the_golden_hash() -> None:
    data = bytes.fromhex(block("record-1").replace("\n", ""))
    spelt_out = hashlib.sha256(b"cellwright/rec/1" + bytes(32) + len(data).to_bytes(8, "big") + data)
    assert spelt_out.hexdigest() == block("hash-1")


def test_the_package_carries_the_same_page() -> None:
    packaged = Path(appliance.record.__file__).with_name("record_format.txt")
    assert packaged.read_text() == PAGE


@EASY
@given(headers, bodies)
def test_what_is_encoded_is_read_back_the_same(header: Header, body: dict[str, object]) -> None:
    payload = encode_payload("b", None, body)
    data = encode_record(header, payload)
    assert split_record(data) == (header, payload)
    assert encode_record(*split_record(data)) == data
    assert decode_payload(payload).body == body


@EASY
@given(headers, bodies, st.data())
def test_a_changed_byte_in_a_record_changes_its_hash(
    header: Header, body: dict[str, object], data: st.DataObject
) -> None:
    record = encode_record(header, encode_payload(None, None, body))
    place = data.draw(st.integers(0, len(record) - 1))
    changed = bytearray(record)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert record_hash(NO_HASH, bytes(changed)) != record_hash(NO_HASH, record)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=HEADER_BYTES + 60))
def test_any_bytes_are_a_record_or_are_refused(raw: bytes) -> None:
    try:
        header, payload = split_record(b"CWR1\x00\x01\x00\xd0" + raw)
    except RecordRefused:
        return
    assert header.seq >= 1 and len(payload) == len(raw) + 8 - HEADER_BYTES


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_payload_or_are_refused(raw: bytes) -> None:
    try:
        check_payload(raw)
    except RecordRefused:
        return
    assert set(json.loads(raw)) == {"batch", "command", "body"}


@EASY
@given(bodies)
def test_the_signed_form_of_json_is_the_one_that_plain_python_writes(body: dict[str, object]) -> None:
    plain = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert json.loads(canonical_json(body)) == json.loads(plain)
    assert list(json.loads(canonical_json(body))) == sorted(body)


@pytest.mark.parametrize(
    "body",
    [{"x": 1.5}, {"x": float("nan")}, {"x": [{"y": 0.0}]}, {"x": 2**53 + 1}, {"x": b"raw"}, {"x": {1: "a"}}],
)
@pytest.mark.requirement("R-36")
def test_a_float_or_a_huge_number_never_gets_into_the_record(body: dict[str, object]) -> None:
    with pytest.raises(RecordRefused):
        encode_payload("b", None, body)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"batch":null,"command":null,"body":{"x":1.0}}',
        b'{"batch":null,"command":null,"body":{"x":1e3}}',
        b'{"batch":null,"command":null,"body":{"x":9007199254740993}}',
        b'{"batch":null,"command":null,"body":{},"more":1}',
        b'{"batch":1,"command":null,"body":{}}',
        b'{"batch":null,"command":null}',
        b"[]",
        b"\xff",
        b'{"batch":null,"command":null,"body":' + b'{"x":' * 40 + b"1" + b"}" * 41,
    ],
)
def test_a_payload_of_another_form_is_refused(raw: bytes) -> None:
    with pytest.raises(RecordRefused):
        check_payload(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unit", "u" * 33),
        ("actor", ""),
        ("kind", "a\x00b"),
        ("log", "l" * 17),
        ("seq", -1),
        ("epoch", b"short"),
    ],
)
def test_a_header_field_that_does_not_fit_is_refused(field: str, value: object) -> None:
    wall = datetime(2026, 1, 1, tzinfo=UTC)
    header = golden_header(1, wall, 0, "unit", "CommentAdded")
    changed = {name: getattr(header, name) for name in Header.__slots__} | {field: value}
    with pytest.raises(RecordRefused):
        encode_record(Header(**changed), encode_payload(None, None, {}))


def test_times_are_exact_to_the_microsecond_far_from_today() -> None:
    for year in (1, 1969, 2026, 9999):
        wall = datetime(year, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
        header = golden_header(1, wall, 0, "unit", "CommentAdded")
        assert split_record(encode_record(header, encode_payload(None, None, {})))[0].wall == wall


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1 as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    left, right = recursive_root(leaves[:split]), recursive_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@pytest.mark.parametrize("count", [*range(18), 100, 127, 128, 129])
def test_the_tree_hash_is_the_one_of_rfc_9162(count: int) -> None:
    leaves = [number.to_bytes(2, "big") for number in range(count)]
    assert merkle_root(leaves) == recursive_root(leaves)


def test_the_tree_hash_of_the_known_test_vector() -> None:
    leaves = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243")]
    leaves += [bytes.fromhex("5051525354555657"), bytes.fromhex("606162636465666768696a6b6c6d6e6f")]
    assert merkle_root(leaves).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_a_stamp_with_local_time_is_a_fault_of_the_program() -> None:
    from datetime import timezone

    with pytest.raises(AssertionError):
        Stamp(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0, bytes(16), 1)
