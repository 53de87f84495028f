"""The statements of `docs/requirements.md`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "requirements.md"
_ROW = re.compile(r"^\| (R-\d\d) \| (.+?) \| (now|later) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One testable sentence about records and signatures."""

    id: str
    words: str
    due: bool


def statements() -> list[Statement]:
    """All of them, in the page's order."""
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [Statement(number, words, due == "now") for number, words, due in rows]
