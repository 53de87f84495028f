"""What one version of the list of people makes different from the one before (R-19, R-35)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from appliance.access.people import People, Person


def changes_between(before: People | None, after: People) -> Iterator[dict[str, Any]]:
    """Each account that was created, changed or removed, with the names of the fields that changed.

    A secret shows as changed and never as itself.
    """
    known = {person.id: person for person in before.people} if before is not None else {}
    for person in after.people:
        earlier = known.pop(person.id, None)
        if earlier is None:
            yield _change("created", person, [])
        elif fields := _differing(earlier, person):
            yield _change("changed", person, fields)
    for person in known.values():
        yield _change("removed", person, [])


def _change(what: str, person: Person, fields: list[str]) -> dict[str, Any]:
    return {
        "change": what,
        "id": person.id,
        "name": person.name,
        "roles": list(person.roles),
        "fields": fields,
    }


def _differing(before: Person, after: Person) -> list[str]:
    one, other = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return [name for name in one if one[name] != other[name]]
