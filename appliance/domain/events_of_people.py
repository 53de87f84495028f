"""Events of people: sessions, refusals, accounts, second persons and signatures."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    person: str
    name: str
    station: str
    note: str = ""  # what could not be judged at this sign-in, such as the age of a PIN


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    person: str
    station: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRefused(Event):
    person: str
    station: str
    reason: str  # wrong_secret unknown_person locked_out delayed not_permitted
    failures: int
    locked: bool
    for_what: str = "sign_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTaken(Event):
    """What people asked for, first in the commit of what follows from it; no secret comes with it."""

    name: str
    body: dict[str, str]  # what is no text stands as JSON
    values: dict[str, str]
    station: str
    people: list[dict[str, str]]  # who was proven, in the order of the command: id name roles proof


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUnlocked(Event):
    person: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeConfirmed(Event):
    """Two persons compared this unit's clock with a reference clock (SAFETY 17)."""

    reference_at: str
    difference_s: int
    first_person: str
    second_person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondPersonConfirmed(Event):
    phase: str
    key: str
    person: str
    first_person: str
    signs: str = ""  # SHA-256 of `content`
    content: str = ""  # the facts that were shown, exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureGiven(Event):
    """Bound to SHA-256 of exactly the bytes signed; the unit's chain and segments seal it."""

    phase: str
    key: str
    person: str
    name: str
    meaning: str
    signs: str
    what: str
    at: str
    content: str  # the exact text that was signed


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionProposed(Event):
    """A person asks to correct what was entered; it holds only once a second person has looked (R-17)."""

    phase: str
    key: str
    values: dict[str, str]  # field → new value
    reason: str
    corrected_seq: int
    person: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstActLapsed(Event):
    """No second person came in time: what the first one did at `first_seq` counts for nothing (F-058)."""

    phase: str
    key: str
    person: str
    first_seq: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCorrected(Event):
    """A value that a person entered was corrected; the event `corrected_seq` keeps the original (R-09)."""

    phase: str
    key: str
    field: str
    old: str
    new: str
    unit: str
    reason: str
    corrected_seq: int
    person: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureVoided(Event):
    """What the signature at `signed_seq` covered was changed by the event `because_seq`; sign again."""

    phase: str
    key: str
    person: str
    signed_seq: int
    because_seq: int
    words: str


# ── The lists of people and roles that hold ────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSet(Event):
    """An account was created or changed by this version of the people document (R-19, R-35)."""

    person: str
    name: str
    roles: list[str]
    active: bool
    change: str  # created changed
    people_version: int
    identity_confirmed_by: str = ""
    identity_confirmed_at: str = ""
    training: list[dict[str, str]] = field(default_factory=list)  # recipe version until by


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRemoved(Event):
    """An account is no longer on the list; its id is never given to anybody else (R-25)."""

    person: str
    people_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesApplied(Event):
    """Who may do what from here on: the whole table, and the signed document that it comes from."""

    version: int  # 0: no document, the built-in table
    document_hash: str
    permissions: dict[str, list[str]]
    meanings: dict[str, list[str]]
    secrets: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDisabled(Event):
    """From the next act on this person does nothing here (SAFETY 21)."""

    person: str
    reason: str
    source: str  # unit revocation


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEnabled(Event):
    person: str
    reason: str
    source: str


# ── Secrets and badges ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChanged(Event):
    """A person set their own PIN or password. The marks are of verifiers and tell nothing of the secret."""

    person: str
    factor: str  # pin password
    why: str  # one_time aged own_wish
    people_version: int
    replaces: str  # mark of the verifier on the signed list
    mark: str  # mark of the verifier that holds


@dataclass(frozen=True, slots=True, kw_only=True)
class BadgeTested(Event):
    person: str
    why: str  # issue periodic
    passed: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadgeIssued(Event):
    """A temporary badge for a lost one; it only names the person and opens nothing by itself."""

    person: str
    badge: str
    expires_at: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadgeWithdrawn(Event):
    person: str
    badge: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityNoticeRaised(Event):
    """An alarm for the security role that says nothing of a product, so it changes no sealed record."""

    alarm: str
    priority: str
    title: str
    cause: str
    action: str


# ── The emergency account ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyOpened(Event):
    """Two people opened the emergency account for the phases that were under way (SAFETY 20)."""

    first_person: str
    first_name: str
    second_person: str
    second_name: str
    reason: str
    station: str
    phases: list[str]
    monotonic_ns: int
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyEnded(Event):
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitiesUnlocked(Event):
    """Patients' identities can be read again after a start; the passphrase was given by a person."""

    person: str
    station: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityErased(Event):
    """Name and bedside pictures of a pseudonym were made unreadable; the record stays as it is."""

    patient: str
    person: str
    reason: str
