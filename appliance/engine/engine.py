"""The loop: take an input, decide, commit, then act. The engine is the only writer of the record.

Everything that changes the state passes through one *turn*: decide, commit durably, fold, begin
the effects, and let the phases say what follows, until they are silent. Leases are renewed beside
it, only while the loop is fresh, the log accepts writes and the devices' readings are fresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any

from appliance.access.keys import Trust
from appliance.access.people import People
from appliance.config import Home, UnitConfig
from appliance.domain import decisions, device_news, fitness
from appliance.domain import events as ev
from appliance.domain.batch import Fact, Unit
from appliance.domain.prompts import PromptFact
from appliance.engine import scan_view, view
from appliance.engine.backups import Backups
from appliance.engine.clock import Clock, TurnClock, stamp, trusted_at
from appliance.engine.commands import Commands
from appliance.engine.desk import Desk
from appliance.engine.device_pool import DevicePool
from appliance.engine.effects import Effects
from appliance.engine.identity_desk import identity_facts, opened_identities
from appliance.engine.journal import UNIT_ACTOR, Journal
from appliance.engine.messages_of_devices import DeviceMessages
from appliance.engine.readings import Readings
from appliance.engine.reserve import refuse_read_only, reopened_after_fault, reopened_with_reserve
from appliance.engine.sealing import must_seal, seal_owed, sealed_event
from appliance.engine.self_check import SelfCheck
from appliance.engine.shelf import Shelf
from appliance.engine.telemetry import TelemetryLog
from appliance.engine.vision_client import VisionClient
from appliance.link.messages import (
    Command,
    DeviceView,
    EventMessage,
    Hello,
    RecordView,
    Refused,
    Snapshot,
    SyncView,
    Telemetry,
    UnitView,
)
from appliance.link.server import Answer, Caller, LinkServer
from appliance.record.canonical import Stamp
from appliance.record.errors import RecordError, RecordFull, RecordUnusable
from appliance.record.log import Record

LEASE_EVERY_S = 0.1
TICK_EVERY_S = 0.2
SEGMENT_EVERY_S = 5.0
CLOCK_STEP_S = 2  # a smaller difference is slew, not a step
COMMIT_LATE_NS = 2_000_000_000  # a commit that takes longer stops the leases: the log does not accept writes
SETTLE_ROUNDS_MAX = 200
OPEN_AGAIN_AFTER_S = (0.5, 2.0, 8.0)  # waits before each try to open the record again after a fault
OPENED_AGAIN_MAX = 3  # in one run; a disk that fails more often needs service, not patience

_logger = logging.getLogger(__name__)


class Engine:
    """One unit's engine, made by `recovery.start`."""

    def __init__(
        self,
        *,
        home: Home,
        config: UnitConfig,
        record: Record,
        clock: Clock,
        unit: Unit,
        shelf: Shelf,
        trust: Trust,
        pin_secret: bytes,
        software_version: str,
        term: int,
    ) -> None:
        self._turn_clock = TurnClock(clock)
        self.clock: Clock = self._turn_clock
        self.home, self.config, self.record = home, config, record
        self.unit, self.shelf, self.trust, self.software_version = unit, shelf, trust, software_version
        self.identities = opened_identities(home, config.unit.id)
        self._turn = asyncio.Lock()
        self._closing = asyncio.Event()
        self._sealed_at_ns = clock.monotonic_ns()
        self._acked: tuple[int, datetime | None] = record.acked()
        self.server = LinkServer(
            home.socket,
            on_hello=self._hello,
            on_command=self._command,
            on_stop=self._stop_now,
            on_fault=self._fault,
        )
        self.journal = Journal(record, clock, unit, self._tell)
        self.pool = self._made_pool(term)
        self.vision = VisionClient()
        self.readings = Readings(unit)
        self.telemetry = TelemetryLog(self)
        self._self_check = SelfCheck(self)
        self._backups = Backups(self)
        self.desk = Desk(
            shelf.people,
            pin_secret,
            config,
            unit=unit,
            clock=self.clock,
            keys=home.keys,
            commit=self._commit_for_desk,
        )
        self.effects = Effects(
            home=home,
            station=config.station,
            label_dpi=config.label_dpi,
            unit=unit,
            journal=self.journal,
            pool=self.pool,
            vision=self.vision,
            identities=self.identities,
            report=self._report,
            fault=self._fault,
        )
        self._commands = Commands(self)
        self._devices = DeviceMessages(self)
        self._background: set[asyncio.Task[Any]] = set()
        self._fault_seen = False
        self._clock_difference_s = 0
        self._reserve_used = False
        self._opened_again = 0
        self._prompts_shown: list[str] = []

    def _made_pool(self, term: int) -> DevicePool:
        """The hosts of the devices, each told who its device must be."""
        pool = DevicePool(
            self.config.served,
            on_message=self._device_message,
            term=term,
            bench="simulated" if self.config.unit.simulated else "real",
            trace=self.home.traces,
        )
        for device in self.unit.qualifications:
            pool.expect(device, fitness.expected(self.unit, device))
        return pool

    @property
    def people(self) -> People:
        return self.shelf.people

    # ── Turns ──────────────────────────────────────────────────────────────────────────

    async def turn(
        self,
        decide: Callable[[], list[ev.Event]],
        *,
        actor: str = UNIT_ACTOR,
        command: str | None = None,
        batch: Callable[[], str | None] = lambda: None,
        taken: ev.CommandTaken | None = None,
    ) -> list[Fact]:
        """One input: decide, commit, act, settle. Raises what `decide` or the record raises.

        The clock is read once a commit; what people asked for (`taken`) and the readings that were
        looked at go on record before what follows from them, so that it can be decided again.
        """
        async with self._turn:
            now = stamp(self.clock)
            self.unit.clock_trusted = trusted_at(self.clock, now)
            events = self._decided(decide, now, taken)
            facts = await self.journal.commit(events, at=now, actor=actor, command=command, batch=batch())
            self._act(facts)
            await self._settle(now.quality)
        return facts

    def _decided(
        self, decide: Callable[[], list[ev.Event]], now: Stamp, taken: ev.CommandTaken | None = None
    ) -> list[ev.Event]:
        self.unit.looked_at.clear()
        with self._turn_clock.held(now):
            events = decide()
        if not events:
            return []
        used = self.journal.on_record.news(self.unit.looked_at)
        return [before for before in (taken, used) if before is not None] + events

    def _act(self, facts: list[Fact]) -> None:
        for fact in facts:
            self.effects.carry_out(fact)
        self.telemetry.phases_ended(facts)
        if must_seal(self.unit, facts):
            self.begin(self._seal_batch())
        if facts:
            self.server.broadcast_snapshot(self.snapshot)

    async def _settle(self, quality: int) -> None:
        """Let the phases say what follows until they are silent; trust in time holds for the whole turn."""
        for _ in range(SETTLE_ROUNDS_MAX):
            now = replace(stamp(self.clock), quality=quality)
            events = self._decided(lambda: decisions.advance(self.unit, self.clock.utc()), now)
            if not events:
                return
            self._act(await self.journal.commit(events, at=now))
        raise AssertionError("the phases do not come to rest")

    async def _commit_for_desk(self, events: list[ev.Event], actor: str) -> None:
        await self.turn(lambda: events, actor=actor)

    async def _report(self, event: ev.Event) -> None:
        """An effect's outcome; what the camera or a device's file says is decided upon first."""
        if isinstance(event, ev.ScanRead):
            await self.turn(lambda: decisions.scan_read(self.unit, event, self.clock.utc()))
        elif isinstance(event, ev.ExchangeFileRead):
            await self.turn(lambda: decisions.file_read(self.unit, event, self.clock.utc()))
        else:
            await self.turn(lambda: [event])

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something beside the loop; its failure is told, never swallowed."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background_ended)

    def _background_ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault(fault)

    def _fault(self, fault: BaseException) -> None:
        """An outermost loop met a fault: of the record, or of the program, which holds the batch."""
        if isinstance(fault, RecordError):
            return self.record_failed(fault)
        _logger.error("a fault inside the engine: %s", fault, exc_info=fault)
        if not self._fault_seen:
            self._fault_seen = True  # once: a fault in holding must not call itself for ever
            self.begin(self.turn(lambda: decisions.engine_fault(self.unit)))
        self.server.broadcast_snapshot(self.snapshot)

    def record_failed(self, fault: RecordError) -> None:
        """Leases lapse and devices go to their safe states; a full disk gets its reserve once.

        After any other fault of the disk the record is tried again, a few times.
        """
        if not isinstance(fault, RecordUnusable):
            return
        _logger.error("the record: %s", fault)
        known, self.journal.words = self.journal.words, self.journal.words or str(fault)
        if isinstance(fault, RecordFull):
            self.journal.words = str(fault)
            if not self._reserve_used:
                self._reserve_used = True
                self.begin(self._use_reserve())
        elif not known and self._opened_again < OPENED_AGAIN_MAX:
            self._opened_again += 1
            self.begin(self._open_again(str(fault)))
        self.server.broadcast_snapshot(self.snapshot)

    async def _use_reserve(self) -> None:
        """The disk is full: give the reserve to the running batch, open the record again, hold, go on."""
        async with self._turn:
            self.record = await asyncio.get_running_loop().run_in_executor(
                self.journal.writer, reopened_with_reserve, self.record, self.home, self.software_version
            )
            self.journal.reopened(self.record)
        await self.turn(lambda: decisions.disk_full(self.unit))
        await self._commands.record_missed_stops()

    async def _open_again(self, why: str) -> None:
        """What a failed write left on the disk is unknown: check it, open it again, hold what runs, go on."""
        for wait_s in OPEN_AGAIN_AFTER_S:
            await asyncio.sleep(wait_s)
            try:
                async with self._turn:
                    self.record = await asyncio.get_running_loop().run_in_executor(
                        self.journal.writer,
                        reopened_after_fault,
                        self.record,
                        self.home,
                        self.software_version,
                        self.journal.head,
                    )
                    came_back = self.journal.reopened(self.record)
                    self.journal.words = why  # no lease before what runs is held
                await self._take_up_again(why, came_back)
            except RecordError as fault:
                _logger.error("the record does not open again: %s", fault)
                self.journal.words = str(fault)
            else:
                return
            self.server.broadcast_snapshot(self.snapshot)

    async def _take_up_again(self, why: str, came_back: list[Fact]) -> None:
        """Hold what runs; an order that a failed commit left on record was never sent, and never will be."""
        orders = [fact.event for fact in came_back if isinstance(fact.event, ev.DeviceOrdered)]
        for fact in came_back:
            if fact.event not in orders:
                self.effects.carry_out(fact)
        await self.turn(lambda: decisions.record_opened_again(self.unit, why))
        for order in orders:
            await self._report(decisions.never_sent(order))
        self.journal.words = ""
        await self._commands.record_missed_stops()
        self.server.broadcast_snapshot(self.snapshot)

    # ── Life ───────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Serve until `close` is asked for."""
        await self.vision.start()
        await self.pool.start()
        await self.server.start()
        loops = [asyncio.create_task(loop()) for loop in (self._lease_loop, self._tick_loop)]
        closing = asyncio.create_task(self._closing.wait())
        self.begin(self.seal_soon())  # readings that a crash left unsigned
        self.begin(self._seal_batch())  # an engine that died between the last signature and the seal owes it
        done, _ = await asyncio.wait([*loops, closing], return_when=asyncio.FIRST_COMPLETED)
        for task in [*loops, closing]:
            task.cancel()
        await self._shut_down()
        for task in done - {closing}:
            task.result()

    def close(self) -> None:
        """Ask the engine to end cleanly."""
        self._closing.set()

    async def _shut_down(self) -> None:
        await self.pool.close()
        await self.effects.close()
        await self.vision.close()
        with contextlib.suppress(RecordError):
            await self._devices.wear.tick(at_the_end=True)
            await self.telemetry.anchor("end of run")
            await self.turn(lambda: [ev.EngineStoppedCleanly(term=self.unit.term)])
            await self.journal.in_writer(self._seal_segments)
        await self.server.close()
        self.journal.writer.shutdown()
        self.record.close()

    async def _lease_loop(self) -> None:
        while True:
            if self._accepts_writes():
                self.pool.renew_leases(self.unit.term)
            await asyncio.sleep(LEASE_EVERY_S)

    def _accepts_writes(self) -> bool:
        since_ns = self.journal.waiting_since_ns
        late = since_ns and self.clock.monotonic_ns() - since_ns > COMMIT_LATE_NS
        return not late and not self.journal.words

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(TICK_EVERY_S)
            self.readings.mark_stale(self.clock.monotonic_ns())
            self.server.broadcast_telemetry(self._telemetry())
            if self.journal.words:
                continue
            try:
                await self._tick()
            except RecordError as fault:
                self._fault(fault)

    async def _tick(self) -> None:
        await self.journal.in_writer(refuse_read_only, self.home)
        for device, words in self._devices.silent_devices(self.clock.monotonic_ns()):
            await self._silent(device, words)
        await self.turn(list)
        await self._devices.wear.tick()
        await self._warn_of_days()
        await self._watch_clock()
        await self.telemetry.tick()
        await self._self_check.tick()
        await self._backups.tick()
        prompts = [prompt.id for prompt in decisions.open_prompts(self.unit, self.clock.utc())]
        if await self.desk.watch_time() or prompts != self._prompts_shown:
            # Time alone opens some prompts: no event tells of them.
            self._prompts_shown = prompts
            self.server.broadcast_snapshot(self.snapshot)
        if (self.clock.monotonic_ns() - self._sealed_at_ns) / 1e9 > SEGMENT_EVERY_S:
            await self.journal.in_writer(self._seal_gxp)

    async def _silent(self, device: str, words: str) -> None:
        """One device a turn: what the silence of each holds is decided after the other's is on record."""
        await self.turn(lambda: device_news.silent(self.unit, device, words))

    async def _warn_of_days(self) -> None:
        """A calibration or qualification that ends soon is told once a day."""
        if fitness.warnings(self.unit, self.clock.utc()):
            await self.turn(lambda: fitness.warnings(self.unit, self.clock.utc()))

    async def _watch_clock(self) -> None:
        """A step of the wall clock goes on record once; it moves no timer of an open batch."""
        difference_s = round(self.clock.wall_difference_s())
        idle = self.unit.batch is None or self.unit.batch.closed
        known_s = 0 if idle else self._clock_difference_s
        if abs(difference_s - known_s) <= CLOCK_STEP_S:
            return
        await self.turn(lambda: [ev.ClockAdjusted(difference_s=difference_s, followed=idle)])
        self._clock_difference_s = 0 if idle else difference_s
        if idle:
            self.clock.follow_wall()

    # ── Sealing ────────────────────────────────────────────────────────────────────────

    def _seal_segments(self) -> None:
        # Telemetry first: what a signed event of gxp names is signed before it.
        self.telemetry.sign()
        self._seal_gxp()

    def _seal_gxp(self) -> None:
        self._sealed_at_ns = self.clock.monotonic_ns()
        self.record.seal(stamp(self.clock), "gxp")

    async def _seal_batch(self) -> None:
        """Bind everything of the batch up to now; the decision of the QP names these heads."""
        if not seal_owed(self.unit, self.record):
            return
        await self.telemetry.anchor("end of batch")
        await self.turn(lambda: sealed_event(self.unit, self.record, self.clock.utc()))
        await self.journal.in_writer(self._seal_segments)
        self.server.broadcast_snapshot(self.snapshot)

    async def seal_soon(self) -> None:
        """Sign what is unsealed now, so that central can have it."""
        await self.journal.in_writer(self._seal_segments)

    async def keep_ack(self, ack: bytes, signature: bytes, *, log: str, acked_seq: int) -> None:
        """Keep a checked acknowledgement and move the watermark."""
        store = functools.partial(self.record.store_ack, ack, signature, log=log, acked_seq=acked_seq)
        await self.journal.in_writer(store)
        acked = await self.journal.in_writer(self.record.acked)
        # The time of receipt by this unit's own clock: central's may run otherwise.
        self._acked = (acked[0], self.clock.utc()) if log == "gxp" else self._acked
        self.server.broadcast_snapshot(self.snapshot)

    def show(self) -> None:
        """Send each screen a fresh snapshot."""
        self.server.broadcast_snapshot(self.snapshot)

    def stop_latencies(self) -> dict[str, int]:
        """How long each host took to stop its device, as far as they have told yet."""
        return dict(self._devices.stopped_ms)

    # ── The socket ─────────────────────────────────────────────────────────────────────

    def _hello(self, hello: Hello, caller: Caller) -> Snapshot | Refused:
        caller.client, caller.station = hello.client, hello.station
        return self.snapshot(caller)

    async def _command(self, command: Command, caller: Caller) -> Answer:
        return await self._commands.take(command, caller)

    def _stop_now(self, command: Command, caller: Caller) -> None:
        """STOP goes out first, before anything is recorded (SAFETY 1)."""
        self.pool.stop_all()
        self.effects.stop_sent()
        self._commands.stop_sent(caller)

    def _device_message(self, device: str, message: dict[str, Any]) -> None:
        self._devices.take(device, message)

    def _tell(self, event: EventMessage) -> None:
        self.server.broadcast_event(event)

    def _telemetry(self) -> Telemetry:
        now = self.clock.utc()
        return Telemetry(devices=self._device_views(), timers=view.timer_views(self.unit, now))

    def snapshot(self, caller: Caller) -> Snapshot:
        """Everything a screen needs to draw itself from nothing."""
        now, unit = self.clock.utc(), self.unit
        session = self.desk.session_at(caller.station)
        acked, acked_at = self._acked
        head = self.journal.head
        return Snapshot(
            seq=head.seq,
            utc=now,
            time_trust=self.clock.trust(),
            unit=self._unit_view(),
            people=view.people_views(self.desk.people),
            person=view.session_person(self.desk, unit, session) if session else None,
            locked=bool(session and session.locked),
            signature_needs=self.desk.sessions.signature_needs(
                caller.station, session.person if session else "", self.desk.now_s()
            ),
            stop_latched=unit.stop_latched,
            orders=view.order_views(unit, self.shelf, now),
            batch=view.batch_view(unit, self.record, now),
            prompts=view.prompt_views(unit, self.record, now, self._at_patient(caller)),
            alarms=view.alarm_views(unit),
            devices=self._device_views(),
            timers=view.timer_views(unit, now),
            scan=scan_view.scan_view(unit, self.effects.scanning),
            badge=scan_view.badge_view(self.desk, unit, self.effects.scanning, caller.station),
            aiming=str(self.effects.scanning.aiming),
            sync=SyncView(
                acknowledged_seq=acked, behind=max(0, head.seq - acked), last_acknowledged_at=acked_at
            ),
            record=RecordView(
                seq=head.seq,
                hash=head.hash.hex(),
                committed_at=self.journal.committed_at,
                words=self.journal.words,
            ),
        )

    def _device_views(self) -> list[DeviceView]:
        views = [*self.pool.view(), *view.by_hand(self.config.devices)]
        return view.with_fitness(views, self.unit, self.clock.utc())

    def _at_patient(self, caller: Caller) -> tuple[PromptFact, ...]:
        """Who the open batch's patient is, for a screen at which a person is signed in."""
        session, batch = self.desk.session_at(caller.station), self.unit.batch
        if session is None or session.locked or caller.client == "sync" or batch is None or batch.closed:
            return ()
        return identity_facts(self.identities, batch.order.patient)

    def _unit_view(self) -> UnitView:
        unit = self.config.unit
        return UnitView(
            id=unit.id,
            site=unit.site_words,
            time_zone=unit.time_zone,
            simulated=unit.simulated,
            clock_speed=str(unit.clock_speed),
            software_version=self.software_version,
            term=self.unit.term,
            identities_locked=self.identities.locked,
        )
