"""What access refuses, and why. `str(error)` is what the operator reads; `reason` is a stable key.

AccessRefused
├── DocumentRefused      a signed document is unsigned, altered, by the wrong key, stale …
├── KeyRefused           a key file is unreadable, unprotected or of the wrong kind
├── PeopleRefused        the people document breaks a rule (two ids alike, administrator as QA …)
├── SignInRefused        a PIN or password was wrong, the account is locked, or it is too early
├── NotPermitted         the person may not do this: role, own act, inactive
└── SignatureRefused     a signature was asked for with an unknown meaning or by nobody
"""

from __future__ import annotations


class AccessRefused(Exception):
    """Something was refused; `str(error)` says what is so and what to do."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason = reason
        super().__init__(words)


class DocumentRefused(AccessRefused):
    """A signed document cannot be used."""


class KeyRefused(AccessRefused):
    """A key or a key file cannot be used."""


class PeopleRefused(AccessRefused):
    """The list of people breaks a rule of `SAFETY`."""


class NotPermitted(AccessRefused):
    """This person may not do this act."""


class SignatureRefused(AccessRefused):
    """A signature cannot be given as asked."""
