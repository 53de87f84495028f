"""What an integrator sets for one device: its address on the line, the calibration of its tubing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation


class SettingRefused(ValueError):
    """A setting that this type of device does not have, or a value that it cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of a device type.

    A number has `minimum` and `maximum`; a word has a `pattern` that it must match whole.
    """

    name: str
    default: str
    words: str
    pattern: str = ""
    minimum: Decimal | None = None
    maximum: Decimal | None = None

    def checked(self, value: str) -> str:
        """Return the value when it is one that this setting can have.

        Raises
        ------
        SettingRefused
            It is none; the message says what can stand there.
        """
        if self.pattern and re.fullmatch(self.pattern, value) is None:
            raise SettingRefused(f"The setting {self.name} is {self.words}, not {value!r}.")
        if self.minimum is not None and self.maximum is not None:
            number = _number(value)
            if number is None or not self.minimum <= number <= self.maximum:
                words = f"{self.words}, from {self.minimum} to {self.maximum}"
                raise SettingRefused(f"The setting {self.name} is {words}, not {value!r}.")
        return value


def settled(settings: tuple[Setting, ...], given: Mapping[str, str] | None) -> dict[str, str]:
    """Return every setting of a type: what was given, else its default.

    Raises
    ------
    SettingRefused
        A setting that the type does not have, or a value that it cannot have.
    """
    values = dict(given or {})
    known = {setting.name for setting in settings}
    if foreign := sorted(set(values) - known):
        has = f"It has {', '.join(sorted(known))}." if known else "It has none."
        raise SettingRefused(f"This type of device has no setting {foreign[0]!r}. {has}")
    return {setting.name: setting.checked(values.get(setting.name, setting.default)) for setting in settings}


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
