"""One byte form for one JSON value, so that what is signed here can be made again elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Beyond this a JavaScript reader (the QP's browser) would round silently.
INTEGER_MAX = 2**53


def canonical_json(value: Any) -> bytes:
    """Encode sorted, compact and in UTF-8.

    Raises
    ------
    TypeError
        The value holds a float or something that is not JSON: numbers that matter are
        decimal strings.
    ValueError
        An integer is too large, or a key is not a string.
    """
    _refuse_what_has_two_forms(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def _refuse_what_has_two_forms(value: Any) -> None:
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ValueError(f"The integer {value} does not fit every reader; write it as a string.")
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"The key {key!r} is not a string.")
            _refuse_what_has_two_forms(item)
        return
    if isinstance(value, list | tuple):
        for item in value:
            _refuse_what_has_two_forms(item)
        return
    raise TypeError(f"{type(value).__name__} has no single JSON form; write a decimal string.")
