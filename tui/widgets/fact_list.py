"""The raw facts a person looks at before deciding."""

from __future__ import annotations

from appliance.link.messages import FactView
from tui.widgets.words import Words

OUT_OF_LIMIT = "◀ OUT OF LIMIT"


def facts_text(facts: list[FactView]) -> str:
    """Align labels and values; a value off its limit is marked in words."""
    label_room = max((len(fact.label) for fact in facts), default=0)
    return "\n".join(
        f"{fact.label:<{label_room}}  {fact.value}{'  ' + OUT_OF_LIMIT if fact.out_of_limit else ''}"
        for fact in facts
    )


class FactList(Words):
    """Facts, one a line; hidden when there are none."""

    def show(self, facts: list[FactView]) -> None:
        """Show these facts."""
        self.display = bool(facts)
        self.say(facts_text(facts))
