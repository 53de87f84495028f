"""What the operator must be told. `str(error)` is what the screen shows; `reason` is a stable key.

ApplianceError
├── CommandRefused          a person asked for what may not be done now
│   ├── NotSignedIn
│   ├── NotPermitted        the person's roles do not allow it, or two different persons are needed
│   ├── NotOpen             the prompt, alarm or batch is not (any longer) open
│   └── NotPlausible        an entered value is missing, of another unit, or out of range
├── BagNotOfThisBatch       identity: a hard stop
├── RecipeRefused           the recipe file is wrong; every fault with its place
└── QuantityRefused         a number without its unit, or a unit that is not known
"""

from __future__ import annotations


class ApplianceError(Exception):
    """Something the operator must be told."""

    reason = "refused"


class CommandRefused(ApplianceError):
    """What was asked may not be done now."""

    def __init__(self, words: str, *, reason: str | None = None) -> None:
        super().__init__(words)
        if reason is not None:
            self.reason = reason


class NotSignedIn(CommandRefused):
    """Nobody is signed in at this station."""

    reason = "not_signed_in"


class NotPermitted(CommandRefused):
    """This person may not do this; another one may."""

    reason = "not_permitted"


class NotOpen(CommandRefused):
    """What was answered or acted on is not open."""

    reason = "not_open"


class NotPlausible(CommandRefused):
    """A value is missing or out of its range."""

    reason = "not_plausible"


class BagNotOfThisBatch(ApplianceError):
    """The scanned label carries another identity; going on would break the chain of identity."""

    reason = "wrong_bag"

    def __init__(self, scanned: str, expected: str) -> None:
        self.scanned, self.expected = scanned, expected
        super().__init__(
            f"STOP. This label is {scanned}. This batch is {expected}. "
            "Put the bag aside and call the supervisor."
        )


class RecipeRefused(ApplianceError):
    """The recipe file is wrong; `faults` names each place and what to write."""

    reason = "recipe_refused"

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("This recipe cannot be used. " + " ".join(faults))


class QuantityRefused(ApplianceError):
    """A text is not a number with a known unit."""

    reason = "quantity_refused"
