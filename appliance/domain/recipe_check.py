"""Proofs on a recipe before anybody signs it: what a phase needs is there, no phase is dead or endless."""

from __future__ import annotations

from appliance.domain import isbt128
from appliance.domain.errors import QuantityRefused
from appliance.domain.label_templates import printed_by
from appliance.domain.label_wording import faults_of_settings
from appliance.domain.phases import LOGIC
from appliance.domain.recipe import Phase, Recipe
from appliance.domain.roles import ROLES
from appliance.domain.stock import catalogue_key

SAFE_STATES = frozenset({"stop", "keep"})
# Limits that a value must reach; every other one is a value's ceiling.
AT_LEAST = frozenset(
    {
        "cells_per_replicate", "viability", "recovery", "purity_out_percent", "arrival_temperature_min",
        "dose_temperature_min",
    }
)  # fmt: skip
PRODUCT_TYPES = frozenset(
    {
        "thaw", "transfer", "operator_device", "sample", "count_cells", "print_label",
        "print_in_process_label", "print_sample_label",
    }
)  # fmt: skip


def check(recipe: Recipe) -> list[str]:
    """All faults, each with its place and what to write; empty when the recipe may be signed."""
    faults: list[str] = []
    for operation, (_, unit_procedure) in recipe.operations.items():
        if unit_procedure not in recipe.unit_procedures:
            faults.append(f"operation.{operation}: unit procedure '{unit_procedure}' is not in the recipe.")
    for phase in recipe.phases.values():
        faults += _phase_faults(recipe, phase)
    faults += _order_faults(recipe)
    faults += _ending_faults(recipe)
    faults += _alternate_faults(recipe)
    # What follows from the order and the values is proven on a recipe whose parts are all there.
    return faults or [*_sequence_faults(recipe), *_value_faults(recipe), *_label_faults(recipe)]


def _phase_faults(recipe: Recipe, phase: Phase) -> list[str]:
    place, faults = f"phase.{phase.id}", list[str]()
    if phase.operation not in recipe.operations:
        faults.append(f"{place}: operation '{phase.operation}' is not in the recipe.")
    logic = LOGIC.get(phase.type)
    if logic is None:
        return [*faults, f"{place}: type '{phase.type}' is not known; known are {', '.join(sorted(LOGIC))}."]
    for name, unit in logic.parameters(phase).items():
        if name not in phase.parameters:
            faults.append(f"{place}.parameter: '{name}' in {unit} is missing.")
            continue
        try:
            phase.amount(name, unit)
        except QuantityRefused as error:
            faults.append(f"{place}.parameter.{name}: {error}")
    for name, unit in logic.limits(phase).items():
        faults += _limit_faults(phase, name, unit)
    faults += [
        f"{place}.instruction: '{key}' is missing."
        for key in logic.INSTRUCTIONS
        if key not in phase.instruction
    ]
    faults += [f"{place}.text: '{key}' is missing." for key in logic.TEXTS if key not in phase.text]
    if phase.results and not logic.ASKS_RESULTS:
        faults.append(f"{place}.result: a phase of type '{phase.type}' asks for no results of the recipe.")
    for role in logic.ROLES:
        if role not in phase.uses:
            faults.append(f"{place}.uses: a {role} is needed.")
        if phase.safe_state.get(role) not in SAFE_STATES:
            faults.append(f"{place}.safe_state: write stop or keep for the {role}.")
    faults += [
        f"{place}.verify: '{key}' is no instruction that a second person can verify here."
        for key in phase.verify
        if key not in logic.VERIFIABLE
    ]
    faults += [
        f"{place}.roles: '{role}' is not known; known are {', '.join(ROLES)}."
        for role in phase.roles
        if role not in ROLES
    ]
    faults += [
        f"{place}.material: '{name}' is not a material of the recipe."
        for name in phase.materials
        if name not in recipe.materials
    ]
    return faults


def _limit_faults(phase: Phase, name: str, unit: str) -> list[str]:
    limit = phase.limits.get(name)
    if limit is None or limit.action is None:
        return [f"phase.{phase.id}.limit: '{name}' in {unit} with an action is missing."]
    place, sign = f"phase.{phase.id}.limit.{name}", ">=" if name in AT_LEAST else "<="
    # Only the recipe knows which way a result of its own is bad.
    own = name not in AT_LEAST and name in {field.name for field in phase.results}
    if limit.bound != sign and not own:
        return [f"{place}: begin with '{sign} '; '{limit.bound}' turns this limit round."]
    try:
        action = limit.action.in_unit(unit)
        if limit.alert is not None and limit.crossed_level(limit.alert.in_unit(unit), unit) == "action":
            return [f"{place}: the alert lies beyond the action limit {limit.bound} {action} {unit}."]
    except QuantityRefused as error:
        return [f"{place}: {error}"]
    return []


def _sequence_faults(recipe: Recipe) -> list[str]:
    """Line clearance and the bag's identity come before all that touches product; the seal covers it all."""
    phases = recipe.phases.values()
    clearance, bag, seal, hand_over = (
        next(phase for phase in phases if phase.type == kind)
        for kind in ("line_clearance", "scan_bag", "seal", "hand_over")
    )
    faults: list[str] = []
    for phase in phases:
        before = _all_before(recipe, phase)
        if phase is not clearance and clearance.id not in before:
            faults.append(f"phase.{phase.id}: must come after the line clearance '{clearance.id}'.")
        sampled = any(recipe.phases[one].type == "sample" for one in before)
        if phase.type == "print_sample_label" and not sampled:
            faults.append(f"phase.{phase.id}: must come after a phase that takes a sample.")
        if phase.type in PRODUCT_TYPES and bag.id not in before:
            faults.append(f"phase.{phase.id}: must come after the bag is identified in '{bag.id}'.")
        if phase not in (seal, hand_over) and phase.id not in _all_before(recipe, seal):
            faults.append(f"phase.{seal.id}: must come after '{phase.id}', or nobody signs for it.")
    if seal.id not in _all_before(recipe, hand_over):
        faults.append(f"phase.{hand_over.id}: must come after the seal '{seal.id}'.")
    return faults


def _all_before(recipe: Recipe, phase: Phase) -> set[str]:
    """The phases that are complete when this one starts."""
    found: set[str] = set()
    waiting = list(phase.after)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += recipe.phases[name].after
    return found


def _value_faults(recipe: Recipe) -> list[str]:
    return [fault for phase in recipe.phases.values() for fault in LOGIC[phase.type].faults(phase)]


def _label_faults(recipe: Recipe) -> list[str]:
    """A label that cannot be printed is found before a batch stands before it."""
    if not printed_by(recipe):
        return []
    settings = recipe.settings
    code, kind = settings.get("description_code", ""), settings.get("collection_type", "0")
    try:
        isbt128.product_text(code, kind, settings.get("division", "00"))
    except isbt128.LabelRefused:
        return [
            "recipe: description_code, collection_type and division do not make an ISBT 128 product code."
        ]
    return faults_of_settings(settings)


def _alternate_faults(recipe: Recipe) -> list[str]:
    """One catalogue number stands for one material, or a scan would not tell which it is."""
    faults, owners = list[str](), dict[str, str]()
    for material in recipe.materials.values():
        for number in (material.catalogue, *material.alternates):
            owner = owners.setdefault(catalogue_key(number), material.id)
            if owner != material.id:
                faults.append(f"material.{material.id}: '{number}' is a number of '{owner}' already.")
        numbers = [catalogue_key(one) for one in (material.catalogue, *material.alternates)]
        if len(set(numbers)) < len(numbers) or "" in numbers:
            faults.append(f"material.{material.id}.alternates: name each number once, and none empty.")
    return faults


def _order_faults(recipe: Recipe) -> list[str]:
    faults = [
        f"phase.{phase.id}: follows '{before}', which is not in the recipe."
        for phase in recipe.phases.values()
        for before in phase.after
        if before not in recipe.phases
    ]
    done: set[str] = set()
    while True:
        ready = {p.id for p in recipe.phases.values() if p.id not in done and set(p.after) <= done}
        if not ready:
            break
        done |= ready
    faults += [f"phase.{name}: can never start." for name in recipe.phases if name not in done]
    return faults


def _ending_faults(recipe: Recipe) -> list[str]:
    types = [phase.type for phase in recipe.phases.values()]
    faults = [
        f"A recipe has exactly one phase of type '{kind}'; this one has {types.count(kind)}."
        for kind in ("line_clearance", "scan_bag", "seal", "hand_over")
        if types.count(kind) != 1
    ]
    used = {name for phase in recipe.phases.values() for name in phase.materials}
    faults += [f"material.{name}: no phase scans it." for name in recipe.materials if name not in used]
    unused = set(recipe.operations) - {phase.operation for phase in recipe.phases.values()}
    return [*faults, *(f"operation.{name}: no phase belongs to it." for name in sorted(unused))]
