"""Depthwise convolution on the CPU, several times as fast as Paddle's kernel.

Paddle runs dilated and large depthwise kernels at about 2 GFLOP/s on a core. OpenCV filters a map with vector
instructions; a map that is to be filtered with dilation d is laid out so that rows and columns d apart are neighbors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import paddle
from paddle.autograd import PyLayer

from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.runtime.arrays import to_array

LARGEST_KERNEL = 7  # OpenCV takes a Fourier transform for more than 50 taps
LARGEST_DILATION = 512  # OpenCV's limit of channels
SMALLEST_MAP = 512  # pixels below which the calls, one per channel, cost more than they gain
CHUNK = 2**15  # numbers of a map's channels handled at once: several such arrays fit the processor's cache


def accepts(x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> bool:
    """Whether OpenCV can filter so, and gains by it. Arguments as for `layers.functional.depthwise_conv2d`."""
    k = kernels.shape[2]
    if 0 in x.shape or x.shape[2] * x.shape[3] < SMALLEST_MAP or not 1 < k <= LARGEST_KERNEL:
        return False
    filterable = dilation == 1 or (k % 2 == 1 and dilation <= LARGEST_DILATION)
    return filterable and float32_on_cpu(x, kernels)


def run(x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> paddle.Tensor:
    """`layers.functional.depthwise_conv2d`, differentiable once."""
    return _Depthwise.apply(x, kernels, dilation)


class _Depthwise(PyLayer):
    """The convolution and its gradients; keeps its inputs alone."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> paddle.Tensor:
        ctx.save_for_backward(x, kernels)
        ctx.dilation = dilation
        ctx.needs_grad = not x.stop_gradient, not kernels.stop_gradient
        return _filtered(x, _as_array(kernels), dilation, kernels.shape[2] // 2)

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:  # type: ignore[override]
        x, kernels = ctx.saved_tensor()
        weights = _as_array(kernels)
        dx = dk = None
        if ctx.needs_grad[0]:
            mirrored = np.ascontiguousarray(weights[:, ::-1, ::-1])
            dx = _filtered(grad, mirrored, ctx.dilation, (weights.shape[1] - 1) // 2)
        if ctx.needs_grad[1]:
            dk = _kernel_gradient(x, grad, weights.shape[1], ctx.dilation)
        return dx, dk


def _as_array(kernels: paddle.Tensor) -> np.ndarray:
    return to_array(kernels)[:, 0]  # (C, k, k)


def _filtered(x: paddle.Tensor, weights: np.ndarray, dilation: int, anchor: int) -> paddle.Tensor:
    """Correlation with `weights` (C, k, k), of which row and column `anchor` lie on the output pixel."""
    out = paddle.empty(x.shape)
    channels, height, width = x.shape[1:]
    maps, results = (to_array(t).reshape(-1, height, width) for t in (x, out))  # (N·C, H, W)
    at = anchor, anchor
    if dilation == 1:
        for i, (source, result) in enumerate(zip(maps, results)):
            cv2.filter2D(source, -1, weights[i % channels], result, at, 0, cv2.BORDER_CONSTANT)
        return out
    _filter_dilated(maps, results, weights, dilation, anchor)
    return out


def _filter_dilated(maps: np.ndarray, results: np.ndarray, weights: np.ndarray, dilation: int, anchor: int) -> None:
    """`_filtered` with d > 1: from (N·C, H, W) into the same.

    A line of an image holds d rows of the map, zeros between them, and d numbers make one pixel of d channels, so that
    one step to the right moves d columns and one step down d rows. There are zeros all around: OpenCV has no constant
    border for many channels, and what it takes instead reaches no pixel that is read.
    """
    count, height, width = maps.shape
    channels, k = weights.shape[:2]
    above = border = (k - 1) // 2
    pad = border * dilation
    if dilation >= height:  # only the middle row of taps meets the map
        weights, above = np.ascontiguousarray(weights[:, border : border + 1]), 0
    at = anchor, anchor - border + above
    down = -(-height // dilation)
    across = -(-width // dilation) * dilation + pad  # of one row, with the zeros on its left
    line = dilation * across + pad
    group = max(1, min(count, CHUNK // (down * line)))
    images, filtered = (np.zeros((group, down + 2 * above, line), np.float32) for _ in range(2))
    inside, read = (  # (group, down, d, W): the rows of the maps within the lines
        np.lib.stride_tricks.as_strided(
            a[:, above:, pad:], (group, down, dilation, width), (a.strides[0], 4 * line, 4 * across, 4)
        )
        for a in (images, filtered)
    )
    pixels, outputs = (a.reshape(group, a.shape[1], -1, dilation) for a in (images, filtered))
    whole, rest = divmod(height, dilation)  # the last line may hold fewer rows
    for first in range(0, count, group):
        size = min(group, count - first)
        source, result = maps[first : first + size], results[first : first + size]
        inside[:size, :whole] = source[:, : whole * dilation].reshape(size, whole, dilation, width)
        if rest:
            inside[:size, whole, :rest] = source[:, whole * dilation :]
        for i in range(size):
            cv2.filter2D(pixels[i], -1, weights[(first + i) % channels], outputs[i], at, 0, cv2.BORDER_REPLICATE)
        result[:, : whole * dilation].reshape(size, whole, dilation, width)[:] = read[:size, :whole]
        if rest:
            result[:, whole * dilation :] = read[:size, whole, :rest]


def _kernel_gradient(x: paddle.Tensor, grad: paddle.Tensor, k: int, dilation: int) -> paddle.Tensor:
    """For each tap and channel the product of the gradient with the map under that tap, summed over pixels.

    Maps lie as rows with zeros after each, so that a shift by rows and columns is one by an offset, and the sum one
    product of long vectors; what a shift brings in at the sides is zero.
    """
    batch, channels, height, width = x.shape
    before = k // 2 * dilation
    pad = min(before, width)
    across = width + pad
    length = height * across
    count = max(1, min(channels, CHUNK // length))
    maps = np.zeros((count, length + 2 * pad), np.float32)  # the row before the first and after the last
    grads = np.zeros((count, length), np.float32)
    rows = np.lib.stride_tricks.as_strided(  # (count, H, W)
        maps[:, pad:], (count, height, width), (maps.strides[0], 4 * across, 4)
    )
    grad_rows = grads.reshape(count, height, across)[:, :, :width]
    out = paddle.zeros([channels, 1, k, k])
    sums, xs, gs = to_array(out)[:, 0], to_array(x), to_array(grad)
    for n in range(batch):
        for first in range(0, channels, count):
            part = slice(first, min(first + count, channels))
            size = part.stop - first
            rows[:size], grad_rows[:size] = xs[n, part], gs[n, part]
            for i, j, top, bottom, offset in _offsets(k, dilation, before, height, width, across):
                window = maps[:size, None, pad + top + offset : pad + bottom + offset]  # (size, 1, L)
                sums[part, i, j] += np.matmul(window, grads[:size, top:bottom, None])[:, 0, 0]
    return out


def _offsets(
    k: int, dilation: int, before: int, height: int, width: int, across: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """For each tap that meets the map: its place, the stretch of output rows it meets, and its offset."""
    for i in range(k):
        for j in range(k):
            down, right = i * dilation - before, j * dilation - before
            if abs(down) < height and abs(right) < width:
                top, bottom = max(0, -down), min(height, height - down)
                yield i, j, top * across, bottom * across, down * across + right
