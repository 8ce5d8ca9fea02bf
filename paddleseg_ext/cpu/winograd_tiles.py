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

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from paddleseg_ext.cpu.pool import spread

ROWS: tuple[tuple[np.ufunc, int, int], ...] = (  # rows of Bᵀ: the operation and its two lines
    *((np.subtract, 0, 2), (np.add, 1, 2), (np.subtract, 2, 1), (np.subtract, 1, 3)),
)
BLOCK = 256  # channels at once, so that the lines in use fit into the processor's cache


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
    lines = np.zeros((4, (2 * wide + 2) * dilation, step), np.float32)  # channels last; zeros at both ends
    mixed = np.empty_like(lines[0])
    pieces = mixed.reshape(wide + 1, 2, dilation, step)
    for first in range(0, channels, step):
        part = slice(first, min(first + step, channels))
        size = part.stop - first
        row = [lines[k, :, :size] for k in range(4)]
        even, odd = pieces[:, 0, :, :size], pieces[:, 1, :, :size]  # (wide + 1, d, c)
        for tile in range(count):
            y = 2 * (top + tile) - 1  # row of the first line
            if tile == 0:
                for k in range(4):
                    _line(x[part], y + k, row[k], dilation)
            else:  # tiles overlap by two lines
                row = [row[2], row[3], row[0], row[1]]
                _line(x[part], y + 2, row[2], dilation)
                _line(x[part], y + 3, row[3], dilation)
            for i, (function, a, b) in enumerate(ROWS):
                function(row[a], row[b], out=mixed[:, :size])
                np.subtract(even[:-1], even[1:], out=out[i, 0, tile, :, :, part])
                np.add(odd[:-1], even[1:], out=out[i, 1, tile, :, :, part])
                np.subtract(even[1:], odd[:-1], out=out[i, 2, tile, :, :, part])
                np.subtract(odd[:-1], odd[1:], out=out[i, 3, tile, :, :, part])


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
    line = np.empty((wide, 2, dilation, outputs), np.float32)
    mixed = np.empty((4, wide, dilation, outputs), np.float32)
    for tile in range(count):
        m = products[:, :, tile]  # (4, 4, wide, d, O)
        for i in range(min(2, height - 2 * (top + tile))):
            if i == 0:
                np.add(m[0], m[1], out=mixed)
                mixed += m[2]
            else:
                np.subtract(m[1], m[2], out=mixed)
                mixed -= m[3]
            np.add(mixed[0], mixed[1], out=line[:, 0])
            line[:, 0] += mixed[2]
            np.subtract(mixed[1], mixed[2], out=line[:, 1])
            line[:, 1] -= mixed[3]
            out[:, 2 * (top + tile) + i] = cv2.transpose(line.reshape(-1, outputs)[:width])


def transform_gradient(grad_out: np.ndarray, out: np.ndarray, dilation: int = 1) -> None:
    """Write A y Aᵀ of all tiles, the transpose of `transform_back`: (O, H, W) to (16, tiles, O)."""
    _, height, width = grad_out.shape
    transform = partial(_transform_gradient, grad_out, dilation)
    _spread_rows(transform, out, 0, -(-height // 2), tiles_across(width, dilation))


def _transform_gradient(grad_out: np.ndarray, dilation: int, out: np.ndarray, top: int, count: int) -> None:
    outputs, height, width = grad_out.shape
    wide = _pieces(width, dilation)
    out = _split(out, count, wide, dilation)
    lines = np.zeros((2, 2 * wide * dilation, outputs), np.float32)
    mixed = np.empty((2 * wide * dilation, outputs), np.float32)
    for tile in range(count):
        for i in range(2):
            y = 2 * (top + tile) + i
            lines[i, :width] = cv2.transpose(grad_out[:, y]) if y < height else 0
        for i in range(4):
            line = lines[0] if i == 0 else mixed
            if i == 1:
                np.add(lines[0], lines[1], out=mixed)
            elif i == 2:
                np.subtract(lines[0], lines[1], out=mixed)
            elif i == 3:
                np.negative(lines[1], out=mixed)
            left, right = line.reshape(wide, 2, dilation, outputs).swapaxes(0, 1)  # (wide, d, O)
            out[i, 0, tile] = left
            np.add(left, right, out=out[i, 1, tile])
            np.subtract(left, right, out=out[i, 2, tile])
            np.negative(right, out=out[i, 3, tile])
