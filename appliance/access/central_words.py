"""What central may say with its own signature: stop. A withdrawn consent, a recalled lot, a second use.

Central's key is enough for these because each of them only forbids (the safe side). None of them
can be turned round into a permission: what was stopped is taken up again by persons at the unit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, TypeVar

import msgspec

from appliance.access.canonical import canonical_json
from appliance.access.documents import THRESHOLDS, Envelope, verify
from appliance.access.errors import DocumentRefused
from appliance.access.people import People

TEXT_LENGTH_MAX = 500
USES_MAX = 100


class CentralWord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part that all of them have; `id` and `version` tell one from the next of the same thing."""

    TYPE: ClassVar[str] = ""

    id: str
    version: int
    issued_at: datetime
    by: str  # person id at central; `central` for what it found by itself
    name: str
    reason: str

    def to_content(self) -> bytes:
        """The bytes to sign."""
        return canonical_json(msgspec.to_builtins(self))


class Withdrawal(CentralWord, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The patient withdrew a consent (F-011)."""

    TYPE: ClassVar[str] = "withdrawal"

    consent: str
    coi: str
    patient: str
    received_from: str
    withdrawn_at: datetime


class Recall(CentralWord, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No piece of this lot may be used (F-094)."""

    TYPE: ClassVar[str] = "recall"

    catalogue: str
    lot: str
    reference: str


class Use(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    unit: str
    batch: str


class Notice(CentralWord, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order, bag or hand-over stands in the records of more than one batch (SAFETY 9)."""

    TYPE: ClassVar[str] = "notice"

    subject: str  # order bag hand_over
    key: str
    uses: tuple[Use, ...]


class RecallLift(CentralWord, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recall is over, by a QA reviewer's own key; `version` is that of the recall which it ends.

    It allows nothing by itself: two persons at the unit may lift the recall once it is there.
    """

    TYPE: ClassVar[str] = "recall_lift"

    catalogue: str
    lot: str


W = TypeVar("W", bound=CentralWord)
KINDS: dict[str, type[CentralWord]] = {kind.TYPE: kind for kind in (Withdrawal, Recall, Notice)}


def read_word(envelope: Envelope, central_keys: tuple[str, ...]) -> CentralWord:
    """What central said, once its signature was checked over exactly these bytes; or `DocumentRefused`."""
    return _read(envelope, KINDS[envelope.type], {"central": frozenset(central_keys)})


def read_lift(envelope: Envelope, people: People) -> RecallLift:
    """That a recall is over, signed with a listed QA reviewer's own key; or `DocumentRefused`."""
    lift = _read(envelope, RecallLift, {"qa_reviewer": people.keys_of("qa_reviewer")})
    owners = {owner.person for one in envelope.signatures if (owner := people.key_owner(one.key)) is not None}
    if lift.by not in owners:
        raise DocumentRefused("wrong_person", "This names another person than its signature does. Tell QA.")
    return lift


def _read(envelope: Envelope, kind: type[W], allowed: Mapping[str, frozenset[str]]) -> W:
    content = verify(envelope, allowed=allowed, threshold=THRESHOLDS[envelope.type])
    try:
        word = msgspec.json.decode(content, type=kind)
        # A key written twice would let two readers read two things in the same bytes.
        canonical = canonical_json(json.loads(content)) == content
    except (ValueError, TypeError) as error:
        raise DocumentRefused(
            "garbled", f"This {envelope.type} cannot be read: {error}. Ask QA for it again."
        ) from error
    texts = [value for value in msgspec.to_builtins(word).values() if isinstance(value, str)]
    good = canonical and word.version >= 1 and word.id and all(len(one) <= TEXT_LENGTH_MAX for one in texts)
    if not good or (isinstance(word, Notice) and not 1 <= len(word.uses) <= USES_MAX):
        raise DocumentRefused(
            "garbled", f"This {envelope.type} is not written in the form that this unit reads. Ask QA."
        )
    return word
