"""The signed documents of this unit: people, approved recipes, orders. Each is verified when read."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from appliance.access.documents import THRESHOLDS, DocumentRefused, load, refuse_lower_version, verify
from appliance.access.keys import Trust
from appliance.access.people import People
from appliance.access.recipe_approval import ApprovedRecipe, check_recipe_approval
from appliance.access.template_approval import ApprovedTemplate, check_template_approval
from appliance.config import Home
from appliance.domain import label_templates
from appliance.domain.batch import Order
from appliance.domain.errors import ApplianceError
from appliance.domain.recipe import Recipe, parse
from appliance.domain.recipe_check import check
from vision.labels.label_template import LabelTemplate, TemplateRefused, read_template

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShelvedRecipe:
    """An approved recipe with the envelope's exact bytes."""

    recipe: Recipe
    approved: ApprovedRecipe
    envelope: bytes


@dataclass(frozen=True, slots=True)
class ShelvedTemplate:
    """An approved label template with the envelope's exact bytes."""

    template: LabelTemplate
    approved: ApprovedTemplate
    envelope: bytes

    def told(self, blob: str) -> dict[str, str]:
        """What a batch freezes of it."""
        return {
            "version": str(self.template.version),
            "kind": self.template.head.kind,
            "hash": self.approved.hash,
            "template_blob": blob,
            "signers": ", ".join(self.approved.signers),
        }


@dataclass(frozen=True, slots=True)
class ShelvedOrder:
    """A signed order with its exact text and the envelope's bytes."""

    order: Order
    text: str
    envelope: bytes


@dataclass(slots=True)
class Shelf:
    """What is on the shelf, and in `refused` what lies there but may not be used, with the reason."""

    people: People
    people_envelope: bytes
    recipes: dict[str, ShelvedRecipe] = field(default_factory=dict)
    orders: dict[str, ShelvedOrder] = field(default_factory=dict)
    label_templates: dict[str, ShelvedTemplate] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)  # file → (reason, words)


def load_shelf(home: Home, trust: Trust) -> Shelf:
    """Read and verify every document.

    Raises
    ------
    DocumentRefused
        The people document cannot be used: without it nobody can act on this unit.
    """
    people = People.from_envelope(load(home.people), root_keys=trust.root)
    shelf = Shelf(people, home.people.read_bytes())
    for path in sorted(home.recipes.glob("*.json")):
        _shelve(shelf, path, lambda path: _load_recipe(shelf, path))
    for path in sorted(home.label_templates.glob("*.json")):
        _shelve(shelf, path, lambda path: _load_template(shelf, path))
    for path in sorted(home.orders.glob("*.json")):
        _shelve(shelf, path, lambda path: _load_order(shelf, path, trust))
    return shelf


def _shelve(shelf: Shelf, path: Path, load_one: object) -> None:
    assert callable(load_one)
    try:
        load_one(path)
    except (ApplianceError, DocumentRefused) as refusal:
        shelf.refused[path.name] = (getattr(refusal, "reason", "refused"), str(refusal))
        _logger.warning("%s is not used: %s", path.name, refusal)


def _load_recipe(shelf: Shelf, path: Path) -> None:
    approved = check_recipe_approval(load(path), shelf.people)
    recipe = parse(approved.content)
    faults = check(recipe)
    if faults:
        raise DocumentRefused("recipe_faults", f"This recipe breaks rules: {' '.join(faults[:5])}")
    shelf.recipes[recipe.id] = ShelvedRecipe(recipe, approved, path.read_bytes())


def _load_template(shelf: Shelf, path: Path) -> None:
    """The newest approved version of each template; an older one beside it is refused."""
    approved = check_template_approval(load(path), shelf.people)
    template = read_approved(approved)
    other = shelf.label_templates.get(template.id)
    if other is not None and other.template.version == template.version:
        raise DocumentRefused(
            "version_twice",
            f"Two label templates {template.id} of version {template.version} lie on this unit. "
            "The first one is used; take one away.",
        )
    newest = max((template, *([other.template] if other else [])), key=lambda each: each.version)
    if newest is template:
        shelf.label_templates[template.id] = ShelvedTemplate(template, approved, path.read_bytes())
    refuse_lower_version("label_template", template.version, newest.version)


def read_approved(approved: ApprovedTemplate) -> LabelTemplate:
    """The template of an approved text.

    Raises
    ------
    DocumentRefused
        Two people signed what cannot be printed by.
    """
    try:
        template = read_template(approved.content)
        faults = label_templates.lacking(template.head.kind, template.fields, template.fixed_words)
    except TemplateRefused as refused:
        faults = refused.faults
    if faults:
        raise DocumentRefused("template_faults", f"This label template breaks rules: {' '.join(faults[:5])}")
    return template


def _load_order(shelf: Shelf, path: Path, trust: Trust) -> None:
    content = verify(
        load(path),
        allowed={"central": frozenset(trust.central)},
        threshold=THRESHOLDS["order"],
        document_type="order",
    )
    try:
        order = Order.from_text(content.decode("utf-8"))
    except (KeyError, ValueError, ArithmeticError) as fault:
        raise DocumentRefused("garbled", f"This order cannot be read: {fault}. Ask for it again.") from fault
    shelf.orders[order.id] = ShelvedOrder(order, content.decode("utf-8"), path.read_bytes())


def blob_name(data: bytes) -> str:
    """The name under which a file is stored."""
    return hashlib.sha256(data).hexdigest()
