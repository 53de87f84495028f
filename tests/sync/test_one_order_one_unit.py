"""One order, one unit; one bag, one batch: what central sees across units, and what it does (SAFETY 9)."""

from __future__ import annotations

import io
import json
import random
import secrets
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from central_site import PASSWORD, CentralProcess, Unit, agent_of, enrol, make_batch, review_audit
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from small_engine import SmallEngine

from appliance.access import documents
from appliance.access.central_words import read_word
from appliance.access.keys import load_pin_secret
from appliance.domain import events
from appliance.domain.batch import Order
from sync.central.accounts import Accounts, SignedIn
from sync.central.blob_store import BlobStore
from sync.central.certify import Certify, CertifyRefused
from sync.central.chain_of_identity import chain_of, order_facts
from sync.central.command import central as central_command
from sync.central.intake import Place, take_segment
from sync.central.orders import OrderNotGiven, Orders
from sync.central.review import Review, review_batch
from sync.central.second_use import all_second_uses, catch_up, note
from sync.central.stops import reached, words_sent
from sync.central.store_sqlite import SqliteStore
from sync.envelope import pack, unpack

QP = SignedIn("p-qp", "Quinn Petersen", "qp", "")
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=2)


@pytest.fixture
def second(shared_central: CentralProcess, tmp_path: Path) -> Iterator[Unit]:
    """Another unit at the same central."""
    made = enrol(shared_central, tmp_path / "second")
    yield made
    made.record.close()


@pytest.fixture
def client(shared_central: CentralProcess) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=str(shared_central.home.ca_certificate))
    with httpx.Client(base_url=shared_central.qa_url, verify=context) as made:
        yield made


def signed_in(client: httpx.Client, person: str) -> dict[str, str]:
    """What every form of this session carries."""
    origin = {"Origin": str(client.base_url).rstrip("/")}
    answer = client.post("/api/session", json={"person": person, "password": PASSWORD}, headers=origin)
    return {"form_token": str(answer.json()["form_token"])}


def posted(client: httpx.Client, path: str, form: dict[str, str]) -> httpx.Response:
    return client.post(path, data=form, headers={"Origin": str(client.base_url).rstrip("/")})


def ship(unit: Unit, central: CentralProcess) -> list[dict[str, Any]]:
    """One round of the agent over HTTPS; returns the documents that came down."""
    engine = SmallEngine(unit, central.home.fingerprint())
    try:
        agent_of(unit, central.url).round()
    finally:
        engine.close()
    return engine.documents


def reviewed(central: CentralProcess, unit: Unit, batch: str = "B-0001") -> Review:
    found = review_batch(central.home.store(), unit.unit_id, batch)
    assert found is not None
    return found


def orders_of(central: CentralProcess) -> Orders:
    store = central.home.store()
    accounts = Accounts(store, load_pin_secret(central.home.password_secret))
    return Orders(store, central.home.signing_key(), accounts)


def order_for(unit: Unit, *, until: datetime = LATER) -> dict[str, str]:
    return {
        "id": f"ORD-{secrets.token_hex(4)}",
        "recipe": "thaw-wash-dose-50",
        "patient": "SIM-PAT-7",
        "coi": "CHA999926000001",
        "din": "A999926123456",
        "description_code": "S9991",
        "division": "00",
        "weight_kg": "70",
        "dose_target_cells_kg": "1.5e6",
        "unit": unit.unit_id,
        "consent": "CONSENT-1",
        "expires_at": until.isoformat(),
        "assignment": "1",
    }


def bag() -> events.BagAccepted:
    """A bag that no other test uses."""
    din = f"A9999{secrets.randbelow(10**8):08d}"
    return events.BagAccepted(
        phase="receive_bag", din=din, description_code="S9991", division="00", expires_at="", picture=""
    )


# ── A second use ───────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("T20")
@pytest.mark.parametrize("late", ["first", "second"])
def test_one_bag_in_two_units_is_found_whichever_record_comes_first_and_both_are_told(
    unit: Unit, second: Unit, shared_central: CentralProcess, late: str
) -> None:
    one = bag()
    for made in (unit, second):
        make_batch(made, more=[one])
    first, last = (unit, second) if late == "second" else (second, unit)

    told_first = ship(first, shared_central)
    told_last = ship(last, shared_central)
    told_then = ship(first, shared_central)

    assert told_first == []
    trusted = (shared_central.home.fingerprint(),)
    (at_last,) = [read_word(documents.parse(one), trusted) for one in told_last]
    (at_first,) = [read_word(documents.parse(one), trusted) for one in told_then]
    assert at_first == at_last
    assert {(use.unit, use.batch) for use in at_first.uses} == {  # type: ignore[attr-defined]
        (unit.unit_id, "B-0001"),
        (second.unit_id, "B-0001"),
    }
    for made in (unit, second):
        review = reviewed(shared_central, made)
        assert review.group == "blocked"
        assert [shown.group for shown in review.exceptions].count("Second use") == 1
        kinds = [note.kind for note in shared_central.home.store().events(unit_id=made.unit_id)]
        assert "SecondUseFound" in kinds


def test_the_record_sent_again_alarms_no_second_time(
    unit: Unit, second: Unit, shared_central: CentralProcess
) -> None:
    one = bag()
    for made in (unit, second):
        make_batch(made, more=[one])
        ship(made, shared_central)
    (unit.home.root / "sync" / "state.json").unlink()

    again = ship(unit, shared_central)

    assert [document["type"] for document in again] == ["notice"]
    assert len(reviewed(shared_central, unit).second_uses) == 1


@pytest.mark.requirement("T20")
def test_no_release_is_offered_before_a_qp_said_why_and_a_rejection_always_is(
    unit: Unit, second: Unit, shared_central: CentralProcess, client: httpx.Client
) -> None:
    order = f"o-{secrets.token_hex(4)}"
    for made in (unit, second):
        make_batch(made, order=order)
        ship(made, shared_central)
        review_audit(shared_central, made)
    here = f"/batches/{unit.unit_id}/B-0001"
    desk = Certify(
        shared_central.home.store(),
        BlobStore(shared_central.home.blobs),
        lambda: shared_central.home.settings().root,
    )

    def offers(disposition: Any, made: Unit) -> bool:
        review = reviewed(shared_central, made)
        desk.offer(review, QP, stage="final", disposition=disposition, reason="Used twice", now=NOW)
        return True

    with pytest.raises(CertifyRefused, match="A QP says first"):
        offers("released", unit)
    assert offers("rejected", unit)

    (found,) = reviewed(shared_central, unit).second_uses
    form = {"subject": "order", "key": order, "mark": found.mark, "reason": "The other was a training run"}
    by_qa = posted(client, f"{here}/second-use", form | signed_in(client, "p-qa") | {"password": PASSWORD})
    token = signed_in(client, "p-qp")
    wrong = posted(client, f"{here}/second-use", form | token | {"password": "not the password"})
    short = posted(client, f"{here}/second-use", form | token | {"password": PASSWORD, "reason": "ok"})
    right = posted(client, f"{here}/second-use", form | token | {"password": PASSWORD})

    assert [answer.status_code for answer in (by_qa, wrong, short, right)] == [409, 409, 409, 303]
    assert offers("released", unit)
    with pytest.raises(CertifyRefused):  # said of the one batch, not of the other
        offers("released", second)
    note = shared_central.home.store().events(unit_id=unit.unit_id, batch="B-0001")[-1]
    assert (note.kind, note.actor) == ("SecondUseJudged", "p-qp")


@pytest.mark.requirement("T20")
def test_after_two_hand_overs_nothing_a_qp_says_makes_a_release(
    unit: Unit, second: Unit, shared_central: CentralProcess, client: httpx.Client
) -> None:
    order = f"o-{secrets.token_hex(4)}"
    given = events.HandedOver(dose_label="D-1", order_id=order)
    for made in (unit, second):
        make_batch(made, order=order, more=[given])
        ship(made, shared_central)
    found = next(one for one in reviewed(shared_central, unit).second_uses if one.subject == "hand_over")
    form = signed_in(client, "p-qp") | {"subject": "hand_over", "key": order, "mark": found.mark}
    form |= {"reason": "It was the same patient", "password": PASSWORD}

    refused = posted(client, f"/batches/{unit.unit_id}/B-0001/second-use", form)
    page = client.get(f"/batches/{unit.unit_id}/B-0001").text
    home = client.get("/").text

    assert refused.status_code == 409 and "handed over twice" in refused.text
    assert "one order has at most one hand-over" in page
    assert f"Hand-over of order {order}" in home


def test_the_same_bag_shown_again_to_its_own_batch_is_no_second_use(
    unit: Unit, shared_central: CentralProcess
) -> None:
    one = bag()
    make_batch(unit, more=[one, one])

    ship(unit, shared_central)

    assert reviewed(shared_central, unit).second_uses == []


def test_records_from_before_uses_were_noted_are_caught_up_with(
    unit: Unit, second: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    one = bag()
    for made in (unit, second):
        make_batch(made, more=[one])
        ship(made, shared_central)
    copy = tmp_path / "copy.db"
    shared_central.home.store()._connection.execute("VACUUM INTO ?", (str(copy),))
    store = SqliteStore(copy)
    store._write("DELETE FROM uses")

    def used_twice() -> list[int]:
        found = [review_batch(store, made.unit_id, "B-0001") for made in (unit, second)]
        return [len(review.second_uses) for review in found if review is not None]

    before = used_twice()
    catch_up(store, shared_central.home.signing_key(), now=NOW.isoformat())

    assert (before, used_twice()) == ([0, 0], [1, 1])
    store.close()


def test_in_whatever_order_records_arrive_every_unit_ends_with_the_same_last_notice(tmp_path: Path) -> None:
    key, units = Ed25519PrivateKey.generate(), ("u-1", "u-2", "u-3", "u-4")
    kinds = ("BagAccepted", "BatchOpened", "HandedOver")
    for seed in range(12):
        chance, store = random.Random(seed), SqliteStore(tmp_path / f"{seed}.db")
        used = [(unit, chance.choice(kinds), chance.randrange(2)) for unit in units for _ in range(3)]
        arriving = list(enumerate(used))
        chance.shuffle(arriving)

        with store.transaction():
            for seq, (unit_id, kind, thing) in arriving:
                body = {"din": f"D{thing}", "description_code": "S", "division": "0", "order_id": f"O{thing}"}
                batch = f"{unit_id}-B{seq}" if kind != "BagAccepted" else f"{unit_id}-B"
                place = {"unit_id": unit_id, "epoch": "e", "seq": seq, "batch": batch, "kind": kind}
                for _ in range(2):  # a record that comes again is no second use
                    note(store, key, **place, body=body, received_at=NOW.isoformat())  # type: ignore[arg-type]

        for found in all_second_uses(store):
            said = store.document("notice", f"{found.subject}:{found.key}")
            assert said is not None
            word = read_word(documents.parse(said.envelope), (documents.fingerprint(key),))
            assert len(word.uses) == len(found.uses) >= 2  # type: ignore[attr-defined]
            for unit_id in {use.unit_id for use in found.uses}:
                assert said.envelope in [row.envelope for row in store.down_after(unit_id, 0, 99)]
        assert all_second_uses(store), "the chances gave nothing to find"
        store.close()


def test_power_lost_while_the_notice_is_written_loses_neither_the_record_nor_the_notice(
    unit: Unit, second: Unit, shared_central: CentralProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bag()
    for made in (unit, second):
        make_batch(made, more=[one])
    ship(unit, shared_central)
    copy = tmp_path / "copy.db"
    shared_central.home.store()._connection.execute("VACUUM INTO ?", (str(copy),))
    store, key = SqliteStore(copy), shared_central.home.signing_key()
    sender = store.unit(second.unit_id)
    assert sender is not None
    place = Place(second.unit_id, "gxp", second.record.head().epoch.hex())

    def taken() -> None:
        for segment in second.record.segments(1):
            records = [record.data for record in second.record.read(segment.first, segment.last)]
            body = unpack(pack(segment.header, segment.signature, records))
            take_segment(store, key, sender, place, body, received_at=NOW.isoformat())

    def lost(*_: Any) -> int:
        raise OSError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(store, "queue_down", lost)
        with pytest.raises(OSError):
            taken()
    after_power_loss = store.head(second.unit_id, "gxp", place.epoch)
    taken()
    taken()

    assert after_power_loss is None
    for made in (unit, second):
        assert [row.type for row in store.down_after(made.unit_id, 0, 9)] == ["notice"]
    store.close()


# ── Orders and re-assignment ───────────────────────────────────────────────────────────


def delivered_orders(documents_down: list[dict[str, Any]]) -> list[Order]:
    parsed = [documents.parse(one) for one in documents_down if one["type"] == "order"]
    return [Order.from_text(one.content.decode()) for one in parsed]


def reassign(central: CentralProcess, order: str, to: Unit, people: list[str]) -> Order:
    return orders_of(central).reassign(
        order,
        to=to.unit_id,
        expires_at=LATER,
        reason="The patient was moved",
        people=[(person, PASSWORD) for person in people],
        now=datetime.now(UTC),
    )


@pytest.mark.requirement("T20")
def test_an_order_goes_to_another_unit_after_the_signed_hand_back_and_not_before(
    unit: Unit, second: Unit, shared_central: CentralProcess
) -> None:
    content = order_for(unit)
    orders_of(shared_central).issue(content, actor="administrator", now=NOW)
    (at_first,) = delivered_orders(ship(unit, shared_central))
    with pytest.raises(OrderNotGiven, match="has not handed back"):
        reassign(shared_central, content["id"], second, ["p-qa", "p-qp"])

    back = events.OrderHandedBack(
        order=content["id"], assignment=1, reason="Moved", person="p-0003", name="Cleo"
    )
    unit.say(back)
    unit.record.seal(unit.stamp())
    ship(unit, shared_central)
    given = reassign(shared_central, content["id"], second, ["p-qa"])

    assert (at_first.unit, at_first.assignment) == (unit.unit_id, 1)
    assert (given.unit, given.assignment) == (second.unit_id, 2)
    for made in (unit, second):  # the first one hears of it too
        assert delivered_orders(ship(made, shared_central)) == [given]


@pytest.mark.requirement("T20")
def test_an_expired_order_goes_elsewhere_only_by_two_different_people(
    unit: Unit, second: Unit, shared_central: CentralProcess
) -> None:
    content = order_for(unit, until=NOW + timedelta(seconds=1))
    orders_of(shared_central).issue(content, actor="administrator", now=NOW - timedelta(days=1))

    def given_by(*people: tuple[str, str]) -> Order:
        return orders_of(shared_central).reassign(
            content["id"],
            to=second.unit_id,
            expires_at=LATER,
            reason="It has expired",
            people=people,
            now=NOW + timedelta(minutes=6),
        )

    with pytest.raises(OrderNotGiven, match="Two different"):
        given_by(("p-qa", PASSWORD), ("p-qa", PASSWORD))
    with pytest.raises(OrderNotGiven, match="Nothing was changed"):
        given_by(("p-qp", "a wrong password"), ("p-qa", PASSWORD))
    done = given_by(("p-qa", PASSWORD), ("p-qp", PASSWORD))

    assert (done.unit, done.assignment) == (second.unit_id, 2)
    last = [one for one in shared_central.home.store().events() if one.kind == "OrderReassigned"][-1]
    assert last.actor == "p-qa p-qp"


@pytest.mark.requirement("T20")
def test_an_order_that_was_begun_goes_nowhere_else(
    unit: Unit, second: Unit, shared_central: CentralProcess
) -> None:
    content = order_for(unit)
    orders_of(shared_central).issue(content, actor="administrator", now=NOW)
    make_batch(unit, order=content["id"])
    ship(unit, shared_central)

    with pytest.raises(OrderNotGiven, match="was made in batch B-0001"):
        reassign(shared_central, content["id"], second, ["p-qa", "p-qp"])


# ── Stops from outside ─────────────────────────────────────────────────────────────────


def by_command(words: list[str], typed: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return central_command(words)


@pytest.mark.requirement("F-094")
def test_a_recall_goes_to_every_unit_and_lists_units_batches_and_patients(
    unit: Unit,
    second: Unit,
    shared_central: CentralProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    client: httpx.Client,
) -> None:
    lot = f"L{secrets.token_hex(4)}"
    taken = events.MaterialAccepted(
        phase="collect", material="saline", catalogue="FIC1", lot=lot, expires_at="", picture=""
    )
    make_batch(unit, more=[taken])
    ship(unit, shared_central)
    words = ["recall-lot", "--home", str(shared_central.home.root), "--catalogue", "fic1", "--lot", lot]
    words += ["--reference", "FSN-7", "--reason", "Particles were seen", "--person", "p-qa"]

    assert by_command([*words, "--password-stdin", "--json"], "wrong password\n", monkeypatch) == 1
    assert by_command([*words, "--password-stdin", "--json"], f"{PASSWORD}\n", monkeypatch) == 0

    said = json.loads(capsys.readouterr().out)
    assert (said["units"], said["patients"]) == ([unit.unit_id], ["SIM-PAT-7"])
    assert said["batches"][0]["batch"] == "B-0001"
    for made in (unit, second):
        came = [one for one in ship(made, shared_central) if one["type"] == "recall"]
        words_down = [read_word(documents.parse(one), (shared_central.home.fingerprint(),)) for one in came]
        assert [word.reason for word in words_down][-1] == "Particles were seen"
    assert "Recall" in [shown.group for shown in reviewed(shared_central, unit).exceptions]
    signed_in(client, "p-qa")
    assert lot in client.get("/stops").text


@pytest.mark.requirement("F-011")
def test_a_withdrawal_from_the_page_reaches_the_units_also_one_that_is_enrolled_later(
    unit: Unit, shared_central: CentralProcess, client: httpx.Client, tmp_path: Path
) -> None:
    consent = f"C-{secrets.token_hex(4)}"
    form = {"what": "withdrawal", "consent": consent, "coi": "CHA999926000009", "patient": "SIM-PAT-7"}
    form |= {"received_from": "study nurse", "reason": "The patient called"} | signed_in(client, "p-qa")
    named = order_for(unit) | {"consent": consent, "coi": "CHA999926000009"}
    orders_of(shared_central).issue(named, actor="administrator", now=NOW)

    mistyped = posted(client, "/stops", form | {"password": PASSWORD, "coi": "CHA999926000008"})
    wrong = posted(client, "/stops", form | {"password": "not it at all"})
    right = posted(client, "/stops", form | {"password": PASSWORD})
    later = enrol(shared_central, tmp_path / "later")

    assert (wrong.status_code, right.status_code) == (409, 303)
    assert mistyped.status_code == 409 and "stands for CHA999926000009" in mistyped.text
    asked = {"type": "withdrawal", "id": consent}
    carried = read_word(
        documents.parse(client.get("/signed", params=asked).content), (shared_central.home.fingerprint(),)
    )
    assert carried.id == consent
    assert client.get("/signed", params={"type": "people", "id": "people"}).status_code == 409
    for made in (unit, later):
        came = [one for one in ship(made, shared_central) if one["type"] == "withdrawal"]
        words = [read_word(documents.parse(one), (shared_central.home.fingerprint(),)) for one in came]
        assert consent in [word.id for word in words]
    later.record.close()
    (sent,) = [one for one in words_sent(shared_central.home.store(), "withdrawal") if one.id == consent]
    before = reached(shared_central.home.store(), sent)
    unit.say(
        events.CentralWordTaken(
            type="withdrawal", document=consent, version=1, blob="", content_hash="", signed_by=[]
        )
    )
    unit.record.seal(unit.stamp())
    ship(unit, shared_central)

    assert before.holds_at == [] and unit.unit_id in before.not_yet_at
    assert reached(shared_central.home.store(), sent).holds_at == [unit.unit_id]
    assert "No word yet from" in client.get("/stops").text


# ── The page ───────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-002")
def test_the_page_shows_the_chain_of_identity_with_the_consent_that_stood_before(
    unit: Unit, shared_central: CentralProcess
) -> None:
    one = bag()
    make_batch(unit, more=[one])
    ship(unit, shared_central)
    review = reviewed(shared_central, unit)
    opened = next(entry for entry in review.entries if entry.kind == "BatchOpened")
    said = {"consent": "CONSENT-1", "coi": "CHA999926000001", "given_on": "2026-02-01"}
    opened.body["unit_before"] = {"consents": json.dumps([{"withdrawn": False, "said": said}])}

    chain = dict(chain_of(review.entries, "CHA999926000001"))

    assert [title for title, links in chain.items() if links] == ["Consent", "Bag"]
    assert ("given on", "2026-02-01") in chain["Consent"][0].facts
    assert ("din", one.din) in chain["Bag"][0].facts
    assert ("Order", f"o-{unit.unit_id}-B-0001") in order_facts(review.order)
