"""A picture in half-blocks: two pixels a cell, on every terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError
from rich.segment import Segment
from rich.style import Style
from textual import work
from textual.events import Click, Resize
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tui import wording

# Few colours make few styles: a repaint stays below 30 ms and the terminal's line short.
COLOURS: Final = 48
# A picture comes from a file that another program wrote; a larger one is not ours and is not decoded.
PIXELS_MAX: Final = 50_000_000

Quadrant = tuple[int, int]


class PictureUnusable(Exception):
    """The file is missing, is no picture, or is too large to decode."""


def open_picture(path: Path) -> Image.Image:
    """Read a picture whole, as RGB; raises `PictureUnusable`."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > PIXELS_MAX:
                raise PictureUnusable(path)
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise PictureUnusable(path) from error


def half_blocks(image: Image.Image, size: Size, quadrant: Quadrant | None) -> list[Strip]:
    """Fit a picture, or one quadrant of it, into cells of two pixels each."""
    if quadrant is not None:
        half_width, half_height = max(1, image.width // 2), max(1, image.height // 2)
        left, top = quadrant[0] * half_width, quadrant[1] * half_height
        image = image.crop((left, top, left + half_width, top + half_height))
    scale = min(size.width / image.width, size.height * 2 / image.height)
    width, height = max(1, int(image.width * scale)), max(2, int(image.height * scale) // 2 * 2)
    small = image.resize((width, height), Image.Resampling.BOX).quantize(COLOURS).convert("RGB")
    raw = small.tobytes()
    styles: dict[bytes, Style] = {}

    def segment(x: int, y: int) -> Segment:
        upper = raw[(y * width + x) * 3 : (y * width + x) * 3 + 3]
        lower = raw[((y + 1) * width + x) * 3 : ((y + 1) * width + x) * 3 + 3]
        style = styles.get(upper + lower)
        if style is None:
            style = Style.parse(f"#{upper.hex()} on #{lower.hex()}")
            styles[upper + lower] = style
        return Segment("▀", style)

    return [Strip([segment(x, y) for x in range(width)]).simplify() for y in range(0, height, 2)]


class Picture(Widget):
    """Shows a PNG; a touch looks closer at that quadrant, another goes back to the whole."""

    def __init__(self, path: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._path = path
        self._image: Image.Image | None = None
        self._strips: list[Strip] = []
        self._quadrant: Quadrant | None = None
        self.failed = False

    def on_mount(self) -> None:
        """Read the file outside the event loop."""
        self._read()

    @work(thread=True, exclusive=True)
    def _read(self) -> None:
        image = None
        try:
            image = open_picture(Path(self._path))
        except PictureUnusable:
            self.failed = True
        self.app.call_from_thread(self._took, image)

    def _took(self, image: Image.Image | None) -> None:
        self._image = image
        self._draw()

    def _draw(self) -> None:
        if self._image is not None and self.size.width > 1 and self.size.height > 1:
            self._strips = half_blocks(self._image, self.size, self._quadrant)
        self.refresh()

    def on_resize(self, _event: Resize) -> None:
        """Fit the picture afresh."""
        self._draw()

    def on_click(self, event: Click) -> None:
        """Look closer, or back."""
        if self._image is None:
            return
        right, low = event.x * 2 >= self.size.width, event.y * 2 >= self.size.height
        self._quadrant = (int(right), int(low)) if self._quadrant is None else None
        self._draw()

    def render_line(self, y: int) -> Strip:
        """One line of cells."""
        width = self.size.width
        if self._strips:
            strip = self._strips[y] if y < len(self._strips) else Strip.blank(width, self.rich_style)
        elif y == 0:
            words = wording.PICTURE_BROKEN if self.failed else ""
            strip = Strip([Segment(words, self.rich_style)])
        else:
            strip = Strip.blank(width, self.rich_style)
        return strip.adjust_cell_length(width, self.rich_style)
