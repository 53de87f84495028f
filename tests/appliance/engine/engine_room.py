"""A whole engine in this process: real record, real socket, real signed documents, a hand-moved clock.

Its recipe uses no device, so no child process is needed; what a camera would read is handed in.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access.documents import Envelope, add_signature, dump, sign
from appliance.access.keys import Trust, fingerprint, make_key, make_pin_secret, raw_public_key
from appliance.access.people import KeyRole, People, PersonKey, Role, TrainingRecord, make_person
from appliance.access.qp_decision import decision_content, sign_decision
from appliance.access.secret_hash import Argon2Cost
from appliance.config import Home
from appliance.domain import consent, decisions
from appliance.domain import events as ev
from appliance.domain.batch import Batch
from appliance.domain.label_fields import bag_fields
from appliance.engine import recovery
from appliance.engine.clock import HandClock
from appliance.engine.engine import Engine
from appliance.engine.journal import fact_of
from appliance.engine.sealing import expected_seal
from appliance.engine.view import short_code
from appliance.link.client import Answer, LinkClient
from appliance.link.messages import Accepted, Proof, Refused, Snapshot
from appliance.record.errors import RecordError
from appliance.record.log import Record
from appliance.record.replay_target import replay_folder

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
CHEAP = Argon2Cost(passes=1, memory_kib=8, lanes=1)
TRAINED_UNTIL = START.date() + timedelta(days=300)
STATION, ORDER, DIN = "bedside-1", "ORD-1", "A999926123456"
UNTIL_S = 5.0

RECIPE = """
[recipe]
id = "short"
version = "1"
title = "Only look, sign and hand over"
[procedure]
title = "Everything that needs no device"
[unit_procedure.all]
title = "All"
[operation.all]
title = "All"
unit_procedure = "all"
[phase.clear]
title = "Clear the line"
type = "line_clearance"
operation = "all"
verify = ["clear"]
instruction = { clear = "Look at the whole station." }
[phase.bag]
title = "Receive the bag"
type = "scan_bag"
operation = "all"
after = ["clear"]
verify = ["identity"]
instruction = { retrieve = "Take the bag out.", identity = "Both carry the same number." }
limit = { out_of_cold = { action = "<= 50 min", on_action = "deviation" } }
[phase.seal]
title = "Sign and seal"
type = "seal"
operation = "all"
after = ["bag"]
[phase.hand_over]
title = "Hand over"
type = "hand_over"
operation = "all"
after = ["seal"]
instruction = { sign = "Give the dose to the ward." }
"""

UNIT_TOML = """
[unit]
id = "UNIT-1"
site = "Ward"
time_zone = "Europe/London"
simulated = true
clock_speed = "1"
[station]
labels = "sources/labels"
microscope = "sources/microscope"
um_per_px = "0.6"
field_depth_um = "100"
field_depth_tolerance_percent = "5"
dilution = "2"
fictitious = true
[record]
reserve_mib = 1
"""


@dataclass(frozen=True)
class Account:
    id: str
    roles: tuple[Role, ...]
    pin: str = ""
    password: str = ""

    @property
    def by_pin(self) -> Proof:
        return Proof(person=self.id, pin=self.pin)

    @property
    def by_password(self) -> Proof:
        return Proof(person=self.id, password=self.password, typed=self.id)


ADA = Account("p-0001", ("operator",), "246813", "blue kettle morning")
BEN = Account("p-0002", ("verifier",), "864213", "quiet river stones")
CLEO = Account("p-0003", ("supervisor",), "975318", "seven green doors")
DORA = Account("p-0004", ("qa_reviewer",))
EMIL = Account("p-0005", ("recipe_developer",))
FAYE = Account("p-0006", ("qp",))
GUS = Account("p-0007", ("administrator",), "531975")
ACCOUNTS = (ADA, BEN, CLEO, DORA, EMIL, FAYE, GUS)


@dataclass
class Room:
    """One unit's home folder with all keys of its site, and the engine that runs on it."""

    home: Home
    keys: dict[str, Ed25519PrivateKey]
    clock: HandClock = field(default_factory=lambda: HandClock(START))
    _engine: Engine | None = None
    _client: LinkClient | None = None

    # ── Life ───────────────────────────────────────────────────────────────────────────

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "no engine runs"
        return self._engine

    async def starts(self) -> None:
        """The engine starts, recovers and answers on its socket."""
        self._engine = await recovery.start(self.home, clock=self.clock)
        await self.engine.server.start()
        await self.connects()
        await self.has_consent()

    async def has_consent(self) -> None:
        """The consent that the order names is on record, as by a signed document."""
        engine = self.engine
        said = ev.ConsentRecorded(
            consent="CONSENT-1",
            coi="CHA999926000001",
            patient="DEMO7F3A",
            received_from="study nurse",
            given_on="2026-02-20",
        )
        if "CONSENT-1" not in engine.unit.consents:
            await engine.turn(lambda: consent.recorded(engine.unit, said))

    async def connects(self, station: str = STATION) -> Snapshot:
        if self._client is not None:
            await self._client.close()
        self._client = LinkClient(self.home.socket, client="cli", station=station)
        return await self._client.connect()

    async def crashes(self) -> None:
        """The engine is gone between two turns: nothing says goodbye on the record."""
        assert self._client is not None
        await self._client.close()
        await self.engine.server.close()
        await self.engine.effects.close()
        self.engine.journal.writer.shutdown()
        self.engine.record.close()
        self._engine = self._client = None

    async def restarts(self) -> None:
        await self.crashes()
        await self.starts()

    # ── What is asked ──────────────────────────────────────────────────────────────────

    async def ask(
        self, name: str, body: dict[str, Any] | None = None, proof: Proof | None = None, **more: Any
    ) -> Answer:
        assert self._client is not None
        if name == "answer" and body and "signs" not in body:  # people look before they confirm
            body = body | {"signs": self.code_shown(str(body.get("prompt", "")))}
        return await self._client.command(name, body, proof, **more)

    async def done(
        self, name: str, body: dict[str, Any] | None = None, proof: Proof | None = None
    ) -> Accepted:
        answer = await self.ask(name, body, proof)
        assert isinstance(answer, Accepted), answer
        return answer

    async def refused(
        self, name: str, body: dict[str, Any] | None = None, proof: Proof | None = None
    ) -> Refused:
        answer = await self.ask(name, body, proof)
        assert isinstance(answer, Refused), answer
        return answer

    async def signs_in(self, account: Account = ADA) -> None:
        await self.done("sign_in", {"person": account.id}, account.by_pin)

    async def answers(self, prompt: str, proof: Proof | None = None) -> Accepted:
        return await self.done("answer", {"prompt": prompt, "values": {}}, proof)

    def code_shown(self, prompt: str) -> str:
        """What the screen shows beside the facts, for whoever confirms or signs them."""
        engine = self.engine
        asked = decisions.open_prompts(engine.unit, engine.clock.utc())
        content = next((one.content for one in asked if one.id == prompt), "")
        return short_code(content) if content else ""

    async def begins_batch(self) -> str:
        await self.signs_in()
        return str((await self.done("open_batch", {"order": ORDER})).result["batch"])

    async def shows(self, phase: str, key: str, texts: list[str]) -> None:
        """What the camera read, handed in where the worker would report it."""
        engine = self.engine
        read = ev.ScanRead(
            phase=phase,
            key=key,
            scan_id=f"{phase}-{key}-{engine.journal.head.seq}",
            texts=texts,
            symbologies=["code128"] * len(texts),
            reasons=[],
            picture="",
        )
        await engine.turn(lambda: decisions.scan_read(engine.unit, read, engine.clock.utc()))

    async def goes_to(self, prompt: str) -> None:
        """All goes well until this is asked."""
        await self.begins_batch()
        steps: list[tuple[str, Proof | None]] = [
            ("clear/clear", None),
            ("clear/clear.verify", BEN.by_pin),
            ("bag/retrieve", None),
            ("bag/bag", None),
            ("bag/identity", None),
            ("bag/identity.verify", BEN.by_pin),
            ("seal/performed", ADA.by_password),
            ("seal/verified", BEN.by_password),
        ]
        for asked, proof in steps:
            if asked == prompt:
                return
            if asked == "bag/bag":
                await self.shows("bag", "bag", bag_texts())
            else:
                await self.answers(asked, proof)

    async def goes_to_the_seal(self) -> None:
        """A batch of which all went well is sealed and waits for the QP."""
        await self.goes_to("")
        await self.until(lambda: self.batch.sealed is not None)

    @property
    def batch(self) -> Batch:
        assert self.engine.unit.batch is not None, "no batch was begun"
        return self.engine.unit.batch

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait in real time for what goes on beside the loop."""
        async with asyncio.timeout(UNTIL_S):
            while not holds():
                await asyncio.sleep(0.005)

    # ── Documents ──────────────────────────────────────────────────────────────────────

    def decision(
        self,
        *,
        key: str = "qp",
        disposition: str = "released",
        version: int = 1,
        expires_h: float = 12,
        **changes: Any,
    ) -> Envelope:
        """A QP's decision over what is sealed now, signed by one of the site's keys."""
        seal = expected_seal(self.engine.unit, ())
        person = self.engine.people.person(FAYE.id)
        assert person is not None
        content = decision_content(
            seal,
            version=version,
            stage="conditional",
            disposition=disposition,  # type: ignore[arg-type]
            by=person,
            decided_at=self.clock.utc(),
            expires_at=self.clock.utc() + timedelta(hours=expires_h),
            reason="" if disposition == "released" else "Not as it should be",
        )
        if changes:
            content = json.dumps(
                json.loads(content) | changes, sort_keys=True, separators=(",", ":")
            ).encode()
        return sign_decision(content, self.keys[key])

    def acknowledgement(self, *, key: str = "central", **changes: Any) -> dict[str, str]:
        """Central's signed word that it holds everything up to now."""
        head = self.engine.record.head()
        said = {
            "unit": "UNIT-1",
            "log": "gxp",
            "epoch": head.epoch.hex(),
            "acked_seq": head.seq,
            "acked_hash": head.hash.hex(),
            "public_key": base64.b64encode(raw_public_key(self.keys[key])).decode(),
        }
        content = json.dumps(said | changes, sort_keys=True, separators=(",", ":")).encode()
        signature = self.keys[key].sign(b"cellwright/ack/1\x00" + content)
        return {
            "ack": base64.b64encode(content).decode(),
            "signature": base64.b64encode(signature).decode(),
            "log": "gxp",
        }

    # ── What is on record ──────────────────────────────────────────────────────────────

    def events(self, *kinds: type[ev.Event]) -> list[ev.Event]:
        """The events on record, oldest first; of all kinds when none is named."""
        reading = self._engine.record if self._engine is not None else Record.open_readonly(self.home.record)
        facts = [fact_of(stored) for stored in reading.read()]
        return [
            fact.event for fact in facts if fact is not None and (not kinds or isinstance(fact.event, kinds))
        ]


def bag_texts(din: str = DIN) -> list[str]:
    fields = bag_fields(
        din=din,
        description_code="S9991",
        collection_type="1",
        division="00",
        expires_at=START + timedelta(days=300),
        time_zone="Europe/London",
        patient="",
        product="",
        volume_ml="50",
        storage="",
    )
    return [fields["din_text"], fields["product_text"], fields["compound_text"]]


def make_room(folder: Path) -> Room:
    """Keys, people, recipe, order and appliance file of a small site."""
    home = Home(folder)
    for place in (home.keys, home.recipes, home.orders, home.run, home.labels):
        place.mkdir(parents=True, exist_ok=True)
    names = ("root", "central", "qp", "developer", "reviewer", "stranger")
    keys = {name: Ed25519PrivateKey.generate() for name in names}
    keys["unit"] = make_key(home.unit_key)
    secret = make_pin_secret(home.pin_secret)
    dump(sign("people", _people(secret, keys).to_content(), keys["root"], "root"), home.people)
    dump(recipe_envelope(keys), home.recipes / "short.json")
    dump(order_envelope(keys), home.orders / f"{ORDER}.json")
    Trust(
        root=(fingerprint(keys["root"]),),
        unit=(fingerprint(keys["unit"]),),
        central=(fingerprint(keys["central"]),),
        qp=(fingerprint(keys["qp"]),),
    ).save(home.trust)
    home.unit_toml.write_text(UNIT_TOML, encoding="utf-8")
    return Room(home, keys)


def _people(secret: bytes, keys: dict[str, Ed25519PrivateKey]) -> People:
    owners: dict[KeyRole, tuple[Account, str]] = {
        "recipe_developer": (EMIL, "developer"),
        "qa_reviewer": (DORA, "reviewer"),
        "qp": (FAYE, "qp"),
    }
    return People(
        version=1,
        issued_at=START - timedelta(days=2),
        people=tuple(
            make_person(
                id=one.id,
                name=f"{one.id} Demo",
                roles=one.roles,
                badge=f"BADGE-{one.id}",
                pin=one.pin,
                password=one.password,
                pin_secret=secret,
                identity_confirmed_by="" if one is GUS else GUS.id,
                identity_confirmed_at=None if one is GUS else START - timedelta(days=2),
                training=(TrainingRecord(recipe="short", until=TRAINED_UNTIL, by=CLEO.id),),
                cost=CHEAP,
            )
            for one in ACCOUNTS
        ),
        keys=tuple(
            PersonKey(
                person=owner.id,
                role=role,
                public_key=raw_public_key(keys[name]),
                key=fingerprint(keys[name]),
            )
            for role, (owner, name) in owners.items()
        ),
    )


def recipe_envelope(keys: dict[str, Ed25519PrivateKey], *, reviewed: bool = True) -> Envelope:
    envelope = sign("recipe", RECIPE.encode(), keys["developer"], "recipe_developer")
    return add_signature(envelope, keys["reviewer"], "qa_reviewer") if reviewed else envelope


def order_envelope(keys: dict[str, Ed25519PrivateKey], *, signed_by: str = "central") -> Envelope:
    order = {
        "id": ORDER,
        "recipe": "short",
        "patient": "DEMO7F3A",
        "coi": "CHA999926000001",
        "din": DIN,
        "description_code": "S9991",
        "division": "00",
        "weight_kg": "70",
        "dose_target_cells_kg": "1.5e6",
        "unit": "UNIT-1",
        "consent": "CONSENT-1",
        "expires_at": (START + timedelta(days=30)).isoformat(),
        "assignment": "1",
    }
    content = json.dumps(order, sort_keys=True, separators=(",", ":")).encode()
    return sign("order", content, keys[signed_by], "central")


def told(room: Room, story: Callable[[], Awaitable[None]]) -> None:
    """Run one story with an engine that has started; the engine is gone afterwards.

    Whatever the story was, the record that it leaves must come out again when it is decided anew.
    """

    async def whole() -> None:
        await room.starts()
        try:
            await story()
        finally:
            if room._engine is not None:
                await room.crashes()

    asyncio.run(whole())
    try:
        outcome = replay_folder(room.home.record)
    except RecordError:
        return  # a story that broke its record on purpose
    assert outcome.difference is None, outcome.difference.words
