"""The conversations with a person: each walks some screens and ends in one command, or in none.

No flow decides anything: it asks what the prompt asks for, and shows the engine's words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from appliance.domain.roles import EMERGENCY
from appliance.link.messages import (
    Accepted,
    EnteredView,
    FactView,
    FieldView,
    OrderView,
    PersonView,
    PromptView,
    Proof,
    Refused,
)
from tui import (
    consent_flow,
    emergency_flow,
    local_time,
    materials_flow,
    printer_flow,
    qualify_flow,
    scan_flow,
    secret_flow,
    wording,
)
from tui.screens.choices import ChoicesScreen, Offer
from tui.screens.entry import NumberScreen, PinScreen, TextScreen
from tui.screens.judgement import RefusalScreen, ReviewScreen, SignScreen

if TYPE_CHECKING:
    from tui.app import BedsideApp

# A file that is no file of this run is as wrong as a wrong label; one that cannot be read is exported again.
WRONG_FILE: Final = frozenset({"wrong_device", "wrong_programme", "other_run", "used", "not_plausible"})
# Refused to the signed-in person, but a supervisor may do it with their own PIN.
SUPERVISOR_NEEDED: Final = "supervisor_needed"
# Refused scans that only ask for another look; any other one is a full stop.
LOOK_AGAIN: Final = frozenset(
    {
        "not_read", "not_confirmed", "incomplete", "two_labels", "timeout", "busy", "not_open", "other_thing",
        "same_picture", "lot_in_doubt", "earlier_expiry",
    }
)  # fmt: skip
TYPED_BADGE: Final = "typed-badge"
CAMERA_BADGE: Final = "camera-badge"
OTHER: Final = "other"


async def choose_person(
    app: BedsideApp, title: str, *, roles: Sequence[str] = (), not_by: Sequence[str] = ()
) -> tuple[str, str] | None:
    """A person or a badge, as (what the engine takes, what the screen calls it)."""
    view = app.view
    assert view is not None, "nobody can be chosen without a snapshot"
    people = [
        person
        for person in view.snapshot.people
        if person.id not in not_by and (not roles or set(roles) & set(person.roles))
    ]
    offers = [Offer(person.id, person.name, ", ".join(person.roles).replace("_", " ")) for person in people]
    if view.snapshot.aiming:
        offers.append(Offer(CAMERA_BADGE, wording.SHOW_BADGE, wording.SHOW_BADGE_DETAIL))
    offers.append(Offer(TYPED_BADGE, wording.TYPE_BADGE))
    names = ", ".join(view.name_of(person) for person in not_by)
    hint = wording.CHOOSE_SECOND_HINT.format(names=names) if not_by else wording.CHOOSE_PERSON_HINT
    chosen = await app.push_screen_wait(
        ChoicesScreen(title, offers, hint=hint if people else wording.NO_PEOPLE, reads_badge=True)
    )
    if chosen == CAMERA_BADGE:
        return await scan_flow.show_badge(app)
    if chosen == TYPED_BADGE:
        badge = await app.push_screen_wait(TextScreen(title=wording.BADGE_TITLE, button=wording.ENTER))
        return (badge, wording.BADGE_NAME) if badge else None
    if chosen and chosen.startswith("badge:"):
        return chosen.removeprefix("badge:"), wording.BADGE_NAME
    return (chosen, view.name_of(chosen)) if chosen else None


async def sign_in(app: BedsideApp, person: PersonView | None) -> None:
    """Name or badge, then the PIN; a refused PIN is asked again with the engine's words."""
    account: str | None = person.id if person else emergency_flow.NAMED
    if person is None and emergency_flow.is_open(app):
        account = await emergency_flow.choose_account(app)
    if account == EMERGENCY:
        return await emergency_flow.go_on(app)
    if account is None:
        return
    who = (person.id, person.name) if person else await choose_person(app, wording.CHOOSE_PERSON)
    refusal = ""
    while who is not None:
        pin = await app.push_screen_wait(
            PinScreen(
                title=wording.PIN_TITLE.format(name=who[1]), button=wording.SIGN_IN_NOW, refusal=refusal
            )
        )
        if not pin:
            return
        outcome = await app.ask(
            "sign_in", {"person": who[0]}, key="sign_in", proof=Proof(person=who[0], pin=pin)
        )
        if isinstance(outcome, Accepted):
            return
        refusal = outcome.words


async def open_order(app: BedsideApp, orders: list[OrderView]) -> None:
    """Choose an order; one that cannot be opened says why."""
    offers = [
        Offer(
            order.id,
            wording.ORDER_TITLE.format(id=order.id, title=order.title),
            wording.ORDER_REFUSED.format(words=order.refused_because)
            if order.refused_because
            else wording.ORDER_DETAIL.format(patient=order.patient, din=order.din),
            not order.refused_because,
        )
        for order in orders
    ]
    order = await app.push_screen_wait(ChoicesScreen(wording.CHOOSE_ORDER, offers))
    if order:
        outcome = await app.ask("open_batch", {"order": order}, key="open_batch")
        if isinstance(outcome, Refused) and outcome.reason == printer_flow.NOT_TESTED:
            await printer_flow.offer_test(app, outcome)
        else:
            await tell(app, outcome)


async def choose_reason(app: BedsideApp, title: str, reasons: Sequence[str]) -> str | None:
    """A reason from the list, or one's own words."""
    offers = [Offer(reason, reason) for reason in reasons]
    offers.append(Offer(OTHER, wording.OTHER_REASON, wording.OTHER_REASON_DETAIL))
    reason = await app.push_screen_wait(ChoicesScreen(title, offers))
    if reason == OTHER:
        return await app.push_screen_wait(TextScreen(title=wording.REASON_TEXT, button=wording.ENTER))
    return reason


async def hold(app: BedsideApp) -> None:
    """Hold the batch, with a reason."""
    reason = await choose_reason(app, wording.HOLD_TITLE, wording.HOLD_REASONS)
    if reason == wording.HOLD_CONSENT:
        await consent_flow.withdraw(app)
    elif reason:
        await tell(app, await app.ask("hold", {"phase": "", "reason": reason}, key="hold"))


async def restart(app: BedsideApp) -> None:
    """Let the batch go on, with a reason."""
    reason = await choose_reason(app, wording.RESTART_TITLE, wording.RESTART_REASONS)
    if not reason:
        return
    outcome = await app.ask("restart", {"reason": reason}, key="restart")
    if isinstance(outcome, Refused) and outcome.reason == SUPERVISOR_NEEDED:
        await tell(app, outcome)
        await _restart_by_supervisor(app, reason)
    else:
        await tell(app, outcome)


async def _restart_by_supervisor(app: BedsideApp, reason: str) -> None:
    """The supervisor comes to the screen and confirms with their own PIN; a refused one is asked again."""
    who = await choose_person(app, wording.CHOOSE_SUPERVISOR, roles=("supervisor",))
    refusal = ""
    while who is not None:
        button = wording.CONFIRM_AS.format(name=who[1])
        title = wording.PIN_TITLE.format(name=who[1])
        pin = await app.push_screen_wait(
            PinScreen(title=title, button=button, refusal=refusal, words=wording.RESTART_BY_SUPERVISOR)
        )
        if not pin:
            return
        proof = Proof(person=who[0], pin=pin)
        outcome = await app.ask("restart", {"reason": reason}, key="restart", proof=proof)
        if isinstance(outcome, Accepted):
            return
        refusal = outcome.words


async def release_stop(app: BedsideApp) -> None:
    """End the stop, with a reason."""
    reason = await choose_reason(app, wording.RELEASE_TITLE, wording.RELEASE_REASONS)
    if reason:
        await tell(app, await app.ask("release_stop", {"reason": reason}, key="release_stop"))


async def more(app: BedsideApp) -> None:
    """What is seldom done: a comment, a correction, or the end of the batch."""
    person = app.view.snapshot.person if app.view else None
    offers = [
        Offer("comment", wording.COMMENT, wording.COMMENT_DETAIL),
        Offer("correct", wording.CORRECT, wording.CORRECT_DETAIL),
        Offer("secret", wording.CHANGE_SECRET, wording.CHANGE_SECRET_DETAIL),
        Offer("emergency", wording.EMERGENCY, wording.EMERGENCY_DETAIL),
        Offer("abort", wording.ABORT, wording.ABORT_DETAIL),
    ]
    if materials_flow.concerns(person):
        offers.insert(2, Offer("materials", wording.MATERIALS, wording.MATERIALS_DETAIL))
    if person is not None and qualify_flow.ROLE in person.roles:
        offers.insert(0, Offer("qualify", wording.QUALIFY, wording.QUALIFY_DETAIL))
    chosen = await app.push_screen_wait(ChoicesScreen(wording.MORE_TITLE, offers))
    if chosen == "comment":
        text = await app.push_screen_wait(TextScreen(title=wording.COMMENT_TEXT, button=wording.ENTER))
        if text:
            await tell(app, await app.ask("comment", {"text": text}, key="comment"))
    elif chosen == "correct":
        await correct(app)
    elif chosen == "materials":
        await materials_flow.materials(app)
    elif chosen == "qualify":
        await qualify_flow.qualify(app)
    elif chosen == "secret" and person is not None:
        await secret_flow.choose_and_change(app, person)
    elif chosen == "emergency":
        await emergency_flow.open_account(app)
    elif chosen == "abort":
        await abort(app)


async def abort(app: BedsideApp) -> None:
    """End the batch for good: reason, then a supervisor's password."""
    reason = await choose_reason(app, wording.ABORT_TITLE, wording.ABORT_REASONS)
    person = app.view.snapshot.person if app.view else None
    if not reason or person is None:
        return
    who: tuple[str, str] | None = (person.id, person.name)
    if "supervisor" not in person.roles:
        who = await choose_person(app, wording.CHOOSE_SUPERVISOR, roles=("supervisor",))
    refusal = ""
    while who is not None:
        password = await ask_password(app, who[1], button=wording.ABORT_NOW, refusal=refusal)
        if not password:
            return
        proof = Proof(person=who[0], password=password)
        outcome = await app.ask("abort_batch", {"reason": reason}, key="abort", proof=proof)
        if isinstance(outcome, Accepted):
            return
        refusal = outcome.words


async def end_demo(app: BedsideApp) -> None:
    """Leave a simulated unit, after a second tap in another place."""
    offers = [Offer("stay", wording.END_DEMO_STAY), Offer("end", wording.END_DEMO_NOW)]
    chosen = await app.push_screen_wait(
        ChoicesScreen(wording.END_DEMO_TITLE, offers, hint=wording.END_DEMO_HINT)
    )
    if chosen == "end":
        app.exit()


async def ask_password(app: BedsideApp, name: str, *, button: str, refusal: str = "") -> str | None:
    """A password from the on-screen keyboard."""
    title = wording.PASSWORD_TITLE.format(name=name)
    return await app.push_screen_wait(TextScreen(title=title, button=button, secret=True, refusal=refusal))


async def answer(app: BedsideApp, prompt: PromptView) -> None:
    """Answer a prompt: its values, then its proof, asked again while the engine refuses the proof."""
    if prompt.kind == "scan":
        await scan_flow.scan(app, prompt)
        return
    if prompt.typed:
        await scan_flow.type_label(app, prompt)
        return
    if prompt.kind == "import":
        await choose_file(app, prompt)
        return
    values = await collect_values(app, prompt)
    if values is None:
        return
    refusal, proof = "", None
    while True:
        if prompt.needs != "session":
            proof = await collect_proof(app, prompt, refusal)
            if proof is None:
                return
        body: dict[str, Any] = {"prompt": prompt.id, "values": values}
        if prompt.signs:
            body["signs"] = prompt.signs  # what was shown: another text is not signed unseen
        outcome = await app.ask("answer", body, key=f"answer:{prompt.id}", proof=proof)
        if isinstance(outcome, Accepted) or proof is None:
            await tell(app, outcome)
            return
        refusal = outcome.words
        if app.view is None or app.view.prompt(prompt.id) is None:
            await tell(app, outcome)
            return


async def choose_file(app: BedsideApp, prompt: PromptView) -> None:
    """Let the person choose one of the files that lie in the station's folder; the unit reads it."""
    key = f"import:{prompt.id}"
    seen = await app.ask("import_file", {"prompt": prompt.id}, key=key)
    if isinstance(seen, Refused):
        await tell(app, seen)
        return
    offers = [
        Offer(
            str(one["name"]),
            str(one["name"]),
            wording.FILE_DETAIL.format(size=one["size_bytes"], at=local_time.readable(str(one["modified"]))),
        )
        for one in seen.result["files"]
    ]
    hint = wording.FILES_HINT if offers else wording.FILES_NONE
    chosen = await app.push_screen_wait(ChoicesScreen(wording.FILES_TITLE, offers, hint=hint))
    if chosen:
        # Whether it can be taken the unit says once it has read it.
        await tell(app, await app.ask("import_file", {"prompt": prompt.id, "file": chosen}, key=key))


async def collect_values(app: BedsideApp, prompt: PromptView) -> dict[str, str] | None:
    """What the prompt's fields ask for; None when the person goes back."""
    if prompt.kind == "review":
        counts = app.view.snapshot.batch.counts if app.view and app.view.snapshot.batch else []
        decision = await app.push_screen_wait(ReviewScreen(prompt, counts))
        if decision is None:
            return None
        decided = next((field for field in prompt.fields if field.kind == "choice"), None)
        rest = [field for field in prompt.fields if field is not decided]
        more_values = await _enter_fields(app, prompt, rest)
        if more_values is None or decided is None:
            return more_values
        return {decided.name: decision} | more_values
    return await _enter_fields(app, prompt, prompt.fields)


async def _enter_fields(
    app: BedsideApp, prompt: PromptView, fields: list[FieldView]
) -> dict[str, str] | None:
    """One screen a field; "Back" goes back one field, and out of the first."""
    values: dict[str, str] = {}
    place = 0
    while place < len(fields):
        number = wording.FIELD_OF.format(number=place + 1, count=len(fields))
        title = f"{prompt.title}   {number}" if len(fields) > 1 else prompt.title
        value = await _enter_field(app, prompt, fields[place], title, go_on=place + 1 < len(fields))
        if value is None:
            if place == 0:
                return None
            place -= 1
            continue
        values[fields[place].name] = value
        place += 1
    return values


async def _enter_field(
    app: BedsideApp, prompt: PromptView, field: FieldView, title: str, *, go_on: bool
) -> str | None:
    if field.kind == "number":
        return await app.push_screen_wait(NumberScreen(field, title=title, go_on=go_on, facts=prompt.facts))
    if field.kind == "choice":
        offers = [Offer(choice.value, choice.words) for choice in field.choices]
        return await app.push_screen_wait(ChoicesScreen(field.label, offers, hint=title))
    return await app.push_screen_wait(
        TextScreen(title=field.label, button=wording.ENTER_NEXT if go_on else wording.ENTER)
    )


async def collect_proof(app: BedsideApp, prompt: PromptView, refusal: str) -> Proof | None:
    """Who acts, proven now: the PIN of a second person, or a password for a signature."""
    person = app.view.snapshot.person if app.view else None
    if prompt.needs == "signature":
        who = (person.id, person.name) if person else None
    else:
        who = await choose_person(app, wording.CHOOSE_SECOND, roles=prompt.roles, not_by=prompt.not_by)
    if who is None:
        return None
    if prompt.needs == "second_person":
        return await _second_person_proof(app, prompt, who, refusal)
    if not refusal and not await app.push_screen_wait(SignScreen(prompt, who[1])):
        return None
    typed = await _typed_id(app, prompt, who, refusal)
    if typed is None:
        return None
    password = await ask_password(app, who[1], button=wording.SIGN_NOW, refusal=refusal)
    return Proof(person=who[0], password=password, typed=typed) if password else None


async def _second_person_proof(
    app: BedsideApp, prompt: PromptView, who: tuple[str, str], refusal: str
) -> Proof | None:
    """The raw facts, and the picture where there is one, before the PIN."""
    if prompt.picture and not refusal and await app.push_screen_wait(ReviewScreen(prompt, [])) is None:
        return None
    pin = await app.push_screen_wait(
        PinScreen(
            title=wording.PIN_TITLE.format(name=who[1]),
            button=wording.CONFIRM_AS.format(name=who[1]),
            refusal=refusal,
            words=prompt.instruction,
            facts=prompt.facts,
        )
    )
    return Proof(person=who[0], pin=pin) if pin else None


async def _typed_id(app: BedsideApp, prompt: PromptView, who: tuple[str, str], refusal: str) -> str | None:
    """The id or badge that the first signature of a session needs beside the password; None to go back."""
    view = app.view
    later = prompt.needs == "signature" and view is not None and "id" not in view.snapshot.signature_needs
    if later or who[1] == wording.BADGE_NAME:
        return "" if later else who[0]
    title = wording.ID_TITLE.format(name=who[1])
    screen = TextScreen(title=title, button=wording.ENTER_NEXT, refusal=refusal)
    return await app.push_screen_wait(screen) or None


async def correct(app: BedsideApp) -> None:
    """Correct a value that somebody typed: which, what it is, why; then a signature."""
    entered = app.view.snapshot.batch.entered if app.view and app.view.snapshot.batch else []
    offers = [
        Offer(
            str(place),
            wording.ENTERED_WORDS.format(label=one.field.label, words=one.words),
            wording.CORRECTION_WAITS.format(words=one.waits) if one.waits else one.title,
            not one.waits,
        )
        for place, one in enumerate(entered)
    ]
    hint = wording.CORRECT_HINT if offers else wording.CORRECT_NONE
    chosen = await app.push_screen_wait(ChoicesScreen(wording.CORRECT_TITLE, offers, hint=hint))
    if not chosen:
        return
    one = entered[int(chosen)]
    value = await _corrected_value(app, one)
    reason = value and await choose_reason(app, wording.CORRECT_WHY, wording.CORRECT_REASONS)
    if not value or not reason:
        return
    body: dict[str, Any] = {"prompt": one.prompt, "values": {one.field.name: value}, "reason": reason}
    seen = await app.ask("correct", body, key="correct")
    others = [other for other in entered if other.prompt == one.prompt and other is not one]
    if isinstance(seen, Refused) and seen.reason == "not_plausible" and others:
        # Numbers that must fit each other are corrected together.
        await tell(app, seen)
        for other in others:
            more_value = await _corrected_value(app, other)
            if not more_value:
                return
            body["values"][other.field.name] = more_value
        seen = await app.ask("correct", body, key="correct")
    await (tell(app, seen) if isinstance(seen, Refused) else _sign_correction(app, body, seen, one.phase))


async def _corrected_value(app: BedsideApp, one: EnteredView) -> str | None:
    facts = [FactView(label=wording.ON_RECORD, value=one.words)]
    asked = PromptView(
        id="", phase=one.phase, kind="enter", title=one.title, instruction="", button="", facts=facts
    )
    return await _enter_field(app, asked, one.field, one.title, go_on=True)


async def _sign_correction(app: BedsideApp, body: dict[str, Any], seen: Accepted, phase: str) -> None:
    """Show exactly what is signed, then take id and password."""
    shown = seen.result
    prompt = PromptView(
        id="",
        phase=phase,
        kind="sign",
        title=str(shown["title"]),
        instruction=str(shown["instruction"]),
        button="",
        needs="signature",
        meaning=str(shown["meaning"]),
        signs=str(shown["signs"]),
        facts=[FactView(label=str(fact["label"]), value=str(fact["value"])) for fact in shown["facts"]],
    )
    refusal = ""
    while True:
        proof = await collect_proof(app, prompt, refusal)
        if proof is None:
            return
        outcome = await app.ask("correct", body | {"signs": prompt.signs}, key="correct", proof=proof)
        if isinstance(outcome, Accepted):
            app.notice(wording.DONE.format(what=prompt.title))
            return
        refusal = outcome.words
        if outcome.reason == "content_changed":
            await tell(app, outcome)
            return


async def stop_to_read(app: BedsideApp, words: str, *, full: bool) -> None:
    """The engine's words, to be read before anything else; red where something of this batch is wrong."""
    await app.push_screen_wait(RefusalScreen(words, full_stop=full))


async def tell(app: BedsideApp, outcome: Accepted | Refused) -> None:
    """Show a refusal in the engine's words, to be read; an acceptance shows in the next snapshot."""
    if isinstance(outcome, Refused):
        await app.push_screen_wait(RefusalScreen(outcome.words, full_stop=False))
