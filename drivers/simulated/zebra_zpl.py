"""Twin of a label printer with ZPL II: it takes formats in, prints label by label, and answers meanwhile.

It knows the commands that labels of ours consist of, and `~HS`, `~HI`, `~JA` and `getvar`; what it does not
know it leaves out, as the real ones do. Each label that comes out lies in the tray as a picture.
"""

from __future__ import annotations

import os
import random
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers.simulated.twin import Twin
from drivers.simulated.world import World
from drivers.simulated.zpl_raster import NoGraphic, graphic, placed, without_dots

MODEL, FIRMWARE, MEMORY = "ZD421-{dpi}dpi ZPL", "V93.21.15Z", "65536KB"
SERIAL_NUMBER = "D2J204701234"
DOTS_MM = {152: 6, 203: 8, 300: 12, 600: 24}
XON, XOFF = b"\x11", b"\x13"
BUFFER_BYTES = 256 * 1024
STOCK_LABELS = 200
LABEL_S = 0.4  # a label of 76 mm at about 200 mm/s
BOOT_S = 0.5
SIDE_MAX = 8192
LABELS_KEPT = 256
ERRORS = ("paper_out", "ribbon_out", "head_open")

_SGD = re.compile(rb'! U1 getvar "([a-z0-9._]{1,64})" *\r?\n')
_NUMBERS = re.compile(rb"(\d{1,5})(?:,(\d{1,5}))?")


@dataclass(slots=True)
class Format:
    """What stands between ^XA and ^XZ."""

    width: int = 0
    height: int = 0
    x: int = 0
    y: int = 0
    quantity: int = 1
    dots: bytes = b""


class ZebraTwin(Twin):
    """A printer with a roll of labels, a ribbon, a head and a tray.

    What people do with it has names of its own, from `load` to `switch_off`, which keeps it without power
    until `switch_on`.
    """

    TYPE = "zebra-zpl"
    FIRMWARE = FIRMWARE
    TAKES_LONG_JOBS = True

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        dpi = int(self.settings.get("dpi", "300"))
        self.dots_mm = DOTS_MM[dpi]
        self.model = MODEL.format(dpi=dpi)
        self.serial_number = SERIAL_NUMBER
        self.tray: Path | None = None
        self.stock = STOCK_LABELS
        self.label_s = LABEL_S
        self.boot_s = BOOT_S
        self.buffer_bytes = BUFFER_BYTES
        self.reads_bytes_s: float | None = None  # None: at once
        self.has_variables = True
        self.batch_is_a_flag = False  # some tell 1 for as long as they print, in place of what is left
        self.dead_dots: tuple[int, ...] = ()
        self.errors: dict[str, bool] = dict.fromkeys(ERRORS, False)
        self.paused = False
        self.odometer = 1234
        self.came_out: list[bytes] = []  # the dots of the newest labels that are out, whole bytes a row
        self.labels_out = 0
        self.powered = True
        self._answers_from_s = 0.0
        self._moved_on_s: float | None = None
        self._read_s = 0.0
        self.asks_to_wait = False
        self._xoff = self.settings.get("handshake", "xon_xoff") == "xon_xoff"
        self._forget()

    # What people do with it

    def load(self, labels: int = STOCK_LABELS) -> None:
        """Put in a roll; it goes on with the label that was not finished."""
        assert labels > 0, labels
        self.stock = labels
        self.errors["paper_out"] = False

    def take_paper_out(self) -> None:
        """Let the roll end here and now, in the middle of a label perhaps."""
        self.stock = 0
        self.errors["paper_out"] = True
        self._left_s = self.label_s

    def leave(self, labels: int) -> None:
        """Leave so many labels on the roll; it says that it is out when the next one is to come."""
        self.stock = labels

    def feed(self) -> None:
        """Press the feed key: a blank label comes, and is counted with the others."""
        if self.stock:
            self.stock -= 1
            self.odometer += 1

    def ribbon_out(self, out: bool = True) -> None:
        """Let the ribbon end, or load one."""
        self.errors["ribbon_out"] = out
        self._left_s = self.label_s

    def open_head(self) -> None:
        """Open the head."""
        self.errors["head_open"] = True
        self._left_s = self.label_s

    def close_head(self) -> None:
        """Close the head."""
        self.errors["head_open"] = False

    def press_pause(self) -> None:
        """Press the pause key: it pauses after this label, or goes on."""
        self.paused = not self.paused

    def break_dots(self, count: int, seed: int = 0) -> None:
        """Let so many dots of the head die, anywhere on 64 mm."""
        self.dead_dots = tuple(sorted(random.Random(f"dots {seed}").sample(range(64 * self.dots_mm), count)))

    def switch_off(self) -> None:
        """Cut the power: what it held is gone, the count of its labels is not."""
        self.powered = False
        self._forget()

    def switch_on(self, now_s: float) -> None:
        """Give it power again; it answers after a while."""
        self.powered = True
        self._answers_from_s = now_s + self.boot_s

    @property
    def state(self) -> str:
        """What it stands in, in the words of the role."""
        for word in ("head_open", "paper_out", "ribbon_out"):
            if self.errors[word]:
                return word
        if self.paused:
            return "paused"
        return "printing" if self.waiting else "ready"

    @property
    def waiting(self) -> int:
        """How many labels and formats it holds, as `~HS` would tell it."""
        return self._remaining + len(self._queue) + int(self._partial)

    # The line

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Take bytes in; answer the commands among them that ask."""
        if not self.powered or now_s < self._answers_from_s:
            return []
        self._move_on(now_s)
        self._raw += data[: max(0, self.buffer_bytes - len(self._raw))]
        return self._take_in(now_s)

    def tick(self, now_s: float) -> list[bytes]:
        """Print on, and take in what waits."""
        if not self.powered:
            return []
        self._move_on(now_s)
        return self._take_in(now_s) if self._raw else []

    def _take_in(self, now_s: float) -> list[bytes]:
        """Read what the receive buffer holds, as fast as it reads; ask the other end to wait, or to go on."""
        passed_s, self._read_s = now_s - self._read_s, now_s
        size = len(self._raw)
        if self.reads_bytes_s is not None:
            size = min(size, max(1, int(self.reads_bytes_s * passed_s)))
        self._input += self._raw[:size]
        del self._raw[:size]
        answers = self._parse()
        if self._xoff and not self.asks_to_wait and len(self._raw) > self.buffer_bytes // 2:
            self.asks_to_wait = True
            answers.append(XOFF)
        elif self.asks_to_wait and len(self._raw) <= self.buffer_bytes // 4:
            self.asks_to_wait = False
            answers.append(XON)
        return answers

    def restart(self, now_s: float) -> list[bytes]:
        """Lose the power for a moment: what it held is gone, what people must mend is not."""
        self._forget()
        self._answers_from_s = now_s + self.boot_s
        return []

    def _forget(self) -> None:
        self._raw, self._input = bytearray(), bytearray()
        self._queue: deque[Format] = deque()
        self._format: Format | None = None  # that comes in
        self._partial = False
        self._prints: Format | None = None
        self._remaining = 0
        self._left_s = 0.0
        self._moved_on_s = None
        self.asks_to_wait = False
        self.paused = False

    def _parse(self) -> list[bytes]:
        """Take whole commands out of the buffer; the last one waits until it is whole."""
        answers: list[bytes] = []
        while self._input:
            head = bytes(self._input[:1])
            if head not in (b"^", b"~", b"!"):
                starts = [at for at in map(self._input.find, (b"^", b"~", b"! U1")) if at > 0]
                del self._input[: min(starts, default=len(self._input))]
            elif head == b"!":
                if (match := _SGD.match(bytes(self._input[:160]))) is not None:
                    del self._input[: match.end()]
                    answers += self._variable(match[1].decode("ascii"))
                elif b"\n" in self._input or len(self._input) > 96:
                    del self._input[:1]
                else:
                    break
            elif len(self._input) < 3:
                break
            elif head == b"~":
                name = bytes(self._input[1:3])
                del self._input[:3]
                answers += self._immediate(name)
            elif not self._take_format_command():
                break
        return answers

    def _take_format_command(self) -> bool:
        """Carry out the command that stands first, once it is whole: its end is the next one's beginning."""
        name = bytes(self._input[1:3])
        if name in (b"XA", b"XZ"):
            size = 3
        else:
            ends = [at for at in (self._input.find(b"^", 1), self._input.find(b"~", 1)) if at > 0]
            if not ends:
                return False
            size = min(ends)
        if name == b"XZ" and len(self._queue) >= 999:
            return False
        parameters = bytes(self._input[3:size])
        del self._input[:size]
        self._carry_out(name, parameters)
        return True

    def _carry_out(self, name: bytes, parameters: bytes) -> None:
        if name == b"XA":
            self._format, self._partial = Format(), True
            return
        here = self._format
        if here is None:
            return  # nothing outside of a format prints
        if name == b"XZ":
            self._format, self._partial = None, False
            if here.dots:
                self._queue.append(here)
            return
        if name == b"GF":
            self._draw(here, parameters)
            return
        match = _NUMBERS.match(parameters.strip())
        if match is None:
            return
        first, second = int(match[1]), int(match[2] or 0)
        if name == b"PW":
            here.width = min(first, SIDE_MAX)
        elif name == b"LL":
            here.height = min(first, SIDE_MAX)
        elif name == b"FO":
            here.x, here.y = first, second
        elif name == b"PQ":
            here.quantity = max(1, first)

    def _draw(self, here: Format, parameters: bytes) -> None:
        try:
            raster = graphic(parameters)
        except NoGraphic:
            return  # a printer leaves out what it cannot read
        width = here.width or 8 * raster.row_bytes
        here.width, here.height = width, here.height or len(raster.rows)
        dots = placed(raster, x=here.x, y=here.y, width=width, height=here.height)
        if here.dots:
            both = int.from_bytes(here.dots, "big") | int.from_bytes(dots, "big")
            dots = both.to_bytes(len(dots), "big")
        here.dots = dots

    def _immediate(self, name: bytes) -> list[bytes]:
        if name == b"HS":
            return self._status()
        if name == b"HI":
            return [f"\x02{self.model},{self.firmware},{self.dots_mm},{MEMORY},\x03\r\n".encode("ascii")]
        if name == b"JA":
            # What prints at this moment is finished; what was asked for besides is forgotten.
            self._queue.clear()
            self._format, self._partial = None, False
            self._remaining = min(self._remaining, int(self._is_printing()))
            if not self._remaining:
                self._prints = None
        return []

    def _variable(self, name: str) -> list[bytes]:
        if not self.has_variables:
            return []
        known = {"device.unique_id": self.serial_number, "odometer.total_label_count": str(self.odometer)}
        return [f'"{known.get(name, "?")}"'.encode("ascii")]

    def _status(self) -> list[bytes]:
        stands = any(self.errors.values())
        height = self._prints.height if self._prints else 1245
        remaining = self._remaining
        if self.batch_is_a_flag:
            remaining = int(remaining > 0)
        first = (
            f"030,{self.errors['paper_out']:d},{self.paused or stands:d},{height:04d},{len(self._queue):03d},"
            f"{self.asks_to_wait:d},0,{self._partial:d},000,0,0,0"
        )
        second = (
            f"000,0,{self.errors['head_open']:d},{self.errors['ribbon_out']:d},1,2,4,0,{remaining:08d},1,000"
        )
        return [f"\x02{text}\x03\r\n".encode("ascii") for text in (first, second, "1234,0")]

    # The paper

    def _is_printing(self) -> bool:
        return self._remaining > 0 and self._left_s < self.label_s and not any(self.errors.values())

    def _move_on(self, now_s: float) -> None:
        """Print until now."""
        passed_s = now_s - (self._moved_on_s if self._moved_on_s is not None else now_s)
        self._moved_on_s = now_s
        while True:
            if not self._remaining and self._queue:
                self._prints = self._queue.popleft()
                self._remaining, self._left_s = self._prints.quantity, self.label_s
            if not self._remaining or any(self.errors.values()):
                return
            begins = self._left_s >= self.label_s
            if begins and self.paused:
                return
            if begins and not self.stock:
                self.errors["paper_out"] = True
                return
            if passed_s < self._left_s:
                self._left_s -= passed_s
                return
            passed_s -= self._left_s
            self._put_out()

    def _put_out(self) -> None:
        """One label is out."""
        printed = self._prints
        assert printed is not None, "something prints"
        self.stock -= 1
        self.odometer += 1
        self._remaining -= 1
        self._left_s = self.label_s
        label_bytes = -(-printed.width // 8)
        dots = without_dots(printed.dots, label_bytes, self.dead_dots)
        self.labels_out += 1
        self.came_out.append(dots)
        del self.came_out[:-LABELS_KEPT]
        if self.tray is not None:
            _lay(self.tray, self.odometer, dots, printed.width, printed.height)


def _lay(tray: Path, number: int, dots: bytes, width: int, height: int) -> None:
    """Lay a label into the tray: a picture that is there whole or not at all."""
    from PIL import Image

    tray.mkdir(parents=True, exist_ok=True)
    white = bytes(byte ^ 0xFF for byte in dots)
    fresh = tray / f".{number:08d}.{os.getpid()}"
    with Image.frombytes("1", (width, height), white) as picture:
        picture.save(fresh, format="PNG")
    fresh.replace(tray / f"{number:08d}.png")
