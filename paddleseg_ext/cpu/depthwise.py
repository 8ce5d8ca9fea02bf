"""Depthwise convolution on the CPU by OpenCV's `filter2D`, several times as fast as Paddle's kernel.

Paddle computes dilated and large depthwise kernels at about 2 GFLOP/s per core. OpenCV uses vector instructions. For
dilation d the map is rearranged so that rows and columns at distance d are adjacent;
small maps of a batch become one. Channels are spread over threads, each with the same result wherever it is computed.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import paddle
from numpy.lib.stride_tricks import as_strided
from paddle.autograd import PyLayer

from paddleseg_ext.cpu.conditions import float32_on_cpu, needs_gradient
from paddleseg_ext.cpu.depthwise_gradient import kernel_gradient
from paddleseg_ext.cpu.pool import spread
from paddleseg_ext.runtime.arrays import to_array

LARGEST_KERNEL = 7  # OpenCV uses a Fourier transform for kernels of more than 50 elements
LARGEST_DILATION = 512  # OpenCV's maximum number of channels
SMALLEST_MAP = 512  # pixels of the batch; below this, one call per channel takes longer than it saves
SMALLEST_PLAIN = 2048  # the same for 3×3 without dilation and gradients, where Paddle's kernel is at its best
LARGE_MAP = 2**13  # pixels; from this on, each map is filtered where it lies
CHUNK = 2**18  # numbers processed at once; several such arrays fit into a large cache, and Python's part is small


def accepts(x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> bool:
    """Whether OpenCV supports the convolution and is faster. Arguments as for `layers.functional.depthwise_conv2d`."""
    k = kernels.shape[2]
    smallest = SMALLEST_PLAIN if (k, dilation) == (3, 1) and not needs_gradient(x, kernels) else SMALLEST_MAP
    if 0 in x.shape or x.shape[0] * x.shape[2] * x.shape[3] < smallest or not 1 < k <= LARGEST_KERNEL:
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
        return _filter(x, as_array(kernels), dilation, kernels.shape[2] // 2)

    @staticmethod
    def backward(ctx: Any, grad_out: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:  # type: ignore[override]
        x, kernels = ctx.saved_tensor()
        weights = as_array(kernels)
        dx = dk = None
        if ctx.needs_grad[0]:
            mirrored = np.ascontiguousarray(weights[:, ::-1, ::-1])
            dx = _filter(grad_out, mirrored, ctx.dilation, (weights.shape[1] - 1) // 2)
        if ctx.needs_grad[1]:
            dk = kernel_gradient(x, grad_out, weights.shape[1], ctx.dilation)
        return dx, dk


def as_array(kernels: paddle.Tensor) -> np.ndarray:
    """Kernels (C, 1, k, k) as (C, k, k)."""
    return to_array(kernels)[:, 0]


def _filter(x: paddle.Tensor, weights: np.ndarray, dilation: int, anchor: int) -> paddle.Tensor:
    """Cross-correlation with kernels (C, k, k), whose element (`anchor`, `anchor`) is aligned with the output pixel."""
    out = paddle.empty(x.shape)
    maps, outputs = to_array(x), to_array(out)
    large = dilation == 1 and maps[0, 0].size >= LARGE_MAP

    def filter_channels(part: slice) -> None:
        if large:
            filter_each(maps[:, part], outputs[:, part], weights[part], anchor)
        else:
            _filter_stacked(maps[:, part], outputs[:, part], weights[part], dilation, anchor)

    spread(filter_channels, maps.shape[1], maps.size)
    return out


def filter_each(maps: np.ndarray, outputs: np.ndarray, weights: np.ndarray, anchor: int) -> None:
    """Cross-correlation without dilation, padded with zeros, each map where it lies.

    Args:
        maps: What is filtered.
        outputs: Where the results go.
        weights: A kernel for each channel.
        anchor: Row and column of a kernel that is aligned with the output pixel.

    Shape:
        - maps, outputs: (N, C, H, W)
        - weights: (C, k, k)
    """
    at = anchor, anchor
    for sources, targets in zip(maps, outputs):
        for source, target, kernel in zip(sources, targets, weights):
            cv2.filter2D(source, -1, kernel, target, at, 0, cv2.BORDER_CONSTANT)


def _filter_stacked(maps: np.ndarray, outputs: np.ndarray, weights: np.ndarray, dilation: int, anchor: int) -> None:
    """`_filter` with dilation d and of small maps: from (N, C, H, W) to the same shape.

    A line of an image holds d rows of the map, separated by zeros, and d numbers form one pixel of d channels, so that
    one pixel to the right is d columns and one line down is d rows. The maps of several pictures stand below each
    other, separated by zeros, since a call costs more than filtering a small map. The image is padded with zeros:
    OpenCV has no constant border for many channels, and its replicated border affects no pixel that is read.
    """
    count, channels, height, width = maps.shape
    gap = border = weights.shape[1] // 2
    at = anchor, anchor
    if dilation >= height:  # only the aligned row of the kernel overlaps the map
        weights, gap = np.ascontiguousarray(weights[:, anchor : anchor + 1]), 0
        at = anchor, 0
    pad = border * dilation
    lines = -(-height // dilation)
    row_length = -(-width // dilation) * dilation + pad  # with the zeros to the left of a row
    line_length = dilation * row_length + pad
    stack = max(1, min(count, CHUNK // (lines * line_length)))
    batch = max(1, min(channels, CHUNK // (stack * lines * line_length)))
    images, filtered = (np.zeros((batch, stack * (lines + gap) + gap, line_length), np.float32) for _ in range(2))
    image_rows, filtered_rows = (  # (batch, stack, lines, d, W): the rows of the maps within the lines
        as_strided(
            a[:, gap:, pad:],
            (batch, stack, lines, dilation, width),
            (a.strides[0], 4 * (lines + gap) * line_length, 4 * line_length, 4 * row_length, 4),
        )
        for a in (images, filtered)
    )
    image_pixels, filtered_pixels = (a.reshape(batch, a.shape[1], -1, dilation) for a in (images, filtered))
    full, remainder = divmod(height, dilation)  # the last line may hold fewer rows
    for n, c in itertools.product(range(0, count, stack), range(0, channels, batch)):
        here = slice(n, n + stack), slice(c, c + batch)
        source, target = (a[here].swapaxes(0, 1) for a in (maps, outputs))  # (channels, pictures, H, W)
        size = source.shape[:2]
        inside = slice(size[0]), slice(size[1])
        image_rows[inside][:, :, :full] = source[:, :, : full * dilation].reshape(*size, full, dilation, width)
        if remainder:
            image_rows[inside][:, :, full, :remainder] = source[:, :, full * dilation :]
        used = slice(size[1] * (lines + gap) + gap)
        for image, kernel, result in zip(image_pixels[: size[0]], weights[c:], filtered_pixels):
            cv2.filter2D(image[used], -1, kernel, result[used], at, 0, cv2.BORDER_REPLICATE)
        target[:, :, : full * dilation].reshape(*size, full, dilation, width)[:] = filtered_rows[inside][:, :, :full]
        if remainder:
            target[:, :, full * dilation :] = filtered_rows[inside][:, :, full, :remainder]
