"""Each label that a batch issued, by its serial: what became of it, as far as the record knows (F-008).

A label is an object and not a number in a total. It is drawn, it comes out, it is applied and scanned;
or it is void, and then it is shown, destroyed before a witness, or missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.domain import events as ev
from appliance.domain import isbt128
from appliance.domain.batch import Batch, Fact, PhaseRun
from appliance.domain.prompts import PromptFact

RULES_FROM = 4  # the first `BatchOpened.rules` by which labels are counted by their serials
SERIAL_CHARACTERS = 18
SECOND_PRINT = "05"  # the flag of a second or repeated label printed on demand
_SUPPLEMENT = "&,2"

# How a label stands, in the words that screens and the record show.
WORDS = {
    "drawn": "not printed",
    "printed": "printed, not applied",
    "applied": "applied, scanned",
    "voided": "void, not seen yet",
    "void": "void, shown",
    "destroyed": "destroyed, witnessed",
    "missing": "MISSING",
    "lost": "MISSING, signed for",
    "failed": "was never printed",
}
COUNTED = {"applied": "applied", "void": "void", "destroyed": "destroyed", "lost": "missing"}


@dataclass(frozen=True, slots=True)
class Issued:
    """One label and what is known of it."""

    fact: Fact
    request: ev.LabelRequested
    drawn: ev.LabelDrawn | None
    printed: ev.LabelPrinted | None
    printed_fact: Fact | None
    verified: ev.LabelVerified | None
    voided: ev.LabelVoided | None
    state: str

    @property
    def id(self) -> str:
        return self.request.label_id

    @property
    def short(self) -> str:
        """How people call it: L1, L2 …"""
        return self.id.rpartition("-")[2]

    @property
    def is_open(self) -> bool:
        """Whether somebody has still to say where it is."""
        return self.state in ("voided", "missing")


def issued(run: PhaseRun) -> list[Issued]:
    """All labels of a phase, oldest first."""
    return [_issued(run, fact, request) for fact, request in run.all(ev.LabelRequested)]


def _issued(run: PhaseRun, fact: Fact, request: ev.LabelRequested) -> Issued:
    serial = request.label_id
    drawn, printed = run.last(ev.LabelDrawn, label_id=serial), run.last(ev.LabelPrinted, label_id=serial)
    verified, voided = run.last(ev.LabelVerified, label_id=serial), run.last(ev.LabelVoided, label_id=serial)
    return Issued(
        fact,
        request,
        drawn[1] if drawn else None,
        printed[1] if printed else None,
        printed[0] if printed else None,
        verified[1] if verified else None,
        voided[1] if voided else None,
        _state(run, serial, out=printed is not None, applied=verified is not None, void=voided is not None),
    )


def _state(run: PhaseRun, serial: str, *, out: bool, applied: bool, void: bool) -> str:
    if not out:
        return "failed" if void else "drawn"
    if not void:
        return "applied" if applied else "printed"
    seen = {
        "void": run.last(ev.LabelShown, label_id=serial),
        "destroyed": run.last(ev.LabelDestroyed, label_id=serial),
        "missing": run.last(ev.LabelMissing, label_id=serial),
        "lost": run.last(ev.LabelLossAccepted, label_id=serial),
    }
    newest = (
        max((found[0].seq, state) for state, found in seen.items() if found) if any(seen.values()) else None
    )
    return newest[1] if newest else "voided"


def live(run: PhaseRun, copy: int) -> Issued | None:
    """The newest label of a copy that is not void."""
    mine = [one for one in issued(run) if one.request.copy == copy and one.voided is None]
    return mine[-1] if mine else None


def printed(run: PhaseRun) -> list[Issued]:
    """The labels that came out: those that must be accounted for."""
    return [one for one in issued(run) if one.printed is not None]


def totals(labels: Iterable[Issued]) -> dict[str, int]:
    """How many are applied, void, destroyed and missing, by their states."""
    counted = {name: 0 for name in COUNTED.values()}
    for one in labels:
        if one.state in COUNTED:
            counted[COUNTED[one.state]] += 1
    return counted


def listed(run: PhaseRun) -> tuple[PromptFact, ...]:
    """Each label that came out, with its state, as a screen lists them."""
    return tuple(PromptFact(f"Label {one.short}", WORDS[one.state]) for one in printed(run))


# ── The serial on the label ────────────────────────────────────────────────────────────


def serial_code(label_id: str) -> str:
    """The serial as the label's 2-D symbol carries it: number of the batch, number of the label."""
    batch, _, number = label_id.rpartition("-L")
    return f"{batch.rpartition('-')[2]}L{int(number):03d}"[-SERIAL_CHARACTERS:]


def serial_text(label_id: str) -> str:
    """Structure 036 with this label's serial; the number is this unit's own and means nothing elsewhere."""
    text = f"{_SUPPLEMENT}{serial_code(label_id).rjust(SERIAL_CHARACTERS, '0')}"
    assert [one.number for one in isbt128.parse(text)] == ["036"], text
    return text


def serial_read(label: isbt128.Label) -> str:
    """The serial that a scanned label carries, without its leading zeros; empty when it has none."""
    found = [one.text for one in label.structures if one.number == "036"]
    return found[-1].removeprefix(_SUPPLEMENT).lstrip("0") if found else ""


def carries(one: Issued, read: str) -> bool:
    return read == serial_code(one.id).lstrip("0")


def of_batch(batch: Batch) -> list[Issued]:
    """All labels of all phases of a batch."""
    return [one for run in batch.runs.values() if run.has(ev.LabelRequested) for one in issued(run)]
