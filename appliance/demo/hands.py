"""Hands at the simulated bench: what a person does physically when a prompt asks for it."""

from __future__ import annotations

import json
import random
import shutil
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from appliance.demo.site import PRINTER, Site
from appliance.domain import transport_log
from appliance.link.client import look

ANSWER_TIMEOUT_S = 5.0
TRANSPORT_LOG = "transport-log.csv"
READINGS, READ_EVERY = 25, timedelta(minutes=5)


class HandsUnable(Exception):
    """The bench did not do what it was asked; the words say why."""


class Hands:
    """Moves bags and syringes in the simulated world, and holds labels before the camera.

    Parameters
    ----------
    seed
        How the label is held: a few degrees turned, a little brighter or darker.
    """

    def __init__(self, site: Site, seed: int) -> None:
        self._site, self._random = site, random.Random(seed)
        self._shown = 0

    def act(self, action: str, *, label: Path | None = None) -> None:
        """Carry out the acts of a prompt, such as `load_syringe 60; connect patient`."""
        for words in filter(None, (part.strip() for part in action.split(";"))):
            verb, *rest = words.split()
            if verb == "mend":
                self.mend_printer()
            elif verb == "show":
                self.show(label or self._site.labels / f"{'-'.join(rest)}.png")
            elif verb == "export_transport_log":
                self.export_transport_log()
            else:
                self.ask(_act(verb, rest))

    def export_transport_log(self) -> None:
        """The logger's stick goes into the station: a journey of two hours that has just ended."""
        until = look(self._site.home.socket).utc
        about = {"shipper": "DEMO-DRY-01", "logger": "DEMO-LOG-01", "from": "Demo Apheresis Centre"}
        rows = [transport_log.FORMAT, *(f"{name},{value}" for name, value in about.items()), "to,Demo Ward"]
        for place in range(READINGS):
            at = until - READ_EVERY * (READINGS - 1 - place)
            rows.append(f"reading,{at:%Y-%m-%dT%H:%M:%SZ},{-183 + self._random.uniform(-1, 1):.1f}")
        folder = self._site.home.root / "sources" / "exchange"
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join([*rows, f"end,{len(rows)}", ""])
        (folder / TRANSPORT_LOG).write_text(text, encoding="utf-8")

    def ask(self, act: dict[str, Any]) -> dict[str, Any]:
        """One act of the bench; raises `HandsUnable`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(ANSWER_TIMEOUT_S)
            try:
                link.connect(str(self._site.hands))
                link.sendall(json.dumps(act).encode() + b"\n")
                answer: dict[str, Any] = json.loads(link.makefile("rb").readline())
            except (OSError, ValueError) as error:
                raise HandsUnable(f"The bench does not answer: {error}.") from error
        if not answer.get("ok"):
            raise HandsUnable(str(answer.get("words", "The bench refused.")))
        return answer

    def mend_printer(self) -> None:
        """Load labels and close the printer; what it still holds comes out by itself."""
        for act in ("load", "close_head"):
            self.ask({"do": "printer", "device": PRINTER, "act": act})

    def came_out(self) -> Path | None:
        """The newest label in the printer's tray."""
        return max(self._site.tray.glob("*.png"), default=None)

    def show(self, picture: Path) -> None:
        """Hold a label before the camera: a new frame appears in the camera's folder."""
        self._shown += 1
        folder = self._site.home.labels
        frame = folder / f"frame-{self._shown:04d}.png"
        part = folder / f".{frame.name}.part"
        with Image.open(picture) as label:
            self._held(label.convert("L")).save(part, format="PNG")
        shutil.move(part, frame)

    def _held(self, label: Image.Image) -> Image.Image:
        """The label as a hand holds it: turned by up to 3 degrees, on a grey table."""
        angle, brightness = self._random.uniform(-3, 3), self._random.uniform(0.75, 1.0)
        table = Image.new("L", (label.width + 200, label.height + 200), 120)
        table.paste(label, (100, 100))
        turned = table.rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor=120)
        return turned.point([round(level * brightness) for level in range(256)])


def _act(verb: str, rest: list[str]) -> dict[str, Any]:
    match verb:
        case "load_syringe":
            source = {"bag": rest[1]} if len(rest) > 1 else {}
            return {"do": verb, "volume_ml": float(rest[0]), **source}
        case "wash" | "take_sample":
            return {"do": verb, "bag": rest[0], "volume_ml": float(rest[1])}
        case _:
            return {"do": verb, **({"bag": rest[0]} if rest else {})}
