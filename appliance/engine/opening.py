"""What must be verified before a batch opens: signed order, approved recipe, room on the disk."""

from __future__ import annotations

import asyncio

from appliance.build import build_hash
from appliance.domain import count_fitness, label_templates
from appliance.domain.decisions import Opening
from appliance.domain.errors import CommandRefused
from appliance.engine.port import EnginePort
from appliance.engine.shelf import Shelf, ShelvedOrder, ShelvedRecipe, ShelvedTemplate, load_shelf
from appliance.engine.vision_client import VisionAway, VisionRefused
from appliance.record.disk import disk_level

MEDIA_TYPE = "application/json"
METHODS_DEADLINE_S = 12.0  # sooner than whoever asked gives up waiting


async def opening_of(engine: EnginePort, order_id: str) -> Opening:
    """Read the shelf anew, verify, and keep the exact documents as files of the record.

    Raises
    ------
    CommandRefused
        The order or recipe is missing, unsigned or altered; the disk has no room for a batch.
    """
    level = disk_level(engine.record.folder)
    if not level.may_start:
        raise CommandRefused(level.words, reason="record_full")
    # Read anew, so that what is verified is what lies on the disk at this moment.
    shelf = load_shelf(engine.home, engine.trust)
    order, recipe = _order(shelf, order_id), _recipe(shelf, order_id)
    # The list of people that is in force, which a newer one on the disk is not before the next start.
    people = engine.shelf.people_envelope
    names = [await _keep(engine, data) for data in (recipe.envelope, order.envelope, people)]
    templates = _templates(shelf, recipe)
    kept = {one.template.id: await _keep(engine, one.envelope) for one in templates}
    config = engine.config
    return Opening(
        order=order.order,
        order_text=order.text,
        order_blob=names[1],
        recipe=recipe.recipe,
        recipe_text=recipe.approved.text,
        recipe_signers=list(recipe.approved.signers),
        recipe_blob=names[0],
        people_blob=names[2],
        people_version=engine.shelf.people.version,
        software_version=engine.software_version,
        clock_speed=str(config.unit.clock_speed),
        site=config.unit.site_words,
        time_zone=config.unit.time_zone,
        second_person_within_min=config.session.second_person_within_min,
        station=config.station.told,
        build_hash=build_hash(),
        count_methods=await methods_told(engine, count_fitness.methods_of(recipe.recipe)),
        label_templates={one.template.id: one.told(kept[one.template.id]) for one in templates},
    )


async def methods_told(engine: EnginePort, methods: list[str]) -> list[dict[str, str]]:
    """Id, version and hash of counting methods, as the program that counts tells them.

    Raises
    ------
    CommandRefused
        It does not tell: nobody knows which version would count.
    """
    if not methods:
        return []
    try:
        async with asyncio.timeout(METHODS_DEADLINE_S):
            told = await engine.vision.ask("methods", methods=methods)
    except TimeoutError as late:
        words = "The counting program is still starting. Try again in a moment."
        raise CommandRefused(words, reason="vision_away") from late
    except (VisionAway, VisionRefused) as why:
        raise CommandRefused(str(why), reason="vision_away") from why
    return [{name: str(one[name]) for name in ("id", "version", "hash")} for one in told["methods"]]


async def _keep(engine: EnginePort, data: bytes) -> str:
    reference = await engine.journal.in_writer(engine.record.put_blob, data, MEDIA_TYPE)
    return str(reference.sha256)


def _order(shelf: Shelf, order_id: str) -> ShelvedOrder:
    order = shelf.orders.get(order_id)
    if order is None:
        _, words = shelf.refused.get(f"{order_id}.json", ("", "It is not on this unit."))
        raise CommandRefused(f"Order {order_id} cannot be made. {words}", reason="order_refused")
    return order


def _templates(shelf: Shelf, recipe: ShelvedRecipe) -> list[ShelvedTemplate]:
    """The approved templates that the recipe prints by; refused with the reason where one is not."""
    named = label_templates.printed_by(recipe.recipe)
    for name in named:
        if name not in shelf.label_templates and f"{name}.json" in shelf.refused:
            _, words = shelf.refused[f"{name}.json"]
            raise CommandRefused(
                f"The label template {name} cannot be used. {words} Call QA.", reason="label_template_missing"
            )
    return [shelf.label_templates[name] for name in named if name in shelf.label_templates]


def _recipe(shelf: Shelf, order_id: str) -> ShelvedRecipe:
    wanted = shelf.orders[order_id].order.recipe
    recipe = shelf.recipes.get(wanted)
    if recipe is None:
        _, words = shelf.refused.get(f"{wanted}.json", ("", "It is not on this unit."))
        raise CommandRefused(f"The recipe {wanted} cannot be used. {words}", reason="recipe_not_approved")
    return recipe
