"""One table of roles, one list of meanings, and who may ask for what (SAFETY, "People").

The tables here are the upper bound. A site's signed roles document may take a permission away
and can never add one; what holds on a unit is on its record as `RolesApplied`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROLES = (
    "operator",
    "verifier",
    "supervisor",
    "qa_reviewer",
    "qp",
    "recipe_developer",
    "integrator",
    "maintenance",
    "administrator",
    "auditor",
)
MEANINGS = (
    "performed",
    "verified",
    "reviewed",
    "approved",
    "rejected",
    "certified",
    "corrected",
    "acknowledged",
)
# Ids that stand for no person. No account may carry one.
UNIT_ACTOR = "unit"
EMERGENCY = "emergency"

Table = Mapping[str, frozenset[str]]

MAY: dict[str, frozenset[str]] = {
    "open_batch": frozenset({"operator", "supervisor"}),
    "answer": frozenset({"operator", "verifier", "supervisor"}),
    "scan": frozenset({"operator", "supervisor"}),
    "hold": frozenset({"operator", "verifier", "supervisor"}),
    "restart": frozenset({"operator", "supervisor"}),
    "abort_batch": frozenset({"supervisor"}),
    "hand_back_order": frozenset({"supervisor"}),
    "release_stop": frozenset({"operator", "supervisor"}),
    "acknowledge_alarm": frozenset({"operator", "verifier", "supervisor", "maintenance"}),
    "unlock_account": frozenset({"administrator"}),
    "disable_account": frozenset({"administrator", "supervisor"}),
    "enable_account": frozenset({"administrator"}),
    "issue_badge": frozenset({"administrator", "supervisor"}),
    "withdraw_badge": frozenset({"administrator", "supervisor"}),
    "test_badge": frozenset({"administrator", "supervisor"}),
    "change_secret": frozenset(ROLES),
    "unlock_identities": frozenset({"administrator", "supervisor"}),
    "erase_identity": frozenset({"administrator"}),
    "open_emergency": frozenset(set(ROLES) - {"auditor", "qp"}),  # a QP exists at central only
    "end_emergency": frozenset({"administrator", "supervisor"}),
    "confirm_time": frozenset({"operator", "supervisor", "administrator"}),
    "comment": frozenset(set(ROLES) - {"auditor"}),
    "correct": frozenset({"operator", "supervisor"}),
    "test_printer": frozenset({"operator", "supervisor", "maintenance"}),
    "qualify_device": frozenset({"maintenance"}),
    "qualify_count": frozenset({"maintenance"}),
    "receive_material": frozenset({"operator", "verifier", "supervisor"}),
    # By a person who did not receive it, which the rules of materials see to.
    "release_material": frozenset({"verifier", "supervisor", "qa_reviewer"}),
    "reject_material": frozenset({"verifier", "supervisor", "qa_reviewer"}),
    "book_out_material": frozenset({"supervisor"}),
    "recall_lot": frozenset({"supervisor", "qa_reviewer"}),
    "lift_recall": frozenset({"supervisor", "qa_reviewer"}),
    # To record it takes two of them; a withdrawal is on the safe side, and one suffices at once.
    "record_consent": frozenset({"operator", "verifier", "supervisor"}),
    "withdraw_consent": frozenset({"operator", "verifier", "supervisor", "qa_reviewer"}),
    # The second person of a qualification: whoever knows devices or answers for them.
    "confirm_qualification": frozenset(
        {"verifier", "supervisor", "qa_reviewer", "integrator", "maintenance"}
    ),
}

# Who may give a signature of which meaning.
MAY_MEAN: dict[str, frozenset[str]] = {
    "performed": frozenset({"operator", "verifier", "supervisor"}),
    "verified": frozenset({"operator", "verifier", "supervisor"}),
    "reviewed": frozenset({"supervisor", "qa_reviewer", "qp"}),
    "approved": frozenset({"supervisor", "qa_reviewer", "recipe_developer"}),
    "rejected": frozenset({"qa_reviewer", "qp"}),
    "certified": frozenset({"qp"}),
    "corrected": frozenset({"operator", "verifier", "supervisor", "qa_reviewer"}),
    "acknowledged": frozenset(set(ROLES) - {"auditor"}),
}

# What two people may do under the emergency account (SAFETY 20); STOP needs no account at all.
EMERGENCY_MAY = frozenset(
    {"answer", "scan", "hold", "restart", "acknowledge_alarm", "comment", "end_emergency"}
)

WORK_ROLES = ("operator", "supervisor")
VERIFY_ROLES = ("verifier", "operator", "supervisor")


@dataclass(frozen=True, slots=True)
class Actor:
    """A person whose identity was proven for this act; `proof` is session, pin or password."""

    id: str
    name: str
    roles: tuple[str, ...]
    proof: str = "session"

    @property
    def is_emergency(self) -> bool:
        return self.id == EMERGENCY

    def may(self, command: str, table: Table = MAY) -> bool:
        """Whether one of the roles allows it, by the table that holds and by the upper bound."""
        if self.is_emergency:
            return command in EMERGENCY_MAY
        return bool(MAY[command] & table.get(command, MAY[command]) & set(self.roles))

    def may_mean(self, meaning: str, table: Table = MAY_MEAN) -> bool:
        """Whether one of the roles may sign with this meaning."""
        bound = MAY_MEAN.get(meaning, frozenset())
        return bool(bound & table.get(meaning, bound) & set(self.roles))


def widened(table: Table, bound: Table) -> list[str]:
    """What a site's table would add to the upper bound, each in words; an empty list is as it must be."""
    faults = [f"'{name}' is not known" for name in sorted(set(table) - set(bound))]
    for name in sorted(set(table) & set(bound)):
        more = sorted(table[name] - bound[name])
        faults += [f"'{name}' is given to {role}" for role in more]
    return faults


def narrowed(table: Table, bound: Table) -> dict[str, frozenset[str]]:
    """The whole table that holds: what the site says, and the upper bound where it says nothing."""
    return {name: roles & table.get(name, roles) for name, roles in bound.items()}
