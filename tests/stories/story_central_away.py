"""The story of a batch without central: sealed, waiting; days later central comes and the QP decides."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

from story_ward import Ward, awaiting, call, ended, open_ward

from appliance.demo.processes import certify
from appliance.link.messages import Snapshot

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class CentralAway:
    """What was seen of it."""

    waiting: Snapshot
    hand_over_while_waiting: str
    last: Snapshot
    dispositions: int
    verified: dict[str, Done]  # by target: record, batch, archive
    doctor: Done
    doctor_with_open_key: Done


def play(out: Path) -> CentralAway:
    with open_ward(central=False) as ward:
        return asyncio.run(_play(ward, out))


async def _play(ward: Ward, out: Path) -> CentralAway:
    waiting = await ward.work(awaiting)
    assert waiting.batch is not None
    batch = waiting.batch.id
    hand_over = ward.states()["hand_over"]
    await asyncio.to_thread(_central_comes, ward, batch)
    last = await ward.work(ended)
    home = str(ward.site.home.root)
    doctor = call("doctor", "--home", home, "--json")
    verified = {
        "record": call("verify", str(ward.site.home.record)),
        "batch": call("verify", batch, "--home", home),
    }
    dispositions = len(ward.kinds("DispositionRecorded"))
    ward.processes.end("engine")
    ward.site.home.unit_key.chmod(0o644)
    doctor_with_open_key = call("doctor", "--home", home, "--json")
    ward.site.home.unit_key.chmod(0o600)
    archive = ward.export(batch, out)
    verified["archive"] = call("verify", str(archive), "--trust", str(out / "trust.json"))
    return CentralAway(
        waiting=waiting,
        hand_over_while_waiting=hand_over,
        last=last,
        dispositions=dispositions,
        verified=verified,
        doctor=doctor,
        doctor_with_open_key=doctor_with_open_key,
    )


def _central_comes(ward: Ward, batch: str) -> None:
    ward.restart_central()
    ward.until_reviewable(batch)
    certify(ward.site, batch, ward.qa_url)
