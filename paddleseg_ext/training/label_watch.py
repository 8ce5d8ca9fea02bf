"""Watching the labels that flow into the loss: classes that never occur, and pixels that count for nothing."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import paddle

from paddleseg_ext.data.classes import class_names
from paddleseg_ext.data.label_io import odd_counts
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime import distributed

ENOUGH = 100  # samples after which something must have been labeled
logger = logging.getLogger(__name__)


class LabelWatch:
    """Sums up how often each class occurred.

    Args:
        dataset: Of training.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.total: np.ndarray | None = None
        self._new: list[paddle.Tensor] = []  # summed only when asked for: a GPU is not waited for
        self._told: str | None = None
        self._found = False  # a labeled pixel, in any process

    def add(self, counts: paddle.Tensor) -> None:
        """Take in the counts of a batch, (N, K + 2) as `data.label_io.count_values` gives them."""
        self._new.append(counts)

    def check(self, position: int) -> None:
        """Stop where nothing at all has been labeled in an epoch or `ENOUGH` samples; all processes call it alike.

        Args:
            position: Samples so far, of all processes.

        Raises:
            UserError: Every pixel was ignored.
        """
        total = self._sum()
        if self._found or total is None or position < min(len(self.dataset), ENOUGH):
            return
        self._found = bool(distributed.all_reduce_max(int(total[:-2].any())))
        if not self._found:
            raise UserError(
                f"train_dataset: in the first {position} samples no pixel is labeled, all are "
                f"{getattr(self.dataset, 'ignore_index', 255)} (ignored), so there is nothing to learn from"
            )

    def warn(self, again: bool = False) -> None:
        """Tell what looks wrong, once, or whenever it has changed with `again`."""
        total = self._sum()
        doubts = None if total is None else odd_counts(total, class_names(self.dataset))
        if doubts and (self._told is None or (again and doubts != self._told)):
            logger.warning(f"warning: training labels so far: {doubts}")
        self._told = doubts or self._told

    def _sum(self) -> np.ndarray | None:
        if self._new:
            new = paddle.concat(self._new).sum(axis=0).numpy()
            self.total = new if self.total is None else self.total + new
            self._new.clear()
        return self.total
