"""What follows from a copy of the record, a copy that failed, and a drill of restoring one."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.batch import Unit

FAILED = "record:backup"
DRILL_FAILED = "record:restore_drill"

Noted = ev.BackupTaken | ev.BackupFailed | ev.RestoreDrilled


def noted(unit: Unit, event: Noted) -> list[ev.Event]:
    """The fact itself, and the alarm that it raises or ends."""
    match event:
        case ev.BackupTaken():
            return [event, *_cleared(unit, FAILED)]
        case ev.BackupFailed(words=words):
            return [event, *_raised(unit, FAILED, "No copy of the record could be made", words)]
        case ev.RestoreDrilled(good=True):
            return [event, *_cleared(unit, DRILL_FAILED)]
        case ev.RestoreDrilled(words=words):
            return [event, *_raised(unit, DRILL_FAILED, "A copy of the record does not restore", words)]


def _raised(unit: Unit, key: str, title: str, cause: str) -> list[ev.Event]:
    if key in unit.alarms:
        return []
    action = "Work may go on. Look at the medium for copies, then take one with `cellwright backup`."
    return [ev.AlarmRaised(alarm=key, priority="medium", title=title, cause=cause, action=action)]


def _cleared(unit: Unit, key: str) -> list[ev.Event]:
    return [ev.AlarmCleared(alarm=key)] if key in unit.alarms else []
