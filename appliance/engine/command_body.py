"""What a command's body must hold, checked before anything is decided."""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.domain.errors import NotPlausible
from appliance.link.messages import Command, Proof

TEXT_LENGTH_MAX = 2_000


def text_of(command: Command, name: str) -> str:
    """A text that must be there."""
    value = command.body.get(name)
    if not isinstance(value, str) or not value or len(value) > TEXT_LENGTH_MAX:
        raise NotPlausible(f"'{name}' is missing. Do it again from the screen.")
    return value


def whole_of(command: Command, name: str) -> int:
    """A whole number that must be there."""
    value = command.body.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotPlausible(f"'{name}' must be a whole number.")
    return value


def proof_of(command: Command, words: str) -> Proof:
    """The proof that must come with the command; `words` say what is missing."""
    if command.proof is None:
        raise NotPlausible(words)
    return command.proof


def utc_of(text: str) -> datetime:
    """A time in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NotPlausible(f"'{text[:40]}' is not a time such as 2026-03-02T08:00:00Z.") from None
    if moment.utcoffset() != timedelta(0):
        raise NotPlausible("Give the reference time in UTC, such as 2026-03-02T08:00:00Z.")
    return moment
