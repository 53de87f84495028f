"""What a batch's record says of the unit before it, so that it can be decided again by itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from appliance.domain import consent, label_templates, materials, print_test
from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec, Order, Unit, bag_key
from appliance.domain.issued_labels import RULES_FROM
from appliance.domain.recipe import Recipe
from appliance.domain.stock import Stock

COUNTS_TOLD = 3  # the same, of the qualification of counting methods
FITNESS_TOLD = 2  # the first `BatchOpened.rules` by which a batch's record tells of its devices' fitness
ALARM_FIELDS = ("alarm", "priority", "title", "cause", "action", "phase")


def before(unit: Unit, order: Order, recipe: Recipe, rules: int) -> dict[str, Any]:
    """The fields of `BatchOpened` about the unit as it is when the batch opens."""
    used_in = unit.used_bags.get(bag_key(order.din, order.description_code, order.division), "")
    return {
        "bench": [_device(unit, spec, rules) for spec in unit.devices.values()],
        "unit_before": {
            "term": str(unit.term),
            "stop_count": str(unit.stop_count),
            "batch_count": str(unit.batch_count),
            "time_confirmed": "yes" if unit.time_confirmed else "no",
            "bag_used_in": used_in,
            **(_counting(unit) if rules >= COUNTS_TOLD else {}),
            **(_labels(unit) if rules >= RULES_FROM else {}),
            **(print_test.told(unit) if rules >= RULES_FROM else {}),
            **(_materials(unit, recipe) if rules >= materials.RULES_FROM else {}),
            **(consent.told(unit, order) if rules >= consent.RULES_FROM else {}),
            **(label_templates.told(unit) if rules >= label_templates.RULES_FROM else {}),
        },
        "open_alarms": [
            {name: getattr(raised, name) for name in ALARM_FIELDS} | {"state": state, "at": at.isoformat()}
            for raised, state, at in unit.alarms.values()
        ],
    }


def _device(unit: Unit, spec: DeviceSpec, rules: int) -> dict[str, str]:
    state = "silent" if spec.id in unit.silent else ""
    if spec.id in unit.qualified:
        state = f"{state} {'qualified' if unit.qualified[spec.id] else 'not_qualified'}".strip()
    said = {
        "id": spec.id,
        "role": spec.role,
        "title": spec.title,
        "serial_number": spec.serial_number,
        "state": state,
    }
    return said | (_fitness(unit, spec) if rules >= FITNESS_TOLD else {})


def _fitness(unit: Unit, spec: DeviceSpec) -> dict[str, str]:
    """What is known of a device's fitness; what there is not is not said."""
    device, standing = spec.id, unit.qualifications.get(spec.id)
    days = {
        "firmware": spec.firmware,
        "calibrated_until": unit.calibrated_until.get(device, ""),
        "qualified_until": unit.qualified_until.get(device, ""),
    }
    known = {
        "identity": unit.identities.get(device),
        "qualification": asdict(standing) if standing is not None else None,
        "warned_on": {key: day for key, day in unit.warned_on.items() if key.startswith(f"{device}:")},
        "wear": {memory: total for (worn, memory), total in unit.wear.items() if worn == device},
    }
    return {name: day for name, day in days.items() if day} | {
        name: json.dumps(one, sort_keys=True) for name, one in known.items() if one
    }


def _counting(unit: Unit) -> dict[str, str]:
    """How the counting methods were qualified; what there is not is not said."""
    known = {method: asdict(one) for method, one in unit.count_qualifications.items()}
    warned = {key: day for key, day in unit.warned_on.items() if key.startswith("count.")}
    told = {"count_qualifications": known, "count_warned_on": warned}
    return {name: json.dumps(one, sort_keys=True) for name, one in told.items() if one}


def _materials(unit: Unit, recipe: Recipe) -> dict[str, str]:
    """What there is of the materials that the recipe takes; of others only how many receipts there were."""
    told = unit.stock.told(materials.catalogues_of(recipe))
    return {"materials": json.dumps(told, sort_keys=True)} if told != {"received": 0} else {}


def _labels(unit: Unit) -> dict[str, str]:
    """The labels that were never found, of which the line clearance reminds."""
    return {"missing_labels": json.dumps(unit.missing_labels, sort_keys=True)} if unit.missing_labels else {}


def _know_counting(unit: Unit, said: dict[str, str]) -> None:
    for method, one in json.loads(said.get("count_qualifications", "{}")).items():
        unit.count_qualifications[method] = ev.CountMethodQualified(**one)
    unit.warned_on |= json.loads(said.get("count_warned_on", "{}"))


def _know(unit: Unit, one: dict[str, str]) -> None:
    """What a batch's record says of a device's fitness before it."""
    device = one["id"]
    for name, days in (
        ("calibrated_until", unit.calibrated_until),
        ("qualified_until", unit.qualified_until),
    ):
        if one.get(name):
            days[device] = one[name]
    if "identity" in one:
        unit.identities[device] = json.loads(one["identity"])
    if "qualification" in one:
        unit.qualifications[device] = ev.DeviceQualified(**json.loads(one["qualification"]))
    unit.warned_on |= json.loads(one.get("warned_on", "{}"))
    unit.wear |= {(device, memory): total for memory, total in json.loads(one.get("wear", "{}")).items()}


def unit_before(unit_id: str, opened: ev.BatchOpened) -> Unit:
    """The unit as `BatchOpened` tells it: enough for this batch, not all that the unit knew.

    Accounts and orders made earlier are not in it: who was allowed to act was decided then.
    """
    devices = {
        one["id"]: DeviceSpec(
            one["id"], one["role"], one["title"], one["serial_number"], one.get("firmware", "")
        )
        for one in opened.bench
    }
    unit = Unit(unit_id, opened.simulated, devices)
    said = opened.unit_before
    unit.term, unit.stop_count = int(said["term"]), int(said["stop_count"])
    unit.batch_count, unit.time_confirmed = int(said["batch_count"]), said["time_confirmed"] == "yes"
    unit.cleanly_stopped = False
    unit.people.partial = True
    for one in opened.bench:
        state = one["state"].split()
        if "silent" in state:
            unit.silent.add(one["id"])
        if "qualified" in state or "not_qualified" in state:
            unit.qualified[one["id"]] = "qualified" in state
        _know(unit, one)
    for one in opened.open_alarms:
        raised = ev.AlarmRaised(**{name: one[name] for name in ALARM_FIELDS})
        unit.alarms[raised.alarm] = (raised, one["state"], datetime.fromisoformat(one["at"]))
    _know_counting(unit, said)
    unit.missing_labels |= json.loads(said.get("missing_labels", "{}"))
    unit.stock = Stock.from_told(json.loads(said.get("materials", "{}")))
    consent.know(unit, said)
    label_templates.know(unit, said)
    if said["bag_used_in"]:
        order = Order.from_text(opened.order_text)
        unit.used_bags[bag_key(order.din, order.description_code, order.division)] = said["bag_used_in"]
    return unit
