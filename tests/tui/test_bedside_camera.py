"""A real camera stream, worker, engine and screen: the cable is pulled out in mid-scan."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from scripted_engine import ScriptedEngine
from walked_bedside import Bedside

from appliance.domain import events as ev
from tests.appliance.engine.engine_room import ADA, bag_texts, make_room, told
from tests.vision.net_camera import net_camera
from tui.app import BedsideApp
from tui.screens import run as run_screen
from tui.screens.scan import TickScreen
from vision.labels.locate import Gray

STATION = "bedside-2"


def bag_label() -> Gray:
    """The bag's two linear symbols and its matrix, large on white, as a camera sees them."""
    picture = np.full((720, 1280), 245, np.uint8)
    for place, text in enumerate(bag_texts()):
        matrix = place == 2
        kind = zxingcpp.BarcodeFormat.DataMatrix if matrix else zxingcpp.BarcodeFormat.Code128
        drawn = zxingcpp.create_barcode(text, kind).to_image(scale=8 if matrix else 4)
        symbol = np.asarray(drawn, np.uint8)
        symbol = symbol if matrix else np.repeat(symbol[:1], 110, axis=0)
        top = 60 + 180 * place
        picture[top : top + symbol.shape[0], 120 : 120 + symbol.shape[1]] = symbol
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)


@pytest.mark.requirement("F-001", "F-003")
def test_a_camera_pulled_out_in_mid_scan_says_so_and_reads_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_screen, "SETTLE_S", 0.1)
    room = make_room(tmp_path)

    with net_camera(np.full((720, 1280), 100, np.uint8)) as camera:
        text = room.home.unit_toml.read_text("utf-8")
        room.home.unit_toml.write_text(text.replace('"sources/labels"', f'"{camera.url}"'), "utf-8")

        async def story() -> None:
            await room.engine.vision.start()
            await room.goes_to("bag/bag")
            app = BedsideApp(room.home.socket, station=STATION)
            async with app.run_test(size=(100, 30)) as pilot:
                bedside = Bedside(app, pilot, ScriptedEngine(tmp_path / "none.sock"))
                await bedside.until(lambda: app.view is not None)
                await room.connects(STATION)
                await room.signs_in(ADA)
                await bedside.tap("Scan")
                await bedside.see("▀▀▀▀▀▀▀▀", "ends by itself in")

                camera.unplug()
                pulled_s = time.monotonic()
                await bedside.see("Not read", "cable")
                took_s = time.monotonic() - pulled_s
                assert room.events(ev.BagAccepted) == []

                camera.plug_in()
                camera.scene = bag_label()
                await bedside.tap("Scan again")
                await bedside.until(lambda: isinstance(app.screen, TickScreen), "a tick")
                await bedside.see("A9999 26 123456")
                assert len(room.events(ev.BagAccepted)) == 1
                # The unit's own time to its last word; what the screen needs after it is not the camera's.
                assert took_s < 4.0
            await asyncio.wait_for(room.engine.vision.close(), 10)

        told(room, story)
