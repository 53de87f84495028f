"""The print head's test: print its label on record, then judge the picture that a person shows of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from appliance.config import LABEL_DPI
from appliance.domain import events as ev
from appliance.domain import label_printing, print_test
from appliance.domain.batch import DeviceSpec
from appliance.domain.errors import CommandRefused
from appliance.domain.label_fields import print_test_fields
from appliance.domain.phases.operator_device import PICTURE
from appliance.domain.roles import Actor
from appliance.engine.port import EnginePort
from appliance.engine.printing import LABELS, PICTURE_TYPE, ZPL_TYPE
from appliance.engine.vision_client import VisionAway, VisionRefused
from appliance.link.messages import Command
from appliance.link.server import Caller
from appliance.record.attachments import blob_path

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]
TEMPLATE = "print_test"
DEADLINE_S = 30.0
OUT_WITHIN_S = 40.0
LOOK_S = 0.1
EXPIRES_MS = 2_000


class PrinterTest:
    """One command in two steps: `print`, and `judge` once the label lies before the camera."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self.handlers: dict[str, Handler] = {"test_printer": self._test}

    async def _test(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        printer = print_test.printer_for_test(engine.unit, actor)
        if command.body.get("step") == "judge":
            return await self._judge(printer, actor)
        return await self._print(printer, actor)

    async def _print(self, printer: DeviceSpec, actor: Actor) -> dict[str, Any]:
        """Draw, record the order, send it once, and wait until the printer says that the label is out."""
        engine = self._engine
        print_test.refuse_not_ready(engine.unit, printer)
        job = f"PT-{uuid.uuid4().hex[:12]}"
        folder = engine.home.run / LABELS
        folder.mkdir(parents=True, exist_ok=True)
        out, zpl = folder / f"{job}.png", folder / f"{job}.zpl"
        fields = print_test_fields(
            printer=printer.id,
            title=printer.title,
            printed_at=engine.clock.utc(),
            time_zone=engine.config.unit.time_zone,
            dpi=engine.config.label_dpi,
        ) | {"simulated": "true" if engine.unit.simulated else "false"}
        try:
            await engine.vision.ask(
                "render_label",
                template=TEMPLATE,
                fields=fields,
                out=str(out),
                zpl_out=str(zpl),
                dpi=str(engine.config.label_dpi),
                timeout_s=DEADLINE_S,
            )
        except (VisionAway, VisionRefused) as why:
            raise CommandRefused(f"The test label could not be drawn: {why}", reason="not_drawn") from why
        put = engine.record.put_blob
        picture = await engine.journal.in_writer(put, out.read_bytes(), PICTURE_TYPE)
        kept = await engine.journal.in_writer(put, zpl.read_bytes(), ZPL_TYPE)
        ordered = ev.PrintTestOrdered(
            device=printer.id,
            job=job,
            payload=fields["linear_text"],
            picture=str(picture.sha256),
            zpl_blob=str(kept.sha256),
            person=actor.id,
        )
        await engine.turn(lambda: [ordered], actor=actor.id)
        parameters = {"job": job, "zpl_file": str(zpl), "copies": "1", "sha256": ordered.zpl_blob}
        if engine.config.label_dpi != LABEL_DPI:
            parameters["dpi"] = str(engine.config.label_dpi)
        engine.pool.order(printer.id, job, label_printing.ORDER, parameters, EXPIRES_MS)
        await self._until_out(printer, job)
        return {"words": "The test label is out. Show it to the camera, whole, sharp and near."}

    async def _until_out(self, printer: DeviceSpec, job: str) -> None:
        unit = self._engine.unit
        for _ in range(int(OUT_WITHIN_S / LOOK_S)):
            done = unit.readings.get((printer.id, "labels_done"))
            of_job = done is not None and done.quality == "good" and done.detail.endswith(f"job {job}")
            if done is not None and of_job and done.value not in (None, "0"):
                return
            await asyncio.sleep(LOOK_S)
        state = unit.readings.get((printer.id, "state"))
        words = label_printing.WHAT_TO_DO.get(state.value or "" if state else "", label_printing.SILENT)
        raise CommandRefused(f"The test label did not come out. {words}", reason="printer_not_ready")

    async def _judge(self, printer: DeviceSpec, actor: Actor) -> dict[str, Any]:
        engine, ordered = self._engine, self._engine.unit.print_test_orders.get(printer.id)
        if ordered is None:
            raise CommandRefused("Print the test label first.", reason="not_open")
        scan = ev.ScanRequested(phase="", key="print_test", scan_id=f"{ordered.job}-S", formats=list(PICTURE))
        seen = await engine.effects.scanning.read(scan)
        if not seen.picture:
            raise CommandRefused(
                "No picture of the test label came. Show it to the camera.", reason="no_picture"
            )
        try:
            judged = await engine.vision.ask(
                "judge_print_test",
                image=str(blob_path(engine.record.blobs_folder, seen.picture)),
                payload=ordered.payload,
                dpi=str(engine.config.label_dpi),
                timeout_s=DEADLINE_S,
            )
        except (VisionAway, VisionRefused) as why:
            raise CommandRefused(f"The picture could not be judged: {why}", reason="not_judged") from why
        verdict, words = str(judged["verdict"]), str(judged["words"])
        if verdict == "cannot_tell":  # a picture that shows nothing is no test, and none is on record
            raise CommandRefused(words, reason="not_judged")
        tested = ev.PrintHeadTested(
            device=printer.id,
            job=ordered.job,
            verdict=verdict,
            words=words,
            picture=seen.picture,
            dead_mm=[str(line["at_mm"]) for line in judged["dead"]],
            narrowest_mm=str(judged["narrowest_mm"]),
            person=actor.id,
            tested_at=engine.clock.utc().isoformat(),
        )
        await engine.turn(lambda: [tested], actor=actor.id)
        return {"verdict": verdict, "words": words}
