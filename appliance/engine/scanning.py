"""Labels before the camera: ask the worker, keep the evidence, end a scan, and read a badge.

While the worker looks, it publishes one small picture for the person who aims (`AIMING`), which is gone
when the scan ends; at a patient's side it holds no pixel. It is never kept on record.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.access.errors import IdentityRefused
from appliance.access.identities import SEALED_MEDIA_TYPE, Identities
from appliance.config import Home, Station
from appliance.domain import events as ev
from appliance.domain import isbt128
from appliance.domain.batch import Unit
from appliance.domain.phases.operator_device import PICTURE
from appliance.domain.previous import belongs_to
from appliance.domain.scans import CANCELLED
from appliance.engine import counting
from appliance.engine.journal import Journal
from appliance.engine.vision_client import VisionAway, VisionClient, VisionRefused

FOLDER_TIMEOUT_MS = 4_000  # a picture lies there, or nobody has put one
CAMERA_TIMEOUT_MS = 20_000  # a person aims; the screen ends it sooner
DEADLINE_MARGIN_S = 16.0
AIMING = "aiming.pgm"
BADGE_FORMATS = ["code128", "datamatrix", "qr"]
ANY_FORMAT = ["datamatrix"]  # the worker looks for something in each frame; what it finds is not used
BADGE = "badge:"

Report = Callable[[ev.Event], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class BadgeLook:
    """One look for a staff badge, or a device's label, at one station; neither alone proves anything."""

    scan_id: str
    of: str = "staff"  # or equipment
    state: str = "looking"  # looking read not_read
    texts: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class Scanning:
    """The camera's side of scans; what they mean is the domain's to say."""

    def __init__(
        self,
        *,
        home: Home,
        station: Station,
        unit: Unit,
        journal: Journal,
        vision: VisionClient,
        identities: Identities,
        report: Report,
    ) -> None:
        self._station, self._unit, self._journal = station, unit, journal
        self._vision, self._identities, self._report = vision, identities, report
        # A picture from before this engine is no look at a label now, whatever the clock of the unit says.
        self._scanned_at = f"{time.time():.6f}"
        # A camera's frames have no file of their own; one left by a crash may show a patient's name.
        self._frames, self.aiming = home.run / "frames", home.run / AIMING
        for left in (*self._frames.glob("*.png"), *home.run.glob(f"*{AIMING}*")):
            left.unlink()
        self._asking: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._began_s: dict[str, float] = {}
        self._badges: dict[str, BadgeLook] = {}

    @property
    def limit_ms(self) -> int:
        """How long a scan may take at this station."""
        source = self._station.labels
        return CAMERA_TIMEOUT_MS if "://" in source or source.startswith("/dev/") else FOLDER_TIMEOUT_MS

    def left_s(self, scan_id: str) -> float:
        """Real seconds until this scan ends by itself."""
        began = self._began_s.get(scan_id, time.monotonic())
        return max(0.0, self.limit_ms / 1000 - (time.monotonic() - began))

    def cancel(self, scan_id: str) -> None:
        """End a scan: one that is under way in the worker, or one that still waits for it."""
        task = self._asking.get(scan_id)
        if task is not None and not self._vision.cancel(scan_id):
            task.cancel()

    # ── A label of the batch ───────────────────────────────────────────────────────────

    async def scan(self, scan: ev.ScanRequested) -> None:
        """Look for one label and report what was read, or why not."""
        await self._report(await self.read(scan))

    async def read(self, scan: ev.ScanRequested, *, limit_ms: int = CAMERA_TIMEOUT_MS) -> ev.ScanRead:
        """Look for one label; what was read, or why not. Outside a batch its phase is empty."""
        looks = scan.formats == list(PICTURE)
        texts, symbologies, reasons, picture = list[str](), list[str](), list[str](), ""
        identifiers, before, taken = list[str](), "", ""
        try:
            formats = ANY_FORMAT if looks else scan.formats
            result = await self._looked(scan.scan_id, formats, pixels=not scan.at_patient, limit_ms=limit_ms)
            # Where only a picture is asked for, what may be written on the display is not read.
            read = [symbol for symbol in result["symbols"] if symbol["confirmed"] and not looks]
            texts = [str(symbol["text"]) for symbol in read]
            symbologies = [str(symbol["symbology"]) for symbol in read]
            identifiers = [str(symbol["symbology_identifier"]) for symbol in read]
            reasons = [str(reason) for reason in result["reasons"]]
            reasons = reasons if not looks or CANCELLED in reasons else []
            shown = str(result.get("image") or "")
            before, taken = belongs_to(self._unit, texts), await _hash_of(shown)
            if scan.at_patient:
                texts, picture = await self._without_names(texts, shown)
            else:
                picture = await self._keep_picture(shown)
        except IdentityRefused as refused:
            texts, symbologies, identifiers, reasons, before = [], [], [], [refused.reason], ""
        except VisionAway:
            reasons = ["camera_restarting"]
        except VisionRefused as refused:
            reasons = [refused.reason]
        return ev.ScanRead(
            phase=scan.phase,
            key=scan.key,
            scan_id=scan.scan_id,
            texts=texts,
            symbologies=symbologies,
            reasons=reasons,
            picture=picture,
            identifiers=identifiers,
            belongs_to=before,
            shown=taken,
        )

    async def _looked(
        self, scan_id: str, formats: list[str], *, pixels: bool, limit_ms: int = CAMERA_TIMEOUT_MS
    ) -> dict[str, Any]:
        """The worker's answer; a scan that was called off before its turn has read nothing."""
        self._began_s = {scan_id: time.monotonic()} | {
            one: at for one, at in self._began_s.items() if one in self._asking
        }
        asking = asyncio.create_task(self._ask(scan_id, formats, pixels, min(limit_ms, self.limit_ms)))
        self._asking[scan_id] = asking
        try:
            return await asking
        except asyncio.CancelledError:
            if asking.cancelled() and not _being_cancelled():
                return {"symbols": [], "reasons": [CANCELLED], "image": ""}
            asking.cancel()
            raise
        finally:
            del self._asking[scan_id]
            # The worker takes it away itself, unless it died of this scan.
            for left in (self.aiming, self.aiming.with_name(f".{AIMING}.part")):
                with suppress(OSError):
                    left.unlink()

    async def _ask(self, scan_id: str, formats: list[str], pixels: bool, limit_ms: int) -> dict[str, Any]:
        return await self._vision.ask(
            "scan_source",
            source=self._station.labels,
            torch=self._station.torch,
            focus_baseline=str(self._station.focus_baseline or ""),  # 0: nobody measured it
            formats=formats,
            timeout_ms=limit_ms,
            shown_after=self._scanned_at,
            evidence_dir=str(self._frames),
            preview=str(self.aiming),
            preview_pixels=pixels,
            timeout_s=limit_ms / 1000 + DEADLINE_MARGIN_S,
            work=scan_id,
        )

    async def _keep_picture(self, path: str) -> str:
        """Store the frame as evidence; a frame is used for one scan only."""
        if not path:
            return ""
        shown = Path(path)
        self._scanned_at = f"{shown.stat().st_mtime:.6f}"
        kept = await self._put(shown)
        if shown.parent == self._frames:
            shown.unlink()
        return kept

    async def _without_names(self, texts: list[str], path: str) -> tuple[list[str], str]:
        """Texts that name nobody, and the picture as only this unit can open it; the frame goes."""
        assert self._unit.batch is not None
        order = self._unit.batch.order
        try:
            said = self._identities.pseudonymised(texts, order)
            if not path:
                return said, ""
            data = await asyncio.to_thread(Path(path).read_bytes)
            sealed = self._identities.seal_picture(order.patient, data)
            put = self._journal.record.put_blob
            reference = await self._journal.in_writer(put, sealed, SEALED_MEDIA_TYPE)
            return said, str(reference.sha256)
        finally:
            if path:
                self._scanned_at = f"{Path(path).stat().st_mtime:.6f}"
                Path(path).unlink()

    async def _put(self, path: Path) -> str:
        data = await asyncio.to_thread(path.read_bytes)
        media_type = counting.MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
        reference = await self._journal.in_writer(self._journal.record.put_blob, data, media_type)
        return str(reference.sha256)

    # ── A badge ────────────────────────────────────────────────────────────────────────

    def badge_at(self, station: str) -> BadgeLook | None:
        """The newest look for a badge at a station; nothing of it is on record."""
        return self._badges.get(station)

    def forget_badge(self, station: str) -> None:
        """Whoever was looked for has come, or does not come."""
        look = self._badges.pop(station, None)
        if look is not None:
            look.state = "not_read"
            self.cancel(look.scan_id)

    def begin_badge(self, station: str, of: str = "staff") -> BadgeLook:
        """A look for a badge begins; one that went on at this station ends."""
        self.forget_badge(station)
        look = self._badges[station] = BadgeLook(f"{BADGE}{station}:{time.monotonic_ns()}", of)
        return look

    async def badge(self, look: BadgeLook) -> None:
        """Read one badge; its picture shows a person and is not kept."""
        if look.state != "looking":
            return  # it was given up before it began
        try:
            result = await self._looked(look.scan_id, BADGE_FORMATS, pixels=True)
            shown = Path(str(result.get("image") or ""))
            if shown.name:
                self._scanned_at = f"{shown.stat().st_mtime:.6f}"
                if shown.parent == self._frames:
                    shown.unlink()
            look.texts = tuple(str(one["text"]) for one in result["symbols"] if one["confirmed"])
            look.reasons = tuple(str(reason) for reason in result["reasons"])
        except VisionAway:
            look.reasons = ("camera_restarting",)
        except VisionRefused as refused:
            look.reasons = (refused.reason,)
        except OSError:
            look.reasons = ("no_picture",)
        look.state = "read" if look.texts else "not_read"


async def _hash_of(path: str) -> str:
    """SHA-256 of the picture as it was taken, which of a sealed one nobody can tell any longer."""
    if not path:
        return ""
    return hashlib.sha256(await asyncio.to_thread(Path(path).read_bytes)).hexdigest()


def _being_cancelled() -> bool:
    """Whether the engine itself ends this work, and not a person the scan."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def staff_in(texts: tuple[str, ...]) -> list[str]:
    """What may be a badge: a staff structure (020) before any other text."""
    badges = []
    for text in texts:
        with suppress(isbt128.LabelRefused):
            if isbt128.parse(text)[0].number == "020":
                badges.append(text)
    return badges or list(texts)


def read_nothing(scan: ev.ScanRequested, reasons: list[str]) -> ev.ScanRead:
    """The outcome of a scan that could not be carried out."""
    return ev.ScanRead(
        phase=scan.phase,
        key=scan.key,
        scan_id=scan.scan_id,
        texts=[],
        symbologies=[],
        reasons=reasons,
        picture="",
    )
