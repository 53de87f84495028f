"""Secrets that people set, accounts that end, lists that come: through the real socket, over restarts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_room import ADA, BEN, CHEAP, CLEO, GUS, ORDER, START, Account, Room, make_room, told

from appliance.access.documents import Envelope, dump, load, sign
from appliance.access.keys import load_pin_secret
from appliance.access.people import People, Person, Retired, TrainingRecord, make_person
from appliance.access.revocation import Revocation, Revoked
from appliance.access.secret_hash import hash_secret
from appliance.access.site_roles import SecretRules, SiteRoles
from appliance.domain import events as ev
from appliance.link.messages import Proof

NEW_PIN, OTHER_PIN, NEW_PASSWORD = "573910", "620481", "eleven small boats"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


# ── Lists ──────────────────────────────────────────────────────────────────────────────


def people_of(room: Room) -> People:
    return People.from_content(load(room.home.people).content)


def following(room: Room, change: Callable[[Person], Person | None], *, by: int = 1, **more: Any) -> Envelope:
    """The next signed list, each person changed or left out."""
    people = people_of(room)
    kept = tuple(new for one in people.people if (new := change(one)) is not None)
    made = msgspec.structs.replace(people, version=people.version + by, people=kept, **more)
    return sign("people", made.to_content(), room.keys["root"], "root")


def changed(account: Account, **fields: Any) -> Callable[[Person], Person | None]:
    return lambda one: msgspec.structs.replace(one, **fields) if one.id == account.id else one


def roles(room: Room, *, version: int = 1, **fields: Any) -> Envelope:
    made = SiteRoles(version=version, issued_at=START, **fields)
    return sign("roles", made.to_content(), room.keys["root"], "root")


def revocation(room: Room, *people: Account, version: int = 1, key: str = "root") -> Envelope:
    revoked = tuple(Revoked(person=one.id, reason="Badge and PIN were lost") for one in people)
    made = Revocation(version=version, issued_at=START, revoked=revoked)
    return sign("revocation", made.to_content(), room.keys[key], "root")


def body(envelope: Envelope) -> dict[str, Any]:
    return {"envelope": msgspec.to_builtins(envelope)}


def issued(room: Room, account: Account, *, pin: str = "", password: str = "") -> None:
    """Put the account on the first list with secrets for one use."""
    secret = load_pin_secret(room.home.pin_secret)
    fields: dict[str, Any] = {}
    if pin:
        fields |= {"pin": hash_secret(pin, secret, CHEAP), "pin_one_time": True}
    if password:
        fields |= {"password": hash_secret(password, secret, CHEAP), "password_one_time": True}
    dump(following(room, changed(account, **fields), by=0), room.home.people)


def pin_change(account: Account, old: str, new: str) -> Proof:
    return Proof(person=account.id, pin=old, new=new)


# ── One-time, changed, aged ────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-28")
def test_an_issued_pin_does_nothing_but_let_its_person_set_another(room: Room) -> None:
    issued(room, ADA, pin="111999")

    async def story() -> None:
        signed_in = await room.done("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin="111999"))
        first = await room.refused("open_batch", {"order": ORDER})
        shown = await room.connects()
        await room.done("change_secret", {}, pin_change(ADA, "111999", NEW_PIN))
        await room.done("open_batch", {"order": ORDER})

        assert signed_in.result["person"]["must_change"] == ["pin"]
        assert shown.person is not None and shown.person.must_change == ["pin"]
        assert first.reason == "change_secret_first"
        assert "Set another one" in first.words
        assert [e.why for e in room.events(ev.SecretChanged)] == ["one_time"]  # type: ignore[attr-defined]

    told(room, story)


@pytest.mark.requirement("R-28")
def test_a_second_person_proves_nothing_with_an_issued_pin(room: Room) -> None:
    issued(room, BEN, pin="111999")

    async def story() -> None:
        await room.goes_to("clear/clear.verify")
        ask = {"prompt": "clear/clear.verify", "values": {}}

        refused = await room.refused("answer", ask, Proof(person=BEN.id, pin="111999"))

        assert refused.reason == "change_secret_first"

    told(room, story)


@pytest.mark.requirement("R-28", "R-29")
def test_a_changed_pin_holds_over_a_restart_and_the_old_one_opens_nothing(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        await room.done("change_secret", {}, pin_change(ADA, ADA.pin, NEW_PIN))
        await room.restarts()

        old = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)
        room.clock.advance(5)
        await room.done("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin=NEW_PIN))

        assert old.reason == "wrong_secret"
        kept = room.home.keys / "secrets.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        for text in (repr(room.events()), kept.read_text()):
            assert NEW_PIN not in text
        assert not room.engine.desk.unrecorded_changes()

    told(room, story)


def test_a_used_up_pin_opens_nothing_again_when_the_file_of_changes_is_lost(room: Room) -> None:
    issued(room, ADA, pin="111999")

    async def story() -> None:
        await room.done("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin="111999"))
        await room.done("change_secret", {}, pin_change(ADA, "111999", NEW_PIN))
        await room.crashes()
        (room.home.keys / "secrets.json").unlink()
        await room.starts()

        refused = await room.refused("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin="111999"))

        assert refused.reason == "wrong_secret"

    told(room, story)


def test_a_change_whose_record_a_power_cut_took_is_recorded_at_the_start(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        desk, committed = room.engine.desk, room.engine.desk._commit

        async def cut(events: list[ev.Event], actor: str) -> None:
            if any(isinstance(event, ev.SecretChanged) for event in events):
                raise ConnectionAbortedError
            await committed(events, actor)

        written = desk._local.put_back
        desk._commit = cut
        desk._local.put_back = lambda *_: None  # type: ignore[method-assign,assignment]  # the power is gone
        with pytest.raises(ConnectionAbortedError):
            await desk.change_secret("bedside-1", pin_change(ADA, ADA.pin, NEW_PIN))
        desk._local.put_back = written  # type: ignore[method-assign]
        await room.restarts()

        await room.done("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin=NEW_PIN))

        assert len(room.events(ev.SecretChanged)) == 1

    told(room, story)


@pytest.mark.requirement("R-29")
def test_a_secret_that_was_used_before_or_is_weak_or_is_anothers_is_refused(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        await room.done("change_secret", {}, pin_change(ADA, ADA.pin, NEW_PIN))
        tries = [
            ("secret_used", pin_change(ADA, NEW_PIN, NEW_PIN)),
            ("secret_used", pin_change(ADA, NEW_PIN, ADA.pin)),
            ("pin_short", pin_change(ADA, NEW_PIN, "12")),
            ("pin_weak", pin_change(ADA, NEW_PIN, "444444")),
            ("pin_weak", pin_change(ADA, NEW_PIN, "345678")),
            ("not_permitted", pin_change(BEN, BEN.pin, OTHER_PIN)),
            ("password_weak", Proof(person=ADA.id, password=ADA.password, new="my password is long")),
            ("password_weak", Proof(person=ADA.id, password=ADA.password, new="ababababababab")),
            ("password_short", Proof(person=ADA.id, password=ADA.password, new="too short")),
        ]

        refused = [(await room.refused("change_secret", {}, proof)).reason for _, proof in tries]
        wrong = await room.refused("change_secret", {}, pin_change(ADA, "000000", OTHER_PIN))

        assert refused == [reason for reason, _ in tries]
        assert wrong.reason == "wrong_secret"
        assert len(room.events(ev.SecretChanged)) == 1

    told(room, story)


@pytest.mark.requirement("R-29")
def test_the_sites_own_rules_for_secrets_hold_without_any_network(room: Room) -> None:
    rules = SecretRules(pin_digits_min=8, pin_days_max=90, history=0)
    dump(roles(room, secrets=rules), room.home.documents / "roles.json")
    dump(following(room, lambda one: msgspec.structs.replace(one, pin_set_at=START), by=0), room.home.people)

    async def story() -> None:
        await room.signs_in()
        short = await room.refused("change_secret", {}, pin_change(ADA, ADA.pin, NEW_PIN))
        await room.done("comment", {"text": "Still young"})
        room.clock.advance(91 * 86_400)
        aged = await room.done("sign_in", {"person": ADA.id}, ADA.by_pin)
        await room.done("change_secret", {}, pin_change(ADA, ADA.pin, "57391027"))
        await room.done("comment", {"text": "Changed"})

        assert "at least 8 digits" in short.words
        assert aged.result["person"]["must_change"] == ["pin"]
        assert [e.why for e in room.events(ev.SecretChanged)] == ["aged"]  # type: ignore[attr-defined]

    told(room, story)


@pytest.mark.requirement("R-29")
def test_an_age_that_the_clock_cannot_tell_does_not_pass_silently(room: Room) -> None:
    rules = SecretRules(pin_days_max=90, password_days_max=90)
    dump(roles(room, secrets=rules), room.home.documents / "roles.json")
    fields = {"pin_set_at": START, "password_set_at": START}
    dump(following(room, lambda one: msgspec.structs.replace(one, **fields), by=0), room.home.people)

    async def story() -> None:
        await room.goes_to("seal/performed")
        room.clock.set_trust("untrusted")
        await room.signs_in()

        ask = {"prompt": "seal/performed", "values": {}}
        refused = await room.refused("answer", ask, ADA.by_password)

        assert refused.reason == "time_untrusted"
        opened = room.events(ev.SessionOpened)[-1]
        assert "was not judged" in opened.note  # type: ignore[attr-defined]

    told(room, story)


# ── Disabled and revoked ───────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-30")
def test_a_supervisor_disables_an_account_at_once_and_an_administrator_lifts_it(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.connects("bedside-2")
        await room.signs_in(CLEO)
        await room.done("disable_account", {"person": ADA.id, "reason": "Lost the badge"})
        await room.connects()
        nobody = await room.refused("hold", {"reason": "Looks odd"})
        again = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)
        await room.restarts()
        still = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)
        await room.signs_in(GUS)
        await room.done("enable_account", {"person": ADA.id, "reason": "New badge"})
        await room.signs_in()

        assert nobody.reason == "not_signed_in"
        assert again.reason == still.reason == "not_permitted"
        closed = [e for e in room.events(ev.SessionClosed) if e.person == ADA.id]  # type: ignore[attr-defined]
        assert closed[0].why == "account not active"  # type: ignore[attr-defined]

    told(room, story)


@pytest.mark.requirement("R-30")
def test_a_revocation_in_mid_batch_holds_from_the_next_signature(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/verified")
        before = await room.connects()
        await room.done("deliver_document", body(revocation(room, BEN)))

        ask = {"prompt": "seal/verified", "values": {}}
        refused = await room.refused("answer", ask, BEN.by_password)
        await room.done("answer", ask, CLEO.by_password)
        await room.restarts()
        again = await room.refused("sign_in", {"person": BEN.id}, BEN.by_pin)

        assert before.prompts[0].id == "seal/verified"
        assert refused.reason == again.reason == "not_permitted"
        signed = [e.person for e in room.events(ev.SignatureGiven)]  # type: ignore[attr-defined]
        assert signed == [ADA.id, CLEO.id], "what was signed before stays signed"
        kinds = [
            type(e).__name__
            for e in room.events(ev.DocumentReceived, ev.DocumentVerified, ev.DocumentActivated)
        ]
        assert kinds[-3:] == ["DocumentReceived", "DocumentVerified", "DocumentActivated"]

    told(room, story)


@pytest.mark.requirement("R-30")
def test_a_revoked_person_is_signed_out_and_nobody_at_the_unit_can_undo_it(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.done("deliver_document", body(revocation(room, ADA)))
        nobody = await room.refused("hold", {"reason": "Looks odd"})
        await room.signs_in(GUS)
        refused = await room.refused("enable_account", {"person": ADA.id, "reason": "I know her"})
        await room.done("deliver_document", body(revocation(room, version=2)))
        await room.signs_in()

        assert nobody.reason == "not_signed_in"
        assert "signed document" in refused.words
        assert room.batch.state == "running"

    told(room, story)


def test_a_revocation_by_any_other_key_revokes_nobody(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()

        refused = await room.refused("deliver_document", body(revocation(room, ADA, key="central")))

        assert refused.reason == "wrong_key"
        await room.done("comment", {"text": "Still here"})
        assert [e.type for e in room.events(ev.DocumentRefused)] == ["revocation"]  # type: ignore[attr-defined]

    told(room, story)


# ── A newer list ───────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-19", "R-35")
def test_a_newer_list_of_people_holds_at_once_and_a_running_batch_goes_on(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("clear/clear.verify")
        secret = load_pin_secret(room.home.pin_secret)
        hana = make_person(
            id="p-0099", name="Hana Demo", roles=("verifier",), pin="918273", pin_secret=secret, cost=CHEAP,
            training=[TrainingRecord(recipe="short", until=START.date(), by=CLEO.id)],
        )  # fmt: skip
        people = people_of(room)
        new = msgspec.structs.replace(people, version=2, people=(*people.people, hana))
        await room.done("deliver_document", body(sign("people", new.to_content(), room.keys["root"], "root")))

        await room.done(
            "answer", {"prompt": "clear/clear.verify", "values": {}}, Proof(person="p-0099", pin="918273")
        )

        assert room.batch.state == "running"
        created = [e for e in room.events(ev.AccountSet) if e.people_version == 2]  # type: ignore[attr-defined]
        assert [(e.person, e.change) for e in created] == [("p-0099", "created")]  # type: ignore[attr-defined]
        verified = room.events(ev.DocumentVerified)[-1]
        assert verified.version == 2 and len(verified.signed_by) == 1  # type: ignore[attr-defined]

    told(room, story)


@pytest.mark.requirement("R-19")
def test_a_lower_version_is_refused_also_after_a_restart_and_an_old_file_on_the_disk_does_not_hold(
    room: Room,
) -> None:
    first = load(room.home.people)

    async def story() -> None:
        newer = following(room, changed(ADA, active=False))
        await room.done("deliver_document", body(newer))
        again = await room.done("deliver_document", body(newer))
        await room.crashes()
        dump(first, room.home.people)  # somebody puts the old list back
        await room.starts()

        delivered = await room.refused("deliver_document", body(first))
        signed_in = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)

        assert "holds already" in again.result["words"]
        assert delivered.reason == "lower_version"
        assert signed_in.reason == "not_permitted"
        assert people_of(room).version == 2, "the newest list lies on the disk again"

    told(room, story)


@pytest.mark.requirement("R-25")
def test_an_id_or_badge_of_somebody_who_left_is_never_given_again(room: Room) -> None:
    def without_ada(one: Person) -> Person | None:
        return None if one.id == ADA.id else one

    gone = Retired(id=ADA.id, badges=(f"BADGE-{ADA.id}",))

    async def story() -> None:
        forgotten = await room.refused("deliver_document", body(following(room, without_ada)))
        await room.done("deliver_document", body(following(room, without_ada, retired=(gone,))))
        dropped = await room.refused("deliver_document", body(following(room, lambda one: one, retired=())))
        badge = {"badge": f"BADGE-{CLEO.id}"}
        moved = await room.refused(
            "deliver_document",
            body(following(room, lambda o: changed(BEN, **badge)(changed(CLEO, badge="")(o) or o))),
        )

        assert forgotten.reason == dropped.reason == "retired"
        assert moved.reason == "badge"
        assert [e.person for e in room.events(ev.AccountRemoved)] == [ADA.id]  # type: ignore[attr-defined]
        with pytest.raises(Exception, match="never used again"):
            following(room, lambda one: changed(BEN, id=ADA.id)(one))

    told(room, story)


@pytest.mark.requirement("R-25")
def test_a_list_on_the_disk_that_gives_an_id_away_does_not_hold_at_the_start(room: Room) -> None:
    async def story() -> None:
        badge = f"BADGE-{CLEO.id}"
        heirs = [changed(CLEO, badge=""), changed(BEN, badge=badge)]
        await room.crashes()
        dump(following(room, lambda one: heirs[1](heirs[0](one) or one)), room.home.people)
        await room.starts()

        await room.done("sign_in", {"person": badge}, Proof(person=badge, pin=CLEO.pin))

        assert people_of(room).version == 1
        assert [e.reason for e in room.events(ev.DocumentRefused)] == ["badge"]  # type: ignore[attr-defined]

    told(room, story)


# ── Roles ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-15", "R-19")
def test_a_sites_roles_document_takes_a_permission_away_at_once_and_over_restarts(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.done("deliver_document", body(roles(room, permissions={"hold": ("supervisor",)})))

        refused = await room.refused("hold", {"reason": "Looks odd"})
        await room.restarts()
        await room.signs_in()
        again = await room.refused("hold", {"reason": "Looks odd"})
        await room.signs_in(CLEO)
        await room.done("restart", {"reason": "Looked at everything"})
        await room.done("hold", {"reason": "Looks odd"})

        assert refused.reason == again.reason == "not_permitted"
        applied = [e for e in room.events(ev.RolesApplied) if isinstance(e, ev.RolesApplied)]
        assert [(e.version, e.permissions["hold"]) for e in applied][1] == (1, ["supervisor"])
        assert applied[0].version == 0, "the built-in table is on record too"

    told(room, story)


def test_a_roles_document_that_would_widen_is_refused_and_changes_nothing(room: Room) -> None:
    wide = SiteRoles(version=1, issued_at=START, permissions={"open_batch": ("administrator",)})
    content = msgspec.json.encode(wide)

    async def story() -> None:
        refused = await room.refused(
            "deliver_document", body(sign("roles", content, room.keys["root"], "root"))
        )
        await room.signs_in(GUS)
        batch = await room.refused("open_batch", {"order": ORDER})

        assert refused.reason == "widened"
        assert "'open_batch' is given to administrator" in refused.words
        assert batch.reason == "not_permitted"

    told(room, story)


# ── Training and identity ──────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-18")
def test_who_is_not_trained_for_the_recipe_can_neither_run_nor_verify_nor_sign_it(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("clear/clear.verify")
        ended = TrainingRecord(recipe="short", until=(START - timedelta(days=1)).date(), by=CLEO.id)
        other = TrainingRecord(recipe="short", version="7", until=START.date(), by=CLEO.id)
        new = following(
            room, lambda o: changed(BEN, training=(ended,))(changed(ADA, training=(other,))(o) or o)
        )
        await room.done("deliver_document", body(new))

        verify = await room.refused("answer", {"prompt": "clear/clear.verify", "values": {}}, BEN.by_pin)
        await room.done("hold", {"reason": "Anybody may hold"})

        assert verify.reason == "not_trained"
        assert "ended on 2026-03-01" in verify.words
        assert [e.reason for e in room.events(ev.CommandWasRefused)] == ["not_trained"]  # type: ignore[attr-defined]

    told(room, story)


@pytest.mark.requirement("R-18")
def test_a_batch_is_not_opened_by_somebody_trained_for_another_version(room: Room) -> None:
    other = TrainingRecord(recipe="short", version="7", until=START.date(), by=CLEO.id)
    dump(following(room, changed(ADA, training=(other,)), by=0), room.home.people)

    async def story() -> None:
        await room.signs_in()

        refused = await room.refused("open_batch", {"order": ORDER})

        assert refused.reason == "not_trained"
        assert "no training record for short version 1" in refused.words

    told(room, story)


@pytest.mark.requirement("R-26")
def test_nobody_signs_before_an_administrator_has_confirmed_who_they_are(room: Room) -> None:
    unknown = changed(ADA, identity_confirmed_by="", identity_confirmed_at=None)
    dump(following(room, unknown, by=0), room.home.people)

    async def story() -> None:
        await room.goes_to("seal/performed")
        refused = await room.refused("answer", {"prompt": "seal/performed", "values": {}}, ADA.by_password)
        seen = changed(ADA, identity_confirmed_by=GUS.id, identity_confirmed_at=START)
        await room.done("deliver_document", body(following(room, seen)))
        await room.done("answer", {"prompt": "seal/performed", "values": {}}, ADA.by_password)

        assert refused.reason == "identity_not_confirmed"
        confirmed = [e for e in room.events(ev.AccountSet) if e.person == ADA.id]  # type: ignore[attr-defined]
        assert [e.identity_confirmed_by for e in confirmed] == ["", GUS.id]  # type: ignore[attr-defined]

    told(room, story)


# ── Lock-out notice and badges ─────────────────────────────────────────────────────────


@pytest.mark.requirement("R-31")
def test_a_lock_out_raises_a_notice_that_stands_until_the_account_is_unlocked(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        sealed = room.batch.sealed
        for _ in range(5):
            await room.refused("sign_in", {"person": BEN.id}, Proof(person=BEN.id, pin="000000"))
            room.clock.advance(120)
        await room.signs_in()
        alarm = f"people:locked:{BEN.id}"
        await room.done("acknowledge_alarm", {"alarm": alarm})
        standing = [one.id for one in (await room.connects()).alarms]
        await room.signs_in(GUS)
        await room.done("unlock_account", {"person": BEN.id, "reason": "Came in person"})

        assert alarm in standing
        assert alarm not in room.engine.unit.alarms
        assert len(room.events(ev.SecurityNoticeRaised)) == 1
        assert room.batch.sealed == sealed and room.batch.changed_after_seal is None

    told(room, story)


@pytest.mark.requirement("R-30", "R-32", "F-100")
def test_a_badge_is_tested_withdrawn_and_replaced_for_a_time(room: Room) -> None:
    badge = f"BADGE-{ADA.id}"

    async def story() -> None:
        await room.signs_in(GUS)
        good = await room.done("test_badge", {"person": ADA.id, "read": badge, "why": "periodic"})
        bad = await room.done("test_badge", {"person": ADA.id, "read": "BADGE-?", "why": "issue"})
        await room.done("withdraw_badge", {"person": ADA.id, "badge": badge, "reason": "Lost on the way"})
        lost = await room.refused("sign_in", {"person": badge}, Proof(person=badge, pin=ADA.pin))
        used = {"person": ADA.id, "badge": f"BADGE-{BEN.id}", "hours": 8, "reason": "Lost on the way"}
        taken = await room.refused("issue_badge", used)
        await room.done("issue_badge", used | {"badge": "SPARE-1"})
        spare = Proof(person="SPARE-1", pin=ADA.pin)
        await room.done("sign_in", {"person": "SPARE-1"}, spare)
        room.clock.advance(9 * 3600)
        over = await room.refused("sign_in", {"person": "SPARE-1"}, spare)

        assert (good.result["passed"], bad.result["passed"]) == (True, False)
        assert lost.reason == over.reason == "unknown_person"
        assert taken.reason == "badge_used"
        assert [e.passed for e in room.events(ev.BadgeTested)] == [True, False]  # type: ignore[attr-defined]

    told(room, story)
