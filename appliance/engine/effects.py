"""Carry out what committed events order: devices, camera, counting, labels; then report."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from appliance.access.identities import Identities
from appliance.config import Home, Station
from appliance.domain import events as ev
from appliance.domain import exchange_file, fitness, transport_log
from appliance.domain.batch import Fact, Unit
from appliance.domain.phases.receipt import range_c
from appliance.engine import counting, exchange_folder
from appliance.engine.device_pool import DevicePool
from appliance.engine.journal import Journal
from appliance.engine.printing import Printing, not_printed
from appliance.engine.scanning import Scanning, read_nothing
from appliance.engine.vision_client import VisionAway, VisionClient, VisionRefused
from appliance.record.errors import BlobMissing

COUNT_DEADLINE_S = 120.0
POOLED = 0
COUNTS = "counts"  # where a count has its copies of the pictures, as long as it takes
PICTURES = ("*.png", "*.tif", "*.tiff", "*.jpg", "*.jpeg", "*.bmp", "*.webp")

FILE_FAULT = "A file of this station cannot be read or written. Call service."

_logger = logging.getLogger(__name__)
Report = Callable[[ev.Event], Coroutine[Any, Any, None]]


class Effects:
    """The hands of the engine.

    Parameters
    ----------
    report
        Puts an outcome on record, in a turn of its own.
    fault
        Told of what failed in a way that no outcome stands for.
    """

    def __init__(
        self,
        *,
        home: Home,
        station: Station,
        label_dpi: int,
        unit: Unit,
        journal: Journal,
        pool: DevicePool,
        vision: VisionClient,
        identities: Identities,
        report: Report,
        fault: Callable[[BaseException], None],
    ) -> None:
        self._home, self._station, self._unit = home, station, unit
        self._journal, self._pool, self._vision = journal, pool, vision
        self._report, self._fault = report, fault
        self.scanning = Scanning(
            home=home,
            station=station,
            unit=unit,
            journal=journal,
            vision=vision,
            identities=identities,
            report=report,
        )
        self._printing = Printing(
            home=home, unit=unit, journal=journal, vision=vision, report=report, dpi=label_dpi
        )
        self._stop_sent = False
        self._tasks: set[asyncio.Task[None]] = set()
        shutil.rmtree(home.run / COUNTS, ignore_errors=True)  # copies that a crash left

    def stop_sent(self) -> None:
        """STOP is out, though not yet on record: no order that is being committed may follow it."""
        self._stop_sent = True

    def carry_out(self, fact: Fact) -> None:
        """Begin what an event orders; returns at once."""
        match fact.event:
            case ev.DeviceOrdered() as order if self._stop_sent or self._unit.stop_latched:
                self._begin(self._report(_not_sent(order)))
            case ev.DeviceOrdered() as order:
                self._printing.lay_out(order)
                self._pool.order(
                    order.device, order.order_id, order.name, order.parameters, order.expires_in_ms
                )
            case ev.DeviceQualified(device=device):
                self._pool.expect(device, fitness.expected(self._unit, device))
            case ev.StopReleased():
                self._stop_sent = False
            case ev.PhaseStarted(phase=phase) | ev.PhaseRestarted(phase=phase):
                self._declare_safe_states(phase)
            case ev.PhaseHolding(phase=phase) | ev.PhaseAborted(phase=phase):
                self._apply_safe_states(phase)
            case ev.ScanRequested() as scan:
                self._begin(self._or_told(self.scanning.scan(scan), read_nothing(scan, ["no_picture"])))
            case ev.ScanCancelled(scan_id=scan_id):
                self.scanning.cancel(scan_id)
            case ev.ExchangeFileRequested() as asked:
                self._begin(
                    self._or_told(self._import(asked), _not_imported(asked, "unreadable", FILE_FAULT))
                )
            case ev.CountRequested() as count:
                self._begin(self._or_told(self._count(count), _count_failed(count, FILE_FAULT)))
            case ev.LabelRequested() as label:
                self._begin(self._or_told(self._printing.draw(label), not_printed(label, FILE_FAULT)))
            case _:
                pass

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault(fault)

    async def _or_told(self, work: Awaitable[None], otherwise: ev.Event) -> None:
        """A file that cannot be read or written is an outcome too: nobody waits for it for ever."""
        try:
            await work
        except OSError as error:
            _logger.error("a file of the station: %s", error)
            await self._report(otherwise)

    # Devices

    def _safe_states(self, phase_id: str) -> list[tuple[str, str]]:
        assert self._unit.batch is not None
        phase = self._unit.batch.runs[phase_id].phase
        devices = [(self._unit.device_of(role), state) for role, state in phase.safe_state.items()]
        return [(device.id, state) for device, state in devices if device is not None]

    def _declare_safe_states(self, phase_id: str) -> None:
        for device, state in self._safe_states(phase_id):
            self._pool.set_safe_state(device, "stop" if state == "stop" else "keep")

    def _apply_safe_states(self, phase_id: str) -> None:
        for device, state in self._safe_states(phase_id):
            if state == "stop":
                self._pool.stop(device)

    # Files of devices

    async def _import(self, asked: ev.ExchangeFileRequested) -> None:
        """Read the chosen file whole; one that is no exchange file may name people, and is not kept."""
        of_transport = asked.key == transport_log.KEY
        bytes_max = transport_log.BYTES_MAX if of_transport else exchange_file.BYTES_MAX
        try:
            data = await exchange_folder.read(self._station.exchange, asked.file, bytes_max)
        except exchange_folder.FileNotTaken as why:
            return await self._report(_not_imported(asked, why.reason, str(why)))
        read = replace(
            _not_imported(asked, "", ""), sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
        )
        try:
            said = self._said_of_transport(asked, data) if of_transport else _said_of_device(data)
        except exchange_file.ExchangeFileUnusable as why:
            return await self._report(replace(read, reason=why.reason, words=str(why)))
        media_type = exchange_folder.MEDIA_TYPES[Path(asked.file).suffix.lower()]
        kept = await self._journal.in_writer(self._journal.record.put_blob, data, media_type)
        used_in, batch = self._unit.used_files.get(str(kept.sha256), ""), self._unit.batch
        await self._report(
            replace(
                read,
                **said,
                blob=str(kept.sha256),
                used_in="" if batch is not None and used_in == batch.id else used_in,
            )
        )

    def _said_of_transport(self, asked: ev.ExchangeFileRequested, data: bytes) -> dict[str, Any]:
        """What a logger's file says, held against the range that the recipe allows."""
        assert self._unit.batch is not None
        low_c, high_c = range_c(self._unit.batch.runs[asked.phase].phase)
        log = transport_log.read(data)
        return {
            "serial_number": log.shipper,
            "programme": transport_log.KEY,
            "started": log.readings[0][0].isoformat(),
            "ended": log.readings[-1][0].isoformat(),
            "results": transport_log.summary(log, low_c, high_c),
        }

    async def _put(self, path: Path) -> str:
        data = await asyncio.to_thread(path.read_bytes)
        media_type = counting.MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
        reference = await self._journal.in_writer(self._journal.record.put_blob, data, media_type)
        return str(reference.sha256)

    # Counting

    def _fields_of(self, replicate: int) -> list[Path]:
        """The pictures of one replicate: `replicate-N/` in the microscope's folder."""
        folder = self._station.microscope / f"replicate-{replicate}"
        return sorted(path for kind in PICTURES for path in folder.glob(kind))

    def _pictures_of(self, count: ev.CountRequested) -> list[tuple[int, Callable[[], bytes]]]:
        """What is counted: a replicate's pictures as they lie there, or pooled those that are on record."""
        batch = self._unit.batch
        assert batch is not None
        if count.replicate != POOLED:
            return [(count.replicate, path.read_bytes) for path in self._fields_of(count.replicate)]
        run, load = batch.runs[count.phase], self._journal.record.blob
        newest = [
            run.last(ev.CellCountReported, replicate=number)
            for number in range(1, int(run.phase.amount("replicates", "count")) + 1)
        ]
        return [
            (found[1].replicate, functools.partial(load, name))
            for found in newest
            if found is not None
            for name in found[1].images
        ]

    async def _count(self, count: ev.CountRequested) -> None:
        assert self._unit.batch is not None
        folder, station = self._home.run / COUNTS / count.count_id, self._station.told
        method = self._unit.batch.recipe.phases[count.phase].text["method"]
        pictures = self._pictures_of(count)
        if not pictures:
            words = f"No pictures of replicate {count.replicate} came from the microscope."
            return await self._count_failed(count, words)
        try:
            fields = await asyncio.to_thread(counting.laid_out, folder, pictures)
            asked = counting.request(fields, method, station, folder=folder, simulated=self._unit.simulated)
            result = await self._vision.ask("count", **asked, timeout_s=COUNT_DEADLINE_S)
            images = [await self._put(path) for path in fields] if count.replicate != POOLED else []
            overlay, cells = [
                await self._put(Path(result[name])) if result.get(name) else ""
                for name in ("overlay", "cells_csv")
            ]
        except (VisionAway, VisionRefused, BlobMissing) as why:
            return await self._count_failed(count, str(why))
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        said = counting.reported(count, result, station, images=images, overlay=overlay, cells_blob=cells)
        await self._report(said)

    async def _count_failed(self, count: ev.CountRequested, words: str) -> None:
        await self._report(_count_failed(count, words))


def _not_sent(order: ev.DeviceOrdered) -> ev.DeviceRefusedOrder:
    words = "STOP was pressed before this order could go out. It was not sent."
    return ev.DeviceRefusedOrder(
        phase=order.phase, order_id=order.order_id, device=order.device, fault="refused", words=words
    )


def _said_of_device(data: bytes) -> dict[str, Any]:
    said = exchange_file.read(data)
    return {
        "serial_number": said.serial_number,
        "programme": said.programme,
        "started": said.started.isoformat(),
        "ended": said.ended.isoformat(),
        "results": [asdict(one) for one in said.results],
    }


def _not_imported(asked: ev.ExchangeFileRequested, reason: str, words: str) -> ev.ExchangeFileRead:
    return ev.ExchangeFileRead(
        phase=asked.phase,
        key=asked.key,
        import_id=asked.import_id,
        file=asked.file,
        sha256="",
        size_bytes=0,
        reason=reason,
        words=words,
    )


def _count_failed(count: ev.CountRequested, words: str) -> ev.CountFailed:
    return ev.CountFailed(phase=count.phase, count_id=count.count_id, replicate=count.replicate, words=words)
