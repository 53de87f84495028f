"""Line clearance: nothing of another patient is here. It comes before the first bag scan (SAFETY 9)."""

from __future__ import annotations

from dataclasses import replace

from appliance.domain import events as ev
from appliance.domain import label_reconciliation
from appliance.domain.phase_logic import (
    Context,
    Logic,
    complete,
    confirm,
    confirmed_by_two,
    two_person_prompts,
)
from appliance.domain.prompts import Prompt


class LineClearance(Logic):
    """Two different persons look at the whole station."""

    TYPE = "line_clearance"
    INSTRUCTIONS = ("clear",)
    VERIFIABLE = ("clear",)

    def prompts(self, c: Context) -> list[Prompt]:
        reminded = label_reconciliation.reminders(c)
        clear = replace(confirm(c, "clear", button="The line is clear"), facts=reminded)
        return two_person_prompts(c, clear, facts=lambda: reminded)

    def advance(self, c: Context) -> list[ev.Event]:
        if not confirmed_by_two(c, "clear"):
            return []
        performed, verified = c.run.confirmed("clear"), c.run.confirmed("clear.verify")
        assert performed is not None
        cleared = ev.LineCleared(
            phase=c.phase.id,
            performed_by=performed[0].actor,
            verified_by=verified[0].actor if verified else "",
        )
        return [cleared, *complete(c)]

    def words(self, c: Context) -> str:
        return "Waiting for two persons"
