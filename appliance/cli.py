"""`cellwright`: finds its subcommands by entry points; each room owns its own.

Only the module of the command asked for is loaded, so that `cellwright scan` never waits
for the screen's library. `cellwright --help` is the one call that loads them all.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

from appliance import __version__

GROUP = "cellwright.commands"
GOOD, BAD, USAGE, INTERRUPTED = 0, 1, 2, 130

Subcommand = Callable[[Sequence[str]], int]


def commands() -> dict[str, EntryPoint]:
    """Every installed subcommand by its name, sorted; nothing is loaded."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cellwright COMMAND …` and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(words)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_went_away()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as exit_asked:
        return _status_of(exit_asked)
    return status


def _dispatch(words: list[str]) -> int:
    if not __debug__:
        # Half of the borders in this program are asserts; without them it would go on where it must halt.
        _say("Cellwright does not run under `python -O`. Start it without -O and without PYTHONOPTIMIZE.")
        return USAGE
    if not words:
        print(help_text(), file=sys.stderr)
        return USAGE
    first, rest = words[0], words[1:]
    if first in ("-h", "--help", "help"):
        print(help_text())
        return GOOD
    if first in ("-V", "--version"):
        print(f"cellwright {__version__}")
        return GOOD
    return _run(first, rest)


def _run(name: str, rest: list[str]) -> int:
    known = commands()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        _say(f"cellwright has no command `{name}`.{hint} `cellwright --help` lists them.")
        return USAGE
    try:
        subcommand: Subcommand = known[name].load()
    except ImportError as missing:
        _say(
            f"`cellwright {name}` cannot start: {missing}. Install the part that is missing "
            '(for central: pip install "cellwright[central]"), then try again.'
        )
        return BAD
    return subcommand(rest)


def help_text() -> str:
    """What `cellwright --help` prints: each command with the first line of its docstring."""
    lines = [_help_line(point) for point in commands().values()]
    return "\n".join(
        [
            "usage: cellwright [--help] [--version] COMMAND …",
            "",
            "Software of a point-of-care manufacturing unit for cell therapies.",
            "",
            "commands:",
            *lines,
            "",
            "`cellwright COMMAND --help` says more about one of them.",
        ]
    )


def _help_line(point: EntryPoint) -> str:
    try:
        documented = (point.load().__doc__ or "").strip()
    except (ImportError, AttributeError) as missing:
        # A part that is not installed must not hide the help of all the others.
        documented = f"(not installed: {missing})"
    return f"  {point.name:<10} {documented.splitlines()[0] if documented else ''}".rstrip()


def _reader_went_away() -> int:
    """Whoever read our output closed it (`| head`); nothing is left to say there."""
    # The interpreter flushes stdout once more at exit; that must not fail aloud.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return BAD


def _status_of(exit_asked: SystemExit) -> int:
    if exit_asked.code is None:
        return GOOD
    if isinstance(exit_asked.code, int):
        return exit_asked.code
    _say(str(exit_asked.code))
    return BAD


def _say(words: str) -> None:
    print(words, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
