"""Named accounts of QA reviewers and QPs at central: sign-in, lock-out, sessions.

A session is a row that can be ended; the cookie holds a secret of which only the hash is
kept. A central account opens the review. It certifies nothing: that takes the QP's own key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from appliance.access.secret_hash import check_password, dummy_verifier, hash_secret, verify_secret
from sync.acks import utc_text
from sync.central.store import Account, SessionRow, Store

ROLES = ("qa_reviewer", "qp")
FAILURES_MAX = 5
LOCK_FIRST = timedelta(minutes=15)
LOCK_MAX = timedelta(hours=24)
SESSION_IDLE = timedelta(minutes=30)

_NOBODY = dummy_verifier()
# One verification takes 64 MiB; a flood of sign-ins must not take all memory.
_AT_ONCE = threading.BoundedSemaphore(2)


class SignInRefused(Exception):
    """Nobody was signed in; the words do not tell whether the account exists."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who asks, and the token that every form of this session carries."""

    person: str
    name: str
    role: str
    form_token: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts in the store, passwords keyed by central's own secret."""

    store: Store
    secret: bytes

    def add(self, *, person: str, name: str, role: str, password: str, now: datetime) -> None:
        """Make an account, or give an existing one a new password; raises `PeopleRefused`."""
        assert role in ROLES, role
        check_password(password)
        verifier = hash_secret(password, self.secret)
        account = Account(person=person, name=name, role=role, verifier=verifier, failures=0, locked_until="")
        with self.store.transaction():
            self.store.put_account(account)
            self.store.add_event(
                at=utc_text(now), actor="administrator", kind="AccountSet", body=_who(person)
            )

    def sign_in(self, person: str, password: str, *, now: datetime) -> tuple[str, SignedIn]:
        """Open a session; returns the cookie's secret and who it is.

        Raises
        ------
        SignInRefused
            Unknown, wrong, or locked: each attempt is on record.
        """
        return self._open(self._proven(person, password, now), now)

    def prove(self, person: str, password: str, *, now: datetime) -> Account:
        """That this is the person, at this moment: for an act that is signed. Raises as `sign_in`."""
        account = self._proven(person, password, now)
        self.store.put_account(replace(account, failures=0, locked_until=""))
        return account

    def _proven(self, person: str, password: str, now: datetime) -> Account:
        account = self.store.account(person)
        # The same work for a stranger: time must not tell who has an account.
        with _AT_ONCE:
            right = verify_secret(account.verifier if account else _NOBODY, password, self.secret)
        if account is None:
            self._note(now, "SignInRefused", "unknown")
            raise SignInRefused("Name or password is wrong.")
        if account.locked_until > utc_text(now):
            self._note(now, "SignInRefused", person)
            raise SignInRefused(
                f"This account is locked until {account.locked_until[:16].replace('T', ' ')} UTC after "
                "too many wrong passwords. Wait, or ask the administrator for a new password."
            )
        if not right:
            self._failed(account, now)
            raise SignInRefused("Name or password is wrong.")
        return account

    def session(self, token: str, *, now: datetime) -> SignedIn | None:
        """Who a cookie belongs to, if its session is still open; being used keeps it open."""
        row = self.store.session(_hashed(token)) if token else None
        account = self.store.account(row.person) if row else None
        if row is None or account is None or row.expires_at <= utc_text(now):
            return None
        self.store.put_session(replace(row, expires_at=utc_text(now + SESSION_IDLE)))
        return SignedIn(account.person, account.name, account.role, row.form_token)

    def sign_out(self, token: str) -> None:
        self.store.end_session(_hashed(token))

    def _open(self, account: Account, now: datetime) -> tuple[str, SignedIn]:
        token, form_token = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        session = SessionRow(
            token_hash=_hashed(token),
            person=account.person,
            form_token=form_token,
            expires_at=utc_text(now + SESSION_IDLE),
        )
        with self.store.transaction():
            self.store.put_account(replace(account, failures=0, locked_until=""))
            self.store.end_sessions_before(utc_text(now))
            self.store.put_session(session)
            self._note(now, "SessionOpened", account.person)
        return token, SignedIn(account.person, account.name, account.role, form_token)

    def _failed(self, account: Account, now: datetime) -> None:
        failures = account.failures + 1
        until = ""
        if failures >= FAILURES_MAX:
            until = utc_text(now + min(LOCK_MAX, LOCK_FIRST * 2 ** min(failures - FAILURES_MAX, 10)))
        with self.store.transaction():
            self.store.put_account(replace(account, failures=failures, locked_until=until))
            self._note(now, "AccountLocked" if until else "SignInRefused", account.person)

    def _note(self, now: datetime, kind: str, person: str) -> None:
        self.store.add_event(at=utc_text(now), actor="central", kind=kind, body=_who(person))


def token_matches(given: str, expected: str) -> bool:
    """Compare form tokens in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _who(person: str) -> str:
    return f'{{"person":"{person}"}}' if person.replace("-", "").replace(".", "").isalnum() else "{}"


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
