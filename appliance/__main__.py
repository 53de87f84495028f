"""Start the engine daemon: read the appliance file, recover, serve, notify the service manager."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

from appliance.config import ConfigurationUnusable, Home, add_home_option, home_from
from appliance.domain.errors import ApplianceError

_logger = logging.getLogger("cellwright.engine")


def engine(argv: Sequence[str]) -> int:
    """Run the engine of a unit: the only writer of its record."""
    parser = argparse.ArgumentParser("cellwright engine", description=engine.__doc__, allow_abbrev=False)
    add_home_option(parser)
    home = home_from(parser.parse_args(argv))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_serve(home))
    except ConfigurationUnusable as unusable:
        print(unusable, file=sys.stderr)
        return 2
    except ApplianceError as refusal:
        print(f"The engine does not run. {refusal}", file=sys.stderr)
        return 1
    return 0


async def _serve(home: Home) -> None:
    from appliance.engine.notify import beat, notify
    from appliance.engine.recovery import start

    unit = await start(home)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, unit.close)
    running = asyncio.create_task(unit.run())
    beating = asyncio.create_task(beat())
    notify("READY=1")
    _logger.info("unit %s serves, term %d", unit.unit.id, unit.unit.term)
    try:
        await running
    finally:
        beating.cancel()
        notify("STOPPING=1")


if __name__ == "__main__":
    sys.exit(engine(sys.argv[1:]))
