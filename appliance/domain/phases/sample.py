"""Take one sample; its id goes with it to every result."""

from __future__ import annotations

from appliance.domain import custody
from appliance.domain import events as ev
from appliance.domain.phase_logic import Context, Logic, complete, confirm
from appliance.domain.prompts import Prompt
from appliance.domain.quantity import plain


class Sample(Logic):
    TYPE = "sample"
    PARAMETERS = {"volume": "mL"}
    INSTRUCTIONS = ("taken",)

    def prompts(self, c: Context) -> list[Prompt]:
        return [confirm(c, "taken", button="The sample is taken")] if not c.run.confirmed("taken") else []

    def advance(self, c: Context) -> list[ev.Event]:
        if c.run.confirmed("taken") is None:
            return []
        number = c.count_of(ev.SampleTaken) + 1
        taken = ev.SampleTaken(
            phase=c.phase.id,
            sample_id=f"{c.batch.id}-SMP{number}",
            volume_ml=plain(c.phase.amount("volume", "mL")),
            coi=c.batch.order.coi if c.batch.opened.rules >= custody.RULES_FROM else "",
        )
        return [taken, *complete(c)]

    def words(self, c: Context) -> str:
        return "Waiting for the sample"
