"""Bilinear resizing by OpenCV.

Paddle's own kernel takes about seven times as long and, in a lightweight network, more time than all convolutions,
because the logits of every class are upsampled to the image's size.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import paddle

from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.cpu.pool import spread
from paddleseg_ext.runtime.arrays import to_array


def accepts(x: paddle.Tensor, size: Sequence[int], align_corners: bool) -> bool:
    """Whether OpenCV gives the same result. Arguments as for `layers.functional.resize_bilinear`."""
    if align_corners or (paddle.is_grad_enabled() and not x.stop_gradient):
        return False  # OpenCV has no such mode, and no gradient
    # An output axis of one pixel samples the center in OpenCV and the first pixel in Paddle.
    return min(size) > 1 and float32_on_cpu(x)


def run(x: paddle.Tensor, size: Sequence[int], align_corners: bool) -> paddle.Tensor:
    """`layers.functional.resize_bilinear`; the result differs from Paddle's by rounding only."""
    height, width = size
    out = paddle.empty([*x.shape[:2], height, width])
    sources, targets = (to_array(t).reshape(-1, *t.shape[2:]) for t in (x, out))  # (N·C, h, w) and (N·C, H, W)

    def resize(part: slice) -> None:
        for source, target in zip(sources[part], targets[part]):
            cv2.resize(source, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)

    spread(resize, len(sources), targets.size)
    return out
