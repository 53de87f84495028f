"""A unit brought into one state, where every act is tried by everybody and nothing ever follows.

The engine is real. Only what comes after a decision is cut off: a turn that would go on record
ends in `Allowed` instead, so that the next cell finds the same state.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from engine_room import ADA, BEN, CHEAP, CLEO, GUS, ORDER, START, TRAINED_UNTIL, Account, Room, make_room

from appliance.access.documents import dump, load, sign
from appliance.access.identities import Identity
from appliance.access.keys import load_pin_secret
from appliance.access.people import People, Person, TrainingRecord, make_person
from appliance.domain import decisions, isbt128
from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec
from appliance.domain.roles import EMERGENCY, ROLES
from appliance.domain.stock import Receipt, key_of
from appliance.engine.count_commands import packed
from appliance.engine.view import short_code
from appliance.link.messages import Accepted, Command, Proof
from appliance.link.server import Caller

PIN, PASSWORD, STATION = "918273", "nine tall lanterns", "station-m"
NEW_PIN, NEW_PASSWORD = "573910", "eleven small boats"
BADGE_OF_ADA = f"BADGE-{ADA.id}"
WITNESS = "m-witness"  # the second person of acts that need two
DEVICE = "scale-1"  # stands there unqualified, for maintenance to see to
RECEIPT = "R-1"  # a material in quarantine
TARGET = "m-target"  # the account that is acted upon

# Who tries: one person of each role alone, and everybody who must be kept out or in by something else.
ODD = ("emergency", "inactive", "untrained", "unconfirmed", "owing", "locked", "nobody")
ACTORS = (*ROLES, *ODD)
STATES = (
    "no_batch", "running", "checking", "scanning", "signing", "held", "identity_hold", "complete", "sealed",
    "released", "rejected", "stopped", "untrusted",
)  # fmt: skip
REFUSALS = (ev.CommandWasRefused, ev.SignInRefused, ev.DocumentRefused, ev.DispositionRefused)


class Allowed(BaseException):
    """A decision was made that would have gone on record."""


@dataclass
class Matrix:
    """One unit in one state."""

    room: Room
    state: str

    def tries(self, act: str, actor: str) -> asyncio.Future[bool]:
        return asyncio.ensure_future(self._tries(act, actor))

    async def _tries(self, act: str, actor: str) -> bool:
        """Whether this act of this actor would take effect now."""
        with self._present(act, actor):
            command = self._command(act, actor)
            caller = Caller(client="cli", station=STATION, pid=0, uid=0, gid=0)
            try:
                answer = await self.room.engine._commands.take(command, caller)
            except Allowed:
                return True
            return isinstance(answer, Accepted)

    # ── Who is there ───────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _present(self, act: str, actor: str) -> Iterator[None]:
        """The actor's session at the station, and what belongs to it, for one cell."""
        desk, people = self.room.engine.desk, self.room.engine.unit.people
        for station in desk.sessions.people_at():
            desk.sessions.close(station)
        if actor == "emergency" or act == "end_emergency":
            people.emergency, people.emergency_at = self._opened(), self.room.clock.utc()
        if actor != "nobody":
            desk.sessions.open(STATION, person_of(actor), desk.now_s())
        if actor == "locked":
            desk.sessions.lock(STATION)
        if actor == "owing":
            desk._owed = {person_of(actor): {"pin": "one_time"}}
        try:
            yield
        finally:
            people.emergency = people.emergency_at = None
            desk._owed = {}
            desk._authentication._checking.clear()
            desk.lockouts.unlocked(person_of(actor))

    def _opened(self) -> ev.EmergencyOpened:
        unit, clock = self.room.engine.unit, self.room.clock
        running = [one.phase.id for one in unit.batch.runs.values()] if unit.batch else []
        return ev.EmergencyOpened(
            first_person=WITNESS,
            first_name="Wim",
            second_person=GUS.id,
            second_name="Gus",
            reason="Nobody else",
            station=STATION,
            phases=running,
            monotonic_ns=clock.monotonic_ns(),
            boot_id=clock.boot_id().hex(),
        )

    # ── What is asked ──────────────────────────────────────────────────────────────────

    _numbers = itertools.count()

    def _command(self, act: str, actor: str) -> Command:
        id = person_of(actor)
        pin, password = Proof(person=id, pin=PIN), Proof(person=id, password=PASSWORD, typed=id)
        reason = {"reason": "As the matrix asks"}
        witness = Proof(person=WITNESS, pin=PIN)
        body: dict[str, Any] = {}
        proof: Proof | None = None
        match act:
            case "sign_in":
                body, proof = {"person": id}, pin
                if actor == "emergency":
                    proof = witness
            case "change_secret":
                proof = Proof(person=id, pin=PIN, new=NEW_PIN)
            case "unlock_account" | "disable_account":
                body = {"person": TARGET, **reason}
            case "enable_account":
                body = {"person": "m-disabled", **reason}
            case "issue_badge":
                body = {"person": TARGET, "badge": "BADGE-SPARE", "hours": 8, **reason}
            case "withdraw_badge":
                body = {"person": ADA.id, "badge": BADGE_OF_ADA, **reason}
            case "test_badge":
                body = {"person": ADA.id, "read": BADGE_OF_ADA, "why": "periodic"}
            case "open_emergency":
                body, proof = reason, witness
            case "confirm_time":
                body, proof = {"reference": self.room.clock.utc().isoformat()}, witness
            case "qualify_device":
                body, proof = {"device": DEVICE, "serial_number": "4711", "firmware": "1", **reason}, witness
            case "qualify_count":
                days = {"performed_on": "2026-03-01", "qualified_until": "2027-03-01"}
                body = {"method": "trypan-blue", "design": packed(b"rows"), **days, **reason}
                proof = witness
            case "record_consent":
                body = {"consent": "C-2", "coi": "CHA999926000002", "patient": "DEMO2", "on": "2026-02-01"}
                body, proof = body | {"received_from": "study nurse"}, BEN.by_pin
            case "withdraw_consent":
                body = {"coi": "CHA999926000001", "received_from": "ward", **reason}
            case "receive_material":
                looked = self.room.engine._commands.materials.newest_look(STATION)
                body = {"scan": looked, "title": "Saline", "quantity": "2", "supplier": "Maker"}
                body |= {"visual_check": "passed", "certificate_reference": "CoA 1"}
            case "release_material" | "reject_material":
                body = {"receipt": RECEIPT, "certificate": "CoA 1", **reason}
            case "book_out_material":
                body = {"receipt": RECEIPT, "quantity": "1", "why": "lost", **reason}
            case "recall_lot" | "lift_recall":
                lot = "LOT2" if act == "recall_lot" else "LOT1"
                body, proof = (
                    {"catalogue": "XXSALINE", "lot": lot, "reference": "FSN 1", **reason},
                    CLEO.by_pin,
                )
            case "open_batch":
                body = {"order": ORDER}
            case "scan" | "answer":
                body, proof = self._asked(pin, password)
            case "hold" | "restart" | "release_stop" | "end_emergency":
                body = reason
            case "abort_batch":
                body, proof = reason, password
            case "hand_back_order":
                body, proof = {"order": ORDER, **reason}, password
            case "acknowledge_alarm":
                body = {"alarm": "matrix"}
            case "comment":
                body = {"text": "A remark of the matrix."}
            case "correct":
                body = {"prompt": "clear/clear", "field": "text", "value": "other", **reason}
            case "erase_identity":
                body = {"patient": "PSEUDONYM", **reason}
            case "deliver_document":
                body = {"envelope": msgspec.to_builtins(self._own_release())}
            case "store_ack":
                body = self.room.acknowledgement(key="unit")
            case "record_blocked":
                body = {"log": "gxp", "words": "a fork"}
            case _:
                pass
        return Command(command_id=f"m-{next(self._numbers)}", name=act, body=body, proof=proof)

    def _asked(self, pin: Proof, password: Proof) -> tuple[dict[str, Any], Proof | None]:
        """The first open prompt, answered with what it needs."""
        engine = self.room.engine
        prompts = decisions.open_prompts(engine.unit, engine.clock.utc())
        if not prompts:
            return {"prompt": "clear/clear", "values": {}}, None
        prompt = prompts[0]
        code = short_code(prompt.content) if prompt.content else ""
        proof = {"session": None, "second_person": pin}.get(prompt.needs, password)
        return {"prompt": prompt.id, "values": {}, "signs": code}, proof

    def _own_release(self) -> Any:
        """A release signed by a key of the unit: whoever delivers it, it must never hold."""
        batch = self.room.engine.unit.batch
        if batch is None or batch.sealed is None:
            return sign("decision", b"{}", self.room.keys["unit"], "qp")
        return self.room.decision(key="unit")


def person_of(actor: str) -> str:
    return EMERGENCY if actor == "emergency" else f"m-{actor}".replace("nobody", "operator")


# ── A unit in a state ──────────────────────────────────────────────────────────────────


async def matrix_in(folder: Path, state: str) -> Matrix:
    """Start a unit, bring it to the state, and cut off what follows from decisions."""
    room = make_room(folder)
    _add_people(room)
    await room.starts()
    await _bring(room, state)
    engine = room.engine
    raised = ev.AlarmRaised(alarm="matrix", priority="low", title="M", cause="m", action="m")
    engine.unit.alarms["matrix"] = (raised, "active", START)
    told = {"maker": "m", "model": "m", "serial_number": "4711", "firmware": "1"}
    engine.unit.devices[DEVICE] = DeviceSpec(DEVICE, "balance", "Scale")
    engine.unit.identities[DEVICE], engine.unit.qualified[DEVICE] = told, False
    engine.unit.stock.receipts[RECEIPT] = Receipt(
        id=RECEIPT, catalogue="XXOTHER", lot="LOT3", title="Other", quantity=2, visual_check="passed",
        certificate="CoA 1", received_by=GUS.id, expires_at=(START + timedelta(days=90)).isoformat(),
    )  # fmt: skip
    recalled = ev.LotRecalled(catalogue="XXSALINE", lot="LOT1", reference="FSN 1", reason="m")
    engine.unit.stock.recalls[key_of("XXSALINE", "LOT1")] = recalled
    engine.unit.people.disabled |= {"m-disabled": "unit", "m-inactive": "revocation"}
    engine.desk.refresh()
    engine.identities.put("PSEUDONYM", Identity(name="Hana Demo", birth_date="", hospital_number=""))

    async def only_decides(decide: Callable[[], list[ev.Event]], **_: Any) -> list[Any]:
        engine.unit.clock_trusted = engine.clock.trust() == "trusted"
        events = decide()
        if any(not isinstance(event, REFUSALS) for event in events):
            raise Allowed
        return []

    async def only_commits(events: list[ev.Event], actor: str) -> None:
        await only_decides(lambda: events)

    engine.vision.ask = judged_well  # type: ignore[method-assign]
    engine.turn = only_decides  # type: ignore[method-assign,assignment]
    engine.desk._commit = only_commits
    return Matrix(room, state)


async def judged_well(op: str, **asked: Any) -> dict[str, Any]:
    """What the program of pictures answers about a good series or a material's label, without being there."""
    if op == "scan_source":
        on = START.date() + timedelta(days=90)
        text = isbt128.compound(
            isbt128.item_text("XX", "SALINE"), isbt128.item_lot_text("LOT9"), isbt128.expiry_date_text(on)
        )
        symbol = {"text": text, "symbology": "datamatrix", "symbology_identifier": "]d1", "confirmed": True}
        return {"symbols": [symbol], "reasons": [], "image": ""}
    Path(asked["report"]).write_text("<!doctype html>", encoding="utf-8")
    return {
        "method": {"id": asked["method"], "version": "1", "hash": "00"},
        "series": asked["method"],
        "verdict": "pass",
        "words": [],
        "figures": {},
        "limits": {},
    }


async def _bring(room: Room, state: str) -> None:
    match state:
        case "no_batch":
            return
        case "running" | "untrusted" | "held" | "stopped":
            await room.goes_to("clear/clear")
        case "checking":
            await room.goes_to("clear/clear.verify")
        case "scanning" | "identity_hold":
            await room.goes_to("bag/bag")
        case "signing":
            await room.goes_to("seal/performed")
        case _:
            await room.goes_to_the_seal()
    match state:
        case "held":
            await room.done("hold", {"reason": "For the matrix"})
        case "identity_hold":
            await room.shows("bag", "bag", ["=A9999265432100", "=%S9991100", "&>0243100000"])
            if room.batch.state != "held":
                engine = room.engine
                words = "Another bag."
                await engine.turn(lambda: decisions.hold_running(engine.unit, "wrong_bag", words))
        case "stopped":
            await room.done("stop")
        case "untrusted":
            room.clock.set_trust("untrusted")
        case "complete":
            room.batch.facts[:] = [
                one for one in room.batch.facts if not isinstance(one.event, ev.BatchSealed)
            ]
        case "released" | "rejected":
            envelope = msgspec.to_builtins(room.decision(disposition=state))
            await room.done("deliver_document", {"envelope": envelope})


def _add_people(room: Room) -> None:
    """The people of the matrix, beside those who bring the unit into its state."""
    people = People.from_content(load(room.home.people).content)
    secret = load_pin_secret(room.home.pin_secret)
    made = [_person(secret, role, (role,)) for role in ROLES]
    for actor in ("inactive", "untrained", "unconfirmed", "locked"):
        made.append(_person(secret, actor, ("supervisor",)))
    made += [
        _person(secret, "owing", ("operator",)),
        _person(secret, "witness", ("integrator",)),
        _person(secret, "target", ("operator",)),
        _person(secret, "disabled", ("operator",)),
    ]
    whole = msgspec.structs.replace(people, people=(*people.people, *made))
    dump(sign("people", whole.to_content(), room.keys["root"], "root"), room.home.people)


def _person(secret: bytes, actor: str, roles: tuple[Any, ...]) -> Person:
    confirmed = actor != "unconfirmed"
    return make_person(
        id=f"m-{actor}",
        name=f"Matrix {actor}",
        roles=roles,
        pin=PIN,
        password=PASSWORD,
        one_time=actor == "owing",
        pin_secret=secret,
        identity_confirmed_by=GUS.id if confirmed else "",
        identity_confirmed_at=START - timedelta(days=1) if confirmed else None,
        training=()
        if actor == "untrained"
        else (TrainingRecord(recipe="short", until=TRAINED_UNTIL, by=CLEO.id),),
        cost=CHEAP,
    )


__all__ = ["ACTORS", "BEN", "STATES", "Account", "Matrix", "matrix_in"]
