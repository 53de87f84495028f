"""A device that people run, at the bedside: its file is chosen by taps, its numbers looked at by two."""

from __future__ import annotations

import pytest
from scripted_engine import AMARA, PIN, WAIT, accepting, refusing, running

from appliance.link.messages import Accepted, FactView, FieldView, PromptView

FILE = PromptView(
    id="select/exchange_file",
    phase="select",
    kind="import",
    title="Select CD34 cells: file of the device",
    instruction="Export the run on the device. Put its stick into the station. Then choose the file.",
    button="Choose the file",
)
NO_FILE = PromptView(
    id="select/no_file",
    phase="select",
    kind="confirm",
    title="Enter by hand",
    instruction="Only if there is no other way. A minor deviation is opened.",
    button="Enter by hand",
)
TAKE_OVER = PromptView(
    id="select/result",
    phase="select",
    kind="confirm",
    title="Select CD34 cells",
    instruction="The run has ended. Compare the display.",
    button="Take over these results",
    facts=[
        FactView(label="Device", value="Cell processor"),
        FactView(label="File", value="run_7.json"),
        FactView(label="SHA-256", value="d2f1 77ab 019c 5e40 …"),
        FactView(label="Purity out", value="95.0 %"),
    ],
)
TYPE_AGAIN = PromptView(
    id="select/serial_typed.verify",
    phase="select",
    kind="enter",
    title="Type the serial number: Cell processor: second person",
    instruction="Read the serial number on the device's own label. Type it as it stands there.",
    button="Type it again",
    needs="second_person",
    roles=["verifier", "operator"],
    not_by=[AMARA.id],
    signs="77aa00bb",
    fields=[FieldView(name="serial_number", label="Serial number", kind="text")],
)
LISTED = [
    {"name": "run_7.json", "size_bytes": "512", "modified": "2026-03-02T12:14:30+00:00"},
    {"name": "run_6.json", "size_bytes": "498", "modified": "2026-03-01T16:02:00+00:00"},
]


def listing(files, then=None):
    """An engine that lists these files, and shows something else once one is chosen."""

    def answer(engine, command):
        if "file" not in command.body:
            return Accepted(command_id=command.command_id, seq=2000, result={"files": files})
        if then is not None:
            engine.show(then)
        return Accepted(command_id=command.command_id, seq=2001)

    return answer


@pytest.mark.requirement("F-036")
def test_a_file_is_chosen_from_those_that_lie_there_and_its_values_are_taken_over_by_taps(walk):
    async def story(bedside):
        await bedside.see("Put its stick into the station")
        await bedside.tap("Choose the file")
        await bedside.see("Which file of the device?", "498 bytes, 01 Mar 2026 16:02 UTC")
        await bedside.tap("run_7.json")
        await bedside.see("run_7.json", "d2f1 77ab 019c 5e40", "95.0 %")
        await bedside.tap("Take over these results")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        bodies = [command.body for command in bedside.engine.asked("import_file")]
        assert bodies == [{"prompt": FILE.id}, {"prompt": FILE.id, "file": "run_7.json"}]

    walk(
        story,
        shows=running(FILE, NO_FILE),
        import_file=listing(LISTED, running(TAKE_OVER)),
        answer=accepting(running(WAIT)),
    )


def test_an_empty_folder_says_what_to_do_and_nothing_is_sent_on(walk):
    async def story(bedside):
        await bedside.tap("Choose the file")
        await bedside.see("No file is there. Put the stick in")
        await bedside.tap("Back")
        await bedside.see("Put its stick into the station")

        assert len(bedside.engine.asked("import_file")) == 1

    walk(story, shows=running(FILE), import_file=listing([]))


def test_a_station_without_its_stick_answers_in_the_engines_words(walk):
    async def story(bedside):
        await bedside.tap("Choose the file")
        await bedside.see("Put the stick in, then choose again.")

        assert "do not continue" not in bedside.text()

    walk(
        story, shows=running(FILE), import_file=refusing("Put the stick in, then choose again.", "unreadable")
    )


@pytest.mark.parametrize(
    ("reason", "words", "red"),
    [
        ("wrong_device", "run_7.json: It is of device SIM-CP-0002.", True),
        ("cut_off", "run_7.json: The file ends in the middle. Export it again.", False),
    ],
)
def test_a_refused_file_must_be_read_and_is_red_only_where_it_is_of_something_else(walk, reason, words, red):
    async def story(bedside):
        await bedside.see("Put its stick into the station")
        bedside.engine.tell("ExchangeFileRefused", reason=reason, words=words)
        await bedside.see(words)

        assert ("do not continue" in bedside.text()) is red

    walk(story, shows=running(FILE))


def test_another_device_fills_the_screen_with_a_stop(walk):
    async def story(bedside):
        await bedside.see("Put its stick into the station")
        bedside.engine.tell("DeviceLabelRefused", reason="wrong_device", words="This is another device.")

        await bedside.see("do not continue", "This is another device.")

    walk(story, shows=running(FILE))


def test_without_a_file_the_way_on_is_one_tap_away(walk):
    async def story(bedside):
        await bedside.tap("Next of 2")
        await bedside.see("A minor deviation is opened.")
        await bedside.tap("Enter by hand")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        assert bedside.engine.asked("answer")[0].body["prompt"] == NO_FILE.id

    walk(story, shows=running(FILE, NO_FILE), answer=accepting(running(WAIT)))


@pytest.mark.requirement("F-036", "R-17")
def test_the_second_person_types_the_serial_number_and_then_the_own_pin(walk):
    async def story(bedside):
        await bedside.tap("Type it again")
        await bedside.see("Serial number")
        for key in "ab7":
            if key.isdigit():
                await bedside.tap("123")
            await bedside.tap(key)
        await bedside.tap("Enter")
        await bedside.tap("Bram Visser")
        await bedside.key_in(PIN)
        await bedside.tap("Confirm as Bram Visser")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        command = bedside.engine.asked("answer")[0]
        assert command.body["values"] == {"serial_number": "ab7"}
        assert command.body["signs"] == TYPE_AGAIN.signs and command.proof.person == "p-0002"

    walk(story, shows=running(TYPE_AGAIN), answer=accepting(running(WAIT)))
