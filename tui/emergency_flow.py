"""The conversations of the emergency account: two people open it, one of them goes on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain.roles import EMERGENCY
from appliance.link.messages import Accepted, Proof
from tui import flows, wording
from tui.screens.choices import ChoicesScreen, Offer
from tui.screens.entry import PinScreen

if TYPE_CHECKING:
    from tui.app import BedsideApp

ALARM = "people:emergency:"
NAMED = "named"


def is_open(app: BedsideApp) -> bool:
    """Whether the emergency account is open on this unit: its alarm stands as long."""
    view = app.view
    return view is not None and any(alarm.id.startswith(ALARM) for alarm in view.snapshot.alarms)


async def open_account(app: BedsideApp) -> None:
    """A reason, then a second person with their own PIN."""
    person = app.view.snapshot.person if app.view else None
    reason = await flows.choose_reason(app, wording.EMERGENCY_TITLE, wording.EMERGENCY_REASONS)
    if not reason or person is None:
        return
    who = await flows.choose_person(app, wording.CHOOSE_SECOND, not_by=(person.id,))
    if who is not None:
        await _with_pin(app, who, "open_emergency", {"reason": reason}, button=wording.EMERGENCY_NOW)


async def choose_account(app: BedsideApp) -> str | None:
    """`emergency` to go on with the open account, `named` for one's own, None to leave."""
    offers = [
        Offer(NAMED, wording.OWN_ACCOUNT),
        Offer(EMERGENCY, wording.EMERGENCY_GO_ON, wording.EMERGENCY_GO_ON_DETAIL),
    ]
    return await app.push_screen_wait(ChoicesScreen(wording.CHOOSE_PERSON, offers))


async def go_on(app: BedsideApp) -> None:
    """One of the two people takes a locked or lost session up again."""
    who = await flows.choose_person(app, wording.EMERGENCY_WHO)
    if who is not None:
        await _with_pin(app, who, "sign_in", {"person": EMERGENCY}, button=wording.SIGN_IN_NOW)


async def _with_pin(
    app: BedsideApp, who: tuple[str, str], name: str, body: dict[str, str], *, button: str
) -> None:
    refusal = ""
    while True:
        title = wording.PIN_TITLE.format(name=who[1])
        pin = await app.push_screen_wait(
            PinScreen(title=title, button=button, refusal=refusal, words=wording.EMERGENCY_WORDS)
        )
        if not pin:
            return
        outcome = await app.ask(name, body, key=name, proof=Proof(person=who[0], pin=pin))
        if isinstance(outcome, Accepted):
            return
        refusal = outcome.words
