"""From the courier's hands into the unit's: seal, temperature on arrival, and the log of the transport.

All of it comes before the shipper is opened, so that nobody types while a bag warms up. A recipe asks
for it by its instructions `custody` and `transport_log`; one that has neither begins with the bag.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from appliance.domain import custody, transport_log
from appliance.domain import events as ev
from appliance.domain.batch import Fact
from appliance.domain.phase_logic import (
    Context,
    alarm,
    check_limit,
    corrected_limit,
    deviation,
    hold,
    import_pending,
)
from appliance.domain.prompts import Choice, Field, Prompt, PromptFact
from appliance.domain.quantity import plain
from appliance.domain.recipe import Phase

CUSTODY, LOG = custody.KEY, transport_log.KEY
ARRIVAL = {"arrival_temperature_max": "degC", "arrival_temperature_min": "degC"}
TRANSPORT = {"transport_outside": "min", "transport_gap": "min"}
ARRIVAL_WORDS = "Temperature on arrival"
# How far the logger's own clock may be off ours before its log is taken for that of another transport.
CLOCK_DIFFERENCE = timedelta(minutes=15)

COURIER = Field(name="courier", label="Courier: name or number", kind="text")
SEAL_NUMBER = Field(name="seal_number", label="Number on the seal", kind="text")
SEAL = Field(
    name="seal",
    label="Seal of the shipper",
    kind="choice",
    choices=(Choice("intact", "Intact"), Choice("broken", "Broken or missing")),
)
TEMPERATURE = Field(
    name="arrival_temperature",
    label=ARRIVAL_WORDS,
    kind="number",
    unit="degC",
    minimum="-210",
    maximum="60",
    decimals=1,
)
SHIPPER = Field(name="shipper", label="Number of the shipper", kind="text")
HAS_LOG = Field(
    name="log",
    label="Temperature log",
    kind="choice",
    choices=(Choice("yes", "The logger's file is here"), Choice("none", "There is no file")),
)


def asked(phase: Phase) -> bool:
    return CUSTODY in phase.instruction


def log_asked(phase: Phase) -> bool:
    return asked(phase) and LOG in phase.instruction


def limits(phase: Phase) -> dict[str, str]:
    """The limits that a recipe must give where it asks for custody."""
    return (ARRIVAL if asked(phase) else {}) | (TRANSPORT if log_asked(phase) else {})


def fields(phase: Phase) -> tuple[Field, ...]:
    """What is typed; the number of the shipper comes from its log, where there is one."""
    last = HAS_LOG if log_asked(phase) else SHIPPER
    return (COURIER, SEAL_NUMBER, SEAL, TEMPERATURE, last) if asked(phase) else ()


def range_c(phase: Phase) -> tuple[Decimal, Decimal]:
    """The range in which the transport has to stay: that of the arrival."""
    low, high = phase.limits["arrival_temperature_min"].action, phase.limits["arrival_temperature_max"].action
    assert low is not None, "the recipe check has looked"
    assert high is not None, "the recipe check has looked"
    return low.in_unit("degC"), high.in_unit("degC")


def is_done(c: Context) -> bool:
    """Whether the shipper is in the unit's hands and its log is on record, as far as the recipe asks."""
    if not asked(c.phase):
        return True
    entered = c.run.confirmed(CUSTODY)
    if entered is None:
        return False
    return not _awaits_log(c) or c.run.has(ev.TransportRecorded)


def _awaits_log(c: Context) -> bool:
    entered = c.run.confirmed(CUSTODY)
    return log_asked(c.phase) and entered is not None and entered[1].values.get("log") == "yes"


# ── What is asked ──────────────────────────────────────────────────────────────────────


def prompts(c: Context) -> list[Prompt]:
    """The next question; empty when all is answered or a file is being read."""
    if c.run.confirmed(CUSTODY) is None:
        prompt = Prompt(
            phase=c.phase.id,
            key=CUSTODY,
            kind="enter",
            title=f"{c.phase.title}: the shipper",
            instruction=c.phase.instruction[CUSTODY],
            button="Take the shipper",
            fields=fields(c.phase),
            action=c.phase.action.get(CUSTODY, ""),
        )
        return [prompt]
    if import_pending(c):
        return []
    refused = c.run.last(ev.ExchangeFileRefused)
    return [
        Prompt(
            phase=c.phase.id,
            key=LOG,
            kind="import",
            title=f"{c.phase.title}: temperature log",
            instruction=c.phase.instruction[LOG],
            button="Choose the file",
            facts=(PromptFact("Last file", refused[1].words, True),) if refused else (),
            action=c.phase.action.get(LOG, ""),
        )
    ]


def facts(c: Context) -> list[PromptFact]:
    """What a screen shows of it."""
    said: list[PromptFact] = []
    taken = c.run.last(ev.CustodyTransferred)
    if taken is not None:
        seal = f"{taken[1].seal_number}, {taken[1].seal}"
        said.append(PromptFact("Seal", seal, taken[1].seal != "intact"))
        said.append(PromptFact(ARRIVAL_WORDS, f"{taken[1].temperature_c} °C"))
    moved = c.run.last(ev.TransportRecorded)
    if moved is not None:
        words = f"{moved[1].lowest_c} to {moved[1].highest_c} °C, {moved[1].outside_min} min outside"
        said.append(PromptFact("Transport", words, moved[1].verdict != "pass"))
    return said


# ── What follows ───────────────────────────────────────────────────────────────────────


def advance(c: Context) -> list[ev.Event]:
    """The hand-over by the courier, and what its values cross; empty when nothing is left to say."""
    entered = c.run.confirmed(CUSTODY) if asked(c.phase) else None
    if entered is None:
        return []
    if not c.run.has(ev.CustodyTransferred):
        return [_transferred(c, entered)]
    values = entered[1].values
    if values["seal"] == "broken":
        words = f"The seal {values['seal_number']} of the shipper is broken or missing."
        held = _held_once(c, "seal_broken", words)
        if held:
            return held
    if values.get("log") == "none":
        held = _held_once(c, "no_transport_log", "No temperature log came with the shipper.")
        if held:
            return held
    temperature = Decimal(values[TEMPERATURE.name])
    for name, unit in ARRIVAL.items():
        crossed = check_limit(c, name, temperature, unit, ARRIVAL_WORDS)
        if crossed:
            return crossed
    return _of_transport(c, values["seal_number"])


def _transferred(c: Context, entered: tuple[Fact, ev.InstructionConfirmed], remarks: str = "") -> ev.Event:
    values = entered[1].values
    return ev.CustodyTransferred(
        phase=c.phase.id,
        coi=c.batch.order.coi,
        kind="bag",
        key=custody.bag_of(c.batch),
        giver=values["courier"],
        receiver=entered[0].actor,
        place=c.batch.opened.site,
        holder=custody.UNIT,
        seal_number=values["seal_number"],
        seal=values["seal"],
        temperature_c=values[TEMPERATURE.name],
        shipper=values.get("shipper", ""),
        packing=c.phase.text.get("packing", ""),
        remarks=remarks,
    )


def _held_once(c: Context, reason: str, words: str) -> list[ev.Event]:
    """A deviation and a hold that a supervisor ends; it speaks once."""
    if c.run.has(ev.PhaseHolding, reason=reason):
        return []
    action = "Leave the shipper closed. Call the supervisor."
    return [deviation(c, words), *hold(c, reason, words, action=action)]


def _of_transport(c: Context, seal_number: str) -> list[ev.Event]:
    found = c.run.last(ev.TransportRecorded)
    if found is None:
        return []
    moved = found[1]
    if moved.seal_number and moved.seal_number != seal_number:
        words = f"The sender closed the shipper with seal {moved.seal_number}. Here is seal {seal_number}."
        held = _held_once(c, "seal_differs", words)
        if held:
            return held
    longest = max((Decimal(one["minutes"]) for one in moved.gaps), default=Decimal(0))
    outside = Decimal(moved.outside_min)
    return check_limit(c, "transport_outside", outside, "min", "Transport outside its range") or check_limit(
        c, "transport_gap", longest, "min", "Transport without a reading"
    )


def corrected(c: Context, fact: Fact, correction: ev.ValueCorrected) -> list[ev.Event]:
    """The hand-over is told anew with what was corrected, and a limit that is crossed only now speaks."""
    entered, newest = c.run.confirmed(CUSTODY), c.run.last(ev.CustodyTransferred)
    if entered is None or newest is None or newest[0].seq > fact.seq:
        return []
    events = [_transferred(c, entered, f"corrected by entry {fact.seq}")]
    if correction.field == TEMPERATURE.name:
        for name in ARRIVAL:
            value = Decimal(correction.new)
            events += corrected_limit(c, correction, name, ARRIVAL_WORDS, value=value)
    return events


# ── The file of the logger ─────────────────────────────────────────────────────────────


def imported(c: Context, read: ev.ExchangeFileRead) -> list[ev.Event]:
    """The log is taken whole, with what it says of gaps and excursions, or refused whole."""
    reason, words = _why_not(c, read)
    if not reason:
        accepted = ev.ExchangeFileAccepted(
            phase=c.phase.id, import_id=read.import_id, file=read.file, blob=read.blob
        )
        return [accepted, _recorded(c, read)]
    words = f"{read.file}: {words}"
    refused = ev.ExchangeFileRefused(
        phase=c.phase.id,
        import_id=read.import_id,
        file=read.file,
        sha256=read.sha256,
        reason=reason,
        words=words,
    )
    action = "Choose the file of this transport. Without one, call the supervisor."
    return [
        refused,
        alarm(c, "exchange_file", priority="low", title="File refused", cause=words, action=action),
    ]


def _why_not(c: Context, read: ev.ExchangeFileRead) -> tuple[str, str]:
    if read.reason:
        return read.reason, read.words
    if read.used_in:
        return "used", f"This log was taken already, in batch {read.used_in}."
    if not c.unit.time_trusted:
        return (
            "time_untrusted",
            "This unit's clock is not trusted, so it cannot tell whether the log is of this transport. "
            "Two persons compare it with a reference clock first.",
        )
    ended = datetime.fromisoformat(read.ended)
    if ended > c.now + CLOCK_DIFFERENCE:
        return (
            "other_run",
            f"It ends {ended:%d %b %Y %H:%M} UTC, which is not yet. Look at the logger's clock.",
        )
    return "", ""


def _recorded(c: Context, read: ev.ExchangeFileRead) -> ev.TransportRecorded:
    said = {one["name"]: one["value"] for one in read.results}
    stretches = {
        name: [
            {key: value for key, value in one.items() if key in ("at", "minutes", "furthest_c")}
            for one in read.results
            if one["name"] == name
        ]
        for name in ("gap", "excursion")
    }
    # What nobody measured between the last reading and the unit's hands is a gap as any other.
    since = Decimal(c.elapsed_s(datetime.fromisoformat(read.ended))) / 60
    if since > transport_log.GAP_MIN:
        last = {"at": read.ended, "minutes": plain(since.quantize(Decimal("0.1")))}
        stretches["gap"].append(last)
    outside, gap = c.phase.limits["transport_outside"], c.phase.limits["transport_gap"]
    longest = max((Decimal(one["minutes"]) for one in stretches["gap"]), default=Decimal(0))
    verdict = "excursion" if outside.crossed_level(Decimal(said["outside"]), "min") == "action" else "pass"
    if verdict == "pass" and gap.crossed_level(longest, "min") == "action":
        verdict = "gap"
    return ev.TransportRecorded(
        phase=c.phase.id,
        coi=c.batch.order.coi,
        key=custody.bag_of(c.batch),
        shipper=read.serial_number,
        logger=said["logger"],
        packing=c.phase.text.get("packing", ""),
        sent_from=said["sent_from"],
        sent_to=said["sent_to"],
        started=read.started,
        ended=read.ended,
        readings=int(said["readings"]),
        lowest_c=said["lowest"],
        highest_c=said["highest"],
        range_c=[said["range_low"], said["range_high"]],
        gaps=stretches["gap"],
        excursions=stretches["excursion"],
        outside_min=said["outside"],
        verdict=verdict,
        blob=read.blob,
        seal_number=said["seal"],
    )
