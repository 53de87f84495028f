"""Materials at a running unit, by the command line and by the socket: received, judged, recalled, listed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from engine_room import BEN, CLEO, START, Room, make_room, told

from appliance.domain import events as ev
from appliance.domain import isbt128

PINS = {one.id: one.pin for one in (BEN, CLEO)} | {"p-0001": "246813"}
PAPER = b"%PDF-1.4 certificate of analysis"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


def label(lot: str = "LOT9") -> str:
    return isbt128.compound(
        isbt128.item_text("XX", "SALINE"),
        isbt128.item_lot_text(lot),
        isbt128.expiry_date_text((START + timedelta(days=90)).date()),
    )


def camera_shows(room: Room, *texts: str) -> None:
    """What the program of pictures tells; its pictures and its speed are told elsewhere."""

    async def ask(op: str, **asked: Any) -> dict[str, Any]:
        assert op == "scan_source" and "code39" in asked["formats"]
        symbols = [
            {"text": one, "symbology": "datamatrix", "symbology_identifier": "]d1", "confirmed": True}
            for one in texts
        ]
        return {"symbols": symbols, "reasons": [] if texts else ["blur"], "image": ""}

    room.engine.vision.ask = ask  # type: ignore[method-assign]


async def types(room: Room, *words: str, by: str = "", second: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance.cli", "materials", *words, "--home", str(room.home.root)]
    if by:
        command += ["--by", by, "--pin-stdin", *(("--second", second) if second else ())]
    pins = "".join(f"{PINS[one]}\n" for one in (by, second) if one)
    return await asyncio.to_thread(
        subprocess.run, command, input=pins, capture_output=True, text=True, check=False
    )


@pytest.mark.requirement("F-091", "F-094")
def test_a_delivery_is_received_released_by_another_person_listed_and_recalled_at_the_command_line(
    room: Room, tmp_path: Path
) -> None:
    paper = tmp_path / "coa.pdf"
    paper.write_bytes(PAPER)

    async def story() -> None:
        engine = room.engine
        await room.engine.seal_soon()
        delivery = (
            "receive",
            "--quantity",
            "5",
            "--supplier",
            "Maker",
            "--title",
            "Saline",
            "--certificate",
            str(paper),
        )
        camera_shows(room)
        unread = await types(room, *delivery, by="p-0001")
        assert (unread.returncode, "blurred" in unread.stderr) == (1, True), unread.stderr

        camera_shows(room, label())
        received = await types(room, *delivery, "--json", by="p-0001")
        assert received.returncode == 0, received.stderr
        receipt = json.loads(received.stdout)["receipt"]
        kept = engine.unit.stock.receipts[receipt].certificate
        assert engine.record.blob(kept) == PAPER

        own = await types(room, "release", receipt, "--reason", "All is well", by="p-0001")
        assert (own.returncode, "may not do this" in own.stderr) == (1, True)
        done = await types(room, "release", receipt, "--reason", "All is well", by=BEN.id)
        assert done.returncode == 0, done.stderr
        assert kept in done.stderr, "what is looked at is told before the PIN"

        listed = await types(room, "list")
        assert "released" in listed.stdout and "LOT9" in listed.stdout

        lot = ("XXSALINE", "LOT9", "--reference", "FSN-7", "--reason", "Particles")
        recalled = await types(room, "recall", *lot, by=CLEO.id)
        assert recalled.returncode == 0, recalled.stderr
        assert "0 batches, 0 orders, 0 patients" in recalled.stdout
        again = await types(room, "lift-recall", *lot, by=CLEO.id, second=CLEO.id)
        assert "different person" in again.stderr

    told(room, story)
    kinds = [
        type(one).__name__ for one in room.events(ev.MaterialReceived, ev.MaterialReleased, ev.LotRecalled)
    ]
    assert kinds == ["MaterialReceived", "MaterialReleased", "LotRecalled"]
    refused = [one.reason for one in room.events(ev.CommandWasRefused)]
    assert "not_permitted" in refused and "same_person" in refused


@pytest.mark.requirement("F-091")
def test_nothing_is_received_that_the_camera_did_not_see(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        camera_shows(room, label())
        looked = (await room.done("scan_material")).result
        body = {
            "scan": looked["scan"], "title": "Saline", "quantity": "5", "supplier": "Maker",
            "visual_check": "passed", "certificate_reference": "CoA 1",
        }  # fmt: skip

        assert (
            await room.refused("receive_material", body | {"scan": "receipt-9-9"})
        ).reason == "scan_needed"
        assert (await room.refused("receive_material", body | {"quantity": "some"})).reason == "not_plausible"
        away = await room.refused("receive_material", body | {"certificate": "../keys/unit.pdf"})
        assert "plain name" in away.words
        await room.done("receive_material", body)
        assert (await room.refused("receive_material", body)).reason == "scan_needed", "one look, one receipt"

        rows = (await room.done("list_materials")).result["receipts"]
        assert [(one["lot"], one["state"], one["own"]) for one in rows] == [("LOT9", "quarantined", True)]

    told(room, story)
