"""What the unit asks of people. A prompt exists exactly while its answer is awaited."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from appliance.domain.errors import CommandRefused, NotPermitted, NotPlausible
from appliance.domain.roles import VERIFY_ROLES, WORK_ROLES, Actor

TEXT_LENGTH_MAX = 200
REASON_LENGTH_MAX = 200
# As the keypad writes it: ASCII digits, nothing that only a program would take for a number.
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class PromptFact:
    """One raw fact a person looks at before deciding."""

    label: str
    value: str
    out_of_limit: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing to enter; a number is checked against its range, a choice against its list."""

    name: str
    label: str
    kind: str  # number choice text
    unit: str = ""
    minimum: str | None = None
    maximum: str | None = None
    decimals: int = 0
    choices: tuple[Choice, ...] = ()

    def check(self, text: str) -> str:
        """The value as it goes to the record; raises `NotPlausible` with the range in words."""
        if self.kind == "choice":
            return self._check_choice(text)
        if self.kind == "number":
            return self._check_number(text)
        if not text.strip() or len(text) > TEXT_LENGTH_MAX:
            raise NotPlausible(f"{self.label}: enter 1 to {TEXT_LENGTH_MAX} characters.")
        return text.strip()

    def _check_choice(self, text: str) -> str:
        if text not in {choice.value for choice in self.choices}:
            options = ", ".join(choice.words for choice in self.choices)
            raise NotPlausible(f"{self.label}: choose one of {options}.")
        return text

    def _check_number(self, text: str) -> str:
        if _NUMBER.fullmatch(text) is None:
            raise NotPlausible(f"{self.label}: '{text[:24]}' is not a number. Enter it in {self.unit}.")
        if len(text.partition(".")[2]) > self.decimals:
            allowed = f"{self.decimals} decimals" if self.decimals else "no decimals"
            raise NotPlausible(
                f"{self.label}: '{text}' is too fine. Enter it with {allowed}, in {self.unit}."
            )
        value = Decimal(text)
        low = self.minimum is not None and value < Decimal(self.minimum)
        high = self.maximum is not None and value > Decimal(self.maximum)
        if low or high:
            raise NotPlausible(
                f"{self.label}: {text} {self.unit} is outside {self.minimum} to {self.maximum} {self.unit}. "
                "Read the display again."
            )
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """See `link.messages.PromptView`, which has the same fields."""

    phase: str
    key: str
    kind: str
    title: str
    instruction: str
    button: str
    needs: str = "session"
    roles: tuple[str, ...] = WORK_ROLES
    not_by: tuple[str, ...] = ()
    meaning: str = ""
    content: str = ""  # the exact text that a signature or a second person's confirmation binds
    facts: tuple[PromptFact, ...] = ()
    fields: tuple[Field, ...] = ()
    picture: str = ""  # blob
    expects: str = ""
    action: str = ""
    until: datetime | None = None  # a second person must have confirmed by then
    typed: str = ""  # which label is typed here in the place of a scan: bag dose material coi order
    formats: tuple[str, ...] = ()  # what the camera looks for, where it is not the label of a bag

    @property
    def id(self) -> str:
        return f"{self.phase}/{self.key}"

    def check_actor(self, actor: Actor) -> None:
        """Raises `NotPermitted` with the words the person needs."""
        if not set(self.roles) & set(actor.roles):
            raise NotPermitted(f"{actor.name} may not do this. It needs: {', '.join(self.roles)}.")
        if actor.id in self.not_by:
            raise NotPermitted(
                f"{actor.name} has done the first part. A different person must do this.",
                reason="same_person",
            )
        wanted = {"second_person": ("pin", "password"), "signature": ("password",)}
        wanted["second_signature"] = ("password",)
        if self.needs in wanted and actor.proof not in wanted[self.needs]:
            what = "PIN" if self.needs == "second_person" else "password"
            raise NotPermitted(f"This needs the {what} of the person, entered now.", reason="proof_missing")

    def check_values(self, values: dict[str, str]) -> dict[str, str]:
        """The entered values, checked; raises `NotPlausible`."""
        names = {field.name for field in self.fields}
        if values.keys() - names:
            raise NotPlausible(f"'{sorted(values.keys() - names)[0]}' is not asked for here.")
        return {field.name: field.check(values.get(field.name, "")) for field in self.fields}


def check_reason(text: str) -> str:
    """The reason as it goes to the record; raises `CommandRefused` (R-10)."""
    text = text.strip()
    if not 3 <= len(text) <= REASON_LENGTH_MAX:
        raise CommandRefused(
            f"Give a reason of 3 to {REASON_LENGTH_MAX} characters.", reason="reason_missing"
        )
    return text


def verification(
    of: Prompt, *, not_by: tuple[str, ...], content: str, until: datetime, facts: tuple[PromptFact, ...]
) -> Prompt:
    """The same matter for a different person, who sees the raw facts first and nobody's conclusion."""
    return Prompt(
        phase=of.phase,
        key=f"{of.key}.verify",
        kind="confirm",
        title=f"{of.title}: second person",
        instruction=of.instruction,
        button="I have checked this myself",
        needs="second_person",
        roles=VERIFY_ROLES,
        not_by=not_by,
        content=content,
        facts=facts,
        picture=of.picture,
        until=until,
    )
