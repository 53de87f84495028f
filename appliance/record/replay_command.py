"""`cellwright replay`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from appliance.record.replay import Outcome

DEFAULT_HOME = "/var/lib/cellwright"
EQUAL, DIFFERS, UNREADABLE = 0, 1, 2


def replay(argv: Sequence[str]) -> int:
    """Decide a record again from its own inputs, and tell whether the same comes out."""
    parser = argparse.ArgumentParser(prog="cellwright replay", description=replay.__doc__, allow_abbrev=False)
    parser.add_argument("target", metavar="TARGET", help="batch id, home or record folder, or archive")
    parser.add_argument("--home", type=Path, metavar="DIR", help="the unit's home folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    from appliance.record.errors import RecordError

    path, batch = _named(options.target, options.home)
    try:
        outcome = _replayed(path, batch)
    except (RecordError, OSError, ValueError, KeyError) as problem:
        print(problem, file=sys.stderr)
        return UNREADABLE
    told = as_json(outcome, options.target, archived=not path.is_dir())
    print(json.dumps(told) if options.json else "\n".join(words(outcome, options.target, path.is_dir())))
    if not outcome.equal:
        return DIFFERS
    return EQUAL if outcome.commits else UNREADABLE


def _named(target: str, home: Path | None) -> tuple[Path, str | None]:
    """The folder or archive, and the batch where TARGET is no path."""
    path = Path(target)
    if path.is_dir() and not (path / "record.db").exists() and (path / "record" / "record.db").exists():
        return path / "record", None
    if path.exists():
        return path, None
    return (home or Path(os.environ.get("CELLWRIGHT_HOME", DEFAULT_HOME))) / "record", target


def _replayed(path: Path, batch: str | None) -> Outcome:
    from appliance.record.epochs import folder_of_batch
    from appliance.record.errors import RecordRefused
    from appliance.record.replay_target import replay_archive, replay_folder
    from appliance.record.verify import verify_record

    verdict = verify_record(path)
    if not verdict.whole:
        raise RecordRefused(
            f"{path} is {verdict.words} It is not replayed: its events are not what was written."
        )
    if not path.is_dir():
        return replay_archive(path)
    return replay_folder(folder_of_batch(path, batch) if batch else path, batch)


def as_json(outcome: Outcome, target: str, *, archived: bool) -> dict[str, Any]:
    """The outcome as one JSON object."""
    difference = outcome.difference
    return {
        "target": target,
        "equal": outcome.equal,
        "from": "one batch, from its opening" if archived else "the unit's record",
        "first_seq": outcome.first_seq,
        "last_seq": outcome.last_seq,
        "commits": outcome.commits,
        "commands": outcome.commands,
        "inputs": outcome.inputs,
        "by_itself": outcome.by_itself,
        "facts": outcome.facts,
        "seals_compared": outcome.seals,
        "older_events": outcome.older_events,
        "older_events_equal": outcome.older_again,
        "transcript": outcome.transcript,
        "state": outcome.state,
        "unit_state": outcome.unit_state,
        "difference": None
        if difference is None
        else {
            "seq": difference.seq,
            "why": difference.why,
            "record_says": difference.record_says,
            "decided_again": difference.again_says,
        },
    }


def words(outcome: Outcome, target: str, folder: bool) -> list[str]:
    """The outcome for a person."""
    told = []
    if not folder:
        told.append("From the archive alone: the batch's own run, from its opening. What the unit keeps from")
        told.append("batch to batch (orders made, accounts) is not in an archive and was not compared.")
    if outcome.older_events:
        told.append(
            f"{outcome.older_events} events were written by version {outcome.older_version}, before inputs "
            f"were put on record. They were folded; {outcome.older_again} of them came out again "
            "by themselves."
        )
    if outcome.difference is not None:
        return [*told, f"{target} does NOT come out again.", outcome.difference.words]
    if not outcome.commits:
        return [*told, f"{target} holds nothing that could be decided again."]
    return [
        *told,
        f"{target} comes out again: events {outcome.first_seq} to {outcome.last_seq} in "
        f"{outcome.commits} commits",
        f"({outcome.commands} commands, {outcome.inputs} inputs, {outcome.by_itself} by itself, "
        f"{outcome.facts} facts from outside), {outcome.seals} seals with the unit's own state.",
        f"transcript {outcome.transcript}",
        f"state      {outcome.state}",
    ]
