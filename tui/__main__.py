"""Start the bedside terminal."""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HOME_DEFAULT: Final = "/var/lib/cellwright"
LOG_BYTES_MAX: Final = 1_000_000
SYSLOG_SOCKET: Final = Path("/dev/log")


def bedside(argv: Sequence[str]) -> int:
    """Open the bedside terminal of this unit."""
    options = _parser().parse_args(argv)
    home = Path(options.home)
    socket = Path(options.socket) if options.socket else home / "run" / "engine.sock"
    if not (sys.stdin.isatty() and sys.__stderr__ is not None and sys.__stderr__.isatty()):
        # Textual draws on stderr: redirected, it would run and show nothing.
        sys.stderr.write(
            "The bedside terminal needs a real terminal on stdin and stderr. Redirect neither.\n"
        )
        return 2
    _log_to_file(home / "run" / f"bedside-{options.station}.log")

    # Kiosk settings of Textual are read when it is imported.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    # The terminal knows its size; numbers inherited from another one would misplace every target.
    os.environ.pop("COLUMNS", None)
    os.environ.pop("LINES", None)
    from tui.app import BedsideApp

    app = BedsideApp(socket, station=options.station)
    app.run()
    return app.return_code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellwright bedside", description="Open the bedside terminal.", allow_abbrev=False
    )
    parser.add_argument(
        "--home", default=os.environ.get("CELLWRIGHT_HOME", HOME_DEFAULT), help="home folder of the unit"
    )
    parser.add_argument("--socket", default="", help="the engine's socket (default: HOME/run/engine.sock)")
    parser.add_argument(
        "--station", default="bedside-1", type=_station, help="name of this bedside (default: %(default)s)"
    )
    return parser


def _station(text: str) -> str:
    if not text or len(text) > 32 or not all(letter.isalnum() or letter in "-_" for letter in text):
        raise argparse.ArgumentTypeError("a station has 1 to 32 letters, digits, '-' or '_'")
    return text


def _log_to_file(path: Path) -> None:
    """Log beside the socket, else to the journal; never to stderr, which is the screen."""
    handler: logging.Handler
    try:
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_BYTES_MAX, backupCount=2, encoding="utf-8"
        )
    except OSError:
        try:
            handler = logging.handlers.SysLogHandler(address=str(SYSLOG_SOCKET))
        except OSError:
            handler = logging.NullHandler()
    logging.basicConfig(
        level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )


if __name__ == "__main__":
    sys.exit(bedside(sys.argv[1:]))
