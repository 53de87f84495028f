"""Labels at the bedside: a printer that must be tested, and a label that is missing."""

from __future__ import annotations

import pytest
from scripted_engine import AMARA, WAIT, accepting, refusing, running, snapshot

from appliance.link.messages import Accepted, ChoiceView, FactView, FieldView, PromptView, Refused

UNTESTED = "Label printer was not tested within 24 h. Print its test label and show it to the camera."
L1 = "UNIT-1-00001-L1"
STATES = [
    FactView(label="Printed", value="2"),
    FactView(label="Label L1", value="void, to be shown or destroyed", out_of_limit=True),
    FactView(label="Label L2", value="applied and scanned"),
]
SHOW = PromptView(
    id=f"label/found:{L1}",
    phase="label",
    kind="scan",
    title="Show the void label L1",
    instruction="Show the void label L1 to the camera. If it cannot be read, destroy it before a witness.",
    button="Scan",
    expects=f"Void label {L1}",
    facts=STATES,
)
MISSING = PromptView(
    id="label/missing",
    phase="label",
    kind="enter",
    title="A label is missing",
    instruction="Say so only if a label cannot be found. The step is held and a deviation is opened.",
    button="A label is missing",
    fields=[
        FieldView(
            name="label",
            label="Which label is not there?",
            kind="choice",
            choices=[ChoiceView(value=L1, words="Label L1"), ChoiceView(value="x-L2", words="Label L2")],
        )
    ],
    facts=STATES,
)


@pytest.mark.requirement("F-007")
def test_an_order_that_waits_for_the_print_heads_test_leads_to_it_and_a_bad_picture_to_another_look(walk):
    looks = ["cannot_tell", "pass"]

    def tested(_engine, command):
        if command.body["step"] == "print":
            words = "The test label is out. Show it to the camera, whole, sharp and near."
            return Accepted(command_id=command.command_id, seq=2000, result={"words": words})
        if looks.pop(0) == "cannot_tell":
            words = "The two square symbols were not read. Show the whole label, closer and sharp."
            return Refused(command_id=command.command_id, reason="not_judged", words=words)
        return Accepted(
            command_id=command.command_id, seq=2001, result={"verdict": "pass", "words": "Whole."}
        )

    async def story(bedside):
        await bedside.tap("Open an order")
        await bedside.tap("O-2026-0117")
        await bedside.see("must be tested first", "was not tested within 24 h")
        await bedside.tap("Test the label printer")
        await bedside.see("The test label is out")
        await bedside.tap("The test label lies before the camera")
        await bedside.see("The two square symbols were not read")
        await bedside.tap("The test label lies before the camera")
        await bedside.see("is tested. Open the order again.")
        steps = [one.body["step"] for one in bedside.engine.asked("test_printer")]
        assert steps == ["print", "judge", "judge"]

    walk(
        story,
        shows=snapshot(person=AMARA),
        open_batch=refusing(UNTESTED, "print_head_not_tested"),
        test_printer=tested,
    )


@pytest.mark.requirement("F-008")
def test_the_list_of_labels_stands_beside_the_question_and_a_missing_one_is_named_not_counted(walk):
    async def story(bedside):
        await bedside.see("Show the void label L1", "Label L2", "applied and scanned")
        await bedside.tap("Next of 2")
        await bedside.see("The step is held and a deviation is opened")
        await bedside.tap("A label is missing")
        await bedside.tap("Label L1")
        await bedside.until(lambda: bedside.engine.asked("answer"))
        assert bedside.engine.asked("answer")[0].body["values"] == {"label": L1}

    shows = running(SHOW, MISSING, current=11)
    walk(story, shows=shows, answer=accepting(running(WAIT, current=11)))
