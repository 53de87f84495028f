"""Numbers with units, from a closed table: a recipe may name only units that are known here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from appliance.domain.errors import QuantityRefused

UNITS: dict[str, tuple[str, Decimal]] = {
    # unit as written: (dimension, factor to the first unit of its dimension)
    "mL": ("volume", Decimal(1)),
    "L": ("volume", Decimal(1000)),
    "mL/min": ("flow", Decimal(1)),
    "g": ("mass", Decimal(1)),
    "g/mL": ("density", Decimal(1)),
    "degC": ("temperature", Decimal(1)),
    "s": ("time", Decimal(1)),
    "min": ("time", Decimal(60)),
    "h": ("time", Decimal(3600)),
    "mm": ("length", Decimal(1)),
    "%": ("percent", Decimal(1)),
    "cells": ("cells", Decimal(1)),
    "cells/mL": ("concentration", Decimal(1)),
    "cells/kg": ("dose", Decimal(1)),
    "kg": ("weight", Decimal(1)),
    "EU/mL": ("endotoxin", Decimal(1)),
    "EU/kg": ("endotoxin dose", Decimal(1)),
    "count": ("count", Decimal(1)),
}

_NUMBER = r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,9})?(?:e[+-]?[0-9]{1,2})?"
_QUANTITY = re.compile(rf"({_NUMBER})\s+(\S{{1,16}})")
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})\s+(\S{{1,16}})")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A decimal number in one of the known units."""

    value: Decimal
    unit: str

    def in_unit(self, unit: str) -> Decimal:
        """The number in another unit of the same dimension; raises `QuantityRefused`."""
        dimension, factor = _unit(self.unit)
        other_dimension, other_factor = _unit(unit)
        if dimension != other_dimension:
            raise QuantityRefused(f"{self} is a {dimension}; a {other_dimension} in {unit} is needed.")
        return self.value * factor / other_factor

    def __str__(self) -> str:
        return f"{plain(self.value)} {self.unit}"


def _unit(unit: str) -> tuple[str, Decimal]:
    if unit not in UNITS:
        raise QuantityRefused(f"The unit '{unit}' is not known. Known units: {', '.join(UNITS)}.")
    return UNITS[unit]


def parse_quantity(text: str) -> Quantity:
    """Read `10 mL/min`.

    Raises
    ------
    QuantityRefused
        No number, no unit, or a unit that is not in the table.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise QuantityRefused(f"'{text}' is not a number with a unit. Write for example '10 mL/min'.")
    _unit(match[2])
    return Quantity(Decimal(match[1]), match[2])


def parse_range(text: str) -> tuple[Quantity, Quantity]:
    """Read `5..20 mL/min`; raises `QuantityRefused` also when the low end is above the high end."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise QuantityRefused(f"'{text}' is not a range with a unit. Write for example '5..20 mL/min'.")
    _unit(match[3])
    low, high = Decimal(match[1]), Decimal(match[2])
    if low > high:
        raise QuantityRefused(f"The range '{text}' begins above its end.")
    return Quantity(low, match[3]), Quantity(high, match[3])


def plain(value: Decimal) -> str:
    """A decimal as people write it: no exponent, no trailing zeros after the point."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(value: Decimal, decimals: int) -> str:
    """A decimal with a fixed number of decimals, as a string for the record."""
    return format(value.quantize(Decimal(1).scaleb(-decimals)), "f")
