"""PaddleSeg's transform `Normalize` computed many times as fast, its numbers the same but for float rounding.

NumPy runs through an array of three channels in inner loops of three. Here each row of the image is one long vector,
and (x / 255 - mean) / std is one product and one sum.
"""

from __future__ import annotations

import numpy as np
from paddleseg.transforms import Normalize


def affine(transform: Normalize) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset of x · factor + offset, for x in 0 … 255: (C,) or (1,) each, float64."""
    mean, std = (np.asarray(values, np.float64) for values in (transform.mean, transform.std))
    return 1 / (255 * std), -mean / std


def speed_up_normalize() -> None:
    """Replace how `Normalize` computes; a second call changes nothing."""
    original = getattr(Normalize.__call__, "original", Normalize.__call__)

    def call(self: Normalize, data: dict) -> dict:
        image = data["img"]
        channels = image.shape[2] if getattr(image, "ndim", 0) == 3 else 1
        if not _is_plain(image) or {np.size(self.mean), np.size(self.std)} - {1, channels}:
            return original(self, data)
        height, values = image.shape[0], int(np.prod(image.shape[1:]))
        factor, offset = (np.resize(v, values).astype(np.float32) for v in affine(self))  # repeated
        rows = np.ascontiguousarray(image).reshape(height, values) * factor
        rows += offset
        data["img"] = rows.reshape(image.shape)
        return data

    call.original = original  # type: ignore[attr-defined]
    Normalize.__call__ = call


def _is_plain(image: object) -> bool:
    """A picture whose product with float32 is float32; of others PaddleSeg decides what they become."""
    return isinstance(image, np.ndarray) and image.ndim in (2, 3) and image.dtype in (np.float32, np.uint8)
