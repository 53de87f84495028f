"""Scan each material of the bill: which it is, which lot, and whether that lot may be used."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain import materials
from appliance.domain.identity import LabelNotUsable, read_label, refuse_untrusted_time
from appliance.domain.material_labels import FORMATS, MaterialLabel, read_material
from appliance.domain.phase_logic import Context, Logic, alarm, answer_events, complete, scan_pending
from appliance.domain.prompts import Field, Prompt, PromptFact
from appliance.domain.recipe import Material
from appliance.domain.roles import Actor
from appliance.domain.stock import catalogue_key

LOT = "lot"
LOT_FIELD = Field(name=LOT, label="Lot, as it is printed", kind="text")
# Refused without an alarm: another look, or another lot of the same shelf, is all that is needed.
QUIET = frozenset({"not_read", "lot_in_doubt", "earlier_expiry"})


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
            formats=FORMATS if materials.needed(c.batch) else (),
        )
        in_doubt = self._in_doubt(c)
        return [prompt] if in_doubt is None else [prompt, self._lot_prompt(c, in_doubt)]

    # ── A lot that may hold more than the lot ──────────────────────────────────────────

    def _in_doubt(self, c: Context) -> ev.ScanRead | None:
        """The newest scan, when it was refused because its lot is in doubt."""
        refused, read = c.run.last(ev.MaterialRefused), c.run.last(ev.ScanRead)
        if refused is None or read is None or refused[1].reason != "lot_in_doubt":
            return None
        accepted = c.run.last(ev.MaterialAccepted)
        settled = accepted is not None and accepted[0].seq > refused[0].seq
        return None if settled or read[0].seq > refused[0].seq else read[1]

    def _lot_prompt(self, c: Context, read: ev.ScanRead) -> Prompt:
        label = read_material(read.texts, read.identifiers, read.reasons, c.batch.opened.time_zone)
        return Prompt(
            phase=c.phase.id,
            key=LOT,
            kind="enter",
            title="Compare the lot",
            instruction="Read the lot from the print beside the symbol, and enter it as it is printed.",
            button="This is the lot",
            facts=(PromptFact("Read from the symbol", label.lot, True),),
            fields=(LOT_FIELD,),
            picture=read.picture,
        )

    def answered(self, c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
        confirmed = answer_events(c, prompt, values, actor)
        read = self._in_doubt(c)
        assert read is not None, "its prompt was open"
        return [*confirmed, *self._judged(c, read, printed_lot=values[LOT].strip())]

    # ── What a label makes true ────────────────────────────────────────────────────────

    def scanned(self, c: Context, read: ev.ScanRead) -> list[ev.Event]:
        return self._judged(c, read, printed_lot="")

    def _judged(self, c: Context, read: ev.ScanRead, *, printed_lot: str) -> list[ev.Event]:
        try:
            if materials.needed(c.batch):
                return [self._accepted(c, read, printed_lot)]
            return [self._accepted_as_then(c, read)]
        except LabelNotUsable as refusal:
            refused = ev.MaterialRefused(
                phase=c.phase.id,
                scanned=refusal.scanned,
                reason=refusal.reason,
                words=str(refusal),
                picture=read.picture,
            )
            if refusal.reason in QUIET:
                return [refused]
            action = "Put it aside. Take the right material."
            raised = alarm(
                c, refusal.reason, priority="low", title="Material refused", cause=str(refusal), action=action
            )
            return [refused, raised]

    def _accepted(self, c: Context, read: ev.ScanRead, printed_lot: str) -> ev.MaterialAccepted:
        zone = c.batch.opened.time_zone
        label = read_material(read.texts, read.identifiers, read.reasons, zone, printed_lot=printed_lot)
        match = self._awaited(c, label.catalogue)
        self._refuse_incomplete(label)
        receipt = materials.take(c.unit, label, match.title, c.now)
        own = catalogue_key(match.catalogue) == catalogue_key(label.catalogue)
        return ev.MaterialAccepted(
            phase=c.phase.id,
            material=match.id,
            catalogue=label.catalogue,
            lot=label.lot,
            expires_at=receipt.expires_at,
            picture=read.picture,
            receipt=receipt.id,
            serial=label.serial,
            substitutes="" if own else match.catalogue,
            received_by=receipt.received_by,
            released_by=receipt.decided_by,
        )

    def _awaited(self, c: Context, catalogue: str) -> Material:
        match = materials.matching(self._missing(c), catalogue)
        if match is None:
            raise self._wrong(c, catalogue)
        return match

    def _wrong(self, c: Context, catalogue: str) -> LabelNotUsable:
        awaited = ", ".join(m.title for m in self._missing(c))
        words = f"This material is not awaited. Still missing: {awaited}."
        return LabelNotUsable("wrong_material", words, catalogue)

    @staticmethod
    def _refuse_incomplete(label: MaterialLabel) -> None:
        if label.doubt:
            words = (
                f"The lot of this label may hold more than the lot: {label.lot} was read. "
                "Compare it with the print and enter the lot as it is printed."
            )
            raise LabelNotUsable("lot_in_doubt", words, f"{label.catalogue} {label.lot}")
        if not label.lot:
            words = "This label shows no lot. Show the whole label."
            raise LabelNotUsable("incomplete", words, label.catalogue)

    def _accepted_as_then(self, c: Context, read: ev.ScanRead) -> ev.MaterialAccepted:
        """By the rules of before: ISBT 128 alone, and no stock to hold it against."""
        found = read_label(read.texts, read.reasons, c.batch.opened.time_zone)
        catalogue = found.label.maker + found.label.catalogue_number
        match = next((m for m in self._missing(c) if m.catalogue == catalogue), None)
        if match is None:
            raise self._wrong(c, catalogue)
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

    # ── Its place in the batch ─────────────────────────────────────────────────────────

    def advance(self, c: Context) -> list[ev.Event]:
        return [] if self._missing(c) else complete(c)

    def words(self, c: Context) -> str:
        return f"{len(self._missing(c))} materials to scan"

    def facts(self, c: Context) -> list[PromptFact]:
        return [
            PromptFact(e.material, f"lot {e.lot}" + (f", for {e.substitutes}" if e.substitutes else ""))
            for _, e in c.run.all(ev.MaterialAccepted)
        ]
