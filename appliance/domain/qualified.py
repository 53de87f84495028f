"""Is this the device that was qualified? What it tells of itself, held against what is on record (F-029).

The engine judges by this what a device may be used for; its host refuses orders by the same rule,
because a device may be exchanged between a decision and the order that follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping

# What is compared. A key that is not expected is not compared; an empty text is.
COMPARED = ("maker", "model", "serial_number", "firmware")
_NAMES = {"serial_number": "serial number"}


def difference(expected: Mapping[str, str], identity: Mapping[str, str]) -> str:
    """Return in words how a device differs from the qualified one, empty when it does not.

    Parameters
    ----------
    expected
        What is qualified, of `COMPARED`.
    identity
        What the device told; a device that has no serial number tells an empty one.
    """
    said = []
    for key in COMPARED:
        told, wanted = identity.get(key, ""), expected.get(key)
        if wanted is None or told == wanted:
            continue
        name = _NAMES.get(key, key)
        if not told:
            said.append(f"It tells no {name}, so nobody can see whether it is the qualified {wanted}.")
        else:
            said.append(f"Its {name} is {told}, qualified is {wanted or 'one that tells none'}.")
    return " ".join(said)
