"""How often somebody was wrong, and what follows: a growing wait, then a locked account.

The counters are folded from the record, so that pulling the plug gives no fresh guesses. No clock
is read here: `now_s` is the caller's monotonic time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from appliance.access.errors import SignInRefused

Factor = Literal["pin", "password"]
STRANGER = ""  # everybody whose name is not on the list shares one counter, which waits and never locks


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """What a site may set, each within the bounds of SAFETY 19 and of the session rule."""

    failures_max: int = 5
    delay_first_s: float = 1.0
    delay_max_s: float = 60.0
    idle_lock_s: float = 600.0
    dim_after_s: float = 120.0

    def __post_init__(self) -> None:
        if not 3 <= self.failures_max <= 10:
            raise ValueError(f"failures_max is {self.failures_max}; a site may set 3 to 10.")
        if not 120 <= self.idle_lock_s <= 900:
            raise ValueError(f"idle_lock_s is {self.idle_lock_s}; a site may set 120 to 900 (2 to 15 min).")
        assert 0 < self.delay_first_s <= self.delay_max_s

    def delay_s(self, failures: int) -> float:
        """How long to wait after this many failures in a row: 1, 2, 4, 8 s …"""
        if failures < 1:
            return 0.0
        return float(min(self.delay_first_s * 2 ** min(failures - 1, 30), self.delay_max_s))


@dataclass(slots=True)
class _Counter:
    failures: dict[Factor, int] = field(default_factory=dict)
    not_before_s: float = float("-inf")
    locked: bool = False

    @property
    def worst(self) -> int:
        return max(self.failures.values(), default=0)


class Lockouts:
    """Failures by person; a PIN's and a password's apart, for knowing one must not clear the other."""

    def __init__(self, rules: AccessRules | None = None) -> None:
        self.rules = rules or AccessRules()
        self._counters: dict[str, _Counter] = {}

    def refuse_early(self, person: str, now_s: float) -> None:
        """Raises `SignInRefused` while the account is locked or the wait is not over."""
        counter = self._counters.get(person)
        if counter is None:
            return
        if counter.locked:
            raise SignInRefused(
                "locked_out",
                "This account is locked after too many wrong entries. Call the administrator; "
                "STOP works without signing in.",
                person=person,
                failures=counter.worst,
                locked=True,
            )
        wait_s = counter.not_before_s - now_s
        if wait_s > 0:
            raise SignInRefused(
                "delayed",
                f"Wait {int(wait_s) + 1} s, then try again.",
                person=person,
                failures=counter.worst,
            )

    def failed(self, person: str, factor: Factor, now_s: float) -> tuple[int, bool]:
        """Count one wrong entry; returns (failures in a row, whether the account is locked)."""
        counter = self._counters.setdefault(person, _Counter())
        return self._set_failures(person, counter, factor, counter.failures.get(factor, 0) + 1, now_s)

    def succeeded(self, person: str, factor: Factor) -> None:
        """A right entry clears its own counter; it never opens a locked account."""
        counter = self._counters.get(person)
        if counter is not None and not counter.locked:
            counter.failures.pop(factor, None)
            counter.not_before_s = float("-inf")

    def unlocked(self, person: str) -> None:
        """Somebody entitled to it opened the account again."""
        self._counters.pop(person, None)

    def is_locked(self, person: str) -> bool:
        counter = self._counters.get(person)
        return counter is not None and counter.locked

    def locked_people(self) -> list[str]:
        """For the security role's list."""
        return sorted(person for person, counter in self._counters.items() if counter.locked)

    def fold(self, kind: str, body: Mapping[str, Any], now_s: float) -> None:
        """Take in one event of the record; kinds that say nothing about access change nothing.

        The wait after the last failure begins anew at `now_s`: monotonic time does not outlive
        a restart, and the safe side is the longer wait.
        """
        person = str(body.get("person", ""))
        if kind == "SignInRefused" and body.get("reason") in ("wrong_secret", "unknown_person"):
            counter = self._counters.setdefault(person, _Counter())
            factor = factor_of(str(body.get("for_what", "sign_in")))
            self._set_failures(person, counter, factor, int(body.get("failures", 1)), now_s)
            # The record says locked even where the site has since allowed more failures.
            counter.locked = counter.locked or (bool(body.get("locked")) and person != STRANGER)
        elif kind in ("SessionOpened", "SecondPersonConfirmed"):
            self.succeeded(person, "pin")
        elif kind == "SignatureGiven":
            self.succeeded(person, "password")
        elif kind == "SecretChanged":
            self.succeeded(person, "password" if body.get("factor") == "password" else "pin")
        elif kind == "AccountUnlocked":
            self.unlocked(person)

    def _set_failures(
        self, person: str, counter: _Counter, factor: Factor, failures: int, now_s: float
    ) -> tuple[int, bool]:
        counter.failures[factor] = failures
        counter.not_before_s = now_s + self.rules.delay_s(failures)
        if person != STRANGER and failures >= self.rules.failures_max:
            counter.locked = True
        return failures, counter.locked


def factor_of(for_what: str) -> Factor:
    """Which secret an act asks for: a password for a signature, a PIN for all else."""
    return "password" if "signature" in for_what else "pin"
