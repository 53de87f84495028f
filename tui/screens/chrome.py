"""What every screen has: status strip, alarm banner, rail with STOP, and a line for notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.css.query import NoMatches
from textual.events import Resize, ScreenResume
from textual.screen import Screen

from tui import wording
from tui.view import View
from tui.widgets.alarm_banner import AlarmBanner
from tui.widgets.rail import Rail
from tui.widgets.status_strip import StatusStrip
from tui.widgets.words import Words

if TYPE_CHECKING:
    from tui.app import BedsideApp

Result = TypeVar("Result")

# Below and above these many rows a cell is so large, or so small, that touch sizes need other numbers.
SHORT_ROWS = 28
TALL_ROWS = 40
MISSES_MAX = 8


class BedsideScreen(Screen[Result]):
    """A screen inside the frame that never changes. Subclasses fill the body and follow the view."""

    AUTO_FOCUS = ""
    PLACE = ""
    # In the middle of something the rail offers "Back", which ends the screen without a result.
    IS_FLOW = False
    IS_BARE = False
    BODY_CLASSES = ""

    # Set once all widgets are there; before it and after the end there is nothing to fill.
    painted = False
    _misses = 0

    def compose(self) -> ComposeResult:
        yield StatusStrip(id="strip")
        with Horizontal(id="middle"):
            with Vertical(id="left"):
                yield AlarmBanner()
                with Container(id="body", classes=self.BODY_CLASSES):
                    yield from self.compose_body()
            yield Rail(place=self.PLACE, back=self.IS_FLOW, bare=self.IS_BARE)
        yield Words(id="notice")

    def compose_body(self) -> ComposeResult:
        """Yield what belongs to this screen alone."""
        yield from ()

    def show(self, view: View) -> None:
        """Follow the view; called at each change and four times a second."""

    @property
    def bedside(self) -> BedsideApp:
        """The app, by its own type."""
        return cast("BedsideApp", self.app)

    def refresh_view(self) -> None:
        """Show the app's newest view in the frame and in the body."""
        view = self.bedside.view
        self.query_one(StatusStrip).show(view)
        self.query_one(AlarmBanner).show(view)
        self.set_class(self.query_one(AlarmBanner).has_class("shown"), "alarmed")
        self.query_one("#notice", Words).say(self.bedside.notice_text)
        self.query_one("#notice").set_class(self.bedside.has_notice, "fresh")
        if view is not None:
            self.show(view)

    def follow(self, *, ticks: bool = False) -> None:
        """Show the newest view if the screen is whole; blink on a tick of the clock."""
        if not self.painted:
            return
        try:
            self.refresh_view()
            if ticks:
                self.query_one(AlarmBanner).tick()
        except NoMatches:
            # A screen that is being taken down loses its widgets before it hears of it. One that
            # stays like that would show old values as if they were fresh: rather fail.
            self._misses += 1
            if self._misses > MISSES_MAX:
                raise
        else:
            self._misses = 0

    @on(ScreenResume)
    def _resumed(self) -> None:
        # Fields exist, and know their width, only after the first layout.
        self.call_after_refresh(self._paint)

    def _paint(self) -> None:
        self.painted = self.is_attached
        self.follow()

    @on(Resize)
    def _resized(self, event: Resize) -> None:
        self.set_class(event.size.height < SHORT_ROWS, "short")
        self.set_class(event.size.height >= TALL_ROWS, "tall")
        self.set_class(event.size.width < 90, "narrow")
        self.call_after_refresh(self._paint)

    @on(Rail.Went)
    def _went(self, event: Rail.Went) -> None:
        if event.place == "back":
            event.stop()
            self.dismiss(None)

    @on(Rail.Armed)
    def _armed(self) -> None:
        self.bedside.notice(wording.STOP_ARMED)
