"""A running engine, the agent and central over HTTPS: an order moves away, and a bag turns up twice."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from central_site import PASSWORD, CentralProcess, Unit, agent_of, make_batch
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from small_engine import SmallEngine

from appliance.access.documents import fingerprint
from appliance.access.keys import Trust, load_pin_secret
from appliance.domain import events
from appliance.record.log import Record
from sync.agent import Agent
from sync.central.accounts import Accounts
from sync.central.command import central as central_command
from sync.central.orders import Orders
from sync.engine_link import SocketEngine
from sync.transport import Central, unit_client

sys.path.insert(0, str(Path(__file__).parents[1] / "appliance" / "engine"))
import engine_room
from engine_room import CLEO, DIN, Room, make_room, order_envelope, told

UNTIL = datetime.now(UTC) + timedelta(days=2)


def enrolled(central: CentralProcess, folder: Path) -> Room:
    """A site's unit that trusts this central and has no order yet."""
    room = make_room(folder)
    for path in room.home.orders.glob("*.json"):
        path.unlink()
    public = folder / "unit.pub"
    pem = room.keys["unit"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public.write_bytes(pem)
    words = ["add-unit", "--home", str(central.home.root), "--unit", "UNIT-1", "--public-key", str(public)]
    assert central_command([*words, "--simulated", "--out", str(room.home.keys)]) == 0
    room.keys["central"] = central.home.signing_key()
    Trust.load(room.home.trust).with_key("central", fingerprint(room.keys["central"])).save(room.home.trust)
    return room


async def carry(room: Room, central: CentralProcess) -> None:
    """What the unit has on record is signed; then one round of its agent."""
    await room.engine.seal_soon()

    def one_round() -> None:
        home = room.home
        client = unit_client(
            central.url, certificate=home.client_crt, key=home.client_key, authority=home.central_ca
        )
        agent = Agent(
            Record.open_readonly(home.record),
            Central(client, "UNIT-1"),
            SocketEngine(home.socket),
            trusted=Trust.load(home.trust).central,
            state_file=home.root / "sync" / "state.json",
        )
        agent.round()
        agent.close()

    await asyncio.to_thread(one_round)


@pytest.mark.requirement("T20")
def test_an_order_leaves_a_running_unit_for_good_and_a_bag_used_elsewhere_holds_its_batch(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, store = enrolled(shared_central, tmp_path / "site"), shared_central.home.store()
    accounts = Accounts(store, load_pin_secret(shared_central.home.password_secret))
    orders = Orders(store, shared_central.home.signing_key(), accounts)
    first, second = (f"ORD-{secrets.token_hex(4)}" for _ in range(2))
    for order in (first, second):
        content = json.loads(order_envelope(room.keys).content) | {"id": order}
        content["expires_at"] = UNTIL.isoformat()
        orders.issue(content, actor="administrator", now=datetime.now(UTC))
    bag = events.BagAccepted(
        phase="receive_bag", din=DIN, description_code="S9991", division="00", expires_at="", picture=""
    )
    make_batch(unit, more=[bag])
    engine = SmallEngine(unit, shared_central.home.fingerprint())
    agent_of(unit, shared_central.url).round()
    engine.close()

    async def story() -> None:
        # Both orders come; the first is handed back, and the engine dies before central heard of it.
        await carry(room, shared_central)
        reason = {"reason": "The patient was moved"}
        await room.done("hand_back_order", {"order": first, **reason}, CLEO.by_password)
        await room.restarts()
        await carry(room, shared_central)
        orders.reassign(
            first,
            to=unit.unit_id,
            expires_at=UNTIL,
            people=[("p-qa", PASSWORD)],
            now=datetime.now(UTC),
            **reason,
        )
        await carry(room, shared_central)
        await room.restarts()
        await room.signs_in()
        gone = await room.refused("open_batch", {"order": first})

        # The second is begun here with a bag that another unit has used.
        monkeypatch.setattr(engine_room, "ORDER", second)
        await room.goes_to("bag/identity")
        before = room.batch.state
        await carry(room, shared_central)
        await carry(room, shared_central)

        assert gone.reason == "order_other_unit" and unit.unit_id in gone.words
        assert (before, room.batch.state) == ("running", "held")
        (noticed,) = room.events(events.SecondUseNoticed)
        assert noticed.elsewhere == [f"{unit.unit_id} B-0001"]
        assert not room.events(events.DocumentRefused)

    told(room, story)
