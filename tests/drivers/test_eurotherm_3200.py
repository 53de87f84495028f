"""Eurotherm 3200: the twin against each row of the sheet, the driver against lines and units as they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from modbus_peer import Script, speaking
from pymodbus.client import ModbusSerialClient
from pymodbus_peer import controller, pymodbus_unit
from served_devices import served

from drivers.catalog import driver_for
from drivers.faults import DeviceRefused, DeviceRestarted, DeviceSilent, WrongDevice
from drivers.modbus import frame
from drivers.reading import Reading
from drivers.settings import SettingRefused
from drivers.simulated.eurotherm_3200 import EurothermTwin
from drivers.simulated.modbus_slave import ILLEGAL_ADDRESS, ModbusException
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.world import World
from drivers.temperature.eurotherm_3200 import EurothermController

TYPE = "eurotherm-3200"


def row(text: str) -> bytes:
    return bytes.fromhex(text)


def as_on_the_sheet(decimals: str = "1") -> EurothermTwin:
    """A unit at 36.5 °C that works to 37.0 °C; its time stands."""
    world = World(now=lambda: 0.0)
    world.incubator.temperature_c = 36.5
    return EurothermTwin(world, {"decimals": decimals})


ROWS = [
    ("process value", "01 03 00 01 00 01 D5 CA", "01 03 02 01 6D 78 39"),
    ("five at once", "01 03 00 01 00 05 D4 09", "01 03 0A 01 6D 01 72 00 00 01 A9 01 72 46 43"),
    ("remote set-point", "01 06 00 1A 01 72 29 B8", "01 06 00 1A 01 72 29 B8"),
    ("target set-point", "01 06 00 02 01 72 A9 BF", "01 06 00 02 01 72 A9 BF"),
    ("status", "01 03 00 4B 00 01 F4 1C", frame(1, row("03 02 0000")).hex()),
    ("bad address", frame(1, row("03 0040 0001")).hex(), "01 83 02 C0 F1"),
    ("bad address in a block", frame(1, row("03 0049 0004")).hex(), "01 83 02 C0 F1"),
    ("write refused", frame(1, row("06 001A 07D0")).hex(), "01 86 03 02 61"),
    ("write of what is only read", frame(1, row("06 0001 0172")).hex(), "01 86 03 02 61"),
    ("as input registers", frame(1, row("04 0001 0001")).hex(), frame(1, row("04 02 016D")).hex()),
    (
        "bands and times",
        frame(1, row("03 0006 0004")).hex(),
        frame(1, row("03 08 00C8 0000 0168 003C")).hex(),
    ),
    ("range", frame(1, row("03 000B 0002")).hex(), frame(1, row("03 04 0000 03E8")).hex()),
    ("alarm thresholds", frame(1, row("03 000D 0002")).hex(), frame(1, row("03 04 03E8 0000")).hex()),
    ("selection", frame(1, row("03 000F 0001")).hex(), frame(1, row("03 02 0000")).hex()),
    ("timer status", frame(1, row("03 0017 0001")).hex(), frame(1, row("03 02 0000")).hex()),
    ("both set-points", frame(1, row("03 0018 0002")).hex(), frame(1, row("03 04 0172 0172")).hex()),
    ("sensor", frame(1, row("03 0102 0001")).hex(), frame(1, row("03 02 0000")).hex()),
    ("auto", frame(1, row("03 0111 0001")).hex(), frame(1, row("03 02 0000")).hex()),
    ("to manual", frame(1, row("06 0111 0001")).hex(), frame(1, row("06 0111 0001")).hex()),
    ("to remote", frame(1, row("06 0114 0001")).hex(), frame(1, row("06 0114 0001")).hex()),
    ("many", frame(1, row("10 0018 0002 04 0172 0173")).hex(), frame(1, row("10 0018 0002")).hex()),
    ("coils, of which it has none", "01 01 00 00 00 08 3D CC", frame(1, row("81 01")).hex()),
]


@pytest.mark.parametrize(("words", "request_", "reply"), ROWS)
def test_the_twin_answers_each_row_of_the_sheet(words: str, request_: str, reply: str) -> None:
    assert b"".join(as_on_the_sheet().receive(row(request_), 0.0)) == row(reply), words


def test_a_temperature_is_scaled_by_the_displays_decimals() -> None:
    shown = {decimals: as_on_the_sheet(decimals).read_words(3, 5, 1)[0] for decimals in ("0", "1", "2")}

    assert shown == {"0": 37, "1": 370, "2": 3700}


def test_the_remote_set_point_wears_nothing_and_is_gone_after_a_power_loss() -> None:
    twin = as_on_the_sheet()
    twin.write_words(26, [385])
    assert twin.read_words(3, 5, 1) == [370], "not selected yet"
    twin.write_words(276, [1])
    assert twin.read_words(3, 5, 1) == [385]
    assert twin.world.incubator.setpoint_c == 38.5
    assert twin.eeprom_writes == 0

    twin.restart(1.0)

    assert twin.read_words(3, 5, 1) == [370]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    made = PtyDevice(EurothermTwin(World(seed=2)), tmp_path / "oven")
    with served(made):
        yield made


def twin_of(device: PtyDevice) -> EurothermTwin:
    assert isinstance(device.twin, EurothermTwin)
    return device.twin


def opened(port: object, **settings: str) -> EurothermController:
    made: Any = driver_for(TYPE, settings)(str(port))
    made.open()
    return made  # type: ignore[no-any-return]


def by_name(readings: list[Reading]) -> dict[str, Reading]:
    return {reading.name: reading for reading in readings}


@pytest.mark.requirement("F-025")
def test_a_loop_is_read_set_started_and_stopped(device: PtyDevice) -> None:
    oven = opened(device.link)

    shown = by_name(oven.read())
    assert {reading.quality for reading in shown.values()} == {"good"}
    assert shown["bath_c"].value == pytest.approx(Decimal("37.0"), abs=Decimal("0.1"))
    assert shown["running"].value == "running"
    assert oven.order("set", {"setpoint_c": "38.5"}) == {"setpoint_c": "38.5"}
    assert by_name(oven.read())["setpoint_c"].value == Decimal("38.5")
    assert oven.order("stop", {}) == {"running": "stopped"}
    assert not device.twin.world.incubator.running
    assert by_name(oven.read())["running"].value == "stopped"
    assert oven.order("start", {}) == {"running": "running"}
    assert device.twin.world.incubator.running
    oven.close()


def test_a_set_point_goes_where_it_wears_nothing_out(device: PtyDevice) -> None:
    oven = opened(device.link)

    for setpoint_c in ("38", "36.5", "37.0", "37.0"):
        oven.order("set", {"setpoint_c": setpoint_c})

    assert twin_of(device).eeprom_writes == 0
    worn = {one.name: one.writes for one in oven.wear()}
    assert worn == {"target set-point": 0, "modes": 1}
    assert device.twin.world.incubator.setpoint_c == 37.0
    oven.close()


def test_the_lasting_set_point_is_written_on_change_only_and_counted(device: PtyDevice) -> None:
    oven = opened(device.link, setpoint="target")

    for setpoint_c in ("38.0", "38.0", "38", "37.5", "37.5"):
        assert oven.order("set", {"setpoint_c": setpoint_c}) == {"setpoint_c": f"{Decimal(setpoint_c):.1f}"}

    assert twin_of(device).eeprom_writes == 2
    (target, modes) = oven.wear()
    assert (target.writes, target.limit, modes.writes) == (2, 100_000, 0)
    device.restart()
    assert by_name(oven.read())["setpoint_c"].value == Decimal("37.5"), "it outlives a power loss"
    oven.close()


@pytest.mark.parametrize(
    ("setpoint_c", "words"),
    [
        ("120", "from 0.0 to 100.0 °C"),
        ("-1", "from 0.0"),
        ("37.05", "steps of 0.1"),
        ("warm", "a temperature"),
    ],
)
def test_a_set_point_that_cannot_be_is_refused_and_never_rounded(
    device: PtyDevice, setpoint_c: str, words: str
) -> None:
    oven = opened(device.link)

    with pytest.raises(DeviceRefused, match=words):
        oven.order("set", {"setpoint_c": setpoint_c})

    assert device.twin.world.incubator.setpoint_c == 37.0
    oven.close()


def test_a_broken_sensor_is_no_temperature(device: PtyDevice) -> None:
    oven = opened(device.link)
    twin_of(device).sensor_broken = True

    shown = by_name(oven.read())

    assert (shown["bath_c"].value, shown["bath_c"].quality) == (None, "bad")
    assert shown["bath_c"].detail == shown["alarm"].value == "sensor break"
    assert shown["setpoint_c"].quality == "good"
    oven.close()


def test_a_value_at_the_end_of_the_range_is_no_temperature_though_no_alarm_says_so(
    device: PtyDevice,
) -> None:
    oven = opened(device.link)
    device.twin.world.incubator.temperature_c = 100.2
    device.twin.world.incubator.running = False

    shown = by_name(oven.read())

    assert (shown["bath_c"].value, shown["bath_c"].quality) == (None, "bad")
    assert "out of range" in str(shown["alarm"].value)
    oven.close()


def test_alarms_and_heat_in_manual_are_shown_in_words(device: PtyDevice) -> None:
    oven = opened(device.link)
    twin = twin_of(device)
    twin.alarms = {1, 3}
    twin.write_words(273, [1])
    twin.write_words(3, [300])

    shown = by_name(oven.read())

    assert shown["alarm"].value == "alarm 1, alarm 3, manual with output 30.0 %"
    assert shown["output_percent"].value == Decimal("30.0")
    assert (shown["running"].value, shown["running"].detail) == ("stopped", "manual")
    oven.stop()
    assert by_name(oven.read())["output_percent"].value == 0
    oven.close()


@pytest.mark.requirement("F-028")
def test_a_loop_that_lost_its_volatile_set_point_says_so_once(device: PtyDevice) -> None:
    oven = opened(device.link)
    oven.order("set", {"setpoint_c": "38.0"})
    device.brown_out()

    with pytest.raises(DeviceRestarted, match="lost its set-point"):
        for _ in range(2):
            oven.read()

    assert by_name(oven.read())["setpoint_c"].value == Decimal("37.0")
    oven.close()


def test_a_started_loop_that_somebody_puts_in_manual_is_told(device: PtyDevice) -> None:
    oven = opened(device.link)
    oven.order("start", {})
    twin_of(device).write_words(273, [1])

    with pytest.raises(DeviceRestarted, match="manual"):
        oven.read()

    assert by_name(oven.read())["running"].value == "stopped"
    oven.close()


def test_it_keeps_its_set_point_when_nobody_listens_and_stops_where_that_was_declared(
    device: PtyDevice,
) -> None:
    oven = opened(device.link)
    oven.order("set", {"setpoint_c": "36.0"})

    oven.apply_safe_state("keep")
    assert device.twin.world.incubator.running
    oven.apply_safe_state("stop")
    oven.stop()

    assert not device.twin.world.incubator.running
    assert device.twin.world.incubator.setpoint_c == 36.0
    oven.close()


def test_the_scaling_is_held_against_the_range_that_the_integrator_wrote(device: PtyDevice) -> None:
    opened(device.link, range_high_c="100").close()

    with pytest.raises(WrongDevice, match="10"):
        opened(device.link, decimals="2", range_high_c="100")
    with pytest.raises(WrongDevice, match="Set `decimals`"):
        opened(device.link, decimals="0", range_high_c="100")


@pytest.mark.parametrize(
    "settings", [{"address": "0"}, {"address": "255"}, {"decimals": "3"}, {"line": "9600"}]
)
def test_a_setting_it_cannot_have_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(SettingRefused):
        driver_for(TYPE, settings)


def test_another_address_stays_silent(device: PtyDevice) -> None:
    oven = EurothermController(str(device.link), {"address": "7"})
    oven.OPEN_S = 0.3

    with pytest.raises(DeviceSilent):
        oven.open()


def replying(twin: EurothermTwin, request: bytes) -> bytes:
    return b"".join(twin.receive(request, time.monotonic()))


LINES: dict[str, Any] = {
    "slow, 200 ms": lambda twin: lambda request: [(0.2, replying(twin, request))],
    "an adapter that echoes": lambda twin: lambda request: [(0.0, request), (0.02, replying(twin, request))],
    "in two pieces": lambda twin: (
        lambda r: [
            (0.0, (reply := replying(twin, r))[:3]),
            (0.08, reply[3:]),
        ]
    ),
    "a glitch in front": lambda twin: lambda request: [(0.0, b"\x00\xff" + replying(twin, request))],
}


@pytest.mark.parametrize("name", LINES)
def test_a_healthy_unit_reads_good_and_takes_orders_on_any_line(name: str) -> None:
    twin = as_on_the_sheet()
    script: Script = LINES[name](twin)
    with speaking(script) as peer:
        oven = opened(peer.port)
        began_s = time.monotonic()

        shown = by_name(oven.read())

        assert time.monotonic() - began_s < 1.0
        assert {reading.quality for reading in shown.values()} == {"good"}
        assert shown["bath_c"].value == Decimal("36.5")
        assert oven.order("set", {"setpoint_c": "36.9"}) == {"setpoint_c": "36.9"}
        oven.stop()
        assert not twin.world.incubator.running
        oven.close()


def test_a_lost_reply_to_a_set_point_is_settled_by_reading_it() -> None:
    twin = as_on_the_sheet()
    lost = [frame(1, row("06 001A 0171"))]

    def losing(request: bytes) -> list[tuple[float, bytes]]:
        reply = replying(twin, request)
        if request in lost:
            lost.remove(request)
            return []
        return [(0.0, reply)]

    with speaking(losing) as peer:
        oven = opened(peer.port)

        assert oven.order("set", {"setpoint_c": "36.9"}) == {"setpoint_c": "36.9"}

        assert not lost
        assert sum(request[1:4] == row("06 001A") for request in peer.heard) == 1, "not written twice"
        oven.close()


class PoorTwin(EurothermTwin):
    """A unit that knows fewer registers, and no single-register writes where `many_only` is set."""

    missing: frozenset[int] = frozenset()

    def read_words(self, function: int, start: int, count: int) -> Any:
        if self.missing & set(range(start, start + count)):
            raise ModbusException(ILLEGAL_ADDRESS)
        return super().read_words(function, start, count)

    def write_words(self, start: int, words: Any) -> None:
        if start in self.missing:
            raise ModbusException(ILLEGAL_ADDRESS)
        super().write_words(start, words)


def poor(missing: set[int], functions: frozenset[int] = EurothermTwin.FUNCTIONS) -> PoorTwin:
    twin = PoorTwin(World(now=lambda: 0.0))
    twin.missing, twin.FUNCTIONS = frozenset(missing), functions  # type: ignore[misc]
    return twin


@pytest.mark.parametrize(
    "missing", [{26}, {276}, {11, 12}, {75}, {258}, {75, 258, 26, 276}, {3}, {3, 4, 11, 12, 26, 75, 276}]
)
def test_a_unit_with_fewer_registers_reads_good_and_takes_a_set_point(missing: set[int]) -> None:
    twin = poor(missing)
    with speaking(lambda request: [(0.0, replying(twin, request))]) as peer:
        oven = opened(peer.port)

        shown = by_name(oven.read())

        assert {reading.quality for reading in shown.values()} == {"good"}
        assert shown["running"].value == "running"
        assert oven.order("set", {"setpoint_c": "36.0"}) == {"setpoint_c": "36.0"}
        assert twin.eeprom_writes == bool(missing & {26, 276})
        oven.close()


def test_a_unit_that_does_not_tell_its_mode_is_judged_by_its_status_and_takes_no_start_or_stop() -> None:
    twin = poor({273})
    with speaking(lambda request: [(0.0, replying(twin, request))]) as peer:
        oven = opened(peer.port)

        assert by_name(oven.read())["running"].value == "running"
        twin.bath.running = False
        assert by_name(oven.read())["running"].value == "stopped"
        for order in ("start", "stop"):
            with pytest.raises(DeviceRefused, match="at its keys"):
                oven.order(order, {})
        with pytest.raises(DeviceRefused, match="at its keys"):
            oven.stop()
        oven.close()


def test_a_unit_that_writes_only_many_registers_at_once_takes_a_set_point() -> None:
    twin = poor(set(), frozenset((3, 16)))
    with speaking(lambda request: [(0.0, replying(twin, request))]) as peer:
        oven = opened(peer.port)

        assert oven.order("set", {"setpoint_c": "36.0"}) == {"setpoint_c": "36.0"}
        oven.close()


def test_a_unit_that_says_nothing_about_registers_it_lacks_is_read_all_the_same() -> None:
    twin = poor({273, 276})

    def answered(request: bytes) -> list[tuple[float, bytes]]:
        reply = replying(twin, request)
        return [] if reply[1] & 0x80 else [(0.0, reply)]

    with speaking(answered) as peer:
        oven = opened(peer.port)

        shown = by_name(oven.read())

        assert {reading.quality for reading in shown.values()} == {"good"}
        assert shown["running"].value == "running"
        oven.close()


def test_another_modbus_unit_is_told_apart() -> None:
    twin = poor({1})
    with (
        speaking(lambda request: [(0.0, replying(twin, request))]) as peer,
        pytest.raises(WrongDevice, match="no Eurotherm 3200"),
    ):
        opened(peer.port)


def test_pymodbus_reads_and_writes_our_twin(device: PtyDevice) -> None:
    client = ModbusSerialClient(str(device.link), baudrate=9600, timeout=1)
    assert client.connect()

    assert client.read_holding_registers(2, count=1, device_id=1).registers == [370]
    assert not client.write_register(26, 380, device_id=1).isError()
    assert not client.write_registers(276, [1], device_id=1).isError()
    assert client.read_input_registers(5, count=1, device_id=1).registers == [380]
    assert client.read_holding_registers(64, count=1, device_id=1).isError()
    client.close()


def test_our_driver_reads_and_sets_a_unit_that_pymodbus_plays() -> None:
    with pymodbus_unit(controller()) as port:
        oven = opened(port)

        shown = by_name(oven.read())
        assert {reading.quality for reading in shown.values()} == {"good"}
        assert (shown["bath_c"].value, shown["output_percent"].value) == (Decimal("36.5"), Decimal("42.5"))
        # Registers without a loop behind them: the set-point is held, and nothing works to it.
        assert oven.order("set", {"setpoint_c": "38.5"}) == {"setpoint_c": "37.0", "held_setpoint_c": "38.5"}
        assert oven.order("start", {}) == {"running": "running"}
        with pytest.raises(DeviceRefused, match=r"gives 42\.5 %"):
            oven.order("stop", {})
        oven.close()
