"""Two persons sign what was done; then the unit seals the record. Nobody here can release (SAFETY 11)."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.phase_logic import Context, Logic, complete
from appliance.domain.prompts import Prompt, PromptFact
from appliance.domain.release import batch_statement
from appliance.domain.roles import VERIFY_ROLES


class Seal(Logic):
    TYPE = "seal"

    def _signed(self, c: Context, key: str) -> ev.SignatureGiven | None:
        """The newest signature of that key over what is so now; one over anything else counts for nothing."""
        found = c.run.last(ev.SignatureGiven, key=key, content=batch_statement(c))
        return found[1] if found else None

    def prompts(self, c: Context) -> list[Prompt]:
        performed = self._signed(c, "performed")
        if performed is None:
            return [self._prompt(c, key="performed", needs="signature", not_by=())]
        if self._signed(c, "verified") is None:
            return [self._prompt(c, key="verified", needs="second_signature", not_by=(performed.person,))]
        return []

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
            for _, r in c.batch.all(ev.ResultReceived)
        ]
        deviations = [PromptFact(d.deviation, d.words, True) for _, d in c.batch.all(ev.DeviationOpened)]
        return (*results, *deviations)

    def advance(self, c: Context) -> list[ev.Event]:
        performed, verified = self._signed(c, "performed"), self._signed(c, "verified")
        if performed is None or verified is None or performed.person == verified.person:
            return []
        labelled = c.batch.last(ev.ProductLabelled)
        completed = ev.BatchCompleted(
            recipe_hash=c.batch.recipe.hash,
            dose_labels=[labelled[1].label_id] if labelled else [],
            expires_at=labelled[1].expires_at if labelled else "",
        )
        return [*complete(c), completed]

    def words(self, c: Context) -> str:
        return "Waiting for two signatures"
