"""Make the networks of the trypan-blue counter from the labelled patches of the LDC set.

    python -m vision.counting.training.train_trypan_blue LDC_FOLDER OUT_FOLDER [--only PART …]

Needs torch (2.13 was used) and onnx, which the running software does not. One network is taught without each
held-out part (a part is one acquisition group, or the three small groups together) and one on all patches,
which is shipped: `OUT_FOLDER/PART.onnx`. Some ten minutes of one core a network. Seeds are fixed: the same
torch on the same kind of processor gives the same weights. `score_trypan_blue` then makes the card.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx  # type: ignore[import-not-found]
import torch  # type: ignore[import-not-found]
from onnx import numpy_helper
from torch import nn

from vision.counting.training import scoring
from vision.counting.training.trypan_folds import PARTS
from vision.counting.training.trypan_scenes import Scene, Scenes, read_patch

CHANNELS = (8, 24, 48)
SEED = 0
STEPS, BATCH = 1800, 16
RATE, WARMING_STEPS, DECAY = 4e-3, 100, 1e-3
# The second leg goes on from the first's shipped form, in which every norm is part of its layer.
SECOND_STEPS, SECOND_RATE = 1400, 1.5e-3
# The shipped weights are a running mean over about this many steps.
MEAN_STEPS = 250
# Errors of the centre map weigh by their size to this power: sure background soon stops teaching.
FOCUS = 1.5
DEAD_WEIGHT, CLASS_SHARE, RADIUS_SHARE = 0.5, 0.5, 0.5
SOFTENED = 0.02


def _layer(channels: int, out: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, side, stride, padding=side // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


class Rest(nn.Module):  # type: ignore[misc]
    """Two layers whose answer is added to what they were given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _layer(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the size."""
        return nn.functional.relu(x + self.second(self.first(x)))


class CentreNetwork(nn.Module):  # type: ignore[misc]
    """Relative picture in; log odds of centre and of dead, and log radius, for every fourth pixel out."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = CHANNELS
        self.quarter = nn.Sequential(
            _layer(1, half, 5, 2), _layer(half, quarter, 3, 2), _layer(quarter, quarter)
        )
        self.eighth = nn.Sequential(_layer(quarter, eighth, 3, 2), Rest(eighth), Rest(eighth))
        self.back = nn.Conv2d(eighth, quarter, 1)
        self.answer = nn.Sequential(_layer(quarter, quarter), nn.Conv2d(quarter, 3, 1))
        # Centres are rare: to begin with, nothing is one.
        nn.init.constant_(self.answer[1].bias, -3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take (n, 1, h, w), sides multiples of 8; give (n, 3, h / 4, w / 4)."""
        fine = self.quarter(x)
        coarse = nn.functional.interpolate(self.back(self.eighth(fine)), scale_factor=2.0, mode="nearest")
        return self.answer(nn.functional.relu(fine + coarse))


def loss_of(
    answer: torch.Tensor, targets: torch.Tensor, sure: torch.Tensor, *, dead_centres: float
) -> torch.Tensor:
    """Compare answers with targets (see `trypan_scenes.Scene`); dead centres weigh more by a share.

    References
    ----------
    .. [1] X. Zhou, D. Wang and P. Kraehenbuehl, "Objects as points", arXiv 1904.07850, 2019 (hills).
    .. [2] X. Li et al., "Generalized focal loss", NeurIPS 2020 (cross-entropy weighed by the error's size).
    """
    hill = targets[:, 0]
    error = (torch.sigmoid(answer[:, 0]) - hill).abs().pow(FOCUS)
    odds = nn.functional.binary_cross_entropy_with_logits(answer[:, 0], hill, reduction="none")
    # Dead cells are few and faint: what is said of their places weighs more.
    error = error * (1 + dead_centres * targets[:, 1] * targets[:, 3])
    centres = (odds * error * sure).sum() / (hill > 0.999).sum().clamp(min=1)
    weight = targets[:, 3] * (1 + DEAD_WEIGHT * targets[:, 1])
    dead = targets[:, 1] * (1 - 2 * SOFTENED) + SOFTENED
    classes = nn.functional.binary_cross_entropy_with_logits(answer[:, 1], dead, reduction="none")
    radii = (answer[:, 2] - targets[:, 2]).abs()
    norm = weight.sum().clamp(min=1)
    return (
        centres
        + CLASS_SHARE * (classes * weight).sum() / norm
        + RADIUS_SHARE * (radii * targets[:, 3]).sum() / norm
    )


def _batch(scenes: Sequence[Scene]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    image = torch.from_numpy(np.stack([s.image for s in scenes]))[:, None]
    targets = torch.from_numpy(np.stack([s.targets for s in scenes]))
    sure = torch.from_numpy(np.stack([s.sure for s in scenes]))
    return image.to(memory_format=torch.channels_last), targets, sure


def _gone_on_from(path: Path) -> CentreNetwork:
    """Read an exported network back, its norms fixed to what they add to their layer."""
    network = CentreNetwork()
    graph = onnx.load(str(path)).graph
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    convolutions = [node.input for node in graph.node if node.op_type == "Conv"]
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(convolutions) == len(layers), path
    following = iter(norms)
    with torch.no_grad():
        for layer, (_, weight, bias) in zip(layers, convolutions, strict=True):
            layer.weight.copy_(torch.from_numpy(values[weight].copy()))
            if layer.bias is None:
                norm = next(following)
                norm.bias.copy_(torch.from_numpy(values[bias].copy()))
                norm.running_var.fill_(1 - norm.eps)
            else:
                layer.bias.copy_(torch.from_numpy(values[bias].copy()))
    return network


def train(network: CentreNetwork, scenes: Scenes, *, steps: int, rate: float, fixed: bool, tell: str) -> None:
    """Teach a network and leave it the running mean of its weights; `fixed` norms learn no spread."""
    network.to(memory_format=torch.channels_last)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=DECAY)
    network.train(not fixed)
    began, shown = time.monotonic(), 0.0
    for step in range(steps):
        share = min(1, (step + 1) / WARMING_STEPS) * (0.51 + 0.5 * np.cos(np.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate * share
        image, targets, sure = _batch([scenes.draw() for _ in range(BATCH)])
        with torch.autocast("cpu", torch.bfloat16):
            answer = network(image)
        loss = loss_of(answer.float(), targets, sure, dead_centres=DEAD_WEIGHT if fixed else 0.0)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        kept = min(1 - 1 / MEAN_STEPS, (2 + step) / (11 + step))
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                mean[name].mul_(kept).add_(value, alpha=1 - kept)
        shown += loss.item() / 200
        if step % 200 == 199:
            print(tell, step + 1, f"{shown:.4f}", f"{time.monotonic() - began:.0f} s", flush=True)
            shown = 0.0
    network.load_state_dict(mean)
    network.eval()


def export(network: CentreNetwork, path: Path) -> None:
    """Write a network as ONNX, its weights rounded to 16 bits so that a fold's file can be half as large."""
    torch.onnx.export(
        network.to(memory_format=torch.contiguous_format),
        torch.zeros(1, 1, 256, 256),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["picture"],
        output_names=["answer"],
        dynamic_axes={"picture": {2: "height", 3: "width"}, "answer": {2: "rows", 3: "columns"}},
    )
    model = onnx.load(str(path))
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.size > 2:
            rounded = values.astype(np.float16).astype(np.float32)
            weights.CopyFrom(numpy_helper.from_array(rounded, weights.name))
    onnx.save(model, str(path))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is asked for and write each network as `PART.onnx`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=["all", *PARTS], choices=["all", *PARTS])
    parser.add_argument("--second", action="store_true", help="only the second leg, from OUT's networks")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    images = scoring.read_set(options.folder)
    patches = {image.path: read_patch(image) for image in images}
    for part in options.only:
        learnt = [patches[image.path] for image in images if image.group not in PARTS.get(part, ())]
        path = options.out / f"{part}.onnx"
        if not options.second:
            torch.manual_seed(SEED)
            network = CentreNetwork()
            train(network, Scenes(learnt, SEED), steps=STEPS, rate=RATE, fixed=False, tell=part)
            export(network, path)
        network = _gone_on_from(path)
        train(network, Scenes(learnt, SEED + 1), steps=SECOND_STEPS, rate=SECOND_RATE, fixed=True, tell=part)
        export(network, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
