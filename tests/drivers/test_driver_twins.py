"""The twins answer what the sheets print, to the byte, and their world keeps its books."""

from __future__ import annotations

import pytest

from drivers.framing import safe_packet, take_safe_packet
from drivers.simulated.julabo import JulaboTwin
from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.simulated.world import ActImpossible, World


class HandMovedClock:
    """Seconds that pass only when a story says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandMovedClock:
    return HandMovedClock()


@pytest.fixture
def world(clock: HandMovedClock) -> World:
    made = World(seed=3, now=clock)
    made.load_syringe(60.0)
    return made


def basic(pump: NewEraTwin, request: bytes, now_s: float = 0.0) -> bytes:
    return b"".join(pump.receive(request, now_s))


def test_the_pump_in_basic_mode_answers_as_its_manual(world: World) -> None:
    pump = NewEraTwin(world)

    assert basic(pump, b"0VER\r") == b"\x0200SNE1000V3.923\x03"
    assert basic(pump, b"0DIA14.43\r") == b"\x0200S\x03"
    assert basic(pump, b"0DIA\r") == b"\x0200S14.43\x03"
    assert basic(pump, b"0rat 5.000 mm\r") == b"\x0200S\x03"
    assert basic(pump, b"0RAT999MM\r") == b"\x0200S?OOR\x03"
    assert basic(pump, b"0VOL2.5\r0VOLML\r") == b"\x0200S\x03\x0200S\x03"
    assert basic(pump, b"0DIRINF\r") == b"\x0200S\x03"
    assert basic(pump, b"0RUN\r") == b"\x0200I\x03"
    assert basic(pump, b"\r") == b"\x0200I\x03"
    assert basic(pump, b"0STP\r") == b"\x0200P\x03"
    assert basic(pump, b"0STP\r") == b"\x0200S\x03"
    assert basic(pump, b"0NONSENSE\r") == b"\x0200S?\x03"
    assert basic(pump, b"7VER\r") == b""


def test_the_pump_tells_what_it_delivered(world: World, clock: HandMovedClock) -> None:
    pump = NewEraTwin(world)
    basic(pump, b"0RAT5.000MM\r0VOL2.5\r0RUN\r")

    clock.seconds = 15.0

    assert basic(pump, b"0DIS\r") == b"\x0200II1.250W0.000ML\x03"


def test_the_safe_mode_packets_are_those_of_the_manual(world: World) -> None:
    pump = NewEraTwin(world)

    assert basic(pump, bytes.fromhex("0209305341463509 0803")) == bytes.fromhex("0207303053AAA603")
    assert pump.safe_mode
    assert pump.timeout_s == 5
    assert basic(pump, bytes.fromhex("020530365303")) == bytes.fromhex("0207303053AAA603")
    assert basic(pump, bytes.fromhex("020853414630554303")) == bytes.fromhex("0207303053AAA603")
    assert not pump.safe_mode


def test_the_silent_pump_stops_itself_and_says_so_unasked(world: World, clock: HandMovedClock) -> None:
    pump = NewEraTwin(world)
    basic(pump, b"0SAF1\r")
    basic(pump, safe_packet(b"0RUN"))

    clock.seconds = 0.9
    still = pump.tick(0.9)
    clock.seconds = 1.1
    unasked = pump.tick(1.1)

    assert still == []
    assert unasked == [bytes.fromhex("02093030413F54054003")]
    assert not world.motion.moving


def test_an_alarm_eats_the_next_request(world: World) -> None:
    pump = NewEraTwin(world)
    pump.restart(0.0)

    assert basic(pump, b"0RUN\r") == b"\x0200A?R\x03"
    assert not world.motion.moving
    assert basic(pump, b"0RUN\r") == b"\x0200I\x03"


def test_a_volume_run_of_a_factory_program_goes_on_unless_phase_two_stops_it(
    world: World, clock: HandMovedClock
) -> None:
    pump = NewEraTwin(world)
    basic(pump, b"0RAT10MM\r0VOL1\r0RUN\r")
    clock.seconds = 7.0
    assert basic(pump, b"0\r") == b"\x0200I\x03"

    basic(pump, b"0STP\r0STP\r0PHN2\r0FUNSTP\r0PHN1\r0CLDINF\r0RUN\r")
    clock.seconds = 20.0

    assert basic(pump, b"0DIS\r") == b"\x0200SI1.000W0.000ML\x03"


def test_an_empty_syringe_stalls_the_pump(world: World, clock: HandMovedClock) -> None:
    pump = NewEraTwin(world)
    world.load_syringe(0.5)
    basic(pump, b"0RAT10MM\r0VOL2\r0RUN\r")

    clock.seconds = 10.0

    assert basic(pump, b"0\r") == b"\x0200A?S\x03"
    assert world.syringe.infused_ml == pytest.approx(0.5)


def test_a_damaged_packet_is_answered_and_not_carried_out(world: World) -> None:
    pump = NewEraTwin(world)
    basic(pump, b"0SAF9\r")
    packet = bytearray(safe_packet(b"0RUN"))
    packet[4] ^= 1

    reply = bytearray(basic(pump, bytes(packet)))

    assert take_safe_packet(reply) == b"00S?COM"
    assert not world.motion.moving


def test_the_balance_answers_as_its_manual(world: World) -> None:
    balance = MtSicsTwin(world)

    def ask(text: bytes) -> bytes:
        return b"".join(balance.receive(text, 0.0))

    world.put("patient", "balance")
    assert ask(b"SI\r\n").startswith(b"S D      6")
    assert len(ask(b"SI\r\n")) == len(b"S S     100.00 g\r\n")
    assert ask(b"I4\r\n") == b'I4 A "B123456789"\r\n'
    assert ask(b"TA 1.50 g\r\n") == b"TA A       1.50 g\r\n"
    assert ask(b"TAC\r\n") == b"TAC A\r\n"
    assert ask(b"XYZ\r\n") == b"ES\r\n"
    assert ask(b"i2\n").startswith(b'I2 A "')
    assert ask(b"Z\r\n") == b"", "Z waits for a steady pan"


def test_a_tare_waits_for_the_pan_to_rest(world: World, clock: HandMovedClock) -> None:
    balance = MtSicsTwin(world)
    world.put("dose", "balance")
    assert balance.receive(b"T\r\n", 0.0) == []

    clock.seconds = 2.0

    assert balance.tick(2.0)[0].startswith(b"T S      1")
    assert abs(balance.shown_g()) <= 0.05


def test_the_circulator_answers_as_its_manual(world: World) -> None:
    bath = JulaboTwin(world)

    def ask(text: bytes) -> bytes:
        return b"".join(bath.receive(text, 0.0))

    assert ask(b"version\r") == b"JULABO MAGIO MS-1000F VERSION 1.1.2\r\n"
    assert ask(b"status\r") == b"02 REMOTE STOP\r\n"
    assert ask(b"OUT_SP_00 36.5\r") == b""
    assert ask(b"in_sp_00\r") == b"36.50\r\n"
    assert ask(b"out_mode_05 1\r") == b""
    assert ask(b"A032_status\r") == b"A032_03 REMOTE START\r\n"
    assert ask(b"nonsense\r") == b""
    assert ask(b"status\r") == b"-08 INVALID COMMAND\r\n"
    assert ask(b"status\r") == b"03 REMOTE START\r\n"


def test_what_the_pump_delivers_the_balance_weighs(world: World, clock: HandMovedClock) -> None:
    world.put("dose", "balance")
    world.syringe.outlet = "dose"
    before = world.gross_g_true()

    world.start_motion(rate_ml_min=10.0, volume_ml=8.0, infusing=True)
    clock.seconds = 60.0
    world.advance()

    assert world.gross_g_true() - before == pytest.approx(8.0)
    assert world.syringe.volume_ml == pytest.approx(52.0)


def test_a_frozen_bag_thaws_over_a_plateau_in_four_to_five_minutes(
    world: World, clock: HandMovedClock
) -> None:
    world.bath.running = True
    world.put("patient", "bath")
    heat = world.bag("patient").heat
    times = {"melting": 0.0, "slush": 0.0, "four": 0.0}

    while heat.temperature_c < 4.0:
        clock.seconds += 0.5
        world.advance()
        times["melting"] = times["melting"] or clock.seconds * (heat.joule_per_g >= 0)
        times["slush"] = times["slush"] or clock.seconds * (heat.frozen_fraction == 0)
    times["four"] = clock.seconds

    assert 60 <= times["slush"] - times["melting"] <= 90
    assert 240 <= times["slush"] <= 300
    assert times["slush"] < times["four"] <= 330


def test_hands_cannot_take_what_is_not_there(world: World) -> None:
    with pytest.raises(ActImpossible):
        world.remove("dose", 1.0)
    with pytest.raises(ActImpossible):
        world.bag("nobody's")
