"""The bedside app: follows the engine's snapshots to the right screen, and carries intents to it."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from textual import on
from textual.app import App
from textual.worker import Worker

from appliance.link.messages import Accepted, PersonView, PromptView, Proof
from tui import flows, materials_flow, scan_flow, secret_flow, wording
from tui.engine_link import (
    EngineLink,
    EventArrived,
    InFlightChanged,
    LinkLost,
    Outcome,
    SnapshotArrived,
    Spoken,
    TelemetryArrived,
)
from tui.screens.alarms import AlarmsScreen
from tui.screens.chrome import BedsideScreen
from tui.screens.home import HomeScreen
from tui.screens.lists import EnteredScreen, SignaturesScreen
from tui.screens.quiet import AwayScreen, LockScreen
from tui.screens.record import RecordScreen
from tui.screens.run import RunScreen
from tui.themes import WARD_DAY, WARD_NIGHT
from tui.view import View
from tui.widgets.rail import Rail

TICK_S: Final = 0.25
NOTICE_S: Final = 12.0

# Facts that end in a red screen on every bedside, whoever scanned.
FULL_STOP_EVENTS: Final = frozenset(
    {"BagRefused", "MaterialRefused", "DeviceLabelRefused", "ExchangeFileRefused"}
)

PLACES: Final[dict[str, type[BedsideScreen[None]]]] = {
    "home": HomeScreen,
    "run": RunScreen,
    "alarms": AlarmsScreen,
    "record": RecordScreen,
}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Away:
    """Since when and why the engine is away, and when it is tried again (monotonic seconds)."""

    since_s: float
    cause: str
    attempt: int
    next_s: float


class BedsideApp(App[None], inherit_bindings=False):
    """One unit's bedside terminal. It holds no rule and may vanish at any moment.

    Parameters
    ----------
    socket : Path
        The engine's socket.
    station : str
        Name of this bedside; a restarted one finds its session by it.
    """

    CSS_PATH = "bedside.tcss"
    TITLE = "Cellwright"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    AUTO_FOCUS = None

    def __init__(self, socket: Path, *, station: str) -> None:
        super().__init__()
        self.register_theme(WARD_DAY)
        self.register_theme(WARD_NIGHT)
        self.theme = WARD_DAY.name
        self.link = EngineLink(socket, station=station, post=self.post_message)
        self.view: View | None = None
        self.away = Away(time.monotonic(), wording.CAUSE_CONNECTING, 0, time.monotonic())
        self.last_utc: datetime | None = None
        self.scan_news: scan_flow.ScanNews | None = None
        self._place = "home"
        self._batch_id = ""
        self._notice, self._notice_s = "", 0.0
        self._flow: Worker[None] | None = None
        self._flow_prompt = ""
        self._linking: asyncio.Task[None] | None = None

    # ── Start and end ──────────────────────────────────────────────────────────────────

    async def on_mount(self) -> None:
        """Paint something before the engine has answered, then connect."""
        # Without a handler SIGTERM would leave the terminal in mouse mode on the alternate screen.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        await self.push_screen(AwayScreen())
        self._linking = asyncio.create_task(self.link.run())
        self.set_interval(TICK_S, self._tick)

    async def on_unmount(self) -> None:
        """Leave the engine in peace."""
        if self._linking is not None:
            self._linking.cancel()
            with suppress(asyncio.CancelledError):
                await self._linking

    def _fatal_error(self) -> None:
        """End after a fault of this program; the supervisor of processes starts the screen again.

        Textual's own report prints the local variables of each frame, a PIN among them, on the terminal.
        """
        _logger.error("the screen failed", exc_info=self._exception)
        self.panic(wording.SCREEN_FAILED)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The style sheet's own colours, known before a theme is chosen."""
        return WARD_DAY.variables

    def change_colours(self) -> None:
        """Change between the ward's day and night."""
        self.theme = WARD_DAY.name if self.theme == WARD_NIGHT.name else WARD_NIGHT.name

    # ── What the engine says ───────────────────────────────────────────────────────────

    @on(SnapshotArrived)
    async def _snapshot(self, event: SnapshotArrived) -> None:
        now_s, snapshot = time.monotonic(), event.snapshot
        batch_id = snapshot.batch.id if snapshot.batch else ""
        self.view = View(
            snapshot=snapshot,
            received_s=now_s,
            devices=snapshot.devices,
            timers=snapshot.timers,
            telemetry_s=now_s,
            now_s=now_s,
            in_flight=self.link.in_flight,
        )
        self.last_utc = snapshot.utc
        if batch_id != self._batch_id:
            # A batch that opens, here or at another screen, is what everybody wants to see.
            self._batch_id, self._place = batch_id, "run" if batch_id else "home"
        await self._route()

    @on(TelemetryArrived)
    def _telemetry(self, event: TelemetryArrived) -> None:
        if self.view is not None:
            telemetry, now_s = event.telemetry, time.monotonic()
            self.view = replace(
                self.view, devices=telemetry.devices, timers=telemetry.timers, telemetry_s=now_s, now_s=now_s
            )
            self._refresh()

    @on(EventArrived)
    async def _event(self, event: EventArrived) -> None:
        name, reason = event.event.name, event.event.body.get("reason")
        if self.scan_news is not None and self.scan_news.take(event.event):
            return  # whoever scans at this screen is told there
        if name not in FULL_STOP_EVENTS:
            return
        words = str(event.event.body.get("words", ""))
        if reason in flows.LOOK_AGAIN:
            self.notice(words)
        elif self.view is not None and not self.view.snapshot.locked:
            # Whatever else was being entered waits: nothing is to go on beside a wrong label.
            full = name != "ExchangeFileRefused" or reason in flows.WRONG_FILE
            await self._leave_flow()
            self._begin(lambda: flows.stop_to_read(self, words, full=full))

    @on(InFlightChanged)
    def _in_flight(self) -> None:
        if self.view is not None:
            self.view = replace(self.view, in_flight=self.link.in_flight)
            self._refresh()

    @on(Spoken)
    def _spoken(self, event: Spoken) -> None:
        self.notice(event.words)

    @on(LinkLost)
    async def _lost(self, event: LinkLost) -> None:
        now_s = time.monotonic()
        since_s = self.away.since_s if self.view is None else now_s
        self.away = Away(since_s, event.cause, event.attempt, now_s + event.next_in_s)
        if self.view is not None:
            self.last_utc = self.view.utc
            self.view = None
        await self._route()

    def _tick(self) -> None:
        now_s = time.monotonic()
        if self._notice and now_s - self._notice_s > NOTICE_S:
            self._notice = ""
        if self.view is not None:
            self.view = replace(self.view, now_s=now_s)
        self._start_owed_change()
        self._refresh(ticks=True)

    # ── Which screen ───────────────────────────────────────────────────────────────────

    def _wanted(self) -> type[BedsideScreen[None]]:
        if self.view is None:
            return AwayScreen
        if self.view.snapshot.locked:
            return LockScreen
        return PLACES[self._place]

    async def _route(self) -> None:
        """Be where the snapshot says; a person in the middle of something stays there while it is open."""
        wanted = self._wanted()
        base = self.screen_stack[1] if len(self.screen_stack) > 1 else None
        if type(base) is wanted:
            prompt = self._flow_prompt
            if prompt and self.view is not None and self.view.prompt(prompt) is None and self._in_flow():
                await self._leave_flow()
                self.notice(wording.PROMPT_GONE)
        else:
            await self._leave_flow()
            if not self.screen_stack:
                return  # The app is ending; a last word of the engine came while its screens were taken down.
            await self.switch_screen(wanted())
        self._refresh()

    def _in_flow(self) -> bool:
        return len(self.screen_stack) > 2

    async def _leave_flow(self) -> None:
        """End the conversation on screen; one that only awaits the engine's answer goes on."""
        if self._in_flow() and self._flow is not None:
            self._flow.cancel()
        while self._in_flow():
            await self.pop_screen()

    def _refresh(self, *, ticks: bool = False) -> None:
        top = self.screen_stack[-1] if self.screen_stack else None
        if isinstance(top, BedsideScreen):
            top.follow(ticks=ticks)

    def go(self, place: str) -> None:
        """Show a place."""
        self._place = place
        self.call_later(self._route)

    @on(Rail.Went)
    def _went(self, event: Rail.Went) -> None:
        self.go(event.place)

    # ── What a person asks ─────────────────────────────────────────────────────────────

    @property
    def notice_text(self) -> str:
        """The line at the bottom; a simulated unit says so when there is nothing else to say."""
        if self._notice:
            return self._notice
        return wording.SIMULATED_NOTICE if self.view and self.view.snapshot.unit.simulated else ""

    @property
    def has_notice(self) -> bool:
        """Whether the line at the bottom says something that happened a moment ago."""
        return bool(self._notice)

    def notice(self, words: str) -> None:
        """Say something in the line at the bottom."""
        self._notice, self._notice_s = words, time.monotonic()
        self._refresh()

    def ask(
        self, name: str, body: dict[str, Any], *, key: str, proof: Proof | None = None
    ) -> asyncio.Future[Outcome]:
        """Send an intent; the future ends with the engine's answer, also after a reconnect."""
        return self.link.ask(name, body, key=key, proof=proof)

    def send(self, name: str, body: dict[str, Any], *, key: str) -> None:
        """Send an intent that needs nothing else; a refusal is shown to be read."""
        if self.link.in_flight & {key}:
            return

        async def conversation() -> None:
            await flows.tell(self, await self.ask(name, body, key=key))

        self.run_worker(conversation(), group="send", exit_on_error=True)

    @on(Rail.StopNow)
    def _stop(self) -> None:
        """STOP goes out at once, from every screen, whoever is signed in (SAFETY 1)."""
        self.ask("stop", {}, key="stop").add_done_callback(self._stop_answered)
        self.notice(wording.STOP_SENT if self.link.connected else wording.STOP_WAITS)

    def _stop_answered(self, outcome: asyncio.Future[Outcome]) -> None:
        if not outcome.cancelled():
            answer = outcome.result()
            self.notice(wording.STOP_SENT if isinstance(answer, Accepted) else answer.words)

    def _begin(self, conversation: Callable[[], Awaitable[None]], *, prompt: str = "") -> None:
        """Start a conversation, unless one is on screen."""
        if self._in_flow():
            return
        self._flow_prompt = prompt

        async def talk() -> None:
            await conversation()

        self._flow = self.run_worker(talk(), group="flow", exclusive=True)

    def start_sign_in(self, person: PersonView | None = None) -> None:
        """Let somebody sign in."""
        self._begin(lambda: flows.sign_in(self, person))

    def _start_owed_change(self) -> None:
        """A person who must change a PIN or password first is asked for nothing else."""
        view, talking = self.view, self._flow is not None and not self._flow.is_finished
        if view is None or view.snapshot.locked or talking:
            return
        person = view.snapshot.person
        if person is not None and person.must_change:
            self._begin(lambda: secret_flow.change_owed(self, person))

    def start_open_order(self) -> None:
        """Let the person open an order."""
        orders = self.view.snapshot.orders if self.view else []
        self._begin(lambda: flows.open_order(self, orders))

    def start_answer(self, prompt: PromptView) -> None:
        """Let the person answer a prompt."""
        # While the camera looks, its prompt is not open: the scan itself says when it is over.
        watched = "" if prompt.kind == "scan" or prompt.typed else prompt.id
        self._begin(lambda: flows.answer(self, prompt), prompt=watched)

    def start_watch(self) -> None:
        """Show the camera of a scan that is under way."""
        self._begin(lambda: scan_flow.watch(self))

    def start_hold(self) -> None:
        """Let the person hold the batch."""
        self._begin(lambda: flows.hold(self))

    def start_restart(self) -> None:
        """Let the person restart a held batch."""
        self._begin(lambda: flows.restart(self))

    def start_release(self) -> None:
        """Let the person end the stop."""
        self._begin(lambda: flows.release_stop(self))

    def start_end_demo(self) -> None:
        """Let a person leave a simulated unit."""
        self._begin(lambda: flows.end_demo(self))

    def start_list(self, what: str) -> None:
        """Show the signatures or the typed values of the batch."""

        async def conversation() -> None:
            await self.push_screen_wait(SignaturesScreen() if what == "signatures" else EnteredScreen())

        self._begin(conversation)

    def start_materials(self) -> None:
        """Offer what a person may do with materials."""
        self._begin(lambda: materials_flow.materials(self))

    def start_more(self) -> None:
        """Offer what is seldom done."""
        self._begin(lambda: flows.more(self))
