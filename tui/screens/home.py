"""Home: who is signed in, what runs, what waits, which orders may be opened."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tui import materials_flow, wording
from tui.screens.chrome import BedsideScreen
from tui.view import View
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words

ORDERS_SHOWN = 4


def _orders_text(view: View) -> str:
    lines = []
    for order in view.snapshot.orders[:ORDERS_SHOWN]:
        lines.append(wording.ORDER_TITLE.format(id=order.id, title=order.title))
        detail = wording.ORDER_DETAIL.format(patient=order.patient, din=order.din)
        refused = wording.ORDER_REFUSED.format(words=order.refused_because)
        lines.append(f"  {refused if order.refused_because else detail}")
    return "\n".join(lines) or wording.ORDERS_NONE


def _runs_text(view: View) -> str:
    batch = view.snapshot.batch
    if batch is None:
        return wording.RUNS_NONE
    phase = wording.PHASE.format(number=batch.phase_number, count=batch.phase_count)
    return (
        f"{batch.recipe_title}\n  {batch.patient} · {batch.din}\n  {batch.state.replace('_', ' ')}, {phase}"
    )


class HomeScreen(BedsideScreen[None]):
    """The place to sign in, open an order, and leave."""

    PLACE = "home"

    def compose_body(self) -> ComposeResult:
        yield Words(id="who", classes="title")
        with Vertical(id="overview"):
            yield Words(wording.RUNS_TITLE, classes="heading")
            yield Words(id="runs")
            yield Words(wording.WAITS_TITLE, classes="heading")
            yield Words(id="waits")
            yield Words(wording.ORDERS_TITLE, classes="heading")
            yield Words(id="orders")
        with Horizontal(classes="actions"):
            yield TouchButton(wording.SIGN_IN, id="sign-in", role="primary")
            yield TouchButton(wording.GO_TO_RUN, id="go-run-big", role="primary")
            yield TouchButton(wording.OPEN_ORDER, id="open-order", role="primary")
            yield TouchButton(wording.MATERIALS, id="materials")
            yield TouchButton(wording.SIGN_OUT, id="sign-out")
            yield TouchButton(wording.LOCK, id="lock")
            yield TouchButton(wording.NIGHT_COLOURS, id="colours")
            end_demo = TouchButton(wording.END_DEMO, id="end-demo")
            end_demo.display = False
            yield end_demo

    def show(self, view: View) -> None:
        snapshot, person = view.snapshot, view.snapshot.person
        signed_in = person is not None
        roles = ", ".join(person.roles).replace("_", " ") if person else ""
        self.query_one("#who", Words).say(
            wording.SIGNED_IN.format(name=person.name, roles=roles) if person else wording.NOBODY_SIGNED_IN
        )
        self.query_one("#runs", Words).say(_runs_text(view))
        waits = "\n".join(f"  {prompt.title}" for prompt in snapshot.prompts[:3])
        self.query_one("#waits", Words).say(waits or wording.WAITS_NONE)
        self.query_one("#orders", Words).say(_orders_text(view))
        self.query_one("#sign-in").display = not signed_in
        self.query_one("#sign-out").display = signed_in
        self.query_one("#lock").display = signed_in
        busy = snapshot.batch is not None and snapshot.batch.state in ("running", "held")
        self.query_one("#go-run-big").display = signed_in and busy
        self.query_one("#open-order").display = signed_in and not busy
        self.query_one("#open-order").disabled = view.busy("open_batch") or not any(
            not order.refused_because for order in snapshot.orders
        )
        self.query_one("#materials").display = not busy and materials_flow.concerns(person)
        self.query_one("#sign-in").disabled = view.busy("sign_in")
        self.query_one("#sign-out").disabled = view.busy("sign_out")
        self.query_one("#lock").disabled = view.busy("lock")
        # Beside five other keys there is no room for it on a narrow screen; who signs out finds it.
        crowded = self.has_class("narrow") and bool(self.query_one("#materials").display)
        self.query_one("#end-demo").display = snapshot.unit.simulated and not crowded
        night = self.app.theme == "ward-night"
        self.query_one("#colours", TouchButton).say(wording.DAY_COLOURS if night else wording.NIGHT_COLOURS)

    @on(TouchButton.Pressed)
    def tapped(self, event: TouchButton.Pressed) -> None:
        """Turn a tap into an intent."""
        event.stop()
        match event.button.id:
            case "sign-in":
                self.bedside.start_sign_in()
            case "sign-out":
                self.bedside.send("sign_out", {}, key="sign_out")
            case "lock":
                self.bedside.send("lock", {}, key="lock")
            case "open-order":
                self.bedside.start_open_order()
            case "materials":
                self.bedside.start_materials()
            case "go-run-big":
                self.bedside.go("run")
            case "end-demo":
                self.bedside.start_end_demo()
            case "colours":
                self.bedside.change_colours()
                self.follow()
