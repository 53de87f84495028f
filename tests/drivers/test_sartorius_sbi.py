"""Sartorius balances in SBI: the lines of the sheet, the driver's stories, and what a bad line may do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served_devices import served, wait_until

from drivers.balances.sartorius_sbi import SartoriusBalance, line_settings
from drivers.balances.sbi_lines import GRAMS, Shown, grams, shown_by
from drivers.faults import DeviceRefused, DeviceRestarted, DeviceSilent, WrongDevice
from drivers.framing import BrokenFrame
from drivers.reading import Reading
from drivers.simulated.faults import LineFaults
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.sartorius_sbi import SartoriusSbiTwin
from drivers.simulated.world import World

ESC = b"\x1b"
SPEED = 20.0  # of the physics only: a pan comes to rest in 50 ms


class SlowTwin(SartoriusSbiTwin):
    """Answers whatever it is asked 200 ms later."""

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
        return due + super().tick(now_s)


class Pan:
    """One balance with a bag of 52 g on its pan, on a line of its own."""

    def __init__(self, folder: Path, twin: type[SartoriusSbiTwin] = SartoriusSbiTwin) -> None:
        self.world = World(seed=3, speed=SPEED)
        self.world.bag("dose").volume_ml = 40.0
        self.world.put("dose", "balance")
        self.twin = twin(self.world)
        self.device = PtyDevice(self.twin, folder / "balance", faults=LineFaults(3))
        wait_until(self.world.pan_steady, 3.0, "the pan does not come to rest")

    def driver(self, **values: str) -> SartoriusBalance:
        return SartoriusBalance(str(self.device.link), values)

    def opened(self, **values: str) -> SartoriusBalance:
        driver = self.driver(**values)
        driver.TAKEN_S, driver.NOT_TAKEN_S, driver.QUIET_S, driver.FIRST_S = 0.8, 0.3, 0.05, 0.4
        driver.open()
        return driver

    def true_g(self) -> Decimal:
        return Decimal(str(round(self.world.gross_g_true(), 2)))

    def flow_on(self, rate_ml_min: float = 12.0 / SPEED) -> None:
        """Let a pump pour onto the pan: the weight moves."""
        self.world.load_syringe(60.0)
        self.world.syringe.outlet = "dose"
        self.world.start_motion(rate_ml_min=rate_ml_min, volume_ml=None, infusing=True)


@pytest.fixture
def pan(tmp_path: Path) -> Iterator[Pan]:
    made = Pan(tmp_path)
    with served(made.device):
        yield made


def weight_of(driver: SartoriusBalance) -> Reading:
    (reading,) = driver.read()
    return reading


# The lines of the sheet.

LINES = [
    (b"N     +  52.1874 g  ", Shown(Decimal("52.1874"), "g", "N", 4, 20)),
    (b"N     +  52.1874    ", Shown(Decimal("52.1874"), "", "N", 4, 20)),
    (b"+  52.1874 g  ", Shown(Decimal("52.1874"), "g", "", 4, 14)),
    (b"-   0.0300 kg ", Shown(Decimal("-0.0300"), "kg", "", 4, 14)),
    (b"   123.5[6] g ", Shown(Decimal("123.56"), "g", "", 2, 14)),
    (b"G     +     1500 lb ", Shown(Decimal(1500), "lb", "G", 0, 20)),
    (b"N     +  52.1874 g    0042", None),
    (b"N         +    52.1874 g      ", Shown(Decimal("52.1874"), "g", "N", 4, 30)),
    (b"N     +  52.174 g  ", None),  # a byte is missing
    (b"QUINTIX224-1S", None),
    (b"", None),
]


@pytest.mark.parametrize(("line", "shown"), LINES)
def test_a_line_is_taken_apart_as_the_sheet_prints_it(line: bytes, shown: Shown | None) -> None:
    assert shown_by(line) == shown


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"Stat       High     ", "overload"),
        (b"Stat      High      ", "overload"),
        (b"     High     ", "overload"),
        (b"Stat       Low      ", "underload"),
        (b"Stat        H       ", "overload"),
        (b"Stat    Cal.Int.    ", "adjusts itself"),
        (b"Stat    Cal.Ext.    ", "adjusts itself"),
        (b"  Cal.Int.    ", "adjusts itself"),
        (b"Stat     Err 54     ", "underload"),
        (b"Stat     Err 55     ", "overload"),
        (b"Stat     ERR 101    ", "error 101"),
        (b"   APP.ERR    ", "APP.ERR"),
        (b"Stat       OFF      ", "switched off"),
    ],
)
def test_the_word_of_a_status_is_searched_and_not_sliced(line: bytes, words: str) -> None:
    shown = shown_by(line)

    assert shown is not None
    assert words in shown.trouble


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("1", "kg", "1000.00"),
        ("1", "lb", "453.59237"),
        ("2", "oz", "56.69905"),
        ("1", "ozt", "31.10348"),
        ("5", "ct", "1.00"),
        ("250", "mg", "0.25"),
        ("1", "GN", "0.0648"),
    ],
)
def test_units_are_converted_by_their_definition(value: str, unit: str, expected: str) -> None:
    assert grams(Decimal(value), unit) == Decimal(expected)


@pytest.mark.parametrize("unit", ["pcs", "%", "/lb", "tlh", "o", ""])
def test_a_unit_without_one_exact_meaning_is_no_weight(unit: str) -> None:
    assert grams(Decimal(1), unit) is None


@given(st.binary(max_size=80))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_bytes_are_a_line_or_none_or_broken(line: bytes) -> None:
    with contextlib.suppress(BrokenFrame):
        shown = shown_by(line)
        assert shown is None or shown.trouble or shown.value.is_finite()


@given(
    value=st.decimals(min_value=-99999, max_value=99999, places=2),
    unit=st.sampled_from(sorted(GRAMS)),
    cut=st.integers(min_value=0, max_value=19),
)
@settings(derandomize=True, deadline=None, max_examples=200)
def test_a_line_that_lost_a_byte_is_no_weight(value: Decimal, unit: str, cut: int) -> None:
    whole = f"{'N':<6}{'-' if value < 0 else '+'}{abs(value):9.2f} {unit:<3}".encode()
    assert shown_by(whole) is not None

    assert shown_by(whole[:cut] + whole[cut + 1 :]) is None


# The twin.


class HandMovedClock:
    """Seconds that pass only when a story says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def twin_at_rest(load_ml: float = 40.0) -> tuple[SartoriusSbiTwin, HandMovedClock]:
    clock = HandMovedClock()
    world = World(seed=3, now=clock)
    world.bag("dose").volume_ml = load_ml
    world.put("dose", "balance")
    clock.seconds = 5.0
    return SartoriusSbiTwin(world), clock


def touch(world: World) -> None:
    """Lift the bag off the pan and put it back: the weight moves for a while."""
    world.put("dose", "bench")
    world.put("dose", "balance")


SHEET = [
    (ESC + b"P", b"N     +", b" g  \r\n", 22),
    (ESC + b"P\r\n", b"N     +", b" g  \r\n", 22),
    (ESC + b"P\r", b"N     +", b" g  \r\n", 22),
    (ESC + b"p", b"N     +", b" g  \r\n", 22),
    (ESC + b"x1_", b"QUINTIX3102-1S", b"\r\n", 16),
    (ESC + b"X1_\r\n", b"QUINTIX3102-1S", b"\r\n", 16),
    (ESC + b"x2_\r\n", b"34309393", b"\r\n", 10),
    (ESC + b"x3_\r\n", b"01-62-07", b"\r\n", 10),
    *((ESC + key + b"\r\n", b"", b"", 0) for key in (b"T", b"U", b"V", b"Z", b"S")),
    *((ESC + key + b"\r\n", b"", b"", 0) for key in (b"K", b"L", b"M", b"N", b"O", b"R")),
    (b"P\r\n", b"", b"", 0),
    (ESC + b"#\r\n", b"", b"", 0),
    (ESC + b"x1234567890123456789012345_\r\n", b"", b"", 0),
    (ESC + ESC + b"P", b"N     +", b" g  \r\n", 22),
]


@pytest.mark.parametrize(("request_", "begin", "end", "length"), SHEET)
def test_the_twin_answers_as_the_sheet_says(request_: bytes, begin: bytes, end: bytes, length: int) -> None:
    twin, _ = twin_at_rest()

    answer = b"".join(twin.receive(request_, 5.0))

    assert len(answer) == length
    assert answer.startswith(begin)
    assert answer.endswith(end)


def test_the_twin_takes_a_request_byte_by_byte() -> None:
    twin, _ = twin_at_rest()

    answers = [twin.receive(bytes((byte,)), 5.0) for byte in ESC + b"x1_\r\n" + ESC + b"P\r\n"]

    assert sum(len(answer) for answer in answers) == 2


def test_the_twin_leaves_out_the_unit_in_motion_and_the_identifier_where_it_is_set_so() -> None:
    twin, _ = twin_at_rest()
    touch(twin.world)

    moving = twin.receive(ESC + b"P", 5.0)[0]
    twin.identified = False
    short = twin.receive(ESC + b"P", 5.0)[0]

    assert (len(moving), moving[-6:]) == (22, b"    \r\n")
    assert (len(short), short[-6:]) == (16, b"    \r\n")


def test_the_twin_tells_overload_underload_adjusting_errors_and_xbpi_in_the_sheets_columns() -> None:
    twin, clock = twin_at_rest()

    def printed() -> bytes:
        return b"".join(twin.receive(ESC + b"P\r\n", clock.seconds))

    twin.world.bag("dose").volume_ml = 4000.0
    assert printed() == b"Stat       High     \r\n"
    twin.world.bag("dose").volume_ml = 40.0
    twin.receive(ESC + b"V", clock.seconds)
    twin.zero_g = 200.0
    assert printed() == b"Stat       Low      \r\n"
    twin.zero_g = 0.0
    twin.receive(ESC + b"Z", clock.seconds)
    assert printed() == b"Stat    Cal.Int.    \r\n"
    clock.seconds += 10
    twin.world.bag("dose").volume_ml = 4000.0
    clock.seconds += 2
    twin.receive(ESC + b"U", clock.seconds)
    assert printed() == b"Stat     Err 10     \r\n"
    twin.xbpi = True
    assert b"PRT.ERR" in printed()


def test_the_twin_tares_and_zeroes_without_a_word_once_the_pan_is_steady() -> None:
    twin, clock = twin_at_rest()
    touch(twin.world)

    assert twin.receive(ESC + b"U\r\n", 5.0) == []
    assert twin.tare_g == 0.0
    clock.seconds = 8.0
    twin.tick(8.0)

    assert twin.tare_g == pytest.approx(twin.world.gross_g_true(), abs=0.03)
    assert twin.receive(ESC + b"P", 8.0)[0][6:].startswith((b"+     0.0", b"-     0.0"))


def test_the_twin_prints_unasked_with_auto_print_and_waits_for_rest_with_that_setting() -> None:
    twin, clock = twin_at_rest()
    twin.print_every_s = 0.1
    assert len(twin.tick(5.0)) == 1
    assert twin.tick(5.05) == []
    assert len(twin.tick(5.11)) == 1

    twin.print_every_s, twin.prints_when_stable = 0.0, True
    touch(twin.world)
    assert twin.receive(ESC + b"P", 5.2) == []
    clock.seconds = 9.0
    assert len(twin.tick(9.0)) == 1


def test_the_twin_loses_its_tare_without_a_word() -> None:
    twin, _ = twin_at_rest()
    twin.receive(ESC + b"U", 5.0)

    assert twin.receive(ESC + b"S\r\n", 5.0) == []
    assert twin.tare_g == 0.0
    twin.receive(ESC + b"U", 5.0)
    assert twin.restart(5.0) == []

    assert twin.tare_g == 0.0


# The driver.


@pytest.mark.requirement("R-16")
def test_a_balance_says_who_it_is_and_weighs_with_two_looks(pan: Pan) -> None:
    driver = pan.opened()

    reading, who = weight_of(driver), driver.identify()

    assert (reading.quality, reading.detail) == ("good", "stable")
    assert reading.value == pytest.approx(pan.true_g(), abs=Decimal("0.03"))
    assert (who.maker, who.model, who.serial_number) == ("Sartorius", "QUINTIX3102-1S", "34309393")
    driver.close()


@pytest.mark.parametrize(("unit", "decimals"), [("kg", 5), ("lb", 4), ("oz", 3), ("mg", 0), ("g", 4)])
def test_any_exact_unit_and_either_length_of_line_weighs_the_same(pan: Pan, unit: str, decimals: int) -> None:
    pan.twin.unit, pan.twin.decimals = unit, decimals
    pan.twin.identified = unit != "oz"
    driver = pan.opened()

    reading = weight_of(driver)

    assert (reading.quality, reading.unit) == ("good", "g")
    assert reading.value == pytest.approx(pan.true_g(), abs=Decimal("0.05"))
    driver.close()


@pytest.mark.parametrize("unit", ["pcs", "%", "tlh"])
def test_a_wrong_unit_is_told_in_words_and_never_taken_for_grams(pan: Pan, unit: str) -> None:
    GRAMS[unit] = Decimal(1)  # for the twin to print it
    try:
        pan.twin.unit = unit
        first = pan.twin.receive(ESC + b"P", time.monotonic())[0]
    finally:
        del GRAMS[unit]
    assert unit.encode() in first
    answers = {ESC + b"P\r\n": first, ESC + b"x1_\r\n": b"QUINTIX\r\n"}
    pan.twin.receive = lambda data, now_s: [answers[data]] if data in answers else []  # type: ignore[method-assign]
    driver = pan.opened()

    reading = weight_of(driver)

    assert (reading.value, reading.quality) == (None, "bad")
    assert f"shows {unit}" in reading.detail
    driver.close()


@pytest.mark.parametrize(
    ("load_ml", "zero_g", "words"), [(4000.0, 0.0, "overload"), (40.0, 200.0, "underload")]
)
def test_overload_and_underload_have_no_value(pan: Pan, load_ml: float, zero_g: float, words: str) -> None:
    driver = pan.opened()
    pan.world.bag("dose").volume_ml, pan.twin.zero_g = load_ml, zero_g

    reading = weight_of(driver)

    assert (reading.value, reading.quality) == (None, "bad")
    assert words in reading.detail
    driver.close()


def test_a_moving_weight_counts_in_the_unit_of_the_last_steady_one(pan: Pan) -> None:
    pan.twin.unit, pan.twin.decimals = "kg", 5
    driver = pan.opened()
    pan.flow_on()
    time.sleep(0.1)

    reading = weight_of(driver)

    assert (reading.quality, reading.detail) == ("good", "dynamic")
    assert reading.value == pytest.approx(pan.true_g(), abs=Decimal("0.3"))
    driver.close()


def test_a_unit_changed_in_motion_is_never_taken_for_the_old_one(pan: Pan) -> None:
    driver = pan.opened()
    pan.flow_on()
    pan.twin.unit, pan.twin.decimals = "kg", 5

    readings = [weight_of(driver) for _ in range(4)]

    assert all(reading.quality == "uncertain" for reading in readings), readings
    driver.close()


def test_a_balance_opened_in_motion_is_uncertain_unless_its_unit_is_set(pan: Pan) -> None:
    pan.flow_on()
    driver = pan.opened()
    unknown = weight_of(driver)
    driver.close()
    fixed = pan.opened(unit="g")

    known = weight_of(fixed)

    assert (unknown.quality, known.quality) == ("uncertain", "good")
    assert "taken for g" in unknown.detail
    fixed.close()


def test_a_balance_that_shows_another_unit_than_the_one_set_is_told(pan: Pan) -> None:
    driver = pan.opened(unit="kg")

    reading = weight_of(driver)

    assert reading.quality == "bad"
    assert "shows g where kg is set" in reading.detail
    driver.close()


@pytest.mark.parametrize("kind", ["slow", "auto-print", "old", "echo"])
def test_a_healthy_balance_of_any_kind_reads_good(tmp_path: Path, kind: str) -> None:
    pan = Pan(tmp_path, SlowTwin if kind == "slow" else SartoriusSbiTwin)
    pan.twin.print_every_s = 0.05 if kind == "auto-print" else 0.0
    pan.twin.knows_names = pan.twin.identified = kind != "old"
    if kind == "echo":
        pan.device.faults.set("echo:1")
    with served(pan.device):
        driver = pan.opened()
        began_s = time.monotonic()
        readings = [weight_of(driver) for _ in range(2)]
        took_s = time.monotonic() - began_s
        driver.close()

    assert [reading.quality for reading in readings] == ["good"] * 2
    assert took_s < 2.0
    for reading in readings:
        assert reading.value == pytest.approx(pan.true_g(), abs=Decimal("0.03"))


def test_a_balance_that_prints_steady_weights_only_is_moving_and_not_silent(pan: Pan) -> None:
    driver = pan.opened()
    driver.order("tare", {})
    pan.twin.prints_when_stable = True
    pan.flow_on()

    began_s = time.monotonic()
    moving = weight_of(driver)
    took_s = time.monotonic() - began_s
    pan.world.bag("dose").volume_ml += 5.0
    pan.world.stop_motion()
    wait_until(pan.world.pan_steady, 3.0, "the pan does not come to rest")

    assert (moving.quality, "steady weights only" in moving.detail) == ("bad", True)
    assert took_s < 1.0
    wait_until(lambda: weight_of(driver).quality == "good", 3.0, "it does not weigh again")
    driver.close()


def test_a_transfer_of_as_much_as_was_tared_off_is_no_restart(pan: Pan) -> None:
    pan.world.bag("dose").volume_ml = 0.0
    driver = pan.opened()
    driver.order("tare", {})
    weight_of(driver)
    tared_g = pan.twin.tare_g

    pan.world.bag("dose").volume_ml = tared_g
    driver._last = (Decimal(0), time.monotonic() - 20.0)  # a transfer that nobody watched for 20 s

    assert weight_of(driver).value == pytest.approx(Decimal(12), abs=Decimal("0.1"))
    driver.close()


def test_a_balance_set_to_xbpi_is_told_apart(pan: Pan) -> None:
    pan.twin.xbpi = True

    with pytest.raises(WrongDevice, match="Set its interface to SBI"):
        pan.opened()


def test_bytes_of_another_protocol_are_no_balance(pan: Pan) -> None:
    pan.twin.receive = lambda data, now_s: [b"\xff\xfePRT.ERR\x80\r\n"]  # type: ignore[method-assign]

    with pytest.raises(WrongDevice):
        pan.opened()


def test_a_silent_line_is_silence(pan: Pan) -> None:
    pan.device.faults.set("silent")
    driver = pan.driver()
    driver.OPEN_S = 0.5

    with pytest.raises(DeviceSilent):
        driver.open()


@pytest.mark.parametrize("name", ["tare", "zero"])
def test_an_order_is_confirmed_by_the_next_steady_weight(pan: Pan, name: str) -> None:
    driver = pan.opened()

    result = driver.order(name, {})

    assert abs(Decimal(result["weight_g"])) <= Decimal("0.10")
    assert pan.twin.tare_g + pan.twin.zero_g == pytest.approx(float(pan.true_g()), abs=0.05)
    assert abs(weight_of(driver).value or 0) <= Decimal("0.10")  # type: ignore[arg-type]
    driver.close()


def test_an_older_balance_is_tared_by_the_order_that_it_knows(pan: Pan) -> None:
    pan.twin.knows_new_keys = False
    driver = pan.opened()

    driver.order("tare", {})

    assert pan.twin.tare_g == pytest.approx(float(pan.true_g()), abs=0.05)
    driver.close()


def test_an_order_without_effect_is_refused_in_words(pan: Pan) -> None:
    pan.twin.knows_new_keys = False
    driver = pan.opened()

    with pytest.raises(DeviceRefused, match=r"still shows 5[12]"):
        driver.order("zero", {})

    assert pan.twin.zero_g == 0.0
    driver.close()


def test_zero_out_of_range_is_refused_with_the_error_that_the_balance_shows(pan: Pan) -> None:
    pan.world.bag("dose").volume_ml = 400.0
    driver = pan.opened()

    with pytest.raises(DeviceRefused, match="error 11"):
        driver.order("zero", {})

    assert pan.twin.zero_g == 0.0
    driver.close()


def test_a_tare_whose_request_was_lost_is_not_called_done(pan: Pan) -> None:
    driver = pan.opened()
    lost = pan.twin.receive
    pan.twin.receive = lambda data, now_s: [] if data[1:2] in b"UT" else lost(data, now_s)  # type: ignore[method-assign]

    with pytest.raises(DeviceRefused, match="still shows"):
        driver.order("tare", {})

    assert pan.twin.tare_g == 0.0
    driver.close()


def test_an_order_without_sense_is_refused_with_nothing_sent(pan: Pan) -> None:
    driver = pan.opened()
    sent = len(driver.line.trace)

    for name, parameters in (("shake", {}), ("tare", {"weight_g": "1"}), ("", {})):
        with pytest.raises(DeviceRefused, match="knows the orders"):
            driver.order(name, parameters)

    assert len(driver.line.trace) == sent
    driver.close()


def test_a_tare_lost_with_the_power_is_told_once(pan: Pan) -> None:
    driver = pan.opened()
    driver.order("tare", {})
    weight_of(driver)
    pan.device.restart()

    with pytest.raises(DeviceRestarted, match="Tare it again"):
        for _ in range(3):
            driver.read()

    assert weight_of(driver).value == pytest.approx(pan.true_g(), abs=Decimal("0.03"))
    driver.close()


def test_a_balance_that_zeroes_itself_at_power_on_is_noticed_by_its_silence(pan: Pan) -> None:
    driver = pan.opened()
    driver.order("tare", {})
    pan.world.bag("dose").volume_ml += 5.0
    wait_until(lambda: abs((weight_of(driver).value or 0) - 5) < 1, 3.0, "5 mL")  # type: ignore[operator]
    pan.twin.zeroes_at_power_on, pan.twin.boot_s = True, 1.0
    pan.device.restart()

    with pytest.raises(DeviceSilent):
        driver.read()
    with pytest.raises(DeviceRestarted, match="void"):
        for _ in range(20):
            with contextlib.suppress(DeviceSilent):
                driver.read()
    driver.close()


def test_a_tare_lost_behind_a_closed_line_is_told_once_it_is_open_again(pan: Pan) -> None:
    driver = pan.opened()
    driver.order("tare", {})
    driver.close()
    pan.device.restart()
    driver.open()

    with pytest.raises(DeviceRestarted, match="void"):
        driver.read()

    driver.close()


def test_a_tare_that_is_still_there_when_the_line_is_open_again_is_no_news(pan: Pan) -> None:
    driver = pan.opened()
    driver.order("tare", {})
    driver.close()
    driver.open()

    assert weight_of(driver).value == pytest.approx(Decimal(0), abs=Decimal("0.05"))
    driver.close()


def test_a_bag_put_back_onto_a_tared_pan_is_no_restart(pan: Pan) -> None:
    driver = pan.opened()
    driver.order("tare", {})

    pan.world.put("dose", "bench")
    away = weight_of(driver)
    pan.world.put("dose", "balance")
    again = [weight_of(driver) for _ in range(3)]

    assert away.detail.startswith("underload") or away.value is not None
    assert again[-1].value is not None
    driver.close()


def test_no_bad_line_becomes_a_good_weight(pan: Pan) -> None:
    driver = pan.opened()
    pan.device.faults.set("flip:0.3")

    good = 0
    for _ in range(6):
        with contextlib.suppress(DeviceSilent):
            began_s = time.monotonic()
            reading = weight_of(driver)
            good += reading.quality == "good"
            if reading.quality == "good":
                assert reading.value == pytest.approx(pan.true_g(), abs=Decimal("0.12"))
            assert time.monotonic() - began_s < 1.2
    pan.device.faults.set("none")

    wait_until(lambda: weight_of(driver).quality == "good", 4.0, "it does not come back")
    assert good > 0
    driver.close()


def test_late_answers_do_not_pile_up(pan: Pan) -> None:
    driver = pan.opened()
    pan.device.faults.set("late:1")
    for _ in range(2):
        with contextlib.suppress(DeviceSilent):
            driver.read()
    pan.device.faults.set("none")
    time.sleep(0.8)

    pan.world.bag("dose").volume_ml += 20.0

    reading = weight_of(driver)
    assert reading.quality != "good" or reading.value == pytest.approx(pan.true_g(), abs=Decimal("0.12"))
    driver.close()


def test_the_line_is_set_as_the_setting_says() -> None:
    assert line_settings("1200-7O1").parity == "O"
    assert line_settings("1200-7O1").byte_bits == 7
    assert line_settings("9600-8O1").baud_rate == 9600
    assert SartoriusBalance("/dev/null", {"line": "1200-7O1"}).line.settings.baud_rate == 1200
