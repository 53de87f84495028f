"""Print labels, scan each applied one, reconcile by serial: printed = applied + void + destroyed.

Batches of before are decided by `print_label_before`, as their records were.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.domain import events as ev
from appliance.domain import issued_labels, label_printing, label_reconciliation
from appliance.domain.applied_label import check_applied, refused, shown
from appliance.domain.batch import Fact
from appliance.domain.errors import QuantityRefused
from appliance.domain.identity import LabelNotUsable, read_label
from appliance.domain.issued_label_fields import requested
from appliance.domain.issued_labels import Issued
from appliance.domain.label_reconciliation import COUNTS
from appliance.domain.phase_logic import (
    Context,
    Logic,
    answer_events,
    complete,
    confirm,
    hold,
    scan_pending,
    two_person_prompts,
)
from appliance.domain.phases.print_label_before import PRINTS_MAX, PrintLabelBefore
from appliance.domain.print_test import PARAMETER
from appliance.domain.prompts import Choice, Field, Prompt, PromptFact
from appliance.domain.recipe import Phase
from appliance.domain.roles import Actor

COPIES_MAX = 5
OTHER = "other"
REASONS = {
    "damaged": "The label is damaged",
    "not_out": "The label did not come out",
    "unreadable": "The label cannot be read",
    OTHER: "Another reason, in own words",
}
WHY = Field(
    name="reason",
    label="Why is another label needed?",
    kind="choice",
    choices=tuple(Choice(value, words) for value, words in REASONS.items()),
)
OWN_WORDS = Field(name="words", label="Why another label is needed", kind="text")


def copies_of(phase: Phase) -> int:
    """How many labels of the same content the recipe asks for; one where it says nothing."""
    return int(phase.amount("labels", "count")) if "labels" in phase.parameters else 1


class PrintLabel(Logic):
    TYPE = "print_label"
    PARAMETERS = {"expiry": "s", "volume": "mL"}
    INSTRUCTIONS: tuple[str, ...] = ("apply", "reconcile", "pack")
    VERIFIABLE = ("reconcile",)
    ENTERED = {"reconcile": COUNTS}
    PACKS = True  # the phase ends when the product is packed

    def __init__(self) -> None:
        self._before = PrintLabelBefore()

    def _is_before(self, c: Context) -> bool:
        return c.batch.opened.rules < issued_labels.RULES_FROM

    def faults(self, phase: Phase) -> list[str]:
        if "label" in phase.text:
            return [
                f"phase.{phase.id}.text.label: a product without a label is not made here. "
                "Nobody at the unit can release, so nothing is given at its completion. Leave the line out."
            ]
        try:
            if PARAMETER in phase.parameters:
                phase.amount(PARAMETER, "s")
        except QuantityRefused as error:
            return [f"phase.{phase.id}.parameter.{PARAMETER}: {error}"]
        if "labels" not in phase.parameters:
            return []
        try:
            number = phase.amount("labels", "count")
        except QuantityRefused as error:
            return [f"phase.{phase.id}.parameter.labels: {error}"]
        if number != int(number) or not 1 <= number <= COPIES_MAX:
            return [f"phase.{phase.id}.parameter.labels: write a whole number of 1 to {COPIES_MAX}."]
        return []

    # ── What goes on by itself ─────────────────────────────────────────────────────────

    def advance(self, c: Context) -> list[ev.Event]:
        if self._is_before(c):
            return self._before.advance(c)
        if c.run.has(ev.LabelsReconciled):
            return complete(c) if c.run.confirmed("pack") or not self.PACKS else []
        for copy in range(1, copies_of(c.phase) + 1):
            label = issued_labels.live(c.run, copy)
            if label is None:
                return self._request_or_hold(c, copy)
            if label.printed is None:
                return label_printing.advance(c, label)
            if label.verified is None:
                return []
            if copy == 1 and self._names_product(c, label):
                return [self._labelled(c, label)]
        return label_reconciliation.advance(c)

    def _names_product(self, c: Context, label: Issued) -> bool:
        named = c.run.last(ev.ProductLabelled)
        return named is None or named[1].label_id != label.id

    def _request_or_hold(self, c: Context, copy: int) -> list[ev.Event]:
        if self._own_words_wanted(c):
            return []
        since = c.run.resumed_at
        failed = [
            one.voided
            for one in issued_labels.issued(c.run)
            if one.state == "failed" and one.voided and (since is None or one.fact.at >= since)
        ]
        if len(failed) >= PRINTS_MAX:
            return hold(c, "label_not_printed", f"{len(failed)} labels failed: {failed[-1].reason}")
        return self.requests(c, copy)

    def requests(self, c: Context, copy: int) -> list[ev.Event]:
        """The next label of a copy."""
        return [requested(c, copy, self._expiry(c))]

    def _expiry(self, c: Context) -> datetime:
        """Whole minutes, cut and never rounded up, from the end of the thaw."""
        thawed = c.batch.last(ev.InstructionConfirmed, key="bag_out")
        since = thawed[0].at if thawed else (c.run.started_at or c.now)
        expiry = since + timedelta(seconds=int(c.phase.amount("expiry", "s")))
        return expiry.replace(second=0, microsecond=0)

    def _labelled(self, c: Context, label: Issued) -> ev.ProductLabelled:
        said = label.request.identity
        return ev.ProductLabelled(
            phase=c.phase.id,
            din=said["din"],
            product_code=said["description_code"] + said["collection_type"],
            division=said["division"],
            expires_at=said["expires_at"],
            label_id=label.id,
        )

    # ── What is asked ──────────────────────────────────────────────────────────────────

    def prompts(self, c: Context) -> list[Prompt]:
        if self._is_before(c):
            return self._before.prompts(c)
        if c.run.has(ev.LabelsReconciled):
            packed = c.run.confirmed("pack") or not self.PACKS
            return [] if packed else [confirm(c, "pack", button="The dose is packed")]
        if scan_pending(c):
            return []
        again = self._reprints(c)
        for copy in range(1, copies_of(c.phase) + 1):
            label = issued_labels.live(c.run, copy)
            if label is None:
                return []
            if label.printed is None:
                return label_printing.prompts(c, label)
            if label.verified is None:
                return [*self._of_printed(c, label), *again]
        if c.run.confirmed("reconcile") is not None:
            count = label_reconciliation.prompts(c)[0]
            return two_person_prompts(c, count, facts=lambda: self._count_facts(c))
        return [*label_reconciliation.prompts(c), *again]

    def _of_printed(self, c: Context, label: Issued) -> list[Prompt]:
        wanted = self._own_words_wanted(c)
        if wanted:
            return [wanted]
        key = f"apply:{label.id}"
        if c.run.confirmed(key) is not None:
            return [self._applied(c, label)]
        assert label.printed is not None
        place = "" if label.request.copy == 1 else f" This is copy {label.request.copy}: put it on the sheet."
        return [
            Prompt(
                phase=c.phase.id,
                key=key,
                kind="confirm",
                title=f"Apply label {label.short}",
                instruction=c.phase.instruction["apply"] + place,
                button="The label is on",
                picture=label.printed.picture,
                facts=(
                    PromptFact("Label", label.id),
                    PromptFact("Printer", label.printed.printer or "none: the picture is the label"),
                ),
            )
        ]

    def _applied(self, c: Context, label: Issued) -> Prompt:
        last = c.run.last(ev.BagRefused)
        return Prompt(
            phase=c.phase.id,
            key="applied",
            kind="scan",
            title="Scan the applied label",
            instruction="Show the label that was applied to the camera.",
            button="Scan",
            expects=f"Label {label.id}",
            action=self.shown_as(label),
            facts=(PromptFact("Last scan", last[1].words, True),) if last else (),
        )

    def shown_as(self, label: Issued) -> str:
        """What hands show to the camera."""
        return "show dose" if label.request.copy == 1 else f"show label {label.id}"

    def _reprints(self, c: Context) -> list[Prompt]:
        """Another label, for each that is out and not void."""
        if self._own_words_wanted(c) or c.run.confirmed("reconcile") is not None:
            return []
        return [
            Prompt(
                phase=c.phase.id,
                key=f"reprint:{one.id}",
                kind="enter",
                title=f"Print label {one.short} again",
                instruction=f"Label {one.short} becomes void. Keep it: each void label is shown or destroyed "
                "at the end. The new one says that it is a second print.",
                button="Print another label",
                fields=(WHY,),
            )
            for one in issued_labels.printed(c.run)
            if one.voided is None
        ]

    def _own_words_wanted(self, c: Context) -> Prompt | None:
        """The reason that a person wants to give in own words."""
        for one in issued_labels.printed(c.run):
            asked = c.run.confirmed(f"reprint:{one.id}")
            if one.voided is None and asked is not None and asked[1].values[WHY.name] == OTHER:
                return Prompt(
                    phase=c.phase.id,
                    key=f"reprint_words:{one.id}",
                    kind="enter",
                    title=f"Print label {one.short} again",
                    instruction="Write why another label is needed.",
                    button="Write the reason",
                    fields=(OWN_WORDS,),
                )
        return None

    def _count_facts(self, c: Context) -> tuple[PromptFact, ...]:
        entered = c.run.confirmed("reconcile")
        said = entered[1].values if entered else {}
        counted = tuple(PromptFact(field.label, said.get(field.name, "")) for field in COUNTS)
        return (*label_reconciliation.facts(c), *counted)

    # ── What answers and scans make true ───────────────────────────────────────────────

    def check_entered(self, c: Context, key: str, values: dict[str, str]) -> None:
        if self._is_before(c):
            self._before.check_entered(c, key, values)
        else:
            label_reconciliation.check(c, values)

    def corrected(self, c: Context, fact: Fact, correction: ev.ValueCorrected) -> list[ev.Event]:
        """Serials are reconciled and not numbers: a corrected count must say what they say already."""
        return self._before.corrected(c, fact, correction) if self._is_before(c) else []

    def answered(self, c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
        if self._is_before(c):
            return self._before.answered(c, prompt, values, actor)
        if prompt.key == "reconcile":
            self.check_entered(c, prompt.key, values)
        events = answer_events(c, prompt, values, actor)
        what, _, serial = prompt.key.partition(":")
        if what in ("reprint", "reprint_words"):
            reason = values.get(OWN_WORDS.name) or REASONS[values[WHY.name]]
            if values.get(WHY.name) == OTHER:
                return events
            return [*events, ev.LabelVoided(phase=c.phase.id, label_id=serial, reason=reason)]
        if what == "came_out":
            label = next(one for one in issued_labels.issued(c.run) if one.printed is None and not one.voided)
            return [*events, *label_printing.answered(c, label, prompt, values, actor.id)]
        return [*events, *label_reconciliation.answered(c, prompt, values, actor)]

    def scanned(self, c: Context, read: ev.ScanRead) -> list[ev.Event]:
        if self._is_before(c):
            return self._before.scanned(c, read)
        what, _, serial = read.key.partition(":")
        labels = issued_labels.issued(c.run)
        try:
            found = read_label(read.texts, read.reasons, c.batch.opened.time_zone)
            if what == label_reconciliation.FOUND:
                return [shown(c, next(one for one in labels if one.id == serial), found.label, read)]
            label = next(one for one in labels if one.printed and not one.voided and not one.verified)
            check_applied(c, label, found.label)
        except LabelNotUsable as refusal:
            return refused(c, read, refusal)
        return [ev.LabelVerified(phase=c.phase.id, label_id=label.id, picture=read.picture)]

    # ── What is shown ──────────────────────────────────────────────────────────────────

    def words(self, c: Context) -> str:
        if self._is_before(c):
            return self._before.words(c)
        if scan_pending(c):
            return "Reading the label"
        for copy in range(1, copies_of(c.phase) + 1):
            label = issued_labels.live(c.run, copy)
            if label is None or label.printed is None:
                return label_printing.progress_words(c)
            if label.verified is None:
                return "Waiting for the label"
        return "Waiting for the reconciliation"

    def facts(self, c: Context) -> list[PromptFact]:
        labelled = c.run.last(ev.ProductLabelled)
        expires = [PromptFact("Expires", labelled[1].expires_at)] if labelled else []
        return expires if self._is_before(c) else [*expires, *issued_labels.listed(c.run)]
