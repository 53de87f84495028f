"""What a screen may show at one moment: the engine's last snapshot, how old it is, what is in flight."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from appliance.link.messages import AlarmView, DeviceView, PromptView, Snapshot, TimerView
from tui import local_time

# Telemetry comes at up to 4 Hz; after this long without any, no value may be shown as fresh (SAFETY 7).
TELEMETRY_STALE_S: Final = 3.0

PRIORITIES: Final = ("high", "medium", "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A snapshot with the monotonic moments at which it and the last telemetry came."""

    snapshot: Snapshot
    received_s: float
    devices: list[DeviceView]
    timers: list[TimerView]
    telemetry_s: float
    now_s: float
    in_flight: frozenset[str] = field(default_factory=frozenset)

    @property
    def utc(self) -> datetime:
        """The engine's clock, carried on at its own speed by the time since its last snapshot."""
        try:
            speed = float(self.snapshot.unit.clock_speed)
        except ValueError:
            speed = 1.0
        return local_time.later(self.snapshot.utc, (self.now_s - self.received_s) * speed)

    @property
    def telemetry_age_s(self) -> float:
        """Seconds since the devices were last heard of here."""
        return self.now_s - self.telemetry_s

    @property
    def alarms(self) -> list[AlarmView]:
        """All alarms: standing before over, the most urgent first, and of these the not acknowledged."""
        return sorted(
            self.snapshot.alarms,
            key=lambda alarm: (
                alarm.state == "cleared",
                PRIORITIES.index(alarm.priority),
                alarm.state != "active",
                alarm.raised_at,
            ),
        )

    def busy(self, *keys: str) -> bool:
        """Whether a command that one of these buttons sent has no answer yet."""
        return any(key in self.in_flight for key in keys)

    def prompt(self, prompt_id: str) -> PromptView | None:
        """The open prompt of that id, or None when the unit went on."""
        return next((prompt for prompt in self.snapshot.prompts if prompt.id == prompt_id), None)

    def name_of(self, person_id: str) -> str:
        """A person's name, or the id when the person is not known here."""
        return next((person.name for person in self.snapshot.people if person.id == person_id), person_id)
