"""Read photographs at four rotations by our own cascade and by each engine alone, and keep the figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import zxingcpp

from vision.labels.bench_set import Photo
from vision.labels.engines import DEFAULT_FORMATS, versions, zbar_decoder
from vision.labels.locate import Gray
from vision.labels.symbols import UnreadableImage, load_gray, read_symbols

OURS, ZXING, ZBAR = "cellwright", "zxing_cpp_alone", "pyzbar_alone"
ZXING_FORMATS = {
    "code128": zxingcpp.BarcodeFormat.Code128,
    "datamatrix": zxingcpp.BarcodeFormat.DataMatrix,
    "qr": zxingcpp.BarcodeFormat.QRCode,
}
ZBAR_FORMATS = {"code128": "CODE128", "qr": "QRCODE"}

# A read is a payload (its bytes, and the same as UTF-8 text) and whether it is confirmed.
Reads = list[tuple[set[bytes], bool]]
Reader = Callable[[Gray], Reads]


@dataclass
class Tally:
    """What one reader did with the views of one symbology."""

    views: int = 0
    decoded: int = 0
    confirmed: int = 0
    wrong: int = 0
    confirmed_wrong: int = 0
    took_ms: list[float] = field(default_factory=list)
    took_cpu_ms: list[float] = field(default_factory=list)

    def add(self, reads: Reads, right: frozenset[bytes], took: tuple[float, float]) -> None:
        """Take one view in."""
        self.views += 1
        self.took_ms.append(took[0])
        self.took_cpu_ms.append(took[1])
        good = [sure for payloads, sure in reads if payloads & right]
        bad = [sure for payloads, sure in reads if not payloads & right]
        self.decoded += bool(good)
        self.confirmed += any(good)
        self.wrong += bool(bad)
        self.confirmed_wrong += any(bad)

    def join(self, other: Tally) -> None:
        """Take the counts of other views in."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def line(self) -> dict[str, object]:
        """Return the figures for other programs."""
        return {
            "views": self.views,
            "decoded_percent": _percent(self.decoded, self.views),
            "confirmed_percent": _percent(self.confirmed, self.views),
            "confirmed_of_decoded_percent": _percent(self.confirmed, self.decoded),
            "views_with_a_wrong_read": self.wrong,
            "views_with_a_confirmed_wrong_read": self.confirmed_wrong,
            **_times("", self.took_ms),
            **_times("cpu_", self.took_cpu_ms),
        }


@dataclass
class Measured:
    """All figures of one run; `complete` is false when it was interrupted."""

    photos: int
    data: str = ""
    complete: bool = False
    symbologies: dict[str, dict[str, Tally]] = field(default_factory=dict)
    unreadable_files: list[str] = field(default_factory=list)
    no_symbol: dict[str, Tally] = field(default_factory=dict)
    empty_ms: list[float] = field(default_factory=list)
    empty_cpu_ms: list[float] = field(default_factory=list)
    first_look_ms: list[float] = field(default_factory=list)
    first_look_ms_of: dict[str, list[float]] = field(default_factory=dict)

    @property
    def confirmed_wrong_views(self) -> int:
        """Views of any symbology with a confirmed read that is not right there."""
        ours = [readers[OURS] for readers in self._all() if OURS in readers]
        return sum(tally.confirmed_wrong for tally in ours)

    def _all(self) -> list[dict[str, Tally]]:
        return [*self.symbologies.values(), self.no_symbol]

    def line(self) -> dict[str, object]:
        """Return the figures for other programs."""
        ours = [readers[OURS] for readers in self._all() if OURS in readers]
        told = {
            symbology: {reader: tally.line() for reader, tally in readers.items()}
            | {"first_look_median_ms": _median(self.first_look_ms_of.get(symbology, []))}
            for symbology, readers in self.symbologies.items()
        }
        none = self.no_symbol.get(OURS, Tally())
        return {
            "bench": "labels",
            "data": self.data,
            "complete": self.complete,
            "photos": self.photos,
            "unreadable_files": self.unreadable_files,
            "rotations": 4,
            "views": sum(tally.views for tally in ours),
            "views_with_a_confirmed_wrong_read": self.confirmed_wrong_views,
            "first_look_median_ms": _median(self.first_look_ms),
            "symbologies": told,
            "no_readable_symbol": {
                "views": none.views,
                "views_with_a_confirmed_read": none.confirmed_wrong,
                "views_with_an_unconfirmed_read": none.wrong - none.confirmed_wrong,
                "empty_frames": len(self.empty_ms),
                **{f"empty_{name}": value for name, value in _times("", self.empty_ms).items()},
                **{f"empty_{name}": value for name, value in _times("cpu_", self.empty_cpu_ms).items()},
                **{reader: tally.line() for reader, tally in self.no_symbol.items() if reader != OURS},
            },
            "versions": versions(),
        }


def measure(photos: Sequence[Photo], budget_ms: float, progress: Callable[[int, int], None]) -> Measured:
    """Read every photograph at four rotations with every reader, in turn on the same view.

    An interruption from the keyboard ends the run; what was measured until then is returned.
    """
    threads = cv2.getNumThreads()
    # The engines run on one core; so does the preparation, or the times would not compare.
    cv2.setNumThreads(1)
    told = Measured(len(photos))
    try:
        _warm_up(photos)
        for done, photo in enumerate(photos, start=1):
            _read_photo(photo, budget_ms, told)
            progress(done, len(photos))
        told.complete = True
    except KeyboardInterrupt:
        pass
    finally:
        cv2.setNumThreads(threads)
    return told


def _warm_up(photos: Sequence[Photo]) -> None:
    """The first call loads libraries; that is no time of a view."""
    blank = np.full((64, 64), 255, dtype=np.uint8)
    read_symbols(blank)
    for reads_as in {photo.reads_as for photo in photos}:
        for reader in _readers(reads_as).values():
            reader(blank)


def _read_photo(photo: Photo, budget_ms: float, told: Measured) -> None:
    try:
        whole = load_gray(photo.path)
    except UnreadableImage:
        told.unreadable_files.append(str(photo.path))
        return
    tallies = told.symbologies.setdefault(photo.symbology, {}) if photo.reads_as else told.no_symbol
    for quarter in range(4):
        gray = np.ascontiguousarray(np.rot90(whole, quarter))
        began, began_cpu = time.perf_counter(), time.process_time()
        found = read_symbols(gray, budget_ms=budget_ms)
        took = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - began_cpu)
        ours: Reads = [({each.data, each.text.encode()}, each.confirmed) for each in found.symbols]
        tallies.setdefault(OURS, Tally()).add(ours, photo.payloads, took)
        told.first_look_ms.append(found.first_look_ms)
        told.first_look_ms_of.setdefault(photo.symbology, []).append(found.first_look_ms)
        if not photo.reads_as and not found.symbols:
            told.empty_ms.append(took[0])
            told.empty_cpu_ms.append(took[1])
        for name, reader in _readers(photo.reads_as).items():
            began, began_cpu = time.perf_counter(), time.process_time()
            reads = reader(gray)
            took = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - began_cpu)
            tallies.setdefault(name, Tally()).add(reads, photo.payloads, took)


def _readers(reads_as: str) -> dict[str, Reader]:
    """Each engine alone, asked for the one symbology, or for all that we read where the picture has none."""
    asked = (reads_as,) if reads_as else DEFAULT_FORMATS
    readers = {ZXING: _zxing_alone(asked)}
    decode = zbar_decoder()
    names = [ZBAR_FORMATS[each] for each in asked if each in ZBAR_FORMATS]
    if decode is not None and names:
        readers[ZBAR] = lambda gray: [({bytes(each.data)}, False) for each in decode(gray, names)]
    return readers


def _zxing_alone(asked: Sequence[str]) -> Reader:
    formats = zxingcpp.BarcodeFormats([ZXING_FORMATS[each] for each in asked])

    def read(gray: Gray) -> Reads:
        found = zxingcpp.read_barcodes(gray, formats=formats, text_mode=zxingcpp.TextMode.Plain)
        return [({bytes(each.bytes), each.text.encode()}, False) for each in found]

    return read


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 1) if values else None


def _times(kind: str, took_ms: Sequence[float]) -> dict[str, object]:
    if not took_ms:
        return {f"{kind}median_ms": None, f"{kind}p95_ms": None}
    median, p95 = np.percentile(took_ms, [50, 95])
    return {f"{kind}median_ms": round(float(median), 1), f"{kind}p95_ms": round(float(p95), 1)}
