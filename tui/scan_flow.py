"""The conversations before the camera: aim and scan, type what cannot be read, show a badge."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from appliance.domain import scans, typed_entry
from appliance.link.messages import Accepted, EventMessage, PromptView, Proof, Refused
from tui import flows, wording
from tui.screens.judgement import RefusalScreen
from tui.screens.scan import NotReadScreen, ScanScreen, TickScreen
from tui.screens.typed import TypedScreen

if TYPE_CHECKING:
    from tui.app import BedsideApp

REFUSALS: Final = frozenset({"BagRefused", "MaterialRefused", "DeviceLabelRefused"})
LOOK_EVERY_S: Final = 0.05
# A scan that is not under way so long after it was asked for was over at once.
BEGINS_WITHIN_S: Final = 0.7
# After the last word of a scan its consequences are there, or there are none.
SETTLED_AFTER_S: Final = 0.4
# Beyond the time that the unit gives a scan: the worker's own deadline and a restart of it.
MARGIN_S: Final = 25.0
# Where nothing was told of its time.
SCAN_S_MAX: Final = 60.0


@dataclass(slots=True)
class ScanNews:
    """What became true of one scan, or of one typed label, as the events tell it."""

    phase: str
    key: str
    read: dict[str, Any] | None = None
    refusal: dict[str, Any] | None = None
    differed: str = ""
    heard_s: float = field(default_factory=time.monotonic)

    def take(self, event: EventMessage) -> bool:
        """Take an event of this scan; False for one that is not."""
        if event.body.get("phase") != self.phase:
            return False
        if event.name == "ScanRead" and event.body.get("key") == self.key:
            self.read = event.body
        elif event.name == "TypedEntriesDiffered" and event.body.get("key") == self.key:
            self.differed = str(event.body.get("words", ""))
        elif event.name in REFUSALS:
            self.refusal = event.body
        else:
            return False
        self.heard_s = time.monotonic()
        return True

    @property
    def settled(self) -> bool:
        """Whether everything that follows has been told."""
        heard = self.read is not None or self.refusal is not None or bool(self.differed)
        return heard and time.monotonic() - self.heard_s > SETTLED_AFTER_S


# ── Scan ───────────────────────────────────────────────────────────────────────────────


async def scan(app: BedsideApp, prompt: PromptView) -> None:
    """Aim until a label is read; anything but a match or a second look is a full stop."""
    proof = None
    if prompt.needs != "session":
        proof = await flows.collect_proof(app, prompt, "")
        if proof is None:
            return
    while True:
        choice = await _scan_once(app, prompt, proof)
        if choice != "again":
            break
        # The prompt comes back with the next snapshot.
        if not await _until(lambda: _open(app, prompt.id), 2.0):
            return
    typed = _typed_prompt(app, prompt.id) if choice == "type" else None
    if typed is not None:
        await type_label(app, typed)


async def _scan_once(app: BedsideApp, prompt: PromptView, proof: Proof | None) -> str | None:
    """One look; `again` or `type` when it read nothing and the person says so."""
    news = app.scan_news = ScanNews(prompt.phase, _key(prompt))
    aiming = app.view.snapshot.aiming if app.view is not None else ""
    screen = ScanScreen(prompt.title, prompt.instruction, expects=prompt.expects, aiming=aiming)
    try:
        ended = app.push_screen(screen, wait_for_dismiss=True)
        asked = app.ask("scan", {"prompt": prompt.id}, key=f"scan:{prompt.id}", proof=proof)
        outcome, by_person = await _followed(app, screen, ended, asked, news)
    finally:
        app.scan_news = None
    if by_person:
        app.notice(wording.SCAN_ENDED)
        return None
    if isinstance(outcome, Refused):
        return await _refused(app, prompt, outcome.reason, outcome.words)
    return await _result(app, prompt, news)


async def _followed(
    app: BedsideApp,
    screen: ScanScreen,
    ended: asyncio.Future[Any],
    asked: asyncio.Future[Accepted | Refused],
    news: ScanNews,
) -> tuple[Accepted | Refused | None, bool]:
    """Wait for the scan's end, whichever it is; the screen is gone afterwards."""
    began_s, seen, outcome = time.monotonic(), False, None
    while not ended.done():
        outcome = asked.result() if asked.done() else None
        if isinstance(outcome, Refused) or news.settled:
            break
        now_s, running = time.monotonic(), app.view.snapshot.scan if app.view is not None else None
        if outcome is None:
            began_s = now_s
        elif running is not None and not seen:
            seen = True
            screen.begins(float(running.limit_s), float(running.left_s), at_patient=running.at_patient)
        elif running is None and now_s - began_s > (SETTLED_AFTER_S if seen else BEGINS_WITHIN_S):
            break
        if now_s - began_s > SCAN_S_MAX + MARGIN_S:
            break
        await asyncio.sleep(LOOK_EVERY_S)
    by_person = ended.done()
    if by_person:
        await _end(app)
    elif screen.is_current:
        screen.dismiss(None)
        await ended
    return outcome, by_person


async def _end(app: BedsideApp) -> None:
    """The person ended the aiming: the unit ends the scan, on record."""
    running = app.view.snapshot.scan if app.view is not None else None
    if running is not None:
        await app.ask("cancel_scan", {"scan": running.id}, key=f"cancel:{running.id}")


async def watch(app: BedsideApp) -> None:
    """Show the camera of a scan that is under way, as after a restart of this screen."""
    view = app.view
    running = view.snapshot.scan if view is not None else None
    if view is None or running is None:
        return
    phase, _, key = running.prompt.partition("/")
    prompt = PromptView(
        id=running.prompt, phase=phase, kind="scan", title=wording.SCAN_RUNS, instruction="", button=""
    )
    news = app.scan_news = ScanNews(phase, key)
    screen = ScanScreen(wording.SCAN_RUNS, "", aiming=view.snapshot.aiming, at_patient=running.at_patient)
    asked: asyncio.Future[Accepted | Refused] = asyncio.get_running_loop().create_future()
    asked.set_result(Accepted(command_id="", seq=0))
    try:
        ended = app.push_screen(screen, wait_for_dismiss=True)
        _, by_person = await _followed(app, screen, ended, asked, news)
    finally:
        app.scan_news = None
    if not by_person:
        await _result(app, prompt, news)


async def _result(app: BedsideApp, prompt: PromptView, news: ScanNews) -> str | None:
    """A tick that leaves by itself, or words that stay."""
    if news.refusal is not None:
        return await _refused(
            app, prompt, str(news.refusal.get("reason", "")), str(news.refusal.get("words", ""))
        )
    if news.read is not None and news.read.get("texts"):
        said = scans.words_of(news.read["texts"], news.read.get("identifiers", []))
        await app.push_screen_wait(TickScreen(prompt.title, said or [(wording.TICKED, "")]))
    app.notice(wording.DONE.format(what=prompt.title))
    return None


async def _refused(app: BedsideApp, prompt: PromptView, reason: str, words: str) -> str | None:
    if reason not in flows.LOOK_AGAIN:
        app.bell()
        await app.push_screen_wait(RefusalScreen(words, full_stop=True))
        return None
    # Whether it can be typed comes with the snapshot that follows.
    await _until(lambda: _open(app, prompt.id), 1.0)
    can_type = _typed_prompt(app, prompt.id) is not None
    return await app.push_screen_wait(NotReadScreen(words, can_type=can_type))


def _key(prompt: PromptView) -> str:
    return prompt.id.partition("/")[2]


def _open(app: BedsideApp, prompt_id: str) -> bool:
    return app.view is not None and app.view.prompt(prompt_id) is not None


def _typed_prompt(app: BedsideApp, scan_id: str) -> PromptView | None:
    """The way to type what this scan could not read, for its first or its second person."""
    phase, _, key = scan_id.partition("/")
    named = (f"{phase}/typed:{key}", f"{phase}/typed:{key}.verify")
    prompts = app.view.snapshot.prompts if app.view is not None else []
    return next((one for one in prompts if one.id in named and one.typed), None)


async def _heard(news: ScanNews) -> None:
    """Wait for what follows from an answer; it is told before the answer is, or there is nothing."""
    await _until(lambda: news.settled, SETTLED_AFTER_S * 2)


async def _until(holds: Any, seconds: float) -> bool:
    ends_s = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends_s:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return True


# ── Type ───────────────────────────────────────────────────────────────────────────────


async def type_label(app: BedsideApp, prompt: PromptView) -> None:
    """One of two people types a label; the engine's words when it cannot be, a tick when both agree."""
    values = await _typed_values(app, prompt)
    if values is None:
        return
    key = _key(prompt).removeprefix("typed:").removesuffix(".verify")
    refusal = ""
    while True:
        proof = None
        if prompt.needs != "session":
            proof = await flows.collect_proof(app, prompt, refusal)
            if proof is None:
                return
        news = app.scan_news = ScanNews(prompt.phase, key)
        try:
            body = {"prompt": prompt.id, "values": values}
            outcome = await app.ask("answer", body, key=f"answer:{prompt.id}", proof=proof)
            if isinstance(outcome, Accepted) and proof is not None:
                await _heard(news)
        finally:
            app.scan_news = None
        if isinstance(outcome, Accepted):
            return await _typed_result(app, prompt, news)
        refusal = outcome.words
        if proof is None or app.view is None or app.view.prompt(prompt.id) is None:
            return await flows.tell(app, outcome)


async def _typed_values(app: BedsideApp, prompt: PromptView) -> dict[str, str] | None:
    """One screen a part; "Back" goes back one part, and out of the first."""
    values: dict[str, str] = {}
    place = 0
    while place < len(prompt.fields):
        name = prompt.fields[place].name
        number = wording.FIELD_OF.format(number=place + 1, count=len(prompt.fields))
        if name not in typed_entry.PARTS:
            return None  # a part that this screen does not know cannot be judged here
        screen = TypedScreen(
            name,
            number=number if len(prompt.fields) > 1 else "",
            go_on=place + 1 < len(prompt.fields),
        )
        value = await app.push_screen_wait(screen)
        if value is None:
            if place == 0:
                return None
            place -= 1
            continue
        values[name] = value
        place += 1
    return values


async def _typed_result(app: BedsideApp, prompt: PromptView, news: ScanNews) -> None:
    if news.differed:
        await app.push_screen_wait(RefusalScreen(news.differed, full_stop=False))
    elif prompt.needs == "session":
        app.notice(wording.TYPED_FIRST)
    else:
        await _result(app, prompt, news)


# ── A look outside a batch ─────────────────────────────────────────────────────────────


async def aimed(
    app: BedsideApp, title: str, words: str, asked: asyncio.Future[Accepted | Refused]
) -> Accepted | Refused | None:
    """Show the camera until the unit has answered; None when the person does not wait for it."""
    aiming = app.view.snapshot.aiming if app.view is not None else ""
    screen = ScanScreen(title, words, aiming=aiming)
    ended = app.push_screen(screen, wait_for_dismiss=True)
    either: set[asyncio.Future[Any]] = {asked, ended}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        return None
    screen.dismiss(None)
    await ended
    return asked.result()


# ── Badge ──────────────────────────────────────────────────────────────────────────────


async def show_badge(app: BedsideApp) -> tuple[str, str] | None:
    """A badge before the camera, as (what the engine takes, what the screen calls it); the PIN follows."""
    seen = await _looked_for(app, "staff", wording.SHOW_BADGE, wording.SHOW_BADGE_WORDS)
    return (seen[0], seen[1] or wording.BADGE_NAME) if seen is not None else None


async def show_equipment(app: BedsideApp) -> str:
    """The id of the device whose label is shown; empty when the person goes back."""
    seen = await _looked_for(app, "equipment", wording.SHOW_EQUIPMENT, wording.SHOW_EQUIPMENT_WORDS)
    return seen[0] if seen is not None else ""


async def _looked_for(app: BedsideApp, of: str, title: str, words: str) -> tuple[str, str] | None:
    while True:
        aiming = app.view.snapshot.aiming if app.view is not None else ""
        screen = ScanScreen(title, words, aiming=aiming)
        ended = app.push_screen(screen, wait_for_dismiss=True)
        outcome = await app.ask("read_badge", {"of": of}, key="badge")
        if isinstance(outcome, Refused):
            screen.dismiss(None)
            await flows.tell(app, outcome)
            return None
        scan_id, started = str(outcome.result["scan"]), False
        while not ended.done():
            seen = app.view.snapshot.badge if app.view is not None else None
            if seen is not None and seen.scan == scan_id:
                if seen.state != "looking":
                    break
                if not started:
                    started = True
                    screen.begins(float(seen.left_s), float(seen.left_s))
            await asyncio.sleep(LOOK_EVERY_S)
        by_person = ended.done()
        if not by_person:
            screen.dismiss(None)
            await ended
        seen = app.view.snapshot.badge if app.view is not None else None
        await app.ask("forget_badge", {}, key="badge")
        if by_person or seen is None:
            return None
        if seen.state == "read":
            app.bell()
            return seen.badge, seen.name
        if await app.push_screen_wait(NotReadScreen(seen.words, can_type=False)) != "again":
            return None
