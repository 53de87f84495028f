"""One whole batch whose processes are killed at moments drawn by seed."""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from story_killed_engine import told
from story_ward import NeverCame, Ward, awaiting, call, dumped, ended, open_ward, ward_watch

from appliance.demo.faults import signal_child
from appliance.demo.processes import DemoFailed, certify
from appliance.link.messages import Snapshot

KILLS_MAX = 8
WITHIN_S = 70.0
CHILDREN = (b"vision.worker", b"pump-1", b"balance-1", b"thawer-1")
TARGETS = ("engine", "engine", "engine", "child", "child", "sync", "central")


class _Reaper:
    """Kills by a schedule that the seed has drawn."""

    def __init__(self, ward: Ward, seed: int) -> None:
        chance = random.Random(seed)
        self._ward, self._began_s = ward, time.monotonic()
        self.schedule = sorted(
            (chance.uniform(0, WITHIN_S), chance.choice(TARGETS), chance.choice(CHILDREN))
            for _ in range(chance.randint(2, KILLS_MAX))
        )
        self.done: list[str] = []
        self.moved_on: list[str] = []

    def watch(self, snapshot: Snapshot) -> None:
        passed_s = time.monotonic() - self._began_s
        if self.schedule and passed_s >= self.schedule[0][0]:
            _, target, child = self.schedule.pop(0)
            self._kill(target, child)
            self.done.append(f"{target} {child.decode() if target == 'child' else ''} at {passed_s:.1f} s")

    def _kill(self, target: str, child: bytes) -> None:
        ward = self._ward
        if target == "engine":
            blow = ward.strike("", lambda: ward.processes.kill("engine"))
            if blow.moves_on or blow.bath_after != blow.bath_before:
                self.moved_on.append(str(blow))
            ward.start_engine()
        elif target == "child":
            with suppress(DemoFailed):  # that one is just being started again
                signal_child(ward.processes, child, signal.SIGKILL)
        elif target == "sync":
            ward.processes.kill("sync")
            ward.start_agent()
        else:
            ward.processes.kill("central")
            ward.restart_central()


def play(seed: int) -> None:
    """Raises `AssertionError` with the schedule when something did not hold."""
    with tempfile.TemporaryDirectory(prefix="cw-") as out, open_ward(seed=seed) as ward:
        reaper = _Reaper(ward, seed)
        try:
            asyncio.run(_play(ward, reaper, Path(out)))
        except NeverCame as never:
            raise AssertionError(f"{never}; killed: {reaper.done}") from never


async def _play(ward: Ward, reaper: _Reaper, out: Path) -> None:
    ward.crew.watch = ward_watch(ward, reaper.watch)
    sealed = await ward.work(awaiting)
    assert sealed.batch is not None
    batch = sealed.batch.id
    await asyncio.to_thread(ward.until_reviewable, batch)
    await asyncio.to_thread(certify, ward.site, batch, ward.qa_url)
    await ward.work(ended)
    bags = ward.world()["bags"]
    ward.processes.end("engine")
    assert not reaper.moved_on, (reaper.moved_on, reaper.done)
    _check_record(ward, reaper)
    assert abs(bags["dose"]["weight_g"] - 42) <= 2, (bags, reaper.done)
    archive = ward.export(batch, out)
    done = call("verify", str(archive), "--trust", str(out / "trust.json"))
    assert done.returncode == 0, (done.stdout, reaper.done)


def _check_record(ward: Ward, reaper: _Reaper) -> None:
    """What clients were told before a kill is in the record, as it was told."""
    import msgspec

    held = {}
    with ward.record() as record:
        for one in record.read():
            payload = msgspec.json.decode(one.payload)
            text = dumped([one.header.kind, one.header.actor, payload["batch"], payload["body"]])
            held[one.seq] = (one.hash.hex(), text)
    lost = [event.seq for event in ward.crew.events if held.get(event.seq, ("", ""))[1] != told(event)]
    lost += [seq for seq, shown in ward.heads if held.get(seq, ("", ""))[0] != shown]
    assert not lost, (sorted(set(lost)), reaper.done)
