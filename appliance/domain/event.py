"""What every event of the record is: a frozen dataclass with a schema version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What became true."""

    VERSION: ClassVar[int] = 1
