"""Drivers with one defect each: controls that the suites must find."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from drivers.balances.mt_sics import MtSicsBalance
from drivers.faults import LineLost
from drivers.pumps.new_era_ne1000 import NewEraPump
from drivers.reading import Identity, Reading, reading_now


class Slow(MtSicsBalance):
    """Takes too long now and then."""

    _reads = 0

    def read(self) -> list[Reading]:
        self._reads += 1
        if self._reads % 12 == 0:
            time.sleep(1.05)
        return super().read()


class InKilograms(MtSicsBalance):
    def read(self) -> list[Reading]:
        return [replace(one, unit="kg") for one in super().read()]


class Doubtful(MtSicsBalance):
    def read(self) -> list[Reading]:
        return [replace(one, quality="uncertain") for one in super().read()]


class Impersonator(MtSicsBalance):
    _asked = 0

    def identify(self) -> Identity:
        self._asked += 1
        return replace(super().identify(), serial_number=str(self._asked))


class Hasty(MtSicsBalance):
    """Calls an order done when it was sent, and takes any values with it."""

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        self._line.send(b"T\r\n" if name == "tare" else b"Z\r\n")
        return {}


class Crashing(MtSicsBalance):
    def read(self) -> list[Reading]:
        if self.line.traced.exchange > 30:
            raise ZeroDivisionError("a parser's slip")
        return super().read()


class TwoAtOnce(MtSicsBalance):
    def read(self) -> list[Reading]:
        self._line.send_at_once(b"K\r\n")
        return super().read()


class Shared(MtSicsBalance):
    """Two programs may hold its port: it never takes it for itself."""

    def open(self) -> None:
        with suppress(LineLost):  # and pretends to be open
            super().open()


class Gullible(MtSicsBalance):
    """Believes the first answer."""

    def read(self) -> list[Reading]:
        return [reading_now("weight_g", self._weigh_once().grams, "g", "good")]


class Unstoppable(NewEraPump):
    def stop(self) -> None:
        pass


class Generous(NewEraPump):
    """Delivers more than it was asked for."""

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        if name == "infuse":
            super().order(name, {**parameters, "volume_ml": "0.4"})
            return dict(parameters)
        return super().order(name, parameters)


class Twice(NewEraPump):
    """Orders once more when the first run is over."""

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        result = super().order(name, parameters)
        if name == "infuse":
            while super().read()[0].value == "infusing":
                time.sleep(0.05)
            super().order(name, parameters)
        return result


BROKEN: dict[str, Any] = {
    driver.__name__: driver
    for driver in (
        Slow,
        InKilograms,
        Doubtful,
        Impersonator,
        Hasty,
        Crashing,
        TwoAtOnce,
        Shared,
        Unstoppable,
        Generous,
    )
}
