"""What follows from a copy of the record, a copy that failed, and a drill of restoring one."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.batch import Unit
from appliance.domain.errors import CommandRefused

RESTORED = "record:restored"
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


def restored(event: ev.RecordRestored) -> list[ev.Event]:
    """The fact, and an alarm that only a supervisor ends: nothing begins or goes on before that."""
    return [
        event,
        ev.AlarmRaised(
            alarm=RESTORED,
            priority="high",
            title="This unit was restored from a copy",
            cause=event.words,
            action="Ask QA what was made since the copy. Compare bag, dose and orders with it. "
            "Then a supervisor acknowledges this.",
        ),
    ]


def refuse_after_restore(unit: Unit) -> None:
    """No batch begins or goes on while nobody has looked at what the copy lacks (SAFETY 9).

    Raises
    ------
    CommandRefused
        The unit was restored and no supervisor has acknowledged it.
    """
    if RESTORED in unit.alarms:
        raise CommandRefused(
            "This unit was restored from a copy: an order may have been made or a dose handed over since. "
            "A supervisor compares with QA and acknowledges the alarm first.",
            reason="supervisor_needed",
        )


def _raised(unit: Unit, key: str, title: str, cause: str) -> list[ev.Event]:
    if key in unit.alarms:
        return []
    action = "Work may go on. Look at the medium for copies, then take one with `cellwright backup`."
    return [ev.AlarmRaised(alarm=key, priority="medium", title=title, cause=cause, action=action)]


def _cleared(unit: Unit, key: str) -> list[ev.Event]:
    return [ev.AlarmCleared(alarm=key)] if key in unit.alarms else []
