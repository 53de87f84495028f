"""Writers of a record that are killed at moments drawn by seed; what they acknowledged must stand.

python simulated_kills.py SEED ROUNDS prints one JSON object. One process forks all the writers, so
that a round costs milliseconds; each writer appends, seals and stores files through the real record.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "record"))

from record_bench import BATCH, UNIT_KEY, new_record, stamp

from appliance.engine.answered import Answered
from appliance.link.messages import Accepted
from appliance.record.canonical import NewRecord, encode_payload
from appliance.record.log import Record
from appliance.record.verify import verify_record

LATEST_S = 0.03
COMMITS_MAX = 12
SEAL_EVERY, BLOB_EVERY, VERIFY_EVERY = 7, 11, 20
# Where a writer kills itself, besides the blows that come from outside at any time.
MOMENTS = ("time", "time", "before", "inside", "after", "sealing")


@dataclass(slots=True)
class Tally:
    """What came of it; the last four are faults."""

    rounds: int = 0
    acknowledged: int = 0
    unreported_but_kept: int = 0
    lost: int = 0
    doubled: int = 0
    gaps: int = 0
    not_whole: int = 0

    @property
    def faults(self) -> int:
        """How often something that must not be was found."""
        return self.lost + self.doubled + self.gaps + self.not_whole


def play(folder: Path, seed: int, rounds: int) -> Tally:
    """Kill `rounds` writers of one record, one after the other, and look after each."""
    chance, tally = random.Random(seed), Tally()
    new_record(folder).close()
    told: dict[str, tuple[int, str]] = {}
    again: list[str] = []
    for number in range(1, rounds + 1):
        said, sent = _killed_writer(folder, chance, number, again)
        tally.doubled += sum(1 for id, where in said.items() if told.get(id, where) != where)
        told |= said
        again = [id for id in sent if id not in said]
        _look(folder, told, again, tally, whole=number % VERIFY_EVERY == 0 or number == rounds)
        tally.rounds = number
    tally.acknowledged = len(told)
    return tally


def _killed_writer(
    folder: Path, chance: random.Random, number: int, again: list[str]
) -> tuple[dict[str, tuple[int, str]], list[str]]:
    """What one writer said was durable before it died, and all that it had begun."""
    moment, strikes_at = chance.choice(MOMENTS), chance.randint(1, COMMITS_MAX)
    after_s, inner = chance.uniform(0, LATEST_S), chance.randrange(2**32)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _write_until_killed(folder, writing, random.Random(inner), number, again, moment, strikes_at)
    os.close(writing)
    if moment == "time":
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, encoding="ascii") as pipe:
        lines = [line.split() for line in pipe if line.endswith("\n")]
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"the writer failed: {status}"
    said = {id: (int(seq), hash) for what, id, seq, hash in lines if what == "kept"}
    return said, [id for what, id, *_ in lines if what == "sent"]


def _write_until_killed(
    folder: Path,
    pipe: int,
    chance: random.Random,
    number: int,
    again: list[str],
    moment: str,
    strikes_at: int,
) -> NoReturn:
    """The writer: what an earlier one left unanswered is sent again first, under its old id."""
    record, answered = Record.open(folder, key=UNIT_KEY), Answered()
    for stored in record.read():
        answered.take(stored)
    known = {answer.command_id: answer for answer in answered.newest(10**9)}
    done = 0
    while True:
        done += 1
        id = again[done - 1] if done <= len(again) else f"{number}-{done}"
        strikes = done == strikes_at
        os.write(pipe, f"sent {id} - -\n".encode())
        if strikes and moment == "before":
            _dies()
        first = known.get(id)
        if isinstance(first, Accepted):
            kept = next(record.read(first.seq, first.seq))
        else:
            events = [_comment(id, chance)] + [_comment(None, chance)] * chance.randrange(3)
            if strikes and moment == "inside":
                with record._transaction():
                    record._insert(events)
                    _dies()
            kept = record.append_many(events)[0]
        if strikes and moment in (
            "inside",
            "after",
        ):  # one that is known already writes nothing to be inside of
            _dies()
        os.write(pipe, f"kept {id} {kept.seq} {kept.hash.hex()}\n".encode())
        if done % BLOB_EVERY == 0:
            record.put_blob(chance.randbytes(500), "image/png")
        if done % SEAL_EVERY == 0 or (strikes and moment == "sealing"):
            record.seal(stamp(done))
        if strikes and moment == "sealing":
            _dies()


def _comment(id: str | None, chance: random.Random) -> NewRecord:
    payload = encode_payload(BATCH, id, {"text": "x" * chance.randrange(900)})
    return NewRecord(kind="CommentAdded", payload=payload, actor="p-0001", stamp=stamp(1))


def _dies() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL was survived")


def _look(
    folder: Path, told: dict[str, tuple[int, str]], unreported: list[str], tally: Tally, *, whole: bool
) -> None:
    """Open the record as the next engine would, and hold it against what was acknowledged."""
    held: dict[str, tuple[int, str]] = {}
    with Record.open(folder, key=UNIT_KEY) as record:
        for number, stored in enumerate(record.read(), 1):
            tally.gaps += number != stored.seq
            id = json.loads(stored.payload).get("command")
            if id:
                tally.doubled += id in held
                held[id] = (stored.seq, stored.hash.hex())
    tally.lost += sum(held.get(id) != where for id, where in told.items())
    tally.unreported_but_kept += sum(id in held for id in unreported)
    if whole and not verify_record(folder, None).whole:
        tally.not_whole += 1


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cw-") as place:
        tally = play(Path(place) / "record", int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(asdict(tally)))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
