"""EI-Bisynch: questions, answers, and one unit on a serial line.

An answer to a question carries the name of what was asked and a check; the answer to a write is one byte
without either. So nothing is asked or written while an answer that it would fit may still be on its way.
"""

from __future__ import annotations

import math
import time

from drivers.faults import DeviceGarbled, DeviceSilent, LineLost
from drivers.framing import ACK, ENQ, EOT, NAK, bcc_block, take_bcc_answer
from drivers.line import LineSettings, SerialLine

ADDRESS_MAX = 99
EXCHANGE_S = 0.3
WRITTEN = "ACK"  # what is owed after a write


def question(address: int, name: str) -> bytes:
    """Return the question for a parameter: EOT, group and unit digit twice each, its name, ENQ."""
    return _selected(address) + name.encode("ascii") + bytes((ENQ,))


def write_request(address: int, name: str, value: str) -> bytes:
    """Return the request that writes a parameter: EOT, group and unit digit twice each, a block."""
    return _selected(address) + bcc_block(f"{name}{value}".encode("ascii"))


def _selected(address: int) -> bytes:
    group, unit = divmod(address, 10)
    return bytes((EOT,)) + f"{group}{group}{unit}{unit}".encode("ascii")


class BisynchUnit:
    """One unit on a line: one request in flight, each answer checked, the line brought in step when in doubt.

    Parameters
    ----------
    device : str
        How a fault names the device.
    port, settings
        As `SerialLine` takes them.
    address : int
        0 to 99.
    probes : tuple of str
        Parameters that may be asked for at any time, the surest first; they bring the line in step.
    """

    OWED_S = 2.0  # how long an answer may be on its way

    def __init__(
        self, device: str, port: str, settings: LineSettings, *, address: int, probes: tuple[str, ...]
    ) -> None:
        self.device, self.address = device, address
        # A two-wire adapter may send back what is sent; where none does, nothing is dropped.
        self.line = SerialLine(device, port, settings, take_bcc_answer, echoes=True)
        self._probes = probes
        self._owed: dict[str, float] = {}  # what has no answer yet, and since when

    def ask(self, name: str, deadline: float) -> str:
        """Ask for a parameter and return what stands behind its name.

        Raises
        ------
        DeviceSilent, DeviceGarbled
            Units are silent to a name that they do not know, or answer EOT.
        """
        self._bring_in_step(deadline)
        answer = self._exchange(question(self.address, name), name, deadline)
        if not answer.startswith(name.encode("ascii")):
            words = "an answer that fits no question asked. Check the cable."
            raise DeviceGarbled(self.device, words, repr(answer))
        self._owed.clear()
        return answer.decode("ascii").removeprefix(name)

    def query(self, name: str, deadline: float) -> str:
        """Ask, again where an answer was lost, until `deadline` (monotonic seconds); see `ask`."""
        while True:
            try:
                return self.ask(name, deadline)
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                if time.monotonic() >= deadline:
                    raise

    def write(self, name: str, value: str, deadline: float) -> bool:
        """Write a parameter; tell whether the unit took it (ACK) or not (NAK).

        Raises
        ------
        DeviceSilent, DeviceGarbled
            Whether it was written is unknown: read before any retry.
        """
        self._bring_in_step(deadline)
        answer = self._exchange(write_request(self.address, name, value), WRITTEN, deadline)
        if answer not in (bytes((ACK,)), bytes((NAK,))):
            raise DeviceGarbled(self.device, "an answer that fits no write. Check the cable.", repr(answer))
        self._owed.clear()
        return answer == bytes((ACK,))

    def _exchange(self, request: bytes, owed: str, deadline: float) -> bytes:
        wait_s = self._wait_s(deadline)
        self._owed[owed] = time.monotonic()
        return self.line.ask(request, timeout_s=wait_s)

    def _bring_in_step(self, deadline: float) -> None:
        """Where an answer may be on its way, ask what it does not fit, and drop all that comes before.

        Units answer in turn: with the answer to the newest question all older ones are settled.
        """
        if not self._owed:
            return
        wait_s, now_s = self._wait_s(deadline), time.monotonic()
        free = [name for name in self._probes if now_s - self._owed.get(name, -math.inf) > self.OWED_S]
        if not free:
            time.sleep(wait_s)
            raise DeviceSilent(self.device, "does not answer. Check cable and power.")
        probe = free[0]
        self._owed[probe] = now_s
        self.line.resynchronise(
            question(self.address, probe),
            lambda answer: answer.startswith(probe.encode("ascii")),
            timeout_s=wait_s,
        )
        self._owed.clear()

    def _wait_s(self, deadline: float) -> float:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise DeviceSilent(self.device, "does not answer in time. Check cable and power.")
        return min(EXCHANGE_S, left_s)
