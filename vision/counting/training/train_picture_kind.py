"""Train the network that tells trypan-blue brightfield, fluorescence and anything else apart.

    python -m vision.counting.training.train_picture_kind LDC DSB BBBC NEUBAUER --others FOLDER…

LDC, DSB, BBBC and NEUBAUER are the public sets of docs/counting.md; each FOLDER holds pictures of other
things (photographs, labels), which serve at several sizes. torch trains, with fixed seeds; what is
written is `vision/counting/models/picture_kind.json` with its own figures: each family of other things
is left out in turn, and so is each acquisition group of the cells.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch  # type: ignore[import-not-found]

from vision.counting import picture_kind
from vision.counting.training import other_pictures
from vision.picture_file import FieldPicture, PictureUnreadable, field_of, read_grey

Array = npt.NDArray[np.float32]
VARIANTS_BRIGHTFIELD, VARIANTS_DSB, VARIANTS_BBBC = 14, 30, 20
VARIANTS_FAMILY = 240
OTHER_SIDES_PX = (200, 300, 450, 700, 1100, 1800)
WINDOWS_OF_ONE = 3
# Windows whose strongest spot is fainter than this teach nothing.
LEARNT_CONTRAST = 0.02
WORKING_DIAMETER_PX = 20.0
SHARP, BLURRED, BETWEEN = 0, 1, -1
VERSION = "1.0.0"
HIDDEN = (32, 16)
MEMBERS = 3
EPOCHS = 25
BATCH = 256
RATE_MOST = 6e-3
WEIGHT_DECAY = 0.03
# Descriptions are shaken by this share of their spread, so that no single number decides.
SHAKEN = 0.1


@dataclass(frozen=True, slots=True)
class Example:
    """One window: its description, what it is, and what it must be left out together with."""

    description: Array
    kind: int
    focus: int
    family: str
    source: str


def disc_of(radius_px: float) -> Array:
    """Return the kernel of a lens out of focus: an even disc of this radius, of sum 1."""
    reach = int(np.ceil(radius_px))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius_px + 0.5 - np.hypot(rows, columns), 0, 1)
    return np.asarray(disc / disc.sum(), np.float32)


def defocused(grey: Array, strength_px: float, as_disc: bool) -> Array:
    """Blur by a disc of this radius, or by a Gaussian of this sigma."""
    if as_disc:
        return np.asarray(cv2.filter2D(grey, cv2.CV_32F, disc_of(strength_px)), np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), strength_px), np.float32)


def _refocused(grey: Array, unit_px: float, rng: np.random.Generator) -> tuple[Array, int]:
    """Leave a window sharp, or blur it strongly or in between; `unit_px` is a twentieth of a cell."""
    turn = rng.random()
    if turn < 0.5:
        if rng.random() < 0.3:
            grey = defocused(grey, float(rng.uniform(0.4, 1.1)) * unit_px, False)
        return grey, SHARP
    as_disc = bool(rng.random() < 0.4)
    low, high = ((5.0, 20.0) if as_disc else (3.0, 12.0)) if turn < 0.85 else (1.3, 2.7)
    strength = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * unit_px
    return defocused(grey, strength, as_disc), BLURRED if turn < 0.85 else BETWEEN


def _resized(grey: Array, factor: float) -> Array:
    if abs(factor - 1) < 0.05:
        return grey
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, None, fx=factor, fy=factor, interpolation=way), np.float32)


def _cropped(grey: Array, rng: np.random.Generator) -> Array:
    side = int(rng.integers(120, picture_kind.WINDOW_PX + 1))
    top = int(rng.integers(0, max(1, grey.shape[0] - side + 1)))
    left = int(rng.integers(0, max(1, grey.shape[1] - side + 1)))
    return np.ascontiguousarray(np.rot90(grey[top : top + side, left : left + side], int(rng.integers(0, 4))))


def _exposed(grey: Array, rng: np.random.Generator) -> Array:
    """Vary light and grain as other cameras would, and round to whole grey levels."""
    if rng.random() < 0.4:
        return np.clip(np.round(grey), 0, 255).astype(np.float32)
    gain = min(float(np.exp(rng.uniform(-0.6, 0.6))), 250 / max(1.0, float(np.median(grey))))
    varied = grey * gain + rng.uniform(0, 3) * rng.standard_normal(grey.shape).astype(np.float32)
    return np.clip(np.round(varied), 0, 255).astype(np.float32)


def _processed(grey: Array, rng: np.random.Generator) -> Array:
    """Vary contrast and gamma, and compress, as a microscope's software would."""
    if rng.random() < 0.4:
        middle = np.float32(np.median(grey))
        gain = np.float32(np.exp(rng.uniform(np.log(0.6), np.log(1.9))))
        grey = np.clip(middle + gain * (grey - middle), 0, 255)
    if rng.random() < 0.2:
        grey = 255 * (np.clip(grey, 0, 255) / np.float32(255)) ** np.float32(rng.uniform(0.6, 1.5))
    if rng.random() < 0.25:
        octets = np.clip(np.round(grey), 0, 255).astype(np.uint8)
        coded = cv2.imencode(".jpg", octets, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))])[1]
        grey = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    return np.asarray(grey, np.float32)


def _tint(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the slight cast that a colour camera gives to a grey field."""
    if rng.random() < 0.6:
        return 0.0, 0.0
    cast_of_ground = float(rng.uniform(0, 0.1))
    return cast_of_ground, cast_of_ground + float(rng.uniform(0, 0.1))


def _example(
    grey: Array, colour: tuple[float, float], kind: int, family: str, source: str, focus: int = BETWEEN
) -> Iterator[Example]:
    description, strength = picture_kind.describe(grey, colour)
    if strength > LEARNT_CONTRAST:
        yield Example(description, kind, focus, family, source)


def _diameter_px(labels: Path) -> float:
    """Return the median diameter of the objects in a label picture."""
    areas = np.bincount(np.asarray(cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)).ravel())[1:]
    return (
        float(np.sqrt(4 / np.pi * np.median(areas[areas > 0]))) if (areas > 0).any() else WORKING_DIAMETER_PX
    )


def _of_field(
    grey: Array, diameter_px: float, kind: int, names: tuple[str, str], rng: np.random.Generator
) -> Iterator[Example]:
    """Yield one window of a labelled field, varied, and now and then its negative."""
    zoom = float(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))
    window = _cropped(_resized(grey, zoom * WORKING_DIAMETER_PX / diameter_px), rng)
    blurred, focus = _refocused(window, zoom, rng)
    shown = _exposed(blurred, rng)
    colour = (0.0, 0.0)
    if kind == 0:
        colour, shown = _tint(rng), _processed(shown, rng)
    yield from _example(shown, colour, kind, *names, focus)
    if rng.random() < 0.15:
        negative = np.ascontiguousarray(255 - _exposed(window, rng))
        yield from _example(negative, (0.0, 0.0), 2, "negative_of_" + picture_kind.KINDS[kind], names[1])


def brightfield(folder: Path) -> Iterator[Example]:
    """Yield windows of the trypan-blue set, whose cells measure about 20 px."""
    for number, row in enumerate(csv.DictReader((folder / "images.csv").open(encoding="utf-8"))):
        grey = read_grey(folder / "images" / row["image"]).grey
        rng = np.random.default_rng([1, number])
        for _ in range(VARIANTS_BRIGHTFIELD):
            yield from _of_field(grey, WORKING_DIAMETER_PX, 0, (row["group"], row["image"]), rng)


def nuclei(folder: Path) -> Iterator[Example]:
    """Yield windows of the labelled fluorescence set."""
    for number, row in enumerate(csv.DictReader((folder / "images.csv").open(encoding="utf-8"))):
        grey = read_grey(folder / "images" / row["image"]).grey
        diameter = _diameter_px(folder / "labels" / row["image"])
        rng = np.random.default_rng([2, number])
        for _ in range(VARIANTS_DSB):
            yield from _of_field(grey, diameter, 1, (row["size_class"], row["image"]), rng)


def simulated(folder: Path) -> Iterator[Example]:
    """Yield windows of the simulated fields, blurred as they come."""
    for number, row in enumerate(csv.DictReader((folder / "images.csv").open(encoding="utf-8"))):
        grey = read_grey(folder / "images" / row["image"]).grey
        rng = np.random.default_rng([3, number])
        diameter = 30.0 if row["looks_like"] == "nucleus" else 65.0
        focus = {"1": SHARP, "23": BETWEEN, "48": BLURRED}[row["blur_level"]]
        names = (row["looks_like"], row["image"])
        for _ in range(VARIANTS_BBBC):
            zoom = float(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))
            window = _cropped(_resized(grey, zoom * WORKING_DIAMETER_PX / diameter), rng)
            yield from _example(_exposed(window, rng), (0.0, 0.0), 1, *names, focus)


def _windows(picture: FieldPicture, names: tuple[str, str], rng: np.random.Generator) -> Iterator[Example]:
    windows = picture_kind.windows_of(picture, 1.0)
    for n in rng.permutation(len(windows.greys))[:WINDOWS_OF_ONE]:
        yield from _example(windows.greys[n], windows.colour, 2, *names)


def grid_photographs(folder: Path) -> Iterator[Example]:
    """Yield windows of microscope photographs of a whole chamber corner, enlarged to the working scale."""
    for number, path in enumerate(sorted(folder.glob("hemocrop*.jpg"))):
        rng = np.random.default_rng([7, number])
        for enlarged in (3.0 / 0.6, 2.5):
            windows = picture_kind.windows_of(read_grey(path), enlarged)
            for grey in windows.greys:
                yield from _example(grey, windows.colour, 0, "neubauer", path.name)
                yield from _example(_exposed(grey, rng), (0.0, 0.0), 0, "neubauer", path.name)


def made(name: str) -> Iterator[Example]:
    """Yield windows of one family of `other_pictures`."""
    for number in range(VARIANTS_FAMILY):
        rng = np.random.default_rng([11, number, *name.encode()])
        height, width = (int(v) for v in rng.integers(200, 400, 2))
        picture = field_of(other_pictures.FAMILIES[name](rng, height, width))
        yield from _windows(picture, (name, f"{name} {number}"), rng)


def found(folder: Path) -> Iterator[Example]:
    """Yield windows of pictures of other things, each at several sizes."""
    for number, path in enumerate(sorted(folder.iterdir())):
        rng = np.random.default_rng([13, number])
        try:
            picture = read_grey(path)
        except PictureUnreadable:
            continue
        colours = picture.colours if picture.colours is not None else picture.grey.astype(np.uint8)
        for side in rng.permutation(OTHER_SIDES_PX)[:3]:
            factor = float(side) / max(colours.shape[:2])
            way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            sized = cast(
                npt.NDArray[np.uint8], cv2.resize(colours, None, fx=factor, fy=factor, interpolation=way)
            )
            if min(sized.shape[:2]) < 64:
                continue
            if sized.ndim == 3 and rng.random() < 0.4:
                sized = cast(npt.NDArray[np.uint8], cv2.cvtColor(sized, cv2.COLOR_RGB2GRAY))
            yield from _windows(field_of(sized), (folder.name, path.stem), rng)


@dataclass(frozen=True, slots=True)
class Table:
    """All examples as arrays, row by row."""

    x: Array
    kind: npt.NDArray[np.int64]
    focus: npt.NDArray[np.int64]
    family: npt.NDArray[np.str_]
    source: npt.NDArray[np.str_]

    def part(self, which: npt.NDArray[np.bool_]) -> Table:
        """Return the rows that are asked for."""
        return Table(
            self.x[which], self.kind[which], self.focus[which], self.family[which], self.source[which]
        )


def table_of(examples: Sequence[Example]) -> Table:
    """Put examples into arrays."""
    return Table(
        np.stack([e.description for e in examples]),
        np.array([e.kind for e in examples]),
        np.array([e.focus for e in examples]),
        np.array([e.family for e in examples]),
        np.array([e.source for e in examples]),
    )


def _weights(classes: npt.NDArray[np.int64], family: npt.NDArray[np.str_]) -> Array:
    """Weigh rows so that each class counts alike, and each family by the root of its rows."""
    weights = np.zeros(len(classes), np.float64)
    for number in np.unique(classes):
        rows = classes == number
        for name in np.unique(family[rows]):
            member = rows & (family == name)
            weights[member] = 1 / np.sqrt(member.sum())
        weights[rows] /= weights[rows].sum()
    return (weights * len(classes) / len(np.unique(classes))).astype(np.float32)


def fit(
    x: Array, classes: npt.NDArray[np.int64], family: npt.NDArray[np.str_], seed: int
) -> torch.nn.Sequential:
    """Train one member on scaled descriptions."""
    torch.manual_seed(seed)
    sizes = (x.shape[1], *HIDDEN, int(classes.max()) + 1)
    net = torch.nn.Sequential(
        torch.nn.Linear(sizes[0], sizes[1]),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(sizes[1], sizes[2]),
        torch.nn.ReLU(),
        torch.nn.Linear(sizes[2], sizes[3]),
    )
    inputs, targets = torch.tensor(x), torch.tensor(classes)
    weights = torch.tensor(_weights(classes, family))
    steps = EPOCHS * -(-len(x) // BATCH)
    descent = torch.optim.AdamW(net.parameters(), RATE_MOST, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(descent, RATE_MOST, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            shaken = inputs[rows] + SHAKEN * torch.randn(len(rows), x.shape[1])
            losses = torch.nn.functional.cross_entropy(
                net(shaken), targets[rows], reduction="none", label_smoothing=0.01
            )
            descent.zero_grad()
            (losses * weights[rows]).mean().backward()
            descent.step()
            schedule.step()
    net.eval()
    return net


def _layers(net: Any) -> list[dict[str, Any]]:
    linear = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    return [
        {
            "w": picture_kind.packed(layer.weight.detach().numpy().T),
            "b": picture_kind.packed(layer.bias.detach().numpy()),
        }
        for layer in linear
    ]


def trained(table: Table, members: int = MEMBERS, only: str | None = None) -> dict[str, Any]:
    """Train the networks on a table and return the weights document, without validation."""
    centre = table.x.mean(axis=0)
    spread = table.x.std(axis=0) + np.float32(1e-3)
    x = np.clip((table.x - centre) / spread, -5, 5)
    tasks = {"kind": (np.ones(len(x), bool), table.kind)}
    for number, name in enumerate(picture_kind.KINDS[:2]):
        tasks["focus_" + name] = ((table.kind == number) & (table.focus != BETWEEN), table.focus)
    return {
        "version": VERSION,
        "kinds": list(picture_kind.KINDS),
        "centre": picture_kind.packed(centre, "<f4"),
        "spread": picture_kind.packed(spread, "<f4"),
        "networks": {
            name: [_layers(fit(x[rows], classes[rows], table.family[rows], seed)) for seed in range(members)]
            for name, (rows, classes) in tasks.items()
            if only is None or name.startswith(only)
        },
        "validation": {},
    }


def model_of(document: dict[str, Any]) -> picture_kind.Model:
    """Seal a weights document and read it as the gate will."""
    document["sha256"] = picture_kind.content_hash(document)
    return picture_kind.model_from(document)


def odds(model: picture_kind.Model, x: Array) -> Array:
    """Return the odds of each kind, (n, 3), summing to 1."""
    raw = picture_kind.outputs(model, "kind", x)
    grown = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True), np.float32)


def left_out(table: Table) -> dict[str, dict[str, float]]:
    """Leave each family out in turn and say how it is then judged, window by window."""
    figures: dict[str, dict[str, float]] = {}
    for name in np.unique(table.family):
        rows = table.family == name
        kind = int(np.bincount(table.kind[rows]).argmax())
        model = model_of(trained(table.part(~rows), 1, None if kind < 2 else "kind"))
        chances = odds(model, table.x[rows])
        row = {"windows": float(rows.sum())}
        if kind == 2:
            row |= {
                f"called_{k}": round(float((chances[:, n] > 0.5).mean()), 4)
                for n, k in enumerate(picture_kind.KINDS[:2])
            }
        else:
            row["not_known"] = round(float((chances[:, kind] < 0.5).mean()), 4)
            raw = picture_kind.outputs(model, "focus_" + picture_kind.KINDS[kind], table.x[rows])
            blurred, focus = raw[:, 1] > raw[:, 0], table.focus[rows]
            row["sharp_called_blurred"] = round(float(blurred[focus == SHARP].mean()), 4)
            if (focus == BLURRED).any():
                row["blurred_called_sharp"] = round(float((~blurred[focus == BLURRED]).mean()), 4)
        figures[str(name)] = row
        print(name, row, flush=True)
    return figures


def all_examples(arguments: argparse.Namespace) -> Iterator[Example]:
    """Yield every example there is to learn from."""
    yield from brightfield(arguments.ldc)
    yield from nuclei(arguments.dsb)
    yield from simulated(arguments.bbbc)
    yield from grid_photographs(arguments.neubauer)
    for name in other_pictures.FAMILIES:
        yield from made(name)
    for folder in arguments.others:
        yield from found(folder)


def main() -> int:
    """Train, validate, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ldc", "dsb", "bbbc", "neubauer"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--others", type=Path, nargs="+", default=[])
    parser.add_argument("--examples", type=Path, help="keep the examples here, or take them from here")
    parser.add_argument("--no-validation", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if arguments.examples is not None and arguments.examples.is_file():
        stored = np.load(arguments.examples)
        table = Table(*(stored[name] for name in ("x", "kind", "focus", "family", "source")))
    else:
        table = table_of(list(all_examples(arguments)))
        if arguments.examples is not None:
            np.savez(
                arguments.examples,
                x=table.x,
                kind=table.kind,
                focus=table.focus,
                family=table.family,
                source=table.source,
            )
    document = trained(table)
    if not arguments.no_validation:
        document["validation"] = {"windows_of_a_family_left_out": left_out(table)}
    document["sha256"] = picture_kind.content_hash(document)
    picture_kind.MODEL_FILE.write_text(
        json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
