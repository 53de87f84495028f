"""Scan each material of the bill: catalogue number, lot, expiry. An expired one is refused."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.identity import LabelNotUsable, read_label, refuse_untrusted_time
from appliance.domain.phase_logic import Context, Logic, alarm, complete, scan_pending
from appliance.domain.prompts import Prompt, PromptFact
from appliance.domain.recipe import Material


class ScanMaterial(Logic):
    TYPE = "scan_material"

    def _missing(self, c: Context) -> list[Material]:
        accepted = {event.material for _, event in c.run.all(ev.MaterialAccepted)}
        return [c.batch.recipe.materials[name] for name in c.phase.materials if name not in accepted]

    def prompts(self, c: Context) -> list[Prompt]:
        missing = self._missing(c)
        if not missing or scan_pending(c):
            return []
        refused = c.run.last(ev.MaterialRefused)
        prompt = Prompt(
            phase=c.phase.id,
            key="material",
            kind="scan",
            title="Scan the materials",
            instruction=f"Show the label of: {missing[0].title}.",
            button="Scan",
            expects=f"{missing[0].title}, catalogue {missing[0].catalogue}",
            facts=(PromptFact("Last scan", refused[1].words, True),) if refused else (),
            action=f"show material {missing[0].id}",
        )
        return [prompt]

    def scanned(self, c: Context, read: ev.ScanRead) -> list[ev.Event]:
        try:
            return [self._accepted(c, read)]
        except LabelNotUsable as refusal:
            refused = ev.MaterialRefused(
                phase=c.phase.id,
                scanned=refusal.scanned,
                reason=refusal.reason,
                words=str(refusal),
                picture=read.picture,
            )
            if refusal.reason == "not_read":
                return [refused]
            action = "Put it aside. Take the right material."
            raised = alarm(
                c, refusal.reason, priority="low", title="Material refused", cause=str(refusal), action=action
            )
            return [refused, raised]

    def _accepted(self, c: Context, read: ev.ScanRead) -> ev.MaterialAccepted:
        found = read_label(read.texts, read.reasons, c.batch.opened.time_zone)
        catalogue = found.label.maker + found.label.catalogue_number
        match = next((m for m in self._missing(c) if m.catalogue == catalogue), None)
        if match is None:
            awaited = ", ".join(m.title for m in self._missing(c))
            raise LabelNotUsable(
                "wrong_material", f"This material is not awaited. Still missing: {awaited}.", catalogue
            )
        if not found.label.lot or found.expires_at is None:
            raise LabelNotUsable(
                "incomplete", "This label shows no lot or no expiry. Show the whole label.", catalogue
            )
        refuse_untrusted_time(c.unit, catalogue)
        if found.expires_at <= c.now:
            words = f"{match.title} expired on {found.expires_at:%d %b %Y}. Take another one."
            raise LabelNotUsable("expired", words, catalogue)
        return ev.MaterialAccepted(
            phase=c.phase.id,
            material=match.id,
            catalogue=catalogue,
            lot=found.label.lot,
            expires_at=found.expires_at.isoformat(),
            picture=read.picture,
        )

    def advance(self, c: Context) -> list[ev.Event]:
        return [] if self._missing(c) else complete(c)

    def words(self, c: Context) -> str:
        return f"{len(self._missing(c))} materials to scan"

    def facts(self, c: Context) -> list[PromptFact]:
        return [PromptFact(e.material, f"lot {e.lot}") for _, e in c.run.all(ev.MaterialAccepted)]
