"""The conversation in which a person sets another PIN or password: the old one, the new one, once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from appliance.link.messages import Accepted, PersonView, Proof
from tui import wording
from tui.screens.choices import ChoicesScreen, Offer
from tui.screens.entry import PinScreen, TextScreen

if TYPE_CHECKING:
    from tui.app import BedsideApp

Factor = Literal["pin", "password"]


async def change_owed(app: BedsideApp, person: PersonView) -> None:
    """What was issued for one use or is too old is changed first; who goes back is signed out."""
    for factor in list(person.must_change):
        if not await change(app, person, factor, words=wording.CHANGE_OWED):
            await app.ask("sign_out", {}, key="sign_out")
            return


async def choose_and_change(app: BedsideApp, person: PersonView) -> None:
    """A person changes a PIN or a password of their own accord."""
    offers = [Offer("pin", wording.CHANGE_PIN), Offer("password", wording.CHANGE_PASSWORD)]
    chosen = await app.push_screen_wait(ChoicesScreen(wording.CHANGE_SECRET, offers))
    if chosen:
        await change(app, person, "pin" if chosen == "pin" else "password")


async def change(app: BedsideApp, person: PersonView, factor: Factor, *, words: str = "") -> bool:
    """Ask until the engine takes it; False when the person goes back."""
    refusal = ""
    while True:
        old = await _enter(app, factor, wording.SECRET_OLD, refusal, words)
        if not old:
            return False
        new = await _enter(app, factor, wording.SECRET_NEW, "", words)
        if not new:
            return False
        again = await _enter(app, factor, wording.SECRET_AGAIN, "", words)
        if not again:
            return False
        if again != new:
            refusal = wording.SECRET_DIFFERS
            continue
        proof = Proof(person=person.id, new=new, **{factor: old})
        outcome = await app.ask("change_secret", {}, key="change_secret", proof=proof)
        if isinstance(outcome, Accepted):
            app.notice(wording.SECRET_CHANGED.format(what=_named(factor)))
            return True
        refusal = outcome.words


async def _enter(app: BedsideApp, factor: Factor, title: str, refusal: str, words: str) -> str | None:
    titled = title.format(what=_named(factor))
    if factor == "pin":
        screen = PinScreen(title=titled, button=wording.ENTER, refusal=refusal, words=words)
        return await app.push_screen_wait(screen)
    return await app.push_screen_wait(
        TextScreen(title=titled, button=wording.ENTER, secret=True, refusal=refusal or words)
    )


def _named(factor: Factor) -> str:
    return "PIN" if factor == "pin" else "password"
