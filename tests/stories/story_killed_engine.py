"""The story of one batch whose engine is killed in each of its phases, and twice more while it pumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from story_ward import (
    Blow,
    Ward,
    asks,
    awaiting,
    call,
    dumped,
    ended,
    open_ward,
    phase_of,
    running,
    ward_watch,
)

from appliance.demo.processes import certify
from appliance.link.messages import Accepted, EventMessage, Snapshot

When = Callable[[Snapshot], bool]


def _words(phase: str, *words: str) -> When:
    return lambda snapshot: (
        phase_of(snapshot, phase)[0] == "running"
        and any(word in phase_of(snapshot, phase)[1] for word in words)
    )


def _prompt(prompt: str) -> When:
    return lambda snapshot: asks(snapshot, prompt)


def _pumping(phase: str) -> When:
    return lambda snapshot: (
        phase_of(snapshot, phase)[0] == "running"
        and any(
            reading.name == "state" and reading.value == "infusing" and reading.quality == "good"
            for device in snapshot.devices
            for reading in device.readings
        )
    )


# Where the blow falls in each phase: as much as possible in the middle of what it does.
MOMENTS: tuple[tuple[str, When], ...] = (
    ("clear_line", _prompt("clear_line/clear.verify")),
    ("warm_bath", _words("warm_bath", "Warming")),
    ("scan_materials", _words("scan_materials", "2 materials", "1 materials")),
    ("receive_bag", _prompt("receive_bag/identity.verify")),
    ("thaw", _words("thaw", "Thawing")),
    ("dilute", _pumping("dilute")),
    ("dilute", _pumping("dilute")),
    ("wash", _words("wash", "Washer runs")),
    ("take_sample", _words("take_sample", "")),
    ("safety_tests", _prompt("safety_tests/result")),
    ("count", _words("count", "Counting")),
    ("fill", _pumping("fill")),
    ("fill", _pumping("fill")),
    ("label", _words("label", "Printing", "Waiting for the label")),
    ("seal", _prompt("seal/verified")),
    ("hand_over", _prompt("hand_over/dose")),
)
PHASES = tuple(dict.fromkeys(phase for phase, _ in MOMENTS))


@dataclass(frozen=True, slots=True)
class KilledEngine:
    """What was seen of it."""

    blows: list[Blow]
    last: Snapshot
    weights_g: dict[str, float]
    diluted_g: float
    seen_events: list[EventMessage]
    accepted: list[Accepted]
    heads: list[tuple[int, str]]
    recorded: dict[int, tuple[str, str]]  # number: hash, and kind, actor, batch and body as one text
    delivered: int  # exit status of handing over the signed file
    archive: Path
    trust: Path
    engine_starts_s: list[float]

    def of(self, phase: str) -> list[Blow]:
        return [blow for blow in self.blows if blow.at == phase]


def play(out: Path) -> KilledEngine:
    with open_ward() as ward:
        return asyncio.run(_play(ward, out))


async def _play(ward: Ward, out: Path) -> KilledEngine:
    moments, blows, diluted = list(MOMENTS), list[Blow](), list[float]()

    def watch(snapshot: Snapshot) -> None:
        if asks(snapshot, "wash/setup") and not diluted:
            diluted.append(ward.world()["bags"]["patient"]["weight_g"])
        due = next((one for one in moments if one[1](snapshot)), None)
        if due is not None:
            moments.remove(due)
            blows.append(_kill(ward, due[0], running(snapshot)))

    ward.crew.watch = ward_watch(ward, watch)
    sealed = await ward.work(awaiting)
    assert sealed.batch is not None
    delivered = await asyncio.to_thread(_certify_by_file, ward, sealed.batch.id, out)
    last = await ward.work(ended)
    assert not moments, [phase for phase, _ in moments]
    bags = ward.world()["bags"]
    ward.processes.end("engine")
    return KilledEngine(
        blows=blows,
        last=last,
        weights_g={name: bag["weight_g"] for name, bag in bags.items()},
        diluted_g=diluted[0],
        seen_events=list(ward.crew.events),
        accepted=list(ward.crew.accepted),
        heads=ward.heads,
        recorded=_recorded(ward),
        delivered=delivered,
        archive=ward.export(sealed.batch.id, out),
        trust=out / "trust.json",
        engine_starts_s=ward.engine_starts_s,
    )


def _kill(ward: Ward, phase: str, ran: list[str]) -> Blow:
    """Kill the engine, look at the bench, start it again, and see what it says before a person acts."""
    blow = ward.strike(phase, lambda: ward.processes.kill("engine"))
    ward.start_engine()
    states = ward.at_rest(ran)
    done = _ended_before_the_blow(ward)
    return replace(blow, states={one: state for one, state in states.items() if one not in done})


def _ended_before_the_blow(ward: Ward) -> set[str]:
    """The phases that ended between the look and the blow: their end is on record before the new start."""
    ended, so_far = set[str](), set[str]()
    with ward.record() as record:
        for one in record.read():
            if one.header.kind == "PhaseCompleted":
                so_far.add(str(msgspec.json.decode(one.payload)["body"]["phase"]))
            elif one.header.kind == "EngineStarted":
                ended = set(so_far)
    return ended


def _certify_by_file(ward: Ward, batch: str, out: Path) -> int:
    """The QP signs at central; then no network is left, and a signed file is carried to the unit."""
    ward.until_reviewable(batch)
    ward.processes.end("sync")
    decision = out / "decision.json"
    certify(ward.site, batch, ward.qa_url, out=decision)
    ward.processes.end("central")
    done = call("qp", "deliver", "--home", str(ward.site.home.root), str(decision))
    return done.returncode


def _recorded(ward: Ward) -> dict[int, tuple[str, str]]:
    with ward.record() as record:
        return {one.seq: (one.hash.hex(), _told(one)) for one in record.read()}


def _told(stored: Any) -> str:
    payload = msgspec.json.decode(stored.payload)
    header = stored.header
    return dumped([header.kind, header.actor, payload["batch"], payload["body"]])


def told(event: EventMessage) -> str:
    """The same text of an event that a client was told."""
    return dumped([event.name, event.actor, event.batch, event.body])
