"""From a drawn label to one that is out: one order to the printer, never a second one blindly (SAFETY 4).

The printer alone says that a label is out. Where it was cut short, the printer is asked first; where
nobody knows, because the line was silent or the control computer restarted, a person who looked says.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec, Fact
from appliance.domain.issued_labels import Issued
from appliance.domain.phase_logic import Context, deviation, hold
from appliance.domain.prompts import Choice, Field, Prompt, PromptFact

ROLE, ORDER, CANCEL = "printer", "print", "cancel"
READY = "ready"
DPI = "300"  # what a printer takes an order for that names none
# What a printer's state means, and what to do.
WHAT_TO_DO = {
    "paper_out": "The printer is out of labels. Load a roll and close the printer.",
    "ribbon_out": "The printer's ribbon is at its end. Load a ribbon and close the printer.",
    "head_open": "The printer is open. Close it.",
    "paused": "The printer is paused. Press its pause key once.",
    "error": "The printer shows a fault. Look at its display.",
    "printing": "The printer is printing.",
}
SILENT = "The printer does not answer. Look at its cable and power."
NOT_QUALIFIED = "This is not the qualified printer. Connect that one, or call maintenance."
CUT_SHORT = frozenset({"paper_out", "ribbon_out", "head_open", "paused", "error"})
# The printer was given nothing: that is certain.
NOT_TAKEN = frozenset({"refused", "dpi", "printing"})
SURPLUS = "surplus"  # more came out than was ordered

WHOLE, DAMAGED, NOTHING = "whole", "damaged", "nothing"
CAME_OUT = Field(
    name="came_out",
    label="What came out of the printer?",
    kind="choice",
    choices=(
        Choice(WHOLE, "One label, whole and readable"),
        Choice(DAMAGED, "A label that is damaged or incomplete"),
        Choice(NOTHING, "Nothing came out"),
    ),
)


@dataclass(frozen=True, slots=True)
class Job:
    """The newest order for one label and how it ended.

    `state` is `pending`, `out`, `not_taken`, `cut_short` or `unknown`.
    """

    fact: Fact
    order: ev.DeviceOrdered
    state: str
    words: str = ""
    fault: str = ""


def printer_of(c: Context) -> DeviceSpec | None:
    return c.unit.device_of(ROLE)


def advance(c: Context, label: Issued) -> list[ev.Event]:
    """What follows for a label that is not out yet."""
    if label.drawn is None:
        return []
    if printer_of(c) is None:
        return [is_out(c, label, said_by="")]
    job = _job(c, label)
    if job is None or _is_to_be_sent_again(c, job):
        return _sent(c, label)
    if c.run.confirmed(_cancel_key(c, job)) is not None:
        return [c.order(ROLE, CANCEL, {})]
    if job.state == "out" or (job.state == "cut_short" and _came_out_since(c, job)):
        out = is_out(c, label, said_by=ROLE, order_id=job.order.order_id)
        return [out, *(_surplus(c, label, job) if job.words and job.fault == SURPLUS else [])]
    return []


def _surplus(c: Context, label: Issued, job: Job) -> list[ev.Event]:
    """More labels than were ordered lie about: they are gathered before anything else is done."""
    words = f"Label {label.short}: {job.words}"
    action = "Gather every label. Keep one whole one; destroy the others before the supervisor, who restarts."
    return [deviation(c, words), *hold(c, "label_surplus", words, action=action)]


def is_out(c: Context, label: Issued, *, said_by: str, order_id: str = "") -> ev.LabelPrinted:
    drawn, printer = label.drawn, printer_of(c)
    assert drawn is not None, label.id
    return ev.LabelPrinted(
        phase=c.phase.id,
        label_id=label.id,
        picture=drawn.picture,
        texts=drawn.texts,
        template=drawn.template,
        version=drawn.version,
        sha256=drawn.sha256,
        printer=printer.id if printer else "",
        order_id=order_id,
        said_by=said_by,
    )


def _jobs(c: Context, label: Issued) -> list[tuple[Fact, ev.DeviceOrdered]]:
    return [
        (fact, order)
        for fact, order in c.run.all(ev.DeviceOrdered, name=ORDER)
        if (order.parameters["job"] + "-").startswith(label.id + "-")
    ]


def _job(c: Context, label: Issued) -> Job | None:
    jobs = _jobs(c, label)
    if not jobs:
        return None
    fact, order = jobs[-1]
    reported = c.run.last(ev.DeviceReported, order_id=order.order_id)
    if reported is not None:
        came_out = _number(reported[1].result.get("printed", "")) or 0
        return Job(fact, order, "out" if came_out else "unknown")
    refused = c.run.last(ev.DeviceRefusedOrder, order_id=order.order_id)
    if refused is None:
        return Job(fact, order, "pending")
    told = refused[1]
    if _number(told.result.get("printed", "")):
        return Job(fact, order, "out", told.words, told.fault)
    state = "cut_short" if told.fault in CUT_SHORT else "not_taken" if told.fault in NOT_TAKEN else "unknown"
    return Job(fact, order, state, told.words, told.fault)


def _cancels(c: Context, job: Job) -> list[ev.DeviceOrdered]:
    """The orders to forget this job."""
    return [order for fact, order in c.run.all(ev.DeviceOrdered, name=CANCEL) if fact.seq > job.fact.seq]


def _cancel_key(c: Context, job: Job) -> str:
    """Each order to forget is asked for by itself."""
    return _key(f"cancel{len(_cancels(c, job)) + 1}", job)


def _is_cancelling(c: Context, job: Job) -> bool:
    cancels = _cancels(c, job)
    if not cancels:
        return False
    order_id = cancels[-1].order_id
    return not (
        c.run.has(ev.DeviceReported, order_id=order_id) or c.run.has(ev.DeviceRefusedOrder, order_id=order_id)
    )


def _is_to_be_sent_again(c: Context, job: Job) -> bool:
    """Nothing of this job came out, and a person said so or nothing was sent."""
    if job.state == "not_taken":
        return c.run.confirmed(_key("go_on", job)) is not None
    answered = c.run.confirmed(_key("came_out", job))
    return answered is not None and answered[1].values[CAME_OUT.name] == NOTHING


def _sent(c: Context, label: Issued) -> list[ev.Event]:
    """The order, once the printer says that it is ready and holds nothing of before."""
    if _state(c) != READY or _held(c):
        return []
    drawn, number = label.drawn, len(_jobs(c, label)) + 1
    assert drawn is not None
    job = label.id if number == 1 else f"{label.id}-{number}"
    parameters = {"job": job, "zpl_file": drawn.zpl_file, "copies": "1", "sha256": drawn.zpl_blob}
    if drawn.dpi != DPI:
        parameters["dpi"] = drawn.dpi  # the printer refuses a label that was drawn for another head
    return [c.order(ROLE, ORDER, parameters)]


# ── What the printer says of itself ────────────────────────────────────────────────────


def _state(c: Context) -> str:
    """Its state now; empty when it does not answer."""
    found = c.good(ROLE, "state")
    return (found.value or "") if found else ""


def _held(c: Context) -> int:
    """How many labels it still holds, as far as it says."""
    found = c.good(ROLE, "labels_waiting")
    return (_number(found.value or "") or 0) if found else 0


def _came_out_since(c: Context, job: Job) -> bool:
    """Whether the printer counted a label of a job that it was told to finish."""
    looked = c.run.confirmed(_key("go_on", job))
    if looked is None:
        return False
    done = c.good(ROLE, "labels_done", after=looked[0].at)
    # The count is of the job that was sent last; the reading names it.
    of_this_job = done is not None and done.detail.endswith(f"job {job.order.parameters['job']}")
    return bool(done and of_this_job and _number(done.value or ""))


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _key(what: str, job: Job) -> str:
    return f"{what}:{job.order.order_id}"


def state_words(c: Context) -> str:
    """What the printer's state means for a person; empty while it is ready."""
    printer, state = printer_of(c), _state(c)
    if printer is not None and c.unit.qualified.get(printer.id) is False:
        return NOT_QUALIFIED
    return "" if state == READY else WHAT_TO_DO.get(state, SILENT)


def progress_words(c: Context) -> str:
    """What the phase is doing while its label is not out."""
    return "Printing" if _state(c) in (READY, "printing") or printer_of(c) is None else state_words(c)


# ── What people are asked ──────────────────────────────────────────────────────────────


def prompts(c: Context, label: Issued) -> list[Prompt]:
    """What is asked while a label is not out."""
    if label.drawn is None or printer_of(c) is None:
        return []
    job = _job(c, label)
    if job is None or _is_to_be_sent_again(c, job):
        words = state_words(c)
        return (
            [_waiting(c, label, f"{words} The label is printed as soon as the printer is ready.")]
            if words
            else []
        )
    match job.state:
        case "pending" | "out":
            return []
        case "not_taken":
            return [_go_on(c, label, job, "The printer did not take the label.")]
        case "cut_short" if c.run.confirmed(_key("go_on", job)) is None:
            return [_go_on(c, label, job, "The printer stopped in the middle.")]
    if _held(c):
        words = state_words(c) or "The printer still holds a label."
        waits = _waiting(c, label, f"{words} It prints by itself what it still holds.")
        return [waits, *([] if _is_cancelling(c, job) else [_cancel(c, label, job)])]
    if job.state == "cut_short" and state_words(c):
        return [_waiting(c, label, state_words(c))]
    return [_question(c, label, job)]


def _waiting(c: Context, label: Issued, words: str) -> Prompt:
    return Prompt(
        phase=c.phase.id,
        key=f"printer:{label.id}",
        kind="wait",
        title="The printer is not ready",
        instruction=words,
        button="",
    )


def _go_on(c: Context, label: Issued, job: Job, title: str) -> Prompt:
    told = c.run.last(ev.DeviceRefusedOrder, order_id=job.order.order_id)
    known = WHAT_TO_DO.get(told[1].fault, "") if told else ""
    return Prompt(
        phase=c.phase.id,
        key=_key("go_on", job),
        kind="confirm",
        title=title,
        instruction=f"{known or job.words} Leave what came out in the tray. Then go on.",
        button="Go on",
        action="mend printer",
        facts=(PromptFact("Label", label.short), PromptFact("Printer said", job.words)),
    )


def _cancel(c: Context, label: Issued, job: Job) -> Prompt:
    """A job that came in by half never comes out: only a person knows that nothing moves any more."""
    return Prompt(
        phase=c.phase.id,
        key=_cancel_key(c, job),
        kind="confirm",
        title="Nothing comes out any more",
        instruction="Wait while the printer prints. If it stands still, let it forget what it holds; "
        "then you are asked what came out.",
        button="Let it forget the label",
        facts=(PromptFact("Label", label.short),),
    )


def _question(c: Context, label: Issued, job: Job) -> Prompt:
    return Prompt(
        phase=c.phase.id,
        key=_key("came_out", job),
        kind="enter",
        title=f"Did label {label.short} come out?",
        instruction="Look into the tray and at the printer. It is not known whether this label came out. "
        "It is printed again only if you say that nothing came out.",
        button="Say what came out",
        fields=(CAME_OUT,),
        facts=(
            PromptFact("Label", label.short),
            PromptFact("Printer says now", (state_words(c) or "ready").rstrip(".")),
            PromptFact("Why it is asked", job.words or "The printer counted no label."),
        ),
    )


def answered(
    c: Context, label: Issued, prompt: Prompt, values: dict[str, str], person: str
) -> list[ev.Event]:
    """What a person saw in the tray becomes a fact."""
    said = values.get(CAME_OUT.name, NOTHING) if prompt.key.startswith("came_out:") else NOTHING
    if said == NOTHING:
        return []
    printed = is_out(c, label, said_by=person, order_id=prompt.key.partition(":")[2])
    if said == WHOLE:
        return [printed]
    void = ev.LabelVoided(
        phase=c.phase.id, label_id=label.id, reason="It came out of the printer damaged or incomplete"
    )
    return [printed, void]
