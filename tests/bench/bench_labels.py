"""Rates, wrong reads and times of label reading, beside zxing-cpp alone and ZBar alone in the same run.

    python tests/bench/bench_labels.py [--data DIR] [--budget-ms N]

DIR holds `img/` and `manifest.csv` (columns file, symbology, expected_hex, also_hex); without it the small
set of the tests is used. Each photo is shown at four rotations. One JSON object a symbology on stdout.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import zxingcpp

from vision.labels.locate import Gray
from vision.labels.symbols import load_gray, read_symbols

SMALL_SET = Path(__file__).parents[1] / "data" / "labels"
FORMATS = {
    "Code128": zxingcpp.BarcodeFormat.Code128,
    "DataMatrix": zxingcpp.BarcodeFormat.DataMatrix,
    "QRCode": zxingcpp.BarcodeFormat.QRCode,
}
ZBAR = {"Code128": "CODE128", "QRCode": "QRCODE"}
# A read is a payload (bytes, the same as UTF-8 text) and whether it is confirmed.
Reads = list[tuple[set[bytes], bool]]


class Tally:
    """What one reader did on one symbology."""

    def __init__(self) -> None:
        self.views = self.decoded = self.confirmed = self.wrong = self.confirmed_wrong = 0
        self.took_ms: list[float] = []

    def add(self, reads: Reads, right: set[bytes], took_ms: float) -> None:
        self.views += 1
        self.took_ms.append(took_ms)
        good = [sure for payloads, sure in reads if payloads & right]
        bad = [sure for payloads, sure in reads if not payloads & right]
        self.decoded += bool(good)
        self.confirmed += any(good)
        self.wrong += bool(bad)
        self.confirmed_wrong += any(bad)

    def line(self) -> dict[str, object]:
        median, p95 = np.percentile(self.took_ms, [50, 95])
        return {
            "decoded_percent": round(100 * self.decoded / self.views, 1),
            "confirmed_percent": round(100 * self.confirmed / self.views, 1),
            "views_with_a_wrong_read": self.wrong,
            "views_with_a_confirmed_wrong_read": self.confirmed_wrong,
            "median_ms": round(float(median), 1),
            "p95_ms": round(float(p95), 1),
        }


def right_payloads(photo: dict[str, str]) -> set[bytes]:
    """The published payloads; a leading FNC1 marks GS1 and is no data, upstream spells it `<GS>`."""
    told = {bytes.fromhex(each) for each in [photo["expected_hex"], *photo["also_hex"].split(";")] if each}
    told |= {each.replace(b"<GS>", b"\x1d") for each in told}
    return told | {each.lstrip(b"\x1d") for each in told}


def cascade(budget_ms: float) -> Callable[[Gray], Reads]:
    def read(gray: Gray) -> Reads:
        found = read_symbols(gray, budget_ms=budget_ms).symbols
        return [({each.data, each.text.encode()}, each.confirmed) for each in found]

    return read


def zxing_alone(symbology: str) -> Callable[[Gray], Reads]:
    formats = zxingcpp.BarcodeFormats([FORMATS[symbology]])

    def read(gray: Gray) -> Reads:
        found = zxingcpp.read_barcodes(gray, formats=formats, text_mode=zxingcpp.TextMode.Plain)
        return [({bytes(each.bytes), each.text.encode()}, False) for each in found]

    return read


def zbar_alone(symbology: str) -> Callable[[Gray], Reads] | None:
    try:
        from pyzbar import pyzbar
    except ImportError:
        return None
    if symbology not in ZBAR:
        return None
    symbols = [pyzbar.ZBarSymbol[ZBAR[symbology]]]
    return lambda gray: [({bytes(each.data)}, False) for each in pyzbar.decode(gray, symbols=symbols)]


def timed(read: Callable[[Gray], Reads], gray: Gray) -> tuple[Reads, float]:
    begin = time.perf_counter()
    reads = read(gray)
    return reads, 1000 * (time.perf_counter() - begin)


def measure(
    photos: Iterable[dict[str, str]], data: Path, readers: dict[str, Callable[[Gray], Reads]]
) -> dict:
    tallies = {name: Tally() for name in readers}
    for photo in photos:
        whole = load_gray(data / photo["file"])
        for quarter in range(4):
            gray = np.ascontiguousarray(np.rot90(whole, quarter))
            for name, read in readers.items():
                tallies[name].add(*_judged(read, gray, photo))
    return {name: tally.line() for name, tally in tallies.items()}


def _judged(
    read: Callable[[Gray], Reads], gray: Gray, photo: dict[str, str]
) -> tuple[Reads, set[bytes], float]:
    reads, took_ms = timed(read, gray)
    return reads, right_payloads(photo), took_ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=SMALL_SET)
    parser.add_argument("--budget-ms", type=float, default=3000.0)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with (arguments.data / "manifest.csv").open(newline="") as rows:
        photos = list(csv.DictReader(rows))
    for symbology in sorted({each["symbology"] for each in photos}):
        chosen = [each for each in photos if each["symbology"] == symbology]
        readers: dict[str, Callable[[Gray], Reads]] = {"cellwright": cascade(arguments.budget_ms)}
        if symbology in FORMATS:
            readers["first_look"] = cascade(0.0)
            readers["zxing_cpp_alone"] = zxing_alone(symbology)
            zbar = zbar_alone(symbology)
            readers |= {"pyzbar_alone": zbar} if zbar else {}
        told = measure(chosen, arguments.data, readers)
        print(json.dumps({"symbology": symbology, "views": 4 * len(chosen)} | told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
