"""The imported network beside the original: the same classes, pixel for pixel, and logits within rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.imports.outputs import load_evaluation, load_output
from paddleseg_ext.evaluation.metrics import ConfusionMatrix
from paddleseg_ext.evaluation.score_maps import argmax
from paddleseg_ext.inference import Segmentor

ROUNDING = 1e-5  # of the largest logit: what separates two classes where rounding may decide between them


@dataclass
class Difference:
    """Over all pixels of all pictures.

    Attributes:
        pixels: Compared.
        differing: Whose classes are not the same.
        largest_logit: Of the original, by its absolute value.
        logits: Largest difference of a logit.
        margin: Largest lead of one of the two classes over the other at a pixel that differs, on either side.
    """

    pixels: int = 0
    differing: int = 0
    largest_logit: float = 0.0
    logits: float = 0.0
    margin: float = 0.0

    def add(self, preds: Sequence[np.ndarray], logits: Sequence[np.ndarray]) -> None:
        """A picture.

        Args:
            preds: Class ids (H, W) of the original and of the imported network.
            logits: Likewise (K, H, W).

        Raises:
            ValueError: a shape differs.
        """
        if preds[0].shape != preds[1].shape or logits[0].shape != logits[1].shape:
            raise ValueError(f"shapes differ: {[array.shape for array in (*preds, *logits)]}")
        self.pixels += preds[0].size
        self.largest_logit = max(self.largest_logit, float(np.abs(logits[0]).max()))
        self.logits = max(self.logits, float(np.abs(logits[0] - logits[1]).max()))
        rows, columns = np.nonzero(preds[0] != preds[1])
        self.differing += len(rows)
        first, second = (pred[rows, columns] for pred in preds)
        for of_both in logits:
            lead = np.abs(of_both[first, rows, columns] - of_both[second, rows, columns])
            self.margin = max(self.margin, float(lead.max(initial=0)))

    @property
    def within_rounding(self) -> bool:
        """Whether pixels that differ, if any, are ties but for rounding."""
        return self.margin <= ROUNDING * self.largest_logit


def compare(folder: Path, dataset: Any, model: Segmentor, scores: dict[str, Any]) -> dict[str, Any]:
    """Both evaluations and everything that differs, for a file.

    Args:
        folder: Of the original's outputs and evaluation (`benchmarks.imports.outputs`).
        dataset: Of the validation.
        model: The imported network.
        scores: What `paddleseg-ext val --json` wrote of it.
    """
    found = Difference()
    matrices = [ConfusionMatrix(dataset.num_classes, dataset.ignore_index) for _ in range(2)]
    for index, (image, _) in enumerate(dataset.file_list):
        pred, logits = load_output(folder, index)
        own_logits = model.logits(image)
        preds = pred, argmax(own_logits)
        found.add(preds, (logits, own_logits))
        label = np.squeeze(dataset[index]["label"])
        for matrix, ids in zip(matrices, preds):
            matrix.update(ids, label)
    theirs = load_evaluation(folder)
    torch = "torch" in theirs["versions"]  # mmsegmentation divides in float32 and leaves out a class that never occurs
    metric, applied = (matrix.metrics().iou for matrix in matrices)
    iou = {"there": np.array(theirs["class_iou"]), "here": _class_iou(scores), "metric": metric, "applied": applied}
    if not torch:  # PaddleSeg counts such a class as 0
        iou = {side: np.nan_to_num(values) for side, values in iou.items()}
    return {
        "miou_there": theirs["miou"],
        "miou_here": float(np.nanmean(iou["here"])),
        "decimals": theirs["decimals"],
        "same_metric": np.array_equal(
            *(iou[side].astype("float32" if torch else "float64") for side in ("there", "metric")), equal_nan=True
        ),
        "same_in_python": np.array_equal(iou["here"], iou["applied"], equal_nan=True),
        "class_iou_there": _plain(iou["there"]),
        "class_iou_here": _plain(iou["here"]),
        **asdict(found),
        "within_rounding": found.within_rounding,
        "versions": theirs["versions"],
    }


def is_proved(record: dict[str, Any]) -> bool:
    """Whether of what `compare` found nothing but rounding differs.

    mIoU is the same to the decimals that the project prints, of its own class ids both metrics are the same to the last
    bit, and so are the scores of `val` and of the network as Python loads it; pixels that differ, if any, are ties.
    """
    there, here = (round(record[side], record["decimals"]) for side in ("miou_there", "miou_here"))
    return there == here and all(record[key] for key in ("same_metric", "same_in_python", "within_rounding"))


def _class_iou(scores: dict[str, Any]) -> np.ndarray:
    return np.array([values["iou"] for values in scores["classes"].values()], np.float64)  # None becomes NaN


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
