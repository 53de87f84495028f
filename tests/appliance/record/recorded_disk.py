"""Run a workload on a real record and write down all that it asks of the disk.

python recorded_disk.py FOLDER TAPE SEED [SYNCHRONOUS]

Where FOLDER is there already, it is what a power cut left, and the workload goes on from it.

The record's own code does the work: `Record.create`, `open`, `append_many`, `seal`, `put_blob`,
`store_ack`, `checkpoint`, `close`. Only the library below it is another one: apsw with its own
SQLite, because apsw lets Python stand between SQLite and the files, and pysqlite3 does not. Two
SQLite libraries may not open one file in one process, so this is a process of its own, and nothing
in it opens a file with pysqlite3.

Recorded: each write, truncation, sync and deletion by SQLite; each new name, folder, rename and
fsync by `appliance.record.attachments` (blobs, the second place of acknowledgements).

Not covered: the shared-memory file, which apsw's files do not have (hence `locking_mode=EXCLUSIVE`;
SQLite never trusts that file after a power cut), and what pysqlite3's SQLite might do otherwise than
apsw's of nearly the same age. The images are opened with pysqlite3, as a unit does.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
from disk_tape import Step, save_tape
from record_bench import BATCH, UNIT_KEY, new_record, stamp

from appliance.record import schema, sqlite
from appliance.record.canonical import NewRecord, encode_payload
from appliance.record.errors import RecordRefused
from appliance.record.log import DATABASE, Record

SYNC_BY_SQLITE = ("-wal", "-journal")  # at such a file's first sync SQLite syncs its folder, too
real_fsync = os.fsync


class Killed(BaseException):
    """The process ends here, as far as the record is concerned."""


class Tape:
    """The steps so far, and which file has which name."""

    killed_at_folder = 0  # the how manyth sync of a folder is not reached; 0: none

    def __init__(self, root: Path) -> None:
        self.steps: list[Step] = []
        self._root = root
        self._nodes: dict[str, int] = {}
        self._last_node = 0

    def begin_with_what_is_there(self) -> None:
        """Take all that lies below the root as surely on the disk, as after a start of the machine."""
        found = sorted(self._root.rglob("*"))
        for path in found:
            name = str(path.relative_to(self._root))
            if path.is_dir():
                self.add("mkdir", name=name)
                continue
            self.create(name)
            self.add("write", node=self.node(name), data=path.read_bytes())
            self.add("sync", node=self.node(name))
        for folder in ("", *(str(path.relative_to(self._root)) for path in found if path.is_dir())):
            self.add("sync_folder", name=folder)
        self.add("begun")

    def below(self, path: object) -> str | None:
        """The path below the root, None for what lies elsewhere."""
        if not isinstance(path, str | os.PathLike):
            return None
        full = Path(path).absolute()
        return str(full.relative_to(self._root)) if self._root in full.parents else None

    def node(self, name: str) -> int:
        return self._nodes[name]

    def create(self, name: str) -> None:
        if name not in self._nodes:
            self._last_node += 1
            self._nodes[name] = self._last_node
            self.steps.append(Step("create", name, self._last_node))

    def rename(self, name: str, to: str) -> None:
        self._nodes[to] = self._nodes.pop(name)
        self.steps.append(Step("rename", name, to=to))

    def unlink(self, name: str) -> None:
        if self._nodes.pop(name, None) is not None:
            self.steps.append(Step("unlink", name))

    def add(self, kind: str, **facts: Any) -> None:
        self.steps.append(Step(kind, **facts))

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's own word of each file that is opened, renamed or removed; it comes before the deed."""
        if event not in ("open", "os.mkdir", "os.rename", "os.remove"):
            return
        name = self.below(arguments[0])
        if name is None:
            return
        if event == "open" and arguments[2] & os.O_CREAT:
            self.create(name)
        elif event == "os.mkdir":
            folder = Path(arguments[0])
            if folder.parent.exists() and not folder.exists():  # else it fails
                self.add("mkdir", name=name)
        elif event == "os.rename":
            to = self.below(arguments[1])
            assert to is not None, arguments
            self.rename(name, to)
        elif event == "os.remove":
            self.unlink(name)

    def fsync(self, descriptor: int) -> None:
        """Stands in for `os.fsync`: the content that Python wrote is read when it is synced."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        folder, name = path.is_dir(), self.below(path)
        if folder and self.killed_at_folder:
            self.killed_at_folder -= 1
            if not self.killed_at_folder:
                raise Killed
        if name is not None and not folder:
            self.add("write", node=self.node(name), data=path.read_bytes())
        real_fsync(descriptor)
        if folder and (name is not None or path == self._root):
            self.add("sync_folder", name=name or "")
        elif name is not None:
            self.add("sync", node=self.node(name))


class RecordedFile(apsw.VFSFile):
    """A file as SQLite sees it; the file of the operating system below it does the work."""

    def __init__(self, tape: Tape, name: str | None, base: str, file: Any, flags: list[int]) -> None:
        self._tape, self._name, self._synced = tape, name, False
        super().__init__(base, file, flags)
        self._node = tape.node(name) if name is not None else 0

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        if self._name is not None:
            self._tape.add("write", node=self._node, at=offset, data=bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        if self._name is not None:
            self._tape.add("truncate", node=self._node, at=size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if self._name is None:
            return
        self._tape.add("sync", node=self._node)
        if not self._synced and self._name.endswith(SYNC_BY_SQLITE):
            self._tape.add("sync_folder", name=str(Path(self._name).parent))
        self._synced = True


class RecordedDisk(apsw.VFS):
    """The files of the operating system, with a tape that notes what is asked of them."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        super().__init__("recorded", "")

    def xOpen(self, name: Any, flags: list[int]) -> RecordedFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        below = self._tape.below(path) if path is not None else None
        if below is not None:
            self._tape.create(below)
        return RecordedFile(self._tape, below, "", name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        below = self._tape.below(filename)
        if below is None:
            return
        self._tape.unlink(below)
        if syncdir:
            self._tape.add("sync_folder", name=str(Path(below).parent))


class Adapter:
    """An apsw connection with the few names that the record asks of a connection."""

    def __init__(self, uri: str, pragmas: tuple[str, ...]) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        self.raw = apsw.Connection(uri, flags=flags, vfs="recorded")
        for pragma in ("locking_mode=EXCLUSIVE", *pragmas):
            self.raw.execute(f"PRAGMA {pragma}")

    def execute(self, sql: str, arguments: Any = ()) -> apsw.Cursor:
        return self.raw.execute(sql, arguments)

    @property
    def in_transaction(self) -> bool:
        return self.raw.in_transaction

    def set_authorizer(self, authorizer: Callable[..., int]) -> None:
        self.raw.authorizer = authorizer

    def close(self) -> None:
        self.raw.close()

    def be_less_sure(self) -> None:
        """Commit without a sync, as a record must never be set."""
        guard, self.raw.authorizer = self.raw.authorizer, None
        self.raw.execute("PRAGMA synchronous=NORMAL")
        self.raw.authorizer = guard


class Workload:
    """What a unit does to its record, in an order that the seed draws."""

    def __init__(self, folder: Path, tape: Tape, seed: int, synchronous: str) -> None:
        self._folder, self._tape, self._chance = folder, tape, random.Random(seed)
        self._normal = synchronous == "NORMAL"
        self._number = 0
        self._record: Record

    def play(self) -> None:
        there = (self._folder / DATABASE).exists()
        self._record = Record.open(self._folder, key=UNIT_KEY) if there else new_record(self._folder)
        for log in schema.LOGS:
            self._promise_records(list(self._record.read(log=log)), log)
        deeds = (
            [self._append] * 8
            + [self._refused, self._seal, self._picture, self._acknowledged] * 2
            + [self._checkpoint]
        )
        for _ in range(self._chance.randint(2, 3)):
            if self._normal:
                self._record._connection.be_less_sure()  # type: ignore[attr-defined]
            for _ in range(self._chance.randint(5, 12)):
                self._chance.choice(deeds)()
            self._record.close()
            self._record = Record.open(self._folder, key=UNIT_KEY)
        self._record.close()

    def _promise_records(self, records: list[Any], log: str) -> None:
        for one in records:
            self._tape.add("promise", name="record", at=one.seq, data=one.hash, to=log)

    def _new(self, log: str) -> NewRecord:
        self._number += 1
        longest = self._chance.choice((40, 400, 400, 9_000))
        text = "x" * self._chance.randrange(longest)
        payload = encode_payload(BATCH, None, {"text": text, "number": self._number})
        return NewRecord(
            kind="CommentAdded", payload=payload, actor="unit", stamp=stamp(self._number), log=log
        )

    def _append(self) -> None:
        logs = self._chance.choices(schema.LOGS, (3, 1), k=self._chance.choice((1, 1, 1, 2, 5, 12)))
        stored = self._record.append_many([self._new(log) for log in logs])
        for log, one in zip(logs, stored, strict=True):
            self._promise_records([one], log)

    def _refused(self) -> None:
        """A transaction that is rolled back, after pages of it may have reached the disk."""
        good = [self._new("gxp") for _ in range(self._chance.randint(1, 6))]
        bad = NewRecord(kind="CommentAdded", payload=b"not JSON", actor="unit", stamp=stamp())
        with suppress(RecordRefused):
            self._record.append_many([*good, bad])
            raise AssertionError("the record took what is no payload")

    def _seal(self) -> None:
        log = self._chance.choice(schema.LOGS)
        made = self._record.seal(stamp(self._number), log=log)
        if made is not None:
            self._tape.add("promise", name="segment", at=made.last, to=log)

    def _picture(self) -> None:
        """Keep a picture; at times the first who tries is killed before its name is on the disk."""
        data = self._chance.randbytes(self._chance.randrange(1, 5_000))
        self._tape.killed_at_folder = self._chance.choice((0, 0, 1, 2))
        with suppress(Killed):
            self._record.put_blob(data, "image/png")
        self._tape.killed_at_folder = 0
        reference = self._record.put_blob(data, "image/png")
        self._tape.add("promise", name="blob", to=reference.sha256)

    def _acknowledged(self) -> None:
        head = self._record.head()
        ack = b'{"acked_hash":"%s","acked_seq":%d}' % (head.hash.hex().encode(), head.seq)
        self._record.store_ack(ack, b"signature", log="gxp", acked_seq=head.seq)
        self._tape.add("promise", name="ack", at=head.seq, to="gxp")

    def _checkpoint(self) -> None:
        self._record.checkpoint()


def main() -> None:
    folder, target, seed = Path(sys.argv[1]).absolute(), Path(sys.argv[2]), int(sys.argv[3])
    tape, chance = Tape(folder.parent), random.Random(seed)
    pragmas = (
        f"wal_autocheckpoint={chance.choice((4, 15, 60, 1000))}",
        f"cache_size={chance.choice((4, 2000))}",
    )
    tape.begin_with_what_is_there()
    disk = RecordedDisk(tape)
    sqlite.dbapi2 = SimpleNamespace(  # type: ignore[assignment]
        connect=lambda path, **_: Adapter(path, pragmas), sqlite_version=apsw.sqlite_lib_version()
    )
    sqlite.Error = apsw.Error
    os.fsync = tape.fsync  # type: ignore[assignment]
    sys.addaudithook(tape.hear)
    Workload(folder, tape, seed, sys.argv[4] if len(sys.argv) > 4 else "FULL").play()
    save_tape(target, tape.steps)
    disk.unregister()


if __name__ == "__main__":
    main()
