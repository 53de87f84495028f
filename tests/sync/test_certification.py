"""A batch is decided by the QP's own key, over what was reviewed, or not at all."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from central_site import (
    CELLWRIGHT,
    PASSPHRASE,
    PASSWORD,
    CentralProcess,
    Unit,
    agent_of,
    make_batch,
    review_audit,
    seal,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from small_engine import SmallEngine

from appliance.access import documents
from appliance.access.errors import DocumentRefused
from appliance.access.keys import Trust, make_qp_key, save_qp_key
from appliance.access.people import People
from appliance.access.qp_decision import check_decision, sign_decision
from appliance.domain import events
from sync import qp
from sync.central.accounts import Accounts, SignedIn, SignInRefused
from sync.central.blob_store import BlobStore
from sync.central.certify import Certify, CertifyRefused
from sync.central.review import Review, review_batch
from sync.central.store import Store

QP = SignedIn("p-qp", "Quinn Petersen", "qp", "")
QA = SignedIn("p-qa", "Ada Quist", "qa_reviewer", "")
NOW = datetime.now(UTC)


@pytest.fixture
def shipped(unit: Unit, shared_central: CentralProcess) -> Unit:
    """A unit whose sealed batch lies whole at central."""
    engine = SmallEngine(unit, shared_central.home.fingerprint())
    make_batch(unit)
    agent_of(unit, shared_central.url).round()
    engine.close()
    review_audit(shared_central, unit)
    return unit


def seen(store: Store, unit: Unit) -> Review:
    """What central says of the batch now."""
    review = review_batch(store, unit.unit_id, "B-0001")
    assert review is not None
    return review


def certify_words(central: CentralProcess, unit: Unit, *more: str, key: Path | None = None) -> list[str]:
    words = ["certify", "--central", central.qa_url, "--batch", "B-0001", "--unit", unit.unit_id]
    words += ["--ca", str(central.home.ca_certificate), "--person", "p-qp"]
    return [*words, "--key", str(key or central.qp_file), "--passphrase-stdin", *more]


def certify_by_command(
    central: CentralProcess, unit: Unit, *more: str, key: Path | None = None, secrets: str = ""
) -> subprocess.CompletedProcess[str]:
    """`cellwright qp certify` in this process: the network, the files and the signature are real."""
    words, out, err = certify_words(central, unit, *more, key=key), io.StringIO(), io.StringIO()
    typed, before = io.StringIO(secrets or f"{PASSPHRASE}\n{PASSWORD}\n"), sys.stdin
    sys.stdin = typed
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = qp.qp(words)
    finally:
        sys.stdin = before
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def desk(central: CentralProcess) -> Certify:
    store = central.home.store()
    return Certify(store, BlobStore(central.home.blobs), lambda: central.home.settings().root)


def decisions(central: CentralProcess, unit: Unit) -> int:
    return len(central.home.store().decisions(unit.unit_id, "B-0001"))


def test_the_qp_certifies_from_the_command_line_and_the_decision_reaches_the_unit(
    shipped: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    kept = tmp_path / "signed.json"

    done = subprocess.run(
        [str(CELLWRIGHT), "qp", *certify_words(shared_central, shipped, "--out", str(kept))],
        input=f"{PASSPHRASE}\n{PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    engine = SmallEngine(shipped, shared_central.home.fingerprint())
    agent_of(shipped, shared_central.url).round()
    engine.close()

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["disposition"], said["version"]) == ("released", 1)
    [delivered] = engine.documents
    assert documents.parse(delivered) == documents.load(kept)
    people = desk(shared_central).people()
    assert people is not None
    review = review_batch(shared_central.home.store(), shipped.unit_id, "B-0001")
    assert review is not None
    decision = check_decision(
        documents.load(kept),
        people=people,
        expected=review.expected_seal(),
        seen_version=0,
        now=NOW,
        time_trusted=True,
    )
    assert decision.disposition == "released"


def test_a_signed_file_carried_by_hand_is_handed_to_the_engine(
    shipped: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    kept = tmp_path / "signed.json"
    certify_by_command(shared_central, shipped, "--out", str(kept))
    engine = SmallEngine(shipped, shared_central.home.fingerprint())
    words = [str(CELLWRIGHT), "qp", "deliver", "--home", str(shipped.home.root), str(kept)]

    taken = subprocess.run(words, capture_output=True, text=True, timeout=60)
    engine.refuse = "The record changed after it was certified. Certify again."
    refused = subprocess.run(words, capture_output=True, text=True, timeout=60)
    engine.close()

    assert (taken.returncode, refused.returncode) == (0, 1)
    assert "Certify again" in json.loads(refused.stdout)["refused"]
    assert len(engine.documents) == 2


def test_with_no_engine_a_carried_file_is_not_lost_and_the_words_say_why(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    file = tmp_path / "signed.json"
    documents.dump(sign_decision(b"{}", shared_central.qp_key), file)

    words = [str(CELLWRIGHT), "qp", "deliver", "--home", str(unit.home.root), str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "does not answer" in done.stderr


def test_a_wrong_passphrase_signs_nothing(shipped: Unit, shared_central: CentralProcess) -> None:
    done = certify_by_command(shared_central, shipped, secrets=f"not the passphrase\n{PASSWORD}\n")

    assert done.returncode == 1
    assert "passphrase does not open this key" in done.stderr
    assert decisions(shared_central, shipped) == 0


def test_a_key_that_the_list_of_people_does_not_name_is_refused(
    shipped: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    file, _ = make_qp_key("p-qp", PASSPHRASE)
    save_qp_key(file, tmp_path / "other.key")

    done = certify_by_command(shared_central, shipped, key=tmp_path / "other.key")

    assert done.returncode == 1
    assert "not signed with the key that the list of people names" in done.stderr
    assert decisions(shared_central, shipped) == 0


def test_a_rejection_carries_its_reason_and_needs_one(shipped: Unit, shared_central: CentralProcess) -> None:
    without = certify_by_command(shared_central, shipped, "--reject")
    done = certify_by_command(shared_central, shipped, "--reject", "--reason", "Bag leaked.")

    assert without.returncode == 2
    assert done.returncode == 0, done.stderr
    [decision] = shared_central.home.store().decisions(shipped.unit_id, "B-0001")
    content = json.loads(documents.parse(decision.envelope).content)
    assert (content["disposition"], content["reason"]) == ("rejected", "Bag leaked.")


def test_a_fully_controlled_central_releases_nothing(shipped: Unit, shared_central: CentralProcess) -> None:
    """All of central's keys and its whole database in wrong hands: the unit still says no."""
    review = review_batch(shared_central.home.store(), shipped.unit_id, "B-0001")
    people = desk(shared_central).people()
    assert review is not None
    assert people is not None
    offer = desk(shared_central).offer(
        review, QP, stage="conditional", disposition="released", reason="", now=NOW
    )
    central_key = shared_central.home.signing_key()
    trust = Trust(central=(shared_central.home.fingerprint(),))

    for key in (central_key, Ed25519PrivateKey.generate()):
        forged = sign_decision(offer.content, key)
        with pytest.raises(DocumentRefused, match="Only a QP's own key"):
            check_decision(
                forged,
                people=people,
                expected=review.expected_seal(),
                seen_version=0,
                now=NOW,
                time_trusted=True,
                trust=trust,
            )


def test_bytes_that_were_not_offered_are_not_taken(shipped: Unit, shared_central: CentralProcess) -> None:
    review = review_batch(shared_central.home.store(), shipped.unit_id, "B-0001")
    assert review is not None
    offer = desk(shared_central).offer(
        review, QP, stage="conditional", disposition="released", reason="", now=NOW
    )
    other = offer.content.replace(b'"version":1', b'"version":9')

    with pytest.raises(CertifyRefused, match="not the bytes that were offered"):
        desk(shared_central).take(
            shipped.unit_id, "B-0001", QP, sign_decision(other, shared_central.qp_key), now=NOW
        )


def test_a_qa_reviewer_cannot_decide(shipped: Unit, shared_central: CentralProcess) -> None:
    review = review_batch(shared_central.home.store(), shipped.unit_id, "B-0001")
    assert review is not None

    with pytest.raises(CertifyRefused, match="Only a QP"):
        desk(shared_central).offer(review, QA, stage="final", disposition="released", reason="", now=NOW)


def test_a_batch_that_is_not_sealed_or_not_complete_cannot_be_decided(
    unit: Unit, shared_central: CentralProcess
) -> None:
    unit.say(events.PhaseStarted(phase="thaw"), batch="B-0001")
    unit.record.seal(unit.stamp())
    agent_of(unit, shared_central.url).round()

    done = certify_by_command(shared_central, unit)

    assert done.returncode == 1
    assert "not sealed yet" in done.stderr


def test_a_result_out_of_its_limit_can_only_be_rejected(unit: Unit, shared_central: CentralProcess) -> None:
    make_batch(unit, failed=True)
    agent_of(unit, shared_central.url).round()

    released = certify_by_command(shared_central, unit)
    rejected = certify_by_command(shared_central, unit, "--reject", "--reason", "Viability too low.")

    assert (released.returncode, rejected.returncode) == (1, 0)
    assert "Out of the release limit: viability" in released.stderr


def test_an_event_after_the_seal_takes_the_decision_away(
    shipped: Unit, shared_central: CentralProcess
) -> None:
    shipped.say(events.CommentAdded(text="One more thing."), batch="B-0001")
    shipped.record.seal(shipped.stamp())
    agent_of(shipped, shared_central.url).round()

    done = certify_by_command(shared_central, shipped)

    assert done.returncode == 1
    assert "changed after it was sealed" in done.stderr


@pytest.mark.requirement("F-094")
def test_a_recall_after_the_release_brings_the_batch_back_to_the_qp(
    shipped: Unit, shared_central: CentralProcess
) -> None:
    store = shared_central.home.store()
    assert certify_by_command(shared_central, shipped).returncode == 0
    assert seen(store, shipped).disposition == "released"

    recalled = events.LotOfBatchRecalled(
        material="dye", catalogue="XXTRYPAN", lot="DEMO0003", reference="FSN-1", words="Particles."
    )
    shipped.say(recalled, batch="B-0001")
    shipped.record.seal(shipped.stamp())
    agent_of(shipped, shared_central.url).round()
    waiting = seen(store, shipped)
    too_soon = certify_by_command(shared_central, shipped)

    hash_, labels = waiting.seal["recipe_hash"], list(waiting.seal["dose_labels"])
    seal(shipped, "B-0001", hash_, labels)
    agent_of(shipped, shared_central.url).round()
    review_audit(shared_central, shipped)
    again = certify_by_command(shared_central, shipped)

    assert (waiting.disposition, waiting.group) == ("", "blocked")
    assert (too_soon.returncode, "changed after it was sealed" in too_soon.stderr) == (1, True)
    assert again.returncode == 0, again.stderr
    assert [one.version for one in seen(store, shipped).decisions] == [1, 2]
    assert seen(store, shipped).disposition == "released"


def test_a_file_that_was_changed_on_centrals_disk_stops_the_decision(
    shipped: Unit, shared_central: CentralProcess
) -> None:
    [blob] = shared_central.home.store().batch_blobs(shipped.unit_id, "B-0001")
    path = BlobStore(shared_central.home.blobs).path(blob.sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")

    done = certify_by_command(shared_central, shipped)

    assert done.returncode == 1
    assert "does not verify" in done.stderr


def test_a_list_of_people_by_another_root_is_not_imported(
    shared_central: CentralProcess, tmp_path: Path
) -> None:
    from sync.central.command import central as central_command

    people = desk(shared_central).people()
    assert isinstance(people, People)
    forged = documents.sign("people", people.to_content(), Ed25519PrivateKey.generate(), "root")
    documents.dump(forged, tmp_path / "people.json")

    status = central_command(
        ["import-document", "--home", str(shared_central.home.root), str(tmp_path / "people.json")]
    )

    assert status == 1


def test_five_wrong_passwords_lock_an_account_for_a_quarter_of_an_hour(
    shared_central: CentralProcess, tmp_path: Path
) -> None:
    from datetime import timedelta

    from sync.central.store_sqlite import SqliteStore

    accounts = Accounts(SqliteStore(tmp_path / "accounts.db"), b"s" * 32)
    accounts.add(person="p-9", name="Nine", role="qp", password=PASSWORD, now=NOW)
    for _ in range(5):
        with pytest.raises(SignInRefused, match="wrong"):
            accounts.sign_in("p-9", "wrong password here", now=NOW)

    with pytest.raises(SignInRefused, match="locked until"):
        accounts.sign_in("p-9", PASSWORD, now=NOW + timedelta(minutes=14))
    token, who = accounts.sign_in("p-9", PASSWORD, now=NOW + timedelta(minutes=16))

    assert accounts.session(token, now=NOW + timedelta(minutes=17)) == who
    assert accounts.session(token, now=NOW + timedelta(hours=9)) is None


def test_what_central_offers_must_be_what_was_asked_for(shared_central: CentralProcess) -> None:
    from appliance.access.qp_decision import read_decision

    offered = read_decision(_content(disposition="released"))
    asked = argparse.Namespace(batch="B-0001", stage="conditional", person="p-qp")

    with pytest.raises(qp.NotCertified, match="another decision"):
        qp._refuse_other(offered, asked, "u-1", "rejected")


def _content(**changed: object) -> bytes:
    facts = {
        "version": 1,
        "unit": "u-1",
        "batch": "B-0001",
        "stage": "conditional",
        "disposition": "released",
        "recipe_hash": "",
        "log_epoch": "",
        "sealed_seq": 1,
        "sealed_hash": "",
        "telemetry_seq": 1,
        "telemetry_hash": "",
        "blobs_hash": "",
        "dose_labels": [],
        "decided_at": "2026-11-20T08:00:00Z",
        "expires_at": "2026-11-21T08:00:00Z",
        "by": "p-qp",
        "name": "Quinn Petersen",
        "reason": "",
    } | changed
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
