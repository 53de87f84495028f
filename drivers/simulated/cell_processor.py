"""A simulated cell processor without a public protocol: it runs, shows its results, writes an exchange file.

There is no line to such a device and so no driver: people start it, read its display, and carry its
file. What may be wrong with that file is put into it by name or by seed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

FORMAT = "cellwright-exchange/1"
SERIAL_NUMBER, OTHER_SERIAL_NUMBER = "SIM-CP-0001", "SIM-CP-0002"
PROGRAMME, OTHER_PROGRAMME = "SELECT-CD34", "RINSE-1"
RUN = timedelta(hours=3)
Notation = Literal["json", "csv"]
Results = Mapping[str, tuple[str, str]]  # name → value, unit

# What may be wrong with a file that comes on a stick.
FAULTS = (
    "wrong_serial",
    "wrong_programme",
    "cut_off",
    "foreign_characters",
    "foreign_digits",
    "out_of_range",
    "other_unit",
    "missing_result",
    "recovery_does_not_fit",
    "local_time",
    "earlier_run",
    "twice_the_same",
)

SELECTION: Results = {
    "cells_in": ("2000", "million cells"),
    "cells_out": ("40", "million cells"),
    "purity_in_percent": ("3.0", "%"),
    "purity_out_percent": ("95.0", "%"),
    "recovery": ("63.3", "%"),
}


@dataclass(slots=True)
class CellProcessor:
    """One device with its programme; `run` gives the bytes of its file, and repeats them when asked.

    Parameters
    ----------
    results
        What its display shows at the end, as (value, unit) by name.
    """

    serial_number: str = SERIAL_NUMBER
    programme: str = PROGRAMME
    results: dict[str, tuple[str, str]] = field(default_factory=lambda: dict(SELECTION))
    _last: bytes = b""

    def run(
        self,
        started: datetime,
        *,
        took: timedelta = RUN,
        fault: str = "",
        seed: int = 0,
        notation: Notation = "json",
    ) -> bytes:
        """One run and its file; `fault` is one of `FAULTS`, and `twice_the_same` is the file of before."""
        assert fault in ("", *FAULTS), fault
        if fault == "twice_the_same" and self._last:
            return self._last
        chance = random.Random(f"{seed}:{fault}")
        said, results = self._said(started, took, fault), self._results(fault, chance)
        data = _as_json(said, results) if notation == "json" else _as_csv(said, results)
        self._last = _damaged(data, fault, chance)
        return self._last

    def _said(self, started: datetime, took: timedelta, fault: str) -> dict[str, str]:
        began = started - timedelta(days=7) if fault == "earlier_run" else started
        times = {"started": _utc(began), "ended": _utc(began + took)}
        if fault == "local_time":
            times = {name: at.removesuffix("Z") for name, at in times.items()}
        return {
            "format": FORMAT,
            "serial_number": OTHER_SERIAL_NUMBER if fault == "wrong_serial" else self.serial_number,
            "programme": OTHER_PROGRAMME if fault == "wrong_programme" else self.programme,
            **times,
        }

    def _results(self, fault: str, chance: random.Random) -> dict[str, tuple[str, str]]:
        results = dict(self.results)
        name = chance.choice(sorted(results))
        value, unit = results[name]
        match fault:
            case "out_of_range":
                results[name] = ("999999999", unit)
            case "other_unit":
                results[name] = (value, "furlong")
            case "missing_result":
                del results[name]
            case "foreign_digits":
                results[name] = (value.translate({48 + digit: 0xFF10 + digit for digit in range(10)}), unit)
            case "recovery_does_not_fit" if "recovery" in results:
                results["recovery"] = ("1", results["recovery"][1])
        return results

    def write(self, path: Path, data: bytes) -> Path:
        """Put the file where a station finds it: whole, under its name at once."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.part")
        unfinished.write_bytes(data)
        unfinished.replace(path)
        return path


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_json(said: Mapping[str, str], results: Results) -> bytes:
    listed = {name: {"value": value, "unit": unit} for name, (value, unit) in results.items()}
    return json.dumps({**said, "results": listed}, indent=1, ensure_ascii=False).encode("utf-8")


def _as_csv(said: Mapping[str, str], results: Results) -> bytes:
    lines = [said["format"], *(f"{name},{value}" for name, value in said.items() if name != "format")]
    lines += [f"result,{name},{value},{unit}" for name, (value, unit) in results.items()]
    return "\r\n".join([*lines, f"end,{len(lines)}", ""]).encode("utf-8")


def _damaged(data: bytes, fault: str, chance: random.Random) -> bytes:
    if fault == "cut_off":
        return data[: chance.randrange(1, len(data) - 3)]
    if fault == "foreign_characters":
        place = chance.randrange(len(data))
        return data[:place] + bytes([chance.choice((0xB5, 0xB0, 0xFF, 0xE4))]) + data[place:]
    return data


def main(arguments: list[str] | None = None) -> int:
    """Write one exchange file: `python -m drivers.simulated.cell_processor --out FILE`."""
    parser = argparse.ArgumentParser(prog="cell_processor", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .json or .csv")
    parser.add_argument("--serial-number", default=SERIAL_NUMBER)
    parser.add_argument("--programme", default=PROGRAMME)
    parser.add_argument("--minutes", type=int, default=180, help="how long the run took, up to now")
    parser.add_argument("--fault", choices=FAULTS, default="")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    device = CellProcessor(serial_number=asked.serial_number, programme=asked.programme)
    took = timedelta(minutes=asked.minutes)
    notation: Notation = "csv" if asked.out.suffix.lower() == ".csv" else "json"
    data = device.run(
        datetime.now(UTC) - took, took=took, fault=asked.fault, seed=asked.seed, notation=notation
    )
    print(device.write(asked.out, data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
