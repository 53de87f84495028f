"""A batch with something of everything that a report must show, and text that wants to act."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from io import BytesIO
from typing import Any

from PIL import Image
from record_bench import BATCH, PNG, stamp, write

from appliance.record.canonical import encode_payload
from appliance.record.log import Record

HOSTILE = (
    '<b>bold</b> #import "@preview/evil:1.0.0" #panic() $x^2$ \\ *strong* _emph_ `raw` = title\n'
    "]} #{ [ @label <label> // comment /* \u202egnp.exe \u200b \x07 \U0001f600 \u05d0\u05d1 e\u0301"
)
ENDLESS = "W" * 10_000
RECIPE_HASH = "ab" * 32
BUILD_HASH = "cd" * 32
OPENED = {
    "order_id": "order-7",
    "recipe_id": "thaw-wash-dose-50",
    "recipe_version": "1.0.0",
    "recipe_hash": RECIPE_HASH,
    "recipe_text": 'title = "Thaw"\n\tstep = 1\n',
    "time_zone": "Europe/Berlin",
    "software_version": "0.1.0",
    "build_hash": BUILD_HASH,
    "devices": ["pump-1", "thawer-1"],
    "site": "Ward 7",
}


def picture_png(colour: str = "grey", size: tuple[int, int] = (1400, 900)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def readings(record: Record, minutes: int, *, lost: frozenset[int] = frozenset()) -> None:
    """Chunks of one minute from the first second on; those of `lost` were never written."""
    for minute in range(minutes):
        if minute in lost:
            continue
        begin = stamp(60 * minute).wall
        samples = [[1000 * second, f"{36 + second % 7}.{minute}", "good"] for second in range(60)]
        if minute == 1:
            samples[30] = [30_000, None, "bad"]
        channels = [
            {"device": "thawer-1", "name": "bath_c", "unit": "°C", "samples": samples},
            {"device": "thawer-1", "name": "state", "unit": "", "samples": [[0, "<heating>", "good"]]},
        ]
        body = {
            "from": begin.isoformat(),
            "to": (begin + timedelta(seconds=60)).isoformat(),
            "channels": channels,
        }
        record.append(
            "ReadingsPacked",
            encode_payload(BATCH, None, body),
            actor="unit",
            stamp=stamp(60 * minute + 60),
            log="telemetry",
        )


def run_telling_batch(record: Record) -> dict[str, int]:
    """Write the batch; the numbers of the events that a test looks for, by name."""
    told: dict[str, int] = {}

    def tell(name: str, kind: str, body: dict[str, Any], *, batch: str | None = BATCH) -> None:
        told[name] = write(record, kind, body, batch=batch).seq

    tell("opened", "BatchOpened", OPENED)
    tell("phase", "PhaseStarted", {"phase": "thaw"})
    scan = record.put_blob(picture_png(), "image/png")
    tell("scan", "ScanRead", {"phase": "thaw", "picture": scan.sha256, "texts": ["=A9999"]})
    broken = record.put_blob(PNG, "image/png")
    tell("broken", "ScanRead", {"phase": "thaw", "picture": broken.sha256})
    gone = record.put_blob(picture_png("white"), "image/png")
    tell("gone", "ScanRead", {"phase": "thaw", "picture": gone.sha256})
    (record.blobs_folder / gone.sha256[:2] / gone.sha256).unlink()
    tell("entry", "ValueRecorded", _value("recovery", "28"))
    tell("value", "ValueRecorded", _value("bath_c", "36.65"))
    content = "I performed the thaw."
    signs = hashlib.sha256(content.encode()).hexdigest()
    signature = {"phase": "thaw", "key": "performed", "person": "p-0001", "name": "Ada Demo"}
    signature |= {"meaning": "performed", "signs": signs, "what": "Sign the thaw", "content": content}
    tell("signature", "SignatureGiven", {**signature, "at": "2026-11-21T07:30:08+00:00"})
    correction = {"phase": "thaw", "key": "result", "field": "recovery", "old": "28", "new": "82"}
    correction |= {"unit": "%", "reason": "Digits swapped", "corrected_seq": told["entry"]}
    tell("correction", "ValueCorrected", {**correction, "person": "p-0001", "name": "Ada Demo"})
    void = {"phase": "thaw", "key": "performed", "person": "p-0001", "signed_seq": told["signature"]}
    void |= {"because_seq": told["correction"], "words": "The recovery was corrected. Sign again."}
    tell("void", "SignatureVoided", void)
    signature |= {"signs": hashlib.sha256(b"again").hexdigest(), "content": "again"}
    tell("again", "SignatureGiven", {**signature, "at": "2026-11-21T23:30:11+00:00"})
    tell("limit", "LimitCrossed", {"limit": "thaw_time", "value": "9", "unit": "min", "bound": "<= 8 min"})
    tell("hostile", "CommentAdded", {"text": HOSTILE})
    tell("endless", "DeviationOpened", {"deviation": "D-1", "words": ENDLESS, "classification": "minor"})
    tell("unknown", "MoonPhaseSeen", {"phase": "thaw", "moon": "waxing", "nested": {"craters": ["Tycho"]}})
    tell("result", "ResultReceived", _result())
    tell("completed", "BatchCompleted", {"recipe_hash": RECIPE_HASH})
    readings(record, 6, lost=frozenset({3}))
    record.seal(stamp(999))
    record.seal(stamp(999), log="telemetry")
    return told


def _value(key: str, value: str) -> dict[str, str]:
    unit = "%" if key == "recovery" else "°C"
    return {
        "phase": "thaw",
        "key": key,
        "value": value,
        "unit": unit,
        "quality": "good",
        "source": "operator",
    }


def _result() -> dict[str, object]:
    found = {"phase": "count", "test": "viability", "value": "65.0", "unit": "%", "limit": ">= 70 %"}
    return {**found, "interval": ["60.1", "69.9"], "verdict": "fail", "rule": "point value"}
