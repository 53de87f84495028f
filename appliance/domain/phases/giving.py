"""Out of the unit's hands: where, under which seal and how warm the dose goes to the ward (F-006).

Asked between the match and the signatures, so that both persons sign for it. A recipe asks for it by
its instruction `custody`; one that has none ends with the signatures alone.
"""

from __future__ import annotations

from decimal import Decimal

from appliance.domain import custody
from appliance.domain import events as ev
from appliance.domain.phase_logic import Context, check_limit, deviation, hold
from appliance.domain.prompts import Choice, Field, Prompt, PromptFact
from appliance.domain.recipe import Phase

CUSTODY = custody.KEY
LIMITS = {"dose_temperature_max": "degC", "dose_temperature_min": "degC"}
WORDS = "Temperature of the dose"

PLACE = Field(name="place", label="Place: ward and bed", kind="text")
SEAL = Field(
    name="box_seal",
    label="Seal of the transport box",
    kind="choice",
    choices=(
        Choice("intact", "Intact"),
        Choice("none", "No seal: carried by hand"),
        Choice("broken", "Broken"),
    ),
)
TEMPERATURE = Field(
    name="dose_temperature",
    label=WORDS,
    kind="number",
    unit="degC",
    minimum="-20",
    maximum="50",
    decimals=1,
)
FIELDS = (PLACE, SEAL, TEMPERATURE)


def asked(phase: Phase) -> bool:
    return CUSTODY in phase.instruction


def limits(phase: Phase) -> dict[str, str]:
    """The limits that a recipe must give where it asks for custody."""
    return LIMITS if asked(phase) else {}


def is_open(c: Context) -> bool:
    """Whether the question is to be answered now."""
    return asked(c.phase) and c.run.confirmed(CUSTODY) is None


def prompt(c: Context) -> Prompt:
    return Prompt(
        phase=c.phase.id,
        key=CUSTODY,
        kind="enter",
        title="Hand-over: the dose",
        instruction=c.phase.instruction[CUSTODY],
        button="Go on to the signatures",
        fields=FIELDS,
    )


def values(c: Context) -> dict[str, str]:
    """What was entered; empty where the recipe does not ask."""
    entered = c.run.confirmed(CUSTODY)
    return dict(entered[1].values) if entered is not None else {}


def facts(c: Context) -> tuple[PromptFact, ...]:
    """What both persons see before they sign."""
    said = values(c)
    if not said:
        return ()
    return (
        PromptFact("Place", said[PLACE.name]),
        PromptFact("Seal", said[SEAL.name], said[SEAL.name] == "broken"),
        PromptFact(WORDS, f"{said[TEMPERATURE.name]} °C"),
    )


def advance(c: Context) -> list[ev.Event]:
    """What the entered values cross; empty when nothing is left to say."""
    said = values(c)
    if not said:
        return []
    if said[SEAL.name] == "broken" and not c.run.has(ev.PhaseHolding, reason="seal_broken"):
        words = "The seal of the transport box is broken."
        action = "Do not give this dose. Call the supervisor."
        return [deviation(c, words), *hold(c, "seal_broken", words, action=action)]
    for name, unit in LIMITS.items():
        crossed = check_limit(c, name, Decimal(said[TEMPERATURE.name]), unit, WORDS)
        if crossed:
            return crossed
    return []


def transferred(c: Context, giver: str, receiver: str, dose: str) -> list[ev.Event]:
    """The dose passes to the ward."""
    said = values(c)
    if not said:
        return []
    return [
        ev.CustodyTransferred(
            phase=c.phase.id,
            coi=c.batch.order.coi,
            kind="dose",
            key=dose,
            giver=giver,
            receiver=receiver,
            place=said[PLACE.name],
            holder=custody.WARD,
            seal=said[SEAL.name],
            temperature_c=said[TEMPERATURE.name],
            packing=c.phase.text.get("packing", ""),
        )
    ]
