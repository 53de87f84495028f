"""Which label templates a batch prints by: approved, frozen when it opens, never an older version again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.domain.batch import Batch, Unit
from appliance.domain.errors import CommandRefused
from appliance.domain.label_wording import IDENTIFY, MAY_TRANSMIT
from appliance.domain.recipe import Recipe

RULES_FROM = 4  # the first `BatchOpened.rules` by which only approved templates are printed
FINAL, IN_PROCESS, SAMPLE = "dose", "in_process", "sample"
# The phase types that print, and by which template where the recipe names none.
PRINTING = {"print_label": FINAL, "print_in_process_label": IN_PROCESS, "print_sample_label": SAMPLE}
TEMPLATE_TEXT = "template"  # the phase's setting that names another one

_STATEMENTS = ("autologous_statement", "donor_statement", "biohazard_statement")
_DIN = ("din_text", "din_readable", "din_check", "compound_text")


@dataclass(frozen=True, slots=True)
class Minimum:
    """What must have a place on a label of a kind."""

    fields: tuple[str, ...]
    words: tuple[str, ...] = ()


# The minimum label (FACT-JACIE, in LABELS.md's table; 21 CFR 1271.370): affixed items, and what T19 asks for.
MINIMUM: Mapping[str, Minimum] = {
    "final_product": Minimum(
        (
            *_DIN,
            "product_text",
            "product_readable",
            "product_code_readable",
            "division_readable",
            "patient_readable",
            "coi_readable",
            "batch_readable",
            "volume_readable",
            "storage_readable",
            "expiry_readable",
            "expiry_utc_readable",
            "facility_readable",
            *_STATEMENTS,
        ),
        (IDENTIFY, MAY_TRANSMIT),
    ),
    "in_process": Minimum(
        (
            *_DIN,
            "product_readable",
            "stage_readable",
            "patient_readable",
            "coi_readable",
            "batch_readable",
            "made_readable",
            *_STATEMENTS,
        ),
        (MAY_TRANSMIT,),
    ),
    "sample": Minimum((*_DIN, "sample_readable", "test_readable", "taken_readable", "patient_readable")),
    "bag": Minimum((*_DIN, "product_text", "product_readable", "patient_readable", "expiry_readable")),
    "wristband": Minimum(("coi_text", "coi_readable", "patient_readable")),
    "order": Minimum(("coi_text", "coi_readable", "order_readable", "patient_readable")),
    "material": Minimum(("compound_text", "catalogue_readable", "lot_readable", "expiry_readable")),
    "badge": Minimum(("staff_text", "staff_readable", "name_readable")),
    "print_test": Minimum(("linear_text", "head_text", "foot_text", "printer_readable", "printed_readable")),
}


def lacking(kind: str, fields: Collection[str], words: Collection[str]) -> list[str]:
    """What a template of this kind has no place for, in words; empty when it may be approved."""
    wanted = MINIMUM[kind]
    said = [f"A {kind.replace('_', ' ')} label needs a place for {name}." for name in wanted.fields]
    faults = [fault for fault, name in zip(said, wanted.fields, strict=True) if name not in fields]
    return faults + [f'It must say "{each}".' for each in wanted.words if each not in words]


def printed_by(recipe: Recipe) -> list[str]:
    """The templates that a recipe prints by, each once."""
    printing = (phase for phase in recipe.phases.values() if phase.type in PRINTING)
    return sorted({phase.text.get(TEMPLATE_TEXT, PRINTING[phase.type]) for phase in printing})


def refuse_unfit(unit: Unit, recipe: Recipe, templates: Mapping[str, Mapping[str, str]]) -> None:
    """A batch that could not label its product does not begin.

    Raises
    ------
    CommandRefused
        A template that the recipe prints by is not approved on this unit, or is older than one that was.
    """
    for name in printed_by(recipe):
        if name not in templates:
            raise CommandRefused(
                f"The label template {name} is not approved on this unit, so the product could not be "
                "labelled. Ask QA for the approved one.",
                reason="label_template_missing",
            )
    for name, one in sorted(templates.items()):
        used, offered = unit.label_templates.get(name, 0), int(one["version"])
        if offered < used:
            raise CommandRefused(
                f"The label template {name} is version {offered}; this unit printed by version {used} "
                "already. Ask QA for the newest one.",
                reason="label_template_older",
            )


def frozen(batch: Batch, name: str) -> dict[str, str]:
    """What the batch froze of a template; empty in a batch of before."""
    return dict(batch.opened.label_templates.get(name, {}))


def version_and_hash(batch: Batch, name: str) -> dict[str, str]:
    """The fields of `LabelRequested` that say by which template a label is drawn."""
    one = frozen(batch, name)
    return {"template_version": one.get("version", ""), "template_hash": one.get("hash", "")}


# ── What the unit remembers ────────────────────────────────────────────────────────────────


def told(unit: Unit) -> dict[str, str]:
    """What a batch's record says of it; what there is not is not said."""
    known = unit.label_templates
    return {"label_templates": json.dumps(known, sort_keys=True)} if known else {}


def know(unit: Unit, said: Mapping[str, Any]) -> None:
    """What a batch's record says of the unit before it."""
    unit.label_templates.update(json.loads(said.get("label_templates", "{}")))
