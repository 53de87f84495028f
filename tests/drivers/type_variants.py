"""What the suites judge: each type of the catalogue, and some again with other settings, by a label."""

from __future__ import annotations

from drivers.catalog import device_types

# Settings that make another device of a type: another protocol, another way to a stand.
_VARIANTS = (
    ("eurotherm-3200", "protocol=bisynch"),
    ("modbus-relay", "watchdog_register=16"),
)
TYPES = tuple(entry.name for entry in device_types())
LABELS = (*TYPES, *("+".join(variant) for variant in _VARIANTS if variant[0] in TYPES))


def type_and_settings(label: str) -> tuple[str, dict[str, str]]:
    """Return the type of a label such as `modbus-relay+watchdog_register=16`, and its settings."""
    type_name, *pairs = label.split("+")
    return type_name, dict(pair.split("=", 1) for pair in pairs)
