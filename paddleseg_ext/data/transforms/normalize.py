"""Normalization of colors, many times as fast as PaddleSeg's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paddleseg_ext.registry import register_transform


@register_transform
class FastNormalize:
    """What PaddleSeg's Normalize computes, (x / 255 - mean) / std, but for float rounding.

    NumPy runs through an array of three channels in inner loops of three. Here each row of the image is one long
    vector, and division and subtraction are one product and one sum.

    Args:
        mean: Of each channel, or one for all, on the scale of 0 to 1.
        std: Likewise.

    Shape:
        - img: (H, W, C) or (H, W) -> the same, float32

    Raises:
        ValueError: a standard deviation is not positive, or mean and std are not of one length.
    """

    def __init__(self, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.5,)):
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f"mean: {list(mean)} and std: {list(std)} are not of one length, or a std is not above 0")
        self.mean, self.std = np.array(mean, np.float64), np.array(std, np.float64)
        self.factor = 1 / (255 * self.std)
        self.offset = -self.mean / self.std

    def __call__(self, data: dict) -> dict:
        image = data["img"]
        height, values = image.shape[0], int(np.prod(image.shape[1:]))
        factor, offset = (np.resize(v, values).astype(np.float32) for v in (self.factor, self.offset))  # repeated
        rows = np.ascontiguousarray(image).reshape(height, values) * factor
        rows += offset
        data["img"] = rows.astype(np.float32, copy=False).reshape(image.shape)
        return data
