"""Is this a PIN or password that the site allows? Strength, history and age, judged at the unit (R-29)."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

from appliance.access.errors import PeopleRefused
from appliance.access.lockouts import Factor
from appliance.access.people import Person
from appliance.access.secret_hash import check_password, check_pin
from appliance.access.site_roles import SecretRules

_WEAK_PASSWORDS = ("password", "passwort", "qwerty", "cellwright", "welcome", "letmein", "123456")
CHANGE_FIRST = "change_secret_first"


def check_strength(factor: Factor, secret: str, person: Person, rules: SecretRules) -> None:
    """Raises `PeopleRefused` with what to choose instead."""
    if factor == "pin":
        _check_pin(secret, rules)
    else:
        _check_password(secret, person, rules)


def _check_pin(pin: str, rules: SecretRules) -> None:
    check_pin(pin)
    if len(pin) < rules.pin_digits_min:
        raise PeopleRefused("pin_short", f"This site asks for at least {rules.pin_digits_min} digits.")
    steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(pin)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        raise PeopleRefused("pin_weak", "All digits alike or in a row are guessed first. Choose another PIN.")
    half = len(pin) // 2
    if len(pin) % 2 == 0 and len(set(pin)) <= 2 and pin[:half] == pin[half:]:
        raise PeopleRefused("pin_weak", "This PIN repeats itself. Choose another one.")


def _check_password(password: str, person: Person, rules: SecretRules) -> None:
    check_password(password)
    if len(password) < rules.password_characters_min:
        raise PeopleRefused(
            "password_short", f"This site asks for at least {rules.password_characters_min} characters."
        )
    lowered = password.casefold()
    if len(set(lowered)) < 5:
        raise PeopleRefused("password_weak", "This password is one of few letters. Choose another one.")
    known = [person.id, *(part for part in person.name.split() if len(part) >= 4), *_WEAK_PASSWORDS]
    if any(word.casefold() in lowered for word in known):
        raise PeopleRefused(
            "password_weak", "This password holds your name or a word that is guessed first. Choose another."
        )


def days_max(factor: Factor, rules: SecretRules) -> int:
    return rules.pin_days_max if factor == "pin" else rules.password_days_max


def must_change(
    factor: Factor, person: Person, rules: SecretRules, now: datetime, *, time_trusted: bool
) -> str:
    """Why the person must change this secret before anything else; empty when it may be used.

    With a clock that is not trusted an age is not judged here; `age_unjudged` says so.
    """
    has, one_time, set_at = _of(factor, person)
    if not has:
        return ""
    if one_time:
        return "one_time"
    days = days_max(factor, rules)
    aged = time_trusted and days > 0 and (set_at is None or now - set_at > timedelta(days=days))
    return "aged" if aged else ""


def age_unjudged(factor: Factor, person: Person, rules: SecretRules, *, time_trusted: bool) -> bool:
    """Whether this secret may be too old and the clock cannot tell (SAFETY 17)."""
    return not time_trusted and days_max(factor, rules) > 0 and _of(factor, person)[0]


def _of(factor: Factor, person: Person) -> tuple[bool, bool, datetime | None]:
    if factor == "pin":
        return bool(person.pin), person.pin_one_time, person.pin_set_at
    return bool(person.password), person.password_one_time, person.password_set_at
