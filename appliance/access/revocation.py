"""The signed revocation: everybody who may not act any longer, whatever the list of people says."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import msgspec

from appliance.access.canonical import canonical_json
from appliance.access.errors import DocumentRefused


class Revoked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    person: str
    reason: str


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest version holds alone: it names all who are revoked."""

    version: int
    issued_at: datetime
    revoked: tuple[Revoked, ...] = ()

    @classmethod
    def from_content(cls, content: bytes) -> Self:
        """Read content bytes; raises `DocumentRefused`."""
        try:
            revocation = msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DocumentRefused("garbled", f"The revocation cannot be read: {error}.") from error
        if revocation.version < 1:
            raise DocumentRefused("version", "The revocation needs a version of 1 or more.")
        return revocation

    def to_content(self) -> bytes:
        """The bytes to sign."""
        return canonical_json(msgspec.to_builtins(self))

    @property
    def people(self) -> dict[str, str]:
        """Person → reason."""
        return {one.person: one.reason for one in self.revoked}
