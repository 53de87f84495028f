"""Proofs on a recipe before anybody signs it: what a phase needs is there, no phase is dead or endless."""

from __future__ import annotations

from appliance.domain.errors import QuantityRefused
from appliance.domain.phases import LOGIC
from appliance.domain.recipe import Phase, Recipe

SAFE_STATES = frozenset({"stop", "keep"})


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
    return faults


def _phase_faults(recipe: Recipe, phase: Phase) -> list[str]:
    place, faults = f"phase.{phase.id}", list[str]()
    if phase.operation not in recipe.operations:
        faults.append(f"{place}: operation '{phase.operation}' is not in the recipe.")
    logic = LOGIC.get(phase.type)
    if logic is None:
        return [*faults, f"{place}: type '{phase.type}' is not known; known are {', '.join(sorted(LOGIC))}."]
    for name, unit in logic.PARAMETERS.items():
        if name not in phase.parameters:
            faults.append(f"{place}.parameter: '{name}' in {unit} is missing.")
            continue
        try:
            phase.amount(name, unit)
        except QuantityRefused as error:
            faults.append(f"{place}.parameter.{name}: {error}")
    for name, unit in logic.LIMITS.items():
        faults += _limit_faults(phase, name, unit)
    faults += [
        f"{place}.instruction: '{key}' is missing."
        for key in logic.INSTRUCTIONS
        if key not in phase.instruction
    ]
    faults += [f"{place}.text: '{key}' is missing." for key in logic.TEXTS if key not in phase.text]
    for role in logic.ROLES:
        if role not in phase.uses:
            faults.append(f"{place}.uses: a {role} is needed.")
        if phase.safe_state.get(role) not in SAFE_STATES:
            faults.append(f"{place}.safe_state: write stop or keep for the {role}.")
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
    try:
        limit.action.in_unit(unit)
    except QuantityRefused as error:
        return [f"phase.{phase.id}.limit.{name}: {error}"]
    return []


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
