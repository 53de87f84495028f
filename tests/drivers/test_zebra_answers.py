"""What a label printer may answer, and what a print makes of a line that damages its answers."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
from fuzzed_replies import Script
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_line import MemoryWire, joined, on_virtual_time
from printing import DOTS, zpl

from drivers.faults import CutShort, DeviceFault, DeviceRefused
from drivers.framing import BrokenFrame
from drivers.printers.zpl_answers import (
    HostStatus,
    identity_of,
    is_identity,
    status_of,
    take_zpl_answer,
    value_of,
)
from drivers.printers.zpl_job import JobUnusable, job_of
from drivers.simulated.zpl_raster import NoGraphic, graphic
from drivers.wire import WriteStuck

quick = settings(derandomize=True, deadline=None, max_examples=200)
FIRST, SECOND, THIRD = (
    b"\x02030,0,0,1245,000,0,0,0,000,0,0,0",
    b"\x02000,0,0,0,0,2,4,0,00000000,1,000",
    b"\x021234,0",
)
F_028 = pytest.mark.requirement("F-028")


def with_field(line: bytes, place: int, value: str) -> bytes:
    fields = line.decode("ascii").split(",")
    fields[place] = value
    return ",".join(fields).encode("ascii")


def test_the_status_of_the_guide_reads_as_ready() -> None:
    status = status_of((FIRST, SECOND, THIRD))

    assert (status.state, status.busy, status.waiting) == ("ready", False, 0)


@pytest.mark.parametrize(
    ("line", "place", "value", "state"),
    [
        (0, 1, "1", "paper_out"),
        (0, 2, "1", "paused"),
        (0, 4, "001", "printing"),
        (0, 7, "1", "printing"),
        (0, 9, "1", "error"),
        (0, 10, "1", "error"),
        (0, 11, "1", "error"),
        (1, 2, "1", "head_open"),
        (1, 3, "1", "ribbon_out"),
        (1, 7, "1", "printing"),
        (1, 8, "00000003", "printing"),
        (1, 8, "01334273", "ready"),  # no batch is so long: some put another count there
    ],
)
def test_each_flag_of_the_status_is_one_state(line: int, place: int, value: str, state: str) -> None:
    frames = [FIRST, SECOND, THIRD]
    frames[line] = with_field(frames[line], place, value)

    assert status_of((frames[0], frames[1], frames[2])).state == state


def test_what_needs_a_hand_comes_before_the_pause_that_it_brings() -> None:
    paused = with_field(FIRST, 2, "1")

    assert status_of((with_field(paused, 1, "1"), SECOND, THIRD)).state == "paper_out"
    assert status_of((with_field(paused, 1, "1"), with_field(SECOND, 2, "1"), THIRD)).state == "head_open"


@F_028
@quick
@given(st.data())
def test_a_status_with_one_changed_byte_is_refused_or_says_what_stands_there(data: st.DataObject) -> None:
    frames = [FIRST, SECOND, THIRD]
    which = data.draw(st.integers(0, 2))
    place = data.draw(st.integers(0, len(frames[which]) - 1))
    byte = data.draw(st.integers(0, 255))
    frames[which] = frames[which][:place] + bytes((byte,)) + frames[which][place + 1 :]

    try:
        status = status_of((frames[0], frames[1], frames[2]))
    except BrokenFrame:
        return
    assert isinstance(status, HostStatus)
    assert bytes((byte,)).isalnum() or frames == [FIRST, SECOND, THIRD]


@F_028
@quick
@given(st.binary(max_size=120))
def test_no_bytes_are_identity_status_and_value_at_once(frame: bytes) -> None:
    kinds = 0
    for read in (identity_of, value_of, lambda one: status_of((one, SECOND, THIRD))):
        try:
            read(frame)
        except BrokenFrame:
            continue
        kinds += 1

    assert kinds <= 1


def test_only_the_answer_to_who_it_is_ends_a_doubt() -> None:
    identity = b"\x02ZD421-300dpi ZPL,V93.21.15Z,12,65536KB,"

    assert identity_of(identity).dpi == 300
    assert is_identity(identity)
    assert not any(map(is_identity, (FIRST, SECOND, THIRD, b'"D2J204701234"')))


@pytest.mark.parametrize("between", [b"", b"\r\n", b"\x11", b"\x13\r\n\x11"])
def test_answers_are_cut_whatever_flow_control_stands_between_them(between: bytes) -> None:
    buffer = bytearray(between.join((FIRST + b"\x03\r\n", b'"1235"', THIRD + b"\x03\r\n")) + between)

    assert [take_zpl_answer(buffer) for _ in range(4)] == [FIRST, b'"1235"', THIRD, None]


@F_028
@quick
@given(st.binary(max_size=300))
def test_any_bytes_are_a_graphic_of_whole_rows_or_none(data: bytes) -> None:
    try:
        raster = graphic(b"A,32,32,4," + data)
    except NoGraphic:
        return
    assert [len(row) for row in raster.rows] == [4] * 8


@F_028
@quick
@given(
    st.binary(min_size=6, max_size=400).map(lambda data: data[: len(data) // 6 * 6]), st.integers(0, 2**32)
)
def test_the_twin_unpacks_any_way_of_packing_a_graphic(data: bytes, seed: int) -> None:
    """Written apart from the packer of labels: runs are cut, joined and shortened here by chance."""
    chance = random.Random(seed)
    packed = b"".join(packed_by_chance(data[at : at + 6], chance) for at in range(0, len(data), 6))

    raster = graphic(b"A,%d,%d,6,%b" % (len(data), len(data), packed))

    assert b"".join(raster.rows) == data


def packed_by_chance(row: bytes, chance: random.Random) -> bytes:
    digits, out, at = row.hex().upper(), b"", 0
    while at < len(digits):
        rest = digits[at:]
        if set(rest) == {"0"} and chance.random() < 0.5:
            return out + b","
        if set(rest) == {"F"} and chance.random() < 0.5:
            return out + b"!"
        length = len(rest) - len(rest.lstrip(rest[0]))
        length = chance.randint(1, min(length, 19))
        count = bytes((ord("F") + length,)) if length > 1 or chance.random() < 0.3 else b""
        out += count + rest[0].encode("ascii")
        at += length
    return out


def order_of(folder: Path, copies: int, **more: str) -> dict[str, str]:
    file = folder / "label.zpl"
    file.write_bytes(zpl(copies))
    sha256 = hashlib.sha256(zpl(copies)).hexdigest()
    return {"job": "j1", "zpl_file": str(file), "copies": str(copies), "sha256": sha256, **more}


@pytest.mark.requirement("F-091")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"copies": "0"}, "copies"),
        ({"copies": "100"}, "copies"),
        ({"copies": "1.0"}, "copies"),
        ({"job": "../x"}, "job is named"),
        ({"sha256": "x"}, "sha256"),
        ({"dpi": "299"}, "dpi"),
        ({"zpl_file": "label.zpl"}, "whole path"),
        ({"zpl_file": "/tmp/../etc/passwd"}, "whole path"),
        ({"zpl_file": "/nowhere/label.zpl"}, "cannot be read"),
        ({"zpl_file": "/dev/null"}, "is no file"),
    ],
)
def test_an_order_without_sense_is_refused_in_words(
    tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    with pytest.raises(JobUnusable, match=words):
        job_of(order_of(tmp_path, 1) | changed)


def test_a_link_is_no_label_file(tmp_path: Path) -> None:
    order = order_of(tmp_path, 1)
    link = tmp_path / "link.zpl"
    link.symlink_to(order["zpl_file"])

    with pytest.raises(JobUnusable, match="cannot be read"):
        job_of(order | {"zpl_file": str(link)})


def printed_through(folder: Path, data: bytes, *, stock: int = 99) -> None:
    """Print three copies while each answer is changed as `data` says; what is told must be so.

    Raises
    ------
    AssertionError
        A label told that never came out, more of them than ordered, other dots, or a refusal that printed.
    """
    with on_virtual_time() as clock:
        made: tuple[Any, Any] = joined("zebra-zpl", clock, Script(data).damage)
        driver, twin = made
        twin.stock = stock
        try:
            driver.open()
        except DeviceFault:
            return
        began_s = clock.now_s
        try:
            result = driver.order("print", order_of(folder, 3))
        except CutShort as fault:
            told = fault.result["printed"]
            assert int(told) <= len(twin.came_out), f"{told} told, {len(twin.came_out)} came out"
        except DeviceRefused:
            assert twin.came_out == []
        except DeviceFault:
            pass
        else:
            assert result["printed"] == "3" == str(len(twin.came_out))
        assert clock.now_s - began_s < 90.0
        assert len(twin.came_out) <= 3
        assert set(twin.came_out) <= {DOTS}


@pytest.mark.requirement("F-091", "F-028")
@pytest.mark.parametrize("stock", [99, 1])
def test_whatever_a_line_makes_of_its_answers_no_label_is_told_that_did_not_come_out(
    tmp_path: Path, stock: int
) -> None:
    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.binary(max_size=200))
    def whatever(data: bytes) -> None:
        printed_through(tmp_path, data, stock=stock)

    whatever()


@pytest.mark.requirement("F-091", "F-028")
def test_a_count_that_no_second_answer_confirms_counts_for_nothing(tmp_path: Path) -> None:
    """The printer loses its power behind the first label; then thirty answers of its odometer are wrong."""
    with on_virtual_time() as clock:
        wrong: list[bytes] = []
        off = False

        def damaged(reply: bytes) -> list[bytes]:
            nonlocal off
            if len(twin.came_out) == 1 and not off:
                off = True
                twin.restart(clock.now_s)
            elif off and reply == b'"1235"' and len(wrong) < 30:
                wrong.append(f'"{1237 + len(wrong)}"'.encode("ascii"))
                return [wrong[-1]]
            return [reply]

        made: tuple[Any, Any] = joined("zebra-zpl", clock, damaged)
        driver, twin = made
        twin.boot_s = 0.0
        driver.open()
        with pytest.raises(CutShort) as told:
            driver.order("print", order_of(tmp_path, 3))

    assert len(wrong) == 30
    assert (told.value.kind, told.value.result["printed"]) == ("lost", "1")


@pytest.mark.requirement("F-091")
def test_the_end_of_a_job_is_not_thrown_away_on_a_line_that_is_still_busy_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port holds a few KiB for its line, and throws them away where a request cannot follow in time."""
    with on_virtual_time() as clock:
        busy_until_s = 0.0

        def write_some(wire: MemoryWire, data: bytes, wait_s: float) -> int:
            nonlocal busy_until_s
            if clock.now_s + wait_s < busy_until_s:
                clock.sleep(wait_s)
                return 0
            MemoryWire.put(wire, data[:64])
            busy_until_s = clock.now_s + 0.6
            return len(data[:64])

        def write(wire: MemoryWire, data: bytes, wait_s: float) -> None:
            if clock.now_s + wait_s < busy_until_s:
                raise WriteStuck("the end of the job is thrown away")
            MemoryWire.put(wire, data)

        monkeypatch.setattr(MemoryWire, "write_some", write_some)
        monkeypatch.setattr(MemoryWire, "write", write)
        made: tuple[Any, Any] = joined("zebra-zpl", clock, lambda reply: [reply])
        driver, twin = made
        driver.open()

        assert driver.order("print", order_of(tmp_path, 1))["printed"] == "1"
        assert twin.came_out == [DOTS]
