"""A device host: one port, one driver, and STOP on silence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from served_twins import ServedTwins

from drivers.simulated.eurotherm_3200 import EurothermTwin
from drivers.simulated.pty_device import PtyDevice, serve
from drivers.simulated.world import World

INFUSE = {"volume_ml": "10", "rate_ml_min": "5"}


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[ServedTwins]:
    with ServedTwins(tmp_path) as served:
        yield served


class Host:
    """A host process as its engine sees it: a pipe down, a pipe up, a lease to renew or not."""

    def __init__(self, twins: ServedTwins, link: str, type_name: str, *words: str) -> None:
        port = twins.lines[link].link
        command = [sys.executable, "-m", "appliance.engine.device_host", "--id", link, "--type", type_name]
        command += ["--port", str(port), "--poll-ms", "100", "--safe-state", "stop", *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.said: list[dict[str, Any]] = []
        self._leasing = threading.Event()
        self._leasing.set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._lease), threading.Thread(target=self._listen)]
        for thread in self._threads:
            thread.start()

    def tell(self, **message: Any) -> None:
        self.tell_bytes(json.dumps(message).encode() + b"\n")

    def tell_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with self._lock:
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def order(
        self, order_id: str, name: str, *, term: int = 1, expires_in_ms: int = 5000, **parameters: str
    ) -> None:
        body = {"id": order_id, "term": term, "expires_in_ms": expires_in_ms, "name": name}
        self.tell(order={**body, "parameters": parameters})

    def infuse(self) -> None:
        self.wait_for("ready")
        self.order("infuse", "infuse", **INFUSE)
        assert self.outcome("infuse")["ok"]

    def wait_for(self, kind: str, after: int = 0) -> Any:
        found = wait_until(lambda: [said[kind] for said in self.said[after:] if kind in said])
        return found[0]

    def outcome(self, order_id: str, nth: int = 0) -> Any:
        def told() -> list[Any]:
            outcomes = [said["outcome"] for said in self.said if "outcome" in said]
            return [one for one in outcomes if one["id"] == order_id][nth:]

        return wait_until(told)[0]

    def stop_leasing(self) -> None:
        self._leasing.clear()

    def end(self) -> int:
        """Close the pipe, as the death of the engine does, and wait."""
        self.stop_leasing()
        assert self.process.stdin is not None
        with self._lock:
            self.process.stdin.close()
        try:
            status = self.process.wait(10)
        finally:
            self.process.kill()
        for thread in self._threads:
            thread.join(5)
        return status

    def _lease(self) -> None:
        while self._leasing.is_set():
            try:
                self.tell(lease={"term": 1})
            except (BrokenPipeError, ValueError):
                return
            time.sleep(0.1)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))
        self.process.stdout.close()


def wait_until(look: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.002)
    return seen


@pytest.fixture
def start(twins: ServedTwins) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def begin(link: str = "pump", type_name: str = "new-era-ne1000", *words: str) -> Host:
        hosts.append(Host(twins, link, type_name, *words))
        return hosts[-1]

    yield begin
    for host in hosts:
        if host.process.poll() is None:
            host.process.send_signal(signal.SIGCONT)
            host.end()


def test_a_host_tells_who_answers_and_then_reads_with_quality_and_both_times(start):
    host = start("balance", "mt-sics")

    identity = host.wait_for("ready")
    reading = host.wait_for("readings")[0]

    assert identity["serial_number"] == "B123456789"
    assert reading["name"] == "weight_g"
    assert reading["quality"] in ("good", "uncertain")
    assert reading["source_time"].endswith("Z")
    assert abs(time.monotonic_ns() - reading["received_ns"]) < 2e9


def test_an_order_moves_the_pump_and_its_outcome_is_what_the_pump_confirmed(start, twins):
    host = start()
    host.infuse()

    outcome = host.outcome("infuse")

    assert twins.pump_moves
    assert float(outcome["result"]["volume_ml"]) == 10


def test_stop_stands_the_pump_at_once_and_tells_how_long_it_took(start, twins):
    host = start()
    host.infuse()

    host.tell(stop=True)

    stopped = wait_until(lambda: [said for said in host.said if said.get("stopped")])
    assert not twins.pump_moves
    assert float(stopped[0]["latency_ms"]) < 500


def test_stop_needs_no_lease_no_term_and_comes_before_orders_that_were_sent_before_it(start, twins):
    host = start()
    host.infuse()
    orders = [
        {"id": f"o{n}", "term": 1, "expires_in_ms": 5000, "name": "clear", "parameters": {}} for n in range(5)
    ]
    lines = [json.dumps({"order": order}).encode() for order in orders] + [b'{"stop":true}', b""]

    host.tell_bytes(b"\n".join(lines))

    outcomes = [host.outcome(f"o{n}") for n in range(5)]
    assert not any(outcome["ok"] for outcome in outcomes)
    wait_until(lambda: not twins.pump_moves)


def test_a_lapsed_lease_stops_the_pump_within_half_a_second_and_ends_the_host(start, twins):
    host = start()
    host.infuse()

    host.stop_leasing()
    began = time.monotonic()
    wait_until(lambda: not twins.pump_moves)

    assert time.monotonic() - began < 0.5
    assert host.process.wait(5) == 3


def test_the_end_of_the_pipe_stops_the_pump_long_before_the_lease_would(start, twins):
    host = start()
    host.infuse()

    began = time.monotonic()
    assert host.end() == 0

    assert not twins.pump_moves
    assert (twins.world.motion.stopped_ns / 1e9) - began < 0.2


def test_a_bath_whose_safe_state_is_keep_goes_on_when_nobody_listens(start, twins):
    host = start("thawer", "julabo", "--safe-state", "keep")
    host.wait_for("ready")
    host.order("warm", "set", setpoint_c="37")
    host.order("on", "start")
    assert host.outcome("on")["ok"]

    host.end()

    assert twins.world.bath.running
    assert twins.world.bath.setpoint_c == 37


def test_a_safe_state_can_be_changed_while_the_host_runs(start, twins):
    host = start("thawer", "julabo", "--safe-state", "keep")
    host.wait_for("ready")
    host.order("on", "start")
    assert host.outcome("on")["ok"]

    host.tell(safe_state="stop")
    host.tell(close=True)
    host.process.wait(5)

    assert not twins.world.bath.running


def test_a_host_frozen_past_its_lease_never_carries_out_what_waited_in_its_pipe(start, twins):
    host = start()
    host.wait_for("ready")
    host.process.send_signal(signal.SIGSTOP)
    host.order("stale", "infuse", **INFUSE)
    time.sleep(0.6)

    host.process.send_signal(signal.SIGCONT)

    assert host.process.wait(5) == 3
    assert not twins.pump_moves
    assert not any(said.get("outcome", {}).get("ok") for said in host.said)


@pytest.mark.parametrize(
    ("term", "expires_in_ms", "fault"), [(2, 5000, "wrong_term"), (0, 5000, "wrong_term"), (1, 0, "late")]
)
def test_an_order_of_another_term_or_past_its_expiry_is_not_sent(start, twins, term, expires_in_ms, fault):
    host = start()
    host.wait_for("ready")

    host.order("o", "infuse", term=term, expires_in_ms=expires_in_ms, **INFUSE)

    assert host.outcome("o")["fault"] == fault
    assert not twins.pump_moves


def test_an_order_that_comes_twice_is_sent_once_and_its_first_outcome_is_told_again(start, twins):
    host = start()
    host.infuse()
    host.tell(stop=True)
    wait_until(lambda: not twins.pump_moves)

    host.order("infuse", "infuse", **INFUSE)

    assert host.outcome("infuse", nth=1) == host.outcome("infuse")
    assert not twins.pump_moves


def test_an_order_that_the_device_refuses_is_told_with_its_words(start):
    host = start()
    host.wait_for("ready")

    host.order("o", "infuse", volume_ml="1")

    outcome = host.outcome("o")
    assert (outcome["ok"], outcome["fault"]) == (False, "refused")
    assert "rate_ml_min" in outcome["words"]


def test_a_pump_left_running_by_a_dead_host_is_stopped_by_the_next_one(start, twins):
    first = start()
    first.infuse()
    first.process.kill()
    first.process.wait()
    assert twins.pump_moves

    second = start()
    second.wait_for("ready")

    assert not twins.pump_moves


def test_a_dead_host_leaves_the_pump_to_its_own_watchdog(start, twins):
    host = start()
    host.infuse()

    host.process.kill()
    began = time.monotonic()
    wait_until(lambda: not twins.pump_moves)

    assert time.monotonic() - began < 2.5


def test_stop_breaks_off_an_order_that_the_device_takes_its_time_for(start, twins):
    host = start("balance", "mt-sics")
    host.wait_for("ready")
    with_flow_onto_the_pan(twins)
    host.order("o", "tare", expires_in_ms=60_000)
    time.sleep(0.3)

    began = time.monotonic()
    host.tell(stop=True)
    wait_until(lambda: [said for said in host.said if said.get("stopped")])

    assert time.monotonic() - began < 0.5
    outcome = host.outcome("o")
    assert (outcome["ok"], outcome["fault"]) == (False, "silent")
    assert "unknown" in outcome["words"]


def test_a_lease_that_lapses_breaks_off_an_order_too(start, twins):
    host = start("balance", "mt-sics")
    host.wait_for("ready")
    with_flow_onto_the_pan(twins)
    host.order("o", "tare", expires_in_ms=60_000)
    time.sleep(0.3)

    host.stop_leasing()

    assert host.process.wait(2) == 3


def with_flow_onto_the_pan(twins: ServedTwins) -> None:
    """Keep the balance from ever becoming steady, so that it does not answer a tare for a long while."""
    twins.world.put("dose", "balance")
    twins.world.syringe.outlet = "dose"
    twins.world.start_motion(rate_ml_min=1.0, volume_ml=None, infusing=True)


def test_a_stop_that_the_device_does_not_confirm_is_told_at_once_and_repeated_until_it_does(start, twins):
    host = start()
    host.infuse()
    twins.lines["pump"].faults.set("silent")

    host.tell(stop=True)

    untold = wait_until(lambda: [said for said in host.said if said.get("stopped") is False])
    assert untold[0]["words"]
    twins.lines["pump"].faults.set("none")
    wait_until(lambda: [said for said in host.said if said.get("stopped")])
    assert not twins.pump_moves


def test_a_pump_that_hears_but_is_not_heard_is_stopped_while_the_engine_lives(start, twins):
    host = start()
    host.infuse()

    twins.lines["pump"].faults.set("one_way")
    began = time.monotonic()
    wait_until(lambda: not twins.pump_moves)

    assert time.monotonic() - began < 2.5


def test_a_silent_device_is_told_and_found_again_when_it_answers(start, twins):
    host = start()
    host.wait_for("readings")

    twins.lines["pump"].faults.set("silent")
    fault = host.wait_for("fault")
    told = len(host.said)
    host.order("o", "infuse", **INFUSE)
    assert not host.outcome("o")["ok"]
    twins.lines["pump"].faults.set("none")

    assert fault["kind"] == "silent"
    host.wait_for("readings", after=told)
    assert not twins.pump_moves


def test_a_device_that_lost_its_power_is_told_as_restarted_and_goes_on_being_read(start, twins):
    host = start("balance", "mt-sics")
    host.wait_for("readings")

    twins.lines["balance"].restart()

    restarted = host.wait_for("restarted")
    assert restarted["words"]
    host.wait_for("readings", after=len(host.said))


@pytest.mark.requirement("F-029", "R-16")
def test_a_device_that_is_not_the_qualified_one_is_read_and_stopped_and_given_no_order(start, twins):
    host = start("pump", "new-era-ne1000", "--expect", "firmware=9.99")
    assert host.wait_for("ready")["firmware"] != "9.99"
    host.wait_for("readings")

    host.order("o", "infuse", **INFUSE)

    outcome = host.outcome("o")
    assert (outcome["ok"], outcome["fault"]) == (False, "refused")
    assert "not the qualified device" in outcome["words"]
    assert "qualified is 9.99" in outcome["words"]
    assert not twins.pump_moves
    host.tell(stop=True)
    assert host.wait_for("stopped") is True


@pytest.mark.requirement("F-029")
def test_a_re_qualified_device_takes_orders_without_a_new_start(start, twins):
    host = start("pump", "new-era-ne1000", "--expect", "firmware=9.99")
    firmware = host.wait_for("ready")["firmware"]

    host.tell(expect={"serial_number": "", "firmware": firmware})
    host.order("o", "infuse", **INFUSE)

    assert host.outcome("o")["ok"], host.outcome("o")
    assert twins.pump_moves


def test_a_host_of_settings_that_its_driver_does_not_have_says_so_and_ends(start):
    host = start("balance", "mt-sics", "--setting", "colour=blue")

    assert host.process.wait(10) == 2


@pytest.mark.requirement("F-030")
def test_writes_that_wear_a_memory_out_are_told_and_the_last_ones_at_the_end(tmp_path):
    heater, over = PtyDevice(EurothermTwin(World()), tmp_path / "heater"), threading.Event()
    serving = threading.Thread(target=serve, args=([heater], lambda: (), over.is_set))
    serving.start()
    try:
        while not heater.link.exists():
            time.sleep(0.002)
        lines: Any = SimpleNamespace(lines={"heater": heater})
        host = Host(lines, "heater", "eurotherm-3200", "--setting", "setpoint=target")
        host.wait_for("readings")
        host.order("o-1", "set", setpoint_c="36.5")
        assert host.outcome("o-1")["ok"], host.outcome("o-1")
        first = {one["name"]: one["writes"] for one in host.wait_for("wear")}
        for number, setpoint_c in enumerate(("36.6", "36.7", "36.8"), 2):
            host.order(f"o-{number}", "set", setpoint_c=setpoint_c)
            assert host.outcome(f"o-{number}")["ok"]
        told = [said["wear"] for said in host.said if "wear" in said]
        host.end()
    finally:
        over.set()
        serving.join(5)

    newest = {one["name"]: one for one in [said["wear"] for said in host.said if "wear" in said][-1]}
    assert len(told) == 1, "at most once a minute"
    assert first["target set-point"] < 4 == newest["target set-point"]["writes"]
    assert newest["target set-point"]["limit"] == 100_000


def test_a_production_unit_does_not_take_a_twin_for_a_device(start):
    host = start("balance", "mt-sics", "--bench", "real")

    assert "simulated device" in host.wait_for("fault")["words"]
    assert not any("ready" in said for said in host.said)


def test_lines_that_are_no_messages_change_nothing(start, twins):
    host = start()
    host.infuse()
    told = len(host.said)

    host.tell_bytes(b'not json\n[1,2]\n{"surprise":1}\n"text"\n\xff\xfe\n')

    host.wait_for("readings", after=told + 1)
    assert twins.pump_moves


def test_a_message_of_the_protocol_with_wrong_contents_ends_in_the_safe_state(start, twins):
    host = start()
    host.infuse()

    host.tell_bytes(b'{"lease":{}}\n')

    assert host.process.wait(5) == 1
    assert not twins.pump_moves


def test_terminating_a_host_stops_its_pump(start, twins):
    host = start()
    host.infuse()

    host.process.terminate()

    assert host.process.wait(5) == 0
    assert not twins.pump_moves


def test_an_engine_that_never_reads_does_not_keep_the_pump_running(twins):
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    filled = 0
    try:
        while True:
            filled += os.write(write_end, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(write_end, True)
    command = [sys.executable, "-m", "appliance.engine.device_host", "--id", "p", "--type", "new-era-ne1000"]
    command += ["--port", str(twins.lines["pump"].link), "--poll-ms", "50", "--safe-state", "stop"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write_end) as process:
        os.close(write_end)
        assert process.stdin is not None
        for tick in range(14):
            process.stdin.write(b'{"lease":{"term":1}}\n')
            if tick == 8:
                order = {"id": "o", "term": 1, "expires_in_ms": 5000, "name": "infuse", "parameters": INFUSE}
                process.stdin.write(json.dumps({"order": order}).encode() + b"\n")
            process.stdin.flush()
            time.sleep(0.1)
        assert twins.pump_moves

        began = time.monotonic()
        wait_until(lambda: not twins.pump_moves)

        assert time.monotonic() - began < 0.6
        assert process.wait(5) == 3
    os.close(read_end)


def test_an_unknown_device_type_names_the_ones_there_are():
    command = [sys.executable, "-m", "appliance.engine.device_host", "--id", "x", "--type", "kettle"]
    told = subprocess.run(
        [*command, "--port", "/dev/null", "--safe-state", "stop"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert told.returncode == 2
    assert "new-era-ne1000" in told.stderr
    assert told.stdout == ""
