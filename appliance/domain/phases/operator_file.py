"""The file that a device exported: whose it is, whether it speaks of this run, and what it says."""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec
from appliance.domain.errors import NotPlausible
from appliance.domain.phase_logic import Context, alarm
from appliance.domain.phases import operator_label
from appliance.domain.phases.operator_results import check_recovery, fields_of
from appliance.domain.prompts import Prompt, PromptFact

KEY = "exchange_file"
# How far the device's own clock may be off ours before its file is taken for that of another run.
CLOCK_DIFFERENCE = timedelta(minutes=15)
HASH_GROUPS = 3  # as many as a small screen shows in one line


class Contradiction(Exception):
    """The file was read, and does not belong to this phase; `reason` is a key."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


def prompt(c: Context) -> Prompt:
    """Choose the file; the screen lists those in the station's folder."""
    refused = c.run.last(ev.ExchangeFileRefused)
    return Prompt(
        phase=c.phase.id,
        key=KEY,
        kind="import",
        title=f"{c.phase.title}: file of the device",
        instruction=c.phase.instruction.get(
            KEY, "Export the run on the device. Put its stick into the station. Then choose the file."
        ),
        button="Choose the file",
        facts=(PromptFact("Last file", refused[1].words),) if refused else (),
        action=c.phase.action.get(KEY, ""),
    )


def accepted(c: Context) -> ev.ExchangeFileRead | None:
    """The file that counts: the newest one that was accepted."""
    found = c.run.last(ev.ExchangeFileAccepted)
    read = c.run.last(ev.ExchangeFileRead, import_id=found[1].import_id) if found else None
    return read[1] if read else None


def values(c: Context) -> dict[str, str]:
    """The numbers that the recipe asks and the file gives; of others nothing is taken."""
    file = accepted(c)
    said = {one["name"]: one["value"] for one in file.results} if file else {}
    return {field.name: said[field.name] for field in fields_of(c.phase) if field.name in said}


def sources(c: Context) -> dict[str, str]:
    """Where each imported value comes from, for the record."""
    file = accepted(c)
    if file is None:
        return {}
    words = f"file {file.file}, SHA-256 {short(file.blob)}, verified by a second person"
    return dict.fromkeys(values(c), words)


def facts(c: Context) -> tuple[PromptFact, ...]:
    """The file's name and hash, of which run and device it is."""
    file = accepted(c)
    if file is None:
        return ()
    device = () if operator_label.known(c) else (PromptFact("Its device", file.serial_number),)
    return (
        PromptFact("File", file.file),
        PromptFact("SHA-256", f"{short(file.blob)} …"),
        PromptFact("Its run", _run_words(file)),
        *device,
    )


def _run_words(file: ev.ExchangeFileRead) -> str:
    started, ended = datetime.fromisoformat(file.started), datetime.fromisoformat(file.ended)
    if started.date() == ended.date():
        return f"{started:%H:%M} to {ended:%H:%M} UTC"
    return f"{started:%d %b %H:%M} to {ended:%d %b %H:%M} UTC"


def said(c: Context) -> tuple[PromptFact, ...]:
    """What the file says, for whoever takes it over."""
    file = accepted(c)
    if file is None:
        return ()
    numbers = {one["name"]: f"{one['value']} {one['unit']}".strip() for one in file.results}
    asked = {field.name: field.label for field in fields_of(c.phase)}
    rest = len(numbers.keys() - asked.keys())
    return (
        *(PromptFact(asked[name], text) for name, text in numbers.items() if name in asked),
        *((PromptFact("Not asked for", f"{rest} more results in the file"),) if rest else ()),
    )


def short(sha256: str) -> str:
    """The beginning of a hash in groups, as two people compare it."""
    return " ".join(sha256[4 * n : 4 * n + 4] for n in range(HASH_GROUPS))


def judged(c: Context, device: DeviceSpec | None, read: ev.ExchangeFileRead) -> list[ev.Event]:
    """The file is accepted whole, or refused whole with what contradicts."""
    try:
        if read.reason:
            raise Contradiction(read.reason, read.words)
        _refuse_used(c, read)
        _refuse_other_run(c, device, read)
        _refuse_values(c, read)
    except Contradiction as why:
        words = f"{read.file}: {why}"
        refused = ev.ExchangeFileRefused(
            phase=c.phase.id,
            import_id=read.import_id,
            file=read.file,
            sha256=read.sha256,
            reason=why.reason,
            words=words,
        )
        action = "Choose the file of this run, or enter the results by hand."
        return [
            refused,
            alarm(c, "exchange_file", priority="low", title="File refused", cause=words, action=action),
        ]
    return [
        ev.ExchangeFileAccepted(phase=c.phase.id, import_id=read.import_id, file=read.file, blob=read.blob)
    ]


def _refuse_used(c: Context, read: ev.ExchangeFileRead) -> None:
    if c.run.confirmed("result") is not None:
        raise Contradiction("too_late", "The results were recorded before this file was read.")
    if read.used_in:
        raise Contradiction("used", f"This file was taken over already, in batch {read.used_in}.")
    for _, other in c.batch.all(ev.ExchangeFileAccepted, blob=read.blob):
        if other.phase != c.phase.id:
            title = c.batch.recipe.phases[other.phase].title
            raise Contradiction("used", f"This file was taken over already, in '{title}'.")


def _refuse_other_run(c: Context, device: DeviceSpec | None, read: ev.ExchangeFileRead) -> None:
    expected = operator_label.known(c) or operator_label.qualified_serial(c, device)
    if expected and read.serial_number != expected:
        raise Contradiction(
            "wrong_device",
            f"It is of device {read.serial_number}. Here stands {expected}. Take the right stick.",
        )
    programme = c.phase.text["programme"]
    if read.programme != programme:
        raise Contradiction(
            "wrong_programme",
            f"The device ran {read.programme}. The recipe asks for {programme}. Call the supervisor.",
        )
    if not c.unit.time_trusted:
        raise Contradiction(
            "time_untrusted",
            "This unit's clock is not trusted, so it cannot tell whether the file is of this run. "
            "Two persons compare it with a reference clock first.",
        )
    setup = c.run.confirmed("setup")
    began = setup[0].at if setup else c.now
    started, ended = datetime.fromisoformat(read.started), datetime.fromisoformat(read.ended)
    if started < began - CLOCK_DIFFERENCE or ended > c.now + CLOCK_DIFFERENCE:
        raise Contradiction(
            "other_run",
            f"It is of a run from {started:%d %b %Y %H:%M} to {ended:%d %b %Y %H:%M} UTC. This one began "
            f"{began:%d %b %Y %H:%M} UTC. Take the file of this run, or look at the device's clock.",
        )


def _refuse_values(c: Context, read: ev.ExchangeFileRead) -> None:
    said = {one["name"]: one for one in read.results}
    given = {}
    for field in fields_of(c.phase):
        if field.name not in said:
            continue
        value, unit = said[field.name]["value"], said[field.name]["unit"]
        if unit != field.unit:
            raise Contradiction(
                "other_unit", f"{field.label} comes in '{unit}'. The recipe asks for it in '{field.unit}'."
            )
        try:
            given[field.name] = field.check(value)
        except NotPlausible as fault:
            raise Contradiction("not_plausible", str(fault)) from fault
    if not given:
        raise Contradiction("no_result", "It has none of the results that the recipe asks for.")
    try:
        check_recovery(c.phase, given)
    except NotPlausible as fault:
        raise Contradiction("not_plausible", str(fault)) from fault
