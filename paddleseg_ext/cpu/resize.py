"""Bilinear resizing by OpenCV, and its gradient by matrix products.

Paddle's own kernel takes about seven times as long, its gradient two to eight times, and in a lightweight network both
more than all convolutions, because the logits of every class are upsampled to the image's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from paddleseg_ext.cpu.conditions import float32_on_cpu, needs_gradient
from paddleseg_ext.cpu.pool import spread
from paddleseg_ext.layers.resample import interpolation_matrix
from paddleseg_ext.runtime.arrays import to_array

BLOCK = 32  # rows or columns of a map whose gradient is one product: the rest of the matrix is almost all zeros
CHUNK = 2**18  # numbers of gradients at once; what is between the two products stays in a cache
REMEMBERED = 64  # matrices, two for each size


def accepts(x: paddle.Tensor, size: Sequence[int], align_corners: bool) -> bool:
    """Whether the result or its gradient is computed faster. Arguments as for `layers.functional.resize_bilinear`."""
    if not float32_on_cpu(x) or 0 in x.shape:
        return False
    return needs_gradient(x) or _same_in_opencv(size, align_corners)


def run(x: paddle.Tensor, size: Sequence[int], align_corners: bool) -> paddle.Tensor:
    """`layers.functional.resize_bilinear`, differentiable once; the result differs from Paddle's by rounding only."""
    return _Resize.apply(x, size, align_corners) if needs_gradient(x) else _resize(x, size, align_corners)


class _Resize(PyLayer):
    """The map and its gradient; saves nothing but sizes."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, size: Sequence[int], align_corners: bool) -> paddle.Tensor:
        ctx.size = x.shape[2:]
        ctx.blocks = [_blocks(old, int(new), align_corners) for old, new in zip(x.shape[2:], size)]
        return _resize(x, size, align_corners)

    @staticmethod
    def backward(ctx: Any, grad_out: paddle.Tensor) -> paddle.Tensor:  # type: ignore[override]
        out = paddle.empty([*grad_out.shape[:2], *ctx.size])
        targets, grads = (to_array(t).reshape(-1, *t.shape[2:]) for t in (out, grad_out))  # (N·C, h, w), (N·C, H, W)

        def transpose(part: slice) -> None:
            step = max(1, CHUNK // grads[0].size)
            for first in range(part.start, part.stop, step):
                some = slice(first, min(first + step, part.stop))
                _transpose(grads[some], targets[some], *ctx.blocks)

        spread(transpose, len(targets), grads.size)
        return out


Blocks = list[tuple[slice, slice, np.ndarray]]


def _transpose(grads: np.ndarray, targets: np.ndarray, down: Blocks, across: Blocks) -> None:
    """Write the gradient (n, h, w) of maps (n, H, W), through (n, h, W)."""
    between = np.empty((*targets.shape[:2], grads.shape[2]), np.float32)
    for new, old, part in down:
        np.matmul(part.T, grads[:, new], out=between[:, old])
    for new, old, part in across:
        np.matmul(between[:, :, new], part, out=targets[:, :, old])


def _same_in_opencv(size: Sequence[int], align_corners: bool) -> bool:
    """It has no `align_corners`; an output of one pixel is the center in OpenCV and the first pixel in Paddle."""
    return not align_corners and min(size) > 1


def _resize(x: paddle.Tensor, size: Sequence[int], align_corners: bool) -> paddle.Tensor:
    if not _same_in_opencv(size, align_corners):
        return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)
    height, width = size
    out = paddle.empty([*x.shape[:2], height, width])
    sources, targets = (to_array(t).reshape(-1, *t.shape[2:]) for t in (x, out))  # (N·C, h, w) and (N·C, H, W)

    def resize(part: slice) -> None:
        for source, target in zip(sources[part], targets[part]):
            cv2.resize(source, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)

    spread(resize, len(sources), targets.size)
    return out


@lru_cache(REMEMBERED)
def _blocks(old: int, new: int, align_corners: bool) -> Blocks:
    """`interpolation_matrix` in blocks of columns: rows of one that are not all zeros, its columns, and itself."""
    matrix = interpolation_matrix(old, new, align_corners).numpy()
    number = -(-old // BLOCK)
    blocks = []
    for i in range(number):
        columns = slice(old * i // number, old * (i + 1) // number)
        rows = np.flatnonzero(matrix[:, columns].any(1))
        used = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 1)  # downsampling can skip a block
        blocks.append((used, columns, np.ascontiguousarray(matrix[used, columns])))
    return blocks
