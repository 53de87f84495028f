"""Who acts: sessions of stations, PINs and passwords, lock-outs. Argon2 runs beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from appliance.access.authentication import Authentication
from appliance.access.errors import SignInRefused
from appliance.access.lockouts import AccessRules, Lockouts
from appliance.access.people import People, Person
from appliance.access.secret_hash import verify_secret
from appliance.access.sessions import Session, Sessions
from appliance.config import UnitConfig
from appliance.domain import events as ev
from appliance.domain.errors import CommandRefused
from appliance.domain.roles import Actor
from appliance.link.messages import Proof

_NS = 1_000_000_000
Commit = Callable[[list[ev.Event], str], Awaitable[None]]


class Desk:
    """People at stations.

    Parameters
    ----------
    commit
        Puts events on record with an actor.
    monotonic_ns
        Real monotonic time (SAFETY 5).
    """

    def __init__(
        self,
        people: People,
        secret: bytes,
        config: UnitConfig,
        *,
        commit: Commit,
        monotonic_ns: Callable[[], int],
    ) -> None:
        rules = AccessRules(
            failures_max=config.session.lock_out_failures, idle_lock_s=config.session.idle_lock_min * 60.0
        )
        self.people, self._secret = people, secret
        self.lockouts = Lockouts(rules)
        self.sessions = Sessions(rules)
        self._authentication = Authentication(people, self.lockouts)
        self._commit, self._monotonic_ns = commit, monotonic_ns

    def now_s(self) -> float:
        return self._monotonic_ns() / _NS

    async def sign_in(self, station: str, handle: str, pin: str) -> Person:
        """Open a session; raises `SignInRefused`, which is on record."""
        person = await self._prove(station, handle, pin, for_what="sign_in")
        opened = self.sessions.open(station, person.id, self.now_s())
        events: list[ev.Event] = []
        if opened.closed_person is not None:
            events.append(ev.SessionClosed(person=opened.closed_person, station=station, why="replaced"))
        events.append(ev.SessionOpened(person=person.id, name=person.name, station=station))
        await self._commit(events, person.id)
        return person

    async def sign_out(self, station: str, why: str) -> None:
        person = self.sessions.close(station)
        if person is not None:
            await self._commit([ev.SessionClosed(person=person, station=station, why=why)], person)

    async def lock(self, station: str) -> None:
        person = self.sessions.lock(station)
        if person is not None:
            await self._commit([ev.SessionClosed(person=person, station=station, why="locked")], person)

    async def lock_idle(self) -> bool:
        """Lock what has been idle too long; users cannot switch this off (R-33)."""
        locked = self.sessions.lock_idle(self.now_s())
        for session in locked:
            event = ev.SessionClosed(person=session.person, station=session.station, why="idle")
            await self._commit([event], session.person)
        return bool(locked)

    def session_at(self, station: str) -> Session | None:
        return self.sessions.at(station, self.now_s())

    def acting(self, station: str) -> Actor:
        """The signed-in person of a station; raises `NotSignedIn`."""
        person = self.people.person(self.sessions.acting(station, self.now_s()))
        if person is None or not person.active:
            raise CommandRefused("This account is not active any longer.", reason="not_active")
        return actor_of(person)

    async def proven(self, station: str, proof: Proof, *, for_what: str) -> Actor:
        """The person of a proof given with a command; a password counts as more than a PIN."""
        kind, secret = ("password", proof.password) if proof.password else ("pin", proof.pin)
        what = "signature" if kind == "password" else for_what
        person = await self._prove(station, proof.person, secret, for_what=what)
        return replace(actor_of(person), proof=kind)

    async def _prove(self, station: str, handle: str, secret: str, *, for_what: str) -> Person:
        try:
            attempt = self._authentication.prepare(handle, for_what=for_what, now_s=self.now_s())
            try:
                correct = await asyncio.to_thread(verify_secret, attempt.verifier, secret, self._secret)
            except BaseException:
                self._authentication.drop(attempt)
                raise
            return self._authentication.conclude(attempt, correct, now_s=self.now_s())
        except SignInRefused as refused:
            event = ev.SignInRefused(
                person=refused.person,
                station=station,
                reason=refused.reason,
                failures=refused.failures,
                locked=refused.locked,
                for_what=for_what,
            )
            await self._commit([event], "unit")
            raise


def actor_of(person: Person) -> Actor:
    """The domain's view of a person."""
    return Actor(person.id, person.name, tuple(person.roles))
