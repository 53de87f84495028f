"""The raw facts a person looks at before deciding."""

from __future__ import annotations

from textual.events import Resize

from appliance.link.messages import FactView
from tui import local_time, wording
from tui.widgets.words import Words, hanging


def facts_text(facts: list[FactView], width: int) -> str:
    """Align labels and values; a value off its limit is marked in words."""
    marks = {True: f"  {wording.OUT_OF_LIMIT}", False: ""}
    rows = [(fact.label, local_time.readable(fact.value) + marks[fact.out_of_limit]) for fact in facts]
    return hanging(rows, width)


class FactList(Words):
    """Facts, one a line; hidden when there are none."""

    def __init__(self, facts: list[FactView] | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._facts = facts or []
        self.display = bool(self._facts)

    def show(self, facts: list[FactView]) -> None:
        """Show these facts."""
        self._facts = facts
        self.display = bool(facts)
        self.say(facts_text(facts, self.content_size.width or 40))

    def on_resize(self, _event: Resize) -> None:
        """Wrap afresh."""
        self.show(self._facts)
