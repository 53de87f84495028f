"""Two persons sign what was done; then the unit seals the record. Nobody here can release (SAFETY 11)."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.phase_logic import Context, Logic, complete
from appliance.domain.prompts import Prompt, PromptFact
from appliance.domain.release import batch_statement, results_now
from appliance.domain.roles import VERIFY_ROLES


class Seal(Logic):
    TYPE = "seal"

    def prompts(self, c: Context) -> list[Prompt]:
        if c.batch.open_proposals:
            return []  # what waits for a second person may still change what is signed
        performed = c.batch.signatures.standing(c.phase.id, "performed")
        if performed is None:
            return [self._prompt(c, key="performed", needs="signature", not_by=())]
        if c.batch.signatures.standing(c.phase.id, "verified") is None:
            return [self._prompt(c, key="verified", needs="second_signature", not_by=(performed.person,))]
        return []

    def prompts_after(self, c: Context) -> list[Prompt]:
        """A change after the seal voids both signatures; they are given anew before it is sealed again."""
        return self.prompts(c) if c.batch.disposition is None and not c.batch.closed else []

    def _prompt(self, c: Context, *, key: str, needs: str, not_by: tuple[str, ...]) -> Prompt:
        return Prompt(
            phase=c.phase.id,
            key=key,
            kind="sign",
            title="Sign the batch record",
            instruction="Look at the results and the deviations. Your signature seals the record for the QP.",
            button="Sign",
            needs=needs,
            roles=VERIFY_ROLES if key == "verified" else ("operator", "supervisor"),
            not_by=not_by,
            meaning=key,
            content=batch_statement(c),
            facts=self._facts(c),
        )

    def _facts(self, c: Context) -> tuple[PromptFact, ...]:
        results = [
            PromptFact(r.test, f"{r.value} {r.unit} ({r.verdict})", r.verdict == "fail")
            for r in results_now(c.batch)
        ]
        deviations = [PromptFact(d.deviation, d.words, True) for _, d in c.batch.all(ev.DeviationOpened)]
        corrected = [
            PromptFact("Corrected", f"{v.field}: {v.old} to {v.new} {v.unit}".strip())
            for _, v in c.batch.all(ev.ValueCorrected)
        ]
        recalled = [PromptFact("Recalled", one.words, True) for _, one in c.batch.all(ev.LotOfBatchRecalled)]
        return (*results, *corrected, *deviations, *recalled)

    def advance(self, c: Context) -> list[ev.Event]:
        signatures = c.batch.signatures
        performed = signatures.standing(c.phase.id, "performed")
        verified = signatures.standing(c.phase.id, "verified")
        if performed is None or verified is None or performed.person == verified.person:
            return []
        if c.batch.open_proposals:
            return []
        labelled = c.batch.last(ev.ProductLabelled)
        completed = ev.BatchCompleted(
            recipe_hash=c.batch.recipe.hash,
            dose_labels=[labelled[1].label_id] if labelled else [],
            expires_at=labelled[1].expires_at if labelled else "",
        )
        return [*complete(c), completed]

    def words(self, c: Context) -> str:
        if c.batch.open_proposals:
            return "A correction waits for its second person"
        return "Waiting for two signatures"
