"""QA's signed review of a batch's audit trail: bound to the head that was seen, stale when more comes.

It is an entry of central's own log, which is chained; the unit's record is never edited. No release
is offered for signing before it holds (R-11, T36); a rejection needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from appliance.domain.events import NOT_A_CHANGE_AFTER_SEAL
from sync.central.store import CentralEvent

KIND = "AuditTrailReviewed"
REVIEWER_ROLE = "qa_reviewer"
WORDS_CHARACTERS_MAX = 2000


class AuditReview(msgspec.Struct, frozen=True, kw_only=True):
    """What was signed: the body of the event."""

    seq: int
    hash: str
    filters: str
    rows: int
    words: str
    name: str
    meaning: str = "reviewed"
    text: str = ""  # the same, for the list of notes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditState:
    """Whether the newest review covers what is held now."""

    state: str  # none holds stale
    words: str
    review: AuditReview | None = None
    person: str = ""
    at: str = ""

    @property
    def holds(self) -> bool:
        return self.state == "holds"


def audit_state(events: Sequence[CentralEvent], trail: Sequence[tuple[int, str, str, str]]) -> AuditState:
    """Judge the newest review.

    Parameters
    ----------
    trail
        Number, hash, kind and batch of each event held, in order.
    """
    newest = next((event for event in reversed(events) if event.kind == KIND), None)
    if newest is None:
        return AuditState(state="none", words="The audit trail was not reviewed yet.")
    review = msgspec.json.decode(newest.body, type=AuditReview)
    who = f"{review.name} ({newest.actor})"
    held = {seq: hash_ for seq, hash_, _, _ in trail}
    if held.get(review.seq) != review.hash:
        words = f"{who} reviewed another record than the one held now."
        return AuditState(state="stale", words=words, review=review, person=newest.actor, at=newest.at)
    later = [
        kind
        for seq, _, kind, batch in trail
        if seq > review.seq and batch and kind not in NOT_A_CHANGE_AFTER_SEAL
    ]
    if later:
        words = (
            f"Stale: {len(later)} events of this batch came after {who} reviewed up to event {review.seq}, "
            f"the first {later[0]}."
        )
        return AuditState(state="stale", words=words, review=review, person=newest.actor, at=newest.at)
    words = f"Reviewed by {who} up to event {review.seq}."
    return AuditState(state="holds", words=words, review=review, person=newest.actor, at=newest.at)
