"""The conversation that tests the printer's head: print its label, show it, read what the picture says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.link.messages import Accepted, Refused
from tui import flows, wording
from tui.screens.choices import ChoicesScreen, Offer

if TYPE_CHECKING:
    from tui.app import BedsideApp

NOT_TESTED: Final = "print_head_not_tested"  # why a batch was not opened
PRINT, SHOW, PASSED = "print", "show", "pass"


async def offer_test(app: BedsideApp, refused: Refused) -> None:
    """Say why no batch opens, and offer the test that is missing."""
    offers = [Offer(PRINT, wording.TEST_PRINTER, wording.TEST_PRINTER_DETAIL)]
    chosen = await app.push_screen_wait(ChoicesScreen(wording.TEST_PRINTER_TITLE, offers, hint=refused.words))
    if chosen == PRINT:
        await test(app)


async def test(app: BedsideApp) -> None:
    """Print the label, then look at it as often as the picture does not show enough."""
    printed = await app.ask("test_printer", {"step": "print"}, key="test_printer")
    if isinstance(printed, Refused):
        await flows.tell(app, printed)
        return
    hint = str(printed.result.get("words", ""))
    offers = [Offer(SHOW, wording.TEST_PRINTER_SHOW)]
    while await app.push_screen_wait(ChoicesScreen(wording.TEST_PRINTER, offers, hint=hint)) == SHOW:
        judged = await app.ask("test_printer", {"step": "judge"}, key="test_printer")
        if isinstance(judged, Accepted):
            await _told(app, str(judged.result["verdict"]), str(judged.result["words"]))
            return
        hint = judged.words


async def _told(app: BedsideApp, verdict: str, words: str) -> None:
    if verdict == PASSED:
        app.notice(wording.TEST_PRINTER_PASSED)
    else:
        await flows.stop_to_read(app, f"{words} {wording.TEST_PRINTER_FAILED}", full=False)
