"""The engine's side of `engine.sock`: snapshots, events, telemetry, bounded clients.

Nothing here is ever awaited on behalf of a client: what a client does not read in time is
dropped together with the client, and it comes back by `hello` and a fresh snapshot.
A STOP found anywhere in what has arrived is handed over before all else (SAFETY 1).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from appliance.link.messages import (
    LINE_BYTES_MAX,
    PROTOCOL_VERSION,
    Accepted,
    Command,
    EventMessage,
    FromClient,
    FromEngine,
    Hello,
    MessageTooLong,
    Ping,
    Pong,
    Refused,
    Snapshot,
    Telemetry,
    decode_from_client,
    encode,
)

WRITE_BUFFER_BYTES_MAX = 256 * 1024
TELEMETRY_BACKLOG_BYTES_MAX = 64 * 1024
CLIENTS_MAX = 32
COMMANDS_WAITING_MAX = 32
MALFORMED_LINES_MAX = 3
ANSWERS_KEPT_MAX = 10_000
SNAPSHOT_INTERVAL_S = 0.2
TELEMETRY_INTERVAL_S = 0.25
PATH_BYTES_MAX = 107  # of sun_path in unix(7), less its closing zero
_PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid
_SNAPSHOT_CLIENTS = frozenset({"bedside", "demo"})

_logger = logging.getLogger(__name__)
Answer = Accepted | Refused
Offered = TypeVar("Offered")


class SocketUnusable(Exception):
    """The socket cannot be made; `str(error)` says why and what to do."""


@dataclass(slots=True, kw_only=True)
class Caller:
    """Who is at the other end: as the kernel says, and as `hello` said (empty before it)."""

    pid: int
    uid: int
    gid: int
    client: str = ""
    station: str = ""


OnHello = Callable[[Hello, Caller], Snapshot | Refused]
OnCommand = Callable[[Command, Caller], Awaitable[Answer]]
OnStop = Callable[[Command, Caller], None]
MakeSnapshot = Callable[[Caller], Snapshot]


class AnsweredCommands:
    """First answers by `command_id`, so that a double tap or a retried send cannot act twice."""

    def __init__(self, kept_max: int = ANSWERS_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._answers: OrderedDict[str, asyncio.Future[Answer]] = OrderedDict()

    def find(self, command_id: str) -> asyncio.Future[Answer] | None:
        return self._answers.get(command_id)

    def begin(self, command_id: str) -> asyncio.Future[Answer]:
        """Take the command in; its repeats wait for the same answer."""
        assert command_id not in self._answers, command_id
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[command_id] = answer
        while len(self._answers) > self._kept_max:
            self._answers.popitem(last=False)
        return answer

    def preload(self, answers: Iterable[Answer]) -> None:
        """Remember answers that an engine before this one gave."""
        for answer in answers:
            if answer.command_id not in self._answers:
                self.begin(answer.command_id).set_result(answer)


class LinkServer:
    """Serve `engine.sock`.

    Parameters
    ----------
    on_hello
        Called at once for a `hello`; gives the snapshot for that station, or refuses.
    on_command
        Awaited for each command, one at a time for each client. Called once for a `command_id`.
    on_stop
        Called synchronously for each `stop`, before anything else that has arrived is looked at,
        and before `on_command` records it; also from a client that has not said hello.
    on_fault
        Called when `on_command` raised: the program is wrong, and the engine should hold.
    group
        Name or id of the group that may connect; mode 0660.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_hello: OnHello,
        on_command: OnCommand,
        on_stop: OnStop | None = None,
        on_fault: Callable[[Exception], None] | None = None,
        group: int | None = None,
    ) -> None:
        self.answered = AnsweredCommands()
        self._path, self._group = path, group
        self._on_hello, self._on_command = on_hello, on_command
        self._on_stop, self._on_fault = on_stop, on_fault
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._snapshot = _Coalesced(SNAPSHOT_INTERVAL_S, self._send_snapshots)
        self._telemetry = _Coalesced(TELEMETRY_INTERVAL_S, self._send_telemetry)

    async def start(self) -> None:
        """Make the socket and serve; raises `SocketUnusable`."""
        listening = _listen_at(self._path, self._group)
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Connection(self), sock=listening
        )

    async def close(self) -> None:
        """Say goodbye to all clients and remove the socket."""
        self._snapshot.cancel()
        self._telemetry.cancel()
        for connection in tuple(self._connections):
            connection.close()
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
            self._server = None

    def callers(self) -> list[Caller]:
        """Who is connected and has said hello."""
        return [connection.caller for connection in self._greeted()]

    def broadcast_event(self, event: EventMessage) -> None:
        """Send one committed event to every client."""
        line = _line_of(event)
        for connection in self._greeted():
            connection.send_line(line)

    def broadcast_snapshot(self, make: MakeSnapshot) -> None:
        """Send a fresh snapshot to each screen, at most 5 a second; `make` is called when it is sent."""
        self._snapshot.offer(make)

    def broadcast_telemetry(self, telemetry: Telemetry) -> None:
        """Send live values to each client, at most 4 a second; the newest wins."""
        self._telemetry.offer(telemetry)

    def _greeted(self) -> list[_Connection]:
        return [connection for connection in self._connections if connection.caller.client]

    def _send_snapshots(self, make: MakeSnapshot) -> None:
        for connection in self._greeted():
            if connection.caller.client in _SNAPSHOT_CLIENTS:
                connection.send(make(connection.caller))

    def _send_telemetry(self, telemetry: Telemetry) -> None:
        line = _line_of(telemetry)
        for connection in self._greeted():
            if connection.backlog_bytes() < TELEMETRY_BACKLOG_BYTES_MAX:
                connection.send_line(line)

    # What a connection tells

    def connected(self, connection: _Connection) -> bool:
        """Take a client in; False when there are too many."""
        if len(self._connections) >= CLIENTS_MAX:
            return False
        self._connections.add(connection)
        return True

    def disconnected(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def stop_now(self, command: Command, caller: Caller) -> None:
        if self._on_stop is not None:
            self._on_stop(command, caller)

    def hello(self, hello: Hello, caller: Caller) -> Snapshot | Refused:
        return self._on_hello(hello, caller)

    async def answer(self, command: Command, caller: Caller) -> Answer:
        """The first answer to this `command_id`: by asking the engine, or as given before."""
        if command.name == "stop":
            # Never refused as a duplicate, never held up behind an earlier one.
            return await self._ask_engine(command, caller)
        known = self.answered.find(command.command_id)
        if known is not None:
            return await asyncio.shield(known)
        answer = self.answered.begin(command.command_id)
        answer.set_result(await self._ask_engine(command, caller))
        return answer.result()

    async def _ask_engine(self, command: Command, caller: Caller) -> Answer:
        try:
            answer = await self._on_command(command, caller)
            assert answer.command_id == command.command_id, answer
            return answer
        except Exception as fault:
            # Outermost loop of a client's commands: the engine is told, and the client is not left waiting.
            _logger.exception("the command %s failed inside the engine", command.name)
            if self._on_fault is not None:
                self._on_fault(fault)
            return Refused(
                command_id=command.command_id,
                reason="engine_fault",
                words="The unit could not carry this out because of a fault of its own. Call service.",
            )


class _Connection(asyncio.Protocol):
    """One client: lines in, bounded bytes out."""

    def __init__(self, server: LinkServer) -> None:
        self.caller = Caller(pid=0, uid=0, gid=0)
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._malformed = 0
        self._commands: asyncio.Queue[Command | None] = asyncio.Queue(COMMANDS_WAITING_MAX + 1)
        # The loop itself keeps only weak references to tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer: socket.socket = transport.get_extra_info("socket")
        pid, uid, gid = _PEER.unpack(
            peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)  # as connect(2) saw it
        )
        self.caller = Caller(pid=pid, uid=uid, gid=gid)
        if not self._server.connected(self):
            self._refuse("", "too_many_clients", "Too many screens are connected. Close one and try again.")
            self.close()
            return
        self._spawn(self._work())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.disconnected(self)
        self._commands.put_nowait(None)  # one place more than commands can take is kept for this

    def data_received(self, data: bytes) -> None:
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        messages = [self._decode(bytes(line)) for line in lines]
        for message in messages:
            if isinstance(message, Command) and message.name == "stop":
                self._stop(message)
        for message in messages:
            if message is not None and not (isinstance(message, Command) and message.name == "stop"):
                self._take(message)
        if len(self._received) > LINE_BYTES_MAX:
            self._refuse("", "line_too_long", f"A line may have {LINE_BYTES_MAX} bytes. The link is closed.")
            self.close()

    def _decode(self, line: bytes) -> FromClient | None:
        try:
            return _message_of(line)
        except (msgspec.DecodeError, _NotOurs, RecursionError) as reason:
            self._malformed += 1
            self._refuse("", "malformed", f"This line is not a message of the local protocol: {reason}.")
            if self._malformed >= MALFORMED_LINES_MAX:
                self.close()
            return None

    def _stop(self, command: Command) -> None:
        self._server.stop_now(command, self.caller)
        self._spawn(self._answer(command))

    def _take(self, message: FromClient) -> None:
        if isinstance(message, Ping):
            self.send(Pong())
        elif isinstance(message, Hello):
            answer = self._server.hello(message, self.caller)
            if isinstance(answer, Snapshot):
                self.caller.client, self.caller.station = message.client, message.station
            self.send(answer)
        elif not self.caller.client:
            self._refuse(message.command_id, "hello_first", "Say hello before the first command.")
        elif self._commands.qsize() >= COMMANDS_WAITING_MAX:
            self._refuse(message.command_id, "busy", "The unit is busy. Wait a moment and try again.")
        else:
            self._commands.put_nowait(message)

    async def _work(self) -> None:
        """Hand the commands over in their order, also those of a client that has gone since."""
        while (command := await self._commands.get()) is not None:
            await self._answer(command)

    async def _answer(self, command: Command) -> None:
        self.send(await self._server.answer(command, self.caller))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, command_id: str, reason: str, words: str) -> None:
        self.send(Refused(command_id=command_id, reason=reason, words=words))

    def send(self, message: FromEngine) -> None:
        self.send_line(_line_of(message))

    def send_line(self, line: bytes) -> None:
        """Queue one line; a client that does not read is dropped instead of waited for."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.backlog_bytes() + len(line) > WRITE_BUFFER_BYTES_MAX:
            _logger.warning("client %s (pid %d) does not read; dropped", self.caller.client, self.caller.pid)
            self._transport.abort()
            return
        self._transport.write(line)

    def backlog_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass(slots=True)
class _Coalesced(Generic[Offered]):
    """Send the newest of what is offered, with at least `interval_s` between two."""

    interval_s: float
    send: Callable[[Offered], None]
    _newest: Offered | None = None
    _sent_at: float = float("-inf")
    _timer: asyncio.TimerHandle | None = field(default=None)

    def offer(self, newest: Offered) -> None:
        self._newest = newest
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(
                max(0.0, self._sent_at + self.interval_s - loop.time()), self._flush
            )

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._timer = None
        self._sent_at = asyncio.get_running_loop().time()
        newest, self._newest = self._newest, None
        assert newest is not None
        self.send(newest)


class _NotOurs(ValueError):
    """A line that may be well-formed, but is too long or of another version."""


def _message_of(line: bytes) -> FromClient:
    if len(line) >= LINE_BYTES_MAX:
        raise _NotOurs(f"it has {len(line)} bytes, at most {LINE_BYTES_MAX} are allowed")
    message = decode_from_client(line)
    if message.v != PROTOCOL_VERSION:
        raise _NotOurs(f"it is of version {message.v}, this is version {PROTOCOL_VERSION}")
    return message


def _line_of(message: FromEngine) -> bytes:
    try:
        return encode(message)
    except MessageTooLong as reason:
        # A screen that hears this shows it; silence would leave it with an old picture of the unit.
        _logger.error("a %s is too long for the link: %s", type(message).__name__, reason)
        command_id = message.command_id if isinstance(message, Accepted | Refused) else ""
        words = "The unit has more to tell than fits in one message. Call service."
        return encode(Refused(command_id=command_id, reason="message_too_long", words=words))


def _listen_at(path: Path, group: int | None) -> socket.socket:
    """A listening socket with mode 0660; a stale one is removed, one that answers is not."""
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise SocketUnusable(f"{path} is longer than {PATH_BYTES_MAX} bytes. Choose a shorter home folder.")
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o117)  # the socket is made with its mode: there is no moment when others may connect
    try:
        listening.bind(str(path))
        if group is not None:
            os.chown(path, -1, group)
    except OSError as reason:
        listening.close()
        raise SocketUnusable(
            f"{path} cannot be made: {reason.strerror}. Check the folder's owner."
        ) from reason
    finally:
        os.umask(umask)
    listening.setblocking(False)
    return listening


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketUnusable(f"{path} is not a socket. Move it away and start again.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(1.0)
        try:
            knocking.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
        except OSError as reason:
            raise SocketUnusable(f"{path} cannot be tried: {reason}. Check the folder's owner.") from reason
        else:
            raise SocketUnusable(f"Another engine answers on {path}. Stop it first.")
