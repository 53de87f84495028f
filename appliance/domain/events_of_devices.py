"""Events of a device's fitness: its qualification, what ends soon, and how its memories wear.

They are facts of the unit and say nothing of a product, so none of them changes a sealed record.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceQualified(Event):
    """Two persons qualified the device that is there; from here on this holds, not the appliance file."""

    device: str
    maker: str
    model: str
    serial_number: str  # empty for a device that tells none
    firmware: str
    calibrated_until: str  # the day up to which its calibration holds; empty when none is told
    qualified_until: str
    reason: str
    first_person: str
    second_person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNoticeRaised(Event):
    """An alarm about the fitness of a device, outside of any phase."""

    device: str
    alarm: str
    priority: str
    title: str
    cause: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WearCounted(Event):
    """Writes into a memory that wears out; `total` is what this unit has counted for this device."""

    device: str
    memory: str
    writes: int  # since the last count
    total: int
    limit: int
