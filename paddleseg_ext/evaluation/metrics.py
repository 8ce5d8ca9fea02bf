"""Segmentation metrics from one streaming confusion matrix."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paddleseg_ext.data.label_io import wrong_values
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation import score_maps
from paddleseg_ext.evaluation.score_maps import Map


class ConfusionMatrix:
    """Counts of (true class, predicted class) over the labeled pixels of any number of images.

    Args:
        num_classes: K.
        ignore_index: The label value that is not evaluated; any integer, also one below K.

    Attributes:
        counts: (K, K) int64, rows are the label, columns the prediction.
        ignored: (1,) int64, pixels that were not evaluated.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.counts = np.zeros((num_classes, num_classes), np.int64)
        self.ignored = np.zeros(1, np.int64)

    def update(self, pred: Map, label: Map, name: str | None = None) -> np.ndarray:
        """Count one image or one batch.

        Args:
            pred: Class ids; a tensor is counted on its own device.
            label: The true ids: as many as in `pred`, in the same order.
            name: What an error message calls the label, usually its file.

        Returns:
            (K, K) int64, the counts of this call alone.

        Raises:
            UserError: A label is neither a class id nor `ignore_index`, or a prediction is no class id.
            ValueError: Sizes differ.
        """
        if math.prod(pred.shape) != math.prod(label.shape):
            raise ValueError(f"the prediction has {math.prod(pred.shape)} pixels, the label {math.prod(label.shape)}")
        low, high = score_maps.smallest_and_largest(pred)
        if low < 0 or high >= self.num_classes:
            raise UserError(
                f"the prediction has class id {low if low < 0 else high}, but the data set has the classes "
                f"0…{self.num_classes - 1}; num_classes of the model must be that of the data set"
            )
        rows = score_maps.count_pairs(pred, label, self.num_classes, self.ignore_index)
        if rows[-1].any():
            wrong = wrong_values(np.asarray(label), self.num_classes, self.ignore_index)
            raise UserError(f"{name or 'a label'}: {wrong}")
        counts = rows[:-2]
        self.counts += counts
        self.ignored += rows[-2].sum()
        return counts

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix over the same classes.

        Raises:
            ValueError: It has another number of classes.
        """
        if other.num_classes != self.num_classes:
            raise ValueError(f"cannot merge a matrix of {other.num_classes} classes into one of {self.num_classes}")
        self.counts += other.counts
        self.ignored += other.ignored

    def label_counts(self) -> np.ndarray:
        """(K + 2,) int64 as `data.label_io.count_values` gives it, of all labels so far."""
        return np.array([*self.counts.sum(1), *self.ignored, 0])

    def metrics(self) -> Metrics:
        """The metrics of what has been counted so far."""
        return Metrics(self.counts)


class Metrics:
    """Everything that a confusion matrix says. All are fractions, not percent.

    What is 0/0 is NaN, and means leave it out: IoU, F1 and Dice of a class that occurs neither in the label nor in the
    prediction, recall of one that is not in the label, precision of one that is never predicted.

    Args:
        counts: (K, K) integers, rows are the label, columns the prediction.
    """

    def __init__(self, counts: np.ndarray) -> None:
        self.counts = counts
        hits = np.diag(counts).astype(np.float64)
        label, pred, total = counts.sum(1), counts.sum(0), counts.sum()
        self.iou = _ratio(hits, label + pred - hits)  # (K,) as are the next three
        self.precision = _ratio(hits, pred)
        self.recall = _ratio(hits, label)
        self.f1 = _ratio(2 * hits, label + pred)  # the same as Dice's coefficient of the class
        self.miou = mean(self.iou)
        self.dice = mean(self.f1)
        self.mean_accuracy = mean(self.recall)
        self.accuracy = float(_ratio(hits.sum(), total))
        frequency = _ratio(label, total)
        self.fw_iou = float(np.nansum(frequency * self.iou)) if total else float("nan")
        # Cohen's kappa: agreement beyond that of chance, of what agreement could exceed chance by
        chance = float((frequency * _ratio(pred, total)).sum())
        self.kappa = float(_ratio(self.accuracy - chance, 1 - chance))

    MEANS = {
        "miou": "mIoU",
        "accuracy": "accuracy",
        "mean_accuracy": "mean accuracy",
        "fw_iou": "frequency-weighted IoU",
        "kappa": "kappa",
        "dice": "Dice",
    }
    BY_CLASS = ("iou", "precision", "recall", "f1")

    def means(self) -> dict[str, float]:
        """The numbers over all classes by their printed titles."""
        return {title: getattr(self, key) for key, title in self.MEANS.items()}

    def to_dict(self, names: Sequence[str] | None = None, **columns: np.ndarray) -> dict[str, Any]:
        """Plain numbers for JSON, None where a value is 0/0: the means, and `classes` by name (ids by default).

        Further `columns` (K,) are added to the classes under their names.
        """
        columns = {**{key: getattr(self, key) for key in self.BY_CLASS}, **columns}
        classes = {
            name: {key: plain(values[i]) for key, values in columns.items()}
            for i, name in enumerate(self._names(names))
        }
        return {**{key: plain(getattr(self, key)) for key in self.MEANS}, "classes": classes}

    def table(
        self, names: Sequence[str] | None = None, means: Mapping[str, float] | None = None, **columns: np.ndarray
    ) -> str:
        """A plain-text table in percent: each class, with further `columns` (K,) to the right, then the means."""
        names = self._names(names)
        columns = {"IoU": self.iou, "precision": self.precision, "recall": self.recall, "F1": self.f1, **columns}
        means = self.means() if means is None else means
        width = max(map(len, [*names, *means]))
        lines = [f"{'class':<{width}}" + "".join(f"{title:>11}" for title in columns)]
        lines += [
            f"{name:<{width}}" + "".join(f"{percent(values[i]):>11}" for values in columns.values())
            for i, name in enumerate(names)
        ]
        rule = "-" * len(lines[0])
        totals = [f"{title:<{width}}{percent(value):>11}" for title, value in means.items()]
        return "\n".join([lines[0], rule, *lines[1:], rule, *totals])

    def _names(self, names: Sequence[str] | None) -> list[str]:
        names = [str(i) for i in range(len(self.counts))] if names is None else list(names)
        if len(names) != len(self.counts):
            raise ValueError(f"{len(names)} class names for {len(self.counts)} classes")
        return names


def percent(value: float) -> str:
    """`value` in percent with two digits, or – for NaN."""
    return "–" if np.isnan(value) else f"{100 * value:.2f}"


def _ratio(a: Any, b: Any) -> np.ndarray:
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)


def mean(values: np.ndarray) -> float:
    """The mean of those that exist, NaN without any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: so is the mean
        return float(np.nanmean(values))


def plain(value: float) -> float | None:
    """A number for JSON, None for NaN."""
    return None if np.isnan(value) else float(value)
