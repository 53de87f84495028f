"""The counting methods as a bench needs them: by networks that saw nothing of the picture they count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from vision.counting import frame_quality, nuclei, trypan_blue
from vision.counting.method import Finding, Method, Scale
from vision.counting.training import scoring_masks, trypan_folds
from vision.picture_file import FieldPicture

FOLDS = Path(__file__).parents[1] / "data" / "vision" / "folds"
Find = Callable[[FieldPicture, Scale], Finding]


def trypan_finders() -> dict[str, Find]:
    """Return for each acquisition group what counts without having seen it; nothing where no folds lie."""
    if not (FOLDS / trypan_folds.PLACES_FILE).is_file():
        return {}
    models = trypan_folds.read_folds(FOLDS)
    return {group: partial(trypan_blue.find_with, model) for group, model in models.items()}


def nuclei_finders() -> dict[int, Find]:
    """Return for each fold what counts without having seen its pictures; nothing where no folds lie."""
    files = scoring_masks.fold_files(FOLDS)
    if not all(path.is_file() for path in files.values()):
        return {}

    def finder(path: Path) -> Find:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        # The judge of joins has not seen the fold's pictures either.
        judge = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        model = nuclei.model_of(path, digest, {**nuclei.committed_card(), **judge})
        return lambda picture, scale: nuclei.find_nuclei(picture, scale, model)

    return {fold: finder(path) for fold, path in files.items()}


def reasons_of(method: Method, pictures: Sequence[FieldPicture], scale: Scale) -> tuple[Finding, list[str]]:
    """Count a field and judge it: what was found, and the reasons that speak against it."""
    finding = method.find(pictures, scale)
    return finding, list(frame_quality.judge(method.id, pictures, finding, scale).reasons)
