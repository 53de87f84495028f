"""Where the batch is: one segment a phase, and the current one in words."""

from __future__ import annotations

from typing import Final

from tui import wording
from tui.view import View
from tui.widgets.words import Words, ellipsis

# One mark a state, so that the track reads without colour.
MARKS: Final = {
    "complete": "━",
    "running": "█",
    "holding": "‖",
    "held": "‖",
    "restarting": "█",
    "stopping": "■",
    "stopped": "■",
    "aborting": "✕",
    "aborted": "✕",
}


def track_text(states: list[str], width: int) -> str:
    """Draw each phase as a segment: `━━━ ███ ┄┄┄`."""
    if not states:
        return ""
    cells = max(1, (width - len(states) + 1) // len(states))
    return " ".join(MARKS.get(state, "┄") * cells for state in states)


class PhaseTrack(Words):
    """The track, and below it the phase that is active with what it is doing."""

    def show(self, view: View) -> None:
        """Draw the open batch's phases."""
        batch = view.snapshot.batch
        if batch is None:
            self.say("")
            return
        width = max(20, self.size.width or 60)
        active = [phase for phase in batch.phases if phase.state not in ("idle", "complete")]
        lines = [track_text([phase.state for phase in batch.phases], width)]
        for phase in active[:2]:
            place = wording.UNIT_PROCEDURE.format(
                unit_procedure=phase.unit_procedure, operation=phase.operation
            )
            words = wording.PHASE_STATE.format(title=phase.title, state=phase.words or phase.state)
            lines.append(ellipsis(f"{words}   ({place})", width))
        if not active:
            lines.append(ellipsis(f"{batch.recipe_title}: {batch.state.replace('_', ' ')}", width))
        self.say("\n".join(lines))
