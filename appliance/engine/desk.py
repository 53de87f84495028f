"""Who acts: sessions of stations, PINs and passwords, lock-outs. Argon2 runs beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec

from appliance.access.authentication import Authentication
from appliance.access.errors import SignInRefused
from appliance.access.local_secrets import FACTORS, LocalSecret, LocalSecrets, mark_of
from appliance.access.lockouts import AccessRules, Factor, Lockouts
from appliance.access.people import People, Person
from appliance.access.secret_hash import cost_of, hash_secret, verify_secret
from appliance.access.secret_rules import CHANGE_FIRST, age_unjudged, check_strength, must_change
from appliance.access.sessions import Session, Sessions
from appliance.access.site_roles import SecretRules
from appliance.config import UnitConfig
from appliance.domain import events as ev
from appliance.domain import people_rules
from appliance.domain.batch import Unit
from appliance.domain.errors import CommandRefused, NotPermitted, NotSignedIn
from appliance.domain.roles import EMERGENCY, Actor
from appliance.engine.clock import Clock
from appliance.link.messages import Proof

_NS = 1_000_000_000
Commit = Callable[[list[ev.Event], str], Awaitable[None]]


class Desk:
    """People at stations.

    Parameters
    ----------
    people
        The signed list that holds.
    keys
        The folder of the unit's keys, where secrets that people set themselves are kept.
    commit
        Puts events on record with an actor.
    """

    def __init__(
        self,
        people: People,
        secret: bytes,
        config: UnitConfig,
        *,
        unit: Unit,
        clock: Clock,
        keys: Path,
        commit: Commit,
    ) -> None:
        rules = AccessRules(
            failures_max=config.session.lock_out_failures, idle_lock_s=config.session.idle_lock_min * 60.0
        )
        self._signed, self._secret, self._unit, self._clock = people, secret, unit, clock
        self._local = LocalSecrets(keys)
        self.lockouts = Lockouts(rules)
        self.sessions = Sessions(rules)
        self._authentication = Authentication(people, self.lockouts)
        self._commit = commit
        self._changing = asyncio.Lock()
        self._owed: dict[str, dict[Factor, str]] = {}  # person → secrets to change first, and why
        self.refresh()

    def now_s(self) -> float:
        """Real monotonic time (SAFETY 5)."""
        return self._clock.monotonic_ns() / _NS

    @property
    def people(self) -> People:
        """The people as they are now: secrets they set here, and nobody active who is disabled."""
        return self._authentication.people

    @property
    def _time_trusted(self) -> bool:
        return self._clock.trust() == "trusted" or self._unit.time_confirmed

    @property
    def secret_rules(self) -> SecretRules:
        return SecretRules.of(self._unit.people.secrets)

    def refresh(self, signed: People | None = None) -> None:
        """Take in a list that was activated, or what the record has said since about accounts."""
        self._signed = signed or self._signed
        state = self._unit.people
        here = self._local.applied_to(self._signed, state.changed)
        self._authentication.people = msgspec.structs.replace(
            here,
            people=tuple(
                one if state.is_active(one.id) else msgspec.structs.replace(one, active=False)
                for one in here.people
            ),
        )

    async def close_inactive(self) -> None:
        """Sign out whoever may not act any longer, on record (SAFETY 21)."""
        for station, person in self.sessions.people_at().items():
            found = self.people.person(person)
            if person != EMERGENCY and (found is None or not found.active):
                await self.sign_out(station, "account not active")

    # ── Sessions ───────────────────────────────────────────────────────────────────────

    async def sign_in(self, station: str, handle: str, pin: str) -> Person:
        """Open a session; raises `SignInRefused`, which is on record."""
        person = await self._prove(station, handle, pin, for_what="sign_in")
        rules, trusted = self.secret_rules, self._time_trusted
        owed = {
            factor: why
            for factor in FACTORS
            if (why := must_change(factor, person, rules, self._clock.utc(), time_trusted=trusted))
        }
        self._owed.pop(person.id, None)
        if owed:
            self._owed[person.id] = owed
        unjudged = age_unjudged("pin", person, rules, time_trusted=trusted)
        note = "The age of the PIN was not judged: the clock is not trusted." if unjudged else ""
        events = self._opened(station, person.id)
        events.append(ev.SessionOpened(person=person.id, name=person.name, station=station, note=note))
        await self._commit(events, person.id)
        return person

    def _opened(self, station: str, person: str) -> list[ev.Event]:
        opened = self.sessions.open(station, person, self.now_s())
        if opened.closed_person is None:
            return []
        return [ev.SessionClosed(person=opened.closed_person, station=station, why="replaced")]

    async def sign_out(self, station: str, why: str) -> None:
        person = self.sessions.close(station)
        if person is not None:
            await self._commit([ev.SessionClosed(person=person, station=station, why=why)], person)

    async def lock(self, station: str) -> None:
        person = self.sessions.lock(station)
        if person is not None:
            await self._commit([ev.SessionClosed(person=person, station=station, why="locked")], person)

    async def watch_time(self) -> bool:
        """Lock idle stations, which no user can switch off (R-33); end an emergency that is over."""
        over = self._emergency_over()
        if over:
            await self._commit(over, "unit")
        locked = self.sessions.lock_idle(self.now_s())
        for session in locked:
            event = ev.SessionClosed(person=session.person, station=session.station, why="idle")
            await self._commit([event], session.person)
        return bool(locked or over)

    def session_at(self, station: str) -> Session | None:
        return self.sessions.at(station, self.now_s())

    def acting(self, station: str, *, owing: bool = False) -> Actor:
        """The signed-in person of a station; raises `NotSignedIn`.

        Parameters
        ----------
        owing
            Also somebody who must change a secret before anything else.
        """
        id = self.sessions.acting(station, self.now_s())
        if id == EMERGENCY:
            return self._emergency_actor(station)
        person = self.people.person(id)
        if person is None or not person.active:
            raise CommandRefused("This account is not active any longer.", reason="not_active")
        if not owing and self.owes(person.id):
            raise CommandRefused(_words_of_owed(self._owed[person.id]), reason=CHANGE_FIRST)
        return actor_of(person)

    def owes(self, person: str) -> list[Factor]:
        """The secrets that this person must change before anything else."""
        return list(self._owed.get(person, {}))

    async def proven(self, station: str, proof: Proof, *, for_what: str) -> Actor:
        """The person of a proof given with a command; a password counts as more than a PIN."""
        kind: Factor = "password" if proof.password else "pin"
        what = "signature" if kind == "password" else for_what
        person = await self._prove(station, proof.person, proof.password or proof.pin, for_what=what)
        self._refuse_unchanged(person, kind)
        return replace(actor_of(person), proof=kind)

    def _refuse_unchanged(self, person: Person, factor: Factor) -> None:
        """A one-time or aged secret proves nothing but that its person may change it."""
        rules, trusted = self.secret_rules, self._time_trusted
        why = must_change(factor, person, rules, self._clock.utc(), time_trusted=trusted)
        if why:
            raise CommandRefused(_words_of_owed({factor: why}), reason=CHANGE_FIRST)
        if factor == "password" and age_unjudged(factor, person, rules, time_trusted=trusted):
            raise CommandRefused(
                "This unit's clock is not trusted, so it cannot tell whether the password is too old. "
                "Two persons enter the time of a reference clock first.",
                reason="time_untrusted",
            )

    # ── A person changes a secret ──────────────────────────────────────────────────────

    async def change_secret(self, station: str, proof: Proof) -> None:
        """The signed-in person sets another PIN or password; nobody does so for somebody else (R-28).

        Raises
        ------
        SignInRefused, PeopleRefused, NotPermitted
            The old one is wrong, the new one is weak or was used before, or it is another's account.
        """
        actor = self.acting(station, owing=True)
        factor: Factor = "password" if proof.password else "pin"
        meant = self.people.find(proof.person)
        if actor.is_emergency or meant is None or meant.id != actor.id:
            raise NotPermitted("Each person changes their own PIN and password, signed in.")
        for_what = "change_secret by signature" if factor == "password" else "change_secret"
        async with self._changing:
            old = proof.password or proof.pin
            person = await self._prove(station, actor.id, old, for_what=for_what)
            check_strength(factor, proof.new, person, self.secret_rules)
            await asyncio.to_thread(self._refuse_used, person, factor, proof.new)
            await self._keep(person, factor, proof.new)
        owed = self._owed.get(person.id, {})
        owed.pop(factor, None)
        if not owed:
            self._owed.pop(person.id, None)

    def _refuse_used(self, person: Person, factor: Factor, new: str) -> None:
        entry, now = self._local.of(person.id, factor), str(getattr(person, factor))
        earlier = (entry.history if entry else ())[: self.secret_rules.history]
        if any(verify_secret(one, new, self._secret) for one in (now, *earlier)):
            raise CommandRefused("This one was used before. Choose another one.", reason="secret_used")

    async def _keep(self, person: Person, factor: Factor, new: str) -> None:
        """Keep the verifier, then the fact; when the fact cannot be recorded the old one holds."""
        signed = self._signed.person(person.id)
        assert signed is not None, "the effective list holds nobody else"
        listed, now = str(getattr(signed, factor)), str(getattr(person, factor))
        before = self._local.of(person.id, factor)
        verifier = await asyncio.to_thread(hash_secret, new, self._secret, cost_of(now))
        history = (now, *(before.history if before else ()))[: max(self.secret_rules.history, 1)]
        entry = LocalSecret(
            person=person.id,
            factor=factor,
            replaces=mark_of(listed),
            verifier=verifier,
            set_at=self._clock.utc(),
            people_version=self._signed.version,
            why=self._owed.get(person.id, {}).get(factor, "own_wish"),
            history=history,
        )
        await asyncio.to_thread(self._local.put, entry)
        try:
            await self._commit([changed_event(entry)], person.id)
        except BaseException:
            await asyncio.to_thread(self._local.put_back, person.id, factor, before)
            raise
        self.refresh()

    def unrecorded_changes(self) -> list[ev.Event]:
        """Secrets that were kept and whose fact a power cut took: to be recorded at the start."""
        recorded = self._unit.people.changed
        return [
            changed_event(one)
            for one in self._local.entries()
            if (known := recorded.get((one.person, one.factor))) is None
            or known.mark != mark_of(one.verifier)
        ]

    # ── The emergency account ──────────────────────────────────────────────────────────

    def refuse_while_staffed(self) -> None:
        """The emergency account is for when nobody with the needed role can sign in (SAFETY 20)."""
        now_s = self.now_s()
        for station, person in self.sessions.people_at().items():
            session, found = self.sessions.at(station, now_s), self.people.person(person)
            able = found is not None and found.active and {"operator", "supervisor"} & set(found.roles)
            if able and found is not None and session is not None and not session.locked:
                raise CommandRefused(
                    f"{found.name} is signed in at {station} and may act. The emergency account is for when "
                    "nobody can.",
                    reason="not_needed",
                )

    async def open_emergency_session(self, station: str) -> None:
        """The emergency account takes the station, once it is open on record."""
        opened = self._unit.people.emergency
        if opened is None:
            raise CommandRefused("No emergency account is open.", reason="not_open")
        events = self._opened(station, EMERGENCY)
        name = emergency_name(opened)
        events.append(ev.SessionOpened(person=EMERGENCY, name=name, station=station))
        await self._commit(events, EMERGENCY)

    async def reopen_emergency_session(self, station: str, proof: Proof) -> None:
        """One of its two people takes a locked or lost session up again with the own PIN."""
        opened = self._unit.people.emergency
        person = await self._prove(station, proof.person, proof.pin, for_what="sign_in")
        if opened is None or person.id not in (opened.first_person, opened.second_person):
            raise NotPermitted("Only the two people who opened the emergency account may go on with it.")
        self._refuse_unchanged(person, "pin")
        await self.open_emergency_session(station)

    def _emergency_actor(self, station: str) -> Actor:
        opened = self._unit.people.emergency
        if opened is None or self._emergency_over():
            self.sessions.close(station)
            raise NotSignedIn("The emergency account is closed. Sign in with your own account.")
        return Actor(EMERGENCY, emergency_name(opened), (EMERGENCY,))

    def _emergency_over(self) -> list[ev.Event]:
        clock = self._clock
        return people_rules.emergency_over(
            self._unit, monotonic_ns=clock.monotonic_ns(), boot_id=clock.boot_id().hex(), now=clock.utc()
        )

    # ── Proof ──────────────────────────────────────────────────────────────────────────

    def whose(self, handle: str) -> str:
        """The id behind a handle: a temporary badge names its person, a withdrawn one names nobody."""
        state, handle = self._unit.people, handle.strip()
        if handle in state.withdrawn:
            return ""
        temporary = state.badges.get(handle)
        if temporary is not None:
            person, expires_at = temporary
            # Without trusted time a temporary badge names nobody: type the name instead (SAFETY 17).
            holds = self._time_trusted and datetime.fromisoformat(expires_at) > self._clock.utc()
            return person if holds else ""
        found = self.people.find(handle)
        return found.id if found is not None else ""

    async def _prove(self, station: str, handle: str, secret: str, *, for_what: str) -> Person:
        try:
            attempt = self._authentication.prepare(self.whose(handle), for_what=for_what, now_s=self.now_s())
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
            events: list[ev.Event] = [event]
            if refused.locked and refused.reason == "wrong_secret":
                events += people_rules.locked_out(self._unit, refused.person, refused.failures)
            await self._commit(events, "unit")
            raise


def actor_of(person: Person) -> Actor:
    """The domain's view of a person."""
    return Actor(person.id, person.name, tuple(person.roles))


def changed_event(entry: LocalSecret) -> ev.SecretChanged:
    """The fact of a changed secret, without the secret."""
    return ev.SecretChanged(
        person=entry.person,
        factor=entry.factor,
        why=entry.why,
        people_version=entry.people_version,
        replaces=entry.replaces,
        mark=mark_of(entry.verifier),
    )


def emergency_name(opened: ev.EmergencyOpened) -> str:
    """Both people behind the account, as every act on record names them."""
    return (
        f"Emergency account of {opened.first_name} ({opened.first_person}) "
        f"and {opened.second_name} ({opened.second_person})"
    )


def _words_of_owed(owed: dict[Factor, str]) -> str:
    what = " and ".join("PIN" if factor == "pin" else factor for factor in owed)
    why = "was issued for one use" if "one_time" in owed.values() else "is too old"
    return f"Your {what} {why}. Set another one before anything else."
