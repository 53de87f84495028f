"""Holding what runs of a batch: the events that put each running phase on its way to being held."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain import phase_states
from appliance.domain.batch import Batch


def hold_running(
    batch: Batch, reason: str, words: str, *, only: str = "", using: str = ""
) -> list[ev.PhaseHolding]:
    """Holding events for the running phases; `using` narrows to those that use a device role."""
    return [
        ev.PhaseHolding(phase=run.phase.id, reason=reason, words=words)
        for run in batch.runs.values()
        if (run.state, "PhaseHolding") in phase_states.TRANSITIONS
        and (not only or run.phase.id == only)
        and (not using or using in run.phase.uses)
    ]


def hold_with_alarm(
    batch: Batch, reason: str, words: str, *, title: str, action: str, using: str = ""
) -> list[ev.Event]:
    """The same, and an alarm for each phase that is held: nobody has to notice by chance."""
    events: list[ev.Event] = []
    for holding in hold_running(batch, reason, words, using=using):
        number = len(batch.runs[holding.phase].all(ev.AlarmRaised)) + 1
        raised = ev.AlarmRaised(
            alarm=f"{batch.id}:{holding.phase}:hold-{reason}:{number}",
            priority="high",
            title=title,
            cause=words,
            action=action,
            phase=holding.phase,
        )
        events += [holding, raised]
    return events
