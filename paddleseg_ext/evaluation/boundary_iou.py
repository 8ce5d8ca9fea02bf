"""Boundary IoU: how well outlines agree, where mask IoU is dominated by the inside of large regions."""

from __future__ import annotations

import math

import cv2
import numpy as np


class BoundaryIoU:
    """Streaming boundary IoU of each class.

    Reference: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, Sec. 4:
    IoU of the label and the prediction, each confined to its pixels within distance d of its own outline; d is 2 % of
    the image's diagonal, distance is the larger of the two coordinates', and the image's border is an outline.
    Differs from the paper: the masks of all classes are handled at once, counts are summed over the data set as for
    mask IoU, and ignored pixels belong to no class in the label or in the prediction.

    Args:
        num_classes: K.
        ignore_index: The label value that is not evaluated.
        ratio: d as a fraction of the diagonal.

    Attributes:
        counts: (3, K) int64: pixels in both bands with the right class, in the label's band, in the prediction's.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255, ratio: float = 0.02) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.ratio = ratio
        self.counts = np.zeros((3, num_classes), np.int64)

    def update(self, pred: np.ndarray, label: np.ndarray) -> None:
        """Add one image; both (H, W) with valid class ids."""
        dtype = np.uint8 if self.num_classes < 255 else np.uint16
        ignored = label == self.ignore_index
        label, pred = (np.where(ignored, self.num_classes, ids).astype(dtype) for ids in (label, pred))
        distance = max(1, round(self.ratio * math.hypot(*label.shape)))
        in_label, in_pred = self._band(label, distance), self._band(pred, distance)
        for row, ids in enumerate((label[in_label & in_pred & (label == pred)], label[in_label], pred[in_pred])):
            self.counts[row] += np.bincount(ids, minlength=self.num_classes + 1)[: self.num_classes]

    def iou(self) -> np.ndarray:
        """(K,) float64, NaN for a class that occurs neither in the label nor in the prediction."""
        both, label, pred = self.counts
        union = label + pred - both
        return np.divide(both, union, out=np.full(self.num_classes, np.nan), where=union > 0)

    def _band(self, ids: np.ndarray, distance: int) -> np.ndarray:
        """Pixels from which another class, or the outside of the image, is at most `distance` away."""
        outside = self.num_classes + 1
        padded = cv2.copyMakeBorder(ids, *(distance,) * 4, cv2.BORDER_CONSTANT, value=outside)
        square = np.ones((2 * distance + 1,) * 2, np.uint8)
        inner = (slice(distance, -distance),) * 2
        return (cv2.dilate(padded, square) != cv2.erode(padded, square))[inner]
