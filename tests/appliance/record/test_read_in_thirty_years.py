"""An archive and a copied record are read with sqlite3, json and the page that lies in each archive.

Nothing of Cellwright is imported by the readers here: they run in a Python of their own that cannot
see it, and are written after `docs/record-format.md`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from record_bench import BATCH, new_record, run_batch, stamp

from appliance.record.canonical import NewRecord, encode_payload
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.measurements import KIND, PAYLOAD_VERSION, Chunk, ChunkWriter, Track

START = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)

# Section 1: a header of 208 bytes, then JSON.
EVENTS = """
import json, sys
def event(data):
    assert data[:4] == b"CWR1" and int.from_bytes(data[204:208], "big") == len(data) - 208
    text = lambda a, b: data[a:b].rstrip(bytes(1)).decode()
    return {"seq": int.from_bytes(data[72:80], "big"), "wall_us": int.from_bytes(data[80:88], "big"),
            "actor": text(124, 156), "kind": text(156, 204),
            "payload_version": int.from_bytes(data[114:116], "big"), **json.loads(data[208:])}
"""
FROM_ARCHIVE = """
import zipfile
def records(log):
    with zipfile.ZipFile(sys.argv[1]) as archive:
        assert "A record is a fixed header of 208 bytes" in archive.read("schema/record-format.txt").decode()
        raw = archive.read(f"records/{log}.bin")
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at:at + 8], "big")
        yield raw[at + 8:at + 8 + size]
        at += 8 + size
"""
FROM_DATABASE = """
import sqlite3
def records(log):
    for (data,) in sqlite3.connect(sys.argv[1]).execute(f"SELECT data FROM {log}_record ORDER BY seq"):
        yield data
"""
TELL_EVENTS = "print(json.dumps([event(data) for data in records('gxp')]))\n"
# Section 8: bits.
CHUNKS = """
class Bits:
    def __init__(self, text):
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
        short = -len(text) % 5
        self.bits, text = "", text + "~" * short
        for at in range(0, len(text), 5):
            word = 0
            for sign in text[at:at + 5]:
                word = word * 85 + digits.index(sign)
            self.bits += format(word, "032b")
        self.bits, self.at = self.bits[:len(self.bits) - 8 * short], 0
    def take(self, width):
        self.at += width
        return int(self.bits[self.at - width:self.at] or "0", 2)
    def number(self):
        return self.take(self.take(6))
    def signed(self):
        return fold(self.number())
    def text(self):
        return bytes(self.take(8) for _ in range(self.number())).decode()
    def rice(self, count):
        k, quotients = self.take(5), []
        for _ in range(count):
            end = self.bits.index("1", self.at)
            quotients.append(end - self.at)
            self.at = end + 1
        rests = [self.take(k) for _ in range(count)]
        quotients = [q + self.number() if q == 20 else q for q in quotients]
        return [fold(q << k | rest) for q, rest in zip(quotients, rests)]
    def series(self, count, near=0):
        form, a = self.take(2), self.signed() + near
        if form == 0:
            return [a] * count
        if form == 1:
            return [a + one for one in self.rice(count)]
        if form == 2:
            values = [a]
            for step in self.rice(count - 1):
                values.append(values[-1] + step)
            return values
        if self.take(1):
            values = []
            for run in range(self.number()):
                a += self.signed() if run else 0
                values += [a] * self.number()
            return values
        values, step = [a], self.signed()
        for bend in [0, *self.rice(count - 2)]:
            step += bend
            values.append(values[-1] + step)
        return values
def fold(code):
    return code >> 1 if code % 2 == 0 else -(code >> 1) - 1
def decimal(number, scale):
    digits = str(abs(number)).rjust(scale + 1, "0")
    return ("-" if number < 0 else "") + (digits[:-scale] + "." + digits[-scale:] if scale else digits)
def chunk(one, tables):
    bits = Bits(one["body"]["chunk"])
    start, tick, span, table_seq = (bits.number() for _ in range(4))
    if not table_seq:
        row = lambda: [bits.text(), bits.text(), bits.text(), bits.number(), bits.signed()]
        tables[one["seq"]] = [row() for _ in range(bits.number())]
    ticks, told = list(range(span)), []
    for device, name, unit, scale, near in tables[table_seq or one["seq"]]:
        if not bits.take(1):
            continue
        if not bits.take(1):
            ticks = bits.series(bits.number())
        states = [0] * len(ticks) if bits.take(1) else bits.series(len(ticks))
        came = [state for state in states if state % 2 == 0]
        values = []
        if came and bits.take(1):
            values = [decimal(number, scale) for number in bits.series(len(came), near)]
        elif came and bits.take(1):
            words = [bits.text() for _ in range(bits.number())]
            values = [words[place] for place in bits.series(len(came))]
        elif came:
            scales = bits.series(len(came))
            values = [decimal(*both) for both in zip(bits.series(len(came), near), scales)]
        left = iter(values)
        told += [[device, name, unit, start + tick * at, None if state % 2 else next(left),
                  ["good", "uncertain", "bad", "stale"][state // 2]] for at, state in zip(ticks, states)]
    return told
tables = {}
events = [event(data) for data in records("telemetry")]
print(json.dumps([row for one in events if one["kind"] == "ReadingsPacked" for row in chunk(one, tables)]))
"""


def told_by(program: str, path: Path) -> list[object]:
    """What a Python that cannot see Cellwright makes of a file."""
    command = [sys.executable, "-I", "-S", "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def readings() -> list[Track]:
    valve = Track("valve", "state", "", [0, 5], ["open", "shut °"], ["good", "uncertain"])
    jump = [f"{number / 10:.1f}" for number in [*range(30), 9_999_999, *range(29, 0, -1)]]
    bath = [None if second == 7 else f"37.{second % 3}0" for second in range(60)]
    curve = [f"{second * second - 500}" for second in range(60)]
    mixed = ["9.99", "10.0", "-0.5", "100"]
    return [
        Track(
            "bath", "bath_c", "degC", [*range(60)], bath, ["bad" if one is None else "good" for one in bath]
        ),
        Track("flow", "curve", "mL", [*range(60)], [*curve], ["good"] * 60),
        Track("flow", "jump", "mL/min", [*range(60)], [*jump], ["good"] * 60),
        Track("ph", "ph", "", [3, 17, 18, 59], [*mixed], ["good"] * 4),
        Track("speed", "rpm", "rpm", [*range(0, 60, 10)], ["0", "0", "0", "120", "120", "120"], ["good"] * 6),
        valve,
    ]


def a_record(folder: Path) -> Record:
    """A batch with pictures, signatures, a decision and two minutes of readings."""
    record, writer = new_record(folder), ChunkWriter()
    run_batch(record)
    for minute in range(2):
        body = writer.body(Chunk(START + timedelta(minutes=minute), 1000, 60, readings()))
        new = NewRecord(
            kind=KIND,
            payload=encode_payload(BATCH, None, body),
            actor="unit",
            stamp=stamp(60),
            payload_version=PAYLOAD_VERSION,
            log="telemetry",
        )
        writer.stored(record.append_many([new])[0].seq)
    record.seal(stamp(99), log="telemetry")
    return record


def expected_readings() -> list[list[object]]:
    rows: list[list[object]] = []
    for minute in range(2):
        begin = round(START.timestamp() * 1000) + 60_000 * minute
        for one in readings():
            came = zip(one.ticks, one.values, one.qualities, strict=True)
            rows += [[*one.names, begin + 1000 * tick, value, quality] for tick, value, quality in came]
    return rows


@pytest.mark.requirement("F-062", "R-05", "R-03")
def test_an_archive_is_read_with_zipfile_and_json_alone(tmp_path: Path) -> None:
    with a_record(tmp_path / "record") as record:
        path = export_batch(record, BATCH, tmp_path, report_html=b"<title>x</title>")
        expected = [(one.seq, one.header.kind, json.loads(one.payload)) for one in record.read()]

    events = told_by(EVENTS + FROM_ARCHIVE + TELL_EVENTS, path)

    found = {one["seq"]: one for one in events if isinstance(one, dict)}
    assert found
    for seq, kind, payload in expected:
        if seq in found:
            assert found[seq]["kind"] == kind
            assert {name: found[seq][name] for name in ("batch", "command", "body")} == payload
    assert {one["kind"] for one in found.values()} >= {"BatchOpened", "SignatureGiven", "DispositionRecorded"}


@pytest.mark.requirement("F-062", "R-05")
def test_a_record_copied_aside_is_read_with_sqlite3_and_json_alone(tmp_path: Path) -> None:
    with a_record(tmp_path / "record") as record:
        expected = [(one.seq, one.header.kind, one.header.actor) for one in record.read()]
        record.checkpoint()
    copy = tmp_path / "aside.db"
    shutil.copy(tmp_path / "record" / "record.db", copy)

    events = told_by(EVENTS + FROM_DATABASE + TELL_EVENTS, copy)

    assert [(one["seq"], one["kind"], one["actor"]) for one in events if isinstance(one, dict)] == expected


@pytest.mark.requirement("F-062", "R-45")
@pytest.mark.parametrize("source", ["archive", "database"])
def test_every_reading_is_read_back_after_the_published_page_alone(tmp_path: Path, source: str) -> None:
    with a_record(tmp_path / "record") as record:
        path = export_batch(record, BATCH, tmp_path, report_html=b"<title>x</title>")
        record.checkpoint()
    if source == "database":
        path = Path(shutil.copy(tmp_path / "record" / "record.db", tmp_path / "aside.db"))
    reader = FROM_ARCHIVE if source == "archive" else FROM_DATABASE

    assert told_by(EVENTS + reader + CHUNKS, path) == expected_readings()
