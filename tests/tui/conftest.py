"""The fixture of the bedside stories: a screen before an engine that shows what the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted_engine import ScriptedEngine, snapshot
from walked_bedside import Bedside, Story

from appliance.link.messages import Snapshot
from tui.app import BedsideApp
from tui.screens import run as run_screen


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
