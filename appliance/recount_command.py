"""`cellwright recount`: count the archived pictures of a batch again; does the same come out? (F-042)"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.config import add_home_option, home_from

if TYPE_CHECKING:
    from appliance.domain import events as ev
    from appliance.engine.vision_client import VisionClient
    from appliance.record.log import Record

IDENTICAL, DIFFERS, NOT_COUNTED = 0, 1, 2
POOLED = 0
COUNT_DEADLINE_S = 300.0
# Where and when it was counted is not what was counted.
NOT_COMPARED = ("phase", "count_id", "images")


@dataclass(frozen=True, slots=True)
class Recounted:
    """One count of the record and what came of counting it again; `why` where it could not be."""

    seq: int
    replicate: int
    differences: tuple[str, ...] = ()
    why: str = ""

    @property
    def words(self) -> str:
        name = f"Event {self.seq}, {'pooled' if self.replicate == POOLED else f'replicate {self.replicate}'}"
        if self.why:
            return f"{name}: NOT COUNTED. {self.why}"
        if self.differences:
            return f"{name}: DIFFERS. " + " ".join(self.differences)
        return f"{name}: identical."


@dataclass(slots=True)
class Archived:
    """The counts of one batch in the order of the record, and where its files are."""

    batch: str
    simulated: bool
    load: Callable[[str], bytes]
    counts: list[tuple[int, ev.CellCountReported]] = field(default_factory=list)

    def images_of(self, place: int) -> list[tuple[int, str]]:
        """Replicate and name of each picture of a count; the pooled one has those of its replicates."""
        _, count = self.counts[place]
        if count.replicate != POOLED:
            return [(count.replicate, name) for name in count.images]
        newest = {one.replicate: one for _, one in self.counts[:place] if one.phase == count.phase}
        newest.pop(POOLED, None)
        return [(number, name) for number in sorted(newest) for name in newest[number].images]


def recount(argv: Sequence[str]) -> int:
    """Count the archived pictures of a batch again and tell whether the same comes out."""
    parser = argparse.ArgumentParser("cellwright recount", description=recount.__doc__, allow_abbrev=False)
    parser.add_argument("target", metavar="TARGET", help="batch id, or archive of a batch")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_home_option(parser)
    options = parser.parse_args(argv)
    from appliance.domain.errors import ApplianceError
    from appliance.record.errors import RecordError

    try:
        archived = archived_in(Path(options.target)) if Path(options.target).is_file() else _recorded(options)
        if not archived.counts:
            print(f"{options.target} holds no count.", file=sys.stderr)
            return NOT_COUNTED
        found = asyncio.run(count_again(archived))
    except (RecordError, ApplianceError, OSError, ValueError, KeyError) as problem:
        print(problem, file=sys.stderr)
        return NOT_COUNTED
    if options.json:
        told = {"batch": archived.batch, "counts": [dataclasses.asdict(one) for one in found]}
        print(json.dumps(told | {"identical": not any(one.why or one.differences for one in found)}))
    else:
        print("\n".join(one.words for one in found))
    if any(one.why for one in found):
        return NOT_COUNTED
    return DIFFERS if any(one.differences for one in found) else IDENTICAL


# ── What there is ──────────────────────────────────────────────────────────────────────


def _recorded(options: argparse.Namespace) -> Archived:
    """The counts of a batch in a unit's own record."""
    from appliance.record.epochs import folder_of_batch
    from appliance.record.log import Record

    home = home_from(options)
    with Record.open_readonly(folder_of_batch(home.record, options.target)) as record:
        return counts_in(record, options.target)


def counts_in(record: Record, batch: str) -> Archived:
    """The counts of a batch in an open record."""
    from appliance.engine.journal import fact_of

    archived = Archived(batch, record.simulated, record.blob)
    for stored in record.read():
        if stored.header.kind == "CellCountReported":
            fact = fact_of(stored)
            if fact is not None and fact.batch == batch:
                _take(archived, fact.seq, fact.event)
    return archived


def archived_in(path: Path) -> Archived:
    """The counts of an archived batch, with the files that lie in the archive."""
    import msgspec

    from appliance.domain.upcasters import event_of
    from appliance.record import archive
    from appliance.record.canonical import split_record

    entries = archive.take_apart(path.read_bytes()).entries
    manifest = msgspec.json.decode(entries[archive.MANIFEST])
    archived = Archived(manifest["batch"], False, lambda name: _whole(entries, name))
    for data in archive.unframe(entries["records/gxp.bin"]):
        header, payload = split_record(data)
        if header.kind not in ("CellCountReported", "BatchOpened"):
            continue
        told = msgspec.json.decode(payload)
        if told["batch"] != archived.batch:
            continue
        if header.kind == "BatchOpened":
            archived.simulated = bool(told["body"]["simulated"])
        else:
            _take(archived, header.seq, event_of(header.kind, header.payload_version, told["body"]))
    return archived


def _whole(entries: dict[str, bytes], name: str) -> bytes:
    from appliance.record.errors import BlobMissing

    data = entries.get(f"blobs/{name}", b"")
    if hashlib.sha256(data).hexdigest() != name:
        raise BlobMissing(f"The file {name} is not in the archive as it was.")
    return data


def _take(archived: Archived, seq: int, event: object) -> None:
    from appliance.domain import events as ev

    assert isinstance(event, ev.CellCountReported), event
    archived.counts.append((seq, event))


# ── Counting again ─────────────────────────────────────────────────────────────────────


async def count_again(archived: Archived) -> list[Recounted]:
    """Ask a counting program of our own for each count of a batch.

    Raises
    ------
    VisionAway
        The program does not start or dies of the pictures.
    """
    from appliance.engine.vision_client import VisionClient

    vision = VisionClient()
    await vision.start()
    try:
        return await counted_by(vision, archived)
    finally:
        await vision.close()


async def counted_by(vision: VisionClient, archived: Archived) -> list[Recounted]:
    """The same, by a counting program that runs."""
    return [await _again(vision, archived, place) for place in range(len(archived.counts))]


async def _again(vision: VisionClient, archived: Archived, place: int) -> Recounted:
    from appliance.domain import events as ev
    from appliance.engine import counting
    from appliance.engine.vision_client import VisionRefused

    seq, count = archived.counts[place]
    try:
        told = await vision.ask("methods", methods=[count.method["id"]])
    except VisionRefused as unknown:
        return Recounted(seq, count.replicate, why=str(unknown))
    here = {name: str(one) for name, one in told["methods"][0].items()}
    if any(here[name] != count.method.get(name) for name in ("version", "hash")):
        why = (
            f"It was counted by {count.method['id']} version {count.method.get('version')} "
            f"({count.method.get('hash')}); this software has version {here['version']} ({here['hash']}). "
            f"Count it again with the software that has version {count.method.get('version')}."
        )
        return Recounted(seq, count.replicate, why=why)
    images = archived.images_of(place)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        lazily = [(replicate, functools.partial(archived.load, name)) for replicate, name in images]
        fields = counting.laid_out(folder, lazily)
        asked = counting.request(
            fields, count.method["id"], count.station, folder=folder, simulated=archived.simulated
        )
        try:
            result = await vision.ask("count", **asked, timeout_s=COUNT_DEADLINE_S)
        except VisionRefused as refused:
            return Recounted(seq, count.replicate, why=str(refused))
        files = [_sha256_of(result.get(name)) for name in ("overlay", "cells_csv")]
    requested = ev.CountRequested(phase=count.phase, count_id=count.count_id, replicate=count.replicate)
    again = counting.reported(
        requested, result, count.station, images=count.images, overlay=files[0], cells_blob=files[1]
    )
    return Recounted(seq, count.replicate, tuple(differences(count, again)))


def _sha256_of(path: str | None) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


def differences(count: ev.CellCountReported, again: ev.CellCountReported) -> list[str]:
    """Each field that came out otherwise, in words; one that the record was too early to know is left out."""
    said = []
    for one in dataclasses.fields(count):
        before, now = getattr(count, one.name), getattr(again, one.name)
        silent = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        if one.name in NOT_COMPARED or before in (now, silent):
            continue
        said.append(f"{one.name} is {_short(now)}, on record {_short(before)}.")
    return said


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"
