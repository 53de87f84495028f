"""The ISA-88 state machine of a phase, as a table. What is not in the table is refused."""

from __future__ import annotations

IDLE, RUNNING, COMPLETE = "idle", "running", "complete"
HOLDING, HELD, RESTARTING = "holding", "held", "restarting"
STOPPING, STOPPED = "stopping", "stopped"
ABORTING, ABORTED = "aborting", "aborted"

STATES = (IDLE, RUNNING, HOLDING, HELD, RESTARTING, STOPPING, STOPPED, ABORTING, ABORTED, COMPLETE)
FINAL = frozenset({COMPLETE, STOPPED, ABORTED})
ACTIVE = frozenset({RUNNING, HOLDING, HELD, RESTARTING, STOPPING, ABORTING})

TRANSITIONS: dict[tuple[str, str], str] = {
    (IDLE, "PhaseStarted"): RUNNING,
    (RUNNING, "PhaseCompleted"): COMPLETE,
    (RUNNING, "PhaseHolding"): HOLDING,
    (RESTARTING, "PhaseHolding"): HOLDING,
    (HOLDING, "PhaseHeld"): HELD,
    (HELD, "PhaseRestarting"): RESTARTING,
    (RESTARTING, "PhaseRestarted"): RUNNING,
    (IDLE, "PhaseAborted"): ABORTED,
    (RUNNING, "PhaseAborted"): ABORTED,
    (HOLDING, "PhaseAborted"): ABORTED,
    (HELD, "PhaseAborted"): ABORTED,
    (RESTARTING, "PhaseAborted"): ABORTED,
}


def after(state: str, kind: str) -> str:
    """The state that follows; an illegal transition is a programming error and raises `ValueError`."""
    try:
        return TRANSITIONS[state, kind]
    except KeyError:
        raise ValueError(f"A phase that is {state} cannot take {kind}.") from None


STATE_EVENTS = frozenset(kind for _, kind in TRANSITIONS)
