"""The line itself: who holds it, how it ends, what it drops, and what it never waits for."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import serial
import serial.rfc2217

from drivers.faults import DeviceFault, DeviceGarbled, DeviceSilent, LineFlooded, LineLost, StrayBytes
from drivers.framing import take_line
from drivers.line import WRITE_TIMEOUT_S, LineSettings, SerialLine, settings_enforceable
from drivers.trace import ENTRY_BYTES_MAX, Trace, linked, shown_bytes

PLAIN = LineSettings(baud_rate=9600)


@dataclass
class FarEnd:
    """The device's end of a line: says what a test tells it to say to each request, byte for byte."""

    answers: Callable[[bytes], list[bytes]] = lambda request: [b"OK\r\n"]
    heard: list[bytes] = field(default_factory=list)
    master: int = -1
    slave: int = -1

    def __post_init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> str:
        return os.ttyname(self.slave)

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def _serve(self) -> None:
        while not self._stop.is_set():
            if select.select([self.master], [], [], 0.01)[0]:
                data = os.read(self.master, 4096)
                self.heard.append(data)
                for answer in self.answers(data):
                    os.write(self.master, answer)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(2)
        for descriptor in (self.master, self.slave):
            os.close(descriptor)


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.end()


@pytest.fixture
def line(far_end: FarEnd) -> Iterator[SerialLine]:
    opened = SerialLine("Balance", far_end.port, PLAIN, take_line)
    opened.open()
    yield opened
    opened.close()


def test_a_second_program_at_a_held_port_is_told_that_it_is_held(far_end, line):
    with pytest.raises(LineLost, match="another program holds"):
        SerialLine("Balance", far_end.port, PLAIN, take_line).open()


def test_a_closed_port_is_free_at_once_though_a_child_just_forked_still_holds_its_descriptor(far_end, line):
    inherited = line._wire._end
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[inherited]) as child:
        line.close()

        line.open()

        assert line.ask(b"SI\r\n", timeout_s=1.0) == b"OK"
        child.terminate()


def test_a_port_that_is_not_there_is_told_as_such():
    with pytest.raises(LineLost, match="there is no port"):
        SerialLine("Balance", "/dev/serial/by-id/nothing-here", PLAIN, take_line).open()


def test_no_other_thread_may_use_a_line(line):
    found: list[BaseException] = []

    def intrude() -> None:
        try:
            line.ask(b"SI\r\n", timeout_s=0.1)
        except AssertionError as error:
            found.append(error)

    intruder = threading.Thread(target=intrude)
    intruder.start()
    intruder.join()

    assert "the thread that opened" in str(found[0])
    assert line.ask(b"SI\r\n", timeout_s=1.0) == b"OK"


def test_a_line_that_is_hung_up_is_lost_at_once_whether_asked_or_waited_for():
    for act in (lambda held: held.ask(b"SI\r\n", timeout_s=5.0), lambda held: held.receive(timeout_s=5.0)):
        master, slave = os.openpty()
        held = SerialLine("Balance", os.ttyname(slave), PLAIN, take_line)
        held.open()
        os.close(slave)
        threading.Timer(0.1, os.close, [master]).start()

        began = time.monotonic()
        with pytest.raises(LineLost, match="is gone"):
            while True:
                act(held)
        assert time.monotonic() - began < 1.0
        held.close()


def test_a_late_reply_is_dropped_by_resynchronising_and_answers_nothing(far_end, line):
    far_end.answers = lambda request: []
    with pytest.raises(DeviceSilent):
        line.ask(b"SI\r\n", timeout_s=0.05)
    far_end.say(b"S S     100.00 g\r\n")
    far_end.answers = lambda request: [b'S S     999.99 g\r\nI2 A "model"\r\n']
    time.sleep(0.03)

    dropped = line.resynchronise(b"I2\r\n", lambda frame: frame.startswith(b"I2"), timeout_s=1.0)

    assert b"100.00" in dropped
    assert b"999.99" in dropped
    far_end.answers = lambda request: [b"S S       5.00 g\r\n"]
    assert line.ask(b"SI\r\n", timeout_s=1.0) == b"S S       5.00 g"


def test_what_stood_in_the_line_before_a_request_stops_it(far_end, line):
    far_end.say(b'I4 A "B1"\r\n')
    time.sleep(0.05)

    with pytest.raises(StrayBytes):
        line.ask(b"SI\r\n", timeout_s=1.0)
    assert far_end.heard == []


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ([b"SI\r\nS S 1 g\r\n"], b"S S 1 g"),
        ([b"S", b"I\r\nS S 1 g\r\n"], b"S S 1 g"),
        ([b"SI\r\nSI\r\n"], b"SI"),  # a reply that equals its request comes behind the echo
        ([b"S S 1 g\r\n"], b"S S 1 g"),  # the adapter does not echo after all
    ],
)
def test_an_echo_is_dropped_once_and_what_comes_behind_it_is_the_reply(far_end, said, reply):
    far_end.answers = lambda request: said
    echoing = SerialLine("Balance", far_end.port, PLAIN, take_line, echoes=True)
    echoing.open()

    assert echoing.ask(b"SI\r\n", timeout_s=1.0) == reply
    echoing.close()


def test_an_echo_without_a_reply_is_silence(far_end):
    far_end.answers = lambda request: [request]
    echoing = SerialLine("Balance", far_end.port, PLAIN, take_line, echoes=True)
    echoing.open()

    with pytest.raises(DeviceSilent):
        echoing.ask(b"SI\r\n", timeout_s=0.1)
    echoing.close()


def test_on_a_line_that_does_not_echo_a_reply_equal_to_its_request_is_a_reply(far_end, line):
    far_end.answers = lambda request: [request]

    assert line.ask(b"1H\r\n", timeout_s=1.0) == b"1H"


def test_a_write_that_nobody_takes_ends_in_time_and_so_does_closing():
    master, slave = os.openpty()
    tty.setraw(slave)
    held = SerialLine("Pump", os.ttyname(slave), PLAIN, take_line)
    held.open()
    began = time.monotonic()
    with pytest.raises(DeviceSilent, match="does not take any bytes"):
        while time.monotonic() - began < 10:
            held.send_at_once(b"0RUN\r" * 400)

    assert time.monotonic() - began < WRITE_TIMEOUT_S + 1.0
    began = time.monotonic()
    held.close()
    assert time.monotonic() - began < 1.0
    os.close(master)
    os.close(slave)


@pytest.mark.requirement("F-026")
def test_a_device_that_floods_costs_little_time_and_memory_and_is_told():
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    stop = threading.Event()
    spoken = [0]

    def flood() -> None:
        while not stop.is_set():
            try:
                spoken[0] += os.write(master, b"\x80rubbish without an end " * 100)
            except BlockingIOError:
                stop.wait(0.001)

    talker = threading.Thread(target=flood)
    held = SerialLine("Pump", os.ttyname(slave), PLAIN, take_line)
    held.open()
    talker.start()
    told: list[type[DeviceFault]] = []
    began, began_cpu = time.monotonic(), time.thread_time()
    try:
        while time.monotonic() - began < 1.0:
            try:
                held.ask(b"SI\r\n", timeout_s=0.2)
            except DeviceGarbled as fault:
                told.append(type(fault))
                held.rest(0.0)  # a driver asks again at once
    finally:
        stop.set()
        talker.join()
    held.close()
    os.close(master)
    os.close(slave)

    assert LineFlooded in told
    assert time.thread_time() - began_cpu < 0.5
    assert sum(len(entry.data) for entry in held.trace) <= 512 * ENTRY_BYTES_MAX


class FarPort:
    """A port of another machine, as RFC 2217 shows it: keeps what it was set to."""

    def __init__(self) -> None:
        self.port = serial.serial_for_url("loop://", timeout=0.01)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)

    def _serve(self) -> None:
        self._connection, _ = self._listener.accept()
        manager = serial.rfc2217.PortManager(self.port, self)
        while data := self._connection.recv(1024):
            for byte in manager.filter(data):
                self.write(b"".join(manager.escape(byte)) if byte != b"\r" else b"OK\r\n")

    def end(self) -> None:
        self._thread.join(2)
        self._listener.close()


@pytest.mark.parametrize(
    ("byte_bits", "parity", "baud_rate"), [(7, "E", 4800), (8, "O", 9600), (7, "O", 1200)]
)
def test_bits_and_parity_reach_a_port_behind_rfc2217(byte_bits, parity, baud_rate):
    far = FarPort()
    settings = LineSettings(baud_rate=baud_rate, byte_bits=byte_bits, parity=parity)
    held = SerialLine("Thermostat", far.url, settings, take_line)

    held.open()

    assert held.enforced
    assert (far.port.bytesize, far.port.parity, far.port.baudrate) == (byte_bits, parity, baud_rate)
    assert held.ask(b"\r", timeout_s=2.0) == b"OK"
    held.close()
    far.end()


def test_a_line_over_a_bare_socket_is_read_and_its_end_is_told():
    listener = socket.create_server(("127.0.0.1", 0))
    held = SerialLine("Balance", f"socket://127.0.0.1:{listener.getsockname()[1]}", PLAIN, take_line)
    held.open()
    far, _ = listener.accept()
    far.sendall(b"S S 1 g\r\n")

    assert not held.enforced
    assert held.receive(timeout_s=1.0) == b"S S 1 g"
    far.close()
    with pytest.raises(LineLost):
        held.receive(timeout_s=2.0)
    held.close()
    listener.close()


def test_a_pseudo_terminal_carries_neither_parity_nor_seven_bits_and_opens_all_the_same(far_end):
    held = SerialLine(
        "Thermostat", far_end.port, LineSettings(baud_rate=4800, byte_bits=7, parity="E"), take_line
    )

    for _ in range(3):
        held.open()
        assert held.ask(b"version\r\n", timeout_s=1.0) == b"OK"
        held.close()

    assert not settings_enforceable(far_end.port)
    assert not held.enforced
    assert termios.tcgetattr(far_end.slave)[2] & termios.CSIZE == termios.CS8


@pytest.mark.requirement("F-033")
def test_every_exchange_has_a_number_and_every_reading_knows_its_own(line):
    from drivers.reading import reading_now

    before = line.traced.exchange
    readings = []
    for name in ("bath_c", "probe_c"):
        line.ask(f"{name}\r\n".encode(), timeout_s=1.0)
        line.ask(f"{name}\r\n".encode(), timeout_s=1.0)
        readings.append(reading_now(name, None, "", "bad"))
    readings.append(reading_now("of the same reply", None, "", "bad"))

    told = linked(readings, line.traced.since(before))

    assert [reading.exchanges for reading in told] == [(1, 2), (3, 4), (3, 4)]
    asked = [entry.data for entry in line.trace if entry.exchange == 3 and entry.direction == "out"]
    assert asked == [b"probe_c\r\n"]


def test_a_trace_keeps_the_beginning_of_what_is_too_long():
    trace = Trace()
    trace.note("in", b"x" * 5000)

    assert (trace.entries[0].size, len(trace.entries[0].data)) == (5000, ENTRY_BYTES_MAX)


def test_bytes_are_shown_so_that_people_can_read_them():
    assert shown_bytes(b"\x02S S <1> g\xb5\r\n") == "<STX>S S <3C>1<3E> g<B5><CR><LF>"
