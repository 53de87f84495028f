"""What the devices report: each value with its unit, quality and age, never without (SAFETY 7)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from appliance.link.messages import DeviceView, ReadingView
from tui import local_time, wording
from tui.view import TELEMETRY_STALE_S, View
from tui.widgets.words import Words, ellipsis

# From this width on the quality is spelled out.
WIDE: Final = 34
VALUE_ROOM: Final = 9
NAME_ROOM_MIN: Final = 3


def _age_s(reading: ReadingView, telemetry_age_s: float) -> float:
    try:
        return float(Decimal(reading.age_s)) + telemetry_age_s
    except (InvalidOperation, ValueError):
        return telemetry_age_s


def _name(reading: ReadingView) -> str:
    """The reading's name without the unit that stands beside its value."""
    unit = reading.unit.replace("°", "").replace("/", "_").lower()
    name = (reading.name.removesuffix(f"_{unit}") if unit else reading.name).replace("_", " ")
    return wording.READING_NAMES.get(name, name)


def reading_line(reading: ReadingView, *, telemetry_age_s: float, width: int) -> str:
    """One value in one line; without fresh telemetry it is stale, whatever it was when it came."""
    quality = "stale" if telemetry_age_s > TELEMETRY_STALE_S else reading.quality
    age = local_time.age_words(_age_s(reading, telemetry_age_s))
    value = wording.NO_VALUE if reading.value is None else f"{reading.value} {reading.unit}".strip()
    value = value or wording.EMPTY_VALUE
    wide = width >= WIDE
    words = (wording.QUALITY if wide else wording.QUALITY_SHORT)[quality]
    tail = f"{words:<{9 if wide else 6}} {age:>6}"
    room = width - len(tail) - 1
    # A value is shown whole before its name is: a cut number lies. A long one gets a line of its own.
    name_room = room - max(len(value), VALUE_ROOM if wide else 8) - 1
    if name_room < NAME_ROOM_MIN:
        return f"{ellipsis(_name(reading), width)}\n   {ellipsis(value, room - 2):>{room - 2}} {tail}"
    return f"{ellipsis(_name(reading), name_room):<{name_room}} {value:>{room - name_room - 1}} {tail}"


def device_text(device: DeviceView, *, telemetry_age_s: float, width: int) -> str:
    """A device's title and state, then its readings."""
    state = wording.DEVICE_STATES[device.state]
    title_room = max(4, width - len(state) - 1)
    lines = [f"{ellipsis(device.title, title_room):<{title_room}} {state}"]
    if device.state not in ("ready", "by_hand") and device.words:
        lines.append(f"  {device.words}")
    if device.fitness:
        lines.append(f"  {wording.FITNESS.format(words=device.fitness)}")
    lines += [
        " " + reading_line(reading, telemetry_age_s=telemetry_age_s, width=width - 1)
        for reading in device.readings
    ]
    return "\n".join(lines)


class DevicePanel(Words):
    """All devices, one below the other."""

    def show(self, view: View) -> None:
        """Show the newest telemetry with its true age."""
        width = max(24, self.content_size.width or 30)
        texts = [
            device_text(device, telemetry_age_s=view.telemetry_age_s, width=width) for device in view.devices
        ]
        self.say("\n".join(texts) or wording.DEVICES_NONE)
