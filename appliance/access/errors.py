"""What access refuses, and why. `str(error)` is what the operator reads; `reason` is a stable key.

ApplianceError (appliance.domain.errors)
└── AccessRefused
    ├── DocumentRefused      a signed document is unsigned, altered, by the wrong key, stale …
    ├── IdentityRefused      a patient's identity is locked or cannot be opened
    ├── KeyRefused           a key file is unreadable, unprotected or of the wrong kind
    ├── PeopleRefused        the people document breaks a rule (two ids alike, administrator as QA …)
    ├── SignInRefused        a PIN or password was wrong, the account is locked, or it is too early
    └── SignatureRefused     a signature was asked for with an unknown meaning or by nobody
"""

from __future__ import annotations

from appliance.domain.errors import ApplianceError


class AccessRefused(ApplianceError):
    """Something was refused; `str(error)` says what is so and what to do."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason = reason
        super().__init__(words)


class DocumentRefused(AccessRefused):
    """A signed document cannot be used."""


class KeyRefused(AccessRefused):
    """A key or a key file cannot be used."""


class IdentityRefused(AccessRefused):
    """An identity cannot be opened; the words never say whose it is."""


class PeopleRefused(AccessRefused):
    """The list of people breaks a rule."""


class SignInRefused(AccessRefused):
    """A person was not recognised, or may not try now.

    `person` is empty when nobody of that name is known: what was typed instead of a name may
    be a PIN and is never kept. `reason` is `wrong_secret`, `unknown_person`, `locked_out`,
    `delayed` or `not_permitted`.
    """

    def __init__(
        self, reason: str, words: str, *, person: str = "", failures: int = 0, locked: bool = False
    ) -> None:
        self.person, self.failures, self.locked = person, failures, locked
        super().__init__(reason, words)


class SignatureRefused(AccessRefused):
    """A signature cannot be given as asked."""
