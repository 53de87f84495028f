"""A device that people run: its label, its file, its numbers, and the second person who looks (F-036)."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import timedelta

import pytest
from bedside import ADA, BEN, CLEO, Bedside, with_proof
from selection import OTHER_SERIAL, RECIPE, SERIAL, asking

from appliance.domain import corrections, decisions, device_news, exchange_file
from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec
from appliance.domain.errors import CommandRefused, RecipeRefused
from appliance.domain.operator_devices import matches, serial_numbers
from appliance.domain.recipe import parse
from appliance.domain.recipe_check import check
from appliance.domain.roles import Actor
from drivers.simulated.cell_processor import CellProcessor

UDI = f"0104012345678901112601011728010121{SERIAL}"
RESULT = {
    "cells_in": "2000",
    "cells_out": "40",
    "purity_in_percent": "3.0",
    "purity_out_percent": "95.0",
    "recovery": "63.3",
}


class Suite(Bedside):
    """A bedside with a cell processor beside it."""

    def __init__(self, recipe: str = RECIPE, *, calibrated_until: str = "2026-12-31") -> None:
        super().__init__(recipe)
        self.device = CellProcessor()
        self.unit.devices["sorter"] = DeviceSpec("sorter", "cell_processor", "Cell processor", SERIAL)
        identity = {"maker": "Example", "model": "CP-1", "serial_number": SERIAL, "firmware": ""}
        self.commit(device_news.identified(self.unit, "sorter", identity, calibrated_until=calibrated_until))

    def opening(self, **changes: str) -> decisions.Opening:
        return super().opening(recipe="short", **changes)

    def answer(self, prompt_id: str, by: Actor | None = None, **values: str) -> None:
        """Answer with the values of a good run where others are not given."""
        asked = [field.name for field in self.prompt(prompt_id).fields]
        super().answer(prompt_id, by, **{name: RESULT[name] for name in asked if name in RESULT} | values)

    def comes_to(self, prompt: str) -> None:
        """All goes well until this is asked."""
        if self.unit.batch is None:
            self.begin_batch()
        for _ in range(500):
            if prompt in self.asks():
                return
            self.does_right()
        raise AssertionError(f"{prompt} was never asked; asked is {self.asks()}")

    def does_right(self) -> None:
        """The next thing, done as it should be."""
        asked = self.asks()
        match asked[0] if asked else "":
            case "select/serial":
                self.scan("select/serial", [SERIAL])
            case "select/photo":
                self.photo("ab" * 32)
            case "select/exchange_file":
                self.takes_file(self.exported())
            case "select/result" if self.prompt("select/result").fields:
                self.answer("select/result", **RESULT)
            case _:
                self.do_next()

    def exported(self, *, fault: str = "", seed: int = 0, csv: bool = False) -> bytes:
        started = self.batch.runs["select"].confirmed("setup")
        assert started is not None
        notation = "csv" if csv else "json"
        took = max(self.now - started[0].at, timedelta(minutes=1))
        return self.device.run(started[0].at, took=took, fault=fault, seed=seed, notation=notation)

    def photo(self, picture: str) -> None:
        asked = self.asks_the_camera("select/photo")
        read = ev.ScanRead(
            phase=asked.phase, key=asked.key, scan_id=asked.scan_id, texts=[], symbologies=[], reasons=[],
            picture=picture,
        )  # fmt: skip
        self.commit(decisions.scan_read(self.unit, read, self.now))

    def takes_file(self, data: bytes, *, name: str = "run.json", used_in: str = "") -> None:
        """A person chooses a file; the unit reads it as the engine does."""
        self.commit(decisions.import_file(self.unit, "select/exchange_file", name, ADA, self.now), ADA.id)
        asked, sha256 = self.last(ev.ExchangeFileRequested), hashlib.sha256(data).hexdigest()
        told = {"phase": asked.phase, "key": asked.key, "import_id": asked.import_id, "file": asked.file}
        read = ev.ExchangeFileRead(**told, sha256=sha256, size_bytes=len(data), used_in=used_in)
        try:
            said = exchange_file.read(data)
            body = ev.to_body(read) | {
                "blob": sha256,
                "serial_number": said.serial_number,
                "programme": said.programme,
                "started": said.started.isoformat(),
                "ended": said.ended.isoformat(),
                "results": [asdict(one) for one in said.results],
            }
        except exchange_file.ExchangeFileUnusable as why:
            body = ev.to_body(read) | {"reason": why.reason, "words": str(why)}
        event = ev.from_body("ExchangeFileRead", body)
        assert isinstance(event, ev.ExchangeFileRead)
        self.commit(decisions.file_read(self.unit, event, self.now))

    def value(self, key: str) -> ev.ValueRecorded:
        return next(one for one in reversed(self.all(ev.ValueRecorded)) if one.key == key)

    def shown(self, prompt: str) -> dict[str, str]:
        return {fact.label: fact.value for fact in self.prompt(prompt).facts}


@pytest.fixture
def suite() -> Suite:
    return Suite()


# ── All goes well ──────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-036", "R-17")
def test_a_selection_ends_with_device_picture_file_and_numbers_on_record(suite: Suite) -> None:
    suite.comes_to("select/result")
    suite.answer("select/result")
    shown = suite.shown("select/result.verify")
    suite.answer("select/result.verify")

    assert suite.state_of("select") == "complete"
    assert (suite.value("serial_number").value, suite.value("serial_number").quality) == (SERIAL, "good")
    assert {key: suite.value(key).value for key in RESULT} == RESULT
    assert "file run.json" in suite.value("purity_out_percent").source
    assert shown["File"] == "run.json" and shown["Serial number"] == SERIAL
    assert shown["SHA-256"].startswith(
        hashlib.sha256(suite.device.run(suite.now, fault="twice_the_same")).hexdigest()[:4]
    )
    assert shown["Purity out"] == "95.0 %" and shown["Picture"] == "taken"
    assert suite.prompt("seal/performed") is not None


def test_recovery_of_the_wanted_cells_is_worked_out_by_the_unit_itself(suite: Suite) -> None:
    suite.comes_to("seal/performed")

    ours = suite.value("recovery_worked_out")
    assert (ours.value, ours.unit) == ("63.3", "%")
    assert "purity_in_percent" in ours.source


def test_the_state_folds_again_from_the_facts_alone(suite: Suite) -> None:
    suite.comes_to("seal/performed")

    again = suite.refolded()
    assert again.used_files == suite.unit.used_files != {}
    assert again.batch is not None and again.batch.runs["select"].state == "complete"


def test_csv_says_the_same_as_json(suite: Suite) -> None:
    suite.comes_to("select/exchange_file")
    suite.takes_file(suite.exported(csv=True), name="RUN_7.CSV")

    assert suite.last(ev.ExchangeFileAccepted).file == "RUN_7.CSV"
    assert suite.prompt("select/result").fields == ()


def test_what_neither_a_file_nor_a_person_says_is_not_on_record() -> None:
    suite = Suite(asking(scan_serial_number="no", photo="no", exchange_file="no"))
    suite.comes_to("select/result")
    names = {field.name for field in suite.prompt("select/result").fields}
    suite.comes_to("seal/performed")

    assert names == set(RESULT)
    assert not suite.has(ev.ExchangeFileRead)
    assert {one.key for one in suite.all(ev.ValueRecorded)} == {*RESULT, "recovery_worked_out"}
    assert {one.source for one in suite.all(ev.ValueRecorded) if one.key in RESULT} == {
        "operator, verified by a second person"
    }


def test_a_result_that_the_file_lacks_is_typed(suite: Suite) -> None:
    suite.comes_to("select/exchange_file")
    del suite.device.results["purity_out_percent"]
    suite.takes_file(suite.exported())

    assert [field.name for field in suite.prompt("select/result").fields] == ["purity_out_percent"]
    suite.answer("select/result", purity_out_percent="95.0")
    suite.answer("select/result.verify")
    assert suite.value("purity_out_percent").source == "operator, verified by a second person"
    assert "file run.json" in suite.value("purity_in_percent").source


# ── Which device ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("texts", [[SERIAL], ["4012345678901", SERIAL], [UDI], [f"\x1d{UDI}", "LOT 7"]])
def test_the_label_of_the_qualified_device_is_known(suite: Suite, texts: list[str]) -> None:
    suite.comes_to("select/serial")
    suite.scan("select/serial", texts)

    assert suite.value("serial_number").value == SERIAL
    assert "select/setup" in suite.asks()


@pytest.mark.requirement("F-036", "R-16")
@pytest.mark.parametrize(
    "texts",
    [[OTHER_SERIAL], [UDI.replace(SERIAL, OTHER_SERIAL)], [UDI.replace(SERIAL, OTHER_SERIAL), SERIAL]],
)
def test_another_device_is_refused_on_record_in_words(suite: Suite, texts: list[str]) -> None:
    suite.comes_to("select/serial")
    suite.scan("select/serial", texts)

    refused = suite.last(ev.DeviceLabelRefused)
    assert (refused.reason, refused.expected, refused.device) == ("wrong_device", SERIAL, "sorter")
    assert OTHER_SERIAL in refused.words and SERIAL in refused.words
    assert "another device" in suite.alarm_words()
    assert suite.asks()[0] == "select/serial" and "select/setup" not in suite.asks()


def test_a_label_that_cannot_be_read_is_shown_again(suite: Suite) -> None:
    suite.comes_to("select/serial")
    suite.camera_reads(suite.asks_the_camera("select/serial"), [], ("blur",))

    assert suite.last(ev.DeviceLabelRefused).reason == "not_read"
    assert "blurred" in suite.shown("select/serial")["Last try"]


def test_two_people_type_the_number_where_no_label_can_be_read(suite: Suite) -> None:
    suite.comes_to("select/serial")
    suite.answer("select/serial_typed", serial_number=SERIAL)
    assert suite.asks() == ["select/serial_typed.verify"]
    assert SERIAL not in str(suite.prompt("select/serial_typed.verify").facts)
    suite.answer("select/serial_typed.verify", serial_number=SERIAL)

    assert suite.value("serial_number").source == "label of the device, typed by two people"
    assert "select/setup" in suite.asks()


def test_one_person_cannot_type_it_twice(suite: Suite) -> None:
    suite.comes_to("select/serial")
    suite.answer("select/serial_typed", serial_number=SERIAL)

    def again() -> None:
        suite.answer("select/serial_typed.verify", by=with_proof(ADA, "pin"), serial_number=SERIAL)

    assert suite.refusal(again).reason == "same_person"


@pytest.mark.parametrize("prompt", ["select/serial_typed", "select/serial_typed.verify"])
def test_a_typed_number_of_another_device_is_refused_for_either_person(suite: Suite, prompt: str) -> None:
    suite.comes_to("select/serial")
    if prompt.endswith("verify"):
        suite.answer("select/serial_typed", serial_number=SERIAL)
    suite.answer(prompt, serial_number=OTHER_SERIAL)

    assert suite.last(ev.DeviceLabelRefused).reason == "wrong_device"
    assert not [one for one in suite.all(ev.ValueRecorded) if one.key == "serial_number"]


def test_a_typed_number_lapses_when_nobody_types_it_again(suite: Suite) -> None:
    suite.comes_to("select/serial")
    suite.answer("select/serial_typed", serial_number=SERIAL)
    suite.waits(11 * 60, step_s=60)

    assert suite.last(ev.FirstActLapsed).key == "serial_typed"
    assert suite.asks() == ["select/serial", "select/serial_typed"]


def test_a_udi_names_its_serial_number_and_nothing_else_of_it_is_one() -> None:
    assert serial_numbers([UDI]) == [SERIAL]
    assert serial_numbers(["0104012345678901"]) == []
    assert serial_numbers(["21" + SERIAL]) == ["21" + SERIAL]
    assert not matches(["0104012345678901"], "04012345678901")


def test_an_asset_number_names_a_device_and_a_catalogue_number_does_not() -> None:
    assert serial_numbers(["8004" + "0401234" + SERIAL]) == ["0401234" + SERIAL]
    assert matches(["80040401234" + SERIAL], "0401234" + SERIAL)
    assert not matches(["80040401234" + SERIAL], SERIAL)
    # Maker and catalogue number (ISBT 128, structures 017 and 021) say which type it is.
    assert serial_numbers(["=-XX00027QzE", SERIAL]) == [SERIAL]
    assert serial_numbers(["=)2XX00AB123"]) == []
    # A record of before is decided again as it was then.
    assert serial_numbers(["=-XX00027QzE"], rules=3) == ["=-XX00027QzE"]


def test_a_device_past_its_calibration_starts_no_phase() -> None:
    suite = Suite(calibrated_until="2026-03-01")

    def opens() -> None:
        suite.begin_batch()

    assert "ended on 2026-03-01" in str(suite.refusal(opens))


@pytest.mark.requirement("F-036")
def test_a_stop_says_which_device_it_does_not_reach(suite: Suite) -> None:
    suite.comes_to("select/setup")
    suite.stop()
    assert "own key" not in suite.alarm_words()
    suite.commit(decisions.release_stop(suite.unit, ADA, "All is safe"), ADA.id)
    suite.restart()
    suite.answer("select/setup")
    suite.stop()

    assert "Cell processor is not reached by this: stop it at its own key." in suite.alarm_words()


# ── Its file ───────────────────────────────────────────────────────────────────────────

REFUSED = {
    "wrong_serial": ("wrong_device", OTHER_SERIAL),
    "wrong_programme": ("wrong_programme", "RINSE-1"),
    "cut_off": ("cut_off", "Export it again"),
    "foreign_characters": ("not_text", "UTF-8"),
    "foreign_digits": ("malformed", "not a plain decimal number"),
    "out_of_range": ("not_plausible", "is outside"),
    "other_unit": ("other_unit", "furlong"),
    "recovery_does_not_fit": ("not_plausible", "does not fit"),
    "local_time": ("malformed", "no time in UTC"),
    "earlier_run": ("other_run", "Take the file of this run"),
}


@pytest.mark.requirement("F-036")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", REFUSED)
def test_a_file_with_a_fault_is_refused_whole_with_its_reason(suite: Suite, fault: str, seed: int) -> None:
    suite.comes_to("select/exchange_file")
    suite.takes_file(suite.exported(fault=fault, seed=seed, csv=seed == 1))

    refused, (reason, words) = suite.last(ev.ExchangeFileRefused), REFUSED[fault]
    assert refused.reason == reason and words in refused.words, refused
    assert refused.words.startswith("run.json: ")
    assert not suite.has(ev.ExchangeFileAccepted)
    assert not [one for one in suite.all(ev.ValueRecorded) if one.key in RESULT]
    assert suite.shown("select/exchange_file")["Last file"] == refused.words
    assert "Choose the file of this run" in suite.alarm_words()


def test_the_right_file_is_taken_after_a_wrong_one(suite: Suite) -> None:
    suite.comes_to("select/exchange_file")
    suite.takes_file(suite.exported(fault="wrong_serial"))
    suite.takes_file(suite.exported())
    suite.comes_to("seal/performed")

    assert suite.value("recovery").value == "63.3"


def test_the_file_of_another_batch_is_not_taken_again(suite: Suite) -> None:
    suite.comes_to("select/exchange_file")
    suite.takes_file(suite.exported(), used_in="UNIT-1-00007")

    assert suite.last(ev.ExchangeFileRefused).reason == "used"
    assert "UNIT-1-00007" in suite.last(ev.ExchangeFileRefused).words


def test_another_file_may_be_chosen_until_the_results_are_recorded(suite: Suite) -> None:
    suite.comes_to("select/result")
    assert suite.asks() == ["select/result", "select/exchange_file"]
    suite.device.results["purity_out_percent"] = ("94.0", "%")
    suite.device.results["recovery"] = ("62.7", "%")
    suite.takes_file(suite.exported(), name="run_2.json")
    suite.comes_to("seal/performed")

    assert suite.value("purity_out_percent").value == "94.0"
    assert "run_2.json" in suite.value("purity_out_percent").source


@pytest.mark.parametrize(
    "name", ["../record/record.db", "a/b.json", ".hidden.json", "run.exe", "", "x" * 120 + ".json"]
)
def test_only_a_plain_name_of_the_folder_can_be_chosen(suite: Suite, name: str) -> None:
    suite.comes_to("select/exchange_file")

    def chooses() -> None:
        decisions.import_file(suite.unit, "select/exchange_file", name, ADA, suite.now)

    assert suite.refusal(chooses).reason == "no_such_file"


def test_a_file_is_not_judged_while_time_is_not_trusted(suite: Suite) -> None:
    suite.comes_to("select/exchange_file")
    data = suite.exported()
    suite.unit.clock_trusted = suite.unit.time_confirmed = False
    suite.takes_file(data)

    assert suite.last(ev.ExchangeFileRefused).reason == "time_untrusted"


def test_without_a_file_the_results_are_typed_and_a_minor_deviation_is_open(suite: Suite) -> None:
    suite.comes_to("select/exchange_file")
    suite.answer("select/no_file")

    assert suite.last(ev.DeviationOpened).classification == "minor"
    assert "no exchange file" in suite.last(ev.DeviationOpened).words
    assert {field.name for field in suite.prompt("select/result").fields} == set(RESULT)


def test_a_camera_that_gives_no_picture_leaves_a_way_on_with_a_minor_deviation(suite: Suite) -> None:
    suite.comes_to("select/photo")
    assert suite.asks() == ["select/photo"]
    suite.photo("")
    assert suite.asks() == ["select/photo", "select/no_photo"]
    suite.answer("select/no_photo")

    assert "no picture" in suite.last(ev.DeviationOpened).words
    suite.comes_to("select/result")
    assert suite.shown("select/result")["Picture"] == "none"


def test_a_crash_while_a_file_is_read_leaves_nothing_half_done(suite: Suite) -> None:
    suite.comes_to("select/exchange_file")
    suite.commit(
        decisions.import_file(suite.unit, "select/exchange_file", "run.json", ADA, suite.now), ADA.id
    )
    assert suite.asks() == []
    suite.crash()
    suite.unit.devices["sorter"] = DeviceSpec("sorter", "cell_processor", "Cell processor", SERIAL)
    suite.restart(CLEO)

    assert suite.last(ev.ExchangeFileRead).reason == "interrupted"
    assert "select/exchange_file" in suite.asks()


# ── Numbers that must fit ──────────────────────────────────────────────────────────────


def typed(**changes: str) -> tuple[Suite, dict[str, str]]:
    suite = Suite(asking(scan_serial_number="no", photo="no", exchange_file="no"))
    suite.comes_to("select/result")
    return suite, RESULT | changes


def test_a_typed_recovery_that_does_not_fit_the_cells_is_refused() -> None:
    suite, values = typed(recovery="82.0")

    refused = suite.refusal(lambda: suite.answer("select/result", **values))
    assert "give 63.3 %" in str(refused)
    assert not suite.batch.runs["select"].confirmed("result")


def test_nothing_in_gives_no_recovery() -> None:
    suite, values = typed(purity_in_percent="0")

    assert "Nothing went in" in str(suite.refusal(lambda: suite.answer("select/result", **values)))


def test_a_purity_beyond_its_action_limit_holds_the_phase() -> None:
    suite, values = typed(purity_out_percent="60.0", recovery="40.0")
    suite.answer("select/result", **values)
    suite.answer("select/result.verify")

    assert suite.state_of("select") == "held"
    assert any("purity out: 60 %, limit >= 80 %" in words for words in suite.deviations())


def test_a_recovery_beyond_its_action_limit_opens_a_deviation() -> None:
    suite, values = typed(cells_out="15", recovery="23.8")
    suite.answer("select/result", **values)
    suite.answer("select/result.verify")

    assert any("recovery: 23.8 %" in words or "recovery: 23.7" in words for words in suite.deviations())
    assert suite.state_of("select") == "complete"


# ── Corrections ────────────────────────────────────────────────────────────────────────


def corrects(suite: Suite, **values: str) -> None:
    asked = corrections.Asked("select/result", values, "The plate of the counter says so")
    signer = with_proof(ADA, "password")
    suite.commit(corrections.correct(suite.unit, asked, signer, suite.now), ADA.id)


@pytest.mark.requirement("R-09", "F-036")
def test_an_imported_value_is_corrected_by_two_people_and_the_file_stays_as_it_was(suite: Suite) -> None:
    suite.comes_to("seal/performed")
    corrects(suite, cells_out="38", recovery="60.2")
    second = next(asked for asked in suite.asks() if asked.startswith("select/correction:"))
    assert suite.value("cells_out").value == "40"
    suite.answer(second, by=with_proof(BEN, "pin"))

    assert (suite.value("cells_out").value, suite.value("recovery").value) == ("38", "60.2")
    assert suite.value("recovery_worked_out").value == "60.2"
    assert "keeps the first value" in suite.value("recovery_worked_out").source
    said = {one["name"]: one["value"] for one in suite.last(ev.ExchangeFileRead).results}
    assert said["cells_out"] == "40"


def test_a_correction_that_does_not_fit_the_other_numbers_is_refused(suite: Suite) -> None:
    suite.comes_to("seal/performed")

    with pytest.raises(CommandRefused, match="does not fit"):
        corrects(suite, cells_out="20")


def test_a_corrected_purity_that_fails_its_limit_opens_a_deviation(suite: Suite) -> None:
    suite.comes_to("seal/performed")
    corrects(suite, purity_out_percent="70.0", recovery="46.7")
    second = next(asked for asked in suite.asks() if asked.startswith("select/correction:"))
    suite.answer(second, by=with_proof(BEN, "pin"))

    assert any("corrected from 95.0 to 70 %" in words for words in suite.deviations())


def test_corrected_cells_that_spoil_the_recovery_open_a_deviation(suite: Suite) -> None:
    suite.comes_to("seal/performed")
    corrects(suite, cells_out="12", recovery="19.0")
    second = next(asked for asked in suite.asks() if asked.startswith("select/correction:"))
    suite.answer(second, by=with_proof(BEN, "pin"))

    assert sum("recovery" in words for words in suite.deviations()) == 1


# ── What a recipe must say ─────────────────────────────────────────────────────────────


def test_the_recipe_of_these_stories_has_no_fault() -> None:
    assert check(parse(RECIPE.encode())) == []


SELECT, OF_CELLS_IN = "phase.select", "phase.select.result.cells_in"
IN_PAIRS = "phase.select.result: cells_in and"
SLIPS = {
    "a choice that is neither yes nor no": ('photo = "yes"', 'photo = "maybe"', "phase.select.text.photo"),
    "a choice misspelt": ('exchange_file = "yes"', 'exchangefile = "yes"', f"{SELECT}.text: 'exchangefile'"),
    "two kinds of device": (
        'cell_processor = "2', 'sealer = "1..2 count", cell_processor = "2', f"{SELECT}.uses",
    ),
    "a device with a line": ('cell_processor = "20..200 mL"', 'pump = "1..2 mL/min"', f"{SELECT}.uses"),
    "a label without a kind": (
        'uses = { cell_processor = "20..200 mL" }', "", f"{SELECT}.text.scan_serial_number",
    ),
    "no second person": ('verify = ["result"]\nuses', "uses", f"{SELECT}.verify"),
    "a limit on nothing": (
        "purity_out_percent = { alert", "purity_of_all = { alert", f"{SELECT}.limit: 'purity_of_all'",
    ),
    "a purity turned round": (
        'action = ">= 80 %"', 'action = "<= 80 %"', f"{SELECT}.limit.purity_out_percent",
    ),
    "a limit in another unit": ('action = ">= 30 %"', 'action = ">= 30 mL"', f"{SELECT}.limit.recovery"),
    "cells without their partner": (f"[{OF_CELLS_IN}]", "[phase.select.result.cells]", IN_PAIRS),
    "cells in two units": (
        'label = "Cells in"\nunit = "million cells"', 'label = "Cells in"\nunit = "cells"', IN_PAIRS,
    ),
    "a recovery in mL": (
        'label = "Recovery"\nunit = "%"', 'label = "Recovery"\nunit = "mL"', f"{SELECT}.result.recovery",
    ),
    "a range turned round": (
        'minimum = "1"\nmaximum = "100000"', 'minimum = "9"\nmaximum = "1"', f"{OF_CELLS_IN}: minimum",
    ),
    "a bound that is no text": ('minimum = "1"\n', "minimum = 1\n", f"{OF_CELLS_IN}: 'minimum'"),
    "decimals that are none": ("decimals = 1", "decimals = 9", f"{OF_CELLS_IN}: 'decimals'"),
    "a key that nobody knows": ('label = "Cells in"', 'lable = "Cells in"', OF_CELLS_IN),
    "a name that no file can have": (
        "result.purity_in_percent", "result.PurityIn", f"{SELECT}.result.PurityIn",
    ),
    "a safe state for people": (
        "uses = { cell", 'safe_state = { cell_processor = "stop" }\nuses = { cell', f"{SELECT}.safe_state",
    ),
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_each_slip_in_such_a_phase_is_found_with_its_place(slip: str) -> None:
    before, after, place = SLIPS[slip]
    assert before in RECIPE, slip
    try:
        faults = check(parse(RECIPE.replace(before, after, 1).encode()))
    except RecipeRefused as refused:
        faults = refused.faults

    assert any(fault.startswith(place) for fault in faults), faults


def test_results_are_refused_where_no_phase_asks_for_them() -> None:
    text = RECIPE + '\n[phase.bag.result.a]\nlabel = "A"\nunit = "%"\nminimum = "0"\nmaximum = "1"\n'

    assert "asks for no results" in " ".join(check(parse(text.encode())))


def of_a_sealer(**choices: str) -> str:
    """The recipe with a sealer in place of the cell processor, which shows no numbers."""
    head, _, rest = asking(**choices).partition("[phase.select.result.cells_in]")
    return (
        head.replace('cell_processor = "20..200 mL"', 'sealer = "1..2 count"')
        + rest[rest.index("[phase.seal]") :]
    )


def test_a_sealer_needs_no_numbers_and_is_verified_all_the_same() -> None:
    text = of_a_sealer(photo="no", exchange_file="no")
    assert check(parse(text.encode())) == []

    suite = Suite(text)
    suite.unit.devices["sealer"] = DeviceSpec("sealer", "sealer", "Tube sealer", SERIAL)
    identity = {"maker": "Example", "model": "TS-1", "serial_number": SERIAL, "firmware": ""}
    suite.commit(device_news.identified(suite.unit, "sealer", identity))
    suite.comes_to("select/result")
    assert (suite.prompt("select/result").kind, suite.prompt("select/result").fields) == ("confirm", ())
    suite.answer("select/result")
    suite.answer("select/result.verify")

    assert suite.state_of("select") == "complete"
    assert [one.key for one in suite.all(ev.ValueRecorded)] == ["serial_number"]


def test_a_file_without_results_to_take_from_it_is_a_fault() -> None:
    assert "name the results" in " ".join(check(parse(of_a_sealer().encode())))
