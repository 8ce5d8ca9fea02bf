"""Where a prediction is wrong, as a picture."""

from __future__ import annotations

import cv2
import numpy as np

WRONG, NOT_EVALUATED = (228, 26, 28), (255, 255, 255)


def error_map(image: np.ndarray, label: np.ndarray, pred: np.ndarray, num_classes: int) -> np.ndarray:
    """An image in dark gray with its wrong pixels in red, and in white those whose label is no class.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) class ids, from `num_classes` on not evaluated.
        pred: (H, W) class ids.
        num_classes: K.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    dark = gray // 16 * 8 + 28  # few levels, which a PNG file takes in little room
    picture = np.repeat(dark[..., None], 3, axis=2).astype(np.uint8)
    picture[label != pred] = WRONG
    picture[~evaluated(label, num_classes)] = NOT_EVALUATED
    return picture


def evaluated(label: np.ndarray, num_classes: int) -> np.ndarray:
    """(H, W) bool: where a label is a class."""
    return (label >= 0) & (label < num_classes)
