"""A whole engine, a vision worker and a printer's twin at its line: each label is counted once.

Each story's record is decided again afterwards and must come out the same.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine_room import ADA, BEN, RECIPE, Room, bag_texts, make_room, told
from PIL import Image
from test_device_pool import until
from test_engine_label_templates import PRINTS, approves

from appliance.access.documents import add_signature, dump, sign
from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.domain.issued_labels import issued
from drivers.simulated.pty_device import PtyDevice, serve
from drivers.simulated.world import World
from drivers.simulated.zebra_zpl import ZebraTwin
from vision.labels.scan_result import scan_file

PRINTER = """
[[device]]
id = "printer-1"
title = "Label printer"
role = "printer"
type = "zebra-zpl"
port = "{port}"
safe_state = "keep"
poll_ms = 200
"""
L1, L2 = "UNIT-1-00001-L1", "UNIT-1-00001-L2"
STORY_S = 60
TICK_S = 0.05


@dataclass
class PrintRoom:
    """The unit with its recipe that prints, and the printer beside it."""

    room: Room
    twin: ZebraTwin
    tray: Path

    @property
    def batch_events(self) -> list[str]:
        return [type(fact.event).__name__ for fact in self.room.batch.facts]

    def states(self) -> dict[str, str]:
        return {one.short: one.state for one in issued(self.room.batch.runs["label"])}

    def asks(self) -> list[str]:
        engine = self.room.engine
        return [one.id for one in decisions.open_prompts(engine.unit, engine.clock.utc())]

    async def is_asked(self, start: str) -> str:
        """Wait until a question of that beginning is asked."""
        await until(lambda: any(one.startswith(start) for one in self.asks()), timeout_s=20)
        return next(one for one in self.asks() if one.startswith(start))

    async def answers(self, start: str, **values: str) -> None:
        prompt = await self.is_asked(start)
        await self.room.done("answer", {"prompt": prompt, "values": values})

    async def goes_to_the_label(self) -> None:
        room = self.room
        await room.begins_batch()
        await room.answers("clear/clear")
        await room.answers("clear/clear.verify", BEN.by_pin)
        await room.answers("bag/retrieve")
        await room.shows("bag", "bag", bag_texts())
        await room.answers("bag/identity")
        await room.answers("bag/identity.verify", BEN.by_pin)

    async def shows_what_came_out(self, number: int, key: str = "applied") -> None:
        """Hold what lies in the tray before the camera: the raster that the printer made of its bytes."""
        picture = sorted(self.tray.glob("*.png"))[number]
        read: dict[str, Any] = scan_file(str(picture), ("code128", "datamatrix"))
        texts = [str(one["text"]) for one in read["symbols"] if one["confirmed"]]
        assert texts, read
        await self.room.shows("label", key, texts)


@contextmanager
def printer_at(folder: Path) -> Iterator[ZebraTwin]:
    twin = ZebraTwin(World())
    twin.label_s, twin.tray = 0.2, folder / "tray"
    twin.tray.mkdir()
    line, stop = PtyDevice(twin, folder / "printer"), threading.Event()
    thread = threading.Thread(target=serve, args=([line], lambda: (), stop.is_set), name="printer")
    thread.start()
    while not line.link.exists():
        pass
    try:
        yield twin
    finally:
        stop.set()
        thread.join(5)


def make_print_room(folder: Path) -> Room:
    room = make_room(folder / "unit")
    head = 'title = "Only look, sign and hand over"\n'
    product = 'description_code = "S9992"\ncollection_type = "1"\ndivision = "00"\nstorage = "20 to 24 C"\n'
    text = RECIPE.replace(head, f"{head}{product}")
    text = text.replace(
        'type = "seal"\noperation = "all"\nafter = ["bag"]',
        'type = "seal"\noperation = "all"\nafter = ["label"]',
    )
    envelope = sign("recipe", (text + PRINTS).encode(), room.keys["developer"], "recipe_developer")
    dump(add_signature(envelope, room.keys["reviewer"], "qa_reviewer"), room.home.recipes / "short.json")
    room.home.label_templates.mkdir(parents=True)
    approves(room)
    with room.home.unit_toml.open("a") as file:
        file.write(PRINTER.format(port=folder / "printer"))
    return room


@contextmanager
def running(room: Room) -> Iterator[list[asyncio.Task[None]]]:
    """The engine's loops beside the story; `told` starts and ends the engine itself."""
    engine = room.engine

    async def time_passes() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            room.clock.advance(TICK_S)

    loops = [asyncio.create_task(one()) for one in (engine._lease_loop, engine._tick_loop, time_passes)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.cancel()


async def runs(room: Room) -> None:
    await room.engine.vision.start()
    await room.engine.pool.start()


def story(folder: Path, tell: Callable[[PrintRoom], Awaitable[None]]) -> PrintRoom:
    room = make_print_room(folder)
    with printer_at(folder) as twin:
        assert twin.tray is not None
        print_room = PrintRoom(room, twin, twin.tray)

        async def whole() -> None:
            await runs(room)
            try:
                with running(room):
                    async with asyncio.timeout(STORY_S):
                        await until(lambda: room.engine.unit.qualified.get("printer-1") is True, timeout_s=20)
                        await tell(print_room)
            finally:
                await room.engine.pool.close()
                await room.engine.vision.close()

        told(room, whole)
    return print_room


async def the_print_head_is_tested(at: PrintRoom) -> None:
    """Print the test label, show what came out as a camera would see it, twice as large."""
    room, tray = at.room, at.tray
    await room.signs_in()
    early = await room.refused("test_printer", {"step": "judge"})
    assert "Print the test label first" in early.words
    await room.done("test_printer", {"step": "print"})
    label = next(tray.glob("*.png"))
    with Image.open(label) as picture:
        larger = picture.convert("L").resize((2 * picture.width, 2 * picture.height))
        table = Image.new("L", (larger.width + 200, larger.height + 200), 150)
        table.paste(larger, (100, 100))
        table.save(room.home.labels / "test.png")
    judged = await room.done("test_printer", {"step": "judge"})
    assert judged.result["verdict"] == "pass", judged.result
    tested = room.events(ev.PrintHeadTested)[0]
    assert isinstance(tested, ev.PrintHeadTested)
    assert tested.picture and tested.person == ADA.id
    label.unlink()
    await room.done("sign_out")


@pytest.mark.requirement("F-007", "F-008", "T18")
def test_paper_ends_in_mid_job_and_no_label_is_counted_twice_and_none_is_lost(tmp_path: Path) -> None:
    async def paper_ends(at: PrintRoom) -> None:
        await the_print_head_is_tested(at)
        await at.goes_to_the_label()
        at.twin.leave(0)  # the roll ends with this label

        await at.is_asked("label/go_on:")
        refused = at.room.batch.last(ev.DeviceRefusedOrder)
        assert refused is not None and refused[1].fault == "paper_out"
        at.twin.load()
        await at.answers("label/go_on:")
        await at.answers(f"label/apply:{L1}")
        await at.shows_what_came_out(0)

        # The first one tears: another is printed, and the torn one must be shown.
        await at.answers(f"label/reprint:{L1}", reason="damaged")
        await at.answers(f"label/apply:{L2}")
        await at.shows_what_came_out(0)
        refusal = at.room.batch.last(ev.BagRefused)
        assert refusal is not None and "This is the voided label L1" in refusal[1].words
        await at.shows_what_came_out(1)
        assert at.states() == {"L1": "voided", "L2": "applied"}
        await at.shows_what_came_out(0, f"found:{L1}")
        await at.answers("label/reconcile", applied="1", void="1", destroyed="0")
        await at.room.answers("label/reconcile.verify", BEN.by_pin)
        await until(lambda: "LabelsReconciled" in at.batch_events, timeout_s=20)

    after = story(tmp_path, paper_ends)

    printed = after.room.events(ev.LabelPrinted)
    assert [(one.label_id, one.said_by) for one in printed] == [(L1, "printer"), (L2, "printer")]  # type: ignore[attr-defined]
    assert len(after.room.events(ev.DeviceOrdered)) == 2
    assert len(after.twin.came_out) == 3  # with the print head's test


@pytest.mark.requirement("F-007", "F-008")
def test_killed_between_order_and_outcome_the_engine_prints_no_second_label_unless_a_person_says_so(
    tmp_path: Path,
) -> None:
    async def is_killed(at: PrintRoom) -> None:
        room, worker, pool = at.room, at.room.engine.vision, at.room.engine.pool
        at.twin.label_s = 2.0
        await at.goes_to_the_label()
        await until(lambda: room.batch.last(ev.DeviceOrdered) is not None, timeout_s=20)
        await until(lambda: at.twin._remaining > 0, timeout_s=20)
        for pid in pool.pids().values():
            os.kill(pid, signal.SIGKILL)  # with the engine its hosts are gone
        await room.crashes()
        await pool.close()

        await room.starts()
        await room.engine.vision.close()
        room.engine.vision = worker
        await room.engine.pool.start()
        with running(room):
            await until(lambda: room.engine.unit.qualified.get("printer-1") is True, timeout_s=20)
            await room.signs_in(ADA)
            await room.done("restart", {"reason": "Looked at the printer"})
            question = await at.is_asked("label/came_out:")
            assert len(room.events(ev.DeviceOrdered)) == 1
            await room.done("answer", {"prompt": question, "values": {"came_out": "whole"}})
            await at.is_asked(f"label/apply:{L1}")

    after = story(tmp_path, is_killed)

    assert len(after.twin.came_out) == 1
    printed = after.room.events(ev.LabelPrinted)
    assert [(one.label_id, one.said_by) for one in printed] == [(L1, ADA.id)]  # type: ignore[attr-defined]
