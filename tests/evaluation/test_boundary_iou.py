"""Boundary IoU against one mask after the other, eroded as the paper does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from paddleseg_ext.evaluation.boundary_iou import BoundaryIoU


def _outline(mask: np.ndarray, distance: int) -> np.ndarray:
    padded = np.pad(mask.astype(np.uint8), 1)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    return mask & (inner == 0)


@pytest.mark.parametrize("classes", [4, 300])
def test_equals_the_definition_class_by_class(classes: int) -> None:
    rng = np.random.default_rng(0)
    boundary = BoundaryIoU(classes, ignore_index=65535)
    both, either = np.zeros(classes), np.zeros(classes)
    for _ in range(3):
        coarse = rng.integers(0, 3, (2, 6, 9)).astype(np.float32)
        label, pred = (cv2.resize(c, (97, 61), interpolation=cv2.INTER_NEAREST).astype(np.int64) for c in coarse)
        pred[:40, :70] = label[:40, :70]
        label[20:30, 50:60] = 65535
        boundary.update(pred.astype(np.uint16), label)
        for c in range(classes):
            distance = round(0.02 * np.hypot(61, 97))
            truth, guess = (_outline((ids == c) & (label != 65535), distance) for ids in (label, pred))
            both[c] += (truth & guess).sum()
            either[c] += (truth | guess).sum()
    iou = boundary.iou()
    occurs = either > 0
    assert occurs.sum() == 3 and np.isnan(iou[~occurs]).all()
    assert 0.2 < iou[0] < 0.9
    np.testing.assert_allclose(iou[occurs], both[occurs] / either[occurs], rtol=0, atol=1e-12)


def test_a_shifted_square_loses_more_than_its_mask_does() -> None:
    label, pred = np.zeros((2, 200, 200), np.uint8)
    label[50:150, 50:150] = 1
    pred[53:153, 50:150] = 1
    boundary = BoundaryIoU(2)
    boundary.update(pred, label)
    mask_iou = 9700 / 10300
    assert boundary.iou()[1] < mask_iou - 0.2
