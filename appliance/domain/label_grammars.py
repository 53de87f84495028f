"""The one front door for what a symbol says: which standard it follows, and what it means by it.

The symbology identifier decides first, for it is the scanner's word and not the label's: a symbol with FNC1
in front is GS1 whatever its text looks like. Then the first character decides.
"""

from appliance.domain import gs1, hibc, isbt128


def meaning(text: str, symbology_identifier: str = "") -> dict[str, object] | None:
    """Say what a symbol means as plain JSON values, or why it is refused; None when no grammar knows it."""
    if symbology_identifier in gs1.SYMBOLOGIES:
        return gs1.meaning(text, symbology_identifier)
    for grammar in (isbt128.meaning, hibc.meaning, gs1.meaning):
        said = grammar(text, symbology_identifier)
        if said is not None:
            return said
    return None
