"""Reconciliation by serial: printed = applied + void + destroyed, and what is missing is signed for (F-008).

No number that somebody types opens the gate. Each void label is shown to the camera or destroyed
before a witness; a label that is not there holds the step, opens a deviation and stays on record.
"""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.errors import NotPlausible
from appliance.domain.issued_labels import COUNTED, RULES_FROM, Issued, issued, listed, printed, totals
from appliance.domain.phase_logic import Context, confirmed_by_two, deviation, hold
from appliance.domain.prompts import Choice, Field, Prompt, PromptFact
from appliance.domain.roles import VERIFY_ROLES, Actor

COUNTS = tuple(
    Field(name=name, label=label, kind="number", unit="labels", minimum="0", maximum="20", decimals=0)
    for name, label in (("applied", "Applied"), ("void", "Void"), ("destroyed", "Destroyed"))
)
SEARCHED = Field(name="searched", label="Where was searched, and what is thought", kind="text")
SEARCH = (
    "Search the printer, its tray, the waste, the floor and every bag and sheet at this station. "
    "Call the supervisor: who restarts the phase can say what was found."
)
FOUND, DESTROY, SEARCHED_KEY = "found", "destroy", "searched"
APPROVED, VERIFIED = "loss_approved", "loss_verified"


def prompts(c: Context) -> list[Prompt]:
    """What is asked until every label is accounted for; then the count."""
    labels = printed(c.run)
    open_label = next((one for one in labels if one.is_open), None)
    if open_label is not None:
        asked = _of_missing(c, open_label) if open_label.state == "missing" else _of_void(c, open_label)
    else:
        asked = [_count(c)]
    if c.run.confirmed("reconcile") is not None:
        return asked[:1]
    return [*asked, *_report_missing(c, labels)]


def _count(c: Context) -> Prompt:
    return Prompt(
        phase=c.phase.id,
        key="reconcile",
        kind="enter",
        title="Reconcile the labels",
        instruction=c.phase.instruction["reconcile"],
        button="Record the numbers",
        fields=COUNTS,
        facts=facts(c),
    )


def facts(c: Context) -> tuple[PromptFact, ...]:
    """Each serial with its state, and how many came out."""
    return (PromptFact("Printed", str(len(printed(c.run)))), *listed(c.run))


def _of_void(c: Context, label: Issued) -> list[Prompt]:
    assert label.voided is not None
    why = PromptFact("Void", label.voided.reason)
    shown = Prompt(
        phase=c.phase.id,
        key=f"{FOUND}:{label.id}",
        kind="scan",
        title=f"Show the void label {label.short}",
        instruction=f"Show the void label {label.short} to the camera. If it cannot be read, "
        "destroy it before a witness.",
        button="Scan",
        expects=f"Void label {label.id}",
        action=f"show label {label.id}",
        facts=(why, *listed(c.run)),
    )
    return [shown, _destroyed(c, label)]


def _destroyed(c: Context, label: Issued) -> Prompt:
    return Prompt(
        phase=c.phase.id,
        key=f"{DESTROY}:{label.id}",
        kind="confirm",
        title=f"Destroy label {label.short}",
        instruction=f"Cut label {label.short} through its symbols and throw it away. "
        "A second person sees it and confirms.",
        button="I saw it destroyed",
        needs="second_person",
        roles=VERIFY_ROLES,
        not_by=(_voided_by(c, label),),
        content=c.content({"key": DESTROY, "label": label.id}),
        facts=listed(c.run),
    )


def _voided_by(c: Context, label: Issued) -> str:
    found = c.run.last(ev.LabelVoided, label_id=label.id)
    return found[0].actor if found else ""


def _report_missing(c: Context, labels: list[Issued]) -> list[Prompt]:
    there = [one for one in labels if one.state not in ("missing", "lost", "destroyed")]
    if not there:
        return []
    which = Field(
        name="label",
        label="Which label is not there?",
        kind="choice",
        choices=tuple(Choice(one.id, f"Label {one.short}") for one in there),
    )
    return [
        Prompt(
            phase=c.phase.id,
            key="missing",
            kind="enter",
            title="A label is missing",
            instruction="Say so only if a label cannot be found. The step is held and a deviation is opened.",
            button="A label is missing",
            fields=(which,),
            facts=listed(c.run),
        )
    ]


def _of_missing(c: Context, label: Issued) -> list[Prompt]:
    """Found after all, or signed for by two persons once it was searched for."""
    found = Prompt(
        phase=c.phase.id,
        key=f"{FOUND}:{label.id}",
        kind="scan",
        title=f"Label {label.short} is missing",
        instruction=f"{SEARCH} If it is found, show it to the camera.",
        button="It is found: scan",
        expects=f"Label {label.id}",
        action=f"show label {label.id}",
        facts=listed(c.run),
    )
    destroyed = _destroyed(c, label)
    searched = c.run.confirmed(f"{SEARCHED_KEY}:{label.id}")
    if searched is None or searched[0].seq < _missing_since(c, label):
        return [found, destroyed, _searched(c, label)]
    return [*_signatures(c, label, searched[1].values[SEARCHED.name]), found, destroyed]


def _missing_since(c: Context, label: Issued) -> int:
    missing = c.run.last(ev.LabelMissing, label_id=label.id)
    return missing[0].seq if missing else 0


def _searched(c: Context, label: Issued) -> Prompt:
    return Prompt(
        phase=c.phase.id,
        key=f"{SEARCHED_KEY}:{label.id}",
        kind="enter",
        title=f"Label {label.short} was not found",
        instruction="Write where was searched and what is thought to have become of it. "
        "A supervisor and a second person sign it.",
        button="It was not found",
        fields=(SEARCHED,),
        facts=listed(c.run),
    )


def _signatures(c: Context, label: Issued, reason: str) -> list[Prompt]:
    approved = _given(c, label, APPROVED)
    key, meaning = (APPROVED, "approved") if approved is None else (VERIFIED, "verified")
    content = {"key": key, "label": label.id, "reason": reason, "as": meaning}
    return [
        Prompt(
            phase=c.phase.id,
            key=f"{key}:{label.id}",
            kind="sign",
            title=f"Label {label.short} stays missing",
            instruction="Sign that this label is missing and that the step goes on without it. "
            "It stays on record, and the next line clearance reminds of it.",
            button="Sign",
            needs="second_signature",
            meaning=meaning,
            roles=("supervisor",) if approved is None else VERIFY_ROLES,
            not_by=(approved,) if approved else (),
            content=c.content(content),
            facts=(PromptFact("Searched", reason), *listed(c.run)),
        )
    ]


def _given(c: Context, label: Issued, key: str) -> str | None:
    """Who signed since the label was last said to be missing."""
    found = c.run.confirmed(f"{key}:{label.id}")
    return found[0].actor if found is not None and found[0].seq > _missing_since(c, label) else None


def answered(c: Context, prompt: Prompt, values: dict[str, str], actor: Actor) -> list[ev.Event]:
    """What an answer makes true beyond its being given."""
    what, _, serial = prompt.key.partition(":")
    if what == DESTROY:
        return [
            ev.LabelDestroyed(phase=c.phase.id, label_id=serial, person=prompt.not_by[0], witness=actor.id)
        ]
    if prompt.key == "missing":
        return _missing(c, next(one for one in issued(c.run) if one.id == values["label"]))
    return []


def _missing(c: Context, label: Issued) -> list[ev.Event]:
    words = (
        f"Label {label.short} ({label.id}) of this batch was printed and is not there. "
        f"{len(printed(c.run))} labels were printed."
    )
    missing = ev.LabelMissing(phase=c.phase.id, label_id=label.id, words=words)
    void = ev.LabelVoided(phase=c.phase.id, label_id=label.id, reason="It is missing")
    return [
        *([void] if label.voided is None else []),
        missing,
        deviation(c, words),
        *hold(c, "label_missing", words, action=SEARCH),
    ]


def advance(c: Context) -> list[ev.Event]:
    """A loss that two persons signed for, then the reconciliation once the count is confirmed."""
    labels = printed(c.run)
    for one in labels:
        if one.state == "missing" and (accepted := _accepted(c, one)) is not None:
            return [accepted]
    if any(one.is_open for one in labels) or not confirmed_by_two(c, "reconcile"):
        return []
    counted = totals(labels)
    return [
        ev.LabelsReconciled(
            phase=c.phase.id,
            printed=len(labels),
            labels={one.id: COUNTED[one.state] for one in labels},
            applied=counted["applied"],
            void=counted["void"],
            destroyed=counted["destroyed"],
            missing=counted["missing"],
        )
    ]


def _accepted(c: Context, label: Issued) -> ev.LabelLossAccepted | None:
    first, second = _given(c, label, APPROVED), _given(c, label, VERIFIED)
    searched = c.run.confirmed(f"{SEARCHED_KEY}:{label.id}")
    if first is None or second is None or searched is None:
        return None
    return ev.LabelLossAccepted(
        phase=c.phase.id,
        label_id=label.id,
        first_person=first,
        second_person=second,
        reason=searched[1].values[SEARCHED.name],
    )


def check(c: Context, values: dict[str, str]) -> None:
    """The count of people against the states of the serials; raises `NotPlausible`."""
    labels = printed(c.run)
    counted, told = totals(labels), {name: int(value) for name, value in values.items()}
    if sum(told.values()) != len(labels) - counted["missing"]:
        lost = f" {counted['missing']} are signed for as missing." if counted["missing"] else ""
        raise NotPlausible(
            f"{len(labels)} labels were printed, {sum(told.values())} are told.{lost} Count again. "
            "If one is not there, say which: no other number opens this step."
        )
    differing = [name for name, number in told.items() if number != counted[name]]
    if differing:
        said = ", ".join(f"{number} {name}" for name, number in counted.items() if name in told)
        raise NotPlausible(f"By their serials there are {said}. Look at the list and count again.")


def reminders(c: Context) -> tuple[PromptFact, ...]:
    """What was never found at this station, for whoever clears the line."""
    if c.batch.opened.rules < RULES_FROM:
        return ()
    return tuple(
        PromptFact("Missing label", f"{label} of batch {batch} was never found. Look for it.")
        for label, batch in sorted(c.unit.missing_labels.items())
    )
