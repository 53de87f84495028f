"""Relay boards: the twin against each row of the sheet, the driver against lines and boards as they are."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modbus_peer import speaking
from pymodbus.client import ModbusSerialClient
from pymodbus_peer import board, pymodbus_unit
from served_devices import served, wait_until

from appliance.device_types import needs_relay
from drivers.catalog import device_type, driver_for
from drivers.faults import DeviceFault, DeviceRefused, DeviceRestarted, DeviceSilent, WrongDevice
from drivers.modbus import ModbusRefused, frame
from drivers.settings import SettingRefused
from drivers.simulated.modbus_relay import RelayTwin
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.world import World
from drivers.valves.modbus_relay import RelayBoard

TYPE = "modbus-relay"


def row(text: str) -> bytes:
    return bytes.fromhex(text)


def twin_with(coils: str, **settings: str) -> RelayTwin:
    twin = RelayTwin(World(), settings)
    twin.write_bits(0, [digit == "1" for digit in coils])
    return twin


ROWS = [
    ("00000000", "valve 0 on", "01 05 00 00 FF 00 8C 3A", "01 05 00 00 FF 00 8C 3A", "10000000"),
    ("10000000", "valve 0 off", "01 05 00 00 00 00 CD CA", "01 05 00 00 00 00 CD CA", "00000000"),
    ("10100000", "0 and 2 on", "01 01 00 00 00 08 3D CC", "01 01 01 05 91 8B", "10100000"),
    ("10100000", "all off", "01 0F 00 00 00 08 01 00 FE 95", "01 0F 00 00 00 08 54 0D", "00000000"),
    (
        "10100000",
        "unknown coil",
        frame(1, row("05 0008 FF00")).hex(),
        frame(1, row("85 02")).hex(),
        "10100000",
    ),
    ("10100000", "inputs", frame(1, row("02 0000 0008")).hex(), frame(1, row("02 01 00")).hex(), "10100000"),
    ("10100000", "broadcast", frame(0, row("0F 0000 0008 01 00")).hex(), "", "00000000"),
    (
        "10100000",
        "neither on nor off",
        frame(1, row("05 0000 0001")).hex(),
        frame(1, row("85 03")).hex(),
        "10100000",
    ),
    ("10100000", "registers", frame(1, row("03 0000 0001")).hex(), frame(1, row("83 02")).hex(), "10100000"),
    ("10100000", "a wrong checksum", "01 05 00 00 00 00 CD CB", "", "10100000"),
]


@pytest.mark.parametrize(("before", "words", "request_", "reply", "after"), ROWS)
def test_the_twin_answers_each_row_of_the_sheet(
    before: str, words: str, request_: str, reply: str, after: str
) -> None:
    twin = twin_with(before)

    assert b"".join(twin.receive(row(request_), 0.0)) == row(reply), words
    assert digits(twin) == after
    assert [int(on) for on in twin.world.valves] == [int(on) for on in after]


def digits(twin: RelayTwin) -> str:
    return "".join(str(int(on)) for on in twin.coils)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    made = PtyDevice(RelayTwin(World()), tmp_path / "valves")
    with served(made):
        yield made


def opened(port: object, **settings: str) -> RelayBoard:
    made: Any = driver_for(TYPE, settings)(str(port))
    made.open()
    return made  # type: ignore[no-any-return]


def coils_of(driver: RelayBoard) -> str:
    (reading,) = driver.read()
    assert reading.quality == "good"
    return str(reading.value)


@pytest.mark.requirement("F-025")
def test_valves_are_opened_and_shut_and_read_back(device: PtyDevice) -> None:
    valves = opened(device.link)

    assert coils_of(valves) == "00000000"
    assert valves.order("set", {"coil": "2", "state": "on"})["coils"] == "00100000"
    assert valves.order("set_all", {"coils": "10100001"}) == {"coils": "10100001"}
    assert valves.order("set", {"coil": "0", "state": "off"}) == {
        "coil": "0",
        "state": "off",
        "coils": "00100001",
    }
    assert device.twin.world.valves == [False, False, True, False, False, False, False, True]
    assert valves.order("all_off", {}) == {"coils": "00000000"}
    assert not any(device.twin.world.valves)
    valves.close()


@pytest.mark.parametrize(
    ("order", "parameters", "words"),
    [
        ("set", {"coil": "8", "state": "on"}, "0 to 7"),
        ("set", {"coil": "-1", "state": "on"}, "0 to 7"),
        ("set", {"coil": "0", "state": "open"}, "on or off"),
        ("set_all", {"coils": "1"}, "8 digits"),
        ("set_all", {"coils": "1111111x"}, "8 digits"),
        ("toggle", {}, "knows set"),
    ],
)
def test_an_order_without_sense_opens_nothing(
    device: PtyDevice, order: str, parameters: dict[str, str], words: str
) -> None:
    valves = opened(device.link)

    with pytest.raises(DeviceRefused, match=words):
        valves.order(order, parameters)

    assert not any(device.twin.world.valves)
    valves.close()


def test_stop_shuts_all_at_once_as_often_as_it_comes(device: PtyDevice) -> None:
    valves = opened(device.link)
    valves.order("set_all", {"coils": "11111111"})
    began_s = time.monotonic()

    valves.stop()

    assert time.monotonic() - began_s < 0.5
    assert not any(device.twin.world.valves)
    valves.stop()
    assert coils_of(valves) == "00000000"
    valves.close()


def test_the_safe_state_is_to_shut_or_to_leave(device: PtyDevice) -> None:
    valves = opened(device.link)
    valves.order("set", {"coil": "3", "state": "on"})

    valves.apply_safe_state("keep")
    assert coils_of(valves) == "00010000"
    valves.apply_safe_state("stop")

    assert coils_of(valves) == "00000000"
    valves.close()


@pytest.mark.requirement("F-028")
@pytest.mark.parametrize("ask", ["read", "order"])
def test_a_board_that_lost_its_power_is_told_of_once(device: PtyDevice, ask: str) -> None:
    valves = opened(device.link)
    valves.order("set_all", {"coils": "10100000"})
    device.brown_out()

    with pytest.raises(DeviceRestarted, match="00000000 in place of 10100000"):
        valves.read() if ask == "read" else valves.order("set", {"coil": "7", "state": "on"})

    assert coils_of(valves) == "00000000"
    valves.close()


def test_a_board_with_fewer_coils_than_set_is_told_apart(device: PtyDevice) -> None:
    with pytest.raises(WrongDevice, match="no 16 coils"):
        opened(device.link, coils="16")


def test_a_board_with_thirty_two_coils_is_read_and_switched(tmp_path: Path) -> None:
    device = PtyDevice(RelayTwin(World(), {"coils": "32", "address": "247"}), tmp_path / "valves")
    with served(device):
        valves = opened(device.link, coils="32", address="247")

        assert valves.order("set", {"coil": "31", "state": "on"})["coils"] == "0" * 31 + "1"
        assert coils_of(valves) == "0" * 31 + "1"
        valves.close()


@pytest.mark.parametrize(
    "settings", [{"coils": "33"}, {"coils": "0"}, {"address": "248"}, {"watchdog_register": "65536"}]
)
def test_a_setting_it_cannot_have_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(SettingRefused):
        driver_for(TYPE, settings)


WATCHDOG = {"watchdog_register": "5", "watchdog_value": "6"}
HOST = """
import sys, time
from drivers.valves.modbus_relay import RelayBoard
valves = RelayBoard(sys.argv[1], {"watchdog_register": "5", "watchdog_value": "6"})
valves.open()
valves.order("set_all", {"coils": "11000000"})
print("open", flush=True)
while True:
    valves.read()
    time.sleep(0.1)
"""


def test_a_killed_driver_leaves_valves_that_the_boards_watchdog_shuts(tmp_path: Path) -> None:
    twin = RelayTwin(World(), WATCHDOG)
    device = PtyDevice(twin, tmp_path / "valves")
    with served(device):
        host = subprocess.Popen(
            [sys.executable, "-c", HOST, str(device.link)], stdout=subprocess.PIPE, text=True
        )
        assert host.stdout is not None
        assert host.stdout.readline() == "open\n"
        time.sleep(0.9)
        assert digits(twin) == "11000000", "a board that is heard holds"

        killed_s = time.monotonic()
        host.kill()
        host.wait()
        host.stdout.close()
        wait_until(lambda: not any(twin.coils), 3.0, "the valves stay open")

        assert time.monotonic() - killed_s <= 0.6 + 0.5
        assert twin.watchdog_fired


def test_a_watchdog_that_is_not_there_keeps_the_board_from_opening(device: PtyDevice) -> None:
    with pytest.raises(DeviceRefused, match="no watchdog at register 5"):
        opened(device.link, **WATCHDOG)


def test_the_watchdogs_register_is_written_only_where_it_differs(tmp_path: Path) -> None:
    writes = []
    twin = RelayTwin(World(), WATCHDOG)

    def noted(request: bytes) -> list[tuple[float, bytes]]:
        writes.extend([request] if request[1] == 6 else [])
        return [(0.0, replying(twin, request))]

    with speaking(noted) as peer:
        for _ in range(3):
            opened(peer.port, **WATCHDOG).close()

    assert writes == [frame(1, row("06 0005 0006"))]


def test_only_a_watchdog_frees_a_board_from_the_relay_in_its_supply() -> None:
    kind = device_type(TYPE)

    assert needs_relay(kind, {})
    assert not needs_relay(kind, WATCHDOG)


def replying(twin: RelayTwin, request: bytes) -> bytes:
    return b"".join(twin.receive(request, time.monotonic()))


LINES: dict[str, Any] = {
    "slow, 200 ms": lambda twin: lambda request: [(0.2, replying(twin, request))],
    "an adapter that echoes": lambda twin: lambda request: [(0.0, request), (0.02, replying(twin, request))],
    "in two pieces": lambda twin: lambda r: [(0.0, (reply := replying(twin, r))[:3]), (0.08, reply[3:])],
}


@pytest.mark.parametrize("name", LINES)
def test_a_healthy_board_reads_good_switches_and_stops_on_any_line(name: str) -> None:
    twin = RelayTwin(World())
    with speaking(LINES[name](twin)) as peer:
        valves = opened(peer.port)

        assert coils_of(valves) == "00000000"
        assert valves.order("set", {"coil": "0", "state": "on"})["coils"] == "10000000"
        assert valves.order("set_all", {"coils": "01100000"})["coils"] == "01100000"
        began_s = time.monotonic()
        valves.stop()
        assert time.monotonic() - began_s < 0.55
        assert not any(twin.coils)
        valves.close()


def test_a_coil_whose_reply_was_lost_is_read_and_not_switched_again() -> None:
    twin = RelayTwin(World())
    lost = [row("01 05 00 00 FF 00 8C 3A")]

    def losing(request: bytes) -> list[tuple[float, bytes]]:
        reply = replying(twin, request)
        if request in lost:
            lost.remove(request)
            return []
        return [(0.0, reply)]

    with speaking(losing) as peer:
        valves = opened(peer.port)

        assert valves.order("set", {"coil": "0", "state": "on"})["coils"] == "10000000"

        assert sum(request[1] == 5 for request in peer.heard) == 1
        valves.close()


def test_a_board_that_says_yes_and_does_nothing_is_found_out() -> None:
    twin = RelayTwin(World())

    def stuck(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, request if request[1] == 5 else replying(twin, request))]

    with speaking(stuck) as peer:
        valves = opened(peer.port)

        with pytest.raises(DeviceRefused, match="00000000 in place of 10000000"):
            valves.order("set", {"coil": "0", "state": "on"})
        valves.close()


def test_a_late_coil_state_is_never_taken_for_the_state_after_an_order() -> None:
    """The reply to a read comes 0.4 s late, when the valve has been switched already."""
    twin = RelayTwin(World())
    late = {"left": 0}

    def lagging(request: bytes) -> list[tuple[float, bytes]]:
        reply = replying(twin, request)
        if request[1] == 1 and late["left"]:
            late["left"] -= 1
            return [(0.4, reply)]
        return [(0.0, reply)]

    with speaking(lagging) as peer:
        valves = opened(peer.port)
        late["left"] = 1

        assert coils_of(valves) == "00000000"
        assert valves.order("set", {"coil": "0", "state": "on"})["coils"] == "10000000"
        assert coils_of(valves) == "10000000"
        valves.close()


def test_a_stop_that_nobody_confirms_says_what_to_do() -> None:
    twin = RelayTwin(World())
    deaf = {"now": False}

    def falling_silent(request: bytes) -> list[tuple[float, bytes]]:
        return [] if deaf["now"] else [(0.0, replying(twin, request))]

    with speaking(falling_silent) as peer:
        valves = opened(peer.port)
        deaf["now"] = True

        with pytest.raises(DeviceSilent, match="Cut the board's supply"):
            valves.stop()
        valves.close()


def test_a_board_without_the_many_coils_function_is_switched_one_by_one() -> None:
    twin = twin_with("11110000")
    twin.FUNCTIONS = frozenset((1, 5))  # type: ignore[misc]
    with speaking(lambda request: [(0.0, replying(twin, request))]) as peer:
        valves = opened(peer.port)

        valves.stop()
        assert not any(twin.coils)
        assert valves.order("set_all", {"coils": "10000001"}) == {"coils": "10000001"}
        valves.close()


def test_a_board_that_never_answers_for_its_inputs_is_brought_in_step_by_its_coils() -> None:
    twin = RelayTwin(World())

    def no_inputs(request: bytes) -> list[tuple[float, bytes]]:
        return [] if request[1] == 2 else [(0.0, replying(twin, request))]

    with speaking(no_inputs) as peer:
        valves = opened(peer.port)
        assert coils_of(valves) == "00000000"
        valves.close()


def test_pymodbus_switches_our_twin(device: PtyDevice) -> None:
    client = ModbusSerialClient(str(device.link), baudrate=9600, timeout=1)
    assert client.connect()

    assert not client.write_coil(0, True, device_id=1).isError()
    assert not client.write_coils(4, [True] * 4, device_id=1).isError()
    assert client.read_coils(0, count=8, device_id=1).bits == [True, False, False, False, *[True] * 4]
    assert client.read_discrete_inputs(0, count=8, device_id=1).bits == [False] * 8
    assert client.write_coil(8, True, device_id=1).isError()
    client.write_coils(0, [False] * 8, device_id=0, no_response_expected=True)
    wait_until(lambda: not any(device.twin.world.valves), 2.0, "the broadcast was not obeyed")
    client.close()


def test_our_driver_switches_a_board_that_pymodbus_plays() -> None:
    with pymodbus_unit(board()) as port:
        valves = opened(port)

        assert coils_of(valves) == "00000000"
        assert valves.order("set", {"coil": "2", "state": "on"})["coils"] == "00100000"
        assert valves.order("set_all", {"coils": "10000001"}) == {"coils": "10000001"}
        valves.stop()
        assert coils_of(valves) == "00000000"
        valves.close()


def test_a_refusal_of_the_board_is_in_its_words(device: PtyDevice) -> None:
    valves = opened(device.link)
    twin: Any = device.twin
    twin.FUNCTIONS = frozenset((1, 2))

    with pytest.raises(ModbusRefused, match="does not know this function"):
        valves.order("set", {"coil": "0", "state": "on"})
    with pytest.raises(DeviceFault):
        valves.stop()
    valves.close()
