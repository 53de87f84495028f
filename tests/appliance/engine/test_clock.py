"""Three kinds of time: real monotonic, process, and the record's UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from appliance.engine.clock import (
    HandClock,
    ScaledClock,
    SystemClock,
    TurnClock,
    kernel_says_synchronised,
    stamp,
    this_boot_id,
    trusted_at,
)


def test_the_system_clock_says_aware_utc_and_counts_monotonic_time():
    clock = SystemClock()

    assert abs(clock.utc() - datetime.now(UTC)) < timedelta(seconds=1)
    assert abs(clock.monotonic_ns() - time.monotonic_ns()) < 1_000_000_000
    assert len(clock.boot_id()) == 16


def test_time_is_trusted_only_when_the_kernel_says_so_or_the_site_answers_for_it():
    kernel = kernel_says_synchronised()

    assert SystemClock().trust() == ("trusted" if kernel else "untrusted")
    assert SystemClock(time_trust="declared").trust() == "trusted"


def test_a_scaled_clock_runs_process_time_and_utc_together_and_leaves_monotonic_time_alone():
    clock = ScaledClock(Decimal(1000))
    utc, process_s, monotonic_ns = clock.utc(), clock.process_s(), clock.monotonic_ns()

    time.sleep(0.05)

    real_s = (clock.monotonic_ns() - monotonic_ns) / 1e9
    assert 0.05 <= real_s < 5
    assert clock.process_s() - process_s == pytest.approx(real_s * 1000, rel=0.1)
    assert (clock.utc() - utc).total_seconds() == pytest.approx(real_s * 1000, rel=0.1)


def test_a_scaled_clock_always_stamps_simulated():
    assert stamp(ScaledClock(Decimal(1))).quality == 2


def test_a_restarted_engine_goes_on_from_the_last_stamp_and_its_time_never_runs_backwards():
    first = ScaledClock(Decimal(5000))
    time.sleep(0.02)
    last, process_s = stamp(first), first.process_s()

    second = ScaledClock.continuing(Decimal(5000), last)

    assert second.utc() >= last.wall
    assert second.utc() - last.wall < timedelta(hours=2)
    assert second.process_s() >= process_s


def test_after_a_reboot_a_scaled_clock_goes_on_from_the_stamp_itself():
    clock = HandClock()
    before_reboot = stamp(clock)

    after = ScaledClock.continuing(Decimal(1), before_reboot)

    assert timedelta(0) <= after.utc() - before_reboot.wall < timedelta(seconds=5)


def test_the_boot_id_stays_the_same_within_one_boot():
    assert this_boot_id() == this_boot_id()


def test_a_hand_moved_clock_stands_still_until_moved():
    clock = HandClock(datetime(2026, 3, 2, 8, 0, tzinfo=UTC))
    before = stamp(clock)

    clock.advance(90)

    after = stamp(clock)
    assert after.wall - before.wall == timedelta(seconds=90)
    assert after.monotonic_ns - before.monotonic_ns == 90_000_000_000
    assert after.boot_id == before.boot_id


def test_a_hand_moved_clock_can_be_set_rebooted_and_distrusted():
    clock = HandClock(simulated=False)
    boot_id = clock.boot_id()

    clock.set_utc(datetime(2020, 1, 1, tzinfo=UTC))
    clock.set_trust("untrusted")
    clock.reboot()

    assert stamp(clock).wall.year == 2020
    assert stamp(clock).quality == 0
    assert clock.boot_id() != boot_id


def test_a_step_of_the_wall_clock_moves_no_timer_and_is_seen():
    wall = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    clock = SystemClock(wall=lambda: wall)
    before = clock.utc()

    wall += timedelta(hours=1)

    assert clock.utc() - before < timedelta(seconds=1)
    assert 3599 <= clock.wall_difference_s() <= 3600
    clock.follow_wall()
    assert abs(clock.wall_difference_s()) < 1


@pytest.mark.requirement("F-022")
def test_the_engines_clock_stands_still_while_a_decision_is_made():
    """What is decided, what it writes down and the header of its records carry one time."""
    hand = HandClock()
    clock = TurnClock(hand)
    moment = stamp(clock)

    with clock.held(moment):
        hand.advance(1)
        assert (clock.utc(), clock.monotonic_ns()) == (moment.wall, moment.monotonic_ns)

    assert clock.utc() == moment.wall + timedelta(seconds=1)


def test_whether_time_is_trusted_can_be_told_from_the_stamp_alone():
    for trust in ("trusted", "untrusted"):
        hand = HandClock(simulated=False, trust=trust)
        moment = stamp(hand)
        hand.set_trust("untrusted" if trust == "trusted" else "trusted")

        assert trusted_at(hand, moment) == (trust == "trusted")
