"""The client's side of `engine.sock`: what the screens, the commands and the sync agent use."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from appliance.domain.errors import ApplianceError
from appliance.link.messages import (
    LINE_BYTES_MAX,
    Accepted,
    Command,
    EventMessage,
    FromEngine,
    Hello,
    Pong,
    Proof,
    Refused,
    Snapshot,
    Telemetry,
    decode_from_engine,
    encode,
)

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 15.0
UNREAD_MAX = 2_000

Client = Literal["bedside", "sync", "cli", "demo"]
Answer = Accepted | Refused


class EngineAway(ApplianceError):
    """The engine cannot be reached or has gone; whoever waits for it should try again."""

    reason = "engine_away"


class NoAnswer(EngineAway):
    """The engine took a command and did not answer: whether it acted is unknown.

    Sending the same `command_id` again is safe and tells.
    """

    reason = "no_answer"

    def __init__(self, command_id: str, timeout_s: float) -> None:
        self.command_id = command_id
        super().__init__(
            f"The unit did not answer in {timeout_s:g} s. Look at the screen before you try again."
        )


class LinkClient:
    """One connection to the engine. It is not mended: after `EngineAway`, make another."""

    def __init__(self, path: Path, *, client: Client, station: str = "") -> None:
        self._path = path
        self._hello = Hello(client=client, station=station)
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._unread: deque[FromEngine] = deque()
        self._arrived = asyncio.Event()
        self._gone: EngineAway | None = None

    async def connect(self) -> Snapshot:
        """Say hello and return the snapshot; raises `EngineAway`."""
        assert self._writer is None, "a LinkClient connects once"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, self._writer = await asyncio.open_unix_connection(
                    self._path, limit=2 * LINE_BYTES_MAX
                )
                self._writer.write(encode(self._hello))
                answer = await _next_message(reader)
        except (OSError, TimeoutError, EngineAway) as reason:
            await self.close()
            raise reason if isinstance(reason, EngineAway) else _not_there(self._path) from reason
        if not isinstance(answer, Snapshot):
            await self.close()
            raise EngineAway(
                answer.words if isinstance(answer, Refused) else "The unit did not greet. Try again."
            )
        self._reading = asyncio.create_task(self._read(reader))
        return answer

    async def messages(self) -> AsyncIterator[Snapshot | EventMessage | Telemetry | Refused | Pong]:
        """What the engine tells unasked, in order; only the newest unread snapshot and telemetry are kept.

        Ends after `close`; raises `EngineAway` when the engine has gone.
        """
        while True:
            while self._unread:
                message = self._unread.popleft()
                assert not isinstance(message, Accepted), message
                yield message
            if self._gone is not None:
                raise self._gone
            if self._reading is None:
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def command(
        self,
        name: str,
        body: Mapping[str, Any] | None = None,
        proof: Proof | None = None,
        command_id: str | None = None,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> Answer:
        """Ask the engine; raises `NoAnswer` when it stays unknown, `EngineAway` when it has gone."""
        if self._gone is not None:
            raise self._gone
        if self._writer is None or self._reading is None:
            raise _not_there(self._path)
        command = _command(name, body, proof, command_id)
        waiting = self._waiting.setdefault(
            command.command_id, asyncio.get_running_loop().create_future()
        )  # a repeat waits beside the first: one answer serves both
        self._writer.write(encode(command))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(waiting)
        except TimeoutError as reason:
            raise NoAnswer(command.command_id, timeout_s) from reason
        finally:
            self._waiting.pop(command.command_id, None)

    async def close(self) -> None:
        """Leave; harmless when repeated."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        self._end(EngineAway("This screen has closed its link to the engine."))
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                self._take(await _next_message(reader))
        except (EngineAway, OSError) as reason:
            self._gone = reason if isinstance(reason, EngineAway) else _gone()
            self._end(self._gone)

    def _end(self, why: EngineAway) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(why)
                waiting.exception()  # marked as seen: the asker may have timed out already
        self._arrived.set()

    def _take(self, message: FromEngine) -> None:
        if isinstance(message, Accepted) or (isinstance(message, Refused) and message.command_id):
            waiting = self._waiting.get(message.command_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            return
        if isinstance(message, Snapshot | Telemetry):
            # Newest wins: a slow screen jumps to now instead of replaying what has passed.
            self._unread = deque(unread for unread in self._unread if type(unread) is not type(message))
        self._unread.append(message)
        while len(self._unread) > UNREAD_MAX:
            self._unread.popleft()
        self._arrived.set()


def ask(
    path: Path,
    name: str,
    body: Mapping[str, Any] | None = None,
    proof: Proof | None = None,
    command_id: str | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
    station: str = "",
) -> Answer:
    """Connect, send one command and return its answer, without asyncio; raises as `LinkClient.command`."""
    command = _command(name, body, proof, command_id)
    for message in _conversation(path, command, timeout_s, station):
        if isinstance(message, Accepted | Refused) and message.command_id == command.command_id:
            return message
    raise NoAnswer(command.command_id, timeout_s)


def look(path: Path, timeout_s: float = CONNECT_TIMEOUT_S) -> Snapshot:
    """The engine's snapshot, without asyncio; raises `EngineAway`."""
    for message in _conversation(path, None, timeout_s, ""):
        if isinstance(message, Snapshot):
            return message
        if isinstance(message, Refused):
            raise EngineAway(message.words)
    raise _not_there(path)


def _conversation(
    path: Path, command: Command | None, timeout_s: float, station: str
) -> Iterator[FromEngine]:
    """Hello, the command, and whatever comes back until the deadline or the end of the link."""
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
            link.sendall(encode(Hello(client="cli", station=station)))
            if command is not None:
                link.sendall(encode(command))
        except OSError as reason:
            raise _not_there(path) from reason
        received = b""
        while (left_s := deadline - time.monotonic()) > 0:
            link.settimeout(left_s)
            try:
                chunk = link.recv(LINE_BYTES_MAX)
            except OSError:
                return
            if not chunk:
                return
            *lines, received = (received + chunk).split(b"\n")
            yield from map(_decode, lines)


def _command(
    name: str, body: Mapping[str, Any] | None, proof: Proof | None, command_id: str | None
) -> Command:
    return Command(command_id=command_id or uuid.uuid4().hex, name=name, body=dict(body or {}), proof=proof)


async def _next_message(reader: asyncio.StreamReader) -> FromEngine:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as reason:
        raise _gone() from reason
    except asyncio.LimitOverrunError as reason:
        raise EngineAway("The unit speaks another language than this screen. Call service.") from reason
    return _decode(line)


def _decode(line: bytes) -> FromEngine:
    try:
        return decode_from_engine(line)
    except msgspec.DecodeError as reason:
        raise EngineAway(
            f"The unit speaks another language than this screen ({reason}). Bring both to the same version."
        ) from reason


def _not_there(path: Path) -> EngineAway:
    return EngineAway(f"The engine does not answer on {path}. It may be starting; if it stays so, start it.")


def _gone() -> EngineAway:
    return EngineAway("The engine has gone away. Devices are in their safe state; wait for it to come back.")
