"""Who may do what now, and what people decide about accounts, badges and emergencies.

Every rule is here or in `decisions`, none in a screen (F-099). All is pure: state, actor and now
in; events out, or a refusal in words.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from appliance.domain import events as ev
from appliance.domain import phase_states
from appliance.domain.batch import Unit
from appliance.domain.errors import CommandRefused, NotOpen, NotPermitted
from appliance.domain.people_state import Account
from appliance.domain.prompts import Prompt
from appliance.domain.roles import EMERGENCY, MAY, MAY_MEAN, Actor

REASON_LENGTH_MAX = 200
EMERGENCY_HOURS = 24
BADGE_HOURS_MAX = 72
SIGNED = ("signature", "second_signature")
OF_A_SECOND = ("second_person", "second_signature")


# ── May this person do this? ───────────────────────────────────────────────────────────


def permit(unit: Unit, actor: Actor, command: str) -> None:
    """Raises `NotPermitted` unless the account is active and one of its roles allows the command."""
    refuse_inactive(unit, actor)
    if actor.may(command, unit.people.permissions):
        return
    if actor.is_emergency:
        raise NotPermitted(
            "The emergency account may stop, hold, secure the product and finish what runs, nothing else. "
            "Ask a person with the right role."
        )
    raise NotPermitted(f"{actor.name} may not do this. Ask a person with the right role.")


def refuse_inactive(unit: Unit, actor: Actor) -> None:
    """A disabled or revoked account does nothing from then on, whatever session it has (SAFETY 21)."""
    people = unit.people
    if not actor.is_emergency:
        if not people.is_active(actor.id):
            raise NotPermitted(
                f"The account of {actor.name} is not active any longer. Call the administrator.",
                reason="not_active",
            )
        return
    opened = people.emergency
    if opened is None:
        raise NotPermitted("No emergency account is open.", reason="not_active")
    for person in (opened.first_person, opened.second_person):
        if not people.is_active(person):
            raise NotPermitted(
                "One of the two people who opened the emergency account is not active any longer. "
                "Two others must open it.",
                reason="not_active",
            )


def permit_answer(unit: Unit, prompt: Prompt, actor: Actor, now: datetime) -> None:
    """Everything about the person that an answer to this prompt needs, besides the prompt's own rules."""
    permit(unit, actor, "answer")
    if actor.is_emergency:
        _permit_emergency(unit, prompt)
        return
    assert unit.batch is not None
    refuse_untrained(unit, actor, unit.batch.recipe.id, unit.batch.recipe.version, now)
    if EMERGENCY in prompt.not_by and actor.id in unit.people.emergency_openers:
        raise NotPermitted(
            f"{actor.name} opened the emergency account that did the first part. "
            "A different person must do this.",
            reason="same_person",
        )
    if prompt.needs in SIGNED:
        permit_signature(unit, actor, prompt.meaning)


def permit_signature(unit: Unit, actor: Actor, meaning: str) -> None:
    """A signature needs an identity that an administrator confirmed, and a role for its meaning (R-26)."""
    refuse_inactive(unit, actor)
    if actor.is_emergency:
        raise NotPermitted("The emergency account signs nothing. A named person must sign.")
    account = unit.people.accounts.get(actor.id)
    if account is not None and not account.identity_confirmed_by:
        raise NotPermitted(
            f"{actor.name} may not sign yet: no administrator has confirmed who {actor.name} is. "
            "Call the administrator.",
            reason="identity_not_confirmed",
        )
    if meaning and not actor.may_mean(meaning, unit.people.meanings):
        raise NotPermitted(f"{actor.name} may not sign with the meaning '{meaning}'.")


def _permit_emergency(unit: Unit, prompt: Prompt) -> None:
    opened = unit.people.emergency
    assert opened is not None, "permit has looked"
    if prompt.needs != "session":
        raise NotPermitted(
            "The emergency account verifies and signs nothing. A named person must do this.",
            reason="not_permitted",
        )
    if prompt.phase not in opened.phases:
        raise NotPermitted(
            "The emergency account may finish what was under way when it was opened, and start nothing else."
        )


def refuse_untrained(unit: Unit, actor: Actor, recipe: str, version: str, now: datetime) -> None:
    """Only people with a valid training record for this version of the recipe run or sign it (R-18)."""
    account = unit.people.accounts.get(actor.id)
    if actor.is_emergency or account is None:
        return  # the emergency is an exception in the review; a record without a list judges nobody
    covering = [one for one in account.training if one.covers(recipe, version)]
    if not covering:
        raise NotPermitted(
            f"{actor.name} has no training record for {recipe} version {version}. "
            "Let a trained person do this, or tell the administrator of the training.",
            reason="not_trained",
        )
    if not unit.time_trusted:
        raise CommandRefused(
            "This unit's clock is not trusted, so it cannot tell whether the training is still valid. "
            "Two persons enter the time of a reference clock first.",
            reason="time_untrusted",
        )
    newest = max(covering, key=lambda one: one.ends_at)
    if newest.ends_at < now:
        raise NotPermitted(
            f"The training of {actor.name} for {recipe} ended on {newest.until}. "
            "Let a trained person do this.",
            reason="not_trained",
        )


# ── Lists that come to hold ────────────────────────────────────────────────────────────


def accounts_changed(unit: Unit, accounts: Iterable[Account], version: int) -> list[ev.Event]:
    """What the new list makes different: each account created, changed or removed (R-35)."""
    listed = {account.id: account for account in accounts}
    events: list[ev.Event] = []
    for account in listed.values():
        before = unit.people.accounts.get(account.id)
        if before != account:
            events.append(_account_set(account, "created" if before is None else "changed", version))
    gone = [person for person in unit.people.accounts if person not in listed]
    return [*events, *(ev.AccountRemoved(person=person, people_version=version) for person in gone)]


def _account_set(account: Account, change: str, version: int) -> ev.AccountSet:
    return ev.AccountSet(
        person=account.id,
        name=account.name,
        roles=list(account.roles),
        active=account.active,
        change=change,
        people_version=version,
        identity_confirmed_by=account.identity_confirmed_by,
        identity_confirmed_at=account.identity_confirmed_at,
        training=[
            {"recipe": one.recipe, "version": one.version, "until": one.until, "by": one.by}
            for one in account.training
        ],
    )


def revoked(unit: Unit, people: dict[str, str]) -> list[ev.Event]:
    """The newest revocation names everybody who is revoked (person → reason); nobody else is."""
    events: list[ev.Event] = [
        ev.AccountDisabled(person=person, reason=reason, source="revocation")
        for person, reason in people.items()
        if unit.people.disabled.get(person) != "revocation"
    ]
    lifted = [p for p, source in unit.people.disabled.items() if source == "revocation" and p not in people]
    words = "The newest revocation list names this person no longer."
    return [*events, *(ev.AccountEnabled(person=p, reason=words, source="revocation") for p in lifted)]


# ── Accounts ───────────────────────────────────────────────────────────────────────────


def locked_alarm(person: str) -> str:
    return f"people:locked:{person}"


def locked_out(unit: Unit, person: str, failures: int) -> list[ev.Event]:
    """The notice to the security role that an account is locked (R-31); it stands until it is unlocked."""
    account = unit.people.accounts.get(person)
    name = account.name if account is not None else person
    return [
        ev.SecurityNoticeRaised(
            alarm=locked_alarm(person),
            priority="medium",
            title=f"Account locked: {name}",
            cause=f"The PIN or password of {name} was wrong {failures} times.",
            action="An administrator finds out who tried, then unlocks or disables the account.",
        )
    ]


def unlock_account(unit: Unit, actor: Actor, person: str, reason: str) -> list[ev.Event]:
    """Open a locked account again; nobody opens their own."""
    permit(unit, actor, "unlock_account")
    _known(unit, person)
    if actor.id == person:
        raise NotPermitted("Another administrator must unlock this account.", reason="same_person")
    cleared = [ev.AlarmCleared(alarm=key) for key in unit.alarms if key == locked_alarm(person)]
    return [ev.AccountUnlocked(person=person, reason=_reason(reason)), *cleared]


def disable_account(unit: Unit, actor: Actor, person: str, reason: str) -> list[ev.Event]:
    """A lost badge, a PIN that others know: the account does nothing from the next act on (R-30)."""
    permit(unit, actor, "disable_account")
    _known(unit, person)
    if person in unit.people.disabled:
        raise NotOpen("This account is disabled already.")
    return [ev.AccountDisabled(person=person, reason=_reason(reason), source="unit")]


def enable_account(unit: Unit, actor: Actor, person: str, reason: str) -> list[ev.Event]:
    """Take a local disabling back; a revocation is lifted by a newer signed one and by nothing else."""
    permit(unit, actor, "enable_account")
    if actor.id == person:
        raise NotPermitted("Another administrator must enable this account.", reason="same_person")
    source = unit.people.disabled.get(person, "unit" if unit.people.partial else None)
    if source is None:
        raise NotOpen("This account is not disabled.")
    if source != "unit":
        raise NotPermitted("This account was revoked by a signed document. Only a newer one lifts that.")
    return [ev.AccountEnabled(person=person, reason=_reason(reason), source="unit")]


def _known(unit: Unit, person: str) -> None:
    if unit.people.knows_all and person not in unit.people.accounts:
        raise CommandRefused(f"There is no account {person[:32]} on this unit.", reason="not_plausible")


# ── Badges ─────────────────────────────────────────────────────────────────────────────


def issue_badge(
    unit: Unit,
    actor: Actor,
    person: str,
    badge: str,
    hours: int,
    reason: str,
    now: datetime,
    *,
    in_use_by: str = "",
) -> list[ev.Event]:
    """A temporary badge for a lost one; whoever gets it is another person than the one who gives it."""
    permit(unit, actor, "issue_badge")
    _known(unit, person)
    if actor.id == person:
        raise NotPermitted("Nobody issues a badge to themselves.", reason="same_person")
    if in_use_by or badge in unit.people.badges or badge in unit.people.withdrawn:
        raise CommandRefused("This badge was used before. Take an unused one.", reason="badge_used")
    if not 1 <= hours <= BADGE_HOURS_MAX:
        raise CommandRefused(f"A temporary badge holds 1 to {BADGE_HOURS_MAX} hours.", reason="not_plausible")
    expires = (now + timedelta(hours=hours)).isoformat()
    return [ev.BadgeIssued(person=person, badge=badge, expires_at=expires, reason=_reason(reason))]


def withdraw_badge(unit: Unit, actor: Actor, person: str, badge: str, reason: str) -> list[ev.Event]:
    """A lost badge names nobody from now on."""
    permit(unit, actor, "withdraw_badge")
    _known(unit, person)
    if badge in unit.people.withdrawn:
        raise NotOpen("This badge is withdrawn already.")
    return [ev.BadgeWithdrawn(person=person, badge=badge, reason=_reason(reason))]


def test_badge(unit: Unit, actor: Actor, person: str, found: str, why: str) -> list[ev.Event]:
    """Whether a badge names the person it should, at issue and periodically (R-32)."""
    permit(unit, actor, "test_badge")
    _known(unit, person)
    if why not in ("issue", "periodic"):
        raise CommandRefused("A badge is tested at 'issue' or 'periodic'.", reason="not_plausible")
    passed = found == person
    words = f"The badge names {person}." if passed else f"The badge does not name {person}. Replace it."
    return [ev.BadgeTested(person=person, why=why, passed=passed, words=words)]


# ── The emergency account (SAFETY 20) ──────────────────────────────────────────────────


def emergency_alarm(unit: Unit) -> str:
    return f"people:emergency:{unit.people.emergency_count}"


def open_emergency(
    unit: Unit, first: Actor, second: Actor, reason: str, *, station: str, monotonic_ns: int, boot_id: str
) -> list[ev.Event]:
    """Two different named people open it for the phases that are under way, on record and with an alarm."""
    permit(unit, first, "open_emergency")
    permit(unit, second, "open_emergency")
    if first.id == second.id:
        raise NotPermitted("A different person must open it too.", reason="same_person")
    if unit.people.emergency is not None:
        raise NotOpen("The emergency account is open already.")
    runs = [] if unit.batch is None or unit.batch.closed else list(unit.batch.runs.values())
    phases = [run.phase.id for run in runs if run.state in phase_states.ACTIVE]
    if not phases:
        raise NotOpen("No phase is under way that would have to be finished.")
    opened = ev.EmergencyOpened(
        first_person=first.id,
        first_name=first.name,
        second_person=second.id,
        second_name=second.name,
        reason=_reason(reason),
        station=station,
        phases=phases,
        monotonic_ns=monotonic_ns,
        boot_id=boot_id,
    )
    raised = ev.AlarmRaised(
        alarm=f"people:emergency:{unit.people.emergency_count + 1}",
        priority="medium",
        title="Emergency account open",
        cause=f"Opened by {first.name} and {second.name}: {opened.reason}",
        action="Finish what runs, then sign out. QA looks at every act.",
    )
    return [opened, raised]


def end_emergency(unit: Unit, actor: Actor) -> list[ev.Event]:
    """Whoever acts under it, or somebody entitled, closes it."""
    if unit.people.emergency is None:
        raise NotOpen("No emergency account is open.")
    permit(unit, actor, "end_emergency")
    return emergency_ended(unit, f"ended by {actor.name}")


def emergency_ended(unit: Unit, why: str) -> list[ev.Event]:
    """Its end, with its alarm; nothing when none is open."""
    if unit.people.emergency is None:
        return []
    cleared = [ev.AlarmCleared(alarm=key) for key in unit.alarms if key == emergency_alarm(unit)]
    return [ev.EmergencyEnded(why=why), *cleared]


def emergency_over(unit: Unit, *, monotonic_ns: int, boot_id: str, now: datetime) -> list[ev.Event]:
    """End it after 24 h of real time; after a reboot by trusted time alone, else at once (SAFETY 17)."""
    opened, at = unit.people.emergency, unit.people.emergency_at
    if opened is None or at is None:
        return []
    hours = timedelta(hours=EMERGENCY_HOURS)
    if opened.boot_id == boot_id:
        over = monotonic_ns - opened.monotonic_ns >= hours / timedelta(microseconds=1) * 1_000
        return emergency_ended(unit, f"{EMERGENCY_HOURS} h are over") if over else []
    if not unit.time_trusted:
        return emergency_ended(unit, "the control computer restarted and its clock is not trusted")
    return emergency_ended(unit, f"{EMERGENCY_HOURS} h are over") if now - at >= hours else []


# ── The tables ─────────────────────────────────────────────────────────────────────────


def built_in_roles(secrets: dict[str, int]) -> ev.RolesApplied:
    """The tables of this program, for a unit without a roles document of its own."""
    return ev.RolesApplied(
        version=0,
        document_hash="",
        permissions={name: sorted(roles) for name, roles in MAY.items()},
        meanings={name: sorted(roles) for name, roles in MAY_MEAN.items()},
        secrets=secrets,
    )


def _reason(text: str) -> str:
    text = text.strip()
    if not 3 <= len(text) <= REASON_LENGTH_MAX:
        raise CommandRefused(
            f"Give a reason of 3 to {REASON_LENGTH_MAX} characters.", reason="reason_missing"
        )
    return text
