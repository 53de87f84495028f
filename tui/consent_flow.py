"""The patient withdraws the consent: whoever hears it says so at once, and the unit holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui import flows, wording

if TYPE_CHECKING:
    from tui.app import BedsideApp


async def withdraw(app: BedsideApp) -> None:
    """From whom it was received, and it is on record; nothing has to be typed."""
    source = await flows.choose_reason(app, wording.CONSENT_FROM_TITLE, wording.CONSENT_FROM)
    if source:
        body = {"received_from": source, "reason": wording.HOLD_CONSENT}
        await flows.tell(app, await app.ask("withdraw_consent", body, key="withdraw_consent"))
