"""Which classes are taken for which others, and in which images most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddleseg_ext.runtime import distributed

KEPT = 3  # images of each pair


class ConfusedImages:
    """For each pair of classes the images in which most pixels of the one were taken for the other.

    Args:
        num_classes: K.

    Attributes:
        pixels: (3, K, K) int64, rows are the label, columns the prediction; the most first, 0 where there is none.
        images: (3, K, K) int64, the images' indices.
    """

    def __init__(self, num_classes: int) -> None:
        self.pixels = np.zeros((KEPT, num_classes, num_classes), np.int64)
        self.images = np.zeros_like(self.pixels)

    def update(self, counts: np.ndarray, index: int) -> None:
        """Add the (K, K) counts of one image."""
        rows, columns = np.nonzero(counts > self.pixels[-1])  # few: an image holds few classes
        pixels = np.concatenate([self.pixels[:, rows, columns], counts[rows, columns][None]])
        images = np.concatenate([self.images[:, rows, columns], np.full((1, len(rows)), index)])
        self._keep(pixels, images, rows, columns)

    def merge(self) -> None:
        """Put together what the processes found, so that all have the same."""
        if (world_size := distributed.world_size()) == 1:
            return
        shares = [np.zeros((world_size, *self.pixels.shape), np.int64) for _ in range(2)]
        for share, own in zip(shares, (self.pixels, self.images)):
            share[distributed.rank()] = own
            distributed.all_reduce_sum(share)
        rows, columns = np.indices(self.pixels.shape[1:]).reshape(2, -1)
        pixels, images = (share.reshape(world_size * KEPT, -1) for share in shares)
        self._keep(pixels, images, rows, columns)

    def of(self, label: int, pred: int) -> list[int]:
        """The images of a pair, the worst first."""
        found = self.pixels[:, label, pred] > 0
        return self.images[found, label, pred].tolist()

    def _keep(self, pixels: np.ndarray, images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
        """Keep the largest of several candidates (n, pairs) for some pairs; of equal ones the first image."""
        order = np.lexsort((images, -pixels), axis=0)[:KEPT]
        self.pixels[:, rows, columns] = np.take_along_axis(pixels, order, 0)
        self.images[:, rows, columns] = np.take_along_axis(images, order, 0)


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another.

    Attributes:
        label: Id of the class.
        pred: Id of what it is taken for.
        share: Of the class's pixels.
        of_all: Of all labeled pixels.
    """

    label: int
    pred: int
    share: float
    of_all: float


def strongest(counts: np.ndarray, most: int, at_least: float = 0.005) -> list[Confusion]:
    """The pairs of which the largest share of a class's pixels is lost, largest first.

    Args:
        counts: (K, K), rows are the label, columns the prediction.
        most: How many at most.
        at_least: Share of the class's pixels below which none is told.
    """
    totals, all_ = counts.sum(1, keepdims=True), max(int(counts.sum()), 1)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    np.fill_diagonal(share, 0)
    flat = np.argsort(-share, axis=None, kind="stable")[:most]
    pairs = [divmod(place, len(counts)) for place in flat.tolist()]
    return [
        Confusion(label, pred, float(share[label, pred]), float(counts[label, pred] / all_))
        for label, pred in pairs
        if share[label, pred] >= max(at_least, 1e-12)
    ]
