"""One command; its subcommands come from entry points and load one at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from appliance import __version__, cli

OUR_ROOMS = ("drivers", "vision", "tui", "sync")


@pytest.fixture
def own_commands(tmp_path: Path) -> dict[str, str]:
    """An installed package with commands of its own, as another room or a vendor would bring."""
    (tmp_path / "bench_commands.py").write_text(
        textwrap.dedent(
            """
            import sys, time

            def talk(argv):
                "Talk for ever.\\n\\n    And a second paragraph."
                while True:
                    print("x" * 4096)

            def wait(argv):
                "Wait."
                print("waiting", flush=True)
                time.sleep(60)
                return 0

            def echo(argv):
                "Say the words again."
                print(*argv)
                return len(argv)
            """
        )
    )
    (tmp_path / "broken_command.py").write_text("import a_part_that_is_not_there\n")
    info = tmp_path / "bench_commands-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-commands\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[cellwright.commands]\nzz-talk = bench_commands:talk\nzz-wait = bench_commands:wait\n"
        "zz-echo = bench_commands:echo\nzz-broken = broken_command:run\n"
    )
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def cellwright(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance.cli", *words], env=env, capture_output=True, text=True, timeout=60
    )


def test_help_lists_every_command_with_its_first_line_even_when_one_is_not_whole(own_commands):
    told = cellwright(own_commands, "--help")

    assert told.returncode == 0
    assert "zz-talk    Talk for ever." in told.stdout
    assert "second paragraph" not in told.stdout
    assert "zz-broken  (not installed: No module named 'a_part_that_is_not_there')" in told.stdout


def test_a_command_gets_the_rest_of_the_words_and_its_status_is_ours(own_commands):
    told = cellwright(own_commands, "zz-echo", "--home", "somewhere", "a")

    assert told.stdout == "--home somewhere a\n"
    assert told.returncode == 3


def test_a_command_that_cannot_be_loaded_says_what_is_missing(own_commands):
    told = cellwright(own_commands, "zz-broken")

    assert told.returncode == 1
    assert "a_part_that_is_not_there" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly(own_commands):
    talker = subprocess.Popen(
        [sys.executable, "-m", "appliance.cli", "zz-talk"],
        env=own_commands,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert talker.stdout is not None
    talker.stdout.read(10)
    talker.stdout.close()

    assert talker.wait(timeout=30) == 1
    assert talker.stderr is not None
    assert talker.stderr.read() == b""
    talker.stderr.close()


def test_an_interrupt_ends_the_command_without_a_trace(own_commands):
    waiter = subprocess.Popen(
        [sys.executable, "-m", "appliance.cli", "zz-wait"],
        env=own_commands,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a shell runs in the background inherit an ignored interrupt; a person's command does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert waiter.stdout is not None
    assert waiter.stdout.readline() == "waiting\n"
    waiter.send_signal(signal.SIGINT)

    _, told = waiter.communicate(timeout=30)

    assert waiter.returncode == 130
    assert told == "Interrupted.\n"


def test_an_unknown_command_is_wrong_usage_and_names_the_nearest(capsys):
    assert cli.main(["verfy"]) == 2

    assert "Did you mean `verify`?" in capsys.readouterr().err


def test_no_command_at_all_is_wrong_usage(capsys):
    assert cli.main([]) == 2

    assert "usage: cellwright" in capsys.readouterr().err


def test_the_version_is_told_on_stdout(capsys):
    assert cli.main(["--version"]) == 0

    assert capsys.readouterr().out == f"cellwright {__version__}\n"


def test_looking_for_a_command_loads_no_other_room():
    looked = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from appliance import cli; cli.main(['no-such-command']);"
            f"print([room for room in {OUR_ROOMS!r} if room in sys.modules])",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert looked.stdout == "[]\n"


def test_optimised_python_is_refused_because_it_would_drop_the_asserts():
    told = subprocess.run(
        [sys.executable, "-O", "-m", "appliance.cli", "--version"], capture_output=True, text=True, timeout=60
    )

    assert told.returncode == 2
    assert "-O" in told.stderr
