"""The conversations about materials: take a delivery in, judge one, see what there is, recall a lot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from appliance.link.messages import Accepted, FactView, FieldView, PersonView, Refused
from tui import flows, local_time, scan_flow, wording
from tui.screens.choices import ChoicesScreen, Offer
from tui.screens.entry import NumberScreen, TextScreen
from tui.screens.judgement import RefusalScreen

if TYPE_CHECKING:
    from tui.app import BedsideApp

# What is offered to whom; the engine judges again.
RECEIVERS: Final = frozenset({"operator", "verifier", "supervisor"})
JUDGES: Final = frozenset({"verifier", "supervisor", "qa_reviewer"})
SUPERVISOR: Final = frozenset({"supervisor"})
RECALLERS: Final = frozenset({"supervisor", "qa_reviewer"})
PAPER, PASSED = "paper:", "passed"
DAY_CHARACTERS: Final = 11  # of a time as people read it, the day alone
QUANTITY: Final = FieldView(
    name="quantity", label=wording.MATERIAL_QUANTITY, kind="number", minimum="1", maximum="100000"
)


def concerns(person: PersonView | None) -> bool:
    """Whether this person has anything to do with materials."""
    return person is not None and bool((RECEIVERS | JUDGES) & set(person.roles))


async def materials(app: BedsideApp) -> None:
    """What this person may do with materials."""
    person = app.view.snapshot.person if app.view else None
    roles = set(person.roles) if person is not None else set()
    offers = [
        Offer("receive", wording.MATERIAL_RECEIVE, wording.MATERIAL_RECEIVE_DETAIL, bool(RECEIVERS & roles)),
        Offer("judge", wording.MATERIAL_JUDGE, wording.MATERIAL_JUDGE_DETAIL, bool(JUDGES & roles)),
        Offer("stock", wording.MATERIAL_STOCK, wording.MATERIAL_STOCK_DETAIL),
        Offer("recall", wording.MATERIAL_RECALL, wording.MATERIAL_RECALL_DETAIL, bool(RECALLERS & roles)),
    ]
    chosen = await app.push_screen_wait(ChoicesScreen(wording.MATERIALS, offers))
    if chosen == "receive":
        await receive(app)
    elif chosen == "judge":
        await judge(app)
    elif chosen == "stock":
        await stock(app, may_book_out=bool(SUPERVISOR & roles))
    elif chosen == "recall":
        await recall(app)


# ── A delivery ─────────────────────────────────────────────────────────────────────────


async def receive(app: BedsideApp) -> None:
    """Label, then what the label does not tell; each step can be gone back from, and nothing is kept then."""
    looked = await _look(app)
    if looked is None:
        return
    label = looked["label"]
    body = {"scan": str(looked["scan"])}
    for ask in (_title, _what_the_label_lacks, _counted, _checked, _certificate):
        more = await ask(app, looked, label)
        if more is None:
            return
        body |= more
    outcome = await app.ask("receive_material", body, key="receive_material")
    if isinstance(outcome, Refused):
        await flows.tell(app, outcome)
    else:
        app.notice(wording.MATERIAL_RECEIVED.format(receipt=outcome.result["receipt"]))


async def _look(app: BedsideApp) -> dict[str, Any] | None:
    """Show the label until it is read, or the person goes back."""
    offers = [Offer("look", wording.MATERIAL_LOOK, wording.MATERIAL_LOOK_DETAIL)]
    while await app.push_screen_wait(ChoicesScreen(wording.MATERIAL_RECEIVE, offers)):
        asked = app.ask("scan_material", {}, key="scan_material")
        outcome = await scan_flow.aimed(app, wording.MATERIAL_RECEIVE, wording.MATERIAL_LOOK_DETAIL, asked)
        if outcome is None:
            continue
        if isinstance(outcome, Refused):
            await flows.tell(app, outcome)
            return None
        if outcome.result["label"] is not None:
            return dict(outcome.result)
        await app.push_screen_wait(RefusalScreen(str(outcome.result["refused"]), full_stop=False))
    return None


async def _title(app: BedsideApp, looked: dict[str, Any], _: dict[str, Any]) -> dict[str, str] | None:
    """What it is called; only asked where the unit does not know its number yet."""
    title = str(looked.get("title", ""))
    title = title or await _typed(app, wording.MATERIAL_TITLE) or ""
    return {"title": title} if title else None


async def _what_the_label_lacks(
    app: BedsideApp, _: dict[str, Any], label: dict[str, Any]
) -> dict[str, str] | None:
    """The lot as printed where the symbol's is in doubt, and the day where the symbol tells none."""
    entered: dict[str, str] = {}
    asked = [("lot", wording.MATERIAL_LOT_PRINTED.format(lot=label["lot"]))] if label["doubt"] else []
    if not label["expires_at"] and not label["doubt"]:
        asked.append(("expires_on", wording.MATERIAL_DAY_PRINTED))
    for name, title in asked:
        text = await _typed(app, title)
        if not text:
            return None
        entered[name] = text
    return entered


async def _counted(app: BedsideApp, looked: dict[str, Any], label: dict[str, Any]) -> dict[str, str] | None:
    facts = [
        FactView(label=wording.MATERIAL_NUMBER, value=str(label["catalogue"])),
        FactView(label=wording.MATERIAL_LOT, value=str(label["lot"])),
    ]
    if label["expires_at"]:
        at = local_time.readable(str(label["expires_at"]))
        facts.append(FactView(label=wording.MATERIAL_EXPIRES, value=at))
    title = str(looked.get("title") or wording.MATERIAL_RECEIVE)
    quantity = await app.push_screen_wait(NumberScreen(QUANTITY, title=title, go_on=True, facts=facts))
    supplier = quantity and await _typed(app, wording.MATERIAL_SUPPLIER)
    return {"quantity": quantity, "supplier": supplier} if quantity and supplier else None


async def _checked(app: BedsideApp, _: dict[str, Any], __: dict[str, Any]) -> dict[str, str] | None:
    offers = [Offer(PASSED, wording.MATERIAL_PASSED), Offer("failed", wording.MATERIAL_FAILED)]
    checked = await app.push_screen_wait(ChoicesScreen(wording.MATERIAL_CHECK, offers))
    return {"visual_check": checked} if checked else None


async def _certificate(app: BedsideApp, _: dict[str, Any], __: dict[str, Any]) -> dict[str, str] | None:
    """One of the files that lie there, or where the paper is filed."""
    seen = await app.ask("list_materials", {}, key="list_materials")
    if isinstance(seen, Refused):
        await flows.tell(app, seen)
        return None
    offers = [Offer(PAPER, wording.MATERIAL_PAPER, wording.MATERIAL_PAPER_DETAIL)]
    offers += [Offer(str(name), str(name)) for name in seen.result["certificates"]]
    chosen = await app.push_screen_wait(ChoicesScreen(wording.MATERIAL_CERTIFICATE, offers))
    if chosen != PAPER:
        return {"certificate": chosen} if chosen else None
    reference = await _typed(app, wording.MATERIAL_PAPER_WHERE)
    return {"certificate_reference": reference} if reference else None


async def _typed(app: BedsideApp, title: str) -> str | None:
    return await app.push_screen_wait(TextScreen(title=title, button=wording.ENTER))


# ── What waits ─────────────────────────────────────────────────────────────────────────


async def _listed(app: BedsideApp) -> list[dict[str, Any]] | None:
    seen = await app.ask("list_materials", {}, key="list_materials")
    if isinstance(seen, Refused):
        await flows.tell(app, seen)
        return None
    return list(seen.result["receipts"])


def _offer(one: dict[str, Any], *, possible: bool, why: str = "") -> Offer:
    words = wording.MATERIAL_ROW.format(title=one["title"], lot=one["lot"])
    state = wording.MATERIAL_RECALLED if one["recalled"] else wording.MATERIAL_STATES[str(one["state"])]
    state = wording.MATERIAL_OVER if one["expired"] and not one["recalled"] else state
    until = local_time.readable(str(one["expires_at"]))[:DAY_CHARACTERS]
    detail = why or wording.MATERIAL_ROW_DETAIL.format(state=state, left=one["left"], until=until)
    return Offer(str(one["id"]), words, detail, possible)


async def judge(app: BedsideApp) -> None:
    """A person who did not receive it looks at a receipt and its certificate, and decides."""
    rows = await _listed(app)
    if rows is None:
        return
    waiting = {str(one["id"]): one for one in rows if one["state"] == "quarantined"}
    offers = [
        _offer(one, possible=not one["own"], why=wording.MATERIAL_OWN if one["own"] else "")
        for one in waiting.values()
    ]
    hint = "" if offers else wording.MATERIAL_NONE_WAITS
    one = waiting.get(
        await app.push_screen_wait(ChoicesScreen(wording.MATERIAL_JUDGE, offers, hint=hint)) or ""
    )
    if one is None:
        return
    title = wording.MATERIAL_ROW.format(title=one["title"], lot=one["lot"])
    told = wording.MATERIAL_JUDGE_HINT.format(certificate=one["certificate"], left=one["left"])
    failed = one["visual_check"] != PASSED
    damaged = wording.MATERIAL_DAMAGED if failed else ""
    decisions = [
        Offer("release_material", wording.MATERIAL_RELEASE, damaged, not failed),
        Offer("reject_material", wording.MATERIAL_REJECT),
    ]
    command = await app.push_screen_wait(ChoicesScreen(title, decisions, hint=told))
    reasons = wording.MATERIAL_REASONS.get(command or "")
    reason = reasons and await flows.choose_reason(app, wording.MATERIAL_WHY, reasons)
    if not command or not reason:
        return
    body = {"receipt": one["id"], "certificate": one["certificate"], "reason": reason}
    await _done(app, await app.ask(command, body, key=command), title)


async def stock(app: BedsideApp, *, may_book_out: bool) -> None:
    """Everything that is there; a supervisor books out what is gone."""
    rows = await _listed(app)
    if rows is None:
        return
    offers = [_offer(one, possible=may_book_out) for one in rows]
    hint = wording.MATERIAL_BOOK_OUT_HINT if may_book_out and offers else ""
    hint = hint or ("" if offers else wording.MATERIAL_NONE)
    chosen = await app.push_screen_wait(ChoicesScreen(wording.MATERIAL_STOCK, offers, hint=hint))
    one = next((row for row in rows if row["id"] == chosen), None)
    if one is None:
        return
    title = wording.MATERIAL_ROW.format(title=one["title"], lot=one["lot"])
    becomes = [Offer(value, words) for value, words in wording.MATERIAL_GONE.items()]
    why = await app.push_screen_wait(ChoicesScreen(wording.MATERIAL_GONE_TITLE, becomes, hint=title))
    quantity = why and await app.push_screen_wait(NumberScreen(QUANTITY, title=title, go_on=True, facts=[]))
    reason = quantity and await _typed(app, wording.REASON_TEXT)
    if not why or not quantity or not reason:
        return
    body = {"receipt": one["id"], "quantity": quantity, "why": why, "reason": reason}
    await _done(app, await app.ask("book_out_material", body, key="book_out_material"), title)


async def recall(app: BedsideApp) -> None:
    """Catalogue number and lot as the notice names them; one person suffices, for it is on the safe side."""
    body: dict[str, str] = {}
    for name, title in wording.MATERIAL_RECALL_ASKED.items():
        text = await _typed(app, title)
        if not text:
            return
        body[name] = text
    title = wording.MATERIAL_ROW.format(title=body["catalogue"], lot=body["lot"])
    await _done(app, await app.ask("recall_lot", body, key="recall_lot"), title)


async def _done(app: BedsideApp, outcome: Accepted | Refused, title: str) -> None:
    if isinstance(outcome, Refused):
        await flows.tell(app, outcome)
    else:
        app.notice(wording.DONE.format(what=title))
