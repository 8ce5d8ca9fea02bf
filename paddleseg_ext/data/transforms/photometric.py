"""Random changes of colors, as in mmsegmentation's recipes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from paddleseg_ext.registry import register_transform

HUES = 180  # of OpenCV's 8-bit HSV, two degrees each
LEVELS = np.arange(256, dtype=np.float32)


@register_transform
class PhotoMetricDistortion:
    """Brightness, contrast, saturation and hue, each changed with probability ½.

    Brightness is added, contrast and saturation are factors; contrast comes before or after saturation and hue, either
    with probability ½. Each step ends with whole numbers from 0 to 255, so that all steps are tables of 256 values. For
    the same state of NumPy's generator the result is mmsegmentation's, bit for bit.

    Reference: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, Sec. 2.2 and its code.
    Official code consulted: open-mmlab/mmsegmentation, mmseg/datasets/transforms/transforms.py.

    Args:
        brightness_delta: Largest summand, on the scale of 0 to 255.
        contrast_range: Least and largest factor.
        saturation_range: Likewise.
        hue_delta: Largest turn, in steps of two degrees.

    Shape:
        - img: (H, W, 3) in RGB, or gray (H, W), of which brightness and contrast change -> the same, float32

    Raises:
        ValueError: A range is none, a delta is negative, or the image has another number of channels.
    """

    channels = (1, 3)  # compared with the data set's before a training

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: Sequence[float] = (0.5, 1.5),
        saturation_range: Sequence[float] = (0.5, 1.5),
        hue_delta: int = 18,
    ):
        for name, delta, most in [("brightness_delta", brightness_delta, 255), ("hue_delta", hue_delta, HUES)]:
            if not isinstance(delta, (int, float)) or not 0 <= delta <= most:
                raise ValueError(f"{name}: {delta} is not between 0 and {most}")
        for name, factors in [("contrast_range", contrast_range), ("saturation_range", saturation_range)]:
            if len(factors) != 2 or not 0 <= factors[0] <= factors[1] < np.inf:
                raise ValueError(f"{name}: {factors} is not a least and a largest factor, e.g. [0.5, 1.5]")
        self.brightness_delta, self.hue_delta = brightness_delta, int(hue_delta)
        self.contrast_range, self.saturation_range = tuple(contrast_range), tuple(saturation_range)

    def __call__(self, data: dict) -> dict:
        image = data["img"]
        if image.ndim == 3 and image.shape[2] != 3:
            raise ValueError(f"PhotoMetricDistortion: an image of {image.shape[2]} channels is not in RGB")
        if image.dtype != np.uint8:
            image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        if _heads():
            image = cv2.LUT(image, _table(1, np.random.uniform(-self.brightness_delta, self.brightness_delta)))
        contrast_first = _heads()
        if contrast_first:
            image = self._contrast(image)
        image = self._colors(image)
        if not contrast_first:
            image = self._contrast(image)
        data["img"] = image.astype(np.float32)
        return data

    def _contrast(self, image: np.ndarray) -> np.ndarray:
        return cv2.LUT(image, _table(_factor(self.contrast_range), 0)) if _heads() else image

    def _colors(self, image: np.ndarray) -> np.ndarray:
        """Saturation, then hue."""
        if _heads():
            image = _in_hsv(image, 1, _table(_factor(self.saturation_range), 0))
        if _heads():
            turn = np.random.randint(-self.hue_delta, self.hue_delta) if self.hue_delta else 0
            image = _in_hsv(image, 0, ((LEVELS + turn) % HUES).astype(np.uint8))
        return image


def _heads() -> bool:
    return bool(np.random.randint(2))


def _factor(limits: Sequence[float]) -> float:
    return np.random.uniform(limits[0], limits[1])


def _table(factor: float, summand: float) -> np.ndarray:
    """What becomes of each level: (256,) uint8."""
    return np.clip(LEVELS * np.float32(factor) + np.float32(summand), 0, 255).astype(np.uint8)


def _in_hsv(image: np.ndarray, channel: int, table: np.ndarray) -> np.ndarray:
    """Put one channel of hue, saturation and value through a table."""
    if image.ndim == 2:
        return image
    tables = np.stack([np.arange(256, dtype=np.uint8)] * 3, axis=-1)[None]  # (1, 256, 3)
    tables[0, :, channel] = table
    return cv2.cvtColor(cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), tables), cv2.COLOR_HSV2RGB)
