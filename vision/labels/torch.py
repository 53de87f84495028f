"""The light beside the camera: a file that takes its brightness, as Linux gives for each LED."""

from __future__ import annotations

from pathlib import Path


class Torch:
    """A light that is switched by writing a number into a file (`/sys/class/leds/NAME/brightness`).

    A light that does not obey is no reason to stop scanning: `fault` says what was wrong.
    """

    def __init__(self, brightness_file: Path, *, level: int = 255) -> None:
        self._file, self._level = brightness_file, level
        self._is_on: bool | None = None
        self.fault = ""

    def switch(self, *, on: bool) -> None:
        """Switch the light; nothing is written where it stands so already."""
        if on == self._is_on:
            return
        try:
            self._file.write_text(f"{self._level if on else 0}\n", encoding="ascii")
        except OSError as error:
            self.fault = f"The light {self._file} cannot be switched ({error.strerror})."
        else:
            self.fault = ""
        self._is_on = on
