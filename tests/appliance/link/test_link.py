"""The local socket: bounded clients, one answer a command, and STOP before all else."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.link.client import EngineAway, LinkClient, NoAnswer, ask, look
from appliance.link.messages import (
    LINE_BYTES_MAX,
    Accepted,
    Command,
    EventMessage,
    Hello,
    Refused,
    Snapshot,
    SyncView,
    Telemetry,
    UnitView,
    decode_from_engine,
    encode,
)
from appliance.link.messages import RecordView as RecordState
from appliance.link.server import Caller, LinkServer, SocketUnusable

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def snapshot(seq: int = 1) -> Snapshot:
    return Snapshot(
        seq=seq,
        utc=NOW,
        time_trust="trusted",
        unit=UnitView(
            id="u", site="s", time_zone="UTC", simulated=True, clock_speed="1", software_version="0", term=1
        ),
        people=[],
        person=None,
        locked=False,
        stop_latched=False,
        orders=[],
        batch=None,
        prompts=[],
        alarms=[],
        devices=[],
        timers=[],
        sync=SyncView(acknowledged_seq=0, behind=0),
        record=RecordState(seq=seq, hash="00", committed_at=NOW),
    )


def event(seq: int, size: int = 10) -> EventMessage:
    body = {"text": "x" * size}
    return EventMessage(seq=seq, name="CommentAdded", actor="unit", occurred_at=NOW, batch=None, body=body)


class Engine:
    """What stands behind the server here: remembers what it was asked, answers by the command's name."""

    def __init__(self, path: Path) -> None:
        self.done: list[str] = []
        self.callers: list[Caller] = []
        self.release = asyncio.Event()
        self.server = LinkServer(
            path, on_hello=self.hello, on_command=self.command, on_stop=self.stop, on_fault=self.fault
        )

    def hello(self, hello: Hello, caller: Caller) -> Snapshot | Refused:
        if hello.station == "nowhere":
            return Refused(command_id="", reason="no_station", words="There is no such station.")
        return snapshot()

    def stop(self, command: Command, caller: Caller) -> None:
        self.done.append("STOP SENT")

    def fault(self, fault: Exception) -> None:
        self.done.append(f"fault {fault}")

    async def command(self, command: Command, caller: Caller) -> Accepted | Refused:
        self.callers.append(caller)
        if command.name == "wait":
            await self.release.wait()
        if command.name == "break":
            raise ZeroDivisionError("broken")
        self.done.append(command.name)
        if command.name == "hold":
            return Refused(command_id=command.command_id, reason="not_open", words="Nothing runs.")
        return Accepted(command_id=command.command_id, seq=len(self.done), result={"name": command.name})


def story(path: Path, tell: Callable[[Engine], Awaitable[None]]) -> None:
    """Run a story against a served engine."""

    async def run() -> None:
        engine = Engine(path)
        await engine.server.start()
        try:
            async with asyncio.timeout(20):
                await tell(engine)
        finally:
            await engine.server.close()

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "engine.sock"


async def raw(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(path, limit=2 * LINE_BYTES_MAX)


async def next_of(reader: asyncio.StreamReader) -> Any:
    return decode_from_engine(await reader.readline())


def test_hello_brings_a_snapshot_and_a_command_its_answer(path):
    async def tell(engine: Engine) -> None:
        client = LinkClient(path, client="bedside", station="bay-1")

        assert (await client.connect()).seq == 1
        accepted = await client.command("comment", {"text": "hello"})
        refused = await client.command("hold", {"phase": "", "reason": "x"})

        assert isinstance(accepted, Accepted)
        assert accepted.result == {"name": "comment"}
        assert isinstance(refused, Refused)
        assert refused.words == "Nothing runs."
        await client.close()

    story(path, tell)


def test_the_engine_learns_who_calls_from_the_kernel_and_where_from_the_hello(path):
    async def tell(engine: Engine) -> None:
        client = LinkClient(path, client="bedside", station="bay-1")
        await client.connect()
        await client.command("comment")

        caller = engine.callers[0]
        assert (caller.pid, caller.uid, caller.gid) == (os.getpid(), os.getuid(), os.getgid())
        assert (caller.client, caller.station) == ("bedside", "bay-1")
        await client.close()

    story(path, tell)


def test_a_command_sent_twice_acts_once_and_both_senders_read_the_first_answer(path):
    async def tell(engine: Engine) -> None:
        one, other = LinkClient(path, client="bedside"), LinkClient(path, client="bedside")
        await one.connect()
        await other.connect()
        first = asyncio.create_task(one.command("wait", command_id="tap"))
        second = asyncio.create_task(other.command("wait", command_id="tap"))
        await asyncio.sleep(0.05)
        engine.release.set()

        assert await first == await second == await one.command("wait", command_id="tap")
        assert engine.done == ["wait"]
        await one.close()
        await other.close()

    story(path, tell)


def test_an_answer_of_an_engine_before_this_one_is_given_again(path):
    async def tell(engine: Engine) -> None:
        engine.server.answered.preload([Accepted(command_id="tap", seq=41)])
        client = LinkClient(path, client="bedside")
        await client.connect()

        assert await client.command("open_batch", command_id="tap") == Accepted(command_id="tap", seq=41)
        assert engine.done == []
        await client.close()

    story(path, tell)


def test_stop_goes_ahead_of_everything_that_arrived_before_it(path):
    async def tell(engine: Engine) -> None:
        _, writer = await raw(path)
        lines = [encode(Hello(client="bedside"))]
        lines += [encode(Command(command_id=f"c{n}", name="comment")) for n in range(20)]
        lines += [encode(Command(command_id="s", name="stop"))]
        writer.write(b"".join(lines))
        while len(engine.done) < 22:
            await asyncio.sleep(0.005)

        assert engine.done[0] == "STOP SENT"
        writer.close()

    story(path, tell)


def test_stop_is_not_held_up_by_a_command_that_still_waits(path):
    async def tell(engine: Engine) -> None:
        client = LinkClient(path, client="bedside")
        await client.connect()
        waiting = asyncio.create_task(client.command("wait"))
        await asyncio.sleep(0.02)

        answer = await client.command("stop", timeout_s=1)

        assert isinstance(answer, Accepted)
        assert engine.done == ["STOP SENT", "stop"]
        engine.release.set()
        await waiting
        await client.close()

    story(path, tell)


def test_stop_is_never_refused_as_a_duplicate_and_needs_no_hello(path):
    async def tell(engine: Engine) -> None:
        reader, writer = await raw(path)
        for _ in range(2):
            writer.write(encode(Command(command_id="same", name="stop")))
            assert isinstance(await next_of(reader), Accepted)

        assert engine.done.count("STOP SENT") == 2
        writer.close()

    story(path, tell)


def test_a_command_before_hello_is_refused(path):
    async def tell(engine: Engine) -> None:
        reader, writer = await raw(path)
        writer.write(encode(Command(command_id="c", name="comment")))

        answer = await next_of(reader)

        assert isinstance(answer, Refused)
        assert answer.reason == "hello_first"
        assert engine.done == []
        writer.close()

    story(path, tell)


def test_a_client_is_dropped_after_three_lines_that_are_no_messages(path):
    async def tell(engine: Engine) -> None:
        reader, writer = await raw(path)
        writer.write(b"one\n")
        assert (await next_of(reader)).reason == "malformed"
        writer.write(encode(Hello(client="cli")))
        assert isinstance(await next_of(reader), Snapshot)

        writer.write(b'{"kind":"command"}\n' + b'{"kind":"ping","v":2}\n')

        assert (await next_of(reader)).reason == "malformed"
        assert (await next_of(reader)).reason == "malformed"
        assert await reader.read() == b""

    story(path, tell)


def test_a_line_without_end_is_refused_and_its_sender_dropped(path):
    async def tell(engine: Engine) -> None:
        reader, writer = await raw(path)
        writer.write(b"x" * (LINE_BYTES_MAX + 2))

        assert (await next_of(reader)).reason == "line_too_long"
        assert await reader.read() == b""

    story(path, tell)


def test_a_client_that_does_not_read_is_dropped_and_the_others_miss_nothing(path):
    async def tell(engine: Engine) -> None:
        deaf = socket.socket(socket.AF_UNIX)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, str(path))
        await loop.sock_sendall(deaf, encode(Hello(client="bedside")))
        client = LinkClient(path, client="bedside")
        await client.connect()
        while len(engine.server.callers()) < 2:
            await asyncio.sleep(0.005)

        seen, longest_s = [], 0.0
        told = client.messages()
        for seq in range(200):
            began = time.perf_counter()
            engine.server.broadcast_event(event(seq, size=10_000))
            longest_s = max(longest_s, time.perf_counter() - began)
            seen.append((await anext(told)).seq)

        assert seen == list(range(200))
        assert longest_s < 0.5
        assert [caller.client for caller in engine.server.callers()] == ["bedside"]
        deaf.close()
        await client.close()

    story(path, tell)


def test_snapshots_come_at_most_five_a_second_and_the_newest_wins(path):
    async def tell(engine: Engine) -> None:
        reader, writer = await raw(path)  # counted on the wire, before a client merges them
        writer.write(encode(Hello(client="demo")))
        await next_of(reader)
        began, offered, seen = time.monotonic(), 0, []
        while time.monotonic() - began < 1.0:
            offered += 1
            engine.server.broadcast_snapshot(lambda caller, seq=offered: snapshot(seq))
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        while not seen or seen[-1] < offered:
            seen.append((await next_of(reader)).seq)
        writer.close()

        assert 3 <= len(seen) <= 7
        assert seen == sorted(seen)
        assert seen[-1] == offered

    story(path, tell)


def test_telemetry_reaches_a_slow_screen_as_its_newest_only(path):
    async def tell(engine: Engine) -> None:
        client = LinkClient(path, client="bedside")
        await client.connect()
        for _ in range(3):
            engine.server.broadcast_telemetry(Telemetry(devices=[]))
            engine.server.broadcast_event(event(7))
            await asyncio.sleep(0.3)
        engine.server.broadcast_event(event(8))
        await asyncio.sleep(0.05)

        told = client.messages()
        unread = [type(await anext(told)).__name__ for _ in range(5)]

        assert unread.count("Telemetry") == 1
        assert unread.count("EventMessage") == 4
        await client.close()

    story(path, tell)


def test_a_sync_agent_gets_events_but_no_snapshots_of_the_screen(path):
    async def tell(engine: Engine) -> None:
        client = LinkClient(path, client="sync")
        await client.connect()
        engine.server.broadcast_snapshot(lambda caller: snapshot(5))
        await asyncio.sleep(0.05)
        engine.server.broadcast_event(event(6))

        assert (await anext(client.messages())).seq == 6
        await client.close()

    story(path, tell)


def test_a_fault_inside_the_engine_answers_the_client_and_tells_the_engine(path):
    async def tell(engine: Engine) -> None:
        client = LinkClient(path, client="bedside")
        await client.connect()

        answer = await client.command("break")

        assert isinstance(answer, Refused)
        assert answer.reason == "engine_fault"
        assert engine.done == ["fault broken"]
        await client.close()

    story(path, tell)


def test_a_refused_hello_is_told_in_the_engines_words(path):
    async def tell(engine: Engine) -> None:
        with pytest.raises(EngineAway, match="no such station"):
            await LinkClient(path, client="bedside", station="nowhere").connect()

    story(path, tell)


def test_an_engine_that_goes_away_ends_the_waiting_with_words(path):
    async def tell(engine: Engine) -> None:
        client = LinkClient(path, client="bedside")
        await client.connect()
        waiting = asyncio.create_task(client.command("wait"))
        await asyncio.sleep(0.05)

        await engine.server.close()

        with pytest.raises(EngineAway, match="gone away"):
            await waiting
        with pytest.raises(EngineAway):
            await anext(client.messages())
        engine.release.set()
        await client.close()

    story(path, tell)


def test_no_answer_in_time_says_that_it_is_unknown_and_the_same_id_tells_later(path):
    async def tell(engine: Engine) -> None:
        client = LinkClient(path, client="bedside")
        await client.connect()
        with pytest.raises(NoAnswer) as unknown:
            await client.command("wait", timeout_s=0.05)
        engine.release.set()

        answer = await client.command("wait", command_id=unknown.value.command_id)

        assert isinstance(answer, Accepted)
        assert engine.done == ["wait"]
        await client.close()

    story(path, tell)


def test_without_an_engine_the_words_name_the_socket(path):
    with pytest.raises(EngineAway, match=r"engine\.sock"):
        asyncio.run(LinkClient(path, client="cli").connect())
    with pytest.raises(EngineAway, match=r"engine\.sock"):
        ask(path, "comment")
    with pytest.raises(EngineAway, match=r"engine\.sock"):
        look(path)


def test_a_blocking_caller_gets_its_answer_and_a_snapshot_too(path):
    async def tell(engine: Engine) -> None:
        answer = await asyncio.to_thread(ask, path, "comment", {"text": "x"})
        seen = await asyncio.to_thread(look, path)

        assert isinstance(answer, Accepted)
        assert seen.seq == 1

    story(path, tell)


def test_only_owner_and_group_may_connect_and_a_stale_socket_is_replaced(path):
    path.parent.mkdir(parents=True)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()

    async def tell(engine: Engine) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        await asyncio.to_thread(look, path)

    story(path, tell)

    assert not path.exists()


def test_a_second_engine_does_not_take_over_the_socket_of_a_living_one(path):
    async def tell(engine: Engine) -> None:
        with pytest.raises(SocketUnusable, match="Another engine"):
            await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(start_another(path)))
        await asyncio.to_thread(look, path)

    async def start_another(path: Path) -> None:
        await Engine(path).server.start()

    story(path, tell)


def test_a_file_that_is_no_socket_is_left_alone(path):
    path.parent.mkdir(parents=True)
    path.write_text("precious")

    with pytest.raises(SocketUnusable, match="not a socket"):
        story(path, lambda engine: asyncio.sleep(0))
    assert path.read_text() == "precious"


def test_a_screen_killed_while_it_waits_does_not_disturb_the_engine(path):
    async def tell(engine: Engine) -> None:
        script = (
            "import asyncio, sys; from pathlib import Path; from appliance.link.client import LinkClient\n"
            "async def main():\n"
            "    client = LinkClient(Path(sys.argv[1]), client='bedside'); await client.connect()\n"
            "    print('here', flush=True); await client.command('wait')\n"
            "asyncio.run(main())"
        )
        screen = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(path), stdout=asyncio.subprocess.PIPE
        )
        assert screen.stdout is not None
        await screen.stdout.readline()
        while len(engine.callers) < 1:
            await asyncio.sleep(0.005)

        screen.kill()
        await screen.wait()
        engine.release.set()

        client = LinkClient(path, client="bedside")
        await client.connect()
        assert isinstance(await client.command("comment"), Accepted)
        assert engine.done == ["wait", "comment"]
        await client.close()

    story(path, tell)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    """One served engine for many small conversations, in a thread of its own."""
    path = tmp_path_factory.mktemp("link") / "engine.sock"
    ready, loop = threading.Event(), asyncio.new_event_loop()
    engines: list[Engine] = []

    async def serve() -> None:
        engines.append(Engine(path))
        await engines[0].server.start()
        ready.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.run_forever()))
    thread.start()
    ready.wait(5)
    yield path
    asyncio.run_coroutine_threadsafe(engines[0].server.close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


NEAR_MESSAGES = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=5).map(
        lambda value: json.dumps(value).encode()
    ),
    st.sampled_from([b"[" * 5000, b'{"kind":"command","command_id":"c","name":"x","body":' + b"[" * 20_000]),
    st.sampled_from([b"", b"null", b'{"kind":"hello","client":"root"}', b"\xff\xfe", b'{"kind":"event"}']),
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(NEAR_MESSAGES, max_size=6))
def test_whatever_bytes_a_client_sends_the_next_client_is_served(served, lines):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(served))
        try:
            link.sendall(b"\n".join(lines) + b"\n")
            link.shutdown(socket.SHUT_WR)
            while chunk := link.recv(65536):
                assert b'"kind":"refused"' in chunk or b'"kind":"snapshot"' in chunk
        except (BrokenPipeError, ConnectionResetError):
            pass  # dropped after three bad lines, while more was on its way

    assert look(served).seq == 1


def test_the_client_side_loads_neither_the_engine_nor_any_other_room():
    rooms = ("appliance.engine", "appliance.record", "appliance.link.server", "drivers", "vision", "tui")
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, appliance.link.client\nprint([room for room in {rooms!r} if room in sys.modules])",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert told.stdout == "[]\n"
