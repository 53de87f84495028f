"""Bedside match and hand-over: wristband = bag = order, released, not expired, two signatures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from appliance.domain import bedside_match
from appliance.domain import events as ev
from appliance.domain.applied_label import refuse_another_label
from appliance.domain.bedside_identity import NAMES, read_at_bedside
from appliance.domain.identity import PREVIOUS, LabelNotUsable, ReadLabel, readable, refuse_previous
from appliance.domain.phase_logic import Context, Logic, answer_events, complete, hold, scan_pending
from appliance.domain.phases import giving
from appliance.domain.prompts import Prompt, PromptFact
from appliance.domain.recipe import Phase
from appliance.domain.roles import VERIFY_ROLES, Actor

LOOK_AGAIN = frozenset({"not_read", bedside_match.SAME_PICTURE, bedside_match.OTHER_THING})
SCANS = {
    "wristband": "Show the patient's wristband to the camera.",
    "dose": "Show the label of the dose bag to the camera.",
    "order": "Show the order sheet to the camera.",
}


class HandOver(Logic):
    TYPE = "hand_over"
    INSTRUCTIONS = ("sign",)
    AT_PATIENT = True

    def limits(self, phase: Phase) -> Mapping[str, str]:
        return giving.limits(phase)

    def may_start(self, c: Context) -> bool:
        """Only a released dose that has not expired (SAFETY 11, 17); an expired one has no override."""
        return self._released(c) and c.unit.time_trusted and not self._expired(c)

    def _released(self, c: Context) -> bool:
        decision = c.batch.disposition
        return (
            decision is not None and decision.disposition == "released" and not c.batch.signatures.missing()
        )

    def _expired(self, c: Context) -> bool:
        decision, dose = c.batch.disposition, c.batch.expires_at
        ends = [datetime.fromisoformat(decision.expires_at)] if decision else []
        ends += [dose] if dose else []
        return any(end <= c.now for end in ends)

    def prompts(self, c: Context) -> list[Prompt]:
        if self._expired(c) or not c.unit.time_trusted or scan_pending(c) or not self._released(c):
            return []
        matched = bedside_match.matched(c)
        missing = [key for key in SCANS if key not in matched]
        if missing:
            # In whatever order the three are at hand.
            asked = missing if bedside_match.is_strict(c.batch) else missing[:1]
            return [self._scan_prompt(c, key) for key in asked]
        if giving.is_open(c):
            return [giving.prompt(c)]
        giver = c.batch.signatures.standing(c.phase.id, "giver")
        if giver is None:
            return [self._sign_prompt(c, "giver", "signature", "performed", ())]
        if c.batch.signatures.standing(c.phase.id, "receiver") is None:
            return [self._sign_prompt(c, "receiver", "second_signature", "verified", (giver.person,))]
        return []

    def _scan_prompt(self, c: Context, key: str) -> Prompt:
        refused = c.run.last(ev.BagRefused)
        return Prompt(
            phase=c.phase.id,
            key=key,
            kind="scan",
            title="Bedside match",
            instruction=SCANS[key],
            button="Scan",
            expects=f"Patient {c.batch.order.patient}",
            action=f"show {key}",
            facts=(PromptFact("Last scan", refused[1].words, True),) if refused else (),
        )

    def _sign_prompt(self, c: Context, key: str, needs: str, meaning: str, not_by: tuple[str, ...]) -> Prompt:
        content = {
            "order": c.batch.order.id,
            "patient": c.batch.order.patient,
            "dose_label": self._dose_label(c),
            "matched": sorted(f"match_{name}" for name in bedside_match.matched(c)),
            "as": key,
            **giving.values(c),
        }
        expires = c.batch.expires_at
        return Prompt(
            phase=c.phase.id,
            key=key,
            kind="sign",
            title=f"Hand-over: {key}",
            instruction=c.phase.instruction["sign"],
            button="Sign",
            needs=needs,
            meaning=meaning,
            not_by=not_by,
            roles=VERIFY_ROLES,
            content=c.content(content),
            facts=(
                PromptFact("Patient", c.batch.order.patient),
                PromptFact("Dose label", self._dose_label(c)),
                PromptFact("Expires", expires.isoformat() if expires else ""),
                *giving.facts(c),
            ),
        )

    def _dose_label(self, c: Context) -> str:
        labelled = c.batch.last(ev.ProductLabelled)
        return labelled[1].label_id if labelled else ""

    def scanned(self, c: Context, read: ev.ScanRead) -> list[ev.Event]:
        try:
            order, time_zone = c.batch.order, c.batch.opened.time_zone
            refuse_previous(read.belongs_to, c.batch, " ".join(read.texts)[:200], NAMES[read.key])
            found = read_at_bedside(read.key, read.texts, read.reasons, order, time_zone)
            said = order.patient if found is None else self._match(c, read.key, found)
            bedside_match.refuse_same(c, read, found)
        except LabelNotUsable as refusal:
            refused = ev.BagRefused(
                phase=c.phase.id,
                scanned=refusal.scanned,
                expected=c.batch.order.coi,
                reason=refusal.reason,
                words=str(refusal),
                picture=read.picture,
                belongs_to=read.belongs_to if refusal.reason == PREVIOUS else "",
            )
            if refusal.reason in LOOK_AGAIN:
                return [refused]
            action = "Do not give this dose. Call the supervisor."
            return [refused, *hold(c, refusal.reason, str(refusal), action=action)]
        return [c.derived(f"match_{read.key}", said, "", f"scan {read.scan_id}")]

    def _match(self, c: Context, key: str, read: ReadLabel) -> str:
        label, order, settings = read.label, c.batch.order, c.batch.recipe.settings
        if key == "dose":
            pairs = [
                (label.din, order.din),
                (label.description_code, settings.get("description_code", "")),
                (label.division, settings.get("division", "00")),
            ]
            said, expected = readable(label.din), readable(order.din)
        else:
            pairs = [(label.coi, order.coi)]
            if label.patient:
                pairs.append((label.patient, order.patient))
            said, expected = label.coi or "without an identifier", order.coi
        if any(found != awaited for found, awaited in pairs):
            words = f"STOP. This {key} is {said}. This dose is for {expected}. Do not give it."
            raise LabelNotUsable("wrong_bag", f"{words} Call the supervisor.", said)
        if key == "dose":
            refuse_another_label(c.batch, label)
        return said

    def answered(self, c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
        return answer_events(c, prompt, values, actor)

    def advance(self, c: Context) -> list[ev.Event]:
        if self._expired(c) and not c.run.has(ev.HandedOver):
            return hold(c, "expired", "The dose has expired. It must not be given.", action="Call the QP.")
        if not c.unit.time_trusted:  # an expiry that cannot be judged does not pass (SAFETY 17)
            return []
        if not self._released(c):  # a release can end while the dose is handed over: a lot was recalled
            return []
        if not c.run.has(ev.BedsideMatched):
            return self._matched(c)
        if giving.is_open(c):
            return []
        if events := giving.advance(c):
            return events
        signatures = c.batch.signatures
        giver = signatures.standing(c.phase.id, "giver")
        receiver = signatures.standing(c.phase.id, "receiver")
        if giver is None or receiver is None or signatures.missing():
            return []
        dose = self._dose_label(c)
        return [
            *giving.transferred(c, giver.person, receiver.person, dose),
            ev.HandOverSigned(giver=giver.person, receiver=receiver.person, dose_label=dose),
            *complete(c),
            ev.HandedOver(dose_label=dose, order_id=c.batch.order.id),
        ]

    def _matched(self, c: Context) -> list[ev.Event]:
        said = bedside_match.matched(c)
        if not set(SCANS) <= said.keys():
            return []
        matched = ev.BedsideMatched(
            phase=c.phase.id, wristband=said["wristband"], bag=said["dose"], order=said["order"]
        )
        return [matched]

    def words(self, c: Context) -> str:
        if not c.unit.time_trusted:
            return "The clock is not trusted: two persons compare it with a reference clock"
        if self._expired(c):
            return "Expired"
        return "Bedside match" if self._released(c) else "The release has ended: the QP decides anew"
