"""The bedside app against the scripted engine, walked by taps."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scripted_engine import ScriptedEngine, snapshot
from textual.pilot import Pilot

from appliance.link.messages import Snapshot
from tui.app import BedsideApp
from tui.screens import run as run_screen
from tui.screens.chrome import BedsideScreen
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words

WAIT_S = 8.0


class Bedside:
    """The app, its engine, and a finger."""

    def __init__(self, app: BedsideApp, pilot: Pilot[None], engine: ScriptedEngine) -> None:
        self.app, self.pilot, self.engine = app, pilot, engine

    def text(self) -> str:
        """What is on the screen, as characters."""
        width, height = self.app.size
        console = Console(width=width, height=height, file=io.StringIO(), record=True, force_terminal=True)
        console.print(self.app.screen._compositor.render_update(full=True))
        return console.export_text(styles=False)

    async def until(self, claim: Callable[[], object], words: str = "") -> None:
        """Wait until something is so, or fail with the screen as it is."""
        deadline = time.monotonic() + WAIT_S
        while not claim():
            if self.app._exception is not None:
                raise self.app._exception
            if time.monotonic() > deadline:
                raise AssertionError(f"never came true: {words or claim}\n{self.text()}")
            await self.pilot.pause(0.05)

    async def see(self, *words: str) -> None:
        """Wait until these words are on the screen."""
        for word in words:
            await self.until(lambda word=word: self.shows(word), word)

    def shows(self, words: str) -> bool:
        """Whether words are on the screen, be it wrapped within one widget."""
        screen = self.app.screen
        texts = [words.text for words in screen.query(Words) if words.region.area]
        labels = [button.words for button in screen.query(TouchButton) if button.region.area]
        return any(words in " ".join(text.split()) for text in texts + labels) or words in self.text()

    async def tap(self, words: str) -> None:
        """Tap the button that carries these words, once it is there and can be pressed."""
        await self.until(lambda: self.find(words) is not None, f"a button '{words}' to tap")
        await self.still()
        button = self.find(words)
        assert button is not None, words
        assert await self.pilot.click(button), f"'{words}' is covered by something"
        await self.pilot.pause()

    async def still(self) -> None:
        """Wait until nothing moves: a finger taps what it sees, not what is about to be drawn."""
        regions: list[object] = []
        for _ in range(50):
            before, regions = regions, [button.region for button in self.app.screen.query(TouchButton)]
            if regions == before:
                return
            await self.pilot.pause(0.03)

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
            await self.pilot.click(button)

    async def settle(self) -> None:
        """Let the time pass in which a second tap would still belong to the last instruction."""
        await self.pilot.pause(run_screen.SETTLE_S + 0.3)


Story = Callable[[Bedside], Awaitable[None]]


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a story at the bedside of an engine that shows what the test gives."""

    def go(
        story: Story,
        *,
        shows: Snapshot | None = None,
        size: tuple[int, int] = (100, 30),
        away: bool = False,
        settle_s: float = 0.1,
        **answers: Any,
    ) -> None:
        # The pause against a second tap has its own test; elsewhere it would only cost time.
        monkeypatch.setattr(run_screen, "SETTLE_S", settle_s)

        async def run() -> None:
            engine = ScriptedEngine(tmp_path / "engine.sock", shows=shows or snapshot(), answers=answers)
            if not away:
                await engine.start()
            app = BedsideApp(engine.path, station="test")
            async with app.run_test(size=size) as pilot:
                bedside = Bedside(app, pilot, engine)
                if not away:
                    await bedside.until(lambda: app.view is not None, "a first snapshot")
                await story(bedside)
            await engine.stop()

        asyncio.run(run())

    return go
