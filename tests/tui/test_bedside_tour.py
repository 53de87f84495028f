"""Every screen at three sizes, with texts that try to break it: targets, words, places."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from PIL import Image
from scripted_engine import (
    ALARMS,
    AMARA,
    CONFIRM,
    ENTER,
    REVIEW,
    SCAN,
    SECOND,
    SIGN,
    TYPED,
    UNDER_WAY,
    WAIT,
    ScriptedEngine,
    batch,
    running,
    snapshot,
)
from textual.geometry import Region
from walked_bedside import Bedside

from appliance.link.messages import Snapshot
from tui.app import BedsideApp
from tui.screens import run as run_screen
from tui.widgets.touch_button import TouchButton

OOPS = "[/oops]"
SIZES = ((80, 24), (100, 30))
SIZES_OF_FEW = ((160, 50), *SIZES)
SEEN_LARGE = {"home", "confirm", "number with alarms", "password", "alarms", "hold"}

# Least cells (columns, rows) of a primary target and of another one, in the same millimetres:
# 20 mm and 15 mm on a 217 x 136 mm panel; at 160x50 on one of 345 x 194 mm.
LEAST = {(100, 30): ((10, 5), (7, 4)), (80, 24): ((8, 4), (6, 3)), (160, 50): ((10, 6), (7, 4))}
GAP_COLUMNS, GAP_ROWS = 2, 1

# Strings that are keys rather than words; the engine and the screens compare them.
KEYS = {
    "kind", "id", "phase", "needs", "state", "priority", "quality", "time_trust", "roles", "not_by",
    "utc", "raised_at", "opened_at", "committed_at", "last_acknowledged_at", "picture", "hash", "minimum",
    "maximum", "age_s", "viability_percent", "viability_interval_percent", "time_zone", "signs", "person",
    "at", "until", "signature_needs", "prompt", "typed", "aiming", "limit_s", "left_s",
}  # fmt: skip


def spoiled(thing: Any, key: str = "") -> Any:
    """The same view with `[/oops]` in front of every text that a person reads."""
    if isinstance(thing, dict):
        return {name: spoiled(value, name) for name, value in thing.items()}
    if isinstance(thing, list):
        return [spoiled(value, key) for value in thing]
    return f"{OOPS}{thing}" if isinstance(thing, str) and thing and key not in KEYS else thing


def hostile(plain: Snapshot) -> Snapshot:
    """A snapshot whose every word carries something that reads like markup."""
    return msgspec.convert(spoiled(msgspec.to_builtins(plain)), Snapshot)


@dataclass(frozen=True)
class Target:
    """A button as it lies on the screen."""

    words: str
    big: bool
    region: Region
    whole: bool


@dataclass(frozen=True)
class Look:
    """What one screen showed at one size."""

    name: str
    size: tuple[int, int]
    text: str
    targets: list[Target]


def look(bedside: Bedside, name: str, size: tuple[int, int]) -> Look:
    """Take down every target and every character."""
    screen = bedside.app.screen
    targets = []
    for button in screen.query(TouchButton):
        region = button.region
        if not region.area:
            continue
        corners = ((region.x, region.y), (region.right - 1, region.bottom - 1))
        inside = all(0 <= x < size[0] and 0 <= y < size[1] for x, y in corners)
        whole = inside and all(screen.get_widget_at(x, y)[0] is button for x, y in corners)
        targets.append(Target(button.words, button.has_class("primary"), region, whole))
    return Look(name, size, bedside.text(), targets)


def stops(picture: str) -> list[tuple[str, Snapshot, tuple[str, ...]]]:
    """Name, snapshot and taps of each screen."""
    review = msgspec.structs.replace(REVIEW, picture=picture)
    looked_at = msgspec.structs.replace(SECOND, picture=picture)
    return [
        ("home", snapshot(), ()),
        ("sign in", snapshot(), ("#sign-in",)),
        ("pin", snapshot(), ("#sign-in", ".offer")),
        ("home, signed in", snapshot(person=AMARA), ()),
        ("end the demonstration", snapshot(), ("#end-demo",)),
        ("orders", snapshot(person=AMARA), ("#open-order",)),
        ("confirm", running(CONFIRM, SCAN), ("#go-run",)),
        ("scan with alarms", running(SCAN, alarms=ALARMS), ("#go-run",)),
        ("second person", running(SECOND), ("#go-run", "#act")),
        ("second person's pin", running(SECOND, alarms=ALARMS), ("#go-run", "#act", ".offer")),
        ("second person's picture", running(looked_at), ("#go-run", "#act", ".offer")),
        ("number", running(ENTER), ("#go-run", "#act")),
        ("number with alarms", running(ENTER, alarms=ALARMS), ("#go-run", "#act")),
        ("review", running(review), ("#go-run", "#act")),
        ("sign", running(SIGN), ("#go-run", "#act")),
        ("id", running(SIGN), ("#go-run", "#act", "#sign")),
        ("password", running(SIGN, signature_needs=("password",)), ("#go-run", "#act", "#sign")),
        ("aim", running(WAIT, scan=UNDER_WAY), ("#go-run", "#act")),
        ("typed label", running(TYPED), ("#go-run", "#act")),
        ("held", running(batch=batch(state="held")), ("#go-run",)),
        ("stopped", running(SCAN, stop_latched=True), ("#go-run",)),
        ("hold", running(WAIT), ("#go-run", "#hold")),
        ("more", running(WAIT), ("#go-run", "#more")),
        ("alarms", running(SCAN, alarms=ALARMS), ("#go-alarms",)),
        ("three alarms", running(SCAN, alarms=ALARMS[:3]), ("#go-alarms",)),
        ("record", running(SCAN), ("#go-record",)),
        ("signatures", running(SCAN), ("#go-record", "#signatures")),
        ("typed values", running(SCAN), ("#go-record", "#entered")),
        ("first values", running(SCAN), ("#go-record", "#entered", "#first-values")),
        ("stop armed", running(SCAN), ("#go-run", "#stop")),
        ("locked", running(SCAN, locked=True), ()),
        ("woken", running(SCAN, locked=True), ("#body",)),
    ]


async def visit(bedside: Bedside, name: str, shows: Snapshot, taps: tuple[str, ...]) -> list[Look]:
    """Go to one screen and look at it at every size."""
    app, pilot = bedside.app, bedside.pilot
    bedside.engine.show(shows)
    await bedside.until(
        lambda: app.view is not None and app.view.snapshot == shows, f"the snapshot of {name}"
    )
    for tap in taps:
        await bedside.until(
            lambda tap=tap: any(
                widget.region.area and not widget.disabled for widget in app.screen.query(tap)
            ),
            f"{tap} of {name}",
        )
        await bedside.still()
        await bedside.touch(app.screen.query_one(tap) if tap != ".offer" else app.screen.query(tap).first())
    looks = []
    sizes = SIZES_OF_FEW if name in SEEN_LARGE else SIZES
    # From the size that is there already to the other ones: each change lays everything out afresh.
    for size in sorted(sizes, key=lambda size: size != tuple(app.size)):
        if size != tuple(app.size):
            await pilot.resize_terminal(*size)
        await bedside.still()
        looks.append(look(bedside, name, size))
    while bedside.app.screen.IS_FLOW:
        await bedside.touch(bedside.app.screen.query_one("#go-back"))
        await bedside.still()
    return looks


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> list[Look]:
    """Every screen at every size, with hostile words."""
    folder = tmp_path_factory.mktemp("tour")
    picture = folder / "count.png"
    Image.radial_gradient("L").convert("RGB").save(picture)
    seen: list[Look] = []

    async def tour() -> None:
        engine = ScriptedEngine(folder / "engine.sock")
        await engine.start()
        app = BedsideApp(engine.path, station="test")
        async with app.run_test(size=SIZES[-1]) as pilot:
            bedside = Bedside(app, pilot, engine)
            for name, shows, taps in stops(str(picture)):
                # What is typed of a label is named by keys, and asked for in this program's own words.
                shown = shows if name == "typed label" else hostile(shows)
                seen.extend(await visit(bedside, name, shown, taps))
            await pilot.resize_terminal(*SIZES[-1])
            await engine.stop()
            await bedside.see("The engine is away")
            await bedside.still()
            seen.append(look(bedside, "away", SIZES[-1]))

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(run_screen, "SETTLE_S", 0.1)
        asyncio.run(tour())
    return seen


def test_no_target_is_smaller_than_a_gloved_finger_needs(looks):
    small = []
    for seen in looks:
        for target in seen.targets:
            columns, rows = LEAST[seen.size][0 if target.big else 1]
            if target.region.width < columns or target.region.height < rows:
                small.append((seen.name, seen.size, target.words, target.region.size))

    assert small == []


def test_no_target_is_cut_off_or_covered(looks):
    cut = [
        (seen.name, seen.size, target.words, target.region)
        for seen in looks
        for target in seen.targets
        if not target.whole
    ]

    assert cut == []


def test_between_two_targets_there_is_room_for_the_wrong_finger(looks):
    close = []
    for seen in looks:
        for place, one in enumerate(seen.targets):
            for other in seen.targets[place + 1 :]:
                grown = one.region.grow((GAP_ROWS, GAP_COLUMNS, GAP_ROWS, GAP_COLUMNS))
                if grown.overlaps(other.region):
                    close.append((seen.name, seen.size, one.words, other.words))

    assert close == []


def test_the_edge_that_a_hand_holds_is_dead(looks):
    on_edge = [
        (seen.name, target.words, target.region)
        for seen in looks
        if seen.size == (100, 30)
        for target in seen.targets
        if target.region.x < 5 or target.region.right > 95 or target.region.y < 2 or target.region.bottom > 28
    ]

    assert on_edge == []


def test_stop_is_in_the_same_place_on_every_screen(looks):
    for size in SIZES_OF_FEW:
        places = {
            target.region
            for seen in looks
            if seen.size == size
            for target in seen.targets
            if target.words.startswith("STOP")
        }
        without = [
            seen.name
            for seen in looks
            if seen.size == size and not any(target.words.startswith("STOP") for target in seen.targets)
        ]

        assert without == []
        assert len(places) == 1


def test_stop_now_is_in_another_place_than_stop(looks):
    for seen in looks:
        if seen.name == "stop armed":
            now = next(target for target in seen.targets if target.words == "Stop now")
            stop = next(target for target in seen.targets if target.words.startswith("STOP"))

            assert not now.region.overlaps(stop.region)


def test_words_that_look_like_markup_are_shown_as_they_are(looks):
    shown = [seen.name for seen in looks if OOPS in seen.text and seen.size == SIZES[-1]]

    # These show words of this program alone.
    assert {seen.name for seen in looks} - set(shown) == {
        "hold",
        "more",
        "locked",
        "away",
        "end the demonstration",
        "aim",
        "typed label",
    }


def test_a_simulated_unit_says_so_in_words_on_every_screen(looks):
    silent = [
        (seen.name, seen.size) for seen in looks if "SIMULATED" not in seen.text and seen.name != "away"
    ]

    assert silent == []


def test_what_is_recorded_here_is_said_on_every_screen(looks):
    silent = [
        (seen.name, seen.size)
        for seen in looks
        if "recorded here ✓ 1234" not in seen.text and "NOT RECORDED" not in seen.text and seen.name != "away"
    ]

    assert silent == []
