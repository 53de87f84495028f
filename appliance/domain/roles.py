"""One table of roles, one list of meanings, and who may ask for what (SAFETY, "People")."""

from __future__ import annotations

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

MAY: dict[str, frozenset[str]] = {
    "open_batch": frozenset({"operator", "supervisor"}),
    "answer": frozenset({"operator", "verifier", "supervisor"}),
    "scan": frozenset({"operator", "supervisor"}),
    "hold": frozenset({"operator", "verifier", "supervisor"}),
    "restart": frozenset({"operator", "supervisor"}),
    "abort_batch": frozenset({"supervisor"}),
    "release_stop": frozenset({"operator", "supervisor"}),
    "acknowledge_alarm": frozenset({"operator", "verifier", "supervisor", "maintenance"}),
    "unlock_account": frozenset({"administrator"}),
    "confirm_time": frozenset({"operator", "supervisor", "administrator"}),
    "comment": frozenset(set(ROLES) - {"auditor"}),
}

WORK_ROLES = ("operator", "supervisor")
VERIFY_ROLES = ("verifier", "operator", "supervisor")


@dataclass(frozen=True, slots=True)
class Actor:
    """A person whose identity was proven for this act; `proof` is session, pin or password."""

    id: str
    name: str
    roles: tuple[str, ...]
    proof: str = "session"

    def may(self, command: str) -> bool:
        return bool(MAY[command] & set(self.roles))
