"""How many labels of a job are out: not what was sent, but what the printer counted and holds no more."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.printers.zpl_answers import HostStatus


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the printer: its status, and its count of labels where a job is counted by it."""

    status: HostStatus
    odometer: int | None


@dataclass(slots=True)
class SentJob:
    """What was sent last, and how far it came."""

    job: str
    copies: int
    odometer_before: int | None  # None: counted by the batch alone
    done: int = 0
    ended: bool = False  # all came out, or what is left was cancelled or lost
    seen_busy: bool = False
    surplus: int = 0  # what the odometer counted beyond the copies
    cut_off: bool = False  # the printer was out of reach for so long that it may have lost its power

    def take(self, look: Look) -> None:
        """Note how many labels are out. They only ever become more.

        Out is what the odometer counted since, less what the batch still holds: one alone may lead by a
        label, and the odometer counts what is fed without print too: at a key, after loading, when the
        power comes back. So an idle printer that was out of reach meanwhile is not counted on.
        """
        status = look.status
        self.cut_off = self.cut_off and status.state == "ready"
        if self.cut_off:
            return
        self.seen_busy = self.seen_busy or status.busy
        may_be_out = self._may_be_out(status)
        if self.odometer_before is not None and look.odometer is not None:
            counted = look.odometer - self.odometer_before
            self.surplus = max(self.surplus, counted - self.copies)
        elif status.batch > self.copies or not self.seen_busy or status.formats:
            counted = 0
        else:
            counted = may_be_out
        self.done = max(self.done, min(self.copies, may_be_out, max(0, counted)))

    def _may_be_out(self, status: HostStatus) -> int:
        """How many can be out at most, by what the printer still holds."""
        if status.formats or status.partial:
            return self.copies - max(1, min(status.batch, self.copies))
        return self.copies - status.batch if status.batch <= self.copies else self.copies
