"""Start, lease, watch and restart the device hosts; mark what is stale.

The pool knows no batch. It passes on what the hosts say, and makes sure of three things: a
lease is only ever renewed when the engine asks for it, a STOP is written to every pipe before
anything else is done, and each order gets exactly one outcome, also when its host dies.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from appliance.config import Device, SafeState
from appliance.link.messages import DeviceView, ReadingView

LEASE_MS = 400
RESTART_WAITS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
GOOD_LIFE_S = 30.0  # a host that lived so long starts again without the long waits
SILENT_HOST_S = 10.0  # no word for so long, not even of a fault (told each 5 s): the host is stuck
LISTEN_S = 1.0  # how often the silence of a host is judged
SILENT_ORDER_S = 60.0  # the same while an order is carried out: a balance waits 40 s for a steady pan
CLOSE_TIMEOUT_S = 5.0
STALE_S = 2.0
STALE_POLLS = 3
PIPE_BACKLOG_BYTES_MAX = 64 * 1024
LINE_BYTES_MAX = 64 * 1024
_NS = 1_000_000_000

_logger = logging.getLogger(__name__)
OnMessage = Callable[[str, dict[str, Any]], None]
State = Literal["starting", "ready", "silent", "fault"]


class DevicePool:
    """The device hosts of a unit.

    Parameters
    ----------
    on_message
        Called with the device's id and each message of its host, as in the hosts' protocol; two
        more come from the pool itself: `{"host":{"state":"started"|"died","words":…}}`.
    term
        The engine's start counter; orders and leases carry it.
    bench
        `simulated` or `real`: hosts refuse a port of the other kind. `any` is for tests of the pool.
    trace
        The folder in which hosts keep the bytes of their lines (`drivers.trace_file`); nowhere if None.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        on_message: OnMessage,
        term: int,
        bench: Literal["simulated", "real", "any"] = "any",
        lease_ms: int = LEASE_MS,
        trace: Path | None = None,
    ) -> None:
        self._on_message = on_message
        self._relays = {device.id: device.behind_relay for device in devices if device.behind_relay}
        self._hosts = {
            device.id: _Host(device, self._heard, term, bench, lease_ms, trace) for device in devices
        }

    def _heard(self, device_id: str, message: dict[str, Any]) -> None:
        """Pass a message on; a device of which nobody knows that it stands loses its supply (SAFETY 3)."""
        lost = message.get("host", {}).get("state") == "died" or message.get("stopped") is False
        if lost and (relay := self._relays.get(device_id)) is not None:
            self.stop(relay)
        self._on_message(device_id, message)

    async def start(self) -> None:
        """Start all hosts and keep them running; returns at once."""
        for host in self._hosts.values():
            host.start()

    def stop_all(self) -> None:
        """Write STOP straight to every pipe; needs no lease, no term and no expiry (SAFETY 1).

        A device whose declared safe state is to keep (a warm bath with a bag in it) keeps and
        alarms: its safe state is not "off" (SAFETY 2).
        """
        for host in self._hosts.values():
            if host.safe_state == "stop":
                host.stop()

    def stop(self, device_id: str) -> None:
        """Bring one device to rest at once, for a phase that is held."""
        self._hosts[device_id].stop()

    def renew_leases(self, term: int) -> None:
        """Renew every lease; the engine calls this each 100 ms, only while it is fresh itself."""
        for host in self._hosts.values():
            host.send({"lease": {"term": term}})

    def order(
        self,
        device_id: str,
        order_id: str,
        name: str,
        parameters: Mapping[str, str],
        expires_in_ms: int,
    ) -> None:
        """Send an order once; exactly one `outcome` message follows, whatever happens."""
        assert expires_in_ms > 0, expires_in_ms
        self._hosts[device_id].order(order_id, name, parameters, expires_in_ms)

    def set_safe_state(self, device_id: str, state: SafeState) -> None:
        """Declare what the host does when nobody is listening; a restarted host is told again."""
        self._hosts[device_id].set_safe_state(state)

    def expect(self, device_id: str, expected: Mapping[str, str]) -> None:
        """Say who a device must be to be given an order; a restarted host is told again."""
        if device_id in self._hosts:  # one that people run has no host
            self._hosts[device_id].expect(expected)

    def fresh(self, device_id: str, now_ns: int | None = None) -> bool:
        """Whether the device has been read lately and nothing is wrong with it."""
        return self._hosts[device_id].fresh(_now(now_ns))

    def readings(self, device_id: str) -> Mapping[str, Mapping[str, Any]]:
        """The last reading of each name, as it came; judge its age by `received_ns`."""
        return self._hosts[device_id].readings

    def view(self, now_ns: int | None = None) -> list[DeviceView]:
        """What screens show: each value with its quality and age, stale ones marked."""
        return [host.view(_now(now_ns)) for host in self._hosts.values()]

    def pids(self) -> dict[str, int]:
        """Process ids of the hosts that run."""
        return {name: host.pid for name, host in self._hosts.items() if host.pid is not None}

    async def close(self) -> None:
        """Let the hosts apply their safe states and exit; whoever does not is killed."""
        await asyncio.gather(*(host.close() for host in self._hosts.values()))


class _Host:
    """One child process, started again whenever it ends."""

    def __init__(
        self,
        device: Device,
        on_message: OnMessage,
        term: int,
        bench: str,
        lease_ms: int,
        trace: Path | None,
    ) -> None:
        self.readings: dict[str, dict[str, Any]] = {}
        self._device, self._on_message, self._term = device, on_message, term
        self._bench, self._lease_ms, self._trace = bench, lease_ms, trace
        self._safe_state: SafeState = device.safe_state
        pinned = {"serial_number": device.serial_number, "firmware": device.firmware}
        self._expected = {key: value for key, value in pinned.items() if value}
        self._state: State = "starting"
        self._words = "Connecting."
        self._process: Process | None = None
        self._stop_owed = False
        self._pending: dict[str, None] = {}  # orders without an outcome, oldest first
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def safe_state(self) -> SafeState:
        return self._safe_state

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        assert self._supervisor is None, "a pool starts once"
        self._supervisor = asyncio.create_task(self._keep_running(), name=f"host of {self._device.id}")
        self._supervisor.add_done_callback(self._supervision_ended)

    def _supervision_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            _logger.critical("nobody watches the host of %s any longer", self._device.id, exc_info=fault)

    # Down the pipe

    def stop(self) -> None:
        self._stop_owed = not self.send({"stop": True})  # owed to the next host, if there is none

    def send(self, message: dict[str, Any]) -> bool:
        """Write one line at once; False when there is no host that could read it."""
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            return False
        if process.stdin.transport.get_write_buffer_size() > PIPE_BACKLOG_BYTES_MAX:
            # It does not read: its lease has lapsed long ago, and STOP would wait behind the rest.
            self._kill("does not read its pipe")
            return False
        process.stdin.write(json.dumps(message).encode() + b"\n")
        return True

    def order(self, order_id: str, name: str, parameters: Mapping[str, str], expires_in_ms: int) -> None:
        self._pending[order_id] = None
        body = {
            "id": order_id,
            "term": self._term,
            "expires_in_ms": expires_in_ms,
            "name": name,
            "parameters": dict(parameters),
        }
        if not self.send({"order": body}):
            words = f"{self._device.title} is not connected; the order was not sent."
            loop = asyncio.get_running_loop()
            # Not from within this call: whoever orders has first to finish recording that it did.
            loop.call_soon(self._no_outcome, order_id, "refused", words)

    def expect(self, expected: Mapping[str, str]) -> None:
        self._expected = dict(expected)
        self.send({"expect": self._expected})

    def set_safe_state(self, state: SafeState) -> None:
        self._safe_state = state
        self.send({"safe_state": state})

    # Up the pipe

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message or "restarted" in message:
            self._state, self._words = "ready", ""
            self._distrust_readings()
        if "restarted" in message:
            self._words = str(message["restarted"].get("words", ""))
        if "readings" in message:
            self._state, self._words = "ready", ""
            self.readings = {reading["name"]: reading for reading in message["readings"]}
        if "fault" in message:
            self._state = "silent" if message["fault"]["kind"] in ("silent", "line_lost") else "fault"
            self._words = str(message["fault"]["words"])
            if message["fault"]["kind"] == "line_lost":
                self._distrust_readings()
        if "outcome" in message:
            if message["outcome"]["id"] not in self._pending:
                return  # told already, when the host that took the order seemed dead
            del self._pending[message["outcome"]["id"]]
        self._on_message(self._device.id, message)

    def _distrust_readings(self) -> None:
        """What was read before a connection began or ended is not now, however young it is (SAFETY 7)."""
        for name, reading in self.readings.items():
            if reading["quality"] != "bad":
                self.readings[name] = {**reading, "quality": "stale"}

    def _no_outcome(self, order_id: str, fault: str, words: str) -> None:
        if order_id in self._pending:
            self._take({"outcome": {"id": order_id, "ok": False, "fault": fault, "words": words}})

    # The life of the process

    async def _keep_running(self) -> None:
        failures = 0
        while not self._closing:
            began = time.monotonic()
            try:
                await self._live()
            except OSError as reason:
                _logger.error("the host of %s cannot be started: %s", self._device.id, reason)
            if self._closing:
                return
            failures = 0 if time.monotonic() - began > GOOD_LIFE_S else failures
            await asyncio.sleep(RESTART_WAITS_S[min(failures, len(RESTART_WAITS_S) - 1)])
            failures += 1

    async def _live(self) -> None:
        """Start the process and listen to it until it ends."""
        process = await asyncio.create_subprocess_exec(
            *self._command_line(),
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C at a terminal is the engine's to answer
        )
        self._process = process
        if self._stop_owed:
            self.stop()
        self.send({"lease": {"term": self._term}})
        self.send({"safe_state": self._safe_state})
        self.send({"expect": self._expected})
        self._on_message(self._device.id, {"host": {"state": "started", "words": ""}})
        try:
            await self._listen(process)
        finally:
            await _part_from(process)
            self._died(process)

    def _command_line(self) -> list[str]:
        device = self._device
        return [
            *(sys.executable, "-m", "appliance.engine.device_host"),
            *("--id", device.id, "--type", device.type, "--port", device.port),
            *("--poll-ms", str(device.poll_ms), "--lease-ms", str(self._lease_ms)),
            *("--safe-state", self._safe_state, "--bench", self._bench),
            *(("--trace", str(self._trace)) if self._trace else ()),
            *(word for pair in self._expected.items() for word in ("--expect", "=".join(pair))),
            *(word for pair in device.settings.items() for word in ("--setting", "=".join(pair))),
        ]

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        heard_s = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(LISTEN_S):
                    line = await process.stdout.readline()
            except TimeoutError:
                if time.monotonic() - heard_s < self._silence_allowed_s():
                    continue
                self._kill("says nothing")
                return
            except ValueError:
                self._kill("wrote a line without end")
                return
            if not line:
                return
            heard_s = time.monotonic()
            message = _message_of(line)
            if message is None:
                _logger.warning("the host of %s wrote a line that is no message", self._device.id)
            else:
                self._take(message)

    def _silence_allowed_s(self) -> float:
        if self._pending:
            return SILENT_ORDER_S
        return max(SILENT_HOST_S, STALE_POLLS * self._device.poll_ms / 1000)

    def _kill(self, why: str) -> None:
        _logger.error("the host of %s %s; it is killed and started again", self._device.id, why)
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _died(self, process: Process) -> None:
        self._process = None
        self._state = "starting"
        self._distrust_readings()
        self._words = "The connection to the device is being made again."
        words = f"{self._device.title}: its program ended with status {process.returncode}."
        for order_id in list(self._pending):
            self._no_outcome(
                order_id,
                "silent",
                f"{words} Whether the order was carried out is unknown: look at the device.",
            )
        self._on_message(self._device.id, {"host": {"state": "died", "words": words}})

    async def close(self) -> None:
        self._closing = True
        self.send({"close": True})
        if self._supervisor is None:
            return
        if self._process is not None:
            await asyncio.wait({self._supervisor}, timeout=CLOSE_TIMEOUT_S)
        if not self._supervisor.done():
            self._kill("does not leave")
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})

    # What is shown

    def _stale_ns(self) -> int:
        return int(max(STALE_S, STALE_POLLS * self._device.poll_ms / 1000) * _NS)

    def fresh(self, now_ns: int) -> bool:
        return (
            self._state == "ready"
            and bool(self.readings)
            and all(self._is_now(reading, now_ns) for reading in self.readings.values())
        )

    def _is_now(self, reading: Mapping[str, Any], now_ns: int) -> bool:
        return reading["quality"] != "stale" and now_ns - int(reading["received_ns"]) <= self._stale_ns()

    def view(self, now_ns: int) -> DeviceView:
        readings = [self._reading_view(reading, now_ns) for reading in self.readings.values()]
        return DeviceView(
            id=self._device.id,
            title=self._device.title,
            role=self._device.role,
            state=self._state,
            words=self._words,
            readings=readings,
        )

    def _reading_view(self, reading: Mapping[str, Any], now_ns: int) -> ReadingView:
        age_ns = max(0, now_ns - int(reading["received_ns"]))
        is_stale = age_ns > self._stale_ns()
        return ReadingView(
            name=reading["name"],
            value=reading["value"],
            unit=reading["unit"],
            quality="stale" if is_stale and reading["quality"] != "bad" else reading["quality"],
            age_s=str((Decimal(age_ns) / _NS).quantize(Decimal("0.1"))),
        )


async def _part_from(process: Process) -> None:
    """Close the pipe, on which a host in order applies its safe state and leaves; kill any other."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _now(now_ns: int | None) -> int:
    return time.monotonic_ns() if now_ns is None else now_ns


def _message_of(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
