"""The bedside of the domain's tests, with a gxp log of everything, as the engine would write it.

One commit carries one stamp; commands and the readings that were looked at go before what follows.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "domain"))

from bedside import ADA, BEN, CLEO, ENTERED, MIA, START, Bedside, count_qualified, with_proof
from world import DEVICES

from appliance.domain import corrections, count_fitness, decisions, recovery
from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec, Unit
from appliance.domain.roles import Actor
from appliance.domain.sealed_head import Heads, batch_sealed
from appliance.domain.turns import ReadingsOnRecord, batch_of, command_taken
from appliance.record.canonical import (
    ALGORITHM_SHA256_ED25519,
    HEADER_BYTES,
    NO_HASH,
    QUALITY_SIMULATED,
    Header,
    StoredRecord,
    encode_payload,
    encode_record,
    record_hash,
)

__all__ = ["ADA", "BEN", "CLEO", "START", "Recorded", "chained", "with_body"]
SPECS = [{"id": id, "role": role, "title": role.title(), "serial_number": ""} for role, id in DEVICES.items()]


def chained(records: Iterable[tuple[Header, bytes]]) -> list[StoredRecord]:
    """Headers and payloads as a whole chain with numbers from 1: as whoever holds the key could make it."""
    made, previous = list[StoredRecord](), NO_HASH
    for seq, (header, payload) in enumerate(records, 1):
        data = encode_record(msgspec.structs.replace(header, seq=seq), payload)
        previous = record_hash(previous, data)
        made.append(StoredRecord(seq, previous, data))
    return made


def with_body(stored: StoredRecord, **changes: Any) -> tuple[Header, bytes]:
    """The same record with other facts in it."""
    payload = msgspec.json.decode(stored.payload)
    return stored.header, encode_payload(payload["batch"], payload["command"], payload["body"] | changes)


class Recorded(Bedside):
    """A bedside whose turns are on record."""

    def __init__(self, **options: Any) -> None:
        self.records: list[tuple[Header, bytes]] = []
        self.log: list[StoredRecord] = []
        self._on_record = ReadingsOnRecord()
        self._commits = 0
        self._command: tuple[str, ev.CommandTaken] | None = None
        self._starting = True
        self._ordered: deque[ev.Event] = deque()
        super().__init__(**options)

    # ── As the engine's turn does it ───────────────────────────────────────────────────

    def _commit(self, events: list[ev.Event], actor: str = "unit", batch: str | None = None) -> None:
        if self._starting:
            self._starting = False
            events = [self._started(1)]
        if not events:
            self.unit.looked_at.clear()
            return
        used = self._on_record.news(self.unit.looked_at)
        command, self._command = self._command, None
        head = [one for one in (command[1] if command else None, used) if one is not None]
        whole = [*head, *events]
        batch = batch or batch_of(self.unit, whole)
        self._write(whole, actor, batch, command[0] if command else None)
        super()._commit(whole, actor, batch)
        for event in whole:
            self._on_record.take(event)
        self.unit.looked_at.clear()

    def _write(self, events: Sequence[ev.Event], actor: str, batch: str | None, command: str | None) -> None:
        self._commits += 1
        previous = self.log[-1].hash if self.log else NO_HASH
        for event in events:
            kind = type(event).__name__
            header = Header(
                unit=self.unit.id,
                log="gxp",
                epoch=bytes(16),
                seq=len(self.log) + 1,
                wall=self.now,
                monotonic_ns=self._commits,
                boot_id=bytes(16),
                clock_quality=QUALITY_SIMULATED,
                algorithm=ALGORITHM_SHA256_ED25519,
                payload_version=event.VERSION,
                down_cursor=0,
                actor=actor,
                kind=kind,
            )
            of_batch = None if kind in ev.UNIT_KINDS else batch
            payload = encode_payload(of_batch, command, ev.to_body(event))
            data = encode_record(header, payload)
            assert len(data) == HEADER_BYTES + len(payload)
            previous = record_hash(previous, data)
            self.records.append((header, payload))
            self.log.append(StoredRecord(header.seq, previous, data))

    def _carry_out(self, event: ev.Event) -> None:
        """What was ordered is done when the turn is over; its outcome is a turn of its own."""
        self._ordered.append(event)

    def _settle(self) -> None:
        self._come_to_rest()
        while self._ordered:
            super()._carry_out(self._ordered.popleft())
            self._come_to_rest()

    def _come_to_rest(self) -> None:
        self.unit.looked_at.clear()
        super()._settle()
        self.unit.looked_at.clear()

    def _started(self, term: int) -> ev.EngineStarted:
        return ev.EngineStarted(
            term=term,
            software_version="1",
            check="",
            check_passed=True,
            configuration_hash="",
            devices=SPECS,
            inputs_on_record=True,
        )

    def asked(
        self,
        name: str,
        by: Actor,
        decide: Callable[[], list[ev.Event]],
        *,
        people: Sequence[Actor] = (),
        **body: Any,
    ) -> None:
        """One command of one person, or of all of `people`."""
        self.unit.looked_at.clear()
        events = decide()
        self._command = (f"c{len(self.log)}", command_taken(name, body, "bedside-1", people or [by]))
        self.commit(events, by.id)

    # ── What people do, as commands ────────────────────────────────────────────────────

    def begin_batch(self, by: Actor = ADA, **order: str) -> None:
        batch, events = decisions.open_batch(self.unit, self.opening(**order), by, self.now)
        self._command = ("c-open", command_taken("open_batch", {"order": "ORD-1"}, "bedside-1", [by]))
        self.commit(events, by.id, batch)

    def answer(self, prompt_id: str, by: Actor | None = None, **values: str) -> None:
        prompt = self.prompt(prompt_id)
        actor = by or self._person_for(prompt)
        entered = {one.name: ENTERED[one.name] for one in prompt.fields if one.name in ENTERED} | values
        self.asked(
            "answer",
            actor,
            lambda: decisions.answer(self.unit, prompt_id, entered, actor, self.now),
            prompt=prompt_id,
            values=entered,
        )

    def asks_the_camera(self, prompt_id: str, by: Actor = ADA) -> ev.ScanRequested:
        self.asked("scan", by, lambda: decisions.scan(self.unit, prompt_id, by, self.now), prompt=prompt_id)
        return self.last(ev.ScanRequested)

    def qualifies_the_count(self, **changes: object) -> None:
        said = count_qualified(**changes)
        names = count_fitness.Asked.__dataclass_fields__
        asked = count_fitness.Asked(
            months_max=12, **{name: getattr(said, name) for name in names if name != "months_max"}
        )
        people = (MIA, CLEO)
        self.asked(
            "qualify_count",
            MIA,
            lambda: count_fitness.qualify(self.unit, *people, asked, self.now),
            people=people,
            **asked.body(),
        )

    def restart(self, by: Actor = ADA) -> None:
        why = "Looked at everything"
        self.asked("restart", by, lambda: decisions.restart(self.unit, by, why), reason=why)

    def holds(self, by: Actor = ADA) -> None:
        why = "It dripped"
        self.asked("hold", by, lambda: decisions.hold(self.unit, by, "", why), phase="", reason=why)

    def stop(self) -> None:
        self.unit.looked_at.clear()  # what the prompts looked at is of another turn
        super().stop()

    def ends_the_stop(self, by: Actor = ADA) -> None:
        why = "All is safe"
        self.asked("release_stop", by, lambda: decisions.release_stop(self.unit, by, why), reason=why)

    def corrects(self, prompt: str, values: dict[str, str], by: Actor = ADA) -> None:
        signer = with_proof(by, "password")
        body = {"prompt": prompt, "values": values, "reason": "Read the display again"}
        asked = corrections.asked_of(body)
        self.asked("correct", signer, lambda: corrections.correct(self.unit, asked, signer, self.now), **body)

    def seal(self) -> None:
        """The engine binds the heads as they are now, with its own state."""
        head = self.log[-1]
        heads = Heads("00" * 16, head.seq, head.hash.hex(), 1, "22")
        self.unit.looked_at.clear()
        self.commit([batch_sealed(self.unit, heads, self.now)])

    def crash(self) -> None:
        """The engine dies and starts again, with what is on record alone."""
        self.world.pump_state = "stopped"
        self.unit = self.refolded()
        self.unit.qualified.clear()
        self.unit.silent.clear()
        self.unit.readings.clear()
        self.unit.looked_at.clear()
        term = self.unit.term + 1
        self.commit([self._started(term), *recovery.recover(self.unit, term, len(self.facts))])
        for device in self.unit.devices:
            self.identify(device)
        self.waits(1)

    def before(self) -> Unit:
        """The unit before anything is on record."""
        return Unit(self.unit.id, True, dict[str, DeviceSpec]())
