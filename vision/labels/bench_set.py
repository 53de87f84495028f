"""A set of photographs with what they say: a folder with `img/` and `manifest.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

# Names of the manifest, and how the reader calls them; every other name is a symbology that is not read.
READ_SYMBOLOGIES = {"code128": "code128", "datamatrix": "datamatrix", "qrcode": "qr", "qr": "qr"}
COLUMNS = ("file", "symbology", "expected_hex")
PHOTOS_MAX = 100_000


class BadManifest(Exception):
    """The set cannot be measured; `str(error)` says which line of it, and what to mend."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One photograph.

    Attributes
    ----------
    symbology : str
        As the manifest spells it.
    reads_as : str
        The reader's name of it; empty where the picture carries nothing that the reader reads.
    payloads : frozenset of bytes
        What may be read from it; nothing else is right.
    """

    path: Path
    symbology: str
    reads_as: str
    payloads: frozenset[bytes]


def photos_of(folder: Path) -> list[Photo]:
    """Read the manifest of a set.

    Raises
    ------
    BadManifest
        No manifest, a column is missing, a payload is no hex, a picture is not there, or nothing is in it.
    """
    manifest = folder / "manifest.csv"
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text)
            missing = [each for each in COLUMNS if each not in (rows.fieldnames or ())]
            if missing:
                raise BadManifest(
                    f"{manifest} has no column {', '.join(missing)}. Put it into the first line."
                )
            photos = [_photo(folder, row, f"{manifest}, line {rows.line_num}") for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadManifest(f"{manifest} cannot be read: {error}. Give a folder that holds it.") from error
    if not 0 < len(photos) <= PHOTOS_MAX:
        raise BadManifest(f"{manifest} names {len(photos)} pictures; 1 to {PHOTOS_MAX} can be measured.")
    return photos


def _photo(folder: Path, row: dict[str, str | None], place: str) -> Photo:
    name, symbology = (row["file"] or "").strip(), (row["symbology"] or "").strip()
    if not name or not symbology:
        raise BadManifest(f"{place}: file or symbology is empty. Fill it in; `none` is for no symbol.")
    path = folder / name
    if not path.is_file():
        raise BadManifest(f"{place}: {path} is not there. Add the picture or take the line out.")
    told = []
    for written in [row["expected_hex"], *(row.get("also_hex") or "").split(";")]:
        try:
            told += [bytes.fromhex(written.strip())] if written and written.strip() else []
        except ValueError as error:
            raise BadManifest(f"{place}: {written!r} is no hex. Write the payload's bytes as hex.") from error
    reads_as = READ_SYMBOLOGIES.get(symbology.lower(), "")
    if reads_as and not told:
        raise BadManifest(f"{place}: expected_hex is empty. Write the payload's bytes as hex.")
    return Photo(path, symbology, reads_as, _payloads(told))


def _payloads(told: list[bytes]) -> frozenset[bytes]:
    """A leading FNC1 marks GS1 and is no data; some publish a separator spelled `<GS>`."""
    spoken = {*told, *(each.replace(b"<GS>", b"\x1d") for each in told)}
    return frozenset(spoken | {each.lstrip(b"\x1d") for each in spoken})
