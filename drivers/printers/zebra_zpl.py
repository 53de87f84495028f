"""Label printers that speak ZPL II, over a serial line or raw TCP. Wire facts: docs/devices/zebra-zpl.md."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from drivers.agreement import Confirmation, Confirmed, same
from drivers.faults import (
    CutShort,
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineLost,
    StrayBytes,
    WrongDevice,
)
from drivers.framing import XOFF, XON, BrokenFrame
from drivers.line import LineSettings, SerialLine
from drivers.printers.label_count import Look, SentJob
from drivers.printers.zpl_answers import (
    STATUS_FRAMES,
    HostIdentity,
    HostStatus,
    identity_of,
    is_identity,
    status_of,
    take_zpl_answer,
    value_of,
)
from drivers.printers.zpl_job import JobUnusable, PrintJob, job_of
from drivers.reading import Identity, Quality, Reading, reading_now
from drivers.roles import PRINTER, SafeState
from drivers.wear import Wear
from drivers.wire import is_url

Told = TypeVar("Told")
NAME = "Printer"
STATUS, IDENTITY, CANCEL = b"~HS\r\n", b"~HI\r\n", b"~JA\r\n"
SERIAL_NUMBER, ODOMETER = "device.unique_id", "odometer.total_label_count"
UNKNOWN = "unknown"
FAR_OFF_S = float("inf")
CHUNK_BYTES = 1024
JOBS_KEPT_MAX = 64
_BETWEEN = bytes((XON, XOFF)) + b"\r\n"

DO = {
    "paper_out": "is out of labels. Load labels; it then goes on by itself",
    "ribbon_out": "is out of ribbon. Load ribbon; it then goes on by itself",
    "head_open": "is open. Close it; it then goes on by itself",
    "paused": "is paused. Press its pause key; it then goes on by itself",
    "error": "shows an error",
    "printing": "is still printing. Wait until it is done, or cancel what it prints",
}


class ZebraPrinter:
    """A printer that is sent one label's file at a time and asked until its labels are out.

    The line has no checksum, so what it says is good only when a second answer agrees. A label counts as
    out when the printer's odometer counted it and its batch no longer holds it; bytes that were taken count
    for nothing. Nothing is ever sent twice by itself.

    `progress`, where the host set it, is told readings while an order is carried out.
    """

    TYPE = "zebra-zpl"
    ROLE = "printer"
    ANSWER_S = 0.3
    READ_S = 0.85
    OPEN_TRIES = 3
    SETTLES_S = 0.03
    FEED_S = 0.5  # between two words of progress while bytes go out
    TAKES_NOTHING_S = 20.0  # a printer that holds the line for so long will not take the rest
    BEHIND_S = 5.0  # what a printer needs beyond the line's time before it answers behind a job
    LOOK_S = 0.1
    TOLD_EVERY_S = 0.5
    SILENT_S = 5.0
    STANDS_STILL_S = 30.0  # printing, and no label comes
    LOST_S = 2.0  # idle, and not all labels counted
    BEGINS_S = 10.0  # the same where it was not seen at work yet: some think long about a picture
    OUT_OF_REACH_S = 3.0  # no printer is back from the loss of its power within so short a time
    CANCELLED_S = 4.0
    HALF_S = 5.0  # half a job that nobody goes on sending

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        given = dict(settings or {})
        handshake = given.get("handshake", "xon_xoff")
        line = LineSettings.told(
            given.get("line", "9600-8N1"), rts_cts=handshake == "rts_cts", xon_xoff=handshake == "xon_xoff"
        )
        self._line = SerialLine(NAME, port, line, take_zpl_answer)
        self._byte_s = 0.0 if is_url(port) else 10 / line.baud_rate
        self._dpi = int(given.get("dpi", "300"))
        self._counts_batches = given.get("counter", "odometer") == "batch"
        self._looks = Confirmation(self._look_once, same)
        self._who: HostIdentity | None = None
        self._in_doubt = False
        self._job: SentJob | None = None
        self._may_hold_half = True  # a process before this one may have died while it sent a job
        self._half_since_s: float | None = None
        self._sent: OrderedDict[str, int] = OrderedDict()  # copies of each job that was sent
        self._idle_since_s: float | None = None
        self._silent_since_s: float | None = None
        self._deadline = FAR_OFF_S
        self._told_s = 0.0
        self.progress: Callable[[list[Reading]], None] | None = None

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._line

    def open(self) -> None:
        """Open the line and make sure that a printer with ZPL answers; what it prints goes on."""
        self._line.open()
        self._looks.forget()
        self._in_doubt, self._idle_since_s, self._half_since_s = True, None, None
        try:
            self._who = self._identity_agreed()
            if self._who.dpi != self._dpi:
                has = f"has {self._who.dpi or 'unknown'} dots an inch"
                raise WrongDevice(NAME, f"{has}, its setting dpi says {self._dpi}. Correct the setting.")
        except DeviceFault:
            self._line.close()
            raise

    def identify(self) -> Identity:
        """Ask who it is, until two answers agree; a printer without variables tells no serial number."""
        self._who = self._identity_agreed()
        return Identity(
            maker="Zebra",
            model=self._who.model,
            serial_number=self._variable_agreed(SERIAL_NUMBER),
            firmware=self._who.version,
        )

    def read(self) -> list[Reading]:
        """Read state, labels done since the last job and labels it holds."""
        try:
            confirmed = self._look()
        except DeviceGarbled as fault:
            return [reading_now(one.name, None, one.unit, "bad", fault.words) for one in PRINTER.readings]
        if confirmed.confirmed:
            self._drop_half_a_job(confirmed.value.status)
        job = self._job
        if job is not None and confirmed.confirmed and self._lost(job):
            job.ended = True
            words = f"lost what it still had to print of job {job.job}: {job.done} of {job.copies} came out."
            raise DeviceRestarted(NAME, words)
        return self._readings(confirmed)

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Print a file and wait until its labels are out, or cancel what the printer holds."""
        order = PRINTER.order_named(name)
        if order is None:
            raise DeviceRefused(NAME, f"knows the orders print and cancel, not {name!r}.")
        allowed = {*order.required, *order.optional}
        if set(parameters) - allowed or set(order.required) - set(parameters):
            wanted = f"needs {', '.join(order.required)}" if order.required else "has no values"
            raise DeviceRefused(NAME, f"the order {name} {wanted}.")
        if name == "cancel":
            return self._cancel()
        try:
            job = job_of(parameters)
        except JobUnusable as fault:
            raise DeviceRefused(NAME, f"{fault} Nothing was printed.") from fault
        return self._print(job)

    def stop(self) -> None:
        """Do nothing: a label that is half out helps nobody."""

    def apply_safe_state(self, state: SafeState) -> None:
        """Do nothing: it moves no product, whatever the phase declared."""

    def wear(self) -> tuple[Wear, ...]:
        """Nothing: no order writes into its memory."""
        return ()

    def close(self) -> None:
        """Let go of the line."""
        self._line.close()

    # Print

    def _print(self, job: PrintJob) -> dict[str, str]:
        if job.job in self._sent:
            done = self._job.done if self._job is not None and self._job.job == job.job else UNKNOWN
            words = f"job {job.job} was sent before and is not sent twice. Print it under another name."
            raise CutShort(NAME, "sent_before", words, {"printed": str(done), "state": UNKNOWN})
        who = self._who or self._identity_agreed()
        if who.dpi != job.dpi:
            found = f"prints {who.dpi} dots an inch" if who.dpi else f"prints {who.dots_mm} dots a millimetre"
            words = f"{found}, the label is made for {job.dpi}. Use another printer. Nothing was printed."
            raise CutShort(NAME, "dpi", words, {"printed": "0", "sent": "no", "state": UNKNOWN})
        status = self._ready_look().status
        if status.state != "ready" or status.waiting:
            raise self._not_ready(status)
        before = None if self._counts_batches else self._odometer_agreed()
        self._sent[job.job] = job.copies
        while len(self._sent) > JOBS_KEPT_MAX:
            self._sent.popitem(last=False)
        self._job = SentJob(job.job, job.copies, before)
        self._idle_since_s = None
        self._looks.forget()
        self._in_doubt = self._may_hold_half = True
        try:
            # The question is fed with the job: written by itself it would find the line's buffer full, and
            # what a line does not take in time is thrown away, with the end of the job.
            self._feed(job.data + IDENTITY)
            self._hear_behind(len(job.data))
        except LineLost as fault:
            raise self._unknown(f"is gone ({fault.words}) Look at it before you print again") from fault
        return self._watch(self._job)

    def _ready_look(self) -> Look:
        """Look until two answers agree; one that nobody confirms is nothing to print upon."""
        for _ in range(self.OPEN_TRIES):
            confirmed = self._look()
            if confirmed.confirmed:
                return confirmed.value
        raise DeviceGarbled(
            NAME, "tells its state differently each time. Check the cable. Nothing was printed."
        )

    def _not_ready(self, status: HostStatus) -> CutShort:
        state = "printing" if status.state == "ready" else status.state
        words = f"{_what_to_do(status, state)}. Nothing of this job was sent."
        return CutShort(NAME, state, words, {"printed": "0", "sent": "no", "state": state})

    def _feed(self, data: bytes) -> None:
        """Send a job in pieces, as fast as the printer takes them."""
        sent, moved_s = 0, time.monotonic()
        while sent < len(data):
            taken = self._line.feed(data[sent : sent + CHUNK_BYTES], wait_s=self.FEED_S)
            sent += taken
            if taken:
                moved_s = time.monotonic()
            elif time.monotonic() - moved_s > self.TAKES_NOTHING_S:
                raise self._unknown(f"took {sent} of {len(data)} bytes and no more. Look at it, then cancel")
            self._tell_busy(f"{sent} of {len(data)} bytes are sent")

    def _hear_behind(self, size: int) -> None:
        """Wait for the first answer behind a job: it comes when all bytes before it went over the line."""
        patience_s = self.BEHIND_S + size * self._byte_s
        began_s = time.monotonic()
        while True:
            try:
                frame = self._line.receive(timeout_s=self.TOLD_EVERY_S)
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                if time.monotonic() - began_s > patience_s:
                    words = "took the job and does not answer. Look at it before you print again"
                    raise self._unknown(words) from None
                self._tell_busy("the job goes over the line")
                time.sleep(self.LOOK_S)
                continue
            if is_identity(frame):
                self._in_doubt = self._may_hold_half = False
                return

    def _watch(self, job: SentJob) -> dict[str, str]:
        """Look until all labels are out, or something stands in their way."""
        moved_s = heard_s = time.monotonic()
        before = (-1, "")
        while not job.ended:
            try:
                confirmed = self._look()
            except LineLost as fault:
                raise self._unknown(f"is gone ({fault.words}) Look at it before you print again") from fault
            except (DeviceSilent, DeviceGarbled) as fault:
                if time.monotonic() - heard_s > self.SILENT_S:
                    raise self._unknown("does not answer. Look at it before you print again") from fault
                continue
            heard_s = time.monotonic()
            status = confirmed.value.status
            if confirmed.confirmed:
                self._judge(job, status)
            if (job.done, status.state) != before:
                before, moved_s = (job.done, status.state), heard_s
            elif heard_s - moved_s > self.STANDS_STILL_S:
                raise self._short(
                    job, "error", f"has printed no label for {self.STANDS_STILL_S:.0f} s", status
                )
            self._tell(partial(self._readings, confirmed))
            time.sleep(self.LOOK_S)
        if job.surplus:
            counted = job.copies + job.surplus
            words = (
                f"counted {counted} labels for {job.copies}: the job was damaged on its way, or one was fed"
            )
            told = f"{words} by hand. Gather all of them, and compare them."
            raise CutShort(NAME, "surplus", told, self._result(job, before[1]) | {"counted": str(counted)})
        return self._result(job, before[1])

    def _judge(self, job: SentJob, status: HostStatus) -> None:
        """End the waiting where a confirmed status says that no label comes any more for now."""
        if status.state not in ("ready", "printing"):
            raise self._short(job, status.state, _what_to_do(status, status.state), status)
        if self._lost(job):
            job.ended = True
            words = f"is idle and counted {job.done} of {job.copies} labels: it lost the rest"
            raise self._short(job, "lost", words, status)

    def _result(self, job: SentJob, state: str) -> dict[str, str]:
        counted_by = "batch" if job.odometer_before is None else "odometer"
        return {"printed": str(job.done), "state": state, "counted_by": counted_by}

    def _short(self, job: SentJob, kind: str, words: str, status: HostStatus) -> CutShort:
        told = f"{words}. {job.done} of {job.copies} labels came out."
        return CutShort(NAME, kind, told, self._result(job, status.state))

    def _unknown(self, words: str) -> CutShort:
        """A job that was sent, of which nobody knows what became: at least so many came out."""
        assert self._job is not None, "a job was sent"
        told = f"{words}. {self._job.done} of {self._job.copies} labels were seen to come out."
        return CutShort(NAME, "silent", told, self._result(self._job, UNKNOWN))

    # Cancel

    def _cancel(self) -> dict[str, str]:
        """Let the printer forget all it holds; done when it says that it holds nothing."""
        self._settle()
        self._line.send(CANCEL)
        self._looks.forget()
        deadline = time.monotonic() + self.CANCELLED_S
        while time.monotonic() < deadline:
            try:
                confirmed = self._look()
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                continue
            if confirmed.confirmed and not confirmed.value.status.waiting:
                return self._cancelled(confirmed.value.status)
            time.sleep(self.LOOK_S)
        raise DeviceSilent(
            NAME, "did not confirm that it holds no label any more. Look at it, then cancel again."
        )

    def _cancelled(self, status: HostStatus) -> dict[str, str]:
        job = self._job
        if job is not None:
            job.ended = True
        return {"printed": str(job.done) if job is not None else UNKNOWN, "state": status.state}

    def _drop_half_a_job(self, status: HostStatus) -> None:
        """Let the printer forget a job whose end was never sent: it waits for it, and holds up all others.

        Only what began to come in is forgotten: where it holds labels besides, people decide.
        """
        if not status.partial:
            self._may_hold_half, self._half_since_s = False, None
        elif self._may_hold_half and not (status.formats or status.batch):
            self._half_since_s = self._half_since_s or time.monotonic()
            if time.monotonic() - self._half_since_s > self.HALF_S:
                self._half_since_s = None
                self._line.send(CANCEL)

    # What was seen

    def _look(self) -> Confirmed[Look]:
        """Look until two answers agree or the time of a read is over, and count on for the job."""
        began_s = time.monotonic()
        self._deadline = began_s + self.READ_S
        try:
            confirmed = self._looks.read(self._deadline)
        except DeviceSilent:
            self._in_doubt = True
            self._silent_since_s = self._silent_since_s or began_s
            raise
        except DeviceGarbled:
            self._in_doubt = True
            raise
        finally:
            self._deadline = FAR_OFF_S
        if confirmed.confirmed:
            self._note(confirmed.value)
        return confirmed

    def _note(self, look: Look) -> None:
        """Count on for the job that was sent, and notice when it is over."""
        now_s, silent_since_s = time.monotonic(), self._silent_since_s
        self._silent_since_s = None
        job = self._job
        if job is None or job.ended:
            return
        if silent_since_s is not None and now_s - silent_since_s > self.OUT_OF_REACH_S:
            job.cut_off = True
        job.take(look)
        if look.status.state != "ready":
            self._idle_since_s = None
        elif self._idle_since_s is None:
            self._idle_since_s = now_s
        elif job.done >= job.copies:
            job.ended = True

    def _lost(self, job: SentJob) -> bool:
        """Whether the printer has stood idle for so long that what is missing will not come."""
        idle_s = time.monotonic() - self._idle_since_s if self._idle_since_s is not None else 0.0
        return not job.ended and idle_s > (self.LOST_S if job.seen_busy else self.BEGINS_S)

    def _readings(self, confirmed: Confirmed[Look]) -> list[Reading]:
        job, status = self._job, confirmed.value.status
        quality: Quality = "good" if confirmed.confirmed else "uncertain"
        waiting = status.waiting if job is None or job.ended else job.copies - job.done
        done = UNKNOWN if job is None else str(job.done)
        detail = status.trouble or ("a label waits to be taken" if status.label_waits else "")
        counted = "" if job is None else f"of {job.copies}, job {job.job}"
        return [
            reading_now("state", status.state, "", quality, detail),
            reading_now("labels_done", done, "", quality, counted),
            reading_now("labels_waiting", str(waiting), "", quality),
        ]

    def _tell(self, readings: Callable[[], list[Reading]]) -> None:
        """Tell the host how it goes on, now and then."""
        now_s = time.monotonic()
        if self.progress is not None and now_s - self._told_s >= self.TOLD_EVERY_S:
            self._told_s = now_s
            self.progress(readings())

    def _tell_busy(self, detail: str) -> None:
        """Tell that a job is on its way; the printer itself was not asked, so that nothing is good."""
        job = self._job
        assert job is not None, "a job is on its way"
        told = (("state", "printing", detail), ("labels_done", str(job.done), ""))
        waits = ("labels_waiting", str(job.copies - job.done), "")
        self._tell(
            lambda: [reading_now(name, text, "", "uncertain", say) for name, text, say in (*told, waits)]
        )

    # The line

    def _look_once(self) -> Look:
        first, second, third = self._ask(STATUS, STATUS_FRAMES)
        try:
            status = status_of((first, second, third))
        except BrokenFrame as error:
            self._in_doubt = True
            raise DeviceGarbled(NAME, f"{error}. Check the cable.", repr(first + second + third)) from error
        job = self._job
        counts = job is not None and not job.ended and job.odometer_before is not None
        return Look(status, self._odometer() if counts else None)

    def _identity_agreed(self) -> HostIdentity:
        return self._agreed(self._identity_once, "who it is")

    def _identity_once(self) -> HostIdentity:
        (frame,) = self._ask(IDENTITY, 1)
        try:
            return identity_of(frame)
        except BrokenFrame as error:
            self._in_doubt = True
            raise WrongDevice(NAME, "is no printer that speaks ZPL. Check its port and language.") from error

    def _odometer_agreed(self) -> int:
        text = self._variable_agreed(ODOMETER)
        if not text.isdecimal():
            words = (
                "does not tell how many labels it printed, so that nobody could say what came out. Set "
                "counter=batch for a printer that has no such count. Nothing was printed."
            )
            raise DeviceRefused(NAME, words)
        return int(text)

    def _odometer(self) -> int | None:
        text = self._variable(ODOMETER)
        if not text.isdecimal():
            self._in_doubt = True
            raise DeviceGarbled(NAME, "a count of labels that is no number. Check the cable.", text)
        return int(text)

    def _variable_agreed(self, name: str) -> str:
        try:
            return self._agreed(lambda: self._variable(name), f"its {name}")
        except LineLost:
            raise
        except DeviceSilent:
            self._identity_agreed()  # it is there, then
            return ""  # a printer from before variables says nothing to them

    def _variable(self, name: str) -> str:
        (frame,) = self._ask(f'! U1 getvar "{name}"\r\n'.encode("ascii"), 1)
        try:
            return value_of(frame)
        except BrokenFrame as error:
            self._in_doubt = True
            raise DeviceGarbled(NAME, f"{error}. Check the cable.", repr(frame)) from error

    def _agreed(self, ask: Callable[[], Told], what: str) -> Told:
        """Ask until two answers in a row are the same."""
        before: Told | None = None
        fault: DeviceFault | None = None
        for _ in range(2 * self.OPEN_TRIES):
            try:
                told = ask()
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled, WrongDevice) as error:
                if fault is not None and type(fault) is type(error) and not isinstance(error, DeviceGarbled):
                    raise
                before, fault = None, error
                continue
            if told == before:
                return told
            before = told
        raise fault or DeviceGarbled(NAME, f"tells {what} differently each time. Check the cable.")

    def _settle(self) -> None:
        """After anything unexpected drop all that comes before the answer to a question of its own."""
        if not self._in_doubt:
            return
        for tries_left in reversed(range(self.OPEN_TRIES)):
            try:
                self._line.resynchronise(IDENTITY, is_identity, timeout_s=self._answered_within(IDENTITY, 1))
                break
            except DeviceGarbled:  # the rest of an answer that came too late: let it come to its end
                if not tries_left or not self._within(self.SETTLES_S):
                    raise
                time.sleep(self.SETTLES_S)
        self._in_doubt = False

    def _ask(self, request: bytes, frames: int) -> tuple[bytes, ...]:
        """Send a question and return so many answers.

        Raises
        ------
        StrayBytes
            Bytes stood in the buffer before (then nothing was sent), or behind the last answer.
        """
        self._settle()
        deadline = time.monotonic() + self._answered_within(request, frames)
        try:
            self._refuse_stray(b"")
            self._line.send(request)
            answers = tuple(
                self._line.receive(timeout_s=max(0.0, deadline - time.monotonic())) for _ in range(frames)
            )
            self._refuse_stray(b"".join(answers))
        except DeviceFault:
            self._in_doubt = True
            raise
        return answers

    def _answered_within(self, request: bytes, frames: int) -> float:
        """Return how long an answer may take: the printer's time, and that of the line."""
        return self._within(self.ANSWER_S + (len(request) + frames * 48) * self._byte_s)

    def _within(self, seconds: float) -> float:
        """Return how long a wait may be: no longer than the read has that it is part of."""
        return max(0.0, min(seconds, self._deadline - time.monotonic()))

    def _refuse_stray(self, behind: bytes) -> None:
        stray = self._line.drain()
        if stray.translate(None, _BETWEEN):
            raise StrayBytes(NAME, behind + b" | " + stray if behind else stray)


def _what_to_do(status: HostStatus, state: str) -> str:
    return f"{DO[state]}: {status.trouble}. Look at it" if state == "error" else DO[state]
