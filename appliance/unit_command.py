"""`cellwright unit`: what an administrator does at a running unit, with a PIN entered now."""

from __future__ import annotations

import argparse
import getpass
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from appliance.config import Counting, add_home_option, home_from

STATION = "service"
COMMAND_TIMEOUT_S = 15.0
COUNT_TIMEOUT_S = 150.0  # the counting program may be starting


def unit(argv: Sequence[str]) -> int:
    """Unlock an account of a running unit, confirm its clock, or let two persons qualify device or count."""
    parser = argparse.ArgumentParser("cellwright unit", description=unit.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    unlock = _verb(verbs, "unlock", "open an account that was locked after wrong entries", _unlock)
    unlock.add_argument("person", metavar="PERSON", help="id of the locked account")
    unlock.add_argument("--reason", required=True, metavar="TEXT")
    time = _verb(
        verbs, "confirm-time", "two persons compare the unit's clock with a reference clock", _confirm
    )
    time.add_argument("--reference", required=True, metavar="UTC", help="such as 2026-03-02T08:00:00Z")
    time.add_argument("--second", required=True, metavar="PERSON", help="the second person")
    qualify = _verb(verbs, "qualify", "two persons qualify the device that is connected", _qualify)
    qualify.add_argument("device", metavar="DEVICE", help="its id in unit.toml")
    qualify.add_argument("--calibrated-until", default="", metavar="DAY", help="such as 2027-06-30")
    qualify.add_argument("--qualified-until", default="", metavar="DAY", help="such as 2028-01-31")
    qualify.add_argument("--reason", required=True, metavar="TEXT")
    qualify.add_argument("--second", required=True, metavar="PERSON", help="the second person")
    _count_options(
        _verb(
            verbs,
            "qualify-count",
            "two persons qualify a counting method by a dilution series",
            _qualify_count,
        )
    )
    options = parser.parse_args(argv)
    from appliance.link.client import EngineAway

    try:
        return int(options.act(options))
    except EngineAway as away:
        print(away, file=sys.stderr)
        return 1


def _verb(verbs: Any, name: str, words: str, act: object) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=words, description=words, allow_abbrev=False
    )
    add_person_options(parser)
    parser.set_defaults(act=act)
    return parser


def add_person_options(parser: argparse.ArgumentParser) -> None:
    """Which unit, and who acts there."""
    add_home_option(parser)
    parser.add_argument("--by", required=True, metavar="PERSON", help="who acts: id, badge or name")
    parser.add_argument(
        "--pin-stdin", action="store_true", help="read one PIN a line from stdin; ask nothing"
    )


def _unlock(options: argparse.Namespace) -> int:
    body = {"person": options.person, "reason": options.reason}
    return as_person(options, "unlock_account", body, second="")


def _confirm(options: argparse.Namespace) -> int:
    return as_person(options, "confirm_time", {"reference": options.reference}, second=options.second)


def _qualify(options: argparse.Namespace) -> int:
    """What the device tells of itself is shown before the PINs are asked, and it is what is qualified."""
    from appliance.link.client import look

    views = {one.id: one for one in look(home_from(options).socket).devices}
    device = views.get(options.device)
    if device is None:
        there = ", ".join(views) or "none"
        print(f"This unit has no device {options.device!r}; there are: {there}.", file=sys.stderr)
        return 1
    if not device.identity:
        print(f"{device.title} does not answer. Connect it first, then qualify it.", file=sys.stderr)
        return 1
    told = " ".join(filter(None, (device.identity["maker"], device.identity["model"])))
    print(
        f"{device.title} is a {told}; serial number {device.identity['serial_number'] or 'not told'}, "
        f"firmware {device.identity['firmware'] or 'not told'}. Compare its type plate.",
        file=sys.stderr,
    )
    body = {
        "device": device.id,
        "serial_number": device.identity["serial_number"],
        "firmware": device.identity["firmware"],
        "calibrated_until": options.calibrated_until,
        "qualified_until": options.qualified_until,
        "reason": options.reason,
    }
    return as_person(options, "qualify_device", body, second=options.second)


def _count_options(count: argparse.ArgumentParser) -> None:
    count.add_argument("design", type=Path, metavar="FILE.csv", help="the dilution series (ISO 20391-2)")
    count.add_argument("--method", default="trypan-blue", metavar="ID", help="the counting method it is of")
    count.add_argument("--series", default="", metavar="NAME", help="its counting_method in the file")
    count.add_argument("--performed-on", required=True, metavar="DAY", help="when the series was measured")
    count.add_argument("--expires-months", type=int, default=12, metavar="N", help="from that day on")
    count.add_argument("--reason", required=True, metavar="TEXT")
    count.add_argument("--second", required=True, metavar="PERSON", help="the second person")


def _qualify_count(options: argparse.Namespace) -> int:
    """What the series says is shown before the PINs are asked; the unit works it out again by itself."""
    from appliance.config import read_config
    from appliance.domain.count_fitness import months_later
    from appliance.engine.count_commands import DESIGN_BYTES_MAX, packed

    try:
        measured = date.fromisoformat(options.performed_on)
        with options.design.open("rb") as file:
            data = file.read(DESIGN_BYTES_MAX + 1)
    except ValueError:
        print(f"{options.performed_on!r} is no day such as 2026-11-21.", file=sys.stderr)
        return 2
    except OSError as why:
        print(f"{options.design}: {why.strerror}.", file=sys.stderr)
        return 2
    if _shown(options, read_config(home_from(options)).counting) == 2:
        return 2
    body = {
        "method": options.method,
        "series": options.series,
        "file": options.design.name,
        "design": packed(data),
        "performed_on": options.performed_on,
        "qualified_until": months_later(measured, options.expires_months).isoformat(),
        "reason": options.reason,
    }
    return as_person(options, "qualify_count", body, second=options.second, timeout_s=COUNT_TIMEOUT_S)


def _shown(options: argparse.Namespace, limits: Counting) -> int:
    """Judge the file by the unit's limits in a process of its own, for people to read; its exit code."""
    judge = [sys.executable, "-m", "appliance.cli", "count", "qualify", str(options.design)]
    judge += ["--series", options.series or options.method, "--method-id", options.method]
    judge += ["--cv-max", str(limits.cv_percent_max), "--r2-min", str(limits.r2_min)]
    judge += ["--deviation-max", str(limits.deviation_percent_max)]
    if limits.pi_squared_max:
        judge += ["--pi-max", str(limits.pi_squared_max)]
    judge += ["--performed-on", options.performed_on, "--expires-months", str(options.expires_months)]
    return subprocess.run(judge, stdout=sys.stderr, check=False).returncode


def as_person(
    options: argparse.Namespace,
    name: str,
    body: dict[str, str],
    *,
    second: str,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> int:
    """Sign in at the service station, act, sign out; a refusal is told in the unit's words."""
    from appliance.link.client import ask
    from appliance.link.messages import Proof, Refused

    socket = home_from(options).socket
    first = Proof(person=options.by, pin=_pin(options, options.by))
    proof = Proof(person=second, pin=_pin(options, second)) if second else None
    answer = ask(socket, "sign_in", {"person": options.by}, first, station=STATION)
    if not isinstance(answer, Refused):
        try:
            answer = ask(socket, name, body, proof, station=STATION, timeout_s=timeout_s)
        finally:
            ask(socket, "sign_out", station=STATION)
    if isinstance(answer, Refused):
        print(answer.words, file=sys.stderr)
        return 1
    print(f"Done, on record as number {answer.seq}.", file=sys.stderr)
    if answer.result.get("verdict") == "fail":
        print(
            "The series did not pass: no release is counted by this method until one does.", file=sys.stderr
        )
        return 3
    return 0


def _pin(options: argparse.Namespace, person: str) -> str:
    if options.pin_stdin:
        return sys.stdin.readline().strip()
    return getpass.getpass(f"PIN of {person}: ")
