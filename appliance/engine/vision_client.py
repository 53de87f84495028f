"""Ask the vision worker, with deadline and restart.

The worker may die of a picture or hang in a library; the engine then says so in words and
starts another. A request that died is never silently asked again: whoever asked decides.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

from appliance.domain.errors import ApplianceError

READY_TIMEOUT_S = 90.0  # kernels may have to be compiled at the first start on a machine
RESTART_WAITS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
GOOD_LIFE_S = 30.0
WAITING_MAX = 16
LINE_BYTES_MAX = 16 * 1024 * 1024  # a count lists every cell of its pictures
CLOSE_TIMEOUT_S = 3.0
TIMEOUT_S = {"ping": 5.0, "scan": 20.0, "scan_source": 60.0, "count": 180.0, "render_label": 20.0}
WORKER = (sys.executable, "-m", "vision.worker")

_logger = logging.getLogger(__name__)


class VisionAway(ApplianceError):
    """The worker could not answer: it is starting, was too slow, or died of this request."""

    reason = "vision_away"


class VisionRefused(ApplianceError):
    """The worker answered that it cannot do this; `reason` is its key."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason = reason
        super().__init__(words)


class VisionClient:
    """One vision worker, asked one thing at a time."""

    def __init__(self, command_line: Sequence[str] = WORKER) -> None:
        self.versions: dict[str, Any] = {}
        self._command_line = tuple(command_line)
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._asked = 0
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._answer_id = 0
        self._work = ""
        self._on_progress: Callable[[float], None] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def state(self) -> Literal["ready", "starting"]:
        """`ready`, or `starting` while there is no worker that could answer."""
        return "ready" if self._ready.is_set() else "starting"

    @property
    def ready(self) -> bool:
        """Whether the worker has said that it is ready."""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """Process id of the worker."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the worker and keep it running; returns at once."""
        assert self._supervisor is None, "a VisionClient starts once"
        self._supervisor = asyncio.create_task(self._keep_running(), name="vision worker")

    async def ask(
        self,
        op: str,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[float], None] | None = None,
        work: str = "",
        **fields: Any,
    ) -> dict[str, Any]:
        """Send one request and return its `result`.

        Parameters
        ----------
        timeout_s
            From the sending to the answer; without it, the operation's own. The waits for a turn
            and for the worker to become ready are bounded apart from it.
        work
            A name by which `cancel` knows the request.

        Raises
        ------
        VisionRefused
            The worker cannot do this, and says why.
        VisionAway
            No answer: nothing is known of the request. It is not repeated.
        """
        if self._waiting >= WAITING_MAX:
            raise VisionAway("The camera program is busy. Wait a moment and try again.")
        self._waiting += 1
        try:
            async with self._turn:
                await self._until_ready()
                limit_s = TIMEOUT_S.get(op, 60.0) if timeout_s is None else timeout_s
                self._work = work
                answer = await self._exchange({"op": op, **fields}, limit_s, on_progress)
        finally:
            self._waiting -= 1
        if answer.get("ok") is True and isinstance(answer.get("result"), dict):
            result: dict[str, Any] = answer["result"]
            return result
        reason = str(answer.get("reason", "unusable_answer"))
        raise VisionRefused(reason, str(answer.get("words", "The camera program gave no usable answer.")))

    def cancel(self, work: str) -> bool:
        """Call off the request that carries `work`, if it is under way; its answer comes as any other's."""
        process, current = self._process, self._answer is not None and self._work == work
        if not work or not current or process is None or process.stdin is None:
            return False
        process.stdin.write(json.dumps({"id": self._answer_id, "op": "cancel"}).encode() + b"\n")
        return True

    async def close(self) -> None:
        """Let the worker end with its pipe; kill it when it does not."""
        self._closing = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._supervisor is None:
            return
        if self._process is not None:
            await asyncio.wait({self._supervisor}, timeout=CLOSE_TIMEOUT_S)
        if not self._supervisor.done():
            self._kill("does not leave")
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._ready.wait()
        except TimeoutError as reason:
            raise VisionAway(
                "The camera program does not start. Try again; if it stays so, call service."
            ) from reason

    async def _exchange(
        self, request: dict[str, Any], limit_s: float, on_progress: Callable[[float], None] | None
    ) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None:
            raise _died()
        self._asked += 1
        self._answer_id, self._on_progress = self._asked, on_progress
        self._answer = asyncio.get_running_loop().create_future()
        try:
            process.stdin.write(json.dumps({"id": self._answer_id, **request}).encode() + b"\n")
            async with asyncio.timeout(limit_s):
                return await self._answer
        except TimeoutError as reason:
            # What it is doing cannot be broken off from outside; only the process can.
            self._kill(f"did not answer {request['op']} in {limit_s:g} s")
            raise VisionAway(
                f"The camera program did not answer in {limit_s:g} s and is started again. "
                "Take the picture again."
            ) from reason
        except asyncio.CancelledError:
            self._kill(f"was at work on a {request['op']} that nobody waits for")
            raise
        finally:
            self._answer = self._on_progress = None

    async def _keep_running(self) -> None:
        failures = 0
        while not self._closing:
            began = time.monotonic()
            try:
                await self._live()
            except OSError as reason:
                _logger.error("the vision worker cannot be started: %s", reason)
            if self._closing:
                return
            failures = 0 if time.monotonic() - began > GOOD_LIFE_S else failures
            await asyncio.sleep(RESTART_WAITS_S[min(failures, len(RESTART_WAITS_S) - 1)])
            failures += 1

    async def _live(self) -> None:
        """Start the worker and take its lines until it ends."""
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command_line, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES_MAX, start_new_session=True
        )
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                self._take(line)
        except ValueError:
            _logger.error("the vision worker wrote a line that is too long")
        finally:
            self._ready.clear()
            self._process = None
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(_died())

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            _logger.warning("the vision worker wrote a line that is no message")
        elif "ready" in message:
            self.versions = dict(message.get("versions") or {})
            self._ready.set()
        elif self._answer is None or message.get("id") != self._answer_id:
            _logger.warning("the vision worker answered what nobody waits for")
        elif "progress" in message:
            if self._on_progress is not None:
                self._on_progress(float(message["progress"]))
        elif not self._answer.done():
            self._answer.set_result(message)

    def _kill(self, why: str) -> None:
        _logger.error("the vision worker %s; it is killed", why)
        self._ready.clear()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()


def _died() -> VisionAway:
    return VisionAway("The camera program ended and is started again. Take the picture again.")
