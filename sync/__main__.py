"""`cellwright sync`: the agent process. Waits for whatever is away, ends cleanly on SIGTERM."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from appliance.config import Home
    from sync.agent import Agent
    from sync.transport import Central

LOOK_S = 0.5  # how often the record is looked at while nothing happens
WAIT_MAX_S = 60.0  # the longest wait after failures; each wait is drawn between 0 and the limit
PULL_S = 2.0  # how often central is asked for documents while nothing happens
GOOD, BAD, USAGE = 0, 1, 2

_log = logging.getLogger("cellwright.sync")


class Stopped(BaseException):
    """SIGTERM or SIGINT came. Raised wherever the agent is: all it has can be made again."""


def sync(argv: Sequence[str]) -> int:
    """Ship the unit's record to central and bring signed documents back."""
    from appliance.config import ConfigurationUnusable, add_home_option, home_from

    parser = argparse.ArgumentParser(prog="cellwright sync", description=sync.__doc__, allow_abbrev=False)
    add_home_option(parser)
    parser.add_argument("--once", action="store_true", help="send what there is, fetch documents, end")
    parser.add_argument("--url", default="", help="central's address (else central.url of unit.toml)")
    parser.add_argument(
        "--pull-s", type=float, default=PULL_S, metavar="S", help="seconds between two looks for documents"
    )
    parser.add_argument(
        "--wait-max-s", type=float, default=WAIT_MAX_S, metavar="S", help="longest wait between two tries"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s sync %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    home = home_from(options)
    with contextlib.suppress(ValueError):  # not in the main thread: then nobody sends signals here
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
    try:
        url = options.url or _url_of(home)
        if not url:
            print("unit.toml names no central: write [central] url, or give --url.", file=sys.stderr)
            return USAGE
        return (
            once(home, url)
            if options.once
            else forever(home, url, pull_s=options.pull_s, wait_max_s=options.wait_max_s)
        )
    except ConfigurationUnusable as problem:
        print(problem, file=sys.stderr)
        return USAGE
    except Stopped:
        _log.info("Ended as asked.")
        return GOOD


def once(home: Home, url: str) -> int:
    """One round; prints what was moved as one line of JSON."""
    from sync.transport import CentralAway, CentralRefused

    try:
        agent, _ = connect(home, url)
    except Exception as problem:  # the outermost border of a one-shot command: say it and end
        print(problem, file=sys.stderr)
        return USAGE
    try:
        tally = agent.round()
    except (CentralAway, CentralRefused) as problem:
        print(problem, file=sys.stderr)
        return BAD
    finally:
        agent.close()
    blocked = agent.outbox.blocked
    line = {
        "segments": tally.segments,
        "files": tally.blobs,
        "documents": tally.documents,
        "acknowledged": agent.outbox.sent,
        "blocked": blocked,
    }
    print(json.dumps(line))
    return BAD if blocked else GOOD


def forever(
    home: Home,
    url: str,
    *,
    pull_s: float = PULL_S,
    wait_max_s: float = WAIT_MAX_S,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] = random.random,
) -> NoReturn:
    """Rounds without end; ends by `Stopped` alone."""
    from sync.outbox import Backoff
    from sync.transport import CentralAway, CentralRefused

    backoff = Backoff(chance, max_s=wait_max_s)
    agent: Agent | None = None
    pull_at = monotonic()
    away_words = ""
    while True:
        try:
            if agent is None:
                agent, _ = connect(home, url)
            pull = monotonic() >= pull_at
            moved = agent.round(pull=pull).moved()
            if pull:
                pull_at = monotonic() + pull_s
            if away_words:
                _log.info("Central is back.")
            away_words = ""
            backoff.succeeded()
            if not moved:
                sleep(LOOK_S)
        except Exception as problem:
            # The outermost loop: whatever is wrong with central, engine, disk or record, the unit goes
            # on without us, and we come back to it. Said once for each cause, not once a try.
            if str(problem) != away_words:
                _log.warning("Waiting: %s", problem or type(problem).__name__)
            away_words = str(problem)
            if agent is not None and not isinstance(problem, CentralAway | CentralRefused):
                agent.close()
                agent = None
            sleep(backoff.failed())


def connect(home: Home, url: str) -> tuple[Agent, Central]:
    """Open record, keys and connection; raises whatever is missing, with words."""
    from appliance.access.keys import Trust
    from appliance.record.log import Record
    from sync.agent import Agent
    from sync.engine_link import SocketEngine
    from sync.transport import Central, unit_client

    trusted = Trust.load(home.trust).central
    client = unit_client(url, certificate=home.client_crt, key=home.client_key, authority=home.central_ca)
    with contextlib.ExitStack() as undo:
        undo.callback(client.close)
        record = undo.enter_context(Record.open_readonly(home.record))
        central = Central(client, record.unit_id)
        state_file = home.root / "sync" / "state.json"
        agent = Agent(record, central, SocketEngine(home.socket), trusted=trusted, state_file=state_file)
        undo.pop_all()
    return agent, central


def _url_of(home: Home) -> str:
    from appliance.config import read_config

    return read_config(home).central_url


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    sys.exit(sync(sys.argv[1:]))
