"""Sliding windows: run in batches, summed in float32 on the device, finished from top to bottom.

Follows PaddleSeg: a window that would leave the image is moved back inside, a window larger than the image is the
image, and where windows overlap their logits are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import paddle

from paddleseg_ext.evaluation import score_maps
from paddleseg_ext.evaluation.score_maps import Map

Each = Callable[[Callable[[paddle.Tensor], Map], Iterable[paddle.Tensor]], Iterator[Map]]
"""Applies a function to several tensors, in order, as `map` does."""


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along one axis of `size` pixels; the windows cover it when stride ≤ window."""
    count = 1 + max(0, -(-(size - window) // stride))
    return [max(0, min(i * stride, size - window)) for i in range(count)]


def sliding_bands(
    forward: Callable[[paddle.Tensor], Map],
    images: paddle.Tensor,
    crop_size: tuple[int, int],
    stride: tuple[int, int],
    window_batch: int,
    *,
    mean: bool = True,
    each: Each = map,
) -> Iterator[Map]:
    """Mean logits of all windows, in bands over the full width that together are the image from top to bottom.

    Bands exist so that a consumer who keeps only the best class never holds all logits of a large image: what is alive
    at a time is `window_batch` windows of logits, and one strip of a window's height and the part of it that moves up.

    Args:
        forward: Logits of a batch of windows: (B, 3, h, w) to float32 (B, K, h, w).
        images: (N, 3, H, W).
        crop_size: Width and height of a window, in pixels.
        stride: Steps to the right and down, in pixels, each at most the window's.
        window_batch: Windows in one call of `forward`, at least one of each image. Changes no result.
        mean: Divide by how many windows cover a pixel; without it, the sums, of which the same class is the highest.
        each: How `forward` is applied to all batches of windows: `map`, or what gives the same in the same order.

    Yields:
        (N, K, band, W) float32, in memory that the next band overwrites; the heights sum to H.
    """
    height, width = images.shape[-2:]
    crop_w, crop_h = min(crop_size[0], width), min(crop_size[1], height)
    lefts, tops = window_starts(width, crop_w, stride[0]), window_starts(height, crop_h, stride[1])
    corners = [(top, left) for top in tops for left in lefts]
    windows = _window_logits(forward, images, corners, (crop_w, crop_h), window_batch, each)
    covered = np.outer(_coverage(height, tops, crop_h), _coverage(width, lefts, crop_w)) if mean else None  # (H, W)
    strip: Any = None  # a map, once a window has told the number of classes
    with closing(windows):
        for top, after in zip(tops, [*tops[1:], height]):
            for left in lefts:
                logits = next(windows)
                if strip is None:
                    strip = score_maps.zeros((*logits.shape[:2], crop_h, width), like=logits)  # (N, K, crop_h, W)
                strip[:, :, :, left : left + crop_w] += logits
            done = after - top  # no later window reaches these rows
            if covered is not None:
                strip[:, :, :done] *= score_maps.constant((1 / covered[top:after]).astype(np.float32), like=strip)
            yield strip[:, :, :done]
            if done < crop_h:
                strip[:, :, : crop_h - done] = score_maps.copy(strip[:, :, done:])
            strip[:, :, crop_h - done :] = 0


def _window_logits(
    forward: Callable[[paddle.Tensor], Map],
    images: paddle.Tensor,
    corners: list[tuple[int, int]],
    crop: tuple[int, int],
    window_batch: int,
    each: Each,
) -> Generator[Map, None, None]:
    """The logits of each window in order, (N, K, h, w); the network sees several windows at once."""
    count = len(images)
    step = max(1, window_batch // count)

    def batches() -> Iterator[paddle.Tensor]:
        for i in range(0, len(corners), step):
            cuts = [images[:, :, top : top + crop[1], left : left + crop[0]] for top, left in corners[i : i + step]]
            yield paddle.concat(cuts) if len(cuts) > 1 else cuts[0]

    for logits in each(forward, batches()):
        for j in range(0, len(logits), count):
            yield logits[j : j + count]


def _coverage(size: int, starts: list[int], window: int) -> np.ndarray:
    """How many windows cover each pixel along one axis."""
    pixels = np.arange(size)
    return sum((pixels >= start) & (pixels < start + window) for start in starts) + np.zeros(size)
