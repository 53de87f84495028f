"""Commands about counting methods: two persons put a qualification on record."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from appliance.domain import count_fitness
from appliance.domain.errors import CommandRefused, NotPlausible
from appliance.domain.people_rules import permit
from appliance.domain.roles import Actor
from appliance.domain.turns import command_taken
from appliance.engine.command_body import proof_of, text_of
from appliance.engine.port import EnginePort
from appliance.engine.vision_client import VisionAway, VisionRefused
from appliance.link.messages import Command
from appliance.link.server import Caller

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]
DESIGN_BYTES_MAX = 500_000  # some thousand observations
JUDGE_DEADLINE_S = 60.0


class CountCommands:
    """One handler a command; rules are `domain.count_fitness`'."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self.handlers: dict[str, Handler] = {"qualify_count": self._qualify}

    async def _qualify(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The signed-in person and a second one, whose PIN comes with the command, and the series."""
        engine, first = self._engine, self._engine.desk.acting(caller.station)
        permit(engine.unit, first, "qualify_count")  # before anything is worked out
        asked = {
            name: text_of(command, name) for name in ("method", "performed_on", "qualified_until", "reason")
        }
        asked |= {name: str(command.body.get(name, ""))[:200] for name in ("series", "file")}
        design = _unpacked(command.body.get("design"))
        proof = proof_of(command, "The PIN of a second person is missing.")
        second = await engine.desk.proven(caller.station, proof, for_what=command.name)
        found = await self._judged(asked, design, first, second)
        body = found.body()
        taken = command_taken(command.name, body, caller.station, (first, second))
        await engine.turn(
            lambda: count_fitness.qualify(engine.unit, first, second, found, engine.clock.utc()),
            actor=first.id,
            command=command.command_id,
            taken=taken,
        )
        return {name: body[name] for name in ("method", "version", "hash", "verdict", "words", "figures")}

    async def _judged(
        self, asked: dict[str, str], design: bytes, first: Actor, second: Actor
    ) -> count_fitness.Asked:
        """What the counting program makes of the series; file and page are kept for the record."""
        engine, station = self._engine, self._engine.config.station
        bound = {name: words for name, words in station.told.items() if name in count_fitness.STATION}
        folder = engine.home.run / "qualification"
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(design).hexdigest()
        file, page = folder / f"{name}.csv", folder / f"{name}.html"
        file.write_bytes(design)
        try:
            told = await engine.vision.ask(
                "qualify",
                design=str(file),
                report=str(page),
                method=asked["method"],
                series=asked["series"],
                limits=engine.config.counting.limits,
                about=_about(asked, engine.unit.id, bound, first, second),
                fictitious=engine.unit.simulated,
                timeout_s=JUDGE_DEADLINE_S,
            )
            design_blob = await self._keep(file, "text/csv")
            report_blob = await self._keep(page, "text/html")
        except (VisionAway, VisionRefused) as why:
            raise CommandRefused(str(why), reason=getattr(why, "reason", "vision_away")) from why
        finally:
            file.unlink(missing_ok=True)
            page.unlink(missing_ok=True)
        return count_fitness.Asked(
            method=str(told["method"]["id"]),
            version=str(told["method"]["version"]),
            hash=str(told["method"]["hash"]),
            station=bound,
            series=str(told["series"]),
            design_blob=design_blob,
            report_blob=report_blob,
            figures={str(key): str(value) for key, value in told["figures"].items()},
            limits={str(key): str(value) for key, value in told["limits"].items()},
            verdict=str(told["verdict"]),
            words=[str(words) for words in told["words"]],
            performed_on=asked["performed_on"],
            qualified_until=asked["qualified_until"],
            months_max=engine.config.counting.months_max,
            reason=asked["reason"],
        )

    async def _keep(self, path: Path, media_type: str) -> str:
        engine = self._engine
        reference = await engine.journal.in_writer(engine.record.put_blob, path.read_bytes(), media_type)
        return str(reference.sha256)


def _unpacked(packed: object) -> bytes:
    """The file as it was, from its compressed form in a command."""
    try:
        opened = zlib.decompressobj()
        data = opened.decompress(base64.b64decode(str(packed), validate=True), DESIGN_BYTES_MAX + 1)
    except (binascii.Error, zlib.error, ValueError):
        raise NotPlausible("The file with the dilution series did not come whole. Send it again.") from None
    if len(data) > DESIGN_BYTES_MAX:
        raise NotPlausible(f"The file has more than {DESIGN_BYTES_MAX // 1000} kB. Save only the table.")
    if not opened.eof:
        raise NotPlausible("The file with the dilution series did not come whole. Send it again.")
    return data


def packed(data: bytes) -> str:
    """A file as a command carries it: a line of the link has a limit."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def _about(
    asked: dict[str, str], unit: str, station: dict[str, str], first: Actor, second: Actor
) -> dict[str, str]:
    """What stands at the head of the page."""
    about = {
        "Unit": unit,
        "Station": ", ".join(f"{name} {words}" for name, words in station.items()),
        "File": asked["file"],
        "Measured on": asked["performed_on"],
        "Holds up to": asked["qualified_until"],
        "Qualified by": f"{first.name} ({first.id})",
        "Confirmed by": f"{second.name} ({second.id})",
        "Reason": asked["reason"],
    }
    return {name: words for name, words in about.items() if words}
