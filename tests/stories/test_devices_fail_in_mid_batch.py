"""Lines unplugged, hosts killed, devices restarted while recipe B pours: held, told, resumed, poured once."""

from __future__ import annotations

import pytest
from story_failing_devices import FailingDevices
from story_ward import SAFE_WITHIN_S

from appliance.demo.site import SUPERVISOR

pytestmark = pytest.mark.timeout(600)

RECIPE_ML = 50.0 + 30.0  # what dilution and dose take together
COUNTER_ML = 0.5  # what a phase may be off after a rest of less than this is left alone
SAID = {"unplugged": "Check the cable", "restarted": "restarted by itself", "killed": "program ended"}
BY_WATCHDOG = ("pump unplugged", "pump host killed")  # nobody can tell the pump to stop
TITLES = ("Syringe pump", "Balance")
FAILURES = (
    "pump unplugged",
    "pump restarted",
    "balance host killed",
    "pump host killed",
    "balance unplugged",
    "balance restarted",
)


@pytest.mark.parametrize("name", FAILURES)
def test_fluid_stops_when_a_device_fails(failing_devices: FailingDevices, name: str) -> None:
    failure = failing_devices.failed(name)
    bound_s = failing_devices.watchdog_s + 0.5 if name in BY_WATCHDOG else SAFE_WITHIN_S

    assert failure.blow.moved, "it was to be struck while it poured"
    assert not failure.blow.moves_on
    assert failure.blow.stood_after_s <= bound_s


@pytest.mark.parametrize("name", FAILURES)
def test_the_phase_is_held_and_the_screen_says_why(failing_devices: FailingDevices, name: str) -> None:
    failure = failing_devices.failed(name)

    assert failure.state == "held"
    assert name.split()[0] in failure.words.lower(), failure.words
    assert SAID[name.split()[-1]] in failure.words, failure.words


def test_each_failure_raises_an_alarm_that_says_what_to_do(failing_devices: FailingDevices) -> None:
    raised = {alarm["title"]: alarm for alarm in failing_devices.alarms}

    assert {f"{device} {what}" for device in TITLES for what in ("is silent", "restarted")} <= set(raised)
    for device in TITLES:
        assert "cable" in raised[f"{device} is silent"]["action"]
        assert "Look at the device" in raised[f"{device} restarted"]["action"]


@pytest.mark.parametrize("device", ["pump", "balance"])
def test_a_device_that_comes_back_under_another_name_is_found_again(
    failing_devices: FailingDevices, device: str
) -> None:
    assert len(failing_devices.lines[device]) >= 2


def test_a_person_resumes_after_each_failure(failing_devices: FailingDevices) -> None:
    assert failing_devices.restarts_by == [SUPERVISOR.id] * len(FAILURES)


@pytest.mark.requirement("F-028")
def test_nothing_is_poured_twice(failing_devices: FailingDevices) -> None:
    assert failing_devices.infused_ml == pytest.approx(RECIPE_ML, abs=2 * COUNTER_ML)


def test_the_dose_is_what_the_recipe_asks_for(failing_devices: FailingDevices) -> None:
    assert failing_devices.dose_g == pytest.approx(12 + 30, abs=COUNTER_ML)


def test_the_batch_is_sealed_after_all_of_this(failing_devices: FailingDevices) -> None:
    assert failing_devices.last is not None and failing_devices.last.batch is not None
    assert failing_devices.last.batch.state == "awaiting_disposition"


def test_its_record_is_whole_and_comes_out_again(failing_devices: FailingDevices) -> None:
    for done in (failing_devices.verified, failing_devices.replayed):
        assert done is not None and done.returncode == 0, done
