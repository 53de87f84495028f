"""Twin of the ACME DP-1: bytes in, bytes out, on the world that all twins share."""

from __future__ import annotations

from collections.abc import Mapping

from acme_pump.driver import frame, take_acme
from drivers.framing import BrokenFrame
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

WATCHDOG_S = 2.0


class AcmeTwin(Twin):
    TYPE = "acme-dp1"
    FIRMWARE = "1.0"

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self._buffer = bytearray()
        self._number, self._starts, self._heard_s = 0, 1, 0.0

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        self._buffer += data
        self.world.advance()
        answers: list[str] = []
        while True:
            try:
                request = take_acme(self._buffer)
            except BrokenFrame:
                continue
            if request is None:
                return [frame(answer) + b"\r\n" for answer in answers]
            self._heard_s = now_s
            answers.append(self._answer(request.decode("ascii").split()))

    def tick(self, now_s: float) -> list[bytes]:
        self.world.advance()
        if self.world.motion.moving and now_s - self._heard_s > WATCHDOG_S:
            self.world.stop_motion()
        return []

    def restart(self, now_s: float) -> list[bytes]:
        self.world.stop_motion()
        self.world.motion.dispensed_ml[True] = 0.0
        self._number, self._starts = 0, self._starts + 1
        self._buffer.clear()
        return []

    def _answer(self, words: list[str]) -> str:
        motion = self.world.motion
        match words:
            case ["ID"]:
                return f"ID DP-1 SN0001 {self.firmware}"
            case ["R"]:
                microlitres = int(motion.dispensed_ml[True] * 1000 + 1e-6)
                return f"R {'I' if motion.moving else 'S'} {microlitres} {self._number} {self._starts}"
            case ["X"]:
                self.world.stop_motion()
                return "X OK"
            case ["C"] if not motion.moving:
                motion.dispensed_ml[True] = 0.0
                return "C OK"
            case ["D", number, volume, rate] if not motion.moving and int(number) != self._number:
                self._number, motion.dispensed_ml[True] = int(number), 0.0
                self.world.start_motion(
                    rate_ml_min=int(rate) / 1000, volume_ml=int(volume) / 1000, infusing=True
                )
                return "D OK"
        return f"{words[0] if words else ''} NO"
