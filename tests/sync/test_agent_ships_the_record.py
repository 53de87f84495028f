"""The agent brings everything to central, in order, once, whatever fails in between."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from central_site import CELLWRIGHT, CentralProcess, Unit, agent_of, enrol, make_batch
from cutting_proxy import CuttingProxy
from small_engine import SmallEngine

from appliance.access import documents
from appliance.access.keys import Trust
from appliance.record.log import Record
from sync.acks import Ack, sign_ack
from sync.transport import CentralAway

WAIT_S = 20.0


def held(central: CentralProcess, unit: Unit, log: str = "gxp") -> list[tuple[int, bytes]]:
    store = central.home.store()
    epoch = unit.record.head().epoch.hex()
    found = [(row.seq, row.data) for row in store.records(unit.unit_id, log, epoch, 1, 10**6)]
    store.close()
    return found


def stored(unit: Unit, log: str = "gxp") -> list[tuple[int, bytes]]:
    return [(record.seq, record.data) for record in unit.record.read(log=log)]


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come about in {WAIT_S} s"
        time.sleep(0.05)


@pytest.fixture
def engine(unit: Unit, shared_central: CentralProcess) -> Iterator[SmallEngine]:
    made = SmallEngine(unit, shared_central.home.fingerprint())
    yield made
    made.close()


def test_records_trends_and_files_arrive_and_the_engine_gets_the_acknowledgements(
    unit: Unit, shared_central: CentralProcess, engine: SmallEngine
) -> None:
    make_batch(unit)

    tally = agent_of(unit, shared_central.url).round()

    assert held(shared_central, unit) == stored(unit)
    assert held(shared_central, unit, "telemetry") == stored(unit, "telemetry")
    assert (tally.blobs, unit.record.acked()[0]) == (1, unit.record.head().seq)
    assert unit.record.acked("telemetry")[0] == unit.record.head("telemetry").seq
    assert all(blob.verified for blob in shared_central.home.store().batch_blobs(unit.unit_id, "B-0001"))


def test_a_large_file_goes_on_where_the_line_was_cut(
    unit: Unit, shared_central: CentralProcess, engine: SmallEngine
) -> None:
    from appliance.domain import events

    data = bytes(range(256)) * 4000 + b"the end"
    blob = unit.record.put_blob(data, "image/tiff").sha256
    reported = events.LabelPrinted(phase="label", label_id="l-1", picture=blob, texts=[])
    unit.say(reported, batch="B-9")
    unit.record.seal(unit.stamp())
    proxy = CuttingProxy(shared_central.port, iter([(700_000, None)]))
    agent = agent_of(unit, f"https://127.0.0.1:{proxy.port}")

    with pytest.raises(CentralAway):
        agent.round()
    partial = list(shared_central.home.partial.glob(f"*-{blob}"))
    assert partial
    arrived = partial[0].stat().st_size
    agent.round()
    proxy.close()

    assert 0 < arrived < len(data)
    kept = shared_central.home.blobs / blob[:2] / blob
    assert kept.read_bytes() == data


@pytest.mark.parametrize("cut_at", [(60, None), (2_000, None), (9_000, None), (None, 60), (None, 2_400)])
def test_a_line_that_is_cut_anywhere_loses_nothing_and_doubles_nothing(
    unit: Unit, shared_central: CentralProcess, engine: SmallEngine, cut_at: tuple[int | None, int | None]
) -> None:
    make_batch(unit)
    unit.chatter(40)
    # Each new connection gets a little further; the sixth one is left alone.
    plan = [(up and up + 900 * n, down and down + 250 * n) for n in range(5) for up, down in [cut_at]]
    proxy = CuttingProxy(shared_central.port, iter(plan))
    agent = agent_of(unit, f"https://127.0.0.1:{proxy.port}")

    failures = 0
    while failures < 12:
        try:
            if not agent.round().moved():
                break
        except CentralAway:
            failures += 1
    proxy.close()

    assert 1 <= failures < 12
    assert held(shared_central, unit) == stored(unit)
    assert unit.record.acked()[0] == unit.record.head().seq


def test_with_the_engine_away_everything_still_reaches_central_and_the_acknowledgement_waits(
    unit: Unit, shared_central: CentralProcess
) -> None:
    unit.chatter(4)
    agent = agent_of(unit, shared_central.url)

    agent.round()
    assert held(shared_central, unit) == stored(unit)
    assert unit.record.acked()[0] == 0
    engine = SmallEngine(unit, shared_central.home.fingerprint())
    agent.round()
    engine.close()

    assert unit.record.acked()[0] == unit.record.head().seq


def test_an_acknowledgement_by_a_key_that_is_not_centrals_moves_nothing(
    unit: Unit, shared_central: CentralProcess, engine: SmallEngine
) -> None:
    unit.chatter(2)
    Trust(central=("0" * 64,)).save(unit.home.trust)

    with pytest.raises(CentralAway, match=r"trust\.json"):
        agent_of(unit, shared_central.url).round()

    assert unit.record.acked()[0] == 0


def test_a_forked_record_is_no_longer_sent_and_the_reason_is_kept(
    unit: Unit, shared_central: CentralProcess, engine: SmallEngine, tmp_path: Path
) -> None:
    unit.chatter(5)
    agent_of(unit, shared_central.url).round()
    clone = Unit(unit.home.__class__(tmp_path / "clone"), unit.key, unit.record, unit.unit_id)
    clone.record = Record.create(
        clone.home.record,
        unit_id=unit.unit_id,
        key=unit.key,
        software_version="0.1.0",
        simulated=True,
        stamp=unit.stamp(),
        epoch=unit.record.head().epoch,
    )
    clone.chatter(9)
    for name in ("client.crt", "client.key", "central_ca.crt"):
        clone.home.keys.mkdir(parents=True, exist_ok=True)
        (clone.home.keys / name).write_bytes((unit.home.keys / name).read_bytes())
    Trust.load(unit.home.trust).save(clone.home.trust)
    its_engine = SmallEngine(clone, shared_central.home.fingerprint())
    agent = agent_of(clone, shared_central.url)

    agent.round()
    its_engine.close()

    assert "cloned, restored or altered" in agent.outbox.blocked["gxp"]
    assert "cloned, restored or altered" in its_engine.blocked["gxp"]
    assert shared_central.home.store().forks(unit.unit_id)
    assert held(shared_central, unit) == stored(unit)
    clone.record.close()


def test_a_document_comes_down_once_and_survives_an_engine_that_was_away(
    unit: Unit, shared_central: CentralProcess
) -> None:
    store = shared_central.home.store()
    order = documents.sign("order", b'{"id":"o-1"}', shared_central.root, "qa_reviewer")
    store.queue_down(unit.unit_id, "order", documents.to_json(order).strip())
    store.close()

    agent_of(unit, shared_central.url).round()
    engine = SmallEngine(unit, shared_central.home.fingerprint())
    agent_of(unit, shared_central.url).round()
    agent_of(unit, shared_central.url).round()
    engine.close()

    assert [documents.parse(one).content for one in engine.documents] == [b'{"id":"o-1"}']


def test_after_central_was_killed_the_agent_goes_on_without_loss_or_doubling(
    central: CentralProcess, tmp_path: Path
) -> None:
    unit = enrol(central, tmp_path / "unit")
    engine = SmallEngine(unit, central.home.fingerprint())
    words = [str(CELLWRIGHT), "sync", "--home", str(unit.home.root), "--url", central.url]
    agent = subprocess.Popen([*words, "--wait-max-s", "0.5"], stderr=subprocess.PIPE)

    for _ in range(3):
        unit.chatter(30)
        central.kill()
        unit.chatter(30)
        central.start()
        until(lambda: unit.record.acked()[0] == unit.record.head().seq, "the acknowledgement")
    agent.send_signal(signal.SIGTERM)
    _, log = agent.communicate(timeout=15)
    engine.close()

    assert held(central, unit) == stored(unit)
    assert agent.returncode == 0, log.decode()
    assert b"Traceback" not in log
    unit.record.close()


def test_one_round_from_the_command_line_says_what_was_moved(
    unit: Unit, shared_central: CentralProcess, engine: SmallEngine
) -> None:
    make_batch(unit)

    words = [str(CELLWRIGHT), "sync", "--home", str(unit.home.root), "--url", shared_central.url, "--once"]
    done = subprocess.run(words, capture_output=True, timeout=60)

    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["acknowledged"]["gxp"] == unit.record.head().seq


def test_a_restored_central_is_sent_everything_again_that_it_lost(
    central: CentralProcess, tmp_path: Path
) -> None:
    import shutil

    unit = enrol(central, tmp_path / "unit")
    engine = SmallEngine(unit, central.home.fingerprint())
    unit.chatter(5)
    agent_of(unit, central.url).round()
    central.stop()
    backup = tmp_path / "central.backup"
    shutil.copy(central.home.root / "central.db", backup)
    central.start()
    unit.chatter(20)
    agent_of(unit, central.url).round()
    central.stop()
    shutil.copy(backup, central.home.root / "central.db")
    for left in ("central.db-wal", "central.db-shm"):
        (central.home.root / left).unlink(missing_ok=True)
    central.start()

    agent_of(unit, central.url).round()

    assert held(central, unit) == stored(unit)
    engine.close()
    unit.record.close()


def test_with_nothing_there_the_agent_waits_says_why_once_and_ends_when_asked(tmp_path: Path) -> None:
    words = [str(CELLWRIGHT), "sync", "--home", str(tmp_path), "--url", "https://127.0.0.1:9"]
    agent = subprocess.Popen([*words, "--wait-max-s", "0.05"], stderr=subprocess.PIPE)
    assert agent.stderr is not None
    first = agent.stderr.readline().decode()

    time.sleep(0.5)
    assert agent.poll() is None
    agent.send_signal(signal.SIGTERM)
    _, rest = agent.communicate(timeout=15)

    assert "Waiting:" in first
    assert agent.returncode == 0
    assert [line for line in rest.decode().splitlines() if "Waiting" in line] == []
    assert "Traceback" not in rest.decode()


@pytest.mark.parametrize("changed", [{"unit": "u-other"}, {"epoch": "0" * 32}, {"acked_hash": "0" * 64}])
def test_an_acknowledgement_about_another_log_or_another_past_is_not_believed(
    unit: Unit, shared_central: CentralProcess, changed: dict[str, str]
) -> None:
    unit.chatter(1)
    head = unit.record.head()
    right = {
        "unit": unit.unit_id,
        "log": "gxp",
        "epoch": head.epoch.hex(),
        "acked_hash": head.hash.hex(),
        "server_time": "2026-11-20T08:00:00.000000Z",
    }
    agent, key = agent_of(unit, shared_central.url), shared_central.home.signing_key()
    good = sign_ack(Ack(acked_seq=head.seq, down_cursor=0, **right), key)
    bad = sign_ack(Ack(acked_seq=head.seq, down_cursor=0, **(right | changed)), key)

    assert agent._checked("gxp", *good).acked_seq == head.seq
    with pytest.raises(CentralAway, match="Tell QA"):
        agent._checked("gxp", *bad)


def test_a_unit_that_names_no_central_is_told_what_to_write(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(CELLWRIGHT), "sync", "--home", str(tmp_path), "--once"], capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "unit.toml" in done.stderr
    assert "Traceback" not in done.stderr
