"""A device works only while its calibration holds (R-16); where time is not trusted, nobody can tell."""

from __future__ import annotations

from datetime import date, datetime

from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec, Unit
from appliance.domain.errors import CommandRefused
from appliance.domain.phase_logic import Context, alarm


def words_of_calibration(unit: Unit, device: DeviceSpec, now: datetime) -> str:
    """Why the device may not be used, empty when it may. Its last day counts whole, in UTC."""
    until = unit.calibrated_until.get(device.id, "")
    if not until:
        return ""
    if not unit.time_trusted:
        return (
            f"This unit's clock is not trusted, so it cannot tell whether the calibration of {device.title} "
            "still holds. Two persons enter the time of a reference clock first."
        )
    if now.date() > date.fromisoformat(until):
        return f"The calibration of {device.title} ended on {until}. Call maintenance."
    return ""


def refuse_uncalibrated(unit: Unit, device: DeviceSpec, now: datetime) -> None:
    """Raises `CommandRefused` with what to do."""
    words = words_of_calibration(unit, device, now)
    if words:
        raise CommandRefused(words, reason="device_not_calibrated")


def started(c: Context) -> list[ev.Event]:
    """The phase starts; or an alarm, raised once, says which device keeps it from starting."""
    kind = f"{c.batch.id}:{c.phase.id}:calibration:"
    standing = [key for key in c.unit.alarms if key.startswith(kind)]
    words = next(filter(None, (_words_of_role(c, role) for role in c.phase.uses)), "")
    if not words:
        cleared = [ev.AlarmCleared(alarm=key) for key in standing]
        return [*cleared, ev.PhaseStarted(phase=c.phase.id)]
    if standing:
        return []
    return [
        alarm(
            c,
            "calibration",
            priority="medium",
            title=f"{c.phase.title} cannot start",
            cause=words,
            action="Call maintenance. The phase starts once the device may be used.",
        )
    ]


def _words_of_role(c: Context, role: str) -> str:
    device = c.unit.device_of(role)
    return words_of_calibration(c.unit, device, c.now) if device is not None else ""
