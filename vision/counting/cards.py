"""Performance cards of the counting methods: for people to read, and checked against what they claim.

    python -m vision.counting.cards [FOLDER]

writes a page for each card of `vision/counting/models` into a folder, `docs/methods` when left out. A card is
JSON beside its weights; what a page says it reads from there alone, so that page and method cannot part.
The contents follow the draft of Annex 22 to the EU GMP guide: intended use, what was learnt from, a test set
apart from it, figures with their acceptance, limits, and who decides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MODELS = Path(__file__).with_name("models")
PAGES = Path(__file__).parents[2] / "docs" / "methods"
WHO_DECIDES = (
    "A person. What the method is not sure of it calls `unclassified`, or sends the picture back as "
    "`repeat`; release is decided from the result, its interval and its reasons by the people whom the batch "
    "record names."
)
STATIC = (
    "Static: the weights ship with a version of the software and are pinned by SHA-256. Nothing learns at "
    "the unit; the same picture gives the same bits on one machine at any number of threads."
)
# Sections in the order of a page, each with the keys of a card that it shows.
HEAD = ("id", "version", "date")
SECTIONS = (
    ("Intended use", ("intended_use",)),
    ("Not for", ("not_for",)),
    ("Learnt from", ("learnt_from",)),
    ("Test set", ("split",)),
    ("Figures", ("figures",)),
    ("Acceptance", ("acceptance",)),
    ("Broken down", ("by",)),
    ("Decision levels", ("decision_levels",)),
    ("Limits", ("limits",)),
)
Card = Mapping[str, Any]


class CardUnfit(Exception):
    """A card lacks what it must say, or says what does not hold; `str(error)` names it."""


def cards(folder: Path = MODELS) -> dict[str, Card]:
    """Read the cards that ship with this version, by the method's id."""
    found: dict[str, Card] = {}
    for path in sorted(folder.glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(card, dict) and card.get("id") == path.stem:
            found[path.stem] = card
    return found


def check(card: Card, weights: Path | None) -> None:
    """Hold a card to what it says.

    Parameters
    ----------
    card : mapping
        As read from its file.
    weights : Path or None
        The file whose SHA-256 the card states; None for a method without weights of its own.

    Raises
    ------
    CardUnfit
        A section is missing; the weights are others; a part of the test set was learnt from; a figure misses
        its acceptance level without being named among the limits.
    """
    needed = ("version", "date", "intended_use", "learnt_from", "split", "figures", "acceptance", "limits")
    missing = [key for key in needed if not card.get(key)]
    if missing:
        raise CardUnfit(f"{card['id']}: the card lacks {', '.join(missing)}.")
    if weights is not None and weights.is_file():
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
        if weights_hash(card) != found:
            raise CardUnfit(f"{card['id']}: the weights are not those that the card was made with.")
    _check_split(card)
    for name, level in card["acceptance"].items():
        value, told = _value(card["figures"].get(name)), " ".join(card["limits"]).lower()
        if value is None:
            raise CardUnfit(f"{card['id']}: no figure {name} for its acceptance level.")
        if not _meets(value, level) and name.lower() not in told:
            raise CardUnfit(f"{card['id']}: {name} is {value:g}, which misses {level}, and no limit says so.")


def weights_hash(card: Card) -> str | None:
    """Return the SHA-256 of the weights that a card states; None where it has none of its own."""
    stated = card.get("weights_sha256", card.get("sha256"))
    return None if stated is None else str(stated)


def _check_split(card: Card) -> None:
    """Each part is held out once at most: then no network was scored on what it learnt from."""
    folds = card["split"].get("folds", {})
    seen: set[str] = set()
    for name, held in folds.items():
        again = seen & set(held)
        if again:
            raise CardUnfit(f"{card['id']}: fold {name} holds out {', '.join(sorted(again))} a second time.")
        seen |= set(held)


def _value(figure: object) -> float | None:
    first = figure[0] if isinstance(figure, list) and figure else figure
    return float(first) if isinstance(first, int | float) else None


def _meets(value: float, level: Mapping[str, float]) -> bool:
    least, most = level.get("at_least", float("-inf")), level.get("at_most", float("inf"))
    return least <= value <= most


def page_of(card: Card) -> str:
    """Write a card as a page of Markdown."""
    lines = [f"# Method `{card['id']}`, version {card['version']}", ""]
    if "date" in card:
        lines += [f"Performance card, validated on {card['date']}. {STATIC}", ""]
    stated = weights_hash(card)
    lines += [
        "The method has no weights of its own." if stated is None else f"SHA-256 of the weights: `{stated}`",
        "",
    ]
    for title, (key,) in SECTIONS:
        if card.get(key):
            lines += [f"## {title}", "", *_section(key, card), ""]
    lines += ["## Who decides", "", str(card.get("who_decides", WHO_DECIDES)), ""]
    lines += [
        f"Made from `vision/counting/models/{card['id']}.json` by `python -m vision.counting.cards`. "
        "The file holds more: each specimen of the validation, row by row.",
        "",
    ]
    return "\n".join(lines)


def _section(key: str, card: Card) -> Iterator[str]:
    value = card[key]
    if key == "learnt_from" and isinstance(value, list):
        yield from _table([_flat(row) for row in value])
    elif key == "figures":
        yield from _figures(value)
    elif key == "acceptance":
        yield from _acceptance(value, card["figures"])
    elif key == "by":
        yield from _broken_down(value)
    elif key == "split":
        yield from _split(value)
    elif isinstance(value, Mapping):
        yield from _table([{"level": _words(name), "value": _shown(each)} for name, each in value.items()])
    elif isinstance(value, list):
        yield from (f"- {each}" for each in value)
    else:
        yield str(value)


def _flat(row: object) -> dict[str, str]:
    return {k: _shown(v) for k, v in row.items()} if isinstance(row, Mapping) else {"what": str(row)}


def _figures(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "Out of fold. 95 % bootstrap intervals in brackets, where the card gives them."
    yield ""
    rows = [{"figure": _words(name), "value": _shown(value)} for name, value in figures.items()]
    yield from _table(rows)


def _acceptance(levels: Mapping[str, Mapping[str, float]], figures: Mapping[str, Any]) -> Iterator[str]:
    yield "Set before the test."
    yield ""
    rows = []
    for name, level in levels.items():
        value = _value(figures.get(name))
        asked = ", ".join(f"{_words(bound)} {number:g}" for bound, number in level.items())
        met = "-" if value is None else "met" if _meets(value, level) else "missed"
        rows.append({"figure": _words(name), "asked": asked, "found": _shown(figures.get(name)), "": met})
    yield from _table(rows)


def _broken_down(tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    for number, (by, rows) in enumerate(tables.items()):
        if number:
            yield ""
        yield from _table([{_words(by): str(name), **_flat(row)} for name, row in rows.items()])


def _split(split: object) -> Iterator[str]:
    if not isinstance(split, Mapping):
        yield str(split)
        return
    if "how" in split:
        yield str(split["how"])
    folds = split.get("folds", {})
    if folds:
        yield ""
        yield "No network is scored on anything that it learnt from:"
        yield ""
        for name, held in folds.items():
            shown = list(map(str, held))
            more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
            yield f"- fold {name} holds out {', '.join(shown[:8])}{more}"


def _table(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if not rows:
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    yield "| " + " | ".join(_words(name) for name in columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(row.get(name, "-").replace("|", "/") for name in columns) + " |"


def _words(name: str) -> str:
    """Turn a key into words, its unit as a sign."""
    text = name.replace("_", " ")
    for ending, sign in ((" percent", ", %"), (" pp", ", percentage points"), (" px", ", px")):
        if text.endswith(ending):
            text = text.removesuffix(ending) + sign
    return text


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list) and len(value) == 3 and all(isinstance(v, int | float) for v in value):
        return f"{value[0]:g} [{value[1]:g}, {value[2]:g}]"
    if isinstance(value, list):
        return ", ".join(_shown(each) for each in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(str(name))} {_shown(each)}" for name, each in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def show(argv: Sequence[str]) -> int:
    """`cellwright count cards [METHOD…] [--json]`: print the performance cards."""
    known = cards()
    parser = argparse.ArgumentParser(
        prog="cellwright count cards",
        description="Print the performance cards of the counting methods.",
        allow_abbrev=False,
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"out of {', '.join(known)}; or all")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with every specimen")
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:
        return 0 if stop.code == 0 else 2
    unknown = sorted(set(options.methods) - set(known))
    if unknown:
        print(
            f"cellwright count cards: there is no method {unknown[0]!r}; there are {', '.join(known)}.",
            file=sys.stderr,
        )
        return 2
    for name in options.methods or known:
        print(json.dumps(known[name]) if options.json else page_of(known[name]))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Write a page for each card."""
    parser = argparse.ArgumentParser("python -m vision.counting.cards", description=main.__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PAGES)
    folder = parser.parse_args(argv).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, card in cards().items():
        (folder / f"{name}.md").write_text(page_of(card), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
