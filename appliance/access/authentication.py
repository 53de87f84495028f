"""Is this the person? Three parts, so that the slow one (Argon2) runs beside the engine's loop.

`prepare` says which verifier to try, `verify_secret` tries it, `conclude` counts the outcome.
`authenticate` does all three in one go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.access.errors import SignInRefused
from appliance.access.lockouts import STRANGER, Factor, Lockouts, factor_of
from appliance.access.people import People, Person
from appliance.access.secret_hash import dummy_verifier


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `verifier` is a dummy for a stranger, so that time does not tell who is on the list."""

    person: Person | None
    factor: Factor
    verifier: str

    @property
    def person_id(self) -> str:
        return self.person.id if self.person is not None else STRANGER


class Authentication:
    """Who is here, by the newest people document and the lock-outs."""

    def __init__(self, people: People, lockouts: Lockouts) -> None:
        self.people, self.lockouts = people, lockouts
        self._checking: set[str] = set()

    def prepare(self, handle: str, *, for_what: str = "sign_in", now_s: float) -> Attempt:
        """Find the verifier for an id, badge or name; each attempt must be concluded or dropped.

        Raises
        ------
        SignInRefused
            `locked_out` or `delayed` (also while another attempt for this person is being checked:
            guesses sent side by side must not outrun the counter).
        """
        person, factor = self.people.find(handle), factor_of(for_what)
        person_id = person.id if person is not None else STRANGER
        self.lockouts.refuse_early(person_id, now_s)
        if person_id in self._checking:
            raise SignInRefused("delayed", "Wait 1 s, then try again.", person=person_id)
        self._checking.add(person_id)
        verifier = "" if person is None else (person.pin if factor == "pin" else person.password)
        return Attempt(person, factor, verifier or dummy_verifier(self._any_verifier()))

    def conclude(self, attempt: Attempt, correct: bool, *, now_s: float) -> Person:
        """Count the outcome and return the person.

        Raises
        ------
        SignInRefused
            `wrong_secret`, `unknown_person`, or `not_permitted` for an account that is not active.
        """
        self.drop(attempt)
        person, person_id = attempt.person, attempt.person_id
        if person is None or not correct:
            failures, locked = self.lockouts.failed(person_id, attempt.factor, now_s)
            reason = "unknown_person" if person is None else "wrong_secret"
            words = self._words_of_failure(attempt.factor, failures, locked)
            raise SignInRefused(reason, words, person=person_id, failures=failures, locked=locked)
        self.lockouts.succeeded(person_id, attempt.factor)
        if not person.active:
            raise SignInRefused(
                "not_permitted", "This account is not active. Call the administrator.", person=person_id
            )
        return person

    def drop(self, attempt: Attempt) -> None:
        """The attempt was never checked (the worker died); nothing is counted."""
        self._checking.discard(attempt.person_id)

    def authenticate(
        self,
        handle: str,
        secret: str,
        verify: Callable[[str, str], bool],
        *,
        for_what: str = "sign_in",
        now_s: float,
    ) -> Person:
        """All three parts; `verify(verifier, secret)` is `verify_secret` with the unit's PIN secret."""
        attempt = self.prepare(handle, for_what=for_what, now_s=now_s)
        try:
            correct = verify(attempt.verifier, secret)
        finally:
            self.drop(attempt)
        return self.conclude(attempt, correct, now_s=now_s)

    def _words_of_failure(self, factor: Factor, failures: int, locked: bool) -> str:
        what = "PIN" if factor == "pin" else "password"
        if locked:
            return (
                f"The {what} was wrong {failures} times. This account is locked. Call the administrator; "
                "STOP works without signing in."
            )
        wait_s = self.lockouts.rules.delay_s(failures)
        return f"Name or {what} is not right. Wait {wait_s:.0f} s, then try again."

    def _any_verifier(self) -> str | None:
        people = self.people.people
        return next((one for person in people for one in (person.pin, person.password) if one), None)
