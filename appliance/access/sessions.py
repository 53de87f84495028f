"""Who is at which station: opened, touched, locked by idleness, closed. No clock, no I/O.

A session belongs to a station, not to a screen: a restarted bedside finds it again. STOP is not
here: it needs no session and works from the lock screen (SAFETY 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from appliance.access.authentication import Attempt, Authentication
from appliance.access.errors import SignInRefused
from appliance.access.lockouts import AccessRules, Lockouts
from appliance.domain.errors import NotSignedIn

__all__ = [
    "AccessRules",
    "Attempt",
    "Authentication",
    "Lockouts",
    "Session",
    "Sessions",
    "SignInRefused",
    "Touch",
]

Touch = Literal["acts", "wakes", "locked", "nobody"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One person at one station."""

    station: str
    person: str
    opened_s: float
    last_touch_s: float
    locked: bool = False
    signatures: int = 0  # given since the last opening or unlocking


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening a session did: it may have ended another person's or unlocked the same one's."""

    session: Session
    closed_person: str | None
    unlocked: bool


class Sessions:
    """The sessions of all stations. `now_s` is monotonic time."""

    def __init__(self, rules: AccessRules | None = None) -> None:
        self.rules = rules or AccessRules()
        self._by_station: dict[str, Session] = {}

    def open(self, station: str, person: str, now_s: float) -> Opened:
        """An authenticated person takes the station; whoever was signed in there is signed out."""
        before = self.at(station, now_s)
        unlocked = before is not None and before.locked and before.person == person
        closed = before.person if before is not None and before.person != person else None
        session = Session(station=station, person=person, opened_s=now_s, last_touch_s=now_s)
        self._by_station[station] = session
        return Opened(session, closed, unlocked)

    def close(self, station: str) -> str | None:
        """Sign out; returns who was signed in. Closing a closed session is harmless."""
        session = self._by_station.pop(station, None)
        return session.person if session is not None else None

    def close_person(self, person: str) -> list[str]:
        """Sign a person out everywhere (a revocation came); returns the stations."""
        stations = [station for station, one in self._by_station.items() if one.person == person]
        for station in stations:
            self.close(station)
        return sorted(stations)

    def people_at(self) -> dict[str, str]:
        """Station → the person whose session it has, locked or not."""
        return {station: one.person for station, one in self._by_station.items()}

    def lock(self, station: str) -> str | None:
        """Lock the station; returns whose session became locked, None when there was nothing to lock."""
        session = self._by_station.get(station)
        if session is None or session.locked:
            return None
        self._by_station[station] = replace(session, locked=True, signatures=0)
        return session.person

    def lock_idle(self, now_s: float) -> list[Session]:
        """Lock every session idle for too long; returns those that became locked by this call."""
        idle = [one for one in self._by_station.values() if not one.locked and self._is_idle(one, now_s)]
        for session in idle:
            self.lock(session.station)
        return [self._by_station[session.station] for session in idle]

    def at(self, station: str, now_s: float) -> Session | None:
        """The session at a station as of now; one idle for too long reads as locked at once."""
        session = self._by_station.get(station)
        if session is not None and not session.locked and self._is_idle(session, now_s):
            return replace(session, locked=True, signatures=0)
        return session

    def touch(self, station: str, now_s: float) -> Touch:
        """Somebody touched the screen; on a dimmed one the first touch only wakes it."""
        session = self.at(station, now_s)
        if session is None:
            return "nobody"
        if session.locked:
            return "locked"
        dimmed = now_s - session.last_touch_s >= self.rules.dim_after_s
        self._by_station[station] = replace(session, last_touch_s=now_s)
        return "wakes" if dimmed else "acts"

    def acting(self, station: str, now_s: float) -> str:
        """The person who acts at a station; acting also counts as a touch.

        Raises
        ------
        NotSignedIn
            Nobody is signed in, or the session is locked (reason `locked`).
        """
        session = self.at(station, now_s)
        if session is None:
            raise NotSignedIn("Nobody is signed in here. Sign in first.")
        if session.locked:
            raise NotSignedIn("This screen is locked. Enter your PIN to go on.", reason="locked")
        self._by_station[station] = replace(session, last_touch_s=now_s)
        return session.person

    def signature_needs(self, station: str, person: str, now_s: float) -> tuple[str, ...]:
        """What to type for a signature: id and password; later in an unbroken session the password alone.

        21 CFR 11.200(a)(1)(i)-(ii).
        """
        session = self.at(station, now_s)
        if session is None or session.locked or session.person != person or not session.signatures:
            return ("id", "password")
        return ("password",)

    def signature_given(self, station: str, person: str) -> None:
        """Remember that this session's person has signed with both components."""
        session = self._by_station.get(station)
        if session is not None and session.person == person and not session.locked:
            self._by_station[station] = replace(session, signatures=session.signatures + 1)

    def _is_idle(self, session: Session, now_s: float) -> bool:
        return now_s - session.last_touch_s >= self.rules.idle_lock_s
