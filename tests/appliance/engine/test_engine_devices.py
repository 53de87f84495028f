"""A whole engine with real hosts and twins: who a device is, who qualified it, what wears out.

Each story's record is decided again afterwards and must come out the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from engine_room import ADA, BEN, CHEAP, CLEO, GUS, START, STATION, Account, Room, make_room, told
from served_twins import ServedTwins
from test_device_pool import until

from appliance.access.documents import dump, load, sign
from appliance.access.keys import load_pin_secret
from appliance.access.people import People, make_person
from appliance.config import ConfigurationUnusable
from appliance.domain import events as ev
from appliance.domain import fitness
from appliance.link.messages import Snapshot
from appliance.unit_command import unit as unit_command

MIA = Account("p-0009", ("maintenance",), "357159", "")
PUMP = """
[[device]]
id = "pump-1"
title = "Syringe pump"
role = "pump"
type = "new-era-ne1000"
port = "{port}"
safe_state = "stop"
poll_ms = 100
{more}
"""


def with_pump(folder: Path, more: str) -> Room:
    """A unit with one pump, and a person of the maintenance role."""
    room = make_room(folder / "unit")
    with room.home.unit_toml.open("a") as file:
        file.write(PUMP.format(port=folder / "pump", more=more))
    people = People.from_content(load(room.home.people).content)
    mia = make_person(
        id=MIA.id,
        name="Mia Demo",
        roles=MIA.roles,
        pin=MIA.pin,
        password="",
        pin_secret=load_pin_secret(room.home.pin_secret),
        identity_confirmed_by=GUS.id,
        identity_confirmed_at=START,
        cost=CHEAP,
    )
    whole = People(
        version=people.version, issued_at=people.issued_at, people=(*people.people, mia), keys=people.keys
    )
    dump(sign("people", whole.to_content(), room.keys["root"], "root"), room.home.people)
    return room


def story(folder: Path, tell: Callable[[Room, ServedTwins], Awaitable[None]], more: str = "") -> Room:
    """Run one story with an engine whose hosts run and whose loops turn."""
    room = with_pump(folder, more)

    async def whole() -> None:
        engine = room.engine
        await engine.pool.start()
        loops = [asyncio.create_task(one()) for one in (engine._lease_loop, engine._tick_loop)]
        try:
            async with asyncio.timeout(30):
                await until(lambda: "pump-1" in engine.unit.qualified)
                await tell(room, twins)
        finally:
            for loop in loops:
                loop.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await loop
            await engine.pool.close()
            await asyncio.sleep(0)
            await asyncio.gather(*engine._background)

    with ServedTwins(folder) as twins:
        told(room, whole)
    return room


def shown(room: Room) -> Snapshot:
    return room.engine.snapshot(_caller())


def _caller() -> object:
    from appliance.link.server import Caller

    return Caller(client="cli", station=STATION, pid=0, uid=0, gid=0)


@pytest.mark.requirement("F-029", "R-16")
def test_a_firmware_that_changed_under_way_is_seen_told_and_given_no_order_until_two_persons_qualified_it(
    tmp_path: Path,
) -> None:
    async def tell(room: Room, twins: ServedTwins) -> None:
        engine = room.engine
        assert engine.unit.qualified["pump-1"]
        told_first = engine.unit.identities["pump-1"]["firmware"]

        twins.lines["pump"].faults.set("firmware")
        twins.lines["pump"].restart()
        await until(lambda: engine.unit.qualified.get("pump-1") is False)
        seen = engine.unit.identities["pump-1"]
        (view,) = shown(room).devices

        assert seen["firmware"] != told_first
        assert view.fitness.startswith("NOT QUALIFIED")
        assert view.identity == seen
        assert fitness.unqualified_alarm("pump-1") in engine.unit.alarms
        engine.pool.order("pump-1", "o-1", "infuse", {"volume_ml": "5", "rate_ml_min": "5"}, 2000)
        await asyncio.sleep(0.5)
        assert not twins.pump_moves

        body = {"device": "pump-1", "serial_number": "", "reason": "Firmware update by the maker"}
        old = body | {"firmware": told_first}
        await room.signs_in(MIA)
        assert "Look at the device again" in (await room.refused("qualify_device", old, BEN.by_pin)).words
        await room.done("qualify_device", body | {"firmware": seen["firmware"]}, BEN.by_pin)
        engine.pool.order("pump-1", "o-2", "infuse", {"volume_ml": "5", "rate_ml_min": "5"}, 2000)
        await until(lambda: twins.pump_moves)

        assert engine.unit.qualified["pump-1"]
        assert not [key for key in engine.unit.alarms if key.startswith("unqualified:")]
        (said,) = room.events(ev.DeviceQualified)
        assert isinstance(said, ev.DeviceQualified)
        assert (said.first_person, said.second_person) == (MIA.id, BEN.id)

    story(tmp_path, tell, 'firmware = "3.923"')


@pytest.mark.requirement("F-029")
def test_stop_reaches_a_device_that_is_not_the_qualified_one(tmp_path: Path) -> None:
    async def tell(room: Room, twins: ServedTwins) -> None:
        assert room.engine.unit.qualified["pump-1"] is False
        await room.signs_in(ADA)

        await room.done("stop", {})

        await until(lambda: "pump-1" in room.engine.stop_latencies())

    story(tmp_path, tell, 'serial_number = "288954"')


@pytest.mark.requirement("F-029")
def test_a_qualification_on_record_holds_after_the_next_start(tmp_path: Path) -> None:
    async def tell(room: Room, twins: ServedTwins) -> None:
        engine = room.engine
        firmware = engine.unit.identities["pump-1"]["firmware"]
        body = {"device": "pump-1", "serial_number": "", "firmware": firmware, "reason": "Type plate 288954"}
        await room.signs_in(MIA)
        await room.done("qualify_device", body | {"calibrated_until": "2026-03-20"}, CLEO.by_pin)

    room = story(tmp_path, tell, 'serial_number = "288954"')

    async def again() -> None:
        engine = room.engine
        await engine.pool.start()
        try:
            await until(lambda: "pump-1" in engine.unit.qualified)
            await until(lambda: engine.pool.fresh("pump-1"))
        finally:
            await engine.pool.close()

    with ServedTwins(tmp_path):
        told(room, again)
    (*_, newest) = room.events(ev.DeviceIdentified)
    assert isinstance(newest, ev.DeviceIdentified)
    assert newest.qualified
    assert newest.calibrated_until == "2026-03-20"
    assert "only people can see" in newest.words


@pytest.mark.requirement("F-030")
def test_a_day_that_is_near_is_told_on_screen_and_on_record_without_anybody_asking(tmp_path: Path) -> None:
    async def tell(room: Room, twins: ServedTwins) -> None:
        await until(lambda: room.events(ev.DeviceNoticeRaised))

        (view,) = shown(room).devices
        assert view.fitness == "calibration ends in 9 days"

    story(tmp_path, tell, 'calibrated_until = "2026-03-11"')


@pytest.mark.requirement("F-030")
def test_what_hosts_count_of_wear_goes_on_record_a_few_times_and_is_never_lost_by_a_new_host(
    tmp_path: Path,
) -> None:
    async def tell(room: Room, twins: ServedTwins) -> None:
        engine = room.engine

        def host(writes: int) -> None:
            engine._device_message("pump-1", {"wear": [{"name": "EE", "writes": writes, "limit": 100_000}]})

        for writes in (1, 2, 5):
            host(writes)
            await engine._devices.wear.tick()
        engine._device_message("pump-1", {"host": {"state": "started", "words": ""}})
        host(4)
        await engine._devices.wear.tick()
        assert engine.unit.wear == {("pump-1", "EE"): 1}
        room.clock.advance(7 * 3600)
        await engine._devices.wear.tick()
        assert engine.unit.wear == {("pump-1", "EE"): 9}
        host(100_000)
        await engine._devices.wear.tick()
        host(100_003)
        await engine._devices.wear.tick(at_the_end=True)

        assert [one.total for one in room.events(ev.WearCounted)] == [1, 9, 100_005, 100_008]  # type: ignore[attr-defined]
        assert "worn out" in room.events(ev.DeviceNoticeRaised)[-1].title  # type: ignore[attr-defined]

    story(tmp_path, tell)


@pytest.mark.requirement("F-029")
def test_an_engine_does_not_start_with_devices_that_the_catalogue_does_not_know(tmp_path: Path) -> None:
    room = with_pump(tmp_path, 'settings = { colour = "blue" }')

    with pytest.raises(ConfigurationUnusable, match="has no setting 'colour'"):
        asyncio.run(room.starts())

    assert not (room.home.record / "record.db").exists()


# ── At the command line ────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-029")
def test_two_persons_qualify_a_device_at_the_command_line_and_see_first_what_it_tells(tmp_path: Path) -> None:
    async def types(room: Room, *words: str, pins: str = "") -> tuple[int, str]:
        command = [sys.executable, "-m", "appliance.cli", "unit", "qualify", *words]
        process = await asyncio.create_subprocess_exec(
            *command, "--home", str(room.home.root), "--pin-stdin",
            stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await process.communicate(pins.encode())
        assert process.returncode is not None
        return process.returncode, said.decode()

    async def tell(room: Room, twins: ServedTwins) -> None:
        people = ("--by", MIA.id, "--second", BEN.id, "--reason", "Type plate says 288954")

        nobody, words = await types(room, "pump-9", *people)
        assert (nobody, "there are: pump-1" in words) == (1, True)
        over, words = await types(
            room, "pump-1", "--calibrated-until", "2026-01-01", *people, pins=f"{MIA.pin}\n{BEN.pin}\n"
        )
        assert (over, "a day that is not over" in words) == (1, True)
        done, words = await types(
            room, "pump-1", "--calibrated-until", "2027-01-01", *people, pins=f"{MIA.pin}\n{BEN.pin}\n"
        )

        assert done == 0, words
        assert "Syringe pump is a New Era" in words
        assert "serial number not told" in words
        assert room.engine.unit.qualified["pump-1"]

    story(tmp_path, tell, 'serial_number = "288954"')


def test_the_command_names_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        unit_command(["--help"])

    assert "qualify" in capsys.readouterr().out
