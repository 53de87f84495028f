"""What can go wrong with a device, as one family.

::

    DeviceFault
    ├── DeviceSilent        no reply in time: whether it happened is unknown
    │   └── LineLost        the port is gone or cannot be opened
    ├── DeviceRefused       the device understood and said no: nothing was done
    │   └── DeviceAlarm     it answered with an alarm instead of carrying out the request
    ├── DeviceGarbled       bytes came that are not a reply to the request
    │   ├── StrayBytes      bytes came that nobody asked for
    │   └── LineFlooded     it talks without end
    ├── CutShort            something keeps the order from its end; `result` says how far it came
    ├── WrongDevice         something answers, but not the kind of device expected
    └── DeviceRestarted     it lost power: tare, totals and settings it held are void

`kind` is the word that crosses the pipe of the device host; `str(fault)` says what is so and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping


class DeviceFault(Exception):
    """Something a device did or failed to do; `str(fault)` is fit for an operator."""

    kind = "fault"

    def __init__(self, device: str, words: str, reply: str = "") -> None:
        self.device, self.words, self.reply = device, words, reply
        shown = f" It answered {reply!r}." if reply else ""
        super().__init__(f"{device}: {words}{shown}")


class DeviceSilent(DeviceFault):
    """No reply in time. Whether the request was carried out is unknown: read before any retry."""

    kind = "silent"


class LineLost(DeviceSilent):
    """The port is gone, held by somebody else, or never was there."""

    kind = "line_lost"


class DeviceRefused(DeviceFault):
    """The device said no, or the order can be seen to be impossible; nothing was done."""

    kind = "refused"


class DeviceAlarm(DeviceRefused):
    """The device answered with an alarm; the request that met it was not carried out."""


class CutShort(DeviceFault):
    """What `kind` names kept an order from its end, or from its beginning; `result` says how far it came."""

    def __init__(self, device: str, kind: str, words: str, result: Mapping[str, str]) -> None:
        self.kind, self.result = kind, dict(result)
        super().__init__(device, words)


class DeviceGarbled(DeviceFault):
    """Bytes came that cannot be the reply. Whether the request was carried out is unknown."""

    kind = "garbled"


class StrayBytes(DeviceGarbled):
    """Bytes that nobody asked for stood before or behind a reply; `data` holds them."""

    def __init__(self, device: str, data: bytes) -> None:
        self.data = data
        super().__init__(device, "bytes came that nobody asked for. Check cable and device.", repr(data[:40]))


class LineFlooded(DeviceGarbled):
    """More bytes came than any reply has: something talks without end."""


class WrongDevice(DeviceFault):
    """Another kind of device is at this port."""

    kind = "wrong_device"


class DeviceRestarted(DeviceFault):
    """The device lost its power or was reset: what it was told and what it summed up are void."""

    kind = "restarted"
