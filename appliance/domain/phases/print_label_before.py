"""The label phase of batches that opened before each label was counted by its serial (rules 1 to 3).

Their records are decided again by what held then; nothing here changes any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from appliance.domain import events as ev
from appliance.domain import isbt128
from appliance.domain.batch import Fact
from appliance.domain.errors import NotPlausible
from appliance.domain.identity import LabelNotUsable, read_label
from appliance.domain.label_fields import bag_fields
from appliance.domain.phase_logic import (
    Context,
    Logic,
    alarm,
    answer_events,
    complete,
    confirm,
    confirmed_by_two,
    hold,
    scan_pending,
    two_person_prompts,
)
from appliance.domain.phases.operator_device import entered_facts
from appliance.domain.prompts import Field, Prompt, PromptFact
from appliance.domain.quantity import plain
from appliance.domain.roles import VERIFY_ROLES, Actor

PRINTS_MAX = 3  # labels that may fail in a row before a person is asked

COUNTS = tuple(
    Field(name=name, label=label, kind="number", unit="labels", minimum="0", maximum="20", decimals=0)
    for name, label in (("applied", "Applied"), ("void", "Void"), ("destroyed", "Destroyed"))
)


class PrintLabelBefore(Logic):
    TYPE = "print_label"
    PARAMETERS = {"expiry": "s", "volume": "mL"}
    INSTRUCTIONS = ("apply", "reconcile", "pack")
    VERIFIABLE = ("reconcile",)
    ENTERED = {"reconcile": COUNTS}

    def _live(self, c: Context) -> tuple[Fact, ev.LabelRequested] | None:
        """The newest label that is not void."""
        asked = c.run.last(ev.LabelRequested)
        if asked is None or c.run.has(ev.LabelVoided, label_id=asked[1].label_id):
            return None
        return asked

    def _printed(self, c: Context) -> ev.LabelPrinted | None:
        live = self._live(c)
        found = c.run.last(ev.LabelPrinted, label_id=live[1].label_id) if live else None
        return found[1] if found else None

    def advance(self, c: Context) -> list[ev.Event]:
        live = self._live(c)
        if live is None:
            return self._print_or_hold(c)
        verified = c.run.last(ev.LabelVerified, label_id=live[1].label_id)
        if verified is None:
            return []
        if not c.run.has(ev.ProductLabelled):
            return [self._labelled(c, live[1])]
        if confirmed_by_two(c, "reconcile") and not c.run.has(ev.LabelsReconciled):
            return [self._reconciled(c)]
        return complete(c) if c.run.confirmed("pack") else []

    def _print_or_hold(self, c: Context) -> list[ev.Event]:
        since = c.run.resumed_at
        failed = [void for fact, void in c.run.all(ev.LabelVoided) if since is None or fact.at >= since]
        if len(failed) >= PRINTS_MAX:
            return hold(c, "label_not_printed", f"{len(failed)} labels failed: {failed[-1].reason}")
        return [self._request(c)]

    def _request(self, c: Context) -> ev.LabelRequested:
        label_id = f"{c.batch.id}-L{len(c.run.all(ev.LabelRequested)) + 1}"
        settings, order, time_zone = c.batch.recipe.settings, c.batch.order, c.batch.opened.time_zone
        collection_type = settings.get("collection_type", "0")
        identity = {
            "din": order.din,
            "description_code": settings.get("description_code", ""),
            "division": settings.get("division", "00"),
        }
        expires_at = self._expiry(c)
        fields = bag_fields(
            **identity,
            collection_type=collection_type,
            expires_at=expires_at,
            time_zone=time_zone,
            patient=order.patient,
            product=settings.get("product", c.batch.recipe.title),
            volume_ml=plain(c.phase.amount("volume", "mL")),
            storage=settings.get("storage", ""),
        )
        fields |= {
            "division_readable": identity["division"],
            "batch_readable": f"{c.batch.id}, label {label_id}",
        }
        return ev.LabelRequested(
            phase=c.phase.id,
            label_id=label_id,
            template="dose",
            fields=fields,
            identity=identity | {"expires_at": expires_at.isoformat(), "collection_type": collection_type},
            reprint=c.run.has(ev.LabelRequested),
        )

    def _expiry(self, c: Context) -> datetime:
        """Whole minutes, cut and never rounded up, from the end of the thaw."""
        thawed = c.batch.last(ev.InstructionConfirmed, key="bag_out")
        since = thawed[0].at if thawed else (c.run.started_at or c.now)
        expiry = since + timedelta(seconds=int(c.phase.amount("expiry", "s")))
        return expiry.replace(second=0, microsecond=0)

    def _labelled(self, c: Context, asked: ev.LabelRequested) -> ev.ProductLabelled:
        return ev.ProductLabelled(
            phase=c.phase.id,
            din=asked.identity["din"],
            product_code=asked.identity["description_code"] + asked.identity["collection_type"],
            division=asked.identity["division"],
            expires_at=asked.identity["expires_at"],
            label_id=asked.label_id,
        )

    def _reconciled(self, c: Context) -> ev.LabelsReconciled:
        entered = c.run.confirmed("reconcile")
        assert entered is not None
        counts = {name: int(value) for name, value in entered[1].values.items()}
        return ev.LabelsReconciled(
            phase=c.phase.id,
            printed=len(c.run.all(ev.LabelPrinted)),
            applied=counts["applied"],
            void=counts["void"],
            destroyed=counts["destroyed"],
        )

    def prompts(self, c: Context) -> list[Prompt]:
        printed = self._printed(c)
        if printed is None:
            return []
        if not c.run.has(ev.InstructionConfirmed, key=f"apply:{printed.label_id}"):
            prompt = Prompt(
                phase=c.phase.id,
                key=f"apply:{printed.label_id}",
                kind="confirm",
                title="Apply the label",
                instruction=c.phase.instruction["apply"],
                button="The label is on the bag",
                picture=printed.picture,
            )
            return [prompt]
        if not c.run.has(ev.LabelVerified, label_id=printed.label_id):
            return [] if scan_pending(c) else self._check_prompts(c, printed)
        if not c.run.has(ev.LabelsReconciled):
            return two_person_prompts(c, self._reconcile_prompt(c), facts=lambda: self._count_facts(c))
        return [confirm(c, "pack", button="The dose is packed")] if not c.run.confirmed("pack") else []

    def _check_prompts(self, c: Context, printed: ev.LabelPrinted) -> list[Prompt]:
        refused = c.run.last(ev.BagRefused)
        scan = Prompt(
            phase=c.phase.id,
            key="applied",
            kind="scan",
            title="Scan the applied label",
            instruction="Show the label on the dose bag to the camera.",
            button="Scan",
            expects=f"Dose label {printed.label_id}",
            action="show dose",
            facts=(PromptFact("Last scan", refused[1].words, True),) if refused else (),
        )
        if refused is None:
            return [scan]
        applied = c.run.confirmed(f"apply:{printed.label_id}")
        void = Prompt(
            phase=c.phase.id,
            key="void",
            kind="confirm",
            title="Void this label",
            instruction="The label cannot be read. Destroy it; another one is printed.",
            button="The label is destroyed",
            needs="second_person",
            roles=VERIFY_ROLES,
            not_by=(applied[0].actor,) if applied else (),
            content=c.content({"key": "void", "label": printed.label_id}),
        )
        return [scan, void]

    def _reconcile_prompt(self, c: Context) -> Prompt:
        return Prompt(
            phase=c.phase.id,
            key="reconcile",
            kind="enter",
            title="Reconcile the labels",
            instruction=c.phase.instruction["reconcile"],
            button="Record the numbers",
            fields=COUNTS,
            facts=(PromptFact("Printed", str(len(c.run.all(ev.LabelPrinted)))),),
        )

    def _count_facts(self, c: Context) -> tuple[PromptFact, ...]:
        printed = PromptFact("Printed", str(len(c.run.all(ev.LabelPrinted))))
        return (printed, *entered_facts(c, "reconcile", COUNTS))

    def check_entered(self, c: Context, key: str, values: dict[str, str]) -> None:
        printed, told = len(c.run.all(ev.LabelPrinted)), sum(int(v) for v in values.values())
        if printed != told:
            raise NotPlausible(f"{printed} labels were printed, {told} are told. Look for the missing label.")
        if int(values["applied"]) != 1:
            raise NotPlausible("One label is on the dose bag: one was applied. Count again.")

    def corrected(self, c: Context, fact: Fact, correction: ev.ValueCorrected) -> list[ev.Event]:
        """The labels are reconciled anew with the corrected numbers."""
        used = c.run.last(ev.LabelsReconciled)
        return [] if used is None or used[0].seq > fact.seq else [self._reconciled(c)]

    def answered(self, c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
        if prompt.key == "reconcile":
            self.check_entered(c, prompt.key, values)
        events = answer_events(c, prompt, values, actor)
        if prompt.key == "void":
            live = self._live(c)
            assert live is not None
            events.append(
                ev.LabelVoided(phase=c.phase.id, label_id=live[1].label_id, reason="could not be read")
            )
        return events

    def scanned(self, c: Context, read: ev.ScanRead) -> list[ev.Event]:
        live = self._live(c)
        assert live is not None
        try:
            found = read_label(read.texts, read.reasons, c.batch.opened.time_zone)
            self._check_label(found.label, live[1].identity, c.batch.opened.time_zone)
        except LabelNotUsable as refusal:
            return self._refused(c, read, refusal)
        return [ev.LabelVerified(phase=c.phase.id, label_id=live[1].label_id, picture=read.picture)]

    def _check_label(self, label: isbt128.Label, identity: dict[str, str], time_zone: str) -> None:
        expiry = datetime.fromisoformat(identity["expires_at"]).astimezone(ZoneInfo(time_zone))
        expected = {
            "din": identity["din"],
            "description_code": identity["description_code"],
            "division": identity["division"],
            "expires_local": expiry.strftime("%Y-%m-%dT%H:%M"),
        }
        for name, value in expected.items():
            said = getattr(label, name)
            if not said:
                words = f"The label was read without its {name.replace('_', ' ')}. Show the whole label."
                raise LabelNotUsable("not_read", words, label.din)
            if said != value:
                words = f"The label says {said} for {name.replace('_', ' ')}; {value} was printed."
                raise LabelNotUsable("label_mismatch", f"STOP. {words} Call the supervisor.", label.din)

    def _refused(self, c: Context, read: ev.ScanRead, refusal: LabelNotUsable) -> list[ev.Event]:
        refused = ev.BagRefused(
            phase=c.phase.id,
            scanned=refusal.scanned,
            expected=c.batch.order.din,
            reason=refusal.reason,
            words=str(refusal),
            picture=read.picture,
        )
        if refusal.reason == "not_read":
            return [refused]
        action = "Do not hand this bag over. Print a new label or call the supervisor."
        raised = alarm(
            c, refusal.reason, priority="high", title="Label refused", cause=str(refusal), action=action
        )
        return [refused, raised]

    def words(self, c: Context) -> str:
        if self._printed(c) is None:
            return "Printing"
        return "Reading the label" if scan_pending(c) else "Waiting for the label"

    def facts(self, c: Context) -> list[PromptFact]:
        labelled = c.run.last(ev.ProductLabelled)
        return [PromptFact("Expires", labelled[1].expires_at)] if labelled else []
