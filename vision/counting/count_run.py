"""One run of `cellwright count`: field after field, each line and each file as soon as it is known."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from vision.counting import count_images, output_files, specimen
from vision.counting.chamber_table import UnknownChamber, chamber_named
from vision.counting.count_command import EXIT_GOOD, EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_USAGE
from vision.counting.count_images import CountedField, Settings
from vision.counting.kernel_cache import KernelCacheUnusable
from vision.counting.method import Scale
from vision.counting.method_error import CardLacksValidation
from vision.counting.methods import UnknownMethod, identity_of, method_named
from vision.counting.network import WeightsUnusable
from vision.counting.output_files import OutputNotWritten, TooManyObjects
from vision.counting.results import HasNumbers, ImageResult, PooledResult

Field = tuple[Path, ...]
Writer = Callable[[CountedField, int], None]

HEADER = (
    f"{'picture':32} {'verdict':8} {'cells':>6} {'live':>5} {'dead':>5} {'unsure':>6}  "
    "viability, 95 % interval; cells/mL"
)


METHOD_FAULTS = (UnknownMethod, KernelCacheUnusable, WeightsUnusable, CardLacksValidation)


class CannotBegin(Exception):
    """The run as it was asked for cannot be carried out; `str(error)` says what to change."""


class ResultsNotWritten(Exception):
    """Nobody can be told of further counts: what standard output leads to is full or gone."""


def _print(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ResultsNotWritten(f"the results cannot be written: {error.strerror}. Stopped.") from error


class Progress:
    """How far a long run is, on a terminal's last line; silent where nobody looks."""

    def __init__(self, fields: int) -> None:
        self._fields = fields
        self._began = time.monotonic()
        self._shown = fields > 1 and sys.stderr.isatty()

    def tell(self, done: int) -> None:
        """Show how many are done, the rate, and the time that is left."""
        if self._shown:
            rate = done / max(1e-3, time.monotonic() - self._began)
            left = duration((self._fields - done) / rate)
            text = f"{done} of {self._fields} pictures, {rate:.1f} a second, {left} left"
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, so that other words do not run into it."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


class Run:
    """A run that can begin: its settings are sound and its folders can be written."""

    def __init__(
        self,
        options: argparse.Namespace,
        fields: Sequence[Field],
        settings: Settings,
    ) -> None:
        self._options, self._fields, self._settings = options, fields, settings
        self._writers = _writers(options, fields, settings)
        self._results: list[ImageResult] = []
        self._done = 0
        self._stopped = False
        self._exit = EXIT_GOOD
        self._progress = Progress(len(fields))
        self._report = None
        if options.report is not None:
            from vision.counting.report import Report

            self._report = Report(settings, len(fields), pooled=options.pool)

    def carry_out(self, names: Sequence[str]) -> int:
        """Count all fields and return the exit status; `names` are their pictures as given."""
        try:
            if not self._options.json:
                _print(HEADER)
            with self._stopping_at_ctrl_c():
                for number, name in enumerate(names):
                    if self._stopped:
                        break
                    self._count_one(number, name)
            self._progress.clear()
            return self._end()
        except ResultsNotWritten as loss:
            self._fail(str(loss))
            # The interpreter flushes stdout once more at exit; that must not fail aloud.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
            return self._exit

    def _count_one(self, number: int, name: str) -> None:
        counted = count_images.count_field(self._fields[number], self._settings)
        # The path as given, not as Path writes it ("./a" would become "a").
        counted = replace(counted, result=replace(counted.result, image=name))
        result = counted.result
        self._progress.clear()
        if self._options.json:
            _print(json.dumps(result.line(), allow_nan=False))
        else:
            _print(_row(name[-32:], result))
        for kind, write in tuple(self._writers.items()):
            try:
                write(counted, number)
            except TooManyObjects as loss:
                self._fail(f"{name}: {loss}")
            except OutputNotWritten as loss:
                # A disk that is full for one is full for all: said once, counted on.
                del self._writers[kind]
                self._fail(f"{loss} No more {kind} of this run are written.")
        if self._report is not None:
            self._report.add(counted)
        # Of thousands of fields the numbers are kept; their cells and components are not.
        self._results.append(replace(result, cells=(), numbers=replace(result.numbers, uncertainty=None)))
        self._exit = max(self._exit, exit_of(result))
        self._done = number + 1
        self._progress.tell(self._done)

    def _end(self) -> int:
        pooled = None
        if self._options.pool and not self._stopped:
            pooled = self._pooled()
            self._print_pooled(pooled)
        if self._report is not None:
            note = f"Stopped by hand after {self._done} of {len(self._fields)}." if self._stopped else ""
            try:
                output_files.write_whole(
                    self._options.report, self._report.html(pooled or self._pooled(), note)
                )
            except OutputNotWritten as loss:
                self._fail(str(loss))
        if not self._stopped:
            return self._exit
        part = " A part of a specimen is not pooled." if self._options.pool else ""
        self._say(
            f"stopped after {self._done} of {len(self._fields)}; what was counted until then is kept.{part}"
        )
        return EXIT_INTERRUPTED

    def _pooled(self) -> PooledResult:
        settings = self._settings
        return specimen.pool(
            self._results,
            settings.method,
            field_depth_um=settings.depth_um(),
            dilution=settings.dilution,
            chamber=settings.chamber,
        )

    def _print_pooled(self, pooled: PooledResult) -> None:
        if self._options.json:
            line = {**pooled.line(), "method": dict(identity_of(self._settings.method))}
            _print(json.dumps(line, allow_nan=False))
        else:
            _print(_row(f"all {pooled.fields} counted", pooled))
        self._exit = max(self._exit, EXIT_GOOD if pooled.verdict == "counted" else EXIT_REFUSED)

    @contextmanager
    def _stopping_at_ctrl_c(self) -> Iterator[None]:
        """Let the picture at hand come to its end; a second Ctrl-C ends at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            self._stopped = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _fail(self, words: str) -> None:
        self._progress.clear()
        self._say(words)
        self._exit = EXIT_USAGE

    def _say(self, words: str) -> None:
        print(f"cellwright count: {words}", file=sys.stderr)


def prepared(options: argparse.Namespace, fields: Sequence[Field]) -> Run:
    """Check all that can be checked before the first picture is counted.

    Raises
    ------
    CannotBegin
    """
    try:
        chamber = None if options.chamber is None else chamber_named(options.chamber)
        count_images.check_numbers(options.um_per_px, options.object_diameter_px, None, options.dilution)
        method = method_named(options.method)
        _check_targets(options, fields)
        method.warm()
        specimen.method_error(method)
    except (UnknownChamber, *METHOD_FAULTS, OutputNotWritten, ValueError) as reason:
        raise CannotBegin(str(reason)) from reason
    settings = Settings(
        method,
        Scale(options.um_per_px, options.object_diameter_px),
        options.allow_unscaled,
        dilution=options.dilution,
        chamber=chamber,
    )
    return Run(options, fields, settings)


def _check_targets(options: argparse.Namespace, fields: Sequence[Field]) -> None:
    """Check each file to come against the pictures and the others, then make the folders."""
    targets = [] if options.report is None else [(options.report, options.report)]
    for number, field in enumerate(fields):
        if options.labels is not None:
            targets.append((options.labels / f"{field[0].stem}.png", field[0]))
        if options.csv is not None:
            targets.append((options.csv / f"{field[0].stem}.csv", field[0]))
        if options.overlay is not None:
            targets.append((_overlay_path(options.overlay, field, number), Path(f"{number}") / field[0]))
    output_files.check_targets(targets, [path for field in fields for path in field])
    folders = [options.labels, options.csv, options.overlay]
    for folder in folders + ([] if options.report is None else [options.report.parent]):
        if folder is not None:
            output_files.check_folder(folder)


def _writers(options: argparse.Namespace, fields: Sequence[Field], settings: Settings) -> dict[str, Writer]:
    """Return what writes each kind of file that was asked for, by the word for it."""

    def labels(counted: CountedField, number: int) -> None:
        drawn = output_files.labels_of(counted)
        if drawn is not None:
            path = options.labels / f"{fields[number][0].stem}.png"
            output_files.write_whole(path, output_files.label_png(drawn))

    def tables(counted: CountedField, number: int) -> None:
        path = options.csv / f"{fields[number][0].stem}.csv"
        output_files.write_whole(path, output_files.cells_csv(output_files.rows_of(counted)))

    def overlays(counted: CountedField, number: int) -> None:
        from vision.counting.annotate import overlay_png

        data = overlay_png(counted, settings.method.classes)
        if data is not None:
            output_files.write_whole(_overlay_path(options.overlay, fields[number], number), data)

    asked: dict[str, tuple[Path | None, Writer]] = {
        "label pictures": (options.labels, labels),
        "tables": (options.csv, tables),
        "marked pictures": (options.overlay, overlays),
    }
    return {kind: write for kind, (folder, write) in asked.items() if folder is not None}


def _overlay_path(folder: Path, field: Field, number: int) -> Path:
    # The number keeps apart pictures of one name from different folders.
    return folder / f"{number + 1:03d}-{field[0].stem}.png"


def exit_of(result: ImageResult) -> int:
    """Return what a field's verdict makes of the exit status."""
    if "unreadable" in result.reasons:
        return EXIT_USAGE
    return EXIT_GOOD if result.verdict == "counted" else EXIT_REFUSED


def _row(name: str, result: HasNumbers) -> str:
    viability = "-"
    if result.viability_percent is not None and result.viability_interval_percent is not None:
        low, high = result.viability_interval_percent
        viability = f"{result.viability_percent:.1f} %  ({low:.1f} to {high:.1f})"
    if result.concentration_cells_ml is not None and result.concentration_interval_cells_ml is not None:
        low, high = result.concentration_interval_cells_ml
        viability += f"  {result.concentration_cells_ml:.3g} ({low:.3g} to {high:.3g})"
    told_apart = (f"{'-' if n is None else n:>{width}}" for n, width in _kinds(result))
    why = f"  {result.words}" if result.words else ""
    return f"{name:32} {result.verdict:8} {result.total:6d} {' '.join(told_apart)}  {viability}{why}"


def _kinds(result: HasNumbers) -> tuple[tuple[int | None, int], ...]:
    return ((result.live, 5), (result.dead, 5), (result.unclassified, 6))
