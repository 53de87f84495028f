"""The logs of a unit before its present one: each restore begins a new log and keeps the one before.

The present record is `record/record.db`. What was restored lies whole and read-only under
`record/earlier/0001-<epoch>/`, the next one under `0002-…`. The genesis of the log that follows names
the true end of the one before, so that the whole history is one chain of chains.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from appliance.record import acknowledgements, schema
from appliance.record.canonical import StoredRecord, decode_payload
from appliance.record.errors import RecordRefused, RecordUnusable
from appliance.record.log import DATABASE, EARLIER, Record

_NAME = re.compile(r"[0-9]{4,}-[0-9a-f]{8}")


def earlier_epochs(folder: Path) -> list[Path]:
    """The folders of the earlier logs of the record in `folder`, oldest first."""
    above = folder.absolute().parent
    if above.name == EARLIER:  # an earlier log itself: those before it
        return [path for path in _numbered(above) if _number(path) < _number(folder)]
    return _numbered(folder / EARLIER)


def _numbered(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("*") if _NAME.fullmatch(path.name)), key=_number)


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])


def next_folder(folder: Path, epoch: bytes) -> Path:
    """Where the record in `folder`, of this epoch, is kept once another log follows it."""
    earlier = earlier_epochs(folder)
    number = _number(earlier[-1]) + 1 if earlier else 1
    return folder / EARLIER / f"{number:04d}-{epoch.hex()[:8]}"


def link_to(record: Record, number: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the genesis of the next log says of this one: its number, its epoch and both its ends."""
    heads = {}
    for log in schema.LOGS:
        head = record.head(log)
        heads[log] = {"seq": head.seq, "hash": head.hash.hex()}
    return {"number": number, "epoch": record.head().epoch.hex(), **heads, **facts}


def link_of(record: Record, log: str = "gxp") -> dict[str, Any] | None:
    """What the genesis of a log says of the one before it; None where it is a unit's first.

    Raises
    ------
    RecordUnusable
        The genesis cannot be read.
    """
    try:
        first = next(record.read(1, 1, log=log))
        link = decode_payload(first.payload).body.get("previous_epoch")
    except (StopIteration, RecordRefused) as problem:
        raise RecordUnusable(
            f"The beginning of {log} in {record.folder} cannot be read ({problem}). Call QA."
        ) from None
    return dict(link) if isinstance(link, dict) else None


def misfit(before: Record, after: Record) -> str:
    """In words, how the genesis of a log does not name the true end of the one before; empty when it does."""
    for log in schema.LOGS:
        link, head = link_of(after, log), before.head(log)
        said = link.get(log) if link is not None else None
        true = {"seq": head.seq, "hash": head.hash.hex()}
        if link is None or link.get("epoch") != head.epoch.hex() or said != true:
            return (
                f"The log in {after.folder} does not go on from the end of the {log} log in "
                f"{before.folder}: one of them was changed or put there from elsewhere."
            )
    if (before.unit_id, before.public_key) != (after.unit_id, after.public_key):
        return f"The log in {before.folder} is of another unit than the one in {after.folder}."
    return ""


def links_misfit(folder: Path) -> list[str]:
    """Every break between the logs of the record in `folder`, in words."""
    found: list[str] = []
    chain = [*earlier_epochs(folder), folder]
    with Record.open_readonly(chain[0]) as first:
        if link_of(first) is not None:
            found.append(f"The log before the one in {chain[0]} is missing. Put {EARLIER} back, or call QA.")
    for before, after in itertools.pairwise(chain):
        with Record.open_readonly(before) as one, Record.open_readonly(after) as next_one:
            found += [words] if (words := misfit(one, next_one)) else []
    return found


def whole_history(folder: Path, kinds: frozenset[str]) -> Iterator[StoredRecord]:
    """Events of some kinds in a unit's whole history: the logs before each restore, then the present."""
    for each in (*earlier_epochs(folder), folder):
        with Record.open_readonly(each) as record:
            yield from record.read_of(kinds)


def records_before(folder: Path) -> Iterator[tuple[StoredRecord, int]]:
    """Each gxp record of the earlier logs in order, with how many records lie from its log's start to now.

    Raises
    ------
    RecordUnusable
        A log is missing, or the present one does not go on from it: nothing is known of the time before.
    """
    earlier = earlier_epochs(folder)
    if broken := links_misfit(folder):
        raise RecordUnusable(" ".join(broken))
    lengths = []
    for path in earlier:
        with Record.open_readonly(path) as record:
            lengths.append(record.head().seq)
    for place, path in enumerate(earlier):
        with Record.open_readonly(path) as record:
            for stored in record.read():
                yield stored, sum(lengths[place:])


def known_acknowledgements(folders: list[Path], epoch: bytes) -> dict[str, dict[str, Any] | None]:
    """The newest acknowledgement of each log of this epoch that any of these folders knows of."""
    newest: dict[str, dict[str, Any] | None] = dict.fromkeys(schema.LOGS)
    for folder in folders:
        for log in schema.LOGS:
            try:
                kept = acknowledgements.second_place(folder, log)
            except RecordUnusable:
                continue  # a damaged note; another folder may know
            if kept is None or acknowledgements.epoch_of(kept[1]) not in ("", epoch.hex()):
                continue
            held = newest[log]
            if held is None or kept[0] > held["seq"]:
                newest[log] = {"seq": kept[0], "hash": acknowledgements.acked_hash(kept[1])}
    return newest


def folder_of_batch(folder: Path, batch: str) -> Path:
    """The folder of the log in which a batch was opened; `folder` itself where none of them opened it."""
    from appliance.record.export import batches

    for one in (folder, *reversed(earlier_epochs(folder))):
        with Record.open_readonly(one) as record:
            if batch in batches(record):
                return one
    return folder


def goes_on_in(folder: Path, batch: str, opened_in: Path) -> list[tuple[Path, int, int]]:
    """The later logs that hold events of a batch, each with the first and last of them."""
    chain = [*earlier_epochs(folder), folder]
    found = []
    for one in chain[chain.index(opened_in) + 1 :]:
        with Record.open_readonly(one) as record:
            mine = [stored.seq for stored in record.read() if decode_payload(stored.payload).batch == batch]
        if mine:
            found.append((one, mine[0], mine[-1]))
    return found


def has_record(folder: Path) -> bool:
    """Whether a record lies in `folder`."""
    return (folder / DATABASE).exists()
