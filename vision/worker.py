"""The vision worker, `python -m vision.worker [METHOD …]`: one JSON request a line in, one answer a line out.

The counting methods named are loaded before it says ready; without any, the usual one. The others, and the
search for a chamber's ruling, are loaded after that while nothing is asked: they need Numba, which is slow.
It runs as a child process, so that a crash in a decoder or a picture library reaches no pump. It answers in
order, survives bad requests, and ends when its input ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.counting.methods import METHODS, USUAL
from vision.request_lines import REQUEST_BYTES_MAX, RequestLines

if TYPE_CHECKING:
    from vision.labels.label_template import LabelTemplate

# Whoever waited for ready asks at once; what is not asked by then may wait for a method to load.
IDLE_S = 0.5
RULING = "ruling"
TIMEOUT_MS_MAX = 600_000.0

Request = Mapping[str, Any]


class Progress:
    """Between a request under way and whoever asked: how far it is, and whether it is called off."""

    def __init__(self, answers: int, requests: RequestLines, number: object) -> None:
        self._answers, self._requests, self._number = answers, requests, number

    def __call__(self, done: float) -> None:
        """Say which share of the work is done."""
        _send(self._answers, {"id": self._number, "progress": round(done, 3)})

    def is_cancelled(self) -> bool:
        """Whether nobody wants the answer any longer."""
        return self._requests.is_cancelled(self._number)


class RequestRefused(Exception):
    """The request cannot be carried out; `reason` is a key, `str(error)` the words."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason = reason
        super().__init__(words)


def main() -> int:
    """Serve requests from standard input until it ends."""
    answers = _private_stdout()
    # Ctrl-C in a terminal reaches the whole process group; the end of the input is what ends this worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    methods = sys.argv[1:] or [USUAL]
    _send(answers, {"ready": True, "versions": _warm_up(methods)})
    requests = RequestLines(sys.stdin.fileno())
    others = [name for name in (*METHODS, RULING) if name not in methods]
    while True:
        while others and not requests.waiting(IDLE_S):
            _load([others.pop(0)])
        line = requests.next()
        if line is None:
            return 0
        if line.strip():
            _serve(line, answers, requests)


def _private_stdout() -> int:
    """Keep the answer channel to ourselves: whatever a native library prints goes to stderr."""
    sys.stdout.flush()
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _send(answers: int, message: Mapping[str, object]) -> None:
    data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
    while data:
        data = data[os.write(answers, data) :]


def _warm_up(methods: list[str]) -> dict[str, str]:
    """Load and compile everything before saying ready, so that no request pays for it."""
    import cv2
    import numpy as np

    from vision.counting import annotate
    from vision.labels.engines import versions
    from vision.labels.symbols import read_symbols

    cv2.setNumThreads(1)
    read_symbols(np.full((64, 64), 255, dtype=np.uint8))
    annotate.legend(annotate.WIDTH_LEAST_PX, (), ("live",))
    _load(methods)
    return versions()


def _load(methods: list[str]) -> None:
    """Load counting methods; of one that cannot be used, labels can be read all the same."""
    from vision.counting import warm_kernels

    for fault in warm_kernels.faults_of(methods):
        # A count by this method is refused with the same words.
        print(f"vision worker: {fault}", file=sys.stderr, flush=True)


def _serve(line: bytes, answers: int, requests: RequestLines) -> None:
    number: object = None
    try:
        request = _parsed(line)
        number = request["id"]
        result = _carry_out(request, Progress(answers, requests, number))
        answer: dict[str, object] = {"id": number, "ok": True, "result": result}
    except RequestRefused as refusal:
        answer = {"id": number, "ok": False, "reason": refusal.reason, "words": str(refusal)}
    except Exception as error:
        # The outermost loop of the process: one picture that breaks a library must not end the service.
        # The engine holds the phase on any answer that is not ok.
        print(f"vision worker: request {number} failed: {error!r}", file=sys.stderr, flush=True)
        words = "The picture service could not do this. Try again; if it stays so, call service."
        answer = {"id": number, "ok": False, "reason": "failed", "words": words}
    _send(answers, answer)


def _parsed(line: bytes) -> Request:
    if len(line) >= REQUEST_BYTES_MAX:
        raise RequestRefused("bad_request", f"A request is one line of at most {REQUEST_BYTES_MAX} bytes.")
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestRefused("bad_request", "A request is one JSON object a line.") from error
    if not isinstance(request, dict) or not isinstance(request.get("id"), int | str):
        raise RequestRefused("bad_request", "A request is a JSON object with an id and an op.")
    return request


def _carry_out(request: Request, progress: Progress) -> object:
    operation = _OPERATIONS.get(str(request.get("op")))
    if operation is None:
        raise RequestRefused(
            "bad_request", f"There is no op {request.get('op')!r}; {', '.join(_OPERATIONS)}."
        )
    return operation(request, progress)


def _ping(request: Request, progress: Progress) -> object:
    return {"pid": os.getpid(), "monotonic_ns": str(time.monotonic_ns())}


def _scan(request: Request, progress: Progress) -> object:
    from vision.labels.scan_result import scan_file

    return scan_file(_text(request, "image"), _formats(request))


def _scan_source(request: Request, progress: Progress) -> object:
    from vision.labels.aiming import AimingPicture
    from vision.labels.frames import SourceGone
    from vision.labels.live_scan import scan_source
    from vision.labels.torch import Torch

    torch = _text(request, "torch", "")
    shown_after = _text(request, "shown_after", "")
    evidence = _text(request, "evidence_dir", "")
    preview = _text(request, "preview", "")
    pixels = request.get("preview_pixels") is not False
    try:
        return scan_source(
            _text(request, "source"),
            _formats(request),
            _number(request, "timeout_ms", TIMEOUT_MS_MAX),
            _seconds(shown_after) if shown_after else None,
            Path(evidence) if evidence else None,
            torch=Torch(Path(torch)) if torch else None,
            focus_baseline=_measure(request, "focus_baseline") or 0.0,
            aiming=AimingPicture(Path(preview), pixels=pixels) if preview else None,
            cancelled=progress.is_cancelled,
        )
    except SourceGone as gone:
        raise RequestRefused("source_gone", str(gone)) from gone


def _count(request: Request, progress: Progress) -> object:
    from vision.counting.chamber_table import UnknownChamber
    from vision.counting.count_images import count_files
    from vision.counting.kernel_cache import KernelCacheUnusable
    from vision.counting.method_error import CardLacksValidation
    from vision.counting.methods import UnknownMethod
    from vision.counting.network import WeightsUnusable
    from vision.counting.output_files import OutputNotWritten

    overlay, tables = _text(request, "overlay_dir", ""), _text(request, "csv_dir", "")
    dilution = _measure(request, "dilution")
    try:
        counted = count_files(
            _fields(request),
            method=_text(request, "method"),
            um_per_px=_measure(request, "um_per_px"),
            field_depth_um=_measure(request, "field_depth_um"),
            chamber=_text(request, "chamber", ""),
            dilution=1.0 if dilution is None else dilution,
            overlay_dir=Path(overlay) if overlay else None,
            cells_csv_dir=Path(tables) if tables else None,
            simulated=request.get("simulated") is True,
            on_progress=progress,
        )
    except (UnknownMethod, UnknownChamber, CardLacksValidation, ValueError) as error:
        raise RequestRefused("bad_request", str(error)) from error
    except OutputNotWritten as error:
        raise RequestRefused("not_written", str(error)) from error
    except KernelCacheUnusable as error:
        raise RequestRefused("no_kernel_cache", str(error)) from error
    except WeightsUnusable as error:
        raise RequestRefused("weights_unusable", str(error)) from error
    return counted.message()


def _fields(request: Request) -> list[Path | list[Path]]:
    """The pictures of each field: a path, or a list of paths, one a channel."""
    images = request.get("images")
    fields: list[Path | list[Path]] = []
    for each in images if isinstance(images, list) else []:
        if isinstance(each, str):
            fields.append(Path(each))
        elif isinstance(each, list) and each and all(isinstance(path, str) for path in each):
            fields.append([Path(path) for path in each])
        else:
            fields.clear()
            break
    if not fields:
        raise RequestRefused(
            "bad_request", "The images are a list of paths, or of lists of paths by channel."
        )
    return fields


def _methods(request: Request, progress: Progress) -> object:
    from vision.counting.methods import UnknownMethod, identity

    names = request.get("methods")
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise RequestRefused("bad_request", "The methods are a list of names.")
    try:
        return {"methods": [identity(name) for name in names]}
    except UnknownMethod as unknown:
        raise RequestRefused("unknown_method", str(unknown)) from unknown


def _qualify(request: Request, progress: Progress) -> object:
    from vision.counting.dilution_series import SeriesUnusable
    from vision.counting.methods import UnknownMethod
    from vision.counting.qualify_method import judge

    limits, about = request.get("limits"), request.get("about")
    if not isinstance(limits, dict) or not isinstance(about, dict):
        raise RequestRefused("bad_request", "Limits and what stands on the page are objects.")
    try:
        return judge(
            Path(_text(request, "design")),
            method=_text(request, "method"),
            series=_text(request, "series", ""),
            limits={str(name): float(limit) for name, limit in limits.items()},
            about={str(name): str(words) for name, words in about.items()},
            report=Path(_text(request, "report")),
            fictitious=request.get("fictitious") is True,
        )
    except (SeriesUnusable, UnknownMethod) as why:
        raise RequestRefused("not_plausible", str(why)) from why
    except (ValueError, TypeError) as error:
        raise RequestRefused("bad_request", str(error)) from error


def _render_label(request: Request, progress: Progress) -> object:
    from vision.labels.label_outputs import as_zpl
    from vision.labels.label_picture import LabelNotDrawn, render_label

    fields = request.get("fields")
    if not isinstance(fields, dict) or not all(isinstance(each, str) for each in fields.values()):
        raise RequestRefused("bad_request", "The fields of a label are an object of strings.")
    out, zpl = Path(_text(request, "out")), _text(request, "zpl_out", "")
    dpi = _measure(request, "dpi")
    printed: dict[str, str] = {}
    try:
        picture = render_label(_template(request), fields, out, dpi=300 if dpi is None else int(dpi))
        if zpl:
            data = as_zpl(picture)
            _put(Path(zpl), data)
            printed = {"zpl": zpl, "zpl_sha256": hashlib.sha256(data).hexdigest()}
    except LabelNotDrawn as refusal:
        raise RequestRefused("label_not_drawn", str(refusal)) from refusal
    except OSError as error:
        raise RequestRefused(
            "not_written", f"The label cannot be written to {out}: {error.strerror}."
        ) from error
    return {
        "image": str(out),
        "sha256": picture.sha256,
        "symbols": list(picture.symbols),
        "template": picture.template,
        "version": str(picture.version),
        "template_sha256": picture.template_sha256,
        "dpi": str(picture.dpi),
    } | printed


def _judge_print_test(request: Request, progress: Progress) -> object:
    from vision.labels.print_test import judge_file
    from vision.labels.symbols import UnreadableImage

    dpi = _measure(request, "dpi")
    plan = _template(request) if "template_text" in request else None
    try:
        judged = judge_file(
            Path(_text(request, "image")),
            _text(request, "payload"),
            dpi=300 if dpi is None else int(dpi),
            template=None if isinstance(plan, str) else plan,
        )
    except UnreadableImage as error:
        raise RequestRefused("unreadable_file", str(error)) from error
    return judged.message()


def _put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def _template(request: Request) -> str | LabelTemplate:
    """The template to draw by: the exact text that was approved where one is given, else a shipped one."""
    from vision.labels.label_template import TemplateRefused, read_template

    name, text = _text(request, "template"), request.get("template_text")
    if text is None:
        return name
    wanted = _text(request, "template_sha256")
    if not isinstance(text, str):
        raise RequestRefused("bad_request", "The text of a template is a string.")
    data = text.encode("utf-8", "surrogatepass")
    if hashlib.sha256(data).hexdigest() != wanted:
        raise RequestRefused(
            "template_altered",
            "The label's template is not the one that was approved. Nothing was printed. Call QA.",
        )
    try:
        plan = read_template(data)
    except TemplateRefused as refused:
        raise RequestRefused(
            "template_refused", f"The label's template cannot be used: {refused}"
        ) from refused
    if plan.id != name:
        raise RequestRefused("template_refused", f"This is the template {plan.id}, not {name}.")
    return plan


def _formats(request: Request) -> tuple[str, ...]:
    from vision.labels.engines import DEFAULT_FORMATS, check_formats

    formats = request.get("formats", list(DEFAULT_FORMATS))
    if not isinstance(formats, list) or not all(isinstance(each, str) for each in formats):
        raise RequestRefused("bad_request", "The formats are a list of names.")
    try:
        return check_formats(formats)
    except ValueError as error:
        raise RequestRefused("bad_request", str(error)) from error


def _text(request: Request, name: str, default: str | None = None) -> str:
    value = request.get(name, default)
    if not isinstance(value, str) or (not value and default is None) or "\x00" in value:
        raise RequestRefused("bad_request", f"The request lacks {name!r}, a string.")
    return value


def _number(request: Request, name: str, most: float) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise RequestRefused("bad_request", f"{name!r} is a number from 0 to {most:.0f}.")
    return float(value)


def _measure(request: Request, name: str) -> float | None:
    """A decimal string or number above zero; None when it is absent, null or empty."""
    value = request.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) else float("nan")
    except ValueError:
        number = float("nan")
    if not 0 < number < 1e9:
        raise RequestRefused("bad_request", f"{name!r} is a number above zero.")
    return number


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1e11:
        raise RequestRefused("bad_request", "'shown_after' is Unix seconds as a string, or empty.")
    return value


_OPERATIONS: Mapping[str, Callable[[Request, Progress], object]] = {
    "ping": _ping,
    "scan": _scan,
    "scan_source": _scan_source,
    "count": _count,
    "methods": _methods,
    "qualify": _qualify,
    "render_label": _render_label,
    "judge_print_test": _judge_print_test,
}


if __name__ == "__main__":
    sys.exit(main())
