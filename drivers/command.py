"""`cellwright device`: list, simulate, read and order devices."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from drivers import trace_command
from drivers.catalog import OPERATOR_CONFIRMED, device_type, device_types, driver_for
from drivers.faults import CutShort, DeviceFault
from drivers.ports import ports
from drivers.reading import Reading
from drivers.roles import Driver

GOOD, REFUSED, WRONG_USAGE = 0, 1, 2
FOLLOW_S = 0.2
READS_MAX = 8


def device(argv: Sequence[str]) -> int:
    """List, simulate, read, identify and order serial devices."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellwright device", description=device.__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    types = [entry.name for entry in device_types()]

    def add(name: str, words: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=words, description=words, allow_abbrev=False)
        command.set_defaults(run=run)
        return command

    listing = add("list", "List the device types.", _list)
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    simulate = add("simulate", "Simulate one device behind a pseudo-terminal until SIGTERM.", _simulate)
    simulate.add_argument("type", metavar="TYPE", choices=types, help=", ".join(types))
    simulate.add_argument("--link", type=Path, required=True, help="path at which drivers find it")
    simulate.add_argument("--faults", default="", help="faults by name or name:rate, joined by commas")
    simulate.add_argument("--pace", type=int, default=0, metavar="BAUD", help="send at this rate")
    simulate.add_argument(
        "--tcp", type=int, metavar="PORT", help="at this TCP port of 127.0.0.1; the link then holds its URL"
    )
    bench = add("bench", "Simulate balance, pump and thawer on one bench until SIGTERM.", _bench)
    bench.add_argument("--links", type=Path, required=True, help="folder for the links")
    bench.add_argument("--hands", type=Path, help="unix socket for what a person does at the bench")
    bench.add_argument(
        "--with",
        action="append",
        default=[],
        dest="extras",
        metavar="TYPE[=LINK][:key=value,...]",
        help="one more device in the same world; pan and first_channel say where it stands",
    )
    bench.add_argument(
        "--pace",
        type=int,
        nargs="?",
        default=0,
        const=-1,
        metavar="BAUD",
        help="send at this rate; without a number each line at its own",
    )
    for command in (simulate, bench):
        command.add_argument("--seed", type=int, default=0, help="seed of noise and faults")
        command.add_argument("--speed", type=float, default=1.0, help="virtual seconds in a real one")
    _add_settings(simulate)
    read = add("read", "Read a device once, or again and again.", _read)
    read.add_argument("--follow", action="store_true", help="read until interrupted")
    order = add("order", "Give a device an order.", _order)
    conform = add("conform", "Try on the device itself whether its driver holds to all rules.", _conform)
    conform.add_argument("--moves", action="store_true", help="it may move, heat and stop")
    for command in (read, add("identify", "Ask a device who it is.", _identify), order, conform):
        command.add_argument("type", metavar="TYPE", choices=types, help=", ".join(types))
        command.add_argument("--port", required=True, help="path of the port")
        command.add_argument("--json", action="store_true", help="one JSON object a line")
        _add_settings(command)
    trace = add("trace", "Show the bytes of each exchange and the readings they became.", _trace)
    trace_command.add_to(trace, types)
    _add_settings(trace)
    listing = add("ports", "List the serial ports with the names to write into unit.toml.", _ports)
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    order.add_argument("order", metavar="ORDER", help="name of the order")
    order.add_argument("parameters", nargs="*", metavar="key=value")
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="key=value",
        dest="settings",
        help="a setting of the type",
    )


def _list(arguments: argparse.Namespace) -> int:
    for entry in device_types():
        if arguments.json:
            _tell(
                {"type": entry.name, "role": entry.role, "device": entry.device, "dead_man": entry.dead_man}
            )
        else:
            print(f"{entry.name:18} {entry.role:14} {entry.device}")
    by_hand = OPERATOR_CONFIRMED
    if arguments.json:
        told = {"type": by_hand.name, "role": " or ".join(by_hand.roles), "driver": False}
        _tell({**told, "device": by_hand.device, "dead_man": by_hand.dead_man})
    else:
        print(f"{by_hand.name:18} {by_hand.device} ({', '.join(by_hand.roles)})")
    return GOOD


def _simulate(arguments: argparse.Namespace) -> int:
    from drivers.simulated.bench import lone_device
    from drivers.simulated.faults import parse_faults
    from drivers.simulated.pty_device import Stop, serve

    try:
        rates = parse_faults(word for word in arguments.faults.split(",") if word)
    except ValueError as error:
        return _wrong(str(error))
    if arguments.speed <= 0 or arguments.pace < 0:
        return _wrong("--speed must be above 0 and --pace must not be negative.")
    if arguments.tcp is not None and not device_type(arguments.type).over_tcp:
        return _wrong(f"A {arguments.type} stands at a serial line, not at a TCP port.")
    if not arguments.link.parent.is_dir():
        return _wrong(f"The folder {arguments.link.parent} is not there. Make it, then start again.")
    stop = Stop()
    try:
        twin = lone_device(
            arguments.type,
            arguments.link,
            seed=arguments.seed,
            speed=arguments.speed,
            rates=rates,
            pace_baud=arguments.pace,
            settings=_pairs(arguments.settings),
            tcp_port=arguments.tcp,
        )
    except (ValueError, OverflowError) as error:
        return _wrong(str(error))
    except OSError as error:
        return _wrong(f"TCP port {arguments.tcp} cannot be taken ({error.strerror}). Name another.")
    serve([twin], list, lambda: stop.asked)
    return GOOD


def _bench(arguments: argparse.Namespace) -> int:
    from drivers.simulated.bench import OWN_PACE, parse_extra, run_bench
    from drivers.simulated.pty_device import Stop

    if arguments.speed <= 0 or arguments.pace < OWN_PACE:
        return _wrong("--speed must be above 0 and --pace must not be negative.")
    stop = Stop()
    try:
        run_bench(
            arguments.links,
            seed=arguments.seed,
            speed=arguments.speed,
            hands=arguments.hands,
            stop_asked=lambda: stop.asked,
            extras=[parse_extra(words) for words in arguments.extras],
            pace_baud=arguments.pace,
        )
    except ValueError as error:
        return _wrong(str(error))
    return GOOD


def _read(arguments: argparse.Namespace) -> int:
    def follow(driver: Driver) -> int:
        while True:
            for reading in driver.read():
                _tell_reading(reading, as_json=arguments.json)
            time.sleep(FOLLOW_S)

    def once(driver: Driver) -> int:
        readings = _confirmed(driver)
        for reading in readings:
            _tell_reading(reading, as_json=arguments.json)
        return GOOD if all(reading.quality != "bad" for reading in readings) else REFUSED

    return _with_driver(arguments, follow if arguments.follow else once)


def _confirmed(driver: Driver) -> list[Reading]:
    """Read until every value is confirmed, a few times at most: one look may be too short for a slow line."""
    readings = driver.read()
    for _ in range(READS_MAX - 1):
        if all(reading.quality == "good" for reading in readings):
            break
        readings = driver.read()
    return readings


def _identify(arguments: argparse.Namespace) -> int:
    def identify(driver: Driver) -> int:
        who = driver.identify()
        fields = {
            "maker": who.maker,
            "model": who.model,
            "serial_number": who.serial_number,
            "firmware": who.firmware,
        }
        if arguments.json:
            _tell(fields)
        else:
            print(", ".join(f"{name} {value or 'not told'}" for name, value in fields.items()))
        return GOOD

    return _with_driver(arguments, identify)


def _order(arguments: argparse.Namespace) -> int:
    try:
        parameters = _pairs(arguments.parameters)
    except ValueError as error:
        return _wrong(str(error))

    def order(driver: Driver) -> int:
        result = driver.order(arguments.order, parameters)
        if arguments.json:
            _tell({"order": arguments.order, "ok": True, "result": result})
        else:
            print(f"{arguments.order} done: {', '.join(f'{k} {v}' for k, v in result.items())}")
        return GOOD

    return _with_driver(arguments, order)


def _conform(arguments: argparse.Namespace) -> int:
    from drivers.conformance.conform_command import report
    from drivers.conformance.subject import Subject

    try:
        settings = _pairs(arguments.settings)
        subject = Subject(device_type(arguments.type), arguments.port, settings, moves=arguments.moves)
    except ValueError as error:
        return _wrong(str(error))
    return report(subject, as_json=arguments.json)


def _trace(arguments: argparse.Namespace) -> int:
    if arguments.file is not None:
        if arguments.type or arguments.port:
            return _wrong("A trace is read from --file or from TYPE --port PATH, not from both.")
        return trace_command.trace_file(
            arguments.file, only=arguments.exchange, run=arguments.of_run, as_json=arguments.json
        )
    if arguments.type is None or arguments.port is None:
        return _wrong("Name TYPE and --port PATH of a device, or --file of a trace that was kept.")

    def trace(driver: Driver) -> int:
        return trace_command.trace_live(driver, seconds=arguments.seconds, as_json=arguments.json)

    return _with_driver(arguments, trace)


def _ports(arguments: argparse.Namespace) -> int:
    found = ports()
    for port in found:
        if arguments.json:
            _tell(port.as_json())
        else:
            named = ", ".join(filter(None, (port.maker, port.product, port.serial_number)))
            print(f"{port.port}  {port.device}  {named or 'tells nothing of itself'}")
    if not found and not arguments.json:
        print("No serial port is there. Plug the adapter in, then list again.")
    return GOOD


def _with_driver(arguments: argparse.Namespace, act: Callable[[Driver], int]) -> int:
    try:
        driver = driver_for(arguments.type, _pairs(arguments.settings))(arguments.port)
    except ValueError as error:
        return _wrong(str(error))
    try:
        driver.open()
        try:
            return act(driver)
        finally:
            driver.close()
    except DeviceFault as fault:
        if arguments.json:
            came = {"result": fault.result} if isinstance(fault, CutShort) else {}
            _tell({"ok": False, "fault": fault.kind, "words": str(fault), **came})
        print(fault, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return GOOD


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """Return what was written as key=value.

    Raises
    ------
    ValueError
        A word that is no pair, or a key twice.
    """
    pairs: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key or key in pairs:
            raise ValueError(f"Parameters and settings are written key=value, each once, not {word!r}.")
        pairs[key] = value
    return pairs


def _tell_reading(reading: Reading, *, as_json: bool) -> None:
    if not as_json:
        shown = "no value" if reading.value is None else f"{reading.value} {reading.unit}".strip()
        print(f"{reading.name:14} {shown:14} {reading.quality} {reading.detail}".rstrip(), flush=True)
        return
    value = float(reading.value) if isinstance(reading.value, Decimal) else reading.value
    line = {
        "reading": reading.name,
        "value": value,
        "unit": reading.unit,
        "quality": reading.quality,
        "source_time": reading.source_time.isoformat().replace("+00:00", "Z"),
    }
    _tell(line | ({"detail": reading.detail} if reading.detail else {}))


def _tell(line: dict[str, Any]) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)


def _wrong(words: str) -> int:
    print(words, file=sys.stderr)
    return WRONG_USAGE
