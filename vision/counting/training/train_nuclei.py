"""Make the weights of the nuclei counter.

    python -m vision.counting.training.train_nuclei DSB2018_FOLDER OUT_FOLDER [--only NAME …]

Needs torch (2.13 was used), which the running software does not. First a network learns from simulated
fields alone; from it one network is taught for each held-out part of the labelled pictures (three folds by
image, stratified by acquisition class; and each acquisition class as a whole) and one from all pictures,
which is shipped. Nothing that a held-out picture shows reaches the network that is scored on it. Some seven
minutes of one core a network; seeds are fixed, so that the same torch on the same processor gives the same
weights. One thing differed when the shipped weights were made: in `FIRST`, 10 instead of 15 in a hundred
pieces had hot pixels. `score_nuclei` then makes the card.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch  # type: ignore[import-not-found]
from PIL import Image
from torch import nn

from vision.counting import nuclei_light
from vision.counting.training import simulate_nuclei
from vision.picture_file import read_grey

Plane = npt.NDArray[np.float32]
# What the network is given and what it is to say of it: views, foreground, depth, weight.
Sample = tuple[Plane, Plane, Plane, Plane]

FOLDS = 3
# Classes held out whole; the two small ones together.
CLASSES = {
    "256x256": ("256x256",),
    "360x360": ("360x360",),
    "696x520": ("696x520",),
    "347x260+640x512": ("347x260", "640x512"),
}
SEED = 20


@dataclass(frozen=True)
class Round:
    """One round of teaching: `batch` pieces of `side_px` a step, `fresh` of them new.

    The others are earlier ones, turned, since drawing a piece costs as much as learning from it.
    `simulated` is the share of simulated pieces.
    """

    steps: int
    side_px: int
    batch: int
    fresh: int
    rate: float
    simulated: float


KEPT = 400
ALONE = Round(steps=1200, side_px=192, batch=12, fresh=12, rate=4e-3, simulated=1.0)
FIRST = Round(steps=1200, side_px=192, batch=12, fresh=5, rate=3e-3, simulated=0.2)
SECOND = Round(steps=2600, side_px=160, batch=8, fresh=3, rate=3e-3, simulated=0.15)
# Held-out networks after the first are taught in one round: what they score is rather too low than too high.
ROUNDS = {"all": (FIRST, SECOND), "fold-0": (FIRST, SECOND)}
CHANNELS = (16, 24, 48, 64)


class NucleiNetwork(nn.Module):  # type: ignore[misc]
    """A small U-net: two views in, eight half-size maps out (2 maps, each at 2 x 2 pixels)."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = CHANNELS

        def step(inputs: int, outputs: int, side: int = 3, stride: int = 1) -> nn.Sequential:
            pad = side // 2 if side % 2 else (side - stride) // 2
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, side, stride, pad, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            )

        self.in1 = step(2, a, 4, 2)
        self.in2 = nn.Sequential(step(a, b, 3, 2), step(b, b))
        self.in3 = nn.Sequential(step(b, c, 3, 2), step(c, c))
        self.in4 = nn.Sequential(step(c, d, 3, 2), step(d, d), step(d, d))
        self.up3, self.up2, self.up1 = nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)
        self.out3, self.out2 = step(c, c), step(b, b)
        self.out1 = nn.Sequential(nn.ReLU(), nn.Conv2d(a, 8, 3, 1, 1))

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Return logits: channels 0-3 foreground, 4-7 normalised inner distance."""
        x1 = self.in1(views)
        x2 = self.in2(x1)
        x3 = self.in3(x2)
        x4 = self.in4(x3)

        def wide(t: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(t, scale_factor=2, mode="nearest")

        x3 = self.out3(torch.relu(wide(self.up3(x4)) + x3))
        x2 = self.out2(torch.relu(wide(self.up2(x3)) + x2))
        out: torch.Tensor = self.out1(wide(self.up1(x2)) + x1)
        return out


@dataclass(frozen=True)
class Example:
    """A labelled picture with what the network is to say of it, all (h, w)."""

    name: str
    size_class: str
    fold: int
    grey: Plane
    labels: npt.NDArray[np.int32]
    depth: Plane
    weight: Plane
    diameter_px: float


def depth_of(labels: npt.NDArray[np.int32]) -> tuple[Plane, Plane, float]:
    """Return each object's inner distance over its greatest, the teaching weight, the median diameter."""
    height, width = labels.shape
    depth, weight = np.zeros((height, width), np.float32), np.ones((height, width), np.float32)
    diameters = []
    # One sort finds the pixels of every label at once.
    order = np.argsort(labels, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(labels.ravel(), minlength=1))
    for start, end in itertools.pairwise(ends):
        ys, xs = np.unravel_index(order[start:end], labels.shape)
        if len(ys) == 0:
            continue
        top, left = ys.min(), xs.min()
        mask = np.zeros((ys.max() - top + 3, xs.max() - left + 3), np.uint8)
        mask[ys - top + 1, xs - left + 1] = 1
        inner = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), np.float32)
        inner = np.maximum(inner - np.float32(0.5), 0) / max(0.5, float(inner.max()) - 0.5)
        depth[ys, xs] = inner[ys - top + 1, xs - left + 1]
        weight[ys, xs] += np.float32(min(3.0, 150.0 / len(ys)))
        diameters.append(2 * np.sqrt(len(ys) / np.pi))
    # Where two nuclei nearly touch, the thin line between them decides the count.
    kernel = np.ones((5, 5), np.uint8)
    some = labels.astype(np.float32)
    least = cv2.erode(np.where(some > 0, some, np.float32(1e6)), kernel)
    contact = (cv2.dilate(some, kernel) > least) & (least < 1e6)
    weight[contact] += 4
    return depth, weight, float(np.median(diameters)) if diameters else 20.0


def read_labels(path: Path) -> npt.NDArray[np.int32]:
    """Read a label image: 0 background, 1..n objects."""
    with Image.open(path) as picture:
        return np.asarray(picture).astype(np.int32)


def read_examples(folder: Path) -> list[Example]:
    """Read a set laid out as `images.csv`, `images/`, `labels/`; folds take turns within a class."""
    turn: dict[str, int] = {}
    out = []
    with (folder / "images.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            kind = row["size_class"]
            fold = turn.get(kind, 0) % FOLDS
            turn[kind] = turn.get(kind, 0) + 1
            grey = read_grey(folder / "images" / row["image"]).grey
            labels = read_labels(folder / "labels" / row["image"])
            depth, weight, diameter = depth_of(labels)
            out.append(Example(row["image"], kind, fold, grey, labels, depth, weight, diameter))
    return out


def _bent(example: Example, side: int, rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Cut a piece at a random place, turn and size: (grey, labels, depth, weight)."""
    d = example.diameter_px
    low, high = max(0.5, 7.5 / d), min(2.0, 56 / d)
    s = float(np.exp(rng.uniform(np.log(min(low, 1.0)), np.log(max(high, 1.0)))))
    if rng.random() < 0.35:
        s = float(np.exp(rng.normal(0, 0.06)))
    turn = rng.uniform(0, 2 * np.pi)
    flip = 1 if rng.random() < 0.5 else -1
    height, width = example.grey.shape
    reach = 0.25 * side / s
    cx = rng.uniform(min(reach, width / 2), max(width - reach, width / 2))
    cy = rng.uniform(min(reach, height / 2), max(height - reach, height / 2))
    c, n = np.cos(turn) / s, np.sin(turn) / s
    back = np.array([[c * flip, -n], [n * flip, c]])
    middle = np.array([side / 2, side / 2])
    matrix = np.hstack([back, (np.array([cx, cy]) - back @ middle)[:, None]])

    def warp(plane: Plane, how: int) -> Plane:
        return np.asarray(
            cv2.warpAffine(
                plane,
                matrix,
                (side, side),
                flags=how | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            ),
            np.float32,
        )

    grey = example.grey
    if s < 0.8:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.4 / s), np.float32)
    how = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    return (
        warp(grey, how),
        warp(example.labels.astype(np.float32), cv2.INTER_NEAREST),
        warp(example.depth, cv2.INTER_LINEAR),
        warp(example.weight, cv2.INTER_LINEAR),
    )


def _other_light(grey: Plane, labels: Plane, rng: np.random.Generator) -> Plane:
    """Change brightness nucleus by nucleus, gamma, haze, gradient, sharpness, grain and depth of a piece."""
    base, top = float(np.percentile(grey, 5)), float(np.percentile(grey, 99.7))
    g = np.clip((grey - np.float32(base)) / np.float32(max(top - base, 4.0)), -0.3, 3)
    if rng.random() < 0.35:
        numbers = labels.astype(np.int32)
        factor = np.exp(rng.uniform(np.log(0.2), np.log(1.6), int(numbers.max()) + 1)).astype(np.float32)
        factor[0] = 1
        g = g * cv2.GaussianBlur(factor[numbers], (0, 0), 1.2)
    if rng.random() < 0.5:
        g = np.sign(g) * np.abs(g) ** np.float32(rng.uniform(0.6, 1.7))
    if rng.random() < 0.4:
        wide = cv2.GaussianBlur(g, (0, 0), float(rng.uniform(4, 20)))
        g = g + np.float32(rng.uniform(0.05, 0.6)) * wide
    if rng.random() < 0.3:
        simulate_nuclei.add_fibres(g, float(rng.uniform(0.2, 0.8)), rng)
    if rng.random() < 0.4:
        g = np.asarray(cv2.GaussianBlur(g, (0, 0), float(rng.uniform(0.4, 1.8))), np.float32)
    if rng.random() < 0.4:
        g = g + np.float32(rng.uniform(0.02, 0.12)) * simulate_nuclei.mottle(
            g.shape[0], g.shape[1], float(rng.uniform(100, 300)), rng
        )
    peak = float(np.exp(rng.uniform(np.log(20), np.log(230))))
    g = g * np.float32(peak) + np.float32(rng.uniform(0, 30))
    draw = rng.random()
    if draw < 0.45:
        g = g + np.float32(peak * rng.uniform(0.002, 0.06)) * rng.standard_normal(g.shape, np.float32)
    elif draw < 0.6:
        light = np.float32(rng.uniform(0.3, 4))
        g = g + np.sqrt(np.maximum(g, 0) * light) * rng.standard_normal(g.shape, np.float32)
    elif draw < 0.75:
        hot = rng.random(g.shape, np.float32) < rng.uniform(0.01, 0.25)
        g = g + hot * np.float32(peak * rng.uniform(0.03, 0.12))
    out: Plane = np.round(np.clip(g, 0, 255)).astype(np.float32)
    return out


def _empty(side: int, rng: np.random.Generator) -> Plane:
    """Draw a field without nuclei: grain, a soft background, fibres."""
    g = rng.uniform(0, 40) + rng.uniform(0, 6) * simulate_nuclei.mottle(
        side, side, float(rng.uniform(40, 200)), rng
    )
    g = g.astype(np.float32)
    if rng.random() < 0.6:
        simulate_nuclei.add_fibres(g, float(rng.uniform(5, 80)), rng)
    g = g + np.float32(rng.uniform(0.2, 8)) * rng.standard_normal(g.shape, np.float32)
    if rng.random() < 0.4:
        g = np.asarray(cv2.GaussianBlur(g, (0, 0), float(rng.uniform(0.5, 1.5))), np.float32)
    out: Plane = np.round(np.clip(g, 0, 255)).astype(np.float32)
    return out


def draw_sample(
    examples: Sequence[Example], weights: npt.NDArray[np.float64], plan: Round, rng: np.random.Generator
) -> Sample:
    """Return (views, foreground, depth, weight) of one changed piece."""
    side = plan.side_px
    draw = rng.random()
    if draw < 0.03:
        grey, zero = _empty(side, rng), np.zeros((side, side), np.float32)
        return nuclei_light.views(grey, nuclei_light.light_of(grey)), zero, zero, zero + 1
    if draw < 0.03 + plan.simulated or not examples:
        grey, numbers = simulate_nuclei.field(side, rng)
        labels = numbers.astype(np.float32)
        depth, weight, _ = depth_of(numbers)
        if rng.random() < 0.75:
            grey = _other_light(grey, labels, rng)
    else:
        grey, labels, depth, weight = _bent(examples[rng.choice(len(examples), p=weights)], side, rng)
        if rng.random() < 0.8:
            grey = _other_light(grey, labels, rng)
    views = nuclei_light.views(grey, nuclei_light.light_of(grey))
    return views, (labels > 0).astype(np.float32), depth, weight


def _turned(sample: Sample, rng: np.random.Generator) -> Sample:
    """Return a sample mirrored and turned by a multiple of 90 degrees."""
    turns, mirror = int(rng.integers(4)), rng.random() < 0.5
    views, *planes = sample

    def turn(plane: Plane) -> Plane:
        out = np.rot90(plane, turns, axes=(-2, -1))
        return out[..., ::-1] if mirror else out

    return turn(views), turn(planes[0]), turn(planes[1]), turn(planes[2])


def _blocks(plane: npt.NDArray[np.float32]) -> torch.Tensor:
    """Return (n, h, w) as (n, 4, h / 2, w / 2): the four pixels of each block in reading order."""
    return nn.functional.pixel_unshuffle(torch.from_numpy(plane)[:, None], 2)


def train(network: NucleiNetwork, examples: Sequence[Example], plan: Round, *, seed: int, tell: str) -> None:
    """Teach a network in place."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.size_class] = counts.get(example.size_class, 0) + 1
    # Rare acquisitions are shown more often than their share, larger pictures have more to show.
    chance = np.array([counts[e.size_class] ** -0.5 * e.grey.size**0.25 for e in examples])
    chance = chance / chance.sum() if len(chance) else chance
    network.train()
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=1e-3)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps, pct_start=0.1)
    began, mean = time.monotonic(), 0.0
    kept: list[Sample] = []
    for step in range(plan.steps):
        fresh = [draw_sample(examples, chance, plan, rng) for _ in range(plan.fresh)]
        again = range(plan.batch - plan.fresh) if kept else range(0)
        batch = fresh + [_turned(kept[rng.integers(len(kept))], rng) for _ in again]
        kept = (kept + fresh)[-KEPT:]
        views, foreground, depth, weight = (np.stack(part) for part in zip(*batch, strict=True))
        given = torch.from_numpy(views).contiguous(memory_format=torch.channels_last)
        wanted = torch.cat([_blocks(foreground), _blocks(depth)], dim=1)
        matter = _blocks(weight)
        with torch.autocast("cpu", torch.bfloat16):
            said = network(given)
        loss = nn.functional.binary_cross_entropy_with_logits(said.float(), wanted, reduction="none")
        value = ((loss[:, :4] + loss[:, 4:]) * matter).mean()
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        pace.step()
        mean = 0.98 * mean + 0.02 * value.item() if step else value.item()
        if step % 200 == 199:
            print(tell, step + 1, f"{mean:.4f}", f"{time.monotonic() - began:.0f} s", flush=True)
    network.eval()


def parts_of(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Return by name what a network learns from: `all`, `fold-k` without fold k, `not-CLASS` without it."""
    out = {"all": list(examples)}
    for fold in range(FOLDS):
        out[f"fold-{fold}"] = [e for e in examples if e.fold != fold]
    for name, kinds in CLASSES.items():
        out[f"not-{name}"] = [e for e in examples if e.size_class not in kinds]
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is asked for and save each network's state as `NAME.pt`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=None)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    start = options.out / "simulated.pt"
    if not start.exists():
        torch.manual_seed(SEED)
        network = NucleiNetwork()
        train(network, [], ALONE, seed=SEED, tell="simulated")
        torch.save(network.state_dict(), start)
    parts = parts_of(read_examples(options.folder))
    for name in options.only if options.only is not None else parts:
        network = NucleiNetwork()
        network.load_state_dict(torch.load(start))
        for number, plan in enumerate(ROUNDS.get(name, (SECOND,))):
            state = options.out / f"{name}.round-{number}.pt"
            if state.exists():
                network.load_state_dict(torch.load(state))
                continue
            seed = SEED + 1 + 10 * number + list(parts).index(name)
            train(network, parts[name], plan, seed=seed, tell=name)
            torch.save(network.state_dict(), state)
        torch.save(network.state_dict(), options.out / f"{name}.pt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
