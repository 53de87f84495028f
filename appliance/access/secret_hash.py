"""PINs and passwords: Argon2id over HMAC-SHA-256 under a secret that never leaves the unit.

A six-digit PIN has a million values: no hash alone protects it. With the unit's secret, a
stolen people document is worth nothing without the unit as well.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import unicodedata
from dataclasses import dataclass

from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from argon2.low_level import hash_secret as argon2_hash
from argon2.low_level import verify_secret as argon2_verify

from appliance.access.errors import PeopleRefused

PIN_DIGITS_MIN = 6
PASSWORD_CHARACTERS_MIN = 12
SECRET_CHARACTERS_MAX = 256
_SALT_BYTES, _HASH_BYTES = 16, 32


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one verification costs; the default is the second choice of RFC 9106, section 4 (64 MiB)."""

    passes: int = 3
    memory_kib: int = 64 * 1024
    lanes: int = 4


def cost_of(encoded: str) -> Argon2Cost:
    """The cost that an encoded verifier names; the default where it names none."""
    found = re.match(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$", encoded)
    if found is None:
        return Argon2Cost()
    memory_kib, passes, lanes = (int(part) for part in found.groups())
    return Argon2Cost(passes=passes, memory_kib=memory_kib, lanes=lanes)


def hash_secret(secret: str, pin_secret: bytes, cost: Argon2Cost | None = None) -> str:
    """The encoded verifier of a PIN or password, with its own salt."""
    cost = cost or Argon2Cost()
    encoded = argon2_hash(
        _keyed(secret, pin_secret),
        os.urandom(_SALT_BYTES),
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=_HASH_BYTES,
        type=Type.ID,
    )
    return encoded.decode("ascii")


def verify_secret(encoded: str, secret: str, pin_secret: bytes) -> bool:
    """Whether this is the secret; takes as long as the cost in `encoded` says, right or wrong."""
    try:
        return bool(argon2_verify(encoded.encode("ascii"), _keyed(secret, pin_secret), Type.ID))
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def dummy_verifier(like: str | None = None) -> str:
    """A verifier that nothing opens, at the cost of `like`, so that time does not tell who is known."""
    if like and like.startswith("$argon2id$") and like.count("$") == 5:
        head = like.rsplit("$", 2)[0]
    else:
        cost = Argon2Cost()
        head = f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}"
    return f"{head}${_unpadded(os.urandom(_SALT_BYTES))}${_unpadded(os.urandom(_HASH_BYTES))}"


def check_pin(pin: str) -> None:
    """Raises `PeopleRefused` unless the PIN has at least six digits and nothing else."""
    if not (pin.isascii() and pin.isdigit() and PIN_DIGITS_MIN <= len(pin) <= SECRET_CHARACTERS_MAX):
        raise PeopleRefused("pin_short", f"A PIN has at least {PIN_DIGITS_MIN} digits and nothing else.")


def check_password(password: str) -> None:
    """Raises `PeopleRefused` unless the password has at least twelve characters."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= SECRET_CHARACTERS_MAX:
        raise PeopleRefused(
            "password_short", f"A password has at least {PASSWORD_CHARACTERS_MIN} characters."
        )


def _keyed(secret: str, pin_secret: bytes) -> bytes:
    assert len(pin_secret) == 32, len(pin_secret)
    # NFC: a password typed on two keyboards is one password.
    typed = unicodedata.normalize("NFC", secret).encode("utf-8", "surrogatepass")
    return hmac.digest(pin_secret, typed, "sha256")


def _unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")
