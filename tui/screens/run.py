"""The main screen: phase track, one instruction, devices and timers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from appliance.link.messages import FactView, PromptView
from tui import local_time, wording
from tui.screens.chrome import BedsideScreen
from tui.view import View
from tui.widgets.device_panel import DevicePanel
from tui.widgets.fact_list import FactList
from tui.widgets.phase_track import PhaseTrack
from tui.widgets.timer_panel import TimerPanel
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words

# A second tap meant for the last instruction must not answer the next one, which has its button
# in the same place.
SETTLE_S: Final = 0.7
SIGN_IN: Final = ("sign_in", wording.SIGN_IN_FIRST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the instruction card says, and what its button would do."""

    key: str
    title: str
    instruction: str
    expects: str = ""
    button: str = ""
    act: str = ""  # answer | watch | sign_in | release | restart | nothing
    facts: list[FactView] = field(default_factory=list)


def _button_words(prompt: PromptView) -> str:
    if prompt.button:
        return prompt.button
    return {
        "scan": wording.SCAN,
        "enter": wording.ENTER_VALUES,
        "import": wording.CHOOSE_FILE,
        "review": wording.LOOK_AT_COUNT,
        "sign": wording.SIGN_BUTTON,
    }.get(prompt.kind, wording.ENTER)


def _expects(view: View, prompt: PromptView) -> str:
    """What symbol is awaited, or until when a second person."""
    if prompt.until is not None:
        left = local_time.duration_words((prompt.until - view.utc).total_seconds())
        return wording.SECOND_WITHIN.format(left=left)
    return wording.EXPECTS.format(words=prompt.expects) if prompt.expects else ""


def _prompt_card(view: View, prompt: PromptView) -> Card:
    if prompt.kind == "wait":
        button, act = "", "nothing"
    elif view.snapshot.person is None:
        button, act = wording.SIGN_IN_FIRST, "sign_in"
    elif view.busy(f"scan:{prompt.id}"):
        button, act = wording.SCANNING, "answer"
    elif view.busy(f"answer:{prompt.id}") or view.busy(f"import:{prompt.id}"):
        button, act = wording.ASKING, "answer"
    else:
        button, act = _button_words(prompt), "answer"
    return Card(
        key=f"{prompt.id} {act}",
        title=prompt.title,
        instruction=prompt.instruction,
        expects=_expects(view, prompt),
        button=button,
        act=act,
        facts=prompt.facts,
    )


def card_for(view: View, chosen: int) -> Card:
    """Choose the one thing that a person should read now: a stop, the prompt, a hold, or nothing."""
    snapshot, batch = view.snapshot, view.snapshot.batch
    signed_in = snapshot.person is not None
    if snapshot.stop_latched:
        act, button = ("release", wording.RELEASE_STOP) if signed_in else SIGN_IN
        return Card(
            key=f"stop {act}",
            title=wording.STOPPED_TITLE,
            instruction=wording.STOPPED_WORDS,
            button=button,
            act=act,
        )
    if snapshot.scan is not None and signed_in:
        return Card(
            key=f"scan {snapshot.scan.id}",
            title=wording.SCAN_RUNS,
            instruction="",
            button=wording.SHOW_CAMERA,
            act="watch",
        )
    if snapshot.prompts:
        return _prompt_card(view, snapshot.prompts[chosen % len(snapshot.prompts)])
    if batch is not None and batch.state == "held":
        act, button = ("restart", wording.RESTART) if signed_in else SIGN_IN
        return Card(
            key=f"held {act}",
            title=wording.HELD_TITLE,
            instruction=wording.HELD_WORDS,
            button=button,
            act=act,
        )
    if batch is None:
        return Card(key="no batch", title=wording.RUNS_NONE, instruction="", act="nothing")
    if batch.state != "running":
        title = wording.BATCH_ENDED.format(state=batch.state.replace("_", " "))
        decided = wording.DISPOSITION.format(disposition=batch.disposition.replace("_", " "))
        following = wording.BATCH_NEXT.get(batch.state, "")
        told = f"{decided}\n\n{following}" if batch.disposition else following
        return Card(key=batch.state, title=title, instruction=told, act="nothing")
    working = [
        f"{phase.title}: {phase.words}" for phase in batch.phases if phase.state == "running" and phase.words
    ]
    words = "\n".join([wording.NOTHING_TO_DO_WORDS, *working])
    return Card(key="idle", title=wording.NOTHING_TO_DO, instruction=words, act="nothing")


class RunScreen(BedsideScreen[None]):
    """One instruction at a time, with everything needed to follow it in view."""

    PLACE = "run"

    def __init__(self) -> None:
        super().__init__()
        self._chosen = 0
        self._card_key = ""
        self._card_since_s = 0.0
        self._act = "nothing"

    def compose_body(self) -> ComposeResult:
        yield PhaseTrack(id="track")
        with Horizontal(id="run"):
            with Vertical(id="card"):
                yield Words(id="prompt-title", classes="title")
                yield Words(id="prompt-instruction")
                yield Words(id="prompt-expects")
                yield FactList(id="prompt-facts")
            with Vertical(id="tiles"):
                yield TimerPanel(id="timers")
                yield DevicePanel(id="devices")
        with Horizontal(classes="actions"):
            yield TouchButton("", id="act", role="primary", disabled=True)
            yield TouchButton(wording.HOLD, id="hold")
            yield TouchButton(wording.RESTART, id="restart")
            yield TouchButton(wording.MORE, id="more")
            yield TouchButton("", id="next")

    def show(self, view: View) -> None:
        card = card_for(view, self._chosen)
        if card.key != self._card_key:
            self._card_key, self._card_since_s = card.key, time.monotonic()
        self._act = card.act
        self.query_one(PhaseTrack).show(view)
        self.query_one("#prompt-title", Words).say(card.title)
        self.query_one("#prompt-instruction", Words).say(card.instruction)
        expects = self.query_one("#prompt-expects", Words)
        expects.say(card.expects)
        expects.display = bool(card.expects)
        self.query_one(FactList).show(card.facts)
        self.query_one(DevicePanel).show(view)
        self.query_one(TimerPanel).show(view)
        self._show_actions(view, card)

    def _show_actions(self, view: View, card: Card) -> None:
        batch, prompts = view.snapshot.batch, view.snapshot.prompts
        act = self.query_one("#act", TouchButton)
        act.say(card.button)
        act.display = card.act != "nothing"
        settled = time.monotonic() - self._card_since_s >= SETTLE_S
        act.disabled = not settled or bool(view.in_flight - {"stop"})
        signed_in, held = view.snapshot.person is not None, batch is not None and batch.state == "held"
        running = batch is not None and batch.state == "running"
        self.query_one("#hold").display = signed_in and running and card.act != "release"
        self.query_one("#hold").disabled = view.busy("hold")
        self.query_one("#restart").display = signed_in and held and card.act not in ("restart", "release")
        self.query_one("#restart").disabled = view.busy("restart")
        self.query_one("#more").display = signed_in and batch is not None
        following = self.query_one("#next", TouchButton)
        following.display = len(prompts) > 1 and not view.snapshot.stop_latched
        following.say(wording.MORE_INSTRUCTIONS.format(count=len(prompts)))

    @on(TouchButton.Pressed)
    def tapped(self, event: TouchButton.Pressed) -> None:
        """Turn a tap into an intent."""
        event.stop()
        match event.button.id:
            case "act":
                event.button.disabled = True
                self._do_act()
            case "hold":
                self.bedside.start_hold()
            case "restart":
                self.bedside.start_restart()
            case "more":
                self.bedside.start_more()
            case "next":
                self._chosen += 1
                self.follow()

    def _do_act(self) -> None:
        view = self.bedside.view
        if view is None:
            return
        match self._act:
            case "sign_in":
                self.bedside.start_sign_in()
            case "release":
                self.bedside.start_release()
            case "restart":
                self.bedside.start_restart()
            case "watch":
                self.bedside.start_watch()
            case "answer":
                prompts = view.snapshot.prompts
                self.bedside.start_answer(prompts[self._chosen % len(prompts)])
