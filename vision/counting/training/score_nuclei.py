"""Score the nuclei counter on pictures that its network has not seen, and write weights and card.

    python -m vision.counting.training.score_nuclei TRAINED_FOLDER DSB2018_FOLDER BBBC005_FOLDER \
        --models vision/counting/models --folds tests/data/vision/folds

`TRAINED_FOLDER` is what `train_nuclei` wrote. Needs torch and onnx.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx  # type: ignore[import-not-found]
import torch  # type: ignore[import-not-found]

from vision.counting import nuclei
from vision.counting.method import Finding, Scale
from vision.counting.training import train_nuclei
from vision.picture_file import FieldPicture, read_grey

VERSION = "0.2.0"
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Score:
    """One picture's count and matches at an overlap (intersection over union) of one half."""

    image: str
    size_class: str
    true: int
    found: int
    matched: int

    @property
    def f1(self) -> float:
        """F1 of the picture; 1 where there was nothing and nothing was found."""
        return 2 * self.matched / (self.true + self.found) if self.true + self.found else 1.0


def matches(true: Labels, found: Labels, overlap: float = 0.5) -> int:
    """Return how many objects of two label images cover each other by more than `overlap` (at least 0.5)."""
    n, m = int(true.max()) + 1, int(found.max()) + 1
    both = np.bincount(true.ravel().astype(np.int64) * m + found.ravel(), minlength=n * m).reshape(n, m)
    union = both.sum(axis=1)[:, None] + both.sum(axis=0)[None] - both
    share = both[1:, 1:] / np.maximum(union[1:, 1:], 1)
    # Above one half an object has at most one partner, so no assignment is needed.
    return int((share > overlap).sum())


def summary(scores: Sequence[Score]) -> dict[str, float]:
    """Return pooled F1, mean F1, mean absolute count error and bias in percent."""
    true, found = np.array([s.true for s in scores]), np.array([s.found for s in scores])
    error = 100 * (found - true) / np.maximum(true, 1)
    matched = sum(s.matched for s in scores)
    return {
        "images": len(scores),
        "nuclei": int(true.sum()),
        "f1": round(2 * matched / float(true.sum() + found.sum()), 4),
        "f1_mean": round(float(np.mean([s.f1 for s in scores])), 4),
        "count_error_percent": round(float(np.abs(error).mean()), 2),
        "count_bias_percent": round(100 * float(found.sum() / true.sum() - 1), 2),
    }


def score_pictures(
    folder: Path, rows: Sequence[Mapping[str, str]], find: Callable[[FieldPicture], Finding]
) -> list[Score]:
    """Score the pictures of a set's rows."""
    out = []
    for row in rows:
        true = train_nuclei.read_labels(folder / "labels" / row["image"])
        finding = find(read_grey(folder / "images" / row["image"]))
        assert finding.labels is not None, row["image"]
        out.append(
            Score(
                image=row["image"],
                size_class=row["size_class"],
                true=len(np.unique(true)) - 1,
                found=len(finding.cells),
                matched=matches(true, finding.labels),
            )
        )
    return out


def folds_of(rows: Sequence[Mapping[str, str]]) -> list[int]:
    """Return each picture's fold as `train_nuclei` dealt them: in turns within an acquisition class."""
    turn: dict[str, int] = {}
    out = []
    for row in rows:
        out.append(turn.get(row["size_class"], 0) % train_nuclei.FOLDS)
        turn[row["size_class"]] = turn.get(row["size_class"], 0) + 1
    return out


def write_onnx(state: Path, out: Path) -> str:
    """Write a trained network as ONNX with weights of 16 bits; return the file's SHA-256."""
    network = train_nuclei.NucleiNetwork()
    network.load_state_dict(torch.load(state))
    network.eval()
    for module in list(network.modules()):
        # Normalisation is folded into the convolution before it: the same answer in fewer passes.
        if (
            isinstance(module, torch.nn.Sequential)
            and len(module) == 3
            and hasattr(module[1], "running_mean")
        ):
            module[0] = torch.nn.utils.fuse_conv_bn_eval(module[0], module[1])
            module[1] = torch.nn.Identity()
    axes = {"views": {2: "h", 3: "w"}, "maps": {2: "h2", 3: "w2"}}
    torch.onnx.export(
        network,
        (torch.zeros(1, 2, 256, 256),),
        str(out),
        input_names=["views"],
        output_names=["maps"],
        dynamic_axes=axes,
        dynamo=False,
    )
    model = onnx.load(str(out))
    for part in model.graph.initializer:
        values = onnx.numpy_helper.to_array(part)
        if values.dtype == np.float32:
            part.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), part.name))
    onnx.save(model, str(out))
    return hashlib.sha256(out.read_bytes()).hexdigest()


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Read a set's `images.csv`."""
    with (folder / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def finder(path: Path, levels: nuclei.Levels) -> Callable[[FieldPicture], Finding]:
    """Return what finds nuclei with the network of a file."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    model = nuclei.model_of(path, sha256, {"levels": asdict(levels)})
    return lambda picture: nuclei.find_nuclei(picture, Scale(), model)
