"""Which symbols of one picture may belong to one label: by place, and by what kind of text each carries.

What a text means is not known here. Its kind is told by what stands before its first letter or digit, as
labels of this field write it; a label carries one text of a kind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vision.labels.agreement import LINEAR, Symbol, kind_of

TWO_LABELS = "two_labels"
# The last two characters of a text may mark where the label belongs; whoever knows the meaning compares them.
MARK_CHARACTERS = 2


def two_labels(symbols: Sequence[Symbol]) -> bool:
    """Say whether these symbols cannot all be of one label.

    So it is with two DataMatrix of one kind that differ, two linear ones of one kind that differ, and a
    linear one whose kind stands in the only DataMatrix with another text.
    """
    matrices = {symbol.text for symbol in symbols if symbol.symbology == "datamatrix"}
    # A QR is often an address of the maker, and a text without an identifier may stand on a label many times.
    square = [
        each for each in symbols if each.symbology == "datamatrix" and (kind_of(each.text) or _gs1(each))
    ]
    linear = [each for each in symbols if each.symbology in LINEAR and kind_of(each.text)]
    if _differ_in_one_kind(square) or _differ_in_one_kind(linear):
        return True
    return len(matrices) == 1 and any(_contradicts(symbol.text, next(iter(matrices))) for symbol in linear)


def _gs1(symbol: Symbol) -> bool:
    """A GS1 DataMatrix names its package whole; of GS1 bars a label may have several, each a part."""
    return symbol.symbology_identifier == "]d2"


def _differ_in_one_kind(symbols: Sequence[Symbol]) -> bool:
    said: dict[tuple[str, str], bytes] = {}
    for symbol in symbols:
        kind = symbol.symbology, kind_of(symbol.text)
        if said.setdefault(kind, symbol.data) != symbol.data:
            return True
    return False


def _contradicts(text: str, matrix: str) -> bool:
    """The matrix holds a text of this kind, and none that is this one."""
    kind = re.escape(kind_of(text))
    there = re.search(rf"(?<![^A-Za-z0-9]){kind}[A-Za-z0-9]", matrix)
    return bool(there) and text[:-MARK_CHARACTERS] not in matrix
