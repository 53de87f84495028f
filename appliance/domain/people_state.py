"""The people of the unit, folded from the record: accounts, training, permissions, emergency.

The signed documents say who may do what; which of them hold is on record, so the same record
gives the same answers on any machine (R-19). No secret and no verifier is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from appliance.domain import events as ev
from appliance.domain.event import Event
from appliance.domain.roles import MAY, MAY_MEAN, narrowed

ANY_VERSION = "*"


@dataclass(frozen=True, slots=True)
class Training:
    """A person was trained for a recipe, until the end of a day (UTC); `by` is who says so."""

    recipe: str
    version: str
    until: str
    by: str

    @property
    def ends_at(self) -> datetime:
        return datetime.combine(date.fromisoformat(self.until), time.max, UTC)

    def covers(self, recipe: str, version: str) -> bool:
        return self.recipe == recipe and self.version in (ANY_VERSION, version)


@dataclass(frozen=True, slots=True)
class Account:
    """A named account as the record tells it."""

    id: str
    name: str
    roles: tuple[str, ...]
    active: bool
    identity_confirmed_by: str = ""
    identity_confirmed_at: str = ""
    training: tuple[Training, ...] = ()

    @classmethod
    def of(cls, event: ev.AccountSet) -> Account:
        training = tuple(Training(**one) for one in event.training)
        return cls(
            event.person,
            event.name,
            tuple(event.roles),
            event.active,
            event.identity_confirmed_by,
            event.identity_confirmed_at,
            training,
        )


@dataclass(frozen=True, slots=True)
class Changed:
    """A secret that was changed at the unit: marks of the verifiers before and after."""

    replaces: str
    mark: str


@dataclass(slots=True)
class PeopleState:
    """Who may act on this unit. Before a first list is on record (`listed`) nobody is judged by it."""

    # A batch's archive alone: it tells what changed since its opening and not whom the list held before.
    partial: bool = False
    accounts: dict[str, Account] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    disabled: dict[str, str] = field(default_factory=dict)  # person → source: unit or revocation
    permissions: dict[str, frozenset[str]] = field(default_factory=lambda: dict(MAY))
    meanings: dict[str, frozenset[str]] = field(default_factory=lambda: dict(MAY_MEAN))
    secrets: dict[str, int] = field(default_factory=dict)
    roles_applied: ev.RolesApplied | None = None
    documents: dict[str, ev.DocumentActivated] = field(default_factory=dict)  # type → newest activated
    changed: dict[tuple[str, str], Changed] = field(default_factory=dict)  # (person, factor)
    badges: dict[str, tuple[str, str]] = field(default_factory=dict)  # temporary badge → (person, expiry)
    withdrawn: dict[str, str] = field(default_factory=dict)  # badge → person
    emergency: ev.EmergencyOpened | None = None
    emergency_at: datetime | None = None
    emergency_count: int = 0
    emergency_openers: set[str] = field(default_factory=set)  # of any emergency of this unit

    @property
    def listed(self) -> bool:
        """Whether a list of people is on record."""
        return bool(self.accounts)

    def version(self, document_type: str) -> int:
        """The highest version of a document that was ever activated here; 0 for none."""
        activated = self.documents.get(document_type)
        return activated.version if activated is not None else 0

    def is_active(self, person: str) -> bool:
        """Whether this account may act: on the list, active there, and disabled by nobody."""
        if person in self.disabled:
            return False
        account = self.accounts.get(person)
        return account.active if account is not None else not self.knows_all

    @property
    def knows_all(self) -> bool:
        """Whether somebody who is not among the accounts is on no list."""
        return self.listed and not self.partial

    def take(self, event: Event, at: datetime) -> None:
        """Fold one event of that time; kinds that say nothing of people change nothing."""
        match event:
            case ev.AccountSet():
                self.accounts[event.person] = Account.of(event)
            case ev.AccountRemoved(person=person):
                self.accounts.pop(person, None)
                self.retired.add(person)
            case ev.RolesApplied():
                self._apply_roles(event)
            case ev.DocumentActivated():
                self.documents[event.type] = event
            case ev.AccountDisabled(person=person, source=source):
                self.disabled[person] = source
            case ev.AccountEnabled(person=person):
                self.disabled.pop(person, None)
            case ev.SecretChanged():
                self.changed[event.person, event.factor] = Changed(event.replaces, event.mark)
            case ev.BadgeIssued():
                self.badges[event.badge] = (event.person, event.expires_at)
            case ev.BadgeWithdrawn(badge=badge, person=person):
                self.badges.pop(badge, None)
                self.withdrawn[badge] = person
            case ev.EmergencyOpened():
                self.emergency, self.emergency_at = event, at
                self.emergency_count += 1
                self.emergency_openers |= {event.first_person, event.second_person}
            case ev.EmergencyEnded():
                self.emergency = self.emergency_at = None
            case ev.BatchOpened():
                self.emergency_openers.clear()
            case _:
                pass

    def _apply_roles(self, event: ev.RolesApplied) -> None:
        self.roles_applied = event
        # An act that is younger than the table stands in it as the upper bound says.
        said = {name: frozenset(roles) for name, roles in event.permissions.items()}
        self.permissions = narrowed(said, MAY)
        self.meanings = {name: frozenset(roles) for name, roles in event.meanings.items()}
        self.secrets = dict(event.secrets)
