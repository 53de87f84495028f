"""Checks of the line: opening, closing, who holds it, how bytes travel, what was left in it."""

from __future__ import annotations

import os
import stat
import termios
import time

from drivers.conformance.subject import (
    Broken,
    Check,
    NotTried,
    Subject,
    agree,
    milliseconds,
    refused_by,
    shown,
)
from drivers.faults import DeviceFault, LineLost
from drivers.line import LineSettings

OPEN_S = 6.0
LEFT_S = 0.4  # how long an answer that nobody awaits may take to lie in the line
BITS = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}


def stop_before_open(subject: Subject) -> str:
    """STOP on a line that nobody opened ends in words, never in a crash of the host."""
    closed = subject.fresh()
    fault = refused_by(closed.stop)
    closed.close()
    return "does nothing" if fault is None else f"told as {fault.kind}: {fault}"


def opens(subject: Subject) -> str:
    """Open, close, and open again."""
    took = []
    for _ in range(2):
        began_s = time.monotonic()
        with subject.asking():
            subject.driver.open()
        took.append(time.monotonic() - began_s)
        if took[-1] > OPEN_S:
            raise Broken(f"took {milliseconds(took[-1])}, at most {milliseconds(OPEN_S)} are allowed")
        if len(took) == 1:
            subject.driver.close()
    return " and ".join(milliseconds(one) for one in took)


def opens_once_more(subject: Subject) -> str:
    """An open device stays open, and answers, when it is opened once more."""
    with subject.asking():
        subject.driver.open()
    return shown(subject.good())


def second_opener(subject: Subject) -> str:
    """A second program cannot take the port, and is told why."""
    second = subject.fresh()
    fault = refused_by(second.open)
    second.close()
    if fault is None:
        raise Broken("a second driver opened the port: two programs would talk at once")
    if not isinstance(fault, LineLost):
        raise Broken(f"the second opener was told {fault.kind}, which sends people to the device: {fault}")
    subject.good()
    return str(fault)


def settings_hold(subject: Subject) -> str:
    """The port has the speed, bits and parity that the driver declares."""
    line = subject.driver.line
    wanted = line.settings
    name = f"{wanted.baud_rate} {wanted.byte_bits}{wanted.parity}{wanted.stop_bits}"
    if not line.enforced:
        raise NotTried(f"{name} is declared; a pseudo-terminal carries neither parity nor 7 bits")
    try:
        port = os.open(subject.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise NotTried(
            f"{name} is declared; the port cannot be looked at beside its driver ({error})"
        ) from error
    try:
        if not stat.S_ISCHR(os.fstat(port).st_mode):
            raise NotTried(f"{name} is declared; {subject.port} is no terminal")
        held = termios.tcgetattr(port)
    finally:
        os.close(port)
    if wrong := _differences(held, wanted):
        raise Broken(f"{name} is declared; the port differs in {', '.join(wrong)}")
    return f"{name}, as the port says"


def old_answers(subject: Subject) -> str:
    """What answers a question nobody waits for is never taken for the next reading."""
    before = subject.good()
    began_s = time.monotonic()
    left = 0
    for question in sorted(subject.questions, key=len)[-3:]:
        subject.driver.line.send_at_once(question)
        time.sleep(LEFT_S)
        left += 1
        try:
            seen = subject.read()
        except DeviceFault:
            continue  # A typed fault is honest: bytes came that nobody asked for.
        for name, reading in seen.items():
            if reading.quality != "good" or name not in before:
                continue
            if not agree(subject.role, name, before[name].value, reading.value, time.monotonic() - began_s):
                raise Broken(f"{name} became {reading.value} in place of {before[name].value}")
    return f"{left} answers left in the line; then {shown(subject.good())}"


def closes_twice(subject: Subject) -> str:
    """Closing is harmless when closed already; a closed line says so."""
    subject.driver.close()
    subject.driver.close()
    fault = refused_by(subject.driver.read)
    if not isinstance(fault, LineLost):
        raise Broken(f"a read on the closed line ended with {fault!r} and not with the words of a lost line")
    return str(fault)


def _differences(held: list[object], wanted: LineSettings) -> list[str]:
    flags, speed = held[2], held[4]
    assert isinstance(flags, int)
    wrong = []
    if flags & termios.CSIZE != BITS[wanted.byte_bits]:
        wrong.append("data bits")
    if bool(flags & termios.PARENB) != (wanted.parity != "N"):
        wrong.append("parity")
    elif wanted.parity != "N" and bool(flags & termios.PARODD) != (wanted.parity == "O"):
        wrong.append("parity, odd or even")
    if bool(flags & termios.CSTOPB) != (wanted.stop_bits == 2):
        wrong.append("stop bits")
    if speed != getattr(termios, f"B{wanted.baud_rate}", speed):
        wrong.append("speed")
    return wrong


FIRST = (
    Check("stop_before_open", "STOP on a closed line ends in words", stop_before_open),
    Check("opens", f"opens within {OPEN_S:.0f} s, and again after closing", opens),
)
MIDDLE = (
    Check("opens_once_more", "opening an open device is harmless", opens_once_more),
    Check("second_opener", "a second opener is refused in clear words", second_opener),
    Check("line_settings", "the port has the declared speed, bits and parity", settings_hold),
    Check("old_answers", "an answer left in the line never answers the next question", old_answers),
)
LAST = (Check("closes_twice", "closing is harmless when closed already", closes_twice),)
