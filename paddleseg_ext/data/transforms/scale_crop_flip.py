"""Random scale, crop, padding and flip in one, computing only the pixels that the crop keeps."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import cv2
import numpy as np

from paddleseg_ext.registry import register_transform


@register_transform
class ScaleCropFlip:
    """What PaddleSeg's ResizeStepScaling, RandomPaddingCrop and RandomHorizontalFlip do one after the other.

    Those resize the whole picture, by up to 2, and then keep a crop of it. Here the crop is taken from the source and
    resized alone. Scales of a few steps are ratios of small numbers, p source pixels to q of the result, so source and
    result can be cut at multiples of p and q and every pixel is interpolated from the same neighbors by the same
    weights: for the same random draws the result is that of the three, but for float rounding in the image. Where the
    ratio has no small terms (continuous scales, sides without common factors), more of the picture is resized, at worst
    all of it.

    Differs from the three: with ``category_max_ratio``, RandomPaddingCrop of PaddleSeg 2.8.0 puts the label in the
    image's place.

    Args:
        crop_size: Width and height of the result.
        min_scale_factor: Least scale.
        max_scale_factor: Largest scale.
        scale_step_size: Distance of the scales between them; 0 draws from all.
        flip_prob: Probability of mirroring.
        im_padding_value: Fills the image, right and below, where it is smaller than the crop.
        label_padding_value: Fills the labels there.
        category_max_ratio: A crop with a larger share of one class is drawn again.
        ignore_index: Label that counts as no class in that share.
        loop_times: How often a crop is drawn at most.

    Shape:
        - img: (H, W, C) or (H, W) -> (crop height, crop width, C) or without C; labels likewise

    Raises:
        ValueError: crop_size is not two positive integers, or the least scale is not positive or exceeds the largest.
    """

    def __init__(
        self,
        crop_size: Sequence[int] = (512, 512),
        min_scale_factor: float = 0.5,
        max_scale_factor: float = 2.0,
        scale_step_size: float = 0.25,
        flip_prob: float = 0.5,
        im_padding_value: float = 127.5,
        label_padding_value: int = 255,
        category_max_ratio: float = 1.0,
        ignore_index: int = 255,
        loop_times: int = 10,
    ):
        if len(crop_size) != 2 or not all(isinstance(side, int) and side > 0 for side in crop_size):
            raise ValueError(f"crop_size: {crop_size} is not a width and a height in pixels, e.g. [1024, 512]")
        if not 0 < min_scale_factor <= max_scale_factor:
            raise ValueError(
                f"min_scale_factor: {min_scale_factor} is not above 0 and at most max_scale_factor {max_scale_factor}"
            )
        self.width, self.height = crop_size
        self.scales = (min_scale_factor, max_scale_factor, scale_step_size)
        self.flip_prob = flip_prob
        self.im_padding_value, self.label_padding_value = im_padding_value, label_padding_value
        self.category_max_ratio, self.ignore_index, self.loop_times = category_max_ratio, ignore_index, loop_times

    def __call__(self, data: dict) -> dict:
        height, width = data["img"].shape[:2]
        scale = self._draw_scale()
        size = int(round(scale * height)), int(round(scale * width))
        rows, columns = self._draw_crop(data, size)
        flip = random.random() < self.flip_prob
        for key in ["img", *data.get("gt_fields", [])]:
            image = key == "img"
            interpolation = cv2.INTER_LINEAR if image else cv2.INTER_NEAREST
            picture = scaled_crop(data[key], size, rows, columns, interpolation)
            picture = self._pad(picture, self.im_padding_value if image else self.label_padding_value)
            data[key] = cv2.flip(picture, 1) if flip else picture
        return data

    def _draw_scale(self) -> float:
        least, largest, step = self.scales
        if least == largest:
            return least
        if step == 0:
            return np.random.uniform(least, largest)
        scales = np.linspace(least, largest, int((largest - least) / step + 1)).tolist()
        np.random.shuffle(scales)  # as ResizeStepScaling draws, so that the same seed gives the same scale
        return scales[0]

    def _draw_crop(self, data: dict, size: tuple[int, int]) -> tuple[range, range]:
        """Rows and columns of the scaled picture; where it is smaller than the crop, all of them."""
        if size == (self.height, self.width):
            return range(size[0]), range(size[1])
        crop = self._draw_offsets(size)
        if self.category_max_ratio < 1:
            for _ in range(self.loop_times):
                label = scaled_crop(data["label"], size, *crop, cv2.INTER_NEAREST)
                classes, counts = np.unique(label, return_counts=True)
                counts = counts[classes != self.ignore_index]
                if len(counts) > 1 and counts.max() / counts.sum() < self.category_max_ratio:
                    break
                crop = self._draw_offsets(size)
        return crop

    def _draw_offsets(self, size: tuple[int, int]) -> tuple[range, range]:
        return _draw_range(size[0], self.height), _draw_range(size[1], self.width)

    def _pad(self, picture: np.ndarray, value: float) -> np.ndarray:
        bottom, right = self.height - picture.shape[0], self.width - picture.shape[1]
        if not bottom and not right:
            return picture
        channels = 1 if picture.ndim == 2 else picture.shape[2]
        return cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(value,) * channels)


def scaled_crop(
    picture: np.ndarray, size: tuple[int, int], rows: range, columns: range, interpolation: int
) -> np.ndarray:
    """Rows and columns of the picture resized to `size`, without resizing all of it.

    Args:
        picture: (H, W) or (H, W, C).
        size: Height and width after scaling.
        rows: Which rows of the scaled picture, successive.
        columns: Which columns, likewise.
        interpolation: ``cv2.INTER_LINEAR`` or ``cv2.INTER_NEAREST``.

    Returns:
        (len(rows), len(columns)) or with C.
    """
    source_rows, height, top = _block(picture.shape[0], size[0], rows)
    source_columns, width, left = _block(picture.shape[1], size[1], columns)
    block = cv2.resize(picture[source_rows, source_columns], (width, height), interpolation=interpolation)
    return np.ascontiguousarray(block[top : top + len(rows), left : left + len(columns)])


def _draw_range(whole: int, side: int) -> range:
    """Which `side` of `whole` pixels to keep; where there are fewer, all."""
    first = np.random.randint(0, max(whole - side, 0) + 1)
    return range(first, min(first + side, whole))


def _block(length: int, scaled: int, wanted: range) -> tuple[slice, int, int]:
    """A stretch of the source that scales to whole pixels around `wanted`, with a neighbor on either side.

    Returns:
        The stretch, its scaled length, and where in that `wanted` starts.
    """
    periods = math.gcd(length, scaled)
    source, result = length // periods, scaled // periods  # pixels of a period before and after
    first = max(wanted.start // result - 1, 0)
    last = min(-(-wanted.stop // result) + 1, periods)
    return slice(first * source, last * source), (last - first) * result, wanted.start - first * result
