"""The signed roles document: permissions, meanings of signatures, and the rules for secrets (R-29).

It narrows the built-in tables and never widens them. The rules for secrets stand here and not in
`unit.toml`, for a weaker rule must need the offline root, and the same must hold on every unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Self

import msgspec

from appliance.access.canonical import canonical_json
from appliance.access.errors import DocumentRefused
from appliance.access.secret_hash import PASSWORD_CHARACTERS_MIN, PIN_DIGITS_MIN
from appliance.domain import events as ev
from appliance.domain.roles import MAY, MAY_MEAN, Table, narrowed, widened

BOUNDS: dict[str, tuple[int, int]] = {
    "pin_digits_min": (PIN_DIGITS_MIN, 16),
    "password_characters_min": (PASSWORD_CHARACTERS_MIN, 64),
    "pin_days_max": (0, 3650),
    "password_days_max": (0, 3650),
    "history": (0, 24),
}


class SecretRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Strength, age and history of PINs and passwords; 0 days means that they do not age."""

    pin_digits_min: int = PIN_DIGITS_MIN
    password_characters_min: int = PASSWORD_CHARACTERS_MIN
    pin_days_max: int = 0
    password_days_max: int = 0
    history: int = 5

    def as_dict(self) -> dict[str, int]:
        return {str(name): int(value) for name, value in msgspec.structs.asdict(self).items()}

    @classmethod
    def of(cls, values: Mapping[str, int]) -> SecretRules:
        """The rules that a record names; what it does not name is as built in."""
        return cls(**{name: value for name, value in values.items() if name in BOUNDS})


class SiteRoles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a site says about permissions; what it does not name holds as built in."""

    version: int
    issued_at: datetime
    permissions: dict[str, tuple[str, ...]] = {}
    meanings: dict[str, tuple[str, ...]] = {}
    secrets: SecretRules = SecretRules()

    @classmethod
    def from_content(cls, content: bytes) -> Self:
        """Read content bytes and check every rule; raises `DocumentRefused`."""
        try:
            roles = msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DocumentRefused("garbled", f"The roles document cannot be read: {error}.") from error
        roles.check()
        return roles

    def to_content(self) -> bytes:
        """The bytes to sign; checks every rule first."""
        self.check()
        return canonical_json(msgspec.to_builtins(self))

    def check(self) -> None:
        """Raises `DocumentRefused` when anything is wider than the built-in tables and bounds."""
        if self.version < 1:
            raise DocumentRefused("version", "The roles document needs a version of 1 or more.")
        faults = widened(_table(self.permissions), MAY) + widened(_table(self.meanings), MAY_MEAN)
        for name, value in self.secrets.as_dict().items():
            low, high = BOUNDS[name]
            if not low <= value <= high:
                faults.append(f"'{name}' is {value}, allowed are {low} to {high}")
        if faults:
            raise DocumentRefused(
                "widened", f"The roles document may narrow and never widen: {'; '.join(faults[:5])}."
            )

    def applied(self, document_hash: str) -> ev.RolesApplied:
        """The whole tables that hold, as the record keeps them."""
        return ev.RolesApplied(
            version=self.version,
            document_hash=document_hash,
            permissions=_listed(narrowed(_table(self.permissions), MAY)),
            meanings=_listed(narrowed(_table(self.meanings), MAY_MEAN)),
            secrets=self.secrets.as_dict(),
        )


def _table(named: Mapping[str, tuple[str, ...]]) -> Table:
    return {name: frozenset(roles) for name, roles in named.items()}


def _listed(table: Table) -> dict[str, list[str]]:
    return {name: sorted(roles) for name, roles in table.items()}
