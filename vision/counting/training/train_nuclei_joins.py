"""Teach the judge of `nuclei_joins` which touching basins are one nucleus.

It learns from out-of-fold maps only: basins as the network parts a picture that it has not seen. The judge
that is scored on a fold learns from the other folds' pictures; the shipped one from all. `score_nuclei` uses
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch  # type: ignore[import-not-found]
from torch import nn

from vision.counting import nuclei_joins as joins

HIDDEN = 16
STEPS = 1500
SEED = 7
STATES = 4


@dataclass(frozen=True)
class Pairs:
    """Described pairs (n, FEATURES), whether each is one nucleus, and how much each matters."""

    features: joins.Table
    one: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]


def objects_of(basins: joins.Labels, count: int, labels: joins.Labels) -> npt.NDArray[np.int64]:
    """Return the labelled object in which each basin mostly lies, 0 where it is none's."""
    most = int(labels.max()) + 1
    both = np.bincount(basins.ravel().astype(np.int64) * most + labels.ravel(), minlength=(count + 1) * most)
    table = both.reshape(count + 1, most)[1:]
    best: npt.NDArray[np.int64] = table.argmax(axis=1)
    return best


def examples(
    given: joins.Touching, objects: npt.NDArray[np.int64], contrast: float, rng: np.random.Generator
) -> Pairs:
    """Describe the pairs of one picture as they are, and after some that belong together were joined."""
    typical = joins.typical_area(given.basins)
    features, one, weight = [], [], []
    now = given
    parent = np.arange(len(given.basins))
    for _ in range(STATES):
        if len(now.pairs) == 0:
            break
        a, b = objects[now.pairs[:, 0]], objects[now.pairs[:, 1]]
        known = (a > 0) | (b > 0)
        same = (a == b) & (a > 0)
        features.append(joins.features_of(now, typical, contrast)[known])
        one.append(same[known].astype(float))
        area = now.basins[:, joins.AREA]
        small = np.minimum(area[now.pairs[:, 0]], area[now.pairs[:, 1]])[known]
        # A sliver given to the wrong side costs no nucleus; two halves do.
        weight.append(np.clip(small / typical, 0.05, 0.6))
        taken: set[int] = set()
        chosen = []
        for k in rng.permutation(np.flatnonzero(same)):
            pair = {int(v) for v in now.pairs[k]}
            if not pair & taken and rng.random() < 0.7:
                taken |= pair
                chosen.append(int(k))
        now = joins.joined(now, chosen, parent)
    if not features:
        return Pairs(np.empty((0, joins.FEATURES)), np.empty(0), np.empty(0))
    return Pairs(np.concatenate(features), np.concatenate(one), np.concatenate(weight))


def teach(parts: Sequence[Pairs]) -> dict[str, list[float]]:
    """Return a judge's numbers, as `Judge.from_card` reads them, learnt from the pairs of many pictures."""
    features = np.concatenate([p.features for p in parts])
    one = np.concatenate([p.one for p in parts])
    weight = np.concatenate([p.weight for p in parts])
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    torch.manual_seed(SEED)
    network = nn.Sequential(nn.Linear(joins.FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))
    given = torch.tensor(np.clip((features - middle) / spread, -6, 6), dtype=torch.float32)
    wanted, matter = torch.tensor(one, dtype=torch.float32), torch.tensor(weight, dtype=torch.float32)
    optimiser = torch.optim.AdamW(network.parameters(), 0.01, weight_decay=0.02)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, total_steps=STEPS)
    draw = np.random.default_rng(SEED)
    for _ in range(STEPS):
        some = torch.from_numpy(draw.integers(0, len(one), 512))
        loss = nn.functional.binary_cross_entropy_with_logits(
            network(given[some])[:, 0], wanted[some], weight=matter[some]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        pace.step()
    first, last = network[0], network[2]
    return {
        "middle": _listed(middle),
        "spread": _listed(spread),
        "hidden": _listed(first.weight.detach().numpy().T.ravel()),
        "hidden_offsets": _listed(first.bias.detach().numpy()),
        "out": _listed(last.weight.detach().numpy()[0]),
        "out_offset": _listed(last.bias.detach().numpy()),
    }


def _listed(values: npt.NDArray[np.floating]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
