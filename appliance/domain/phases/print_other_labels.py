"""Print labels that are not the product's own: a container in process, a sample tube.

They are drawn, applied, scanned back and reconciled by serial as the product's label is; none of them
names the product, so none of them can be handed over.
"""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.issued_label_fields import issue, next_label
from appliance.domain.issued_labels import Issued
from appliance.domain.label_fields import TEST_TUBE, in_process_fields, sample_fields
from appliance.domain.label_templates import PRINTING, TEMPLATE_TEXT
from appliance.domain.phase_logic import Context, hold
from appliance.domain.phases.print_label import PrintLabel


class _OtherLabel(PrintLabel):
    PARAMETERS: dict[str, str] = {}
    INSTRUCTIONS = ("apply", "reconcile")
    PACKS = False

    def template(self, c: Context) -> str:
        return c.phase.text.get(TEMPLATE_TEXT, PRINTING[self.TYPE])

    def shown_as(self, label: Issued) -> str:
        return f"show label {label.id}"

    def _names_product(self, c: Context, label: Issued) -> bool:
        return False


class PrintInProcessLabel(_OtherLabel):
    """The label of a container, on it before the product moves into it (FACT-JACIE D7)."""

    TYPE = "print_in_process_label"
    TEXTS = ("stage",)

    def requests(self, c: Context, copy: int) -> list[ev.Event]:
        settings, order = c.batch.recipe.settings, c.batch.order
        fields = in_process_fields(
            order,
            settings,
            batch=f"{c.batch.id}, label {next_label(c).rpartition('-')[2]}",
            stage=c.phase.text["stage"],
            made_at=c.run.started_at or c.now,
            time_zone=c.batch.opened.time_zone,
            product=settings.get("product", c.batch.recipe.title),
            site=c.batch.opened.site,
            storage=c.phase.text.get("storage", ""),
        )
        identity = {
            "din": order.din,
            "description_code": settings.get("description_code", ""),
            "division": settings.get("division", "00"),
        }
        return [issue(c, copy, template=self.template(c), fields=fields, identity=identity)]


class PrintSampleLabel(_OtherLabel):
    """The label of the newest sample's tube; its flag says that it is no bag."""

    TYPE = "print_sample_label"
    TEXTS = ("test",)

    def requests(self, c: Context, copy: int) -> list[ev.Event]:
        taken = c.batch.last(ev.SampleTaken)
        if taken is None:
            return hold(c, "no_sample", "No sample was taken yet, so its tube cannot be labelled.")
        fields = sample_fields(
            c.batch.order,
            sample=taken[1].sample_id,
            test=c.phase.text["test"],
            batch=c.batch.id,
            taken_at=taken[0].at,
            time_zone=c.batch.opened.time_zone,
        )
        identity = {"din": c.batch.order.din}
        return [issue(c, copy, template=self.template(c), fields=fields, identity=identity, flags=TEST_TUBE)]
