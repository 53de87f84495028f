"""Record: what is safe on disk here, and what central has."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from tui import local_time, wording
from tui.screens.chrome import BedsideScreen
from tui.view import View
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words, hanging


def _grouped(text: str) -> str:
    """A hash in groups of eight, for reading aloud."""
    groups = [text[place : place + 8] for place in range(0, len(text), 8)]
    return "\n".join(" ".join(groups[row : row + 4]) for row in range(0, len(groups), 4))


def _central_words(view: View) -> str:
    sync = view.snapshot.sync
    if sync.last_acknowledged_at is None:
        return wording.RECORD_NEVER.format(behind=sync.behind)
    age = local_time.duration_words((view.utc - sync.last_acknowledged_at).total_seconds())
    return wording.RECORD_ACKNOWLEDGED.format(seq=sync.acknowledged_seq, behind=sync.behind, age=age)


def record_rows(view: View) -> list[tuple[str, str]]:
    """Label and words of each row."""
    record, unit, batch = view.snapshot.record, view.snapshot.unit, view.snapshot.batch
    written = (
        f"{record.committed_at:%Y-%m-%d %H:%M:%S} UTC" if record.committed_at else wording.RECORD_NOT_YET
    )
    deviations = "\n".join(batch.deviations) if batch and batch.deviations else wording.RECORD_NO_DEVIATIONS
    return [
        (wording.RECORD_SEQ, str(record.seq)),
        (wording.RECORD_HASH, _grouped(record.hash)),
        (wording.RECORD_AT, written),
        (wording.RECORD_CENTRAL, _central_words(view)),
        (wording.RECORD_DEVIATIONS, deviations),
        (wording.RECORD_UNIT, f"{unit.id}, {unit.site}{', ' + wording.SIMULATED if unit.simulated else ''}"),
        (wording.RECORD_SOFTWARE, f"{unit.software_version}, term {unit.term}"),
        (
            wording.RECORD_CLOCK,
            wording.CLOCK_WORDS.format(trust=f"time {view.snapshot.time_trust}", speed=unit.clock_speed),
        ),
    ]


class RecordScreen(BedsideScreen[None]):
    """The head of the record, for the person and for the inspector beside them."""

    PLACE = "record"

    def compose_body(self) -> ComposeResult:
        yield Words(wording.RECORD_TITLE, classes="title")
        yield Words(id="record-state")
        yield Words(id="record-rows")
        with Horizontal(classes="actions"):
            yield TouchButton(wording.SIGNATURES, id="signatures")
            yield TouchButton(wording.ENTERED, id="entered")

    @on(TouchButton.Pressed)
    def tapped(self, event: TouchButton.Pressed) -> None:
        """Show who signed what, or what was typed."""
        event.stop()
        self.bedside.start_list("signatures" if event.button.id == "signatures" else "entered")

    def show(self, view: View) -> None:
        self.query_one("#record-state", Words).say(view.snapshot.record.words or wording.RECORD_GOOD)
        self.query_one("#record-state").set_class(bool(view.snapshot.record.words), "wrong")
        rows = self.query_one("#record-rows", Words)
        rows.say(hanging(record_rows(view), rows.content_size.width or 70))
        for button in self.query(TouchButton):
            if button.id in ("signatures", "entered"):
                button.display = view.snapshot.batch is not None
