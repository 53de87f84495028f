"""The two lines at the top of every screen: where we are, what time it is, what is safe on disk."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tui import local_time, wording
from tui.view import View
from tui.widgets.words import Words, ellipsis

FIRST_LINE: Final = ("unit", "batch", "phase", "time", "trust")
SECOND_LINE: Final = ("recorded", "central", "alarm", "simulated")


def _central(view: View, *, narrow: bool) -> str:
    sync = view.snapshot.sync
    if sync.last_acknowledged_at is None:
        return wording.BEHIND_NEVER.format(behind=sync.behind)
    age_s = (view.utc - sync.last_acknowledged_at).total_seconds()
    age = local_time.largest_unit_words(age_s) if narrow else local_time.duration_words(age_s)
    words = wording.BEHIND if sync.behind else wording.AT_CENTRAL
    return words.format(behind=sync.behind, age=age)


def _alarm(view: View) -> str:
    standing = [alarm for alarm in view.alarms if alarm.state != "cleared"] or view.alarms
    if not standing:
        return wording.NO_ALARM
    highest = standing[0].priority
    return wording.ALARM_COUNT.format(
        marker=wording.PRIORITY_MARKERS[highest],
        priority=wording.PRIORITY_WORDS[highest],
        count=len(view.alarms),
    )


def _time(view: View) -> str:
    utc = wording.UTC.format(time=local_time.utc_words(view.utc))
    local = local_time.local_words(view.utc, view.snapshot.unit.time_zone)
    return f"{utc} {local}" if local else utc


def _batch(view: View) -> str:
    batch, unit = view.snapshot.batch, view.snapshot.unit
    if batch is None:
        return wording.NO_BATCH
    # The unit's name stands beside it; a number that begins with it is told without it.
    return wording.BATCH.format(id=batch.id.removeprefix(unit.id).lstrip("-") or batch.id)


def _trust(view: View, *, narrow: bool) -> str:
    if view.snapshot.time_trust == "trusted":
        return wording.TRUSTED_SHORT if narrow else wording.TIME_TRUSTED
    return wording.UNTRUSTED_SHORT if narrow else wording.TIME_UNTRUSTED


def strip_fields(view: View, *, narrow: bool) -> dict[str, str]:
    """Make the text of each field of the strip; a narrow one says the same in fewer characters."""
    snapshot, batch = view.snapshot, view.snapshot.batch
    return {
        "unit": snapshot.unit.id,
        "batch": _batch(view),
        "phase": wording.PHASE.format(number=batch.phase_number, count=batch.phase_count) if batch else "",
        "time": _time(view),
        "trust": _trust(view, narrow=narrow),
        "recorded": wording.NOT_RECORDED
        if snapshot.record.words
        else wording.RECORDED.format(seq=snapshot.record.seq),
        "central": _central(view, narrow=narrow),
        "alarm": _alarm(view),
        "simulated": wording.SIMULATED if snapshot.unit.simulated else "",
    }


class StatusStrip(Vertical):
    """A row of fixed fields; a text too long for its field ends in `…`, never silently."""

    def compose(self) -> ComposeResult:
        with Horizontal(classes="line"):
            for name in FIRST_LINE:
                yield Words(id=f"strip-{name}", classes="field")
        with Horizontal(classes="line"):
            for name in SECOND_LINE:
                yield Words(id=f"strip-{name}", classes="field")

    def show(self, view: View | None) -> None:
        """Fill the fields; with no view, say that the engine is away."""
        fields = (
            strip_fields(view, narrow=self.screen.has_class("narrow"))
            if view
            else {"unit": wording.ENGINE_AWAY_FIELD}
        )
        for words in self.query(Words):
            name = str(words.id).removeprefix("strip-")
            text = fields.get(name, "")
            words.say(ellipsis(text, words.size.width) if words.size.width else text)
        self.set_class(bool(view and view.snapshot.time_trust != "trusted"), "untrusted")
