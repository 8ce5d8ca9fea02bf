"""Gradient of the kernels of a depthwise convolution: dot products of shifted maps with the output's gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import paddle
from numpy.lib.stride_tricks import as_strided

from paddleseg_ext.cpu.pool import spread
from paddleseg_ext.runtime.arrays import to_array

PIECE = 2**10  # numbers of a dot product
CHUNK = 2**18  # numbers of maps at once, and again of gradients


def kernel_gradient(x: paddle.Tensor, grad_out: paddle.Tensor, k: int, dilation: int) -> paddle.Tensor:
    """Of `layers.functional.depthwise_conv2d` with k×k kernels.

    Args:
        x: The map.
        grad_out: Gradient of the output.
        k: Side of a kernel.
        dilation: Of the convolution.

    Shape:
        - x, grad_out: (N, C, H, W)
        - output: (C, 1, k, k)
    """
    before = k // 2 * dilation
    shifts = range(-before, k * dilation - before, dilation)

    def sum_channels(maps: np.ndarray, grads: np.ndarray, sums: np.ndarray) -> None:
        # Elements that overlap the map nowhere have a gradient of zero.
        down, right = ([i for i, shift in enumerate(shifts) if abs(shift) < side] for side in maps.shape[2:])
        inside = sums[:, down[0] : down[-1] + 1, right[0] : right[-1] + 1]
        sum_products(maps, grads, inside, *(shifts[used[0] : used[-1] + 1] for used in (down, right)))

    return _of_channels(sum_channels, x, grad_out, k)


def strided_kernel_gradient(x: paddle.Tensor, grad_out: paddle.Tensor, k: int, first: tuple[int, int]) -> paddle.Tensor:
    """Of a convolution of stride 2 without dilation, whose first output is aligned with pixel `first` of the map.

    Every second row and column of the map are a map of their own, for a kernel of every second row and column.

    Args:
        x: The map.
        grad_out: Gradient of the output.
        k: Side of a kernel, odd.
        first: Row and column, 0 or 1.

    Shape:
        - x: (N, C, H, W)
        - grad_out: (N, C, ⌈(H - first[0]) / 2⌉, ⌈(W - first[1]) / 2⌉)
        - output: (C, 1, k, k)
    """

    def sum_channels(maps: np.ndarray, grads: np.ndarray, sums: np.ndarray) -> None:
        for down, right in itertools.product(range(min(2, k)), repeat=2):
            (row, below), (column, beside) = (
                _parity(start + i - k // 2, k - i) for start, i in zip(first, (down, right))
            )
            sum_products(maps[:, :, row::2, column::2], grads, sums[:, down::2, right::2], below, beside)

    return _of_channels(sum_channels, x, grad_out, k)


def _parity(shift: int, number: int) -> tuple[int, range]:
    """The parity of pixels that the elements 0, 2, … of so many read, and the elements' shifts among these pixels."""
    parity = shift % 2
    start = (shift - parity) // 2
    return parity, range(start, start + -(-number // 2))


SumChannels = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def _of_channels(sum_channels: SumChannels, x: paddle.Tensor, grad_out: paddle.Tensor, k: int) -> paddle.Tensor:
    out = paddle.zeros([x.shape[1], 1, k, k])
    sums, inputs, grads = to_array(out)[:, 0], to_array(x), to_array(grad_out)
    spread(lambda part: sum_channels(inputs[:, part], grads[:, part], sums[part]), x.shape[1], inputs.size)
    return out


def sum_products(inputs: np.ndarray, grads_out: np.ndarray, sums: np.ndarray, down: range, right: range) -> None:
    """Add to the sums the products of the gradients with the maps shifted by `down` and `right`, summed over pixels.

    Rows are stored one after another, each followed by zeros, and the maps of several pictures likewise, so that a
    shift by rows and columns is an offset and the sum is a dot product of two vectors; values shifted in from beyond
    the map are zero. Vectors are cut into pieces, whose products of all kernel elements one call of NumPy's computes
    from the processor's nearest cache, other threads at its side: it keeps Python's lock where there are few.

    Args:
        inputs: The maps.
        grads_out: Gradients of the outputs.
        sums: What is added to.
        down: Rows by which the maps are shifted.
        right: Columns by which they are.

    Shape:
        - inputs, grads_out: (N, C, H, W) each, the sides not necessarily the same
        - sums: (C, len(down), len(right))
    """
    pictures, channels = inputs.shape[:2]
    height, width = (max(sides) for sides in zip(inputs.shape[2:], grads_out.shape[2:]))
    above, below, left = max(0, -down[0]), max(0, down[-1]), max(0, -right[0])
    row_length = width + max(left, right[-1])
    stack = max(1, min(pictures, CHUNK // (height * row_length)))
    rows = height + (max(above, below) if stack > 1 else 0)  # with the zeros below a map
    pieces = -(-stack * rows * row_length // PIECE)
    batch = max(1, min(channels, CHUNK // (pieces * PIECE)))
    first = above * row_length + left  # where the maps begin
    maps = np.zeros((batch, first + pieces * PIECE + below * row_length + max(0, right[-1])), np.float32)
    grads = np.zeros((batch, pieces * PIECE), np.float32)
    map_rows, grad_rows = (  # (batch, stack, H, W)
        as_strided(a, (batch, stack, *sides), (a.strides[0], 4 * rows * row_length, 4 * row_length, 4))
        for a, sides in ((maps[:, first:], inputs.shape[2:]), (grads, grads_out.shape[2:]))
    )
    shifted = as_strided(  # (pieces, batch, rows of the kernel, columns, 1, PIECE)
        maps[:, first + down[0] * row_length + right[0] :],
        (pieces, batch, len(down), len(right), 1, PIECE),
        (4 * PIECE, maps.strides[0], 4 * down.step * row_length, 4 * right.step, 4, 4),
    )
    aligned = grads.reshape(batch, pieces, 1, 1, PIECE, 1).swapaxes(0, 1)
    for n, c in itertools.product(range(0, pictures, stack), range(0, channels, batch)):
        here = slice(n, n + stack), slice(c, c + batch)
        size, number = min(batch, channels - c), min(stack, pictures - n)
        map_rows[:size, :number], grad_rows[:size, :number] = (a[here].swapaxes(0, 1) for a in (inputs, grads_out))
        grad_rows[:, number:] = 0
        sums[c : c + size] += np.matmul(shifted[:, :size], aligned[:, :size])[..., 0, 0].sum(0)
