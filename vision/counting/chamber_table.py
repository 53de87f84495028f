"""The counting chambers that are known by name: depth, its uncertainty, and how they are ruled."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE_FILE = Path(__file__).with_name("chambers.toml")


class UnknownChamber(Exception):
    """No chamber goes by this name; `str(error)` lists the names that there are."""

    def __init__(self, asked: str, known: tuple[str, ...]) -> None:
        self.asked = asked
        super().__init__(f"There is no chamber called {asked!r}. Known: {', '.join(known)}.")


@dataclass(frozen=True, slots=True)
class Ruling:
    """The lines along one axis of a chamber; both axes are alike.

    Attributes
    ----------
    positions_mm : tuple of float
        Where the lines lie, ascending from 0; of a line ruled two- or threefold the middle.
    multiple : tuple of bool
        Which of them are ruled two- or threefold.
    """

    name: str
    positions_mm: tuple[float, ...]
    multiple: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Chamber:
    """A counting chamber: what turns an area into a volume.

    Attributes
    ----------
    depth_um : float
        Nominal height of the liquid above the ruling, in micrometres.
    depth_relative_u, ruling_relative_u : float
        Relative standard uncertainties of the depth and of a length of the ruling (0 without one).
    source : str
        Where the tolerances are from.
    ruling : Ruling or None
        None where the chamber has no lines that could be found in a picture.
    """

    id: str
    name: str
    depth_um: float
    depth_relative_u: float
    ruling_relative_u: float
    source: str
    ruling: Ruling | None


def chamber_named(name: str) -> Chamber:
    """Return the chamber of this id or name, whatever its capitals, blanks and underscores.

    Raises
    ------
    UnknownChamber
        There is none.
    """
    table = chambers()
    for id_, chamber in table.items():
        if _plain(name) in (_plain(id_), _plain(chamber.name)):
            return chamber
    raise UnknownChamber(name, tuple(table))


def _plain(name: str) -> str:
    return name.casefold().replace("ü", "ue").translate(str.maketrans("", "", " -_"))


def custom_chamber(depth_um: float, depth_relative_u: float, source: str) -> Chamber:
    """Return a chamber that is in no table, from what its maker says of it."""
    assert depth_um > 0, depth_um
    assert depth_relative_u >= 0, depth_relative_u
    return Chamber("custom", "custom", depth_um, depth_relative_u, 0.0, source, None)


@functools.cache
def chambers() -> dict[str, Chamber]:
    """Return all chambers by id."""
    table = tomllib.loads(TABLE_FILE.read_text("utf-8"))
    rulings = {name: _ruling(name, **entry) for name, entry in table["rulings"].items()}
    found = {}
    for id_, entry in table["chambers"].items():
        ruling = rulings.get(entry.pop("ruling"))
        found[id_] = Chamber(id=id_, ruling=ruling, **entry)
    return found


def _ruling(name: str, gaps: list[list[float]], multiple_at: list[float]) -> Ruling:
    positions = [0.0]
    for times, spacing_mm in gaps:
        for _ in range(int(times)):
            positions.append(round(positions[-1] + spacing_mm, 6))
    marked = {round(place, 6) for place in multiple_at}
    assert marked <= set(positions), name
    return Ruling(name, tuple(positions), tuple(place in marked for place in positions))
