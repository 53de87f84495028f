"""One run of the demonstration: site, processes, people, certification, archive, verification."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.demo.consent import record_consent
from appliance.demo.crew import Crew, CrewStuck
from appliance.demo.faults import fault_watch
from appliance.demo.hands import Hands, HandsUnable
from appliance.demo.processes import (
    DemoFailed,
    Processes,
    cellwright,
    certify,
    make_central,
    qualify_count,
    run,
    start_agent,
    start_bench,
    start_central,
    start_engine,
)
from appliance.demo.site import (
    Site,
    add_central,
    draw_labels,
    fill_microscope,
    make_unit,
    write_dilution_series,
)
from appliance.demo.stock import stock_materials
from appliance.link.messages import Snapshot

BATCH_TIMEOUT_S = 600.0
EXIT_RELEASED, EXIT_FAULT, EXIT_REJECTED, EXIT_AWAITING = 0, 1, 3, 4
ENDED = ("handed_over", "rejected", "aborted")


def tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def run_headless(options: argparse.Namespace) -> int:
    """Scripted people from the label to the certified release; prints the result as the last line."""
    began = time.monotonic()
    with _site(options) as site:
        processes = Processes(site)
        try:
            result = asyncio.run(_batch(options, site, processes))
        except (DemoFailed, CrewStuck, HandsUnable) as failed:
            tell(f"The demonstration did not end well. {failed}")
            return EXIT_FAULT
        finally:
            processes.end_all()
            _keep_logs(options, site)
    result["wall_s"] = round(time.monotonic() - began, 1)
    print(json.dumps(result), flush=True)
    exits = {"released": EXIT_RELEASED, "rejected": EXIT_REJECTED, "awaiting_disposition": EXIT_AWAITING}
    return exits.get(str(result["disposition"]), EXIT_FAULT)


@contextmanager
def _site(options: argparse.Namespace) -> Iterator[Site]:
    """A short folder of its own: a unix socket's path may have 107 bytes at most."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    folder = Path(tempfile.mkdtemp(prefix="cellwright-"))
    options.out = (options.out or Path(tempfile.mkdtemp(prefix="cellwright-demo-"))).absolute()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        yield Site(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _leave(number: int, frame: object) -> None:
    """Asked to end: by way of the clean-ups, as Ctrl-C does."""
    raise KeyboardInterrupt


def _keep_logs(options: argparse.Namespace, site: Site) -> None:
    if site.logs.is_dir():
        shutil.copytree(site.logs, options.out / "logs", dirs_exist_ok=True)


def prepare(options: argparse.Namespace, site: Site, processes: Processes) -> str:
    """Make the site and start its processes; the address of central for people, empty when it is away."""
    make_unit(
        site, speed=options.speed, recipe=options.recipe, sign_recipe=options.fault != "unsigned-recipe"
    )
    tell("Site, keys, people and recipe are made")
    draw_labels(site, now=datetime.now(UTC))
    fill_microscope(site, seed=options.seed)
    write_dilution_series(site.dilution_series)
    start_bench(processes, seed=options.seed, speed=options.speed)
    make_central(site)
    url, qa_url = start_central(processes)
    add_central(site, url=url)
    if options.fault == "central-away":
        processes.end("central")
        qa_url = ""
    start_engine(processes)
    qualify_count(site)
    record_consent(site)
    stock_materials(site, seed=options.seed, recipe=options.recipe)
    start_agent(processes)
    tell("Bench, central, engine and agent run")
    return qa_url


async def _batch(options: argparse.Namespace, site: Site, processes: Processes) -> dict[str, Any]:
    qa_url = await asyncio.to_thread(prepare, options, site, processes)
    hands = Hands(site, options.seed)
    crew = Crew(site.home.socket, hands, tell=tell)
    crew.watch = fault_watch(options.fault, crew, hands, processes)
    sealed = await crew.work(_sealed, timeout_s=BATCH_TIMEOUT_S)
    assert sealed.batch is not None
    if qa_url and sealed.batch.state == "awaiting_disposition":
        reject = "Rejected in the demonstration" if options.fault == "qp-rejects" else ""
        tell("The record is sealed; the QP reviews it at central")
        certifying = asyncio.create_task(
            asyncio.to_thread(certify, site, sealed.batch.id, qa_url, reject=reject)
        )
        ended = await crew.work(_ended, timeout_s=BATCH_TIMEOUT_S)
        await certifying
        assert ended.batch is not None
        sealed = ended
    return await asyncio.to_thread(_result, options, site, processes, sealed)


def _sealed(snapshot: Snapshot) -> bool:
    return snapshot.batch is not None and snapshot.batch.state in ("awaiting_disposition", *ENDED)


def _ended(snapshot: Snapshot) -> bool:
    return snapshot.batch is not None and snapshot.batch.state in ENDED


def _result(options: argparse.Namespace, site: Site, processes: Processes, last: Snapshot) -> dict[str, Any]:
    """End the engine cleanly, export, and verify with both verifiers."""
    batch = last.batch
    assert batch is not None
    processes.end("engine")
    archive = options.out / f"{batch.id}.zip"
    run(cellwright("export", batch.id, "--home", str(site.home.root), "--out", str(archive)))
    shutil.copyfile(site.home.trust, options.out / "trust.json")
    tell(run(cellwright("verify", str(archive), "--trust", str(site.home.trust))).strip())
    pooled = next(count for count in reversed(batch.counts) if count.replicate == 0)
    return {
        "batch": batch.id,
        "disposition": batch.disposition or "awaiting_disposition",
        "viability_percent": float(pooled.viability_percent),
        "viability_interval_percent": [float(end) for end in pooled.viability_interval_percent],
        "events": last.seq,
        "archive": str(archive),
    }


def run_interactive(options: argparse.Namespace) -> int:
    """The bedside terminal on the simulated bench; the bench plays what you confirm."""
    from appliance.demo.follower import follow

    with _site(options) as site:
        processes = Processes(site)
        try:
            qa_url = prepare(options, site, processes)
            return follow(site, processes, qa_url, seed=options.seed)
        except DemoFailed as failed:
            tell(f"The demonstration did not start. {failed}")
            return EXIT_FAULT
        finally:
            processes.end_all()
            _keep_logs(options, site)
