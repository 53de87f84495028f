"""What the unit remembers of orders from batch to batch: assignments, hand-backs, words of central."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain import events as ev

SECOND_USE = "second_use"  # the reason of a hold


@dataclass(slots=True)
class OrderBook:
    """Folded from events; the highest version ever seen of each thing."""

    assigned: dict[str, ev.OrderAssigned] = field(default_factory=dict)  # order → highest assignment
    handed_back: dict[str, int] = field(default_factory=dict)  # order → highest assignment given up
    words: dict[str, int] = field(default_factory=dict)  # type:document → highest version
    hashes: dict[str, str] = field(default_factory=dict)  # the same → hash of that version
    notices: dict[str, int] = field(default_factory=dict)  # second use → highest version
    to_hold: dict[str, str] = field(default_factory=dict)  # batch → why it is to be held, until it is

    def recall_is_over(self, lot: str) -> bool:
        """Whether QA's own signed word ended the newest signed recall of this lot."""
        return self.words.get(f"recall_lift:{lot}", 0) >= self.words.get(f"recall:{lot}", 1)

    def take(self, event: ev.Event, batch: str | None) -> None:
        """Fold one event; kinds that say nothing of orders change nothing."""
        match event:
            case ev.OrderAssigned(order=order, assignment=assignment):
                known = self.assigned.get(order)
                if known is None or known.assignment < assignment:
                    self.assigned[order] = event
            case ev.OrderHandedBack(order=order, assignment=assignment):
                self.handed_back[order] = max(assignment, self.handed_back.get(order, 0))
            case ev.SecondUseNoticed(notice=notice, version=version, batches=batches, words=words):
                self.notices[notice] = max(version, self.notices.get(notice, 0))
                self.to_hold |= dict.fromkeys(batches, words)
            case ev.CentralWordTaken(type=type, document=document, version=version, content_hash=hash_):
                key = f"{type}:{document}"
                if version >= self.words.get(key, 0):
                    self.words[key], self.hashes[key] = version, hash_
            case ev.PhaseHolding(reason=reason) if reason == SECOND_USE and batch is not None:
                self.to_hold.pop(batch, None)
            case _:
                pass
