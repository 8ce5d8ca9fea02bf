"""Depthwise convolution on the CPU by OpenCV's `filter2D`, several times as fast as Paddle's kernel.

Paddle computes dilated and large depthwise kernels at about 2 GFLOP/s per core. OpenCV uses vector instructions. For
dilation d the map is rearranged so that rows and columns at distance d are adjacent.
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

LARGEST_KERNEL = 7  # OpenCV uses a Fourier transform for kernels of more than 50 elements
LARGEST_DILATION = 512  # OpenCV's maximum number of channels
SMALLEST_MAP = 512  # pixels; below this, one call per channel takes longer than it saves
CHUNK = 2**15  # numbers processed at once; several such arrays fit into the processor's cache


def accepts(x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> bool:
    """Whether OpenCV supports the convolution and is faster. Arguments as for `layers.functional.depthwise_conv2d`."""
    k = kernels.shape[2]
    if 0 in x.shape or x.shape[2] * x.shape[3] < SMALLEST_MAP or not 1 < k <= LARGEST_KERNEL:
        return False
    filterable = dilation == 1 or (k % 2 == 1 and dilation <= LARGEST_DILATION)
    return filterable and float32_on_cpu(x, kernels)


def run(x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> paddle.Tensor:
    """`layers.functional.depthwise_conv2d`, differentiable once."""
    return _Depthwise.apply(x, kernels, dilation)


class _Depthwise(PyLayer):
    """The convolution and its gradients; saves only its inputs."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> paddle.Tensor:
        ctx.save_for_backward(x, kernels)
        ctx.dilation = dilation
        ctx.needs_grad = not x.stop_gradient, not kernels.stop_gradient
        return _filter(x, _as_array(kernels), dilation, kernels.shape[2] // 2)

    @staticmethod
    def backward(ctx: Any, grad_out: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:  # type: ignore[override]
        x, kernels = ctx.saved_tensor()
        weights = _as_array(kernels)
        dx = dk = None
        if ctx.needs_grad[0]:
            mirrored = np.ascontiguousarray(weights[:, ::-1, ::-1])
            dx = _filter(grad_out, mirrored, ctx.dilation, (weights.shape[1] - 1) // 2)
        if ctx.needs_grad[1]:
            dk = _kernel_gradient(x, grad_out, weights.shape[1], ctx.dilation)
        return dx, dk


def _as_array(kernels: paddle.Tensor) -> np.ndarray:
    return to_array(kernels)[:, 0]  # (C, k, k)


def _filter(x: paddle.Tensor, weights: np.ndarray, dilation: int, anchor: int) -> paddle.Tensor:
    """Cross-correlation with kernels (C, k, k), whose element (`anchor`, `anchor`) is aligned with the output pixel."""
    out = paddle.empty(x.shape)
    channels, height, width = x.shape[1:]
    maps, outputs = (to_array(t).reshape(-1, height, width) for t in (x, out))  # (N·C, H, W)
    at = anchor, anchor
    if dilation == 1:
        for i, (source, output) in enumerate(zip(maps, outputs)):
            cv2.filter2D(source, -1, weights[i % channels], output, at, 0, cv2.BORDER_CONSTANT)
        return out
    _filter_dilated(maps, outputs, weights, dilation, anchor)
    return out


def _filter_dilated(maps: np.ndarray, outputs: np.ndarray, weights: np.ndarray, dilation: int, anchor: int) -> None:
    """`_filter` with d > 1: from (N·C, H, W) to the same shape.

    A line of an image holds d rows of the map, separated by zeros, and d numbers form one pixel of d channels, so that
    one pixel to the right is d columns and one line down is d rows. The image is padded with zeros: OpenCV has no
    constant border for many channels, and its replicated border affects no pixel that is read.
    """
    count, height, width = maps.shape
    channels, k = weights.shape[:2]
    top_border = border = (k - 1) // 2
    pad = border * dilation
    if dilation >= height:  # only the middle row of the kernel overlaps the map
        weights, top_border = np.ascontiguousarray(weights[:, border : border + 1]), 0
    at = anchor, anchor - border + top_border
    lines = -(-height // dilation)
    row_length = -(-width // dilation) * dilation + pad  # with the zeros to the left of a row
    line_length = dilation * row_length + pad
    batch = max(1, min(count, CHUNK // (lines * line_length)))
    images, filtered = (np.zeros((batch, lines + 2 * top_border, line_length), np.float32) for _ in range(2))
    image_rows, filtered_rows = (  # (batch, lines, d, W): the rows of the maps within the lines
        np.lib.stride_tricks.as_strided(
            a[:, top_border:, pad:],
            (batch, lines, dilation, width),
            (a.strides[0], 4 * line_length, 4 * row_length, 4),
        )
        for a in (images, filtered)
    )
    image_pixels, filtered_pixels = (a.reshape(batch, a.shape[1], -1, dilation) for a in (images, filtered))
    full_lines, remainder = divmod(height, dilation)  # the last line may hold fewer rows
    for first in range(0, count, batch):
        size = min(batch, count - first)
        source, target = maps[first : first + size], outputs[first : first + size]
        image_rows[:size, :full_lines] = source[:, : full_lines * dilation].reshape(size, full_lines, dilation, width)
        if remainder:
            image_rows[:size, full_lines, :remainder] = source[:, full_lines * dilation :]
        for i in range(size):
            kernel = weights[(first + i) % channels]
            cv2.filter2D(image_pixels[i], -1, kernel, filtered_pixels[i], at, 0, cv2.BORDER_REPLICATE)
        full_rows = target[:, : full_lines * dilation].reshape(size, full_lines, dilation, width)
        full_rows[:] = filtered_rows[:size, :full_lines]
        if remainder:
            target[:, full_lines * dilation :] = filtered_rows[:size, full_lines, :remainder]


def _kernel_gradient(x: paddle.Tensor, grad_out: paddle.Tensor, k: int, dilation: int) -> paddle.Tensor:
    """Gradient of the kernels: per channel and kernel element, the shifted map times `grad_out`, summed over pixels.

    Rows are stored one after another, each followed by zeros, so that a shift by rows and columns is an offset and the
    sum is a dot product of two long vectors; values shifted in from beyond the map are zero.
    """
    batch, channels, height, width = x.shape
    before = k // 2 * dilation
    pad = min(before, width)
    row_length = width + pad
    length = height * row_length
    count = max(1, min(channels, CHUNK // length))
    maps = np.zeros((count, length + 2 * pad), np.float32)  # with zeros before the first row and after the last
    grads = np.zeros((count, length), np.float32)
    map_rows = np.lib.stride_tricks.as_strided(  # (count, H, W)
        maps[:, pad:], (count, height, width), (maps.strides[0], 4 * row_length, 4)
    )
    grad_rows = grads.reshape(count, height, row_length)[:, :, :width]
    out = paddle.zeros([channels, 1, k, k])
    sums, inputs, grads_out = to_array(out)[:, 0], to_array(x), to_array(grad_out)
    for n in range(batch):
        for first in range(0, channels, count):
            part = slice(first, min(first + count, channels))
            size = part.stop - first
            map_rows[:size], grad_rows[:size] = inputs[n, part], grads_out[n, part]
            for i, j, top, bottom, offset in _offsets(k, dilation, before, height, width, row_length):
                window = maps[:size, None, pad + top + offset : pad + bottom + offset]  # (size, 1, L)
                sums[part, i, j] += np.matmul(window, grads[:size, top:bottom, None])[:, 0, 0]
    return out


def _offsets(
    k: int, dilation: int, before: int, height: int, width: int, row_length: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """Per kernel element that overlaps the map: row, column, first and last output position, and offset of the map."""
    for i in range(k):
        for j in range(k):
            down, right = i * dilation - before, j * dilation - before
            if abs(down) < height and abs(right) < width:
                top, bottom = max(0, -down), min(height, height - down)
                yield i, j, top * row_length, bottom * row_length, down * row_length + right
