"""The conversation in which maintenance and a second person qualify the device that is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.link.messages import Accepted, DeviceView, FactView, Proof
from tui import flows, scan_flow, wording
from tui.screens.choices import ChoicesScreen, Offer
from tui.screens.entry import PinScreen, TextScreen

if TYPE_CHECKING:
    from tui.app import BedsideApp

ROLE: Final = "maintenance"
# Who may be the second person; the engine judges again.
SECOND_ROLES: Final = ("verifier", "supervisor", "qa_reviewer", "integrator", "maintenance")
AS_BEFORE, ANOTHER, SHOWN = "as_before", "another", "shown"


async def qualify(app: BedsideApp) -> None:
    """Choose the device, its days and a reason; a second person looks at it all and gives their PIN."""
    person = app.view.snapshot.person if app.view else None
    device = await _choose(app)
    if device is None or person is None:
        return
    days: dict[str, str] = {}
    for name, title in wording.QUALIFY_DAYS.items():
        day = await _day(app, title)
        if day is None:
            return
        days[name] = day
    reason = await flows.choose_reason(app, wording.QUALIFY_WHY, wording.QUALIFY_REASONS)
    if not reason:
        return
    who = await flows.choose_person(app, wording.CHOOSE_SECOND, roles=SECOND_ROLES, not_by=(person.id,))
    if who is not None:
        await _confirmed(app, device, days, reason, who)


async def _choose(app: BedsideApp) -> DeviceView | None:
    devices = {one.id: one for one in (app.view.devices if app.view else [])}
    offers = [
        Offer(one.id, one.title, told(one) if one.identity else wording.QUALIFY_SILENT, bool(one.identity))
        for one in devices.values()
    ]
    if app.view is not None and app.view.snapshot.aiming:
        offers.insert(0, Offer(SHOWN, wording.SHOW_EQUIPMENT, wording.SHOW_EQUIPMENT_DETAIL))
    chosen = await app.push_screen_wait(ChoicesScreen(wording.QUALIFY, offers))
    if chosen == SHOWN:
        chosen = await scan_flow.show_equipment(app)
    return devices.get(chosen or "")


async def _day(app: BedsideApp, title: str) -> str | None:
    """A day as it is typed, empty for the one that holds, None to go back."""
    offers = [Offer(AS_BEFORE, wording.QUALIFY_AS_BEFORE), Offer(ANOTHER, wording.QUALIFY_ANOTHER_DAY)]
    chosen = await app.push_screen_wait(ChoicesScreen(title, offers))
    if chosen == ANOTHER:
        return await app.push_screen_wait(TextScreen(title=wording.QUALIFY_DAY, button=wording.ENTER))
    return "" if chosen == AS_BEFORE else None


def told(device: DeviceView) -> str:
    """What the device tells of itself, to be compared with its type plate."""
    return wording.QUALIFY_TOLD.format(
        serial_number=device.identity["serial_number"] or wording.QUALIFY_NOTHING,
        firmware=device.identity["firmware"] or wording.QUALIFY_NOTHING,
    )


async def _confirmed(
    app: BedsideApp, device: DeviceView, days: dict[str, str], reason: str, who: tuple[str, str]
) -> None:
    body = {"device": device.id, "reason": reason, **days}
    body |= {name: device.identity[name] for name in ("serial_number", "firmware")}
    facts = [FactView(label=device.title, value=told(device))]
    facts += [
        FactView(label=wording.QUALIFY_UNTIL[name], value=day or wording.QUALIFY_AS_BEFORE)
        for name, day in days.items()
    ]
    refusal = ""
    while True:
        title = wording.PIN_TITLE.format(name=who[1])
        screen = PinScreen(title=title, button=wording.QUALIFY_NOW, refusal=refusal, facts=facts)
        pin = await app.push_screen_wait(screen)
        if not pin:
            return
        proof = Proof(person=who[0], pin=pin)
        outcome = await app.ask("qualify_device", body, key="qualify_device", proof=proof)
        if isinstance(outcome, Accepted):
            return app.notice(wording.QUALIFIED.format(title=device.title))
        refusal = outcome.words
