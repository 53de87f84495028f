"""Labels, from what they say to the bytes a printer takes: drawn, read back and kept; nothing is sent here.

The order to the printer is the domain's: it is on record before the printer hears of it. This module
makes sure that the file the order names holds exactly the bytes on record.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from appliance.config import Home
from appliance.domain import events as ev
from appliance.domain.batch import Unit
from appliance.domain.issued_labels import RULES_FROM
from appliance.domain.label_printing import ORDER
from appliance.engine.approved_templates import TemplateGone, text_of
from appliance.engine.journal import Journal
from appliance.engine.vision_client import VisionAway, VisionClient, VisionRefused
from appliance.record.errors import BlobMissing

LABEL_DEADLINE_S = 30.0
LABELS = "labels"  # the folder of the run's labels and their bytes
ZPL_TYPE = "application/zpl"
PICTURE_TYPE = "image/png"

_logger = logging.getLogger(__name__)
Report = Callable[[ev.Event], Coroutine[Any, Any, None]]


class Printing:
    """Draws labels by the vision worker and keeps their picture and bytes as blobs."""

    def __init__(
        self, *, home: Home, unit: Unit, journal: Journal, vision: VisionClient, report: Report, dpi: int
    ) -> None:
        self._folder, self._unit, self._dpi = home.run / LABELS, unit, dpi
        self._journal, self._vision, self._report = journal, vision, report

    async def draw(self, label: ev.LabelRequested) -> None:
        """Draw one label and report it: drawn, or void with the reason."""
        self._folder.mkdir(parents=True, exist_ok=True)
        out, zpl = self._folder / f"{label.label_id}.png", self._folder / f"{label.label_id}.zpl"
        fields = dict(label.fields) | {"simulated": "true" if self._unit.simulated else "false"}
        try:
            approved = await text_of(label, self._unit, self._journal.record)
            drawn = await self._vision.ask(
                "render_label",
                template=label.template,
                **approved,
                fields=fields,
                out=str(out),
                zpl_out=str(zpl),
                dpi=str(self._dpi),
                timeout_s=LABEL_DEADLINE_S,
            )
        except (TemplateGone, VisionAway, VisionRefused) as away:
            return await self._report(not_printed(label, str(away)))
        picture, printed = await self._kept(out, PICTURE_TYPE), await self._kept(zpl, ZPL_TYPE)
        if drawn["sha256"] != picture or drawn["zpl_sha256"] != printed:
            words = "the drawn label changed before it was kept."
            return await self._report(not_printed(label, words))
        await self._report(self._drawn(label, drawn, picture, printed, str(zpl)))

    def _drawn(
        self, label: ev.LabelRequested, drawn: dict[str, Any], picture: str, printed: str, zpl_file: str
    ) -> ev.Event:
        texts = [str(text) for text in drawn["symbols"]]
        batch = self._unit.batch
        if batch is not None and batch.opened.rules < RULES_FROM:
            # A batch of before took a drawn label for a printed one.
            return ev.LabelPrinted(phase=label.phase, label_id=label.label_id, picture=picture, texts=texts)
        return ev.LabelDrawn(
            phase=label.phase,
            label_id=label.label_id,
            template=str(drawn["template"]),
            version=str(drawn["version"]),
            picture=picture,
            sha256=str(drawn["sha256"]),
            texts=texts,
            zpl_blob=printed,
            zpl_file=zpl_file,
            dpi=str(drawn["dpi"]),
        )

    async def _kept(self, path: Path, media_type: str) -> str:
        data = await asyncio.to_thread(path.read_bytes)
        kept = await self._journal.in_writer(self._journal.record.put_blob, data, media_type)
        return str(kept.sha256)

    def lay_out(self, order: ev.DeviceOrdered) -> None:
        """Make sure that the file of a print order holds the bytes on record: a restart may have emptied it.

        A file that cannot be written again is found by the printer's host, which compares the bytes.
        """
        if order.name != ORDER or "zpl_file" not in order.parameters:
            return
        path, sha256 = Path(order.parameters["zpl_file"]), order.parameters["sha256"]
        try:
            if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._journal.record.blob(sha256))
        except (OSError, BlobMissing) as error:
            _logger.error("the bytes of a label cannot be laid out: %s", error)


def not_printed(label: ev.LabelRequested, words: str) -> ev.LabelVoided:
    return ev.LabelVoided(phase=label.phase, label_id=label.label_id, reason=f"not printed: {words}")
