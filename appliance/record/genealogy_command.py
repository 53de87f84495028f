"""`cellwright coi`: follow one identifier through the record, back to its origin and on to the dose."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.record.canonical import StoredRecord
    from appliance.record.genealogy import Genealogy, Step, Thing

GOOD, NOT_FOUND, UNREADABLE = 0, 1, 2


def coi(argv: Sequence[str]) -> int:
    """Follow one identifier through the record: what it came from, and what it led to.

    Returns 0 when it was found, 1 when the record does not name it, 2 when there is nothing to read.
    """
    options = _parser().parse_args(argv)
    from appliance.record.errors import RecordError
    from appliance.record.genealogy import genealogy_of

    try:
        known = genealogy_of(_records(options))
        found = known.found(options.id)
        if not found:
            print(f"The record does not name {options.id!r}. Compare it with the label.", file=sys.stderr)
            return NOT_FOUND
        if options.svg is not None:
            from appliance.record.genealogy_picture import as_svg

            options.svg.write_text(as_svg(known, found[-1]), encoding="utf-8")
    except (RecordError, OSError) as problem:
        print(problem, file=sys.stderr)
        return UNREADABLE
    for thing in found:
        print(json.dumps(_line(known, thing), ensure_ascii=False) if options.json else _words(known, thing))
    return GOOD


def _parser() -> argparse.ArgumentParser:
    from appliance.config import add_home_option

    parser = argparse.ArgumentParser(prog="cellwright coi", description=coi.__doc__, allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True)
    trace = actions.add_parser("trace", help="its whole genealogy, both ways", allow_abbrev=False)
    add_home_option(trace)
    trace.add_argument(
        "id",
        metavar="ID",
        help="chain of identity, donation number, order, batch, patient, consent, lot, sample, count, label, "
        "seal or shipper",
    )
    trace.add_argument("--record", type=Path, metavar="FOLDER", help="a record folder instead of this unit's")
    trace.add_argument("--svg", type=Path, metavar="FILE", help="draw it too")
    trace.add_argument("--json", action="store_true", help="one JSON object for each thing that is so named")
    return parser


def _records(options: argparse.Namespace) -> Iterator[StoredRecord]:
    """The events of a unit's whole history: the logs before each restore, then the present one."""
    from appliance.config import home_from
    from appliance.record.epochs import whole_history
    from appliance.record.genealogy import KINDS

    return whole_history(options.record or home_from(options).record, KINDS)


def _line(known: Genealogy, thing: Thing) -> dict[str, object]:
    return {
        "kind": thing.kind,
        "id": thing.id,
        "words": thing.words,
        "before": [_step(known, step) for step in known.before(thing.key)],
        "after": [_step(known, step) for step in known.after(thing.key)],
        "held_by": [{"kind": kind, "id": id, "words": words} for kind, id, words in _held(known, thing)],
    }


def _held(known: Genealogy, thing: Thing) -> list[tuple[str, str, str]]:
    """Who holds now what is named here, or what it came from or led to."""
    steps = [*known.before(thing.key), *known.after(thing.key)]
    reached = dict.fromkeys([thing.key, *(key for step in steps for key in (step.source, step.target))])
    return [
        (known.things[key].kind, known.things[key].id, known.held[key])
        for key in reached
        if key in known.held
    ]


def _step(known: Genealogy, step: Step) -> dict[str, object]:
    source, target = known.things[step.source], known.things[step.target]
    return {
        "from": {"kind": source.kind, "id": source.id, "words": source.words},
        "to": {"kind": target.kind, "id": target.id, "words": target.words},
        "words": step.words,
        "at": step.at.isoformat(),
        "entry": step.seq,
    }


def _words(known: Genealogy, thing: Thing) -> str:
    rows = [f"{thing.kind} {thing.id}: {thing.words}", "  came from"]
    before, after = known.before(thing.key), known.after(thing.key)
    rows += [_sentence(known, step) for step in before] or ["    nothing on this record"]
    rows.append("  led to")
    rows += [_sentence(known, step) for step in after] or ["    nothing on this record"]
    rows += [f"  {kind} {id} is held by {words}" for kind, id, words in _held(known, thing)]
    return "\n".join(rows)


def _sentence(known: Genealogy, step: Step) -> str:
    source, target = known.things[step.source], known.things[step.target]
    return (
        f"    {step.at:%Y-%m-%d %H:%M} UTC  {source.kind} {source.id} {step.words} {target.kind} {target.id}"
        f"{'' if target.words == target.kind else f' ({target.words})'}  [entry {step.seq}]"
    )
