"""The bedside app against the scripted engine, walked by taps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from scripted_engine import ScriptedEngine
from textual.events import MouseDown, MouseUp
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.widget import Widget

from tui.app import BedsideApp
from tui.screens import run as run_screen
from tui.screens.chrome import BedsideScreen
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words

WAIT_S = 8.0
DRAW_EVERY_S = 0.2


class Bedside:
    """The app, its engine, and a finger."""

    def __init__(self, app: BedsideApp, pilot: Pilot[None], engine: ScriptedEngine) -> None:
        self.app, self.pilot, self.engine = app, pilot, engine
        self._drawn_s = 0.0

    def text(self) -> str:
        """What is on the screen, as characters."""
        return "\n".join(strip.text for strip in self.app.screen._compositor.render_strips())

    async def until(self, claim: Callable[[], object], words: str = "") -> None:
        """Wait until something is so, or fail with the screen as it is."""
        deadline = time.monotonic() + WAIT_S
        while not claim():
            if self.app._exception is not None:
                raise self.app._exception
            if time.monotonic() > deadline:
                raise AssertionError(f"never came true: {words or claim}\n{self.text()}")
            await asyncio.sleep(0.02)

    async def see(self, *words: str) -> None:
        """Wait until these words are on the screen."""
        for word in words:
            await self.until(lambda word=word: self.shows(word), word)

    def shows(self, words: str) -> bool:
        """Whether words are on the screen, be it wrapped within one widget."""
        screen = self.app.screen
        texts = [words.text for words in screen.query(Words) if words.region.area]
        labels = [button.words for button in screen.query(TouchButton) if button.region.area]
        if any(words in " ".join(text.split()) for text in texts + labels):
            return True
        # To draw the whole screen is dear: now and then is enough for what no widget says as words.
        if time.monotonic() - self._drawn_s < DRAW_EVERY_S:
            return False
        self._drawn_s = time.monotonic()
        return words in self.text()

    async def tap(self, words: str) -> None:
        """Tap the button that carries these words, once it is there and can be pressed."""
        button = None
        while button is None:
            await self.until(lambda: self.find(words) is not None, f"a button '{words}' to tap")
            await self.still()
            button = self.find(words)
        assert await self.touch(button), f"'{words}' is covered by something"

    async def touch(self, widget: Widget) -> bool:
        """Finger down and up in the middle of a widget; whether it was this one that felt it.

        Returns once everything that hears of the touch has dealt with it.
        """
        screen = self.app.screen
        column, row = (int(place) for place in widget.region.center)
        felt = screen.get_widget_at(column, row)[0] is widget
        for kind in (MouseDown, MouseUp):
            self.app.post_message(kind(None, column, row, 0, 0, 1, False, False, False, column, row))
        for hearer in (self.app, *widget.ancestors_with_self, self.app):
            await self.settled(hearer)
        await self.settled(self.app.screen, drawn=True)
        return felt

    async def settled(self, pump: MessagePump, *, drawn: bool = False) -> None:
        """Wait until a part of the screen has dealt with whatever reached it so far, and has drawn it."""
        done = asyncio.Event()
        # A part that is being taken down hears nothing any more.
        if pump.is_running and (pump.call_after_refresh if drawn else pump.call_later)(done.set):
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 1.0)

    async def still(self) -> None:
        """Wait until nothing moves: a finger taps what it sees, not what is about to be drawn."""
        regions: list[object] = []
        for _ in range(200):
            await self.settled(self.app)
            await self.settled(self.app.screen, drawn=True)
            before, regions = regions, [button.region for button in self.app.screen.query(TouchButton)]
            if regions == before:
                return
            await asyncio.sleep(0.02)

    def find(self, words: str) -> TouchButton | None:
        """The first button on screen that can be pressed and carries these words."""
        screen = self.app.screen
        assert isinstance(screen, BedsideScreen)
        for button in screen.query(TouchButton):
            if button.region.area and not button.disabled and words in button.words.replace("\n", " "):
                return button
        return None

    async def key_in(self, digits: str) -> None:
        """Tap digits on the keypad as fast as a finger can."""
        for digit in digits:
            button = self.find(digit)
            assert button is not None, digit
            await self.touch(button)

    async def settle(self) -> None:
        """Let the time pass in which a second tap would still belong to the last instruction."""
        await asyncio.sleep(run_screen.SETTLE_S + 0.3)


Story = Callable[[Bedside], Awaitable[None]]
