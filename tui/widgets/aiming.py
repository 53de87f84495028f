"""What the camera sees while a person aims: half-blocks, a target, and where symbols were seen."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw
from rich.segment import Segment
from rich.style import Style
from textual import work
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.picture import PictureUnusable

EVERY_S: Final = 0.25
# A scan writes more often; a picture that stands still longer than this is no picture of now.
OLD_AFTER: Final = 6
FILE_BYTES_MAX: Final = 512 * 1024
# Few greys make few styles: a repaint stays below 30 ms.
GREY_STEP: Final = 10
TARGET: Final = 0.14  # of the picture, on each side
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Aim:
    """One state of the file: the picture, what hinders reading, and the outlines of symbols (0 to 1)."""

    number: int = -1
    hints: tuple[str, ...] = ()
    outlines: tuple[tuple[tuple[float, float], ...], ...] = ()
    image: Image.Image | None = field(default=None, compare=False)
    aspect: float = 16 / 9


def read_aim(path: Path) -> Aim:
    """Read the file that the camera's program replaces; raises `PictureUnusable` while there is none."""
    try:
        data = path.read_bytes()[:FILE_BYTES_MAX]
        magic, comment, size, _most, pixels = data.split(b"\n", 4)
        said: dict[str, Any] = json.loads(comment.removeprefix(b"# "))
        width, height = (int(one) for one in size.split())
        if magic != b"P5" or width * height > len(pixels):
            raise PictureUnusable(path)
        image = Image.frombytes("L", (width, height), pixels) if said["pixels"] else None
        outlines = tuple(tuple((float(x), float(y)) for x, y in one) for one in said["outlines"])
        hints = tuple(str(one) for one in said["hints"])
        return Aim(int(said["number"]), hints, outlines, image, float(said["aspect"]) or 16 / 9)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PictureUnusable(path) from error


def painted(aim: Aim, size: Size, *, ground: Colour, ink: Colour, seen: Colour) -> list[Strip]:
    """The picture with its target and outlines, in cells of two pixels."""
    scale = min(size.width / aim.aspect, size.height * 2)
    width, height = max(8, int(scale * aim.aspect)), max(4, int(scale) // 2 * 2)
    if aim.image is not None:
        shown = aim.image.resize((width, height), Image.Resampling.BOX)
        canvas = shown.point(lambda level: int(level) // GREY_STEP * GREY_STEP).convert("RGB")
    else:
        canvas = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(canvas)
    for outline in aim.outlines:
        corners = [(x * (width - 1), y * (height - 1)) for x, y in outline]
        draw.polygon(corners, outline=seen, width=max(1, width // 60))
    _target(draw, width, height, ink)
    return _strips(canvas)


def _target(draw: ImageDraw.ImageDraw, width: int, height: int, ink: Colour) -> None:
    """Four corners: hold the label between them."""
    left, top = round(width * TARGET), round(height * TARGET)
    right, low = width - 1 - left, height - 1 - top
    arm = max(3, width // 8)
    for x, step in ((left, 1), (right, -1)):
        for y, down in ((top, 1), (low, -1)):
            draw.line((x, y, x + step * arm, y), fill=ink)
            draw.line((x, y, x, y + down * arm * 2 // 3), fill=ink)


def _strips(canvas: Image.Image) -> list[Strip]:
    raw, width, height = canvas.tobytes(), canvas.width, canvas.height
    styles: dict[bytes, Style] = {}

    def cell(x: int, y: int) -> Segment:
        upper = raw[(y * width + x) * 3 : (y * width + x) * 3 + 3]
        lower = raw[((y + 1) * width + x) * 3 : ((y + 1) * width + x) * 3 + 3]
        style = styles.get(upper + lower)
        if style is None:
            style = styles[upper + lower] = Style.parse(f"#{upper.hex()} on #{lower.hex()}")
        return Segment("▀", style)

    return [Strip([cell(x, y) for x in range(width)]).simplify() for y in range(0, height, 2)]


class AimingPicture(Widget):
    """Follows the camera's file at most four times a second; says `None` when there is no new picture."""

    def __init__(self, path: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._path = Path(path) if path else None
        self.aim: Aim | None = None
        self._strips: list[Strip] = []
        self._same = 0

    def on_mount(self) -> None:
        """Begin to look."""
        self._look()
        self.set_interval(EVERY_S, self._look)

    @work(thread=True, exclusive=True)
    def _look(self) -> None:
        aim = None
        if self._path is not None:
            try:
                aim = read_aim(self._path)
            except PictureUnusable:
                aim = None
        self.app.call_from_thread(self._took, aim)

    def _took(self, aim: Aim | None) -> None:
        if aim is not None and self.aim is not None and aim.number == self.aim.number:
            self._same += 1
            if self._same < OLD_AFTER:
                return
            aim = None
        else:
            self._same = 0
        self.aim = aim
        self._strips = self._drawn(aim) if aim is not None else []
        self.refresh()

    def _drawn(self, aim: Aim) -> list[Strip]:
        if self.size.width < 8 or self.size.height < 3:
            return []
        named = self.app.theme_variables
        ground, ink, seen = (_rgb(named.get(name, "")) for name in ("card", "ink", "tick-ground"))
        return painted(aim, self.size, ground=ground, ink=ink if aim.image is None else WHITE, seen=seen)

    def render_line(self, y: int) -> Strip:
        """One line of cells; the picture stands in the middle."""
        width, top = self.size.width, max(0, (self.size.height - len(self._strips)) // 2)
        place = y - top
        if not 0 <= place < len(self._strips):
            return Strip.blank(width, self.rich_style)
        strip = self._strips[place]
        before = max(0, (width - strip.cell_length) // 2)
        padded = Strip([Segment(" " * before, self.rich_style), *strip]) if before else strip
        return padded.adjust_cell_length(width, self.rich_style)


WHITE: Final[Colour] = (250, 250, 250)


def _rgb(text: str) -> Colour:
    """A colour of the theme, `#rrggbb`; a middle grey when it is not one."""
    try:
        value = bytes.fromhex(text.removeprefix("#"))
        return value[0], value[1], value[2]
    except (ValueError, IndexError):
        return 128, 128, 128
