"""Stories run side by side in a few lanes; each is played once and looked at by many tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import story_central_away
import story_failing_devices
import story_failing_parts
import story_headless
import story_killed_engine
import story_stop

LANES = 4  # a batch waits for people and devices more than for a core
# In the order in which they begin. A story is played only where a collected test looks at it.
STORIES: dict[str, Callable[[Path], Any]] = {
    "killed_engine": story_killed_engine.play,
    "failing_parts": story_failing_parts.play,
    "failing_devices": story_failing_devices.play,
    "demo_released": story_headless.player(),
    "central_away": story_central_away.play,
    "stops": story_stop.play,
    "demo_rejected": story_headless.player("--fault", "qp-rejects", "--seed", "2"),
    "demo_awaiting": story_headless.player("--fault", "central-away", "--seed", "3"),
    "demo_unsigned": story_headless.player("--fault", "unsigned-recipe"),
}


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    with ThreadPoolExecutor(LANES) as lanes:
        played: dict[str, Future[Any]] = {
            name: lanes.submit(play, tmp_path_factory.mktemp(name))
            for name, play in STORIES.items()
            if name in wanted
        }
        yield played
        for story in played.values():
            story.cancel()


def _looking_at(name: str) -> Any:
    """A fixture that waits for the end of one story."""

    @pytest.fixture(scope="session", name=name)
    def look(stage: dict[str, Future[Any]]) -> Any:
        return stage[name].result()

    return look


killed_engine = _looking_at("killed_engine")
failing_parts = _looking_at("failing_parts")
failing_devices = _looking_at("failing_devices")
central_away = _looking_at("central_away")
stops = _looking_at("stops")
demo_released = _looking_at("demo_released")
demo_rejected = _looking_at("demo_rejected")
demo_awaiting = _looking_at("demo_awaiting")
demo_unsigned = _looking_at("demo_unsigned")
