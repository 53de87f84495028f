"""The child process of one device: one port, one driver, and STOP on silence.

Two threads. The listener reads the engine's orders and watches the lease on real monotonic
time. The main thread alone owns the driver. When a STOP arrives, or the lease or the pipe
ends, the listener interrupts a driver call that is under way (by a signal, so that the main
thread stays the only owner of the line), and the main thread does what is urgent first.

A device that is not the qualified one is opened, brought to its safe state, read and stopped like any
other; it is given no order (SAFETY 1, R-16).

A lease never revives: a host that was frozen finds it lapsed and leaves, whatever the pipe
holds by then. Every host brings its device to the declared safe state when it opens it, so
that a pump left running by a dead host is not kept alive by the next one's polling.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypeVar

from appliance.domain.qualified import difference
from appliance.engine.device_pipe import EXIT_BROKEN, Inbox, Order, Outbox, SafeState
from drivers.catalog import driver_for
from drivers.faults import CutShort, DeviceFault, DeviceRestarted, LineLost, WrongDevice
from drivers.reading import Identity, Reading
from drivers.roles import Driver, TellsProgress
from drivers.settings import SettingRefused
from drivers.tcp_wire import is_loopback, is_tcp
from drivers.trace import read_traced
from drivers.trace_file import TraceKeeper
from drivers.wear import Wear
from drivers.wire import is_url

REOPEN_WAITS_S = (0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
FAULTS_IN_A_ROW_MAX = 3
FAULT_TOLD_AGAIN_S = 5.0  # a fault that lasts is told again, so that the engine hears that the host lives
SAFE_STATE_TRIES = 3
STOP_TRIES = 3
OUTCOMES_KEPT_MAX = 256
WEAR_TOLD_EVERY_S = 60.0
_NS = 1_000_000_000

_logger = logging.getLogger("device_host")
Done = TypeVar("Done")


class _Interrupted(BaseException):
    """Something urgent came while the driver was at work; whether the request was carried out is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the engine decides for the whole life of a host."""

    id: str
    type: str
    port: str
    poll_ms: int
    lease_ms: int
    safe_state: SafeState
    expected: Mapping[str, str]
    settings: Mapping[str, str]
    trace: str
    bench: Literal["simulated", "real", "any"]


class DeviceHost:
    """Does what is most urgent with one driver, again and again."""

    def __init__(
        self,
        driver: Driver,
        options: Options,
        inbox: Inbox,
        outbox: Outbox,
        trace: TraceKeeper | None = None,
    ) -> None:
        self._driver, self._options, self._trace = driver, options, trace
        self._inbox, self._outbox = inbox, outbox
        self._is_open = False
        self._openings_failed = 0
        self._faults_in_a_row = 0
        self._last_fault: tuple[str, str] = ("", "")
        self._fault_told_ns = 0
        self._next_opening_ns = self._next_poll_ns = time.monotonic_ns()
        self._stops_failed = 0
        self._interruptible = False
        self._outcomes: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._identity: dict[str, str] = {}
        self._wear_told: tuple[Wear, ...] = driver.wear()
        self._wear_told_ns = time.monotonic_ns() - int(WEAR_TOLD_EVERY_S * _NS)
        if isinstance(driver, TellsProgress):
            driver.progress = self._tell_readings

    def interrupted(self, signal_number: int, frame: FrameType | None) -> None:
        """Signal handler: break off the driver call that is under way, if there is one."""
        if self._interruptible:
            self._interruptible = False
            raise _Interrupted

    def run(self) -> int:
        """Serve until the lease, the pipe or the engine's word ends it; returns the exit status."""
        while not self._inbox.ending:
            try:
                self._one_thing()
            except _Interrupted:
                continue  # what interrupted is urgent, and so the next thing done
        _logger.info("leaving: %s", self._inbox.ending)
        self._leave()
        return self._inbox.exit_status

    def _one_thing(self) -> None:
        self._inbox.wake.clear()
        now_ns = time.monotonic_ns()
        while self._inbox.turned_away:
            self._tell_not_sent(*self._inbox.turned_away.popleft(), fault="refused")
        may_open = not self._is_open and now_ns >= self._next_opening_ns
        if self._inbox.stop_ns is not None and (self._is_open or may_open or not self._stops_failed):
            self._stop()
        elif (order := self._inbox.next_order()) is not None:
            self._carry_out(order)
        elif may_open:
            self._open()
        elif self._is_open and now_ns >= self._next_poll_ns:
            self._poll()
        elif not self._inbox.ending:
            next_ns = self._next_poll_ns if self._is_open else self._next_opening_ns
            self._inbox.wake.wait(max(0.0, (next_ns - now_ns) / _NS))

    def _do(self, work: Callable[[], Done]) -> Done:
        """Run a driver call that something urgent may break off."""
        try:
            self._interruptible = True
            if self._inbox.urgent():  # it may have come before the flag was up
                raise _Interrupted
            return work()
        finally:
            self._interruptible = False

    # Opening

    def _open(self) -> None:
        try:
            identity = self._do(self._connect)
        except DeviceFault as fault:
            self._tell_fault(fault)
            self._shut()
            return
        self._openings_failed = self._faults_in_a_row = 0
        self._last_fault = ("", "")
        self._is_open = True
        self._next_poll_ns = time.monotonic_ns()
        self._outbox.send({"ready": _identity_as_json(identity)})

    def _connect(self) -> Identity:
        self._check_bench()
        self._driver.open()
        self._driver.apply_safe_state(self._inbox.safe_state)
        identity = self._driver.identify()
        self._identity = _identity_as_json(identity)
        return identity

    def _check_bench(self) -> None:
        """A twin must never pass for a device, nor a device stand under a scaled clock (SAFETY 16)."""
        port = Path(self._options.port)
        if is_tcp(self._options.port):
            self._check_twin(self._options.port, is_twin=is_loopback(self._options.port))
            return
        if self._options.bench != "any" and is_url(self._options.port):
            words = f"{self._options.port} may be anything behind a network. Connect the device to this unit."
            raise WrongDevice(self._options.id, words)
        if self._options.bench == "any" or not port.exists():
            return
        self._check_twin(str(port), is_twin=str(port.resolve()).startswith("/dev/pts/"))

    def _check_twin(self, port: str, *, is_twin: bool) -> None:
        if self._options.bench != "any" and is_twin != (self._options.bench == "simulated"):
            found = "a simulated device" if is_twin else "a real device"
            words = f"{port} is {found}, the unit is {self._options.bench}. Correct unit.toml."
            raise WrongDevice(self._options.id, words)

    def _shut(self) -> None:
        """Close the line and try again after a wait that grows."""
        self._is_open = False
        self._driver.close()
        wait_s = REOPEN_WAITS_S[min(self._openings_failed, len(REOPEN_WAITS_S) - 1)]
        self._openings_failed += 1
        self._next_opening_ns = time.monotonic_ns() + int(wait_s * _NS)

    # Readings

    def _poll(self) -> None:
        poll_ns = self._options.poll_ms * 1_000_000
        self._next_poll_ns = max(self._next_poll_ns + poll_ns, time.monotonic_ns())
        try:
            readings = self._do(lambda: read_traced(self._driver))
        except DeviceRestarted as fault:
            self._restarted(fault)
        except DeviceFault as fault:
            self._tell_fault(fault)
            self._faults_in_a_row += 1
            if isinstance(fault, LineLost) or self._faults_in_a_row >= FAULTS_IN_A_ROW_MAX:
                self._give_up_line()
        else:
            self._faults_in_a_row, self._last_fault = 0, ("", "")
            self._tell_readings(readings)
            self._tell_wear(WEAR_TOLD_EVERY_S)

    def _tell_readings(self, readings: Sequence[Reading]) -> None:
        self._outbox.send({"readings": [self._reading_as_json(reading) for reading in readings]})

    def _give_up_line(self) -> None:
        """A device that only hears us must still come to its safe state: say it once, unheard, and reopen."""
        try:
            self._do(lambda: self._driver.apply_safe_state(self._inbox.safe_state))
        except DeviceFault as fault:
            _logger.warning("safe state before reopening: %s", fault)
        self._shut()

    def _restarted(self, fault: DeviceRestarted) -> None:
        """The device forgot what it was told: open it afresh, which also brings it to its safe state."""
        self._keep_fault(fault)
        self._shut()
        try:
            identity = self._do(self._connect)
        except DeviceFault as again:
            self._outbox.send({"restarted": {"words": str(fault)}})
            self._tell_fault(again)
            self._shut()
            return
        self._is_open, self._openings_failed = True, 0
        self._outbox.send({"restarted": {"words": str(fault), **_identity_as_json(identity)}})

    def _tell_fault(self, fault: DeviceFault) -> None:
        told, now_ns = (fault.kind, str(fault)), time.monotonic_ns()
        if told != self._last_fault or now_ns - self._fault_told_ns > FAULT_TOLD_AGAIN_S * _NS:
            self._last_fault, self._fault_told_ns = told, now_ns
            self._outbox.send({"fault": {"kind": told[0], "words": told[1]}})
            self._keep_fault(fault)

    def _keep_fault(self, fault: DeviceFault) -> None:
        if self._trace is not None:
            self._trace.fault(fault.kind, str(fault))

    def _reading_as_json(self, reading: Reading) -> dict[str, Any]:
        reference = self._driver.line.traced.reference(reading.exchanges)
        run = f"{self._trace.run} " if self._trace is not None and reference else ""
        return {
            "name": reading.name,
            "value": None if reading.value is None else str(reading.value),
            "unit": reading.unit,
            "quality": reading.quality,
            "source_time": reading.source_time.isoformat().replace("+00:00", "Z"),
            "received_ns": reading.received_ns,
            "detail": reading.detail,
            "trace": run + reference,
        }

    def _tell_wear(self, every_s: float) -> None:
        """Tell what was written into memories that wear out, each counted since this host began."""
        now_ns, wear = time.monotonic_ns(), self._driver.wear()
        if wear != self._wear_told and now_ns - self._wear_told_ns >= every_s * _NS:
            self._wear_told, self._wear_told_ns = wear, now_ns
            self._outbox.send({"wear": [asdict(one) for one in wear]})

    # Orders

    def _carry_out(self, order: Order) -> None:
        if order.id in self._outcomes:
            # Never sent a second time; the engine asks what became of the first.
            self._outbox.send(self._outcomes[order.id])
            return
        if order.term != self._inbox.term:
            words = f"It is of term {order.term}, the lease is of term {self._inbox.term}; it was not sent."
            self._tell_not_sent(order.id, words, fault="wrong_term")
        elif time.monotonic_ns() >= order.expires_ns:
            self._tell_not_sent(order.id, "It came too late; it was not sent.", fault="late")
        elif not self._is_open:
            self._tell_not_sent(order.id, "The device is not connected; it was not sent.", fault="refused")
        elif other := difference(self._inbox.expected, self._identity):
            words = f"This is not the qualified device. {other} The order was not sent."
            self._tell_not_sent(order.id, words, fault="refused")
        else:
            self._send(order)

    def _send(self, order: Order) -> None:
        try:
            result = self._do(lambda: self._driver.order(order.name, order.parameters))
        except CutShort as fault:
            outcome = {"ok": False, "fault": fault.kind, "words": str(fault), "result": fault.result}
            self._tell_outcome(order.id, outcome)
        except DeviceFault as fault:
            kind = fault.kind if fault.kind in ("refused", "garbled", "restarted") else "silent"
            self._tell_outcome(order.id, {"ok": False, "fault": kind, "words": str(fault)})
            if isinstance(fault, DeviceRestarted):
                self._restarted(fault)
        except _Interrupted:
            words = "It was broken off by something more urgent; whether it was carried out is unknown."
            self._tell_outcome(order.id, {"ok": False, "fault": "silent", "words": words})
            raise
        else:
            self._tell_outcome(order.id, {"ok": True, "result": result})
            self._next_poll_ns = time.monotonic_ns()  # what the order changed is worth a look at once

    def _tell_not_sent(self, order_id: str, words: str, *, fault: str) -> None:
        self._tell_outcome(order_id, {"ok": False, "fault": fault, "words": words})

    def _tell_outcome(self, order_id: str, outcome: dict[str, Any]) -> None:
        message = {"outcome": {"id": order_id, **outcome}}
        self._outcomes[order_id] = message
        while len(self._outcomes) > OUTCOMES_KEPT_MAX:
            self._outcomes.popitem(last=False)
        self._outbox.send(message)

    # Stopping

    def _stop(self) -> None:
        """Send STOP until the device confirms it: unlike any other order it may be repeated."""
        came_ns = self._inbox.stop_ns
        assert came_ns is not None
        try:
            if not self._is_open:
                self._driver.open()
            self._driver.stop()
        except DeviceFault as fault:
            self._stop_failed(fault)
            return
        if not self._is_open:
            self._next_opening_ns = time.monotonic_ns()  # what was opened for STOP is not yet checked
        self._inbox.stop_ns = None
        self._stops_failed = 0
        latency_ms = (time.monotonic_ns() - came_ns) / 1e6
        self._outbox.send({"stopped": True, "latency_ms": f"{latency_ms:.1f}"})
        self._next_poll_ns = time.monotonic_ns()

    def _stop_failed(self, fault: DeviceFault) -> None:
        self._stops_failed += 1
        if self._stops_failed == 1:
            self._outbox.send({"stopped": False, "words": str(fault)})
        self._tell_fault(fault)
        if isinstance(fault, LineLost) or not self._is_open or self._stops_failed % STOP_TRIES == 0:
            self._shut()

    def _leave(self) -> None:
        """Bring the device to the declared safe state, a few times if need be, and let go of it."""
        wanted = self._is_open or self._inbox.stop_ns is not None or self._inbox.safe_state == "stop"
        for _ in range(SAFE_STATE_TRIES if wanted else 0):
            try:
                self._reach_safe_state()
                break
            except DeviceFault as fault:
                _logger.warning("safe state %s: %s", self._inbox.safe_state, fault)
                if isinstance(fault, LineLost):
                    self._is_open = False
        self._tell_wear(0.0)
        self._driver.close()

    def _reach_safe_state(self) -> None:
        if not self._is_open:
            self._driver.open()
            self._is_open = True
        if self._inbox.stop_ns is not None:
            self._driver.stop()
        self._driver.apply_safe_state(self._inbox.safe_state)

    def fail_safe(self) -> None:
        """Leave after a fault of the program itself."""
        self._inbox.end("the device host failed", EXIT_BROKEN)
        self._leave()


def _identity_as_json(identity: Identity) -> dict[str, str]:
    return {
        "maker": identity.maker,
        "model": identity.model,
        "serial_number": identity.serial_number,
        "firmware": identity.firmware,
    }


def _options(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="device_host", allow_abbrev=False, description="Own one serial device for the engine."
    )
    parser.add_argument("--id", required=True)
    parser.add_argument("--type", required=True)
    parser.add_argument("--port", required=True)
    parser.add_argument("--poll-ms", type=int, default=500)
    parser.add_argument("--lease-ms", type=int, default=400)
    parser.add_argument("--safe-state", choices=("stop", "keep"), required=True)
    words = "KEY=VALUE: what the qualified device tells of itself; any device when left out"
    parser.add_argument("--expect", dest="expected", action="append", default=[], type=_pair, help=words)
    parser.add_argument(
        "--setting", dest="settings", action="append", default=[], type=_pair, help="KEY=VALUE"
    )
    parser.add_argument("--trace", default="", metavar="FOLDER", help="keep the bytes of the line there")
    parser.add_argument("--bench", choices=("simulated", "real", "any"), default="any")
    given = vars(parser.parse_args(argv))
    return Options(**given | {key: dict(given[key]) for key in ("expected", "settings")})


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def main(argv: Sequence[str] | None = None) -> int:
    """Run a device host on standard input and output."""
    options = _options(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"device {options.id}: %(levelname)s %(message)s"
    )
    try:
        driver = driver_for(options.type, options.settings)(options.port)
    except (KeyError, SettingRefused) as unusable:
        _logger.error("%s", unusable.args[0])
        return 2
    # Only the protocol may write to the pipe; a stray print goes to the log.
    pipe_up = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    inbox = Inbox(
        lease_ms=options.lease_ms,
        safe_state=options.safe_state,
        interrupt=lambda: signal.pthread_kill(main_thread, signal.SIGUSR1),
        expected=options.expected,
    )
    outbox = Outbox(pipe_up)
    trace = TraceKeeper(driver.line.traced, Path(options.trace), options.id) if options.trace else None
    host = DeviceHost(driver, options, inbox, outbox, trace)
    signal.signal(signal.SIGUSR1, host.interrupted)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's to answer
    # A handler may run while the main thread holds the lock of an Event: it only writes to a pipe.
    terminated, terminate = os.pipe()
    signal.signal(signal.SIGTERM, lambda number, frame: _tell(terminate))
    threading.Thread(
        target=inbox.listen, args=(sys.stdin.fileno(), terminated), daemon=True, name="listener"
    ).start()
    try:
        return host.run()
    except Exception:
        # Outermost loop: the driver or this host is wrong. The device is brought to safety, the
        # engine sees the host die, and the trace is in the log.
        _logger.exception("the device host failed")
        host.fail_safe()
        return EXIT_BROKEN
    finally:
        outbox.finish(timeout_s=0.2)
        if trace is not None:
            trace.finish(timeout_s=0.5)


def _tell(pipe: int) -> None:
    os.write(pipe, b"t")


if __name__ == "__main__":
    sys.exit(main())
