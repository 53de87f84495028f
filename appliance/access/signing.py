"""Electronic signatures on the record: who, when, what it means, and exactly which bytes.

The signature is an event; the unit's chain and signed segments seal it. It names SHA-256 of the
bytes signed, so it cannot be cut out and put on another record (21 CFR 11.50, 11.70).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from appliance.access.canonical import canonical_json
from appliance.access.errors import SignatureRefused
from appliance.access.people import Person
from appliance.domain.roles import MEANINGS

# Shown beside a signature on the screen, so that two people can compare what they sign.
SHORT_CODE_DIGITS = 8

__all__ = ["MEANINGS", "canonical_json", "covers", "printed", "short_code", "signature_block"]


def signature_block(
    person: Person,
    meaning: str,
    signed: bytes,
    *,
    what: str,
    at: datetime,
) -> dict[str, str]:
    """What a `SignatureGiven` event says of the signature; it is given by password (SAFETY 19).

    Parameters
    ----------
    person
        Whose password was verified at this moment; the caller has done that.
    signed
        The exact bytes that the signature covers.
    what
        What was signed, in words a reader understands.
    at
        The time of signing, aware UTC.

    Raises
    ------
    SignatureRefused
        The meaning is not on the list, or the account is not active.
    """
    assert at.utcoffset() == timedelta(0), at
    if meaning not in MEANINGS:
        raise SignatureRefused(
            "unknown_meaning", f"A signature cannot mean {meaning!r}. It means one of: {', '.join(MEANINGS)}."
        )
    if not person.active:
        raise SignatureRefused("not_active", f"The account of {person.name} is not active; it cannot sign.")
    return {
        "person": person.id,
        "name": person.name,
        "meaning": meaning,
        "signs": hashlib.sha256(signed).hexdigest(),
        "what": what,
        "at": at.isoformat().replace("+00:00", "Z"),
    }


def covers(body: Mapping[str, Any], data: bytes) -> bool:
    """Whether a signature covers exactly these bytes; if not, it shows as "no longer covers"."""
    signs = body.get("signs")
    return isinstance(signs, str) and hmac.compare_digest(
        signs.encode("utf-8", "surrogatepass"), hashlib.sha256(data).hexdigest().encode()
    )


def short_code(signed: bytes) -> str:
    """The first digits of the hash that a signature would bind, for the eye."""
    return hashlib.sha256(signed).hexdigest()[:SHORT_CODE_DIGITS]


def printed(body: Mapping[str, Any]) -> str:
    """Printed name, meaning and UTC time, as on screen and paper (21 CFR 11.50)."""
    return f"{body['name']} ({body['person']}), {body['meaning']}, {body['at']}"
