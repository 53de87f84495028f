"""What an event says of the record around it is held against that record, by both verifiers alike.

Each of these records is chained and signed by the unit's own key: the chain alone would call it whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from record_bench import (
    BATCH,
    OTHER_KEY,
    QP_KEY,
    ROOT_KEY,
    UNIT_KEY,
    new_record,
    people_content,
    signed_document,
    stamp,
    trust,
    write,
)

from appliance.domain.blob_names import blobs_hash
from appliance.record import stand_alone_verify
from appliance.record.canonical import StoredRecord, encode_payload
from appliance.record.checks import Trust
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.segments import public_bytes
from appliance.record.verify import verify_record

DEVELOPER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(4, 36)))
REVIEWER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(5, 37)))
RECIPE = b'[recipe]\nid = "thaw"\n'
RECIPE_HASH = hashlib.sha256(RECIPE).hexdigest()
TEMPLATE = b"[template]\n"
TEMPLATE_HASH = hashlib.sha256(TEMPLATE).hexdigest()
Judge = Callable[..., dict[str, Any]]


@pytest.fixture
def judged(record: Record, tmp_path: Path) -> Judge:
    """Sign everything, then the verdict on the folder and of both verifiers on the archive, all the same."""

    def judge(trusted: dict[str, list[str]] | None = None) -> dict[str, Any]:
        record.seal(stamp(99), log="telemetry")
        record.seal(stamp(99))
        path = export_batch(record, BATCH, tmp_path / "batch.zip", report_html=b"<title>x</title>")
        lists = None if trusted is None else Trust({role: frozenset(keys) for role, keys in trusted.items()})
        folder, archived = verify_record(record.folder, lists).as_json(), verify_record(path, lists).as_json()
        alone = stand_alone_verify.verify(path.read_bytes(), trusted)
        for name in ("whole", "trusted", "first_bad"):
            assert folder[name] == archived[name] == alone[name], name
        return archived

    return judge


def telemetry(record: Record) -> StoredRecord:
    payload = encode_payload(BATCH, None, {"chunk": ""})
    return record.append("MinuteChunk", payload, actor="unit", stamp=stamp(), log="telemetry")


def keep(record: Record, kind: str, content: bytes, **keys: Ed25519PrivateKey) -> str:
    """A document signed in each of these roles."""
    parts = [json.loads(signed_document(kind, content, role, key)) for role, key in keys.items()]
    whole = {**parts[0], "signatures": [one for part in parts for one in part["signatures"]]}
    return record.put_blob(json.dumps(whole).encode(), "application/json").sha256


def opens(record: Record, *, batch: str = BATCH, people: bytes = b"", **more: Any) -> StoredRecord:
    people = people or people_content(qp=QP_KEY, recipe_developer=DEVELOPER_KEY, qa_reviewer=REVIEWER_KEY)
    body = {"recipe_hash": RECIPE_HASH, "people_blob": keep(record, "people", people, root=ROOT_KEY)}
    return write(record, "BatchOpened", body | more, batch=batch)


def signs(record: Record, *, phase: str = "seal", **said: Any) -> StoredRecord:
    place = {"unit": "unit-0001", "batch": BATCH, "phase": "seal", "recipe_hash": RECIPE_HASH}
    content = json.dumps(place | {"recorded_up_to_seq": record.head().seq} | said, sort_keys=True)
    signed = hashlib.sha256(content.encode()).hexdigest()
    return write(record, "SignatureGiven", {"phase": phase, "content": content, "signs": signed})


def seals(record: Record, **changed: Any) -> StoredRecord:
    head, trends = record.head(), record.head("telemetry")
    opened = next(one for one in record.read() if one.header.kind == "BatchOpened")
    names = {json.loads(opened.payload)["body"]["people_blob"]}
    body = {
        "log_epoch": head.epoch.hex(),
        "sealed_seq": head.seq,
        "sealed_hash": head.hash.hex(),
        "telemetry_seq": trends.seq,
        "telemetry_hash": trends.hash.hex(),
        "blobs_hash": blobs_hash(names),
        "blob_count": len(names),
        "recipe_hash": RECIPE_HASH,
    }
    return write(record, "BatchSealed", body | changed)


def decides(record: Record, seal: StoredRecord, *, key: Ed25519PrivateKey = QP_KEY, **changed: Any) -> None:
    body = json.loads(seal.payload)["body"]
    names = ("sealed_seq", "sealed_hash", "telemetry_hash", "blobs_hash", "recipe_hash")
    content = json.dumps({"batch": BATCH, **{name: body[name] for name in names}, **changed}).encode()
    hashed = hashlib.sha256(content).hexdigest()
    blob = keep(record, "decision", content, qp=key)
    write(record, "DispositionRecorded", {"decision_blob": blob, "decision_hash": hashed})


@pytest.mark.requirement("R-02", "R-22", "F-054")
def test_a_batch_whose_promises_all_hold_is_whole_and_trusted(record: Record, judged: Judge) -> None:
    opens(record)
    chunk = telemetry(record)
    write(record, "MeasurementsSealed", {"telemetry_seq": chunk.seq, "telemetry_hash": chunk.hash.hex()},
          batch=None)  # fmt: skip
    signs(record)
    decides(record, seals(record))

    verdict = judged(trust())

    assert verdict["whole"] and verdict["trusted"], verdict["words"]


@pytest.mark.requirement("R-22")
@pytest.mark.parametrize(
    "said",
    [
        {"batch": "batch-0002"},
        {"phase": "thaw"},
        {"unit": "unit-0002"},
        {"recipe_hash": "11" * 32},
        {"recorded_up_to_seq": 99},
        {"recorded_up_to_seq": 1},
        {"recorded_up_to_seq": "2"},
    ],
    ids=str,
)
def test_a_signature_that_was_given_elsewhere_is_found(
    record: Record, judged: Judge, said: dict[str, Any]
) -> None:
    opens(record)
    signed = signs(record, **said)

    bad = judged()["first_bad"]

    assert (bad["seq"], bad["kind"]) == (signed.seq, "SignatureGiven")
    assert bad["words"] == "the signature was given for another place of the record."


@pytest.mark.requirement("R-22", "R-02")
def test_a_signature_moved_to_another_batch_is_found(record: Record, judged: Judge) -> None:
    opens(record)
    signed = signs(record)
    opens(record, batch="batch-0002")
    moved = write(record, "SignatureGiven", json.loads(signed.payload)["body"], batch="batch-0002")

    assert judged()["first_bad"]["seq"] == moved.seq


@pytest.mark.requirement("R-22")
def test_a_second_persons_confirmation_covers_exactly_what_was_shown(record: Record, judged: Judge) -> None:
    opens(record)
    signed = {"phase": "bag", "content": "The bag is A9999.", "signs": "22" * 32}
    shown = write(record, "SecondPersonConfirmed", signed)

    assert judged()["first_bad"] == {
        "log": "gxp",
        "seq": shown.seq,
        "kind": "SecondPersonConfirmed",
        "words": "the signature does not cover the text it stands under.",
    }


@pytest.mark.requirement("R-02", "R-45")
@pytest.mark.parametrize("changed", [{"telemetry_hash": "33" * 32}, {"telemetry_seq": 3}], ids=str)
def test_an_anchor_of_other_telemetry_is_found(
    record: Record, judged: Judge, changed: dict[str, Any]
) -> None:
    opens(record)
    chunk = telemetry(record)
    body = {"telemetry_seq": chunk.seq, "telemetry_hash": chunk.hash.hex(), "why": "hour"} | changed
    anchor = write(record, "MeasurementsSealed", body, batch=None)

    bad = judged()["first_bad"]

    assert (bad["seq"], bad["words"]) == (anchor.seq, "it names telemetry that is not this record's.")


@pytest.mark.requirement("R-02", "R-45")
@pytest.mark.parametrize(
    "changed",
    [
        {"sealed_hash": "33" * 32},
        {"telemetry_hash": "33" * 32},
        {"blobs_hash": "33" * 32},
        {"blob_count": 7},
        {"recipe_hash": "33" * 32},
    ],
    ids=str,
)
def test_a_seal_that_names_something_else_is_found(
    record: Record, judged: Judge, changed: dict[str, Any]
) -> None:
    opens(record)
    telemetry(record)
    seal = seals(record, **changed)

    bad = judged()["first_bad"]

    assert (bad["seq"], bad["kind"]) == (seal.seq, "BatchSealed")


@pytest.mark.requirement("R-22", "R-02")
@pytest.mark.parametrize(
    "changed",
    [{"batch": "batch-0002"}, {"sealed_hash": "33" * 32}, {"telemetry_hash": "33" * 32}, {"recipe_hash": ""}],
    ids=str,
)
def test_a_decision_about_something_else_is_found(
    record: Record, judged: Judge, changed: dict[str, Any]
) -> None:
    opens(record)
    decides(record, seals(record), **changed)

    assert judged()["first_bad"]["kind"] == "DispositionRecorded"


@pytest.mark.requirement("R-02")
def test_a_recipe_file_that_is_not_the_recipe_is_found(record: Record, judged: Judge) -> None:
    other = keep(record, "recipe", b"other", recipe_developer=DEVELOPER_KEY, qa_reviewer=REVIEWER_KEY)
    opens(record, recipe_blob=other)

    assert judged()["first_bad"]["kind"] == "BatchOpened"


@pytest.mark.parametrize(
    ("people", "trusted"),
    [
        ({"qp": QP_KEY}, True),
        ({"qp": OTHER_KEY}, False),
        ({"qa_reviewer": QP_KEY}, False),
    ],
    ids=["listed as QP", "not listed", "listed in another role"],
)
def test_a_decision_is_trusted_when_the_people_of_the_root_name_its_signer_as_qp(
    record: Record, judged: Judge, people: dict[str, Ed25519PrivateKey], trusted: bool
) -> None:
    opens(record, people=people_content(**people))
    decides(record, seals(record))

    verdict = judged(trust())

    assert verdict["whole"]
    assert verdict["trusted"] is trusted


@pytest.mark.parametrize(
    ("developer", "reviewer", "trusted"),
    [
        (DEVELOPER_KEY, REVIEWER_KEY, True),
        (DEVELOPER_KEY, OTHER_KEY, False),
        (OTHER_KEY, REVIEWER_KEY, False),
    ],
    ids=["both listed", "reviewer unknown", "developer unknown"],
)
def test_a_recipe_is_trusted_when_a_developer_and_a_reviewer_of_the_list_signed_it(
    record: Record, judged: Judge, developer: Ed25519PrivateKey, reviewer: Ed25519PrivateKey, trusted: bool
) -> None:
    recipe = keep(record, "recipe", RECIPE, recipe_developer=developer, qa_reviewer=reviewer)
    opens(record, recipe_blob=recipe)

    verdict = judged(trust())

    assert verdict["whole"]
    assert verdict["trusted"] is trusted


@pytest.mark.requirement("F-007", "R-22")
@pytest.mark.parametrize(
    ("reviewer", "hash_said", "whole", "trusted"),
    [
        (REVIEWER_KEY, TEMPLATE_HASH, True, True),
        (OTHER_KEY, TEMPLATE_HASH, True, False),
        (REVIEWER_KEY, "0" * 64, False, None),
    ],
    ids=["approved", "reviewer unknown", "another template"],
)
def test_a_label_template_is_held_to_its_hash_and_to_those_who_approved_it(
    record: Record,
    judged: Judge,
    reviewer: Ed25519PrivateKey,
    hash_said: str,
    whole: bool,
    trusted: bool | None,
) -> None:
    blob = keep(record, "label_template", TEMPLATE, recipe_developer=DEVELOPER_KEY, qa_reviewer=reviewer)
    opens(record, label_templates={"dose": {"version": "2", "hash": hash_said, "template_blob": blob}})

    verdict = judged(trust())

    assert verdict["whole"] is whole
    if trusted is not None:
        assert verdict["trusted"] is trusted


def test_one_person_in_both_roles_does_not_approve_a_recipe(record: Record, judged: Judge) -> None:
    people = json.loads(people_content(recipe_developer=DEVELOPER_KEY, qa_reviewer=REVIEWER_KEY))
    for row in people["keys"]:
        row["person"] = "p-0001"
    recipe = keep(record, "recipe", RECIPE, recipe_developer=DEVELOPER_KEY, qa_reviewer=REVIEWER_KEY)
    opens(record, people=json.dumps(people).encode(), recipe_blob=recipe)

    assert judged(trust())["trusted"] is False


def test_a_list_of_people_that_came_later_is_the_one_that_counts(record: Record, judged: Judge) -> None:
    opens(record, people=people_content(qp=OTHER_KEY))
    later = keep(record, "people", people_content(qp=QP_KEY), root=ROOT_KEY)
    write(record, "DocumentActivated", {"type": "people", "blob": later}, batch=None)
    decides(record, seals(record))

    assert judged(trust())["trusted"] is True


def acknowledged(
    record: Record, *, key: Ed25519PrivateKey = OTHER_KEY, signer: Ed25519PrivateKey | None = None
) -> None:
    """Central acknowledges everything; its trusted key in these tests is OTHER_KEY."""
    head = record.head()
    said = {
        "acked_seq": head.seq,
        "acked_hash": head.hash.hex(),
        "server_time": "2026-11-21T07:31:00Z",
        "public_key": base64.b64encode(public_bytes(key)).decode(),
    }
    content = json.dumps(said).encode()
    signature = (signer or key).sign(b"cellwright/ack/1\x00" + content)
    record.store_ack(content, signature, log="gxp", acked_seq=head.seq)


@pytest.mark.requirement("R-36", "R-02")
def test_acknowledgements_are_checked_against_the_trusted_central(tmp_path: Path) -> None:
    lists = Trust({role: frozenset(keys) for role, keys in trust().items()})
    with new_record(tmp_path / "record") as record:
        acknowledged(record)
        good = verify_record(record.folder, lists)
        acknowledged(record, key=UNIT_KEY)
        stranger = verify_record(record.folder, lists)
        acknowledged(record, signer=UNIT_KEY)
        forged = verify_record(record.folder)

    assert good.good, good.words
    assert stranger.whole and stranger.trusted is False
    assert stranger.distrusted == ["central's acknowledgement of gxp event 1"]
    assert not forged.whole
    assert forged.first_bad is not None and "acknowledgement of it does not hold" in forged.first_bad.words


@pytest.mark.requirement("R-02")
def test_the_quick_way_past_usual_events_finds_what_the_long_way_finds(tmp_path: Path) -> None:
    from appliance.record.canonical import NO_HASH, record_hash
    from appliance.record.checks import Origin, Run

    with new_record(tmp_path / "record") as record:
        for number in range(3):
            write(record, "ValueRecorded", {"phase": "thaw", "value": f"{number}.5"})
        rows = [(one.seq, one.hash, one.data) for one in record.read()]
        epoch = record.head().epoch
    origin = Origin("unit-0001", epoch, public_bytes(UNIT_KEY), True)
    _, before, _ = rows[-2]
    seq, _, data = rows[-1]

    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            # The hash is made to fit, as whoever holds the file could: the form alone must tell.
            row = (seq, record_hash(before, changed), changed)
            quick, slow = Run("gxp", 1, NO_HASH, origin), Run("gxp", 1, NO_HASH, origin)

            passed = quick.add_all([*rows[:-1], row])

            taken = [slow.add(raw, hashed) for _, hashed, raw in [*rows[:-1], row]]
            assert passed == taken[-1], (at, bit)
            assert quick.findings == slow.findings, (at, bit)
            assert (quick.last, quick.hash_at(quick.last)) == (slow.last, slow.hash_at(slow.last))
