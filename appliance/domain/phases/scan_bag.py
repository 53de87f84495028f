"""Receive the patient's bag: label against order, then two persons look. A wrong bag is a hard stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from appliance.domain import custody
from appliance.domain import events as ev
from appliance.domain.batch import Fact
from appliance.domain.identity import PREVIOUS, LabelNotUsable, check_bag, read_label, readable
from appliance.domain.phase_logic import (
    Context,
    Logic,
    Timer,
    check_limit,
    complete,
    confirm,
    confirmed_by_two,
    hold,
    import_pending,
    scan_pending,
    two_person_prompts,
)
from appliance.domain.phases import receipt
from appliance.domain.phases.thaw import minutes
from appliance.domain.prompts import Field, Prompt, PromptFact
from appliance.domain.recipe import Phase

HARD_STOP = frozenset({"wrong_bag", "expired", "used", "label_refused", PREVIOUS})
# A label of another kind stops the step too, of batches that open by the rules of today (F-003).
STOPS_NOW = HARD_STOP | {"wrong_kind"}


class ScanBag(Logic):
    TYPE = "scan_bag"
    LIMITS = {"out_of_cold": "min"}
    INSTRUCTIONS = ("retrieve", "identity")
    VERIFIABLE = ("identity",)

    def limits(self, phase: Phase) -> Mapping[str, str]:
        return {**self.LIMITS, **receipt.limits(phase)}

    def entered(self, phase: Phase) -> Mapping[str, tuple[Field, ...]]:
        return {receipt.CUSTODY: receipt.fields(phase)} if receipt.asked(phase) else {}

    def prompts(self, c: Context) -> list[Prompt]:
        if not receipt.is_done(c):
            return receipt.prompts(c)
        if c.run.confirmed("retrieve") is None:
            return [confirm(c, "retrieve", button="The bag is out")]
        if not c.run.has(ev.BagAccepted):
            if scan_pending(c):
                return []
            prompt = Prompt(
                phase=c.phase.id,
                key="bag",
                kind="scan",
                title="Scan the bag",
                instruction="Show the label of the bag to the camera.",
                button="Scan",
                expects=f"Bag {readable(c.batch.order.din)}",
                facts=self._last_refusal(c),
                action="show bag",
            )
            return [prompt]
        accepted = c.run.last(ev.BagAccepted)
        picture = accepted[1].picture if accepted else ""
        identity = replace(confirm(c, "identity", button="Bag and order agree"), picture=picture)
        return two_person_prompts(c, identity, facts=lambda: self._identity_facts(c))

    def _last_refusal(self, c: Context) -> tuple[PromptFact, ...]:
        refused = c.run.last(ev.BagRefused)
        return (PromptFact("Last scan", refused[1].words, True),) if refused else ()

    def _identity_facts(self, c: Context) -> tuple[PromptFact, ...]:
        bag, order = c.run.last(ev.BagAccepted), c.batch.order
        assert bag is not None
        return (
            PromptFact("Label says", readable(bag[1].din)),
            PromptFact("Order says", readable(order.din)),
            PromptFact("Patient code on the order", order.patient),
            PromptFact("Product", f"{bag[1].description_code} division {bag[1].division}"),
            PromptFact("Expires", bag[1].expires_at),
        )

    def scanned(self, c: Context, read: ev.ScanRead) -> list[ev.Event]:
        try:
            label = read_label(read.texts, read.reasons, c.batch.opened.time_zone)
            identity = check_bag(label, c.unit, c.batch, c.now, belongs_to=read.belongs_to)
        except LabelNotUsable as refusal:
            return self._refused(c, read, refusal)
        assert label.expires_at is not None
        accepted = ev.BagAccepted(
            phase=c.phase.id,
            din=identity.din,
            description_code=identity.description_code,
            division=identity.division,
            expires_at=label.expires_at.isoformat(),
            picture=read.picture,
        )
        return [accepted]

    def _refused(self, c: Context, read: ev.ScanRead, refusal: LabelNotUsable) -> list[ev.Event]:
        refused = ev.BagRefused(
            phase=c.phase.id,
            scanned=refusal.scanned,
            expected=c.batch.order.din,
            reason=refusal.reason,
            words=str(refusal),
            picture=read.picture,
            belongs_to=read.belongs_to if refusal.reason == PREVIOUS else "",
        )
        stops = STOPS_NOW if c.batch.opened.rules >= custody.RULES_FROM else HARD_STOP
        if refusal.reason not in stops:
            return [refused]
        return [
            refused,
            *hold(c, refusal.reason, str(refusal), action="Put the bag aside. Call the supervisor."),
        ]

    def advance(self, c: Context) -> list[ev.Event]:
        if events := receipt.advance(c):
            return events
        retrieved, accepted = c.run.confirmed("retrieve"), c.run.last(ev.BagAccepted)
        if retrieved is None:
            return []
        end = accepted[0].at if accepted else c.now
        events = check_limit(c, "out_of_cold", minutes(retrieved[0].at, end), "min", "Bag out of the cold")
        if events or accepted is None or not confirmed_by_two(c, "identity"):
            return events
        return complete(c)

    def imported(self, c: Context, read: ev.ExchangeFileRead) -> list[ev.Event]:
        return receipt.imported(c, read)

    def corrected(self, c: Context, fact: Fact, correction: ev.ValueCorrected) -> list[ev.Event]:
        return receipt.corrected(c, fact, correction)

    def words(self, c: Context) -> str:
        if not receipt.is_done(c):
            return "Reading the temperature log" if import_pending(c) else "Waiting for the shipper"
        return "Reading the label" if scan_pending(c) else "Waiting for the bag"

    def timer(self, c: Context) -> Timer | None:
        retrieved = c.run.confirmed("retrieve")
        if retrieved is None or c.run.has(ev.BagAccepted):
            return None
        limit = c.phase.limits["out_of_cold"].action
        return Timer(
            "Bag out of the cold",
            c.elapsed_s(retrieved[0].at),
            maximum_s=int(limit.in_unit("s")) if limit else None,
        )

    def facts(self, c: Context) -> list[PromptFact]:
        bag = c.run.last(ev.BagAccepted)
        return [*receipt.facts(c), *([PromptFact("Bag", readable(bag[1].din))] if bag else [])]
