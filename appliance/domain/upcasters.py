"""Events of earlier versions, read as today's: each step takes a body from one version to the next.

The stored bytes never change; what is hashed, signed and exported is what was written. A field that
was only added needs no step: its default says what an older event means by its silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from appliance.domain import events as ev
from appliance.domain.errors import ApplianceError

Body = dict[str, Any]
Step = Callable[[Body], Body]

# (kind, version of the body) → the same facts as the next version tells them. A step stays for ever,
# and each event class whose fields were renamed, removed or given another meaning has its VERSION raised.
UPCASTERS: Mapping[tuple[str, int], Step] = {}


class NewerThanThisSoftware(ApplianceError, ValueError):
    """An event was written by a later version: guessing what it means could decide wrongly."""

    reason = "newer_than_this_software"

    def __init__(self, kind: str, version: int, known: int) -> None:
        super().__init__(
            f"The record holds {kind} in version {version}; this software knows it up to version {known}. "
            "Nothing is lost. Install the software that wrote it, or a later one."
        )


def todays_body(
    kind: str, version: int, body: Body, steps: Mapping[tuple[str, int], Step] = UPCASTERS
) -> Body:
    """The facts of a stored event under today's names.

    A kind or version that this software does not know is returned as it is, to be kept and shown.
    """
    while (step := steps.get((kind, version))) is not None:
        body, version = step(body), version + 1
    return body


def event_of(
    kind: str, version: int, body: Body, steps: Mapping[tuple[str, int], Step] = UPCASTERS
) -> ev.Event | None:
    """A stored event as the domain folds it, None for a kind that it does not know.

    Raises
    ------
    NewerThanThisSoftware
        The kind is known, in an earlier version only.
    msgspec.ValidationError
        The body is not of its kind.
    """
    known = ev.KINDS.get(kind)
    if known is None:
        return None
    if version > known.VERSION:
        raise NewerThanThisSoftware(kind, version, known.VERSION)
    return ev.from_body(kind, todays_body(kind, version, body, steps))
