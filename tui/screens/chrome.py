"""What every screen has: status strip, alarm banner, rail with STOP, and a line for notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
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


class BedsideScreen(Screen[Result]):
    """A screen inside the frame that never changes. Subclasses fill the body and follow the view."""

    AUTO_FOCUS = ""
    PLACE = ""
    # In the middle of something the rail offers "Back", which ends the screen without a result.
    IS_FLOW = False
    IS_BARE = False
    BODY_CLASSES = ""

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
        self.query_one("#notice", Words).say(self.bedside.notice_text)
        if view is not None:
            self.show(view)

    def tick(self) -> None:
        """Let clocks and ages go on."""
        self.refresh_view()
        self.query_one(AlarmBanner).tick()

    @on(ScreenResume)
    def _resumed(self) -> None:
        # Fields know their width only after the first layout.
        self.call_after_refresh(self.refresh_view)

    @on(Resize)
    def _resized(self, event: Resize) -> None:
        self.set_class(event.size.height < SHORT_ROWS, "short")
        self.set_class(event.size.height >= TALL_ROWS, "tall")
        self.set_class(event.size.width < 90, "narrow")
        self.call_after_refresh(self.refresh_view)

    @on(Rail.Went)
    def _went(self, event: Rail.Went) -> None:
        if event.place == "back":
            event.stop()
            self.dismiss(None)

    @on(Rail.Armed)
    def _armed(self) -> None:
        self.bedside.notice(wording.STOP_ARMED)
