"""Alicat mass-flow controllers: the sheet's rows, both tables of columns, orders, and what goes wrong."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served_devices import served, wait_until

from drivers.faults import DeviceFault, DeviceRefused, DeviceRestarted, DeviceSilent, WrongDevice
from drivers.framing import BrokenFrame
from drivers.gas.alicat import AlicatController
from drivers.gas.alicat_frames import (
    Frame,
    frame_from,
    layout_from,
    layout_of_words,
    take_frame,
    usual_layout,
    usual_with_units,
)
from drivers.reading import Reading
from drivers.simulated.alicat import AlicatTwin
from drivers.simulated.faults import LineFaults
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.world import World

SPEED = 10.0  # of the physics only: the flow settles in 30 ms


class SlowTwin(AlicatTwin):
    """Answers whatever it is asked 200 ms later, a table all at once."""

    SLOW_S = 0.2

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._late: list[tuple[float, bytes]] = []

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        self._late += [(now_s + self.SLOW_S, answer) for answer in super().receive(data, now_s)]
        return []

    def tick(self, now_s: float) -> list[bytes]:
        due = [answer for at_s, answer in self._late if at_s <= now_s]
        self._late = [(at_s, answer) for at_s, answer in self._late if at_s > now_s]
        return due


class Gas:
    """One controller on a line of its own."""

    def __init__(self, folder: Path, twin: type[AlicatTwin] = AlicatTwin) -> None:
        self.world = World(seed=3, speed=SPEED)
        self.twin = twin(self.world)
        self.device = PtyDevice(self.twin, folder / "gas", faults=LineFaults(3))

    def driver(self, **values: str) -> AlicatController:
        return AlicatController(str(self.device.link), values)

    def opened(self, **values: str) -> AlicatController:
        driver = self.driver(**values)
        unit = driver._unit
        unit.LINES_FOLLOW_S, unit.STREAM_S, unit.QUIET_S = 0.06, 0.06, 0.05  # no slow line here
        driver.open()
        return driver

    def flow(self, ml_min: float) -> None:
        """Let gas flow, as somebody ordered it before."""
        self.world.gas.setpoint_ml_min = self.world.gas.flow_ml_min = ml_min


@pytest.fixture
def gas(tmp_path: Path) -> Iterator[Gas]:
    made = Gas(tmp_path)
    with served(made.device):
        yield made


def by_name(driver: AlicatController) -> dict[str, Reading]:
    return {reading.name: reading for reading in driver.read()}


def sent(driver: AlicatController) -> list[bytes]:
    return [entry.data for entry in driver.line.trace if entry.direction == "out"]


# Frames and tables.

USUAL = usual_layout("A +014.62 +021.89 +049.88 +050.01 +050.00     N2")
NEW_TABLE = [
    "A D00 ID_ NAME______________________ TYPE_______ WIDTH NOTES___________________",
    "A D01 700 Unit ID                    string          1",
    "A D02 002 Abs Press                  s decimal     7/2 010 02 PSIA",
    "A D03 003 Flow Temp                  s decimal     7/2 002 02 `C",
    "A D04 004 Volu Flow                  s decimal     7/2 012 02 CCM",
    "A D05 005 Mass Flow                  s decimal     7/2 012 02 SCCM",
    "A D06 037 Mass Flow Setpt            s decimal     7/2 012 02 SCCM",
    "A D07 703 Gas                        string          6",
    "A D08 701 *Error                     string          3 ADC",
    "A D09 702 *Status                    string          3 OPL",
]
OLD_TABLE = [
    "A  D00 NAME_______ TYPE_____ MinVal_  MaxVal_  UNITS__",
    "A  D01 Unit ID     char         A         Z         na",
    "A  D02 Pressure    signed    +000.00  +160.00     PSIA",
    "A  D03 Temperature signed    -010.00  +050.00        C",
    "A  D04 Volumetric  signed    +0000.0  +0500.0      LPM",
    "A  D05 Mass        signed    +0000.0  +0500.0     SLPM",
    "A  D06 SetPoint    signed    +0000.0  +0500.0     SLPM",
    "A  D07 Gas         string        Air       D2       na",
    "A  D08 Error       string         na      ADC       na",
    "A  D09 Status      string         na      LCK       na",
]


def test_the_frame_of_the_sheet_is_taken_apart() -> None:
    assert USUAL is not None

    frame = frame_from("A +014.62 +021.89 +000.00 +000.00 +050.00     N2 HLD MOV", "A", USUAL)

    assert frame == Frame(
        Decimal("14.62"), Decimal("21.89"), Decimal(0), Decimal(50), "N2", ("HLD", "MOV"), 56
    )
    assert frame.held


@pytest.mark.parametrize(
    "line",
    [
        "B +014.62 +021.89 +000.00 +000.00 +050.00     N2",  # another unit's
        "A +014.62 +021.89 +000.00 +000.00     N2",  # a column short
        "A +014.62 +021.89 +000.00 +0x0.00 +050.00     N2",
        "A +014.62 +021.89 +000.00 +000.00 +050.00     N2 mov",
        "A ?",
        "?",
        "",
        "A   10v20.0-R24 Jan  9 2025,15:04:07",
        "A +050.00 +050.00 12 SCCM",
    ],
)
def test_what_is_no_frame_of_this_unit_is_none(line: str) -> None:
    assert USUAL is not None
    assert frame_from(line, "A", USUAL) is None


@pytest.mark.parametrize(("table", "unit"), [(NEW_TABLE, "SCCM"), (OLD_TABLE, "SLPM")])
def test_both_dialects_of_the_table_of_columns_are_understood(table: list[str], unit: str) -> None:
    layout = layout_from(table, "A")

    assert layout is not None
    assert [column.what for column in layout.columns] == [
        "pressure", "temperature", "volume", "mass", "setpoint", "gas",
    ]  # fmt: skip
    assert (layout.unit_of("mass"), layout.unit_of("pressure")) == (unit, "PSIA")


@pytest.mark.parametrize(
    ("rows", "units"),
    [
        (
            "Unit ID|Pressure PSIA|Temperature C|Volumetric CCM|Mass Flow SCCM|Setpoint SCCM|Gas|Status",
            "PSIA C SCCM",
        ),
        ("Pressure|Temperature|Volumetric Flow|Mass Flow|Set Point|Gas", "  "),
        (
            "Unit ID|Abs Press barA|Flow Temp `F|Volu Flow LPM|Mass Flow NLPM|Mass Flow Setpt NLPM|Gas",
            "barA `F NLPM",
        ),
    ],
)
def test_a_table_of_another_make_is_read_by_its_words(rows: str, units: str) -> None:
    layout = layout_from([f"A  D{n:02d} {row}" for n, row in enumerate(rows.split("|"), start=1)], "A")

    assert layout is not None
    assert [column.what for column in layout.columns][3:] == ["mass", "setpoint", "gas"]
    assert " ".join(layout.unit_of(what) for what in ("pressure", "temperature", "mass")) == units


def test_a_table_that_does_not_fit_its_frames_lends_its_units_at_most() -> None:
    layout = layout_from(
        [*NEW_TABLE[:7], "A D07 013 Valve Drive              s decimal     7/2 063 02 %"], "A"
    )
    frame = "A +014.62 +021.89 +049.88 +050.01 +050.00     N2"
    assert layout is not None
    assert frame_from(frame, "A", layout) is None

    usual = usual_with_units(frame, layout)
    other = layout_from(
        ["A D01 Mass Flow SLPM", "A D02 Pressure PSIA", "A D03 Temperature C", "A D04 Gas"], "A"
    )

    assert usual is not None
    assert other is not None
    assert usual.unit_of("mass") == "SCCM"
    assert usual_with_units(frame, other) is None


@pytest.mark.parametrize("spoilt", ["row missing", "other unit", "no mass flow", "no table"])
def test_a_table_that_is_not_whole_tells_nothing(spoilt: str) -> None:
    table = {
        "row missing": NEW_TABLE[:4] + NEW_TABLE[5:],
        "other unit": [*NEW_TABLE[:4], NEW_TABLE[4].replace("A D04", "B D04"), *NEW_TABLE[5:]],
        "no mass flow": NEW_TABLE[:4],
        "no table": ["?"],
    }[spoilt]

    assert layout_from(table, "A") is None


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("A +014.62 +021.89 +049.88 +050.01     N2", 5),
        ("A +014.62 +021.89 +049.88 +050.01 +050.00     N2", 6),
        ("A +014.62 +021.89 +049.88 +050.01 +050.00 +0000123.4     N2", 7),
        ("A +014.62 +021.89 +049.88 +050.01 +050.00 +0000123.4 +045.00     N2 LCK", 8),
        ("A +014.62 +021.89     N2", None),
        ("A +014.62 +021.89 +049.88 +050.01", None),
    ],
)
def test_untold_columns_are_guessed_by_their_number(line: str, columns: int | None) -> None:
    layout = usual_layout(line)

    assert (len(layout.columns) if layout else None) == columns
    if layout is not None:
        frame = frame_from(line, "A", layout)
        assert frame is not None
        assert (frame.mass, frame.gas) == (Decimal("50.01"), "N2")


@given(st.binary(max_size=300))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_bytes_end_in_lines_or_in_a_broken_frame(data: bytes) -> None:
    assert USUAL is not None
    buffer = bytearray(data)
    with contextlib.suppress(BrokenFrame):
        while (line := take_frame(buffer)) is not None:
            text = line.decode("latin-1")
            assert frame_from(text, "A", USUAL) is None or text.startswith("A")
            assert layout_from([text], "A") is None
            usual_layout(text)


# The twin.


def twin_at(ml_min: float = 0.0) -> AlicatTwin:
    world = World(seed=3, now=lambda: 0.0)
    world.gas.setpoint_ml_min = world.gas.flow_ml_min = ml_min
    return AlicatTwin(world)


FRAME = r"A [+-]\d{3}\.\d\d [+-]\d{3}\.\d\d [+-]\d{3}\.\d\d [+-]\d{3}\.\d\d [+-]\d{3}\.\d\d +\w+"
SHEET = [
    (b"A\r", FRAME),
    (b"a\r", FRAME),
    (b"*\r", FRAME),
    (b"A\r\n", FRAME),
    (b"AS 50.00\r", r"A .* \+050\.00    CO2"),
    (b"AS50.00\r", r"A .* \+050\.00    CO2"),
    (b"as 50\r", r"A .* \+050\.00    CO2"),
    (b"AS 500\r", r"A .* \+100\.00    CO2"),
    (b"A32000\r", r"A .* \+050\.00    CO2"),
    (b"ALS\r", r"A \+000\.00 \+000\.00 12 SCCM"),
    (b"ALS 25.5\r", r"A \+025\.50 \+025\.50 12 SCCM"),
    (b"ALSS\r", r"A S"),
    (b"ANCS 20\r", r"A 20"),
    (b"AFPF 5\r", r"A \+100\.00 12 SCCM"),
    (b"AFPF 2\r", r"\?"),
    (b"AG 8\r", r"A .*     N2"),
    (b"AG8\r", r"A .*     N2"),
    (b"AG 0\r", r"A .*    Air"),
    (b"AG 1\r", r"A .*     Ar"),
    (b"AG 11\r", r"A .*     O2"),
    (b"AV\r", FRAME),
    (b"AHC\r", FRAME + r" HLD"),
    (b"AHP\r", FRAME + r" HLD"),
    (b"AC\r", FRAME),
    (b"A$$H\r", FRAME + r" HLD"),
    (b"AVE\r", r"A   10v20\.0-R24 Jan  9 2025,15:04:07"),
    (b"AXYZ\r", r"\?"),
    (b"AG 99\r", r"\?"),
    (b"AS x\r", r"\?"),
    (b"B\r", r""),
]


@pytest.mark.parametrize(("request_", "answer"), SHEET)
def test_the_twin_answers_as_the_sheet_says(request_: bytes, answer: str) -> None:
    said = b"".join(twin_at().receive(request_, 0.0)).decode("ascii")

    assert re.fullmatch(answer, said.removesuffix("\r")), said
    assert said.count("\r") == bool(answer)


def test_the_twins_tables_end_each_row_with_cr() -> None:
    twin = twin_at()

    made = b"".join(twin.receive(b"A??M*\r", 0.0)).decode("ascii").split("\r")
    columns = b"".join(twin.receive(b"A??D*\r", 0.0)).decode("ascii").split("\r")

    assert len(made) == 11
    assert made[4] == "A  M04 Model Number MC-100SCCM-D"
    assert columns[:7] == NEW_TABLE[:7]
    assert columns[-1] == ""


def test_the_twin_streams_when_asked_and_ends_it_with_the_unit_named_anew() -> None:
    twin = twin_at()

    assert twin.receive(b"A@ @\r", 0.0) == []
    assert twin.tick(0.06)[0].startswith(b"@ +")
    assert twin.receive(b"A\r", 0.07) == []
    assert twin.receive(b"@@ A\r", 0.08)[0].startswith(b"A +")
    assert twin.tick(1.0) == []


def test_the_twin_loses_set_point_and_hold_with_its_power_and_keeps_its_gas() -> None:
    twin = twin_at(50.0)
    twin.receive(b"AG 8\rAHC\r", 0.0)

    assert twin.restart(0.0) == []

    assert (twin.world.gas.setpoint_ml_min, twin.held, twin.world.gas.gas) == (0.0, "", "N2")


# The driver.


@pytest.mark.requirement("R-16")
def test_a_controller_says_who_it_is_and_reads_everything_from_one_frame(gas: Gas) -> None:
    gas.flow(50.0)
    driver = gas.opened()

    shown, who = by_name(driver), driver.identify()

    assert {reading.quality for reading in shown.values()} == {"good"}
    assert shown["flow_ml_min"].value == pytest.approx(Decimal(50), abs=Decimal("0.2"))
    assert shown["setpoint_ml_min"].value == Decimal(50)
    assert shown["pressure_kpa"].value == pytest.approx(Decimal(190), abs=Decimal(1))
    assert shown["temperature_c"].value == pytest.approx(Decimal("21.9"), abs=Decimal("0.1"))
    assert (shown["gas"].value, shown["alarm"].value) == ("CO2", "")
    assert (who.maker, who.model, who.serial_number) == ("Alicat", "MC-100SCCM-D", "521641")
    assert who.firmware == "10v20.0-R24"
    driver.close()


KINDS = [
    "slow",
    "old table",
    "no table",
    "SLPM",
    "totalizer",
    "no table, totalizer",
    "humidity",
    "no VE",
    "echo",
    "unit Q",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_healthy_controller_of_any_kind_reads_good(tmp_path: Path, kind: str) -> None:
    gas = Gas(tmp_path, SlowTwin if kind == "slow" else AlicatTwin)
    twin = gas.twin
    gas.flow(50.0)
    twin.tells_columns = {"old table": "old", "no table": "", "no table, totalizer": ""}.get(kind, "new")
    twin.has_totalizer, twin.has_humidity = "totalizer" in kind, kind == "humidity"
    twin.flow_unit = "SLPM" if kind == "SLPM" else "SCCM"
    twin.knows_version = kind != "no VE"
    twin.letter = kind[-1] if kind.startswith("unit") else "A"
    if kind == "echo":
        gas.device.faults.set("echo:1")
    with served(gas.device):
        driver = gas.opened(unit=twin.letter)
        began_s = time.monotonic()
        shown = by_name(driver)
        took_s = time.monotonic() - began_s
        driver.close()

    assert {reading.quality for reading in shown.values()} == {"good"}, shown
    assert took_s < 1.0
    assert shown["flow_ml_min"].value == pytest.approx(Decimal(50), abs=Decimal("0.2"))
    assert shown["setpoint_ml_min"].value == Decimal(50)


def test_a_unit_of_flow_that_nobody_told_is_stated(gas: Gas) -> None:
    gas.twin.tells_columns, gas.twin.knows_setpoint = "", False
    driver = gas.opened()
    assumed = by_name(driver)["flow_ml_min"]
    driver.close()
    gas.twin.knows_setpoint = True
    driver = gas.opened()

    told = by_name(driver)["flow_ml_min"]

    assert "taken for SCCM" in assumed.detail
    assert (told.detail, told.quality) == ("", "good")
    driver.close()


def test_a_flow_that_has_no_standard_unit_has_no_value(gas: Gas) -> None:
    gas.twin.flow_unit = "NLPM"
    driver = gas.opened()

    shown = by_name(driver)

    assert (shown["flow_ml_min"].value, shown["flow_ml_min"].quality) == (None, "bad")
    assert "shows NLPM" in shown["flow_ml_min"].detail
    with pytest.raises(DeviceRefused, match="NLPM"):
        driver.order("set", {"flow_ml_min": "10"})
    driver.close()


def test_a_device_whose_unit_is_set_otherwise_is_not_the_one_meant(gas: Gas) -> None:
    with pytest.raises(WrongDevice, match="SCCM where SLPM is set"):
        gas.opened(flow_unit="SLPM")


def test_columns_named_by_hand_are_read_as_named(gas: Gas) -> None:
    gas.twin.frame = lambda letter="": "A +024.50 +012.30 +0000.0 +010.00 +040.00    Air"  # type: ignore[method-assign]
    driver = gas.opened(columns="temperature mass other setpoint other gas")

    shown = by_name(driver)

    assert shown["temperature_c"].value == Decimal("24.50")
    assert shown["flow_ml_min"].value == Decimal("12.30")
    assert shown["setpoint_ml_min"].value == Decimal("10.00")
    assert "pressure_kpa" not in shown
    assert layout_of_words("mass gas").has("gas")
    driver.close()


def test_a_device_of_another_family_that_tells_no_columns_is_not_guessed(gas: Gas) -> None:
    gas.twin.tells_columns, gas.twin.firmware = "", "V 3.1.0"

    with pytest.raises(WrongDevice, match="setting columns"):
        gas.opened()


def test_a_meter_has_no_set_point_and_takes_no_orders(gas: Gas) -> None:
    gas.twin.is_meter = True
    driver = gas.opened()

    shown = by_name(driver)
    driver.stop()

    assert "setpoint_ml_min" not in shown
    assert {reading.quality for reading in shown.values()} == {"good"}
    with pytest.raises(DeviceRefused, match="is a meter"):
        driver.order("set", {"flow_ml_min": "10"})
    driver.close()


def test_a_stream_that_somebody_began_is_ended(gas: Gas) -> None:
    gas.twin._streams_at_s = 0.0

    driver = gas.opened()

    assert by_name(driver)["flow_ml_min"].quality == "good"
    driver.close()


def test_another_letter_on_the_line_is_not_answered(gas: Gas) -> None:
    driver = gas.driver(unit="B")
    driver.OPEN_S = 0.4

    with pytest.raises(DeviceSilent):
        driver.open()


def test_a_flow_is_set_by_its_frame_and_written_only_when_it_changes(gas: Gas) -> None:
    driver = gas.opened()

    first = driver.order("set", {"flow_ml_min": "42.5"})
    second = driver.order("set", {"flow_ml_min": "42.50"})

    assert first == second == {"setpoint_ml_min": "42.50"}
    assert gas.world.gas.setpoint_ml_min == pytest.approx(42.5)
    assert sent(driver).count(b"AS 42.50\r") == 1
    assert [wear.writes for wear in driver.wear()] == [1, 0]
    assert not [data for data in sent(driver) if re.match(rb"A ?\d", data)]
    driver.close()


def test_a_flow_in_litres_is_set_in_litres(gas: Gas) -> None:
    gas.twin.flow_unit = "SLPM"
    driver = gas.opened()

    assert driver.order("set", {"flow_ml_min": "42.5"}) == {"setpoint_ml_min": "42.50"}

    assert b"AS 0.0425\r" in sent(driver)
    assert gas.world.gas.setpoint_ml_min == pytest.approx(42.5)
    driver.close()


def test_a_silently_limited_set_point_is_refused_and_the_former_one_put_back(gas: Gas) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "30"})

    with pytest.raises(DeviceRefused, match=r"goes to 100.00. The former set-point 30.00 holds"):
        driver.order("set", {"flow_ml_min": "250"})

    assert gas.world.gas.setpoint_ml_min == pytest.approx(30.0)
    driver.close()


def test_a_set_point_that_is_not_taken_is_refused(gas: Gas) -> None:
    driver = gas.opened()
    gas.twin._put = lambda value: [gas.twin.frame()]  # type: ignore[method-assign]

    with pytest.raises(DeviceRefused, match="did not take"):
        driver.order("set", {"flow_ml_min": "10"})
    driver.close()


def test_a_lost_answer_is_looked_after_and_the_order_is_confirmed(gas: Gas) -> None:
    driver = gas.opened()
    answered = gas.twin.receive
    gas.twin.receive = lambda data, now_s: (
        (answered(data, now_s), [])[1] if b"S" in data else answered(data, now_s)
    )  # type: ignore[method-assign]

    assert driver.order("set", {"flow_ml_min": "10"}) == {"setpoint_ml_min": "10.00"}
    assert sent(driver).count(b"AS 10.00\r") == 1
    driver.close()


def test_a_flow_without_sense_is_refused_with_nothing_sent(gas: Gas) -> None:
    driver = gas.opened()
    before = len(sent(driver))

    for flow in ("-1", "nan", "1e3", "", "x", "\u0663", "5."):
        with pytest.raises(DeviceRefused, match="cannot set a flow"):
            driver.order("set", {"flow_ml_min": flow})

    assert len(sent(driver)) == before
    driver.close()


@pytest.mark.parametrize("name", ["co2", "N2", "AIR"])
def test_a_gas_is_selected_by_name_and_seen_in_the_frame(gas: Gas, name: str) -> None:
    driver = gas.opened()

    chosen = driver.order("select_gas", {"gas": name})["gas"]

    assert chosen.lower() == name.lower()
    assert gas.world.gas.gas == chosen == by_name(driver)["gas"].value
    driver.close()


def test_a_gas_that_the_table_does_not_name_is_refused(gas: Gas) -> None:
    driver = gas.opened()

    with pytest.raises(DeviceRefused, match="knows the gases"):
        driver.order("select_gas", {"gas": "He"})
    driver.close()


def test_stop_sets_nothing_and_holds_the_valve_closed_and_a_set_lets_it_go(gas: Gas) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "50"})

    driver.order("stop", {})
    held = by_name(driver)
    driver.stop()
    driver.order("set", {"flow_ml_min": "20"})

    assert (held["flow_ml_min"].detail, held["alarm"].value) == ("valve held", "")
    assert held["flow_ml_min"].value == pytest.approx(Decimal(0), abs=Decimal(2))
    assert sent(driver).count(b"AS 0.00\r") == 1
    assert sent(driver).count(b"AHC\r") == 2
    assert sent(driver)[-1] == b"A\r"
    assert gas.twin.held == ""
    wait_until(lambda: gas.world.gas.flow_ml_min > 10 or not gas.world.advance(), 1.0, "no flow")  # type: ignore[func-returns-value]
    driver.close()


def test_stop_goes_out_at_once_and_is_confirmed_soon(gas: Gas) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "50"})
    before = len(sent(driver))

    began_s = time.monotonic()
    driver.apply_safe_state("stop")
    took_s = time.monotonic() - began_s

    assert sent(driver)[before : before + 2] == [b"AS 0.00\r", b"AHC\r"]
    assert gas.world.gas.held_closed
    assert took_s < 0.5
    driver.close()


def test_the_gas_flows_on_where_the_phase_says_keep(gas: Gas) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "50"})

    driver.apply_safe_state("keep")
    driver.close()

    assert gas.world.gas.setpoint_ml_min == pytest.approx(50.0)
    assert not gas.world.gas.held_closed


def test_a_leak_behind_a_closed_valve_is_told(gas: Gas) -> None:
    driver = gas.opened()
    driver.EMPTY_S = 0.3
    driver.order("set", {"flow_ml_min": "50"})
    gas.world.gas.step = lambda seconds: None  # type: ignore[method-assign]
    gas.world.gas.flow_ml_min = 30.0

    with pytest.raises(DeviceFault, match="still flow"):
        driver.order("stop", {})
    driver.close()


def test_a_stop_that_nothing_confirms_says_so(gas: Gas) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "50"})
    gas.device.faults.set("one_way")
    driver.STOP_S = 0.4

    with pytest.raises(DeviceSilent, match="by hand"):
        driver.stop()

    gas.world.advance()
    assert gas.world.gas.held_closed
    driver.close()


@pytest.mark.parametrize(
    ("codes", "words"),
    [(["MOV"], "MOV mass flow"), (["COM", "TOV"], "TOV temperature"), (["XYZ"], "XYZ"), (["LCK"], "")],
)
def test_status_codes_are_told_with_their_words(gas: Gas, codes: list[str], words: str) -> None:
    gas.twin.codes = codes
    driver = gas.opened()

    alarm = by_name(driver)["alarm"]

    assert alarm.quality == "good"
    assert words in str(alarm.value)
    assert bool(alarm.value) == bool(words)
    driver.close()


def test_a_valve_held_against_its_set_point_is_an_alarm(gas: Gas) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "50"})
    gas.twin.held, gas.world.gas.held_closed = "closed", True

    assert "held against" in str(by_name(driver)["alarm"].value)
    driver.close()


@pytest.mark.parametrize("what", ["set-point", "held", "gas"])
def test_what_a_loss_of_power_took_is_told_once(gas: Gas, what: str) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "50"})
    if what == "held":
        driver.stop()
    if what == "gas":
        gas.world.gas.gas = "N2"
    else:
        gas.device.restart()

    with pytest.raises(DeviceRestarted, match=what):
        driver.read()

    assert by_name(driver)["setpoint_ml_min"].quality == "good"
    driver.close()


def test_a_loss_of_power_behind_a_closed_line_is_told_once_it_is_open_again(gas: Gas) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "50"})
    driver.close()
    gas.device.restart()
    driver.open()

    with pytest.raises(DeviceRestarted, match="set-point is 0"):
        driver.read()

    driver.close()


def test_no_bad_frame_becomes_a_good_reading(gas: Gas) -> None:
    driver = gas.opened()
    driver.order("set", {"flow_ml_min": "50"})
    gas.device.faults.set("flip:0.15")

    good = 0
    for _ in range(6):
        began_s = time.monotonic()
        with contextlib.suppress(DeviceSilent):
            shown = by_name(driver)
            if shown["setpoint_ml_min"].quality == "good":
                good += 1
                assert (shown["setpoint_ml_min"].value, shown["gas"].value) == (Decimal(50), "CO2")
        assert time.monotonic() - began_s < 1.3
    gas.device.faults.set("none")

    wait_until(lambda: by_name(driver)["flow_ml_min"].quality == "good", 4.0, "it does not come back")
    assert good > 0
    driver.close()


def test_an_order_is_never_the_shape_of_the_old_set_point() -> None:
    driver = AlicatController("/dev/null")

    for command in ("32000", " 5", "0"):
        with pytest.raises(AssertionError):
            driver._unit.request(command)
