"""Winograd transforms F(2×2, 3×3) of tiles, as sums and differences of whole lines in NumPy.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, Sec. 4.1. A tile of the map has 4×4
pixels and overlaps the next by two in either direction; a tile of the output has 2×2. Lines are transposed to channels
last, so that every operation runs over contiguous memory. Tiles are zero-padded beyond the edge of a map.

Transformed tiles are (16, tiles, channels): one matrix of tiles × channels per element of a tile, row by row. Rows of
tiles are spread over threads.

With dilation d the pixels of a tile are d columns apart, so that d tiles lie within one another: tile (i, q) of a line
has the columns d·(2i + k − 1) + q, and where a line is cut into pieces of d columns, whole pieces are added up. Lines
are d apart as well; callers pass every d-th line of a map.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from paddleseg_ext.cpu.pool import spread

ROWS: tuple[tuple[np.ufunc, int, int], ...] = (  # rows of Bᵀ: the operation and its two lines
    *((np.subtract, 0, 2), (np.add, 1, 2), (np.subtract, 2, 1), (np.subtract, 1, 3)),
)
BLOCK = 256  # channels at once, so that the lines in use fit into the processor's cache
GROUP = 2**17  # numbers that one operation computes, where that is several rows of tiles: Python's part is small then


def tiles_across(width: int, dilation: int) -> int:
    """Tiles in a row of them."""
    return _pieces(width, dilation) * dilation


def _pieces(width: int, dilation: int) -> int:
    """Pairs of d columns in a line."""
    return -(-width // (2 * dilation))


def transform_map(x: np.ndarray, out: np.ndarray, top: int, count: int, dilation: int = 1) -> None:
    """Write Bᵀ d B of some rows of tiles.

    Args:
        x: (C, H, W) float32, of dilation d every d-th line of a map.
        out: (16, tiles, C) float32, which is written to.
        top: First row of tiles, from 0.
        count: Number of rows of tiles.
        dilation: Of the convolution, across.
    """
    _spread_rows(partial(_transform_map, x, dilation), out, top, count, tiles_across(x.shape[2], dilation))


def _transform_map(x: np.ndarray, dilation: int, out: np.ndarray, top: int, count: int) -> None:
    channels, _, width = x.shape
    wide = _pieces(width, dilation)
    out = _split(out, count, wide, dilation)
    step = min(channels, BLOCK)
    rows = min(count, max(1, GROUP // (wide * dilation * step)))
    # Channels last; zeros at both ends of a line. Tiles overlap by two lines.
    lines = np.zeros((2 * rows + 2, (2 * wide + 2) * dilation, step), np.float32)
    mixed = np.empty((rows, *lines.shape[1:]), np.float32)
    pieces = mixed.reshape(rows, wide + 1, 2, dilation, step)
    for first, tile in itertools.product(range(0, channels, step), range(0, count, rows)):
        part, group = slice(first, min(first + step, channels)), slice(tile, min(tile + rows, count))
        size, number = part.stop - part.start, group.stop - group.start
        line, mix = lines[: 2 * number + 2, :, :size], mixed[:number, :, :size]
        even, odd = pieces[:number, :, 0, :, :size], pieces[:number, :, 1, :, :size]  # (rows, wide + 1, d, c)
        for k, target in enumerate(line):
            _line(x[part], 2 * (top + tile) - 1 + k, target, dilation)
        for i, (function, a, b) in enumerate(ROWS):
            function(line[a : a + 2 * number : 2], line[b : b + 2 * number : 2], out=mix)
            to = out[i, :, group, :, :, part]
            np.subtract(even[:, :-1], even[:, 1:], out=to[0])
            np.add(odd[:, :-1], even[:, 1:], out=to[1])
            np.subtract(even[:, 1:], odd[:, :-1], out=to[2])
            np.subtract(odd[:, :-1], odd[:, 1:], out=to[3])


def _spread_rows(
    transform: Callable[[np.ndarray, int, int], None], tiles: np.ndarray, top: int, count: int, wide: int
) -> None:
    """Call `transform(tiles, top, count)` for parts of the rows, with the tiles of each part."""

    def rows(part: slice) -> None:
        transform(tiles[:, part.start * wide : part.stop * wide], top + part.start, part.stop - part.start)

    spread(rows, count, tiles.size)


def _split(out: np.ndarray, count: int, wide: int, dilation: int) -> np.ndarray:
    """(16, tiles, C) viewed as (4, 4, count, wide, d, C) without a copy."""
    a, b, c = out.strides
    shape = (4, 4, count, wide, dilation, out.shape[2])
    return np.lib.stride_tricks.as_strided(out, shape, (4 * a, a, wide * dilation * b, dilation * b, b, c))


def _line(x: np.ndarray, y: int, out: np.ndarray, dilation: int) -> None:
    """Write line y of a map (C, H, W), channels last, after the d zeros on its left; zeros outside the map."""
    inside = slice(dilation, dilation + x.shape[2])
    out[inside] = cv2.transpose(x[:, y]) if 0 <= y < x.shape[1] else 0


def transform_back(products: np.ndarray, out: np.ndarray, top: int, count: int, dilation: int = 1) -> None:
    """Write Aᵀ m A of some rows of tiles.

    Args:
        products: (16, tiles, O) float32.
        out: (O, H, W) float32, of dilation d every d-th line of a map; rows of it are written to.
        top: First row of tiles, from 0.
        count: Number of rows of tiles.
        dilation: Of the convolution, across.
    """
    _spread_rows(partial(_transform_back, out, dilation), products, top, count, tiles_across(out.shape[2], dilation))


def _transform_back(out: np.ndarray, dilation: int, products: np.ndarray, top: int, count: int) -> None:
    outputs, height, width = out.shape
    wide = _pieces(width, dilation)
    products = _split(products, count, wide, dilation)
    rows = min(count, max(1, GROUP // (4 * wide * dilation * outputs)))
    lines = np.empty((rows, wide, 2, dilation, outputs), np.float32)
    mixed = np.empty((4, rows, wide, dilation, outputs), np.float32)
    for tile in range(0, count, rows):
        number = min(rows, count - tile)
        m, mix = products[:, :, tile : tile + number], mixed[:, :number]  # (4, 4, rows, wide, d, O)
        even, odd = lines[:number, :, 0], lines[:number, :, 1]
        for i in range(2):
            if i == 0:
                np.add(m[0], m[1], out=mix)
                mix += m[2]
            else:
                np.subtract(m[1], m[2], out=mix)
                mix -= m[3]
            np.add(mix[0], mix[1], out=even)
            even += mix[2]
            np.subtract(mix[1], mix[2], out=odd)
            odd -= mix[3]
            for y, line in zip(range(2 * (top + tile) + i, height, 2), lines[:number]):
                out[:, y] = cv2.transpose(line.reshape(-1, outputs)[:width])


def transform_gradient(grad_out: np.ndarray, out: np.ndarray, dilation: int = 1) -> None:
    """Write A y Aᵀ of all tiles, the transpose of `transform_back`: (O, H, W) to (16, tiles, O)."""
    _, height, width = grad_out.shape
    transform = partial(_transform_gradient, grad_out, dilation)
    _spread_rows(transform, out, 0, -(-height // 2), tiles_across(width, dilation))


def _transform_gradient(grad_out: np.ndarray, dilation: int, out: np.ndarray, top: int, count: int) -> None:
    outputs, height, width = grad_out.shape
    wide = _pieces(width, dilation)
    out = _split(out, count, wide, dilation)
    rows = min(count, max(1, GROUP // (2 * wide * dilation * outputs)))
    lines = np.zeros((rows, 2, 2 * wide * dilation, outputs), np.float32)
    mixed = np.empty((rows, *lines.shape[2:]), np.float32)
    for tile in range(0, count, rows):
        number = min(rows, count - tile)
        for k, line in enumerate(lines[:number].reshape(2 * number, -1, outputs)):
            y = 2 * (top + tile) + k
            line[:width] = cv2.transpose(grad_out[:, y]) if y < height else 0
        upper, lower, mix = lines[:number, 0], lines[:number, 1], mixed[:number]
        for i in range(4):
            if i == 1:
                np.add(upper, lower, out=mix)
            elif i == 2:
                np.subtract(upper, lower, out=mix)
            elif i == 3:
                np.negative(lower, out=mix)
            pieces = (mix if i else upper).reshape(number, wide, 2, dilation, outputs)
            left, right, to = pieces[:, :, 0], pieces[:, :, 1], out[i, :, tile : tile + number]
            to[0] = left
            np.add(left, right, out=to[1])
            np.subtract(left, right, out=to[2])
            np.negative(right, out=to[3])
