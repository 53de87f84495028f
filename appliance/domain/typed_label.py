"""A label that could not be read is typed by two people, who do not see each other's entry (F-005).

It is offered after a look that read nothing, never after a label that was read and was the wrong one. Both
entries must be equal; then they are decided upon like a picture, so every gate holds. Which labels may be
typed is decided in one place (`KIND_OF`): not the label that this unit has just printed, for one that cannot
be read is void and another one is printed, and no wristband without its check character.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from appliance.domain import events as ev
from appliance.domain import typed_entry
from appliance.domain.batch import Fact
from appliance.domain.phase_logic import Context, deviation, hold, second_person_window
from appliance.domain.prompts import Field, Prompt, PromptFact
from appliance.domain.roles import VERIFY_ROLES, WORK_ROLES, Actor
from appliance.domain.scans import CANCELLED, TWO_LABELS, Scanned

RULES_FROM = 4  # the first `BatchOpened.rules` by which a label may be typed
TRIES_MAX = 3
HELD = "typed_differs"
PREFIX = "typed:"
SYMBOLOGY = "typed"
# Phase type and key of the scan → what is typed. A key that is not named here cannot be typed.
KIND_OF: Mapping[str, Mapping[str, str]] = {
    "scan_bag": {"bag": typed_entry.BAG},
    "scan_material": {"material": typed_entry.MATERIAL},
    "hand_over": {
        "dose": typed_entry.DOSE,
        "wristband": typed_entry.COI,
        "order": typed_entry.ORDER,
    },
}
LOOK_AGAIN = frozenset({"not_read", "incomplete"})


def kind_of(c: Context, key: str) -> str:
    """What is typed in the place of this scan; empty when it cannot be."""
    return KIND_OF.get(c.phase.type, {}).get(key, "")


def is_typed(prompt: Prompt) -> bool:
    """Whether this asks for what a label says, and not for the label."""
    return bool(prompt.typed)


# ── What is asked ──────────────────────────────────────────────────────────────────────────


def offered(c: Context, prompts: list[Prompt]) -> list[Prompt]:
    """The prompts of a phase, and after each scan that read nothing the way to type it."""
    if c.batch.opened.rules < RULES_FROM:
        return prompts
    asked: list[Prompt] = []
    for prompt in prompts:
        typed = _typed_prompt(c, prompt) if prompt.kind == "scan" else None
        if typed is None:
            asked.append(prompt)
        else:
            # What is expected stands beside neither entry: both are read from the label.
            asked += [_without_answer(prompt), typed]
    return asked


def _without_answer(prompt: Prompt) -> Prompt:
    return Prompt(
        phase=prompt.phase,
        key=prompt.key,
        kind=prompt.kind,
        title=prompt.title,
        instruction=prompt.instruction,
        button=prompt.button,
        needs=prompt.needs,
        roles=prompt.roles,
        not_by=prompt.not_by,
        facts=prompt.facts,
        action=prompt.action,
        formats=prompt.formats,
    )


def _typed_prompt(c: Context, scan: Prompt) -> Prompt | None:
    kind = kind_of(c, scan.key)
    if not kind or not _was_not_read(c, scan.key):
        return None
    first = _first(c, scan.key)
    fields = tuple(
        Field(name=part, label=typed_entry.label_of(part), kind="text") for part in typed_entry.PARTS_OF[kind]
    )
    tries = _tries(c, scan.key)
    facts = (PromptFact("Entries that differed", f"{tries} of {TRIES_MAX}", True),) if tries else ()
    if first is None:
        return Prompt(
            phase=scan.phase,
            key=PREFIX + scan.key,
            kind="enter",
            title=f"Type the number: {scan.title}",
            instruction="The label could not be read. Type what stands on the label itself, with the "
            "boxed check character. A different person types it again after you.",
            button="Type the number",
            roles=WORK_ROLES,
            fields=fields,
            facts=facts,
            typed=kind,
        )
    return Prompt(
        phase=scan.phase,
        key=f"{PREFIX}{scan.key}.verify",
        kind="enter",
        title=f"Type the number: {scan.title}: second person",
        instruction="Take the label in hand yourself and type what stands on it. "
        "What the first person typed is not shown.",
        button="Type it again",
        needs="second_person",
        roles=VERIFY_ROLES,
        not_by=(first[0].actor,),
        fields=fields,
        facts=facts,
        until=first[0].at + second_person_window(c),
        typed=kind,
    )


def _was_not_read(c: Context, key: str) -> bool:
    """Whether the newest look at this label gave nothing that could be decided upon."""
    looked = c.run.last(ev.ScanRead, key=key)
    if looked is None or _after_restart(c, looked[0]):
        return False
    fact, read = looked
    if {TWO_LABELS, CANCELLED} & set(read.reasons) or c.run.has(ev.ScanCancelled, scan_id=read.scan_id):
        return False
    reasons = [
        found[1].reason
        for found in (c.run.last(ev.BagRefused), c.run.last(ev.MaterialRefused))
        if found is not None and found[0].seq > fact.seq
    ]
    return bool(reasons) and set(reasons) <= LOOK_AGAIN


def _after_restart(c: Context, fact: Fact) -> bool:
    """A person restarted the phase since: the label is looked at anew first."""
    restarted = c.run.last(ev.PhaseRestarted)
    return restarted is not None and restarted[0].seq > fact.seq


def _first(c: Context, key: str) -> tuple[Fact, ev.LabelTyped] | None:
    """The first entry that waits for its second person."""
    typed = c.run.last(ev.LabelTyped, key=key)
    if typed is None or typed[1].part != "first" or typed[0].seq in c.run.lapsed:
        return None
    seq = typed[0].seq
    since = (c.run.last(ev.TypedEntriesDiffered, key=key), c.run.last(ev.ScanRead, key=key))
    over = any(one is not None and one[0].seq > seq for one in since) or _after_restart(c, typed[0])
    return None if over else typed


def _tries(c: Context, key: str) -> int:
    """How often two entries differed since the phase began or a supervisor restarted it."""
    restarted = c.run.last(ev.PhaseRestarted)
    since = restarted[0].seq if restarted is not None else 0
    return sum(fact.seq > since for fact, _ in c.run.all(ev.TypedEntriesDiffered, key=key))


# ── What follows ───────────────────────────────────────────────────────────────────────────


def answered(
    c: Context, prompt: Prompt, values: Mapping[str, str], scanned: Scanned, actor: Actor
) -> list[ev.Event]:
    """What an entry makes true; raises `NotPlausible` at once when its check character does not fit."""
    key = prompt.key.removeprefix(PREFIX).removesuffix(".verify")
    entry = typed_entry.entry_of(prompt.typed, values)
    first, own = _first(c, key), _hash(entry, c.batch.id, actor.id)
    if first is None or prompt.needs != "second_person":
        return [ev.LabelTyped(phase=c.phase.id, key=key, part="first", entry_sha256=own)]
    if first[1].entry_sha256 != _hash(entry, c.batch.id, first[0].actor):
        return _differed(c, key)
    number = 1 + len(c.batch.all(ev.LabelTyped, part="second"))
    confirmed = ev.LabelTyped(
        phase=c.phase.id,
        key=key,
        part="second",
        entry_sha256=own,
        number=number,
        first_seq=first[0].seq,
    )
    read = ev.ScanRead(
        phase=c.phase.id,
        key=key,
        scan_id=f"{c.batch.id}-T{number}",
        texts=list(entry.texts),
        symbologies=[SYMBOLOGY] * len(entry.texts),
        reasons=[],
        picture="",
        identifiers=list(entry.identifiers),
    )
    follows = scanned(c, read)
    opened = sum(isinstance(event, ev.DeviationOpened) for event in follows)
    words = f"{c.phase.title}: a label was typed by two people, not read ({_ordinal(number)} of this batch)."
    return [confirmed, read, *follows, deviation(c, words, "minor", offset=opened)]


def _differed(c: Context, key: str) -> list[ev.Event]:
    tries = _tries(c, key) + 1
    if tries < TRIES_MAX:
        words = f"The two entries differ ({tries} of {TRIES_MAX}). Both read the label again and type anew."
    else:
        words = f"The entries differed {tries} times. Put it aside. A supervisor looks at the label."
    differed = ev.TypedEntriesDiffered(phase=c.phase.id, key=key, tries=tries, words=words)
    if tries < TRIES_MAX:
        return [differed]
    return [differed, *hold(c, HELD, words, action="Put it aside. A supervisor looks at the label.")]


def lapsed(c: Context) -> list[ev.Event]:
    """A first entry whose second person did not come in time counts for nothing."""
    if c.batch.opened.rules < RULES_FROM:
        return []
    for key in KIND_OF.get(c.phase.type, {}):
        first = _first(c, key)
        if first is not None and c.now - first[0].at > second_person_window(c):
            minutes = c.batch.opened.second_person_within_min
            words = f"No second person came within {minutes} min. The first person types it again."
            return [
                ev.FirstActLapsed(
                    phase=c.phase.id,
                    key=PREFIX + key,
                    person=first[0].actor,
                    first_seq=first[0].seq,
                    words=words,
                )
            ]
    return []


def _hash(entry: typed_entry.Entry, batch: str, person: str) -> str:
    """Differs by person and batch, so that nobody sees from it that two entries are equal."""
    said = json.dumps([batch, person, entry.texts, entry.identifiers], separators=(",", ":"))
    return hashlib.sha256(said.encode("utf-8")).hexdigest()


def _ordinal(number: int) -> str:
    return {1: "the first", 2: "the second", 3: "the third"}.get(number, f"number {number}")
