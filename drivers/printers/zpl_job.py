"""The file of a print job: read whole, held against its SHA-256, and only what a label of ours consists of.

A file that holds a command of another kind (a set-up, a firmware, an immediate command) is refused before a
byte is sent: what was looked at and hashed is one graphic, so many times.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers.printers.zpl_answers import DOTS_PER_MM

FILE_BYTES_MAX = 2 * 1024 * 1024
COPIES_MAX = 99
DPI = 300  # what a label is drawn for where nobody says otherwise
# Print width, label length, home, origin, graphic, end of field, quantity: nothing else.
KNOWN = frozenset({"XA", "PW", "LL", "LH", "FO", "GF", "FS", "PQ", "XZ"})
_COMMAND = re.compile(rb"\^([A-Z]{2})([^^~]*)")
_QUANTITY = re.compile(rb"(\d{1,2})(?:,0,0,[NY])?\s*")
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class JobUnusable(ValueError):
    """This job cannot be sent; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintJob:
    """One job: its bytes as they are sent, and how many labels they make."""

    job: str
    data: bytes
    copies: int
    dpi: int


def job_of(parameters: Mapping[str, str]) -> PrintJob:
    """Read and check the file of an order `print`.

    Raises
    ------
    JobUnusable
        A value without sense, a file that is not there or not the one that was hashed, or no label.
    """
    job, copies = parameters["job"], _whole(parameters["copies"], "copies", COPIES_MAX)
    if _JOB.fullmatch(job) is None:
        raise JobUnusable(f"A job is named by letters, digits and . _ : -, not {job!r}.")
    if re.fullmatch(r"[0-9a-f]{64}", parameters["sha256"]) is None:
        raise JobUnusable("sha256 is 64 digits from 0 to 9 and a to f.")
    dpi = _whole(parameters.get("dpi", str(DPI)), "dpi", 600)
    if dpi not in DOTS_PER_MM.values():
        raise JobUnusable(f"dpi is one of {', '.join(map(str, DOTS_PER_MM.values()))}, not {dpi}.")
    data = _content(parameters["zpl_file"])
    if hashlib.sha256(data).hexdigest() != parameters["sha256"]:
        raise JobUnusable(f"{parameters['zpl_file']} is not the file that was checked. Make the label anew.")
    _check_label(data, copies)
    return PrintJob(job=job, data=data, copies=copies, dpi=dpi)


def _whole(text: str, name: str, most: int) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,2}", text, re.ASCII) is None or int(text) > most:
        raise JobUnusable(f"{name} is a whole number from 1 to {most}, not {text!r}.")
    return int(text)


def _content(name: str) -> bytes:
    path = Path(name)
    if not name.startswith("/") or ".." in path.parts or "\0" in name:
        raise JobUnusable(f"A label's file is named by its whole path, not {name!r}.")
    try:
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise JobUnusable(f"The label's file {name} cannot be read ({error.strerror}).") from error
    with os.fdopen(held, "rb") as file:
        if not stat.S_ISREG(os.fstat(held).st_mode):
            raise JobUnusable(f"{name} is no file.")
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise JobUnusable(f"{name} is longer than any label ({FILE_BYTES_MAX} bytes).")
    return data


def _check_label(data: bytes, copies: int) -> None:
    """One format, of commands that a label consists of, printed as often as the order says."""
    commands = [(match[1].decode("ascii"), match[2]) for match in _COMMAND.finditer(data)]
    whole = b"".join(b"^" + name.encode("ascii") + rest for name, rest in commands)
    names = [name for name, _ in commands]
    if whole != data or not names or names[0] != "XA" or names[-1] != "XZ" or names.count("XA") != 1:
        raise JobUnusable("The file is not one label in ZPL. Make the label anew.")
    if foreign := sorted(set(names) - KNOWN):
        raise JobUnusable(f"The file holds ^{foreign[0]}, which no label of ours has. Make the label anew.")
    if "GF" not in names or names.count("XZ") != 1 or names.count("PQ") > 1:
        raise JobUnusable("The file is not one label in ZPL. Make the label anew.")
    quantity = next((rest for name, rest in commands if name == "PQ"), b"1")
    match = _QUANTITY.fullmatch(quantity)
    if match is None or int(match[1]) != copies:
        words = (
            f"The file prints {quantity.decode('latin-1')!r}, the order says {copies}. Make the label anew."
        )
        raise JobUnusable(words)
