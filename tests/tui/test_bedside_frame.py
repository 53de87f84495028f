"""STOP, the lock, the link and the status strip: what must hold on every screen."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from scripted_engine import (
    ALARMS,
    AMARA,
    CONFIRM,
    ENTER,
    NOW,
    PIN,
    SCAN,
    SIGN,
    WAIT,
    accepting,
    batch,
    checking_pin,
    devices,
    refusing,
    running,
    snapshot,
)
from textual.events import MouseDown, MouseMove, MouseUp

from appliance.link.messages import RecordView, Refused, SyncView, Telemetry
from tui import wording
from tui.view import View
from tui.widgets.status_strip import StatusStrip, strip_fields
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words


def test_stop_is_two_taps_in_two_places_and_sends_one_command(walk):
    async def story(bedside):
        await bedside.see("Clear the line")
        await bedside.tap("STOP…")
        await bedside.see("STOP is armed")
        await bedside.tap("STOP again")
        assert bedside.engine.stops == []
        await bedside.tap("Stop now")

        await bedside.until(lambda: len(bedside.engine.stops) == 1)
        await bedside.see("STOP was sent.")
        assert bedside.find("Stop now") is None

    walk(story, shows=running(CONFIRM))


def test_stop_disarms_by_itself(walk, monkeypatch):
    monkeypatch.setattr("tui.widgets.rail.ARMED_S", 0.3)

    async def story(bedside):
        await bedside.tap("STOP…")
        await bedside.until(lambda: bedside.find("Home") is not None, "the rail is back")

        assert bedside.engine.stops == []

    walk(story, shows=running(CONFIRM))


def test_stop_works_from_the_lock_screen_where_the_first_touch_only_wakes(walk):
    async def story(bedside):
        await bedside.see("Locked", "Touch anywhere to wake")
        assert bedside.find("Unlock") is None
        await bedside.tap("STOP…")
        await bedside.tap("Stop now")
        await bedside.until(lambda: bedside.engine.stops)
        assert bedside.engine.commands[0].proof is None

        await bedside.pilot.click("#body")
        await bedside.tap("Unlock as Amara Okafor")
        await bedside.key_in(PIN)
        await bedside.tap("Sign in")
        await bedside.see("Hold the bag's label")

    walk(story, shows=running(SCAN, locked=True), sign_in=checking_pin(running(SCAN)))


def test_stop_while_the_engine_is_away_goes_out_when_it_is_back(walk):
    async def story(bedside):
        await bedside.see("The engine is away")
        await bedside.tap("STOP…")
        await bedside.tap("Stop now")
        await bedside.see("goes out as soon as the engine answers")
        await bedside.engine.start()

        await bedside.until(lambda: bedside.engine.stops)

    walk(story, shows=running(SCAN), away=True)


def test_ending_a_stop_asks_for_a_reason(walk):
    async def story(bedside):
        await bedside.see("STOPPED", "Make the place safe first")
        await bedside.tap("End the stop")
        await bedside.tap("The place is safe again")

        await bedside.see("Hold the bag's label")
        assert bedside.engine.asked("release_stop")[0].body == {"reason": "The place is safe again"}

    walk(story, shows=running(SCAN, stop_latched=True), release_stop=accepting(running(SCAN)))


def test_a_held_batch_restarts_with_a_reason(walk):
    async def story(bedside):
        await bedside.see("The batch is held")
        await bedside.tap("Restart")
        await bedside.tap("Cause found and removed")

        await bedside.see("The bag warms in the bath")
        assert bedside.engine.asked("restart")[0].body == {"reason": "Cause found and removed"}

    held = running(batch=batch(state="held"))
    walk(story, shows=held, restart=accepting(running(WAIT)))


def test_a_hold_that_only_a_supervisor_ends_asks_for_one_at_the_screen(walk):
    def judge(engine, command):
        if command.proof is not None and command.proof.person == "p-0003":
            return accepting(running(WAIT))(engine, command)
        words = "Only a supervisor can restart it."
        return Refused(command_id=command.command_id, reason="supervisor_needed", words=words)

    async def story(bedside):
        await bedside.tap("Restart")
        await bedside.tap("Cause found and removed")
        await bedside.see("Only a supervisor can restart it.")
        await bedside.tap("Back")
        await bedside.see("Who is the supervisor?")
        await bedside.tap("Chiara Rossi")
        await bedside.key_in(PIN)
        await bedside.tap("Confirm as Chiara Rossi")

        await bedside.see("The bag warms in the bath")
        assert bedside.engine.asked("restart")[1].proof.pin == PIN

    walk(story, shows=running(batch=batch(state="held")), restart=judge)


def test_a_simulated_unit_is_left_by_two_taps_in_two_places(walk):
    async def story(bedside):
        await bedside.tap("End the demo")
        await bedside.see("End the demonstration?")
        assert bedside.app.is_running
        await bedside.tap("End the demonstration")

        await bedside.until(lambda: bedside.app._exit)
        assert bedside.app.return_code == 0

    walk(story, shows=snapshot())


def test_a_unit_that_is_not_simulated_has_no_way_out(walk):
    async def story(bedside):
        await bedside.see("Nobody is signed in.")
        assert bedside.find("End the demo") is None

    plain = snapshot()
    walk(
        story, shows=msgspec.structs.replace(plain, unit=msgspec.structs.replace(plain.unit, simulated=False))
    )


def test_a_reason_in_own_words_is_typed_on_the_screen_and_a_refusal_is_read(walk):
    async def story(bedside):
        await bedside.tap("Hold")
        await bedside.tap("Other reason")
        for letter in ("a", "␣", "b"):
            await bedside.tap(letter)
        await bedside.tap("Enter")
        await bedside.see("Not done", "Nothing runs that could be held.")
        await bedside.tap("Back")
        await bedside.see("The bag warms in the bath")

        assert bedside.engine.asked("hold")[0].body == {"phase": "", "reason": "a b"}

    walk(story, shows=running(WAIT), hold=refusing("Nothing runs that could be held."))


def test_a_double_tap_sends_one_command(walk):
    async def story(bedside):
        # Long enough that the third tap falls before the answer on a busy machine too.
        bedside.engine.delay_s = 2.5
        await bedside.until(lambda: bedside.find("The line is clear") is not None)
        await bedside.still()
        await bedside.pilot.click("#act", times=2)
        await bedside.see("Asking the engine")
        await bedside.pilot.click("#act")
        await bedside.see("The bag warms in the bath")

        assert len(bedside.engine.asked("answer")) == 1

    walk(story, shows=running(CONFIRM), answer=accepting(running(WAIT)))


def test_a_second_tap_meant_for_the_last_instruction_does_not_answer_the_next(walk):
    async def story(bedside):
        await bedside.tap("The line is clear")
        await bedside.see("Hold the bag's label")
        await bedside.pilot.click("#act")
        await bedside.pilot.pause(0.2)

        assert bedside.engine.asked("scan") == []
        assert len(bedside.engine.asked("answer")) == 1

    walk(story, shows=running(CONFIRM), settle_s=0.7, answer=accepting(running(SCAN)))


def test_a_keypad_typed_as_fast_as_can_be_loses_no_digit(walk):
    async def story(bedside):
        await bedside.tap("Enter results")
        await bedside.see("nothing entered yet")
        key = bedside.find("5")
        await bedside.pilot.click(key, times=3)
        await bedside.pilot.click(bedside.find("7"))

        await bedside.until(lambda: bedside.app.screen.query_one("#value").value == "5557")

    walk(story, shows=running(ENTER))


def test_an_engine_that_dies_and_comes_back_finds_the_screen_at_the_same_prompt(walk):
    async def story(bedside):
        await bedside.see("Hold the bag's label")
        await bedside.engine.stop()
        await bedside.see("The engine is away", "Cause:", "Moving devices stop by themselves")
        assert "312.45" not in bedside.text()
        await bedside.engine.start()

        await bedside.see("Hold the bag's label", "312.45 g")

    walk(story, shows=running(SCAN))


def test_what_was_asked_when_the_link_broke_is_asked_again_under_the_same_id(walk):
    async def story(bedside):
        bedside.engine.delay_s = 30
        await bedside.tap("The line is clear")
        await bedside.until(lambda: bedside.engine.asked("answer"))
        await bedside.engine.stop()
        await bedside.see("is sent again when the engine is back")
        bedside.engine.delay_s = 0
        await bedside.engine.start()

        await bedside.see("The bag warms in the bath")
        ids = {command.command_id for command in bedside.engine.asked("answer")}
        assert len(bedside.engine.asked("answer")) == 2
        assert len(ids) == 1

    walk(story, shows=running(CONFIRM), answer=accepting(running(WAIT)))


def test_a_value_that_is_no_longer_told_becomes_stale_on_the_screen(walk, monkeypatch):
    monkeypatch.setattr("tui.widgets.device_panel.TELEMETRY_STALE_S", 0.6)

    async def story(bedside):
        bedside.engine.measure(Telemetry(devices=devices(weight="99.90")))
        await bedside.until(lambda: "99.90 g good" in bedside.text())

        await bedside.until(lambda: "99.90 g STALE" in bedside.text())

    walk(story, shows=running(WAIT))


@pytest.mark.requirement("F-029", "F-030")
def test_a_device_that_may_not_be_used_says_so_beside_its_readings(walk):
    async def story(bedside):
        balance, pump, bath = devices()
        balance.fitness = "calibration ends in 9 days"
        bath.fitness = "NOT QUALIFIED: it is given no order. Call maintenance."
        bedside.engine.measure(Telemetry(devices=[balance, pump, bath]))

        await bedside.see("! calibration ends in 9 days", "! NOT QUALIFIED")

    walk(story, shows=running(WAIT))


def test_alarms_are_acknowledged_one_by_one_and_the_most_urgent_stands_on_every_screen(walk):
    async def story(bedside):
        await bedside.see("*** HIGH  Pump is silent. Check the pump's cable")
        await bedside.tap("Alarms")
        await bedside.see("Its own watchdog has stopped it.", "Check the pump's cable and display")
        await bedside.tap("Acknowledge")
        await bedside.until(lambda: bedside.engine.asked("acknowledge_alarm"))
        await bedside.tap("Show the next alarms")
        await bedside.see("Central is out of reach", "Disk is 80 % full")

        assert bedside.engine.asked("acknowledge_alarm")[0].body == {"alarm": "a-1"}

    walk(story, shows=running(WAIT, alarms=ALARMS))


def test_aborting_needs_a_reason_and_a_supervisors_password(walk):
    async def story(bedside):
        await bedside.tap("More")
        await bedside.tap("Abort the batch")
        await bedside.tap("The product cannot be used")
        await bedside.see("Who is the supervisor?")
        assert bedside.find("Bram Visser") is None
        await bedside.tap("Chiara Rossi")
        await bedside.tap("a")
        await bedside.tap("Abort")

        await bedside.until(lambda: bedside.engine.asked("abort_batch"))
        command = bedside.engine.asked("abort_batch")[0]
        assert command.body == {"reason": "The product cannot be used"}
        assert (command.proof.person, command.proof.password) == ("p-0003", "a")

    walk(story, shows=running(WAIT))


def test_a_failing_screen_ends_with_status_1_and_prints_no_secret(walk):
    async def story(bedside):
        await bedside.tap("Sign with password")
        await bedside.tap("Sign with password")
        await bedside.pilot.press(*"secret")
        bedside.app._handle_exception(ValueError("a fault of the program"))

        printed = "".join(
            segment.text for shown in bedside.app._exit_renderables for segment in shown.segments
        )
        bedside.app._exception = None
        assert bedside.app.return_code == 1
        assert "The screen has failed" in printed
        assert "secret" not in printed

    walk(story, shows=running(SIGN, signature_needs=("password",)))


WORST = snapshot(
    utc=NOW,
    batch=msgspec.structs.replace(batch(12), id="B-000042"),
    sync=SyncView(acknowledged_seq=1, behind=12345, last_acknowledged_at=NOW - timedelta(days=13, hours=22)),
    record=RecordView(seq=1234567, hash="00", committed_at=NOW),
    alarms=[alarm for alarm in ALARMS if alarm.priority == "medium"] * 12,
    time_trust="untrusted",
)


def test_every_field_of_the_strip_fits_at_80_100_and_120_columns(walk):
    async def story(bedside):
        for columns in (80, 100, 120):
            await bedside.pilot.resize_terminal(columns, 30)
            await bedside.still()
            await bedside.pilot.pause(0.2)
            view = bedside.app.view
            shown = " ".join(words.text for words in bedside.app.screen.query_one(StatusStrip).query(Words))
            for name, words in strip_fields(view, narrow=columns < 90).items():
                assert words in shown, (columns, name)

    walk(story, shows=WORST)


def test_a_record_that_cannot_be_written_is_said_in_place_of_the_tick():
    wrong = snapshot(record=RecordView(seq=9, hash="00", committed_at=NOW, words="The disk is full."))
    view = View(snapshot=wrong, received_s=0, devices=[], timers=[], telemetry_s=0, now_s=0)

    assert strip_fields(view, narrow=False)["recorded"] == wording.NOT_RECORDED


def test_a_key_of_the_keypad_has_no_dead_time_and_a_command_button_has():
    assert TouchButton("5", role="key").active_effect_duration == 0
    assert TouchButton("Start", role="primary").active_effect_duration > 0


def test_what_waits_is_listed_at_home_for_somebody_who_is_not_signed_in(walk):
    async def story(bedside):
        await bedside.tap("Home")
        await bedside.see("Nobody is signed in.", "Receive the bag", "B-000042")
        await bedside.tap("Run")
        await bedside.tap("Sign in")
        await bedside.see("Who are you?", AMARA.name)

    walk(story, shows=running(SCAN, person=None))


def test_keys_tapped_while_the_screen_is_busy_arrive_in_the_order_of_the_finger(walk):
    async def story(bedside):
        await bedside.tap("Enter results")
        await bedside.see("nothing entered yet")
        keys = {digit: bedside.find(digit).region.center for digit in "123456789"}
        for digit in "918273645":
            column, row = (int(place) for place in keys[digit])
            for kind in (MouseMove, MouseDown, MouseUp):
                pressed = 0 if kind is MouseMove else 1
                bedside.app.post_message(
                    kind(None, column, row, 0, 0, pressed, False, False, False, column, row)
                )

        await bedside.until(lambda: len(bedside.app.screen.query_one("#value").value) == 9)
        assert bedside.app.screen.query_one("#value").value == "918273645"

    walk(story, shows=running(ENTER))
