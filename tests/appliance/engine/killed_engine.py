"""Rounds in which a real engine process is killed at a random moment under commands, and looked after."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine_process import EngineProcess
from engine_room import ADA, Room, make_room

from appliance.domain import events as ev
from appliance.link.client import EngineAway, LinkClient
from appliance.link.messages import Accepted, Proof, Refused, Snapshot
from appliance.record.canonical import decode_payload
from appliance.record.log import Record
from appliance.record.verify import verify_record

LATEST_S = 0.25
AT_ONCE = 3  # clients' commands that are under way at one time
ACTS = ("comment",) * 6 + ("hold", "restart", "stop", "release_stop", "sign_in")


@dataclass(slots=True)
class Sent:
    """One command, as it was asked, and what came of it; no answer when the engine died before."""

    id: str
    name: str
    body: dict[str, Any]
    proof: Proof | None
    answer: Accepted | Refused | None = None


@dataclass(slots=True)
class KilledEngine:
    """What was seen over all rounds."""

    room: Room
    rounds: int = 0
    sent: list[Sent] = field(default_factory=list)
    unanswered: int = 0
    running_after_start: list[str] = field(default_factory=list)
    other_answers: list[str] = field(default_factory=list)
    shown: dict[int, str] = field(default_factory=dict)  # the head that a client was shown, by its number
    faults: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> list[Sent]:
        """What was acknowledged at the first time of asking."""
        return [one for one in self.sent if isinstance(one.answer, Accepted)]


async def _opened(folder: Path) -> Room:
    """A unit with a batch whose first phase runs."""
    room = make_room(folder)
    await room.starts()
    await room.begins_batch()
    await room.crashes()
    return room


async def rounds(folder: Path, seed: int, count: int) -> KilledEngine:
    """Kill the engine `count` times; at the end everything is looked at once more on the record."""
    seen, chance = KilledEngine(await _opened(folder)), random.Random(seed)
    engine, before = EngineProcess(seen.room.home), list[Sent]()
    try:
        for _ in range(count):
            client, snapshot = await engine.starts()
            _note_start(seen, snapshot)
            await _ask_again(seen, client, before)
            before = await _until_killed(seen, engine, client, chance)
            await client.close()
            seen.rounds += 1
        client, snapshot = await engine.starts()
        _note_start(seen, snapshot)
        await _ask_again(seen, client, before)
        await client.close()
    finally:
        engine.is_killed()
    _look(seen)
    return seen


def _note_start(seen: KilledEngine, snapshot: Snapshot) -> None:
    assert snapshot.batch is not None, "the batch is gone"
    for phase in snapshot.batch.phases:
        if phase.state not in ("idle", "held", "complete"):
            seen.running_after_start.append(f"{phase.id}: {phase.state}")
    seen.shown[snapshot.record.seq] = snapshot.record.hash


async def _ask_again(seen: KilledEngine, client: LinkClient, before: list[Sent]) -> None:
    """Each command of the last life is sent again under its id, as a client would that is not sure."""
    for one in before:
        if one.name != "stop":  # STOP is never a duplicate
            answer = await client.command(one.name, one.body, one.proof, one.id)
            if isinstance(one.answer, Accepted) and not isinstance(answer, Accepted):
                seen.other_answers.append(f"{one}: then {answer}")


async def _until_killed(
    seen: KilledEngine, engine: EngineProcess, client: LinkClient, chance: random.Random
) -> list[Sent]:
    """Ask without pause until the blow falls; returns what was asked."""
    asked: list[Sent] = []
    await client.command("sign_in", {"person": ADA.id}, ADA.by_pin)
    await client.command("release_stop", {"reason": "All is safe"})
    await client.command("restart", {"reason": "Looked at everything"})
    asking = [asyncio.create_task(_asks(client, chance, asked)) for _ in range(AT_ONCE)]
    await asyncio.sleep(chance.uniform(0, LATEST_S))
    engine.is_killed()
    await asyncio.gather(*asking)
    seen.sent += asked
    seen.unanswered += sum(one.answer is None for one in asked)
    return asked


async def _asks(client: LinkClient, chance: random.Random, asked: list[Sent]) -> None:
    with suppress(EngineAway):
        while True:
            one = _command(chance)
            asked.append(one)
            one.answer = await client.command(one.name, one.body, one.proof, one.id)


def _command(chance: random.Random) -> Sent:
    name, id = chance.choice(ACTS), str(uuid.UUID(int=chance.getrandbits(128)))
    match name:
        case "sign_in":
            return Sent(id, name, {"person": ADA.id}, ADA.by_pin)
        case "comment":
            return Sent(id, name, {"text": f"{id} {'x' * chance.randrange(500)}"}, None)
        case "stop":
            return Sent(id, name, {}, None)
        case _:
            return Sent(id, name, {"reason": f"{id} looked at it"}, None)


def _look(seen: KilledEngine) -> None:
    """What was acknowledged is there once; what a screen was shown has its hash; all is whole."""
    comments: Counter[str] = Counter()
    orders: Counter[str] = Counter()
    hashes: dict[int, str] = {}
    with Record.open_readonly(seen.room.home.record) as record:
        for stored in record.read():
            payload = decode_payload(stored.payload)
            hashes[stored.seq] = stored.hash.hex()
            if stored.header.kind == ev.CommentAdded.__name__:
                comments[str(payload.body["text"])] += 1
            if stored.header.kind == ev.DeviceOrdered.__name__:
                orders[str(payload.body["order_id"])] += 1
    for one in seen.accepted:
        if one.name == "comment" and comments[one.body["text"]] != 1:
            seen.faults.append(f"acknowledged, and {comments[one.body['text']]} times on record: {one.id}")
        assert isinstance(one.answer, Accepted)
        if one.answer.seq not in hashes:
            seen.faults.append(f"acknowledged up to {one.answer.seq}, which is not on record")
    seen.faults += [f"{count} times on record: {text[:36]}" for text, count in comments.items() if count != 1]
    seen.faults += [f"ordered {count} times: {id}" for id, count in orders.items() if count != 1]
    seen.faults += [
        f"the head {seq} is another" for seq, hash in seen.shown.items() if hashes.get(seq) != hash
    ]
    verdict = verify_record(seen.room.home.record, None)
    seen.faults += [] if verdict.whole else [verdict.words]
