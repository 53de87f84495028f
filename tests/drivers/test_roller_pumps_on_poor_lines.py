"""Both roller pumps on slow, doubled, split, echoing and dead lines, and when their power fails.

All stories run side by side, because nearly all of their time is waiting; each test looks at one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from roller_peers import Bench, roller_bench
from served_devices import wait_until

from drivers.faults import DeviceRestarted, DeviceSilent
from drivers.reading import Reading

TYPES = ("ismatec-reglo-icc", "masterflex-ls")
SCHEDULING_S = 0.3
Story = Callable[[str, Path], None]


def ends_by_itself(bench: Bench) -> None:
    wait_until(lambda: bench.shown()["state"].value == "stopped", 5.0, "the run did not end")


def slow(type_name: str, folder: Path) -> None:
    with roller_bench(type_name, folder, slow=True) as bench:
        began_s = time.monotonic()
        shown = bench.shown()
        took_s = time.monotonic() - began_s

        assert {reading.quality for reading in shown.values()} == {"good"}
        assert took_s <= 1.0 + SCHEDULING_S
        bench.driver.order("infuse", {"volume_ml": "20", "rate_ml_min": "40"})
        bench.driver.stop()
        assert not bench.world.tubing[1].motion.moving
        assert 0 < bench.world.tubing[1].moved_ml < 5


def struck(fault: str, type_name: str, folder: Path) -> None:
    with roller_bench(type_name, folder) as bench:
        bench.device.faults.set(fault)
        bench.driver.order("infuse", {"volume_ml": "0.8", "rate_ml_min": "40"})
        bench.device.faults.set("none")
        ends_by_itself(bench)

        assert bench.device.faults.struck > 0
        assert bench.world.tubing[1].moved_ml == pytest.approx(0.8)


def late(type_name: str, folder: Path) -> None:
    """An answer that comes after its time-out never passes for the next one's."""
    with roller_bench(type_name, folder) as bench:
        bench.driver.order("infuse", {"volume_ml": "20", "rate_ml_min": "40"})
        bench.device.faults.set("late:0.3")
        read: dict[str, Reading] = {}
        for _ in range(6):
            before_ml = bench.world.tubing[1].moved_ml
            if bench.fault_of(lambda: read.update(bench.shown())) is not None or not read:
                continue
            bench.world.advance()
            if read["state"].quality == "good":
                assert read["state"].value == "infusing"
                # The Reglo counts whole millilitres.
                delivered_ml = read["delivered_ml"].value
                assert isinstance(delivered_ml, Decimal)
                assert before_ml - 1 <= float(delivered_ml) <= bench.world.tubing[1].moved_ml + 0.01
            read.clear()
        bench.device.faults.set("none")
        bench.driver.stop()


def power_lost(how: str, type_name: str, folder: Path) -> None:
    with roller_bench(type_name, folder) as bench:
        bench.driver.order("infuse", {"volume_ml": "20", "rate_ml_min": "40"})
        bench.device.fault(how)
        time.sleep(0.05)

        with pytest.raises(DeviceRestarted, match="void"):
            bench.driver.read()

        shown = bench.shown()
        assert [reading.quality for reading in shown.values()] == ["good"] * 3
        assert (shown["state"].value, shown["delivered_ml"].value) == ("stopped", Decimal(0))
        bench.driver.order("infuse", {"volume_ml": "0.8", "rate_ml_min": "40"})
        bench.driver.stop()


def power_lost_before_stop(type_name: str, folder: Path) -> None:
    with roller_bench(type_name, folder) as bench:
        bench.driver.order("infuse", {"volume_ml": "20", "rate_ml_min": "40"})
        bench.device.fault("brown_out")
        time.sleep(0.05)

        bench.driver.stop()

        assert not bench.world.tubing[1].motion.moving
        with pytest.raises(DeviceRestarted):
            bench.driver.read()
        assert bench.shown()["state"].value == "stopped"


def opened_again(type_name: str, folder: Path) -> None:
    with roller_bench(type_name, folder) as bench:
        bench.driver.order("infuse", {"volume_ml": "2", "rate_ml_min": "40"})
        bench.driver.close()
        bench.driver.open()
        ends_by_itself(bench)
        assert bench.shown()["delivered_ml"].value == Decimal(2)

        bench.driver.close()
        bench.device.fault("brown_out")
        bench.driver.open()
        with pytest.raises(DeviceRestarted):
            bench.driver.read()
        assert bench.shown()["delivered_ml"].value == Decimal(0)


def silent(type_name: str, folder: Path) -> None:
    with roller_bench(type_name, folder) as bench:
        bench.device.faults.set("silent")
        for call, limit_s in ((bench.driver.read, 1.0), (bench.driver.stop, 2.0)):
            began_s = time.monotonic()
            with pytest.raises(DeviceSilent):
                call()
            assert time.monotonic() - began_s <= limit_s + SCHEDULING_S
        bench.device.faults.set("none")
        wait_until(lambda: bench.fault_of(bench.driver.read) is None, 3.0, "it stays lost")


STORIES: dict[str, Story] = {
    "slow": slow,
    "silent": silent,
    "echo": partial(struck, "echo:1"),
    "split": partial(struck, "split:1"),
    "doubled": partial(struck, "duplicate:0.3"),
    "late": late,
    "restart": partial(power_lost, "restart"),
    "brown-out": partial(power_lost, "brown_out"),
    "brown-out before stop": power_lost_before_stop,
    "opened again": opened_again,
}
CASES = [(type_name, story) for type_name in TYPES for story in STORIES]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Future[None]]]:
    def folder(type_name: str, story: str) -> Path:
        return tmp_path_factory.mktemp(f"{type_name}-{story}".replace(" ", "-"))

    with ThreadPoolExecutor(max_workers=len(CASES)) as pool:
        yield {case: pool.submit(STORIES[case[1]], case[0], folder(*case)) for case in CASES}


@pytest.mark.parametrize(("type_name", "story"), CASES)
def test_a_roller_pump_is_read_and_run_truly(
    told: dict[tuple[str, str], Future[None]], type_name: str, story: str
) -> None:
    told[type_name, story].result()
