"""Random scale, crop, padding and flip in one, computing only the pixels that the crop keeps."""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np

from paddleseg_ext.data.transforms.scaled_crop import scaled_crop, scaled_crop_of_ids
from paddleseg_ext.registry import register_transform


@register_transform
class ScaleCropFlip:
    """What PaddleSeg's ResizeStepScaling, RandomPaddingCrop and RandomHorizontalFlip do one after the other.

    Those resize the whole picture, by up to 2, and then keep a crop of it. Here the crop alone is computed, every pixel
    of it from the same neighbors by the same weights: for the same random draws the result is that of the three, but
    for float rounding in the image.

    With ``scale_step_size: 0``, `fit` and ``category_max_ratio: 0.75`` it draws as mmsegmentation's RandomResize,
    RandomCrop and RandomFlip do. Those pad after normalizing, with 0: ``im_padding_value: null`` here, and PaddleSeg's
    `Padding` behind the normalization.

    Differs from the three: with ``category_max_ratio``, RandomPaddingCrop of PaddleSeg 2.8.0 puts the label in the
    image's place.

    Args:
        crop_size: Width and height of the result, in pixels.
        min_scale_factor: Least scale, a factor of the picture's height and width.
        max_scale_factor: Largest scale.
        scale_step_size: Distance of the scales between them; 0 draws from all.
        fit: Longest long and short side, in pixels; the scale counts from the picture fitted into them, its ratio kept.
            By default it counts from the picture as it is.
        flip_prob: Probability of mirroring.
        im_padding_value: Fills the image, right and below, where it is smaller than the crop: a number, or one for each
            channel, before normalizing. None leaves image and labels smaller than the crop.
        label_padding_value: Fills the labels there.
        category_max_ratio: A crop with a larger share of one class, a fraction of its pixels, is drawn again.
        ignore_index: Label that counts as no class in that share.
        loop_times: How often a crop is drawn at most.

    Shape:
        - img: (H, W, C) or (H, W) -> (crop height, crop width, C) or without C; labels likewise

    Raises:
        ValueError: crop_size or fit is not two positive integers, the least scale is not positive or exceeds the
            largest, the step or a share is negative, or paddings are not as many as channels.
    """

    def __init__(
        self,
        crop_size: Sequence[int] = (512, 512),
        min_scale_factor: float = 0.5,
        max_scale_factor: float = 2.0,
        scale_step_size: float = 0.25,
        fit: Sequence[int] | None = None,
        flip_prob: float = 0.5,
        im_padding_value: float | Sequence[float] | None = 127.5,
        label_padding_value: int = 255,
        category_max_ratio: float = 1.0,
        ignore_index: int = 255,
        loop_times: int = 10,
    ):
        for name, sides, needed in [
            ("crop_size", crop_size, "a width and a height in pixels, e.g. [1024, 512]"),
            ("fit", crop_size if fit is None else fit, "a long and a short side in pixels, e.g. [2048, 512]"),
        ]:
            if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
                raise ValueError(f"{name}: {sides} is not {needed}")
        if not 0 < min_scale_factor <= max_scale_factor:
            raise ValueError(
                f"min_scale_factor: {min_scale_factor} is not above 0 and at most max_scale_factor {max_scale_factor}"
            )
        for name, value, highest in [
            ("scale_step_size", scale_step_size, max_scale_factor),
            ("flip_prob", flip_prob, 1),
            ("category_max_ratio", category_max_ratio, 1),
        ]:
            if not 0 <= value <= highest:
                raise ValueError(f"{name}: {value} is not between 0 and {highest:g}")
        self.width, self.height = crop_size
        self.fit = None if fit is None else sorted(fit)
        self.scales = (min_scale_factor, max_scale_factor, scale_step_size)
        self.flip_prob = flip_prob
        self.im_padding_value, self.label_padding_value = im_padding_value, label_padding_value
        self.category_max_ratio, self.ignore_index, self.loop_times = category_max_ratio, ignore_index, loop_times

    def __call__(self, data: dict) -> dict:
        height, width = data["img"].shape[:2]
        size = self._scaled_size(height, width, self._draw_scale())
        rows, columns = self._draw_crop(data, size)
        flip = random.random() < self.flip_prob
        for key in ["img", *data.get("gt_fields", [])]:
            image = key == "img"
            picture = (scaled_crop if image else scaled_crop_of_ids)(data[key], size, rows, columns)
            if self.im_padding_value is not None:
                picture = self._padded(picture, self.im_padding_value if image else self.label_padding_value)
            data[key] = cv2.flip(picture, 1) if flip else picture
        return data

    def _scaled_size(self, height: int, width: int, scale: float) -> tuple[int, int]:
        """Height and width to resize to."""
        if self.fit is None:
            return int(round(scale * height)), int(round(scale * width))
        short, long = (int(side * scale) for side in self.fit)
        factor = min(long / max(height, width), short / min(height, width))
        return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)

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
                label = scaled_crop_of_ids(data["label"], size, *crop)
                classes, counts = np.unique(label, return_counts=True)
                counts = counts[classes != self.ignore_index]
                if len(counts) > 1 and counts.max() / counts.sum() < self.category_max_ratio:
                    break
                crop = self._draw_offsets(size)
        return crop

    def _draw_offsets(self, size: tuple[int, int]) -> tuple[range, range]:
        return _draw_range(size[0], self.height), _draw_range(size[1], self.width)

    def _padded(self, picture: np.ndarray, value: float | Sequence[float]) -> np.ndarray:
        bottom, right = self.height - picture.shape[0], self.width - picture.shape[1]
        if not bottom and not right:
            return picture
        channels = 1 if picture.ndim == 2 else picture.shape[2]
        values = np.ravel(value).astype(np.float64)
        if len(values) not in (1, channels):
            raise ValueError(f"im_padding_value: {value} has {len(values)} numbers, but the image {channels} channels")
        if (values % 1).any():  # the color that becomes 0 is hardly a whole number
            picture = picture.astype(np.float32, copy=False)
        padded = np.empty((self.height, self.width, *picture.shape[2:]), picture.dtype)
        padded[...] = values if picture.ndim > 2 else values[0]
        padded[: picture.shape[0], : picture.shape[1]] = picture
        return padded


def _draw_range(whole: int, side: int) -> range:
    """Which `side` of `whole` pixels to keep; where there are fewer, all."""
    first = np.random.randint(0, max(whole - side, 0) + 1)
    return range(first, min(first + side, whole))
