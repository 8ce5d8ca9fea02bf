"""Winograd transforms F(2×2, 3×3) of tiles, as sums and differences of whole lines in NumPy.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, Sec. 4.1. A tile of the map has 4×4
pixels and overlaps the next by two in either direction; a tile of the output has 2×2. Lines are transposed to channels
last, so that every operation runs over contiguous memory. Tiles are zero-padded beyond the edge of a map.

Transformed tiles are (16, tiles, channels): one matrix of tiles × channels per element of a tile, row by row. Rows of
tiles are spread over threads.
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


def transform_map(x: np.ndarray, out: np.ndarray, top: int, count: int) -> None:
    """Write Bᵀ d B of some rows of tiles.

    Args:
        x: (C, H, W) float32.
        out: (16, tiles, C) float32, which is written to.
        top: First row of tiles, from 0.
        count: Number of rows of tiles.
    """
    _spread_rows(partial(_transform_map, x), out, top, count, -(-x.shape[2] // 2))


def _transform_map(x: np.ndarray, out: np.ndarray, top: int, count: int) -> None:
    channels, _, width = x.shape
    wide = -(-width // 2)
    out = _split(out, count, wide)
    step = min(channels, BLOCK)
    lines = np.zeros((4, 2 * wide + 2, step), np.float32)  # channels last; zeros at both ends
    mixed = np.empty_like(lines[0])
    for first in range(0, channels, step):
        part = slice(first, min(first + step, channels))
        size = part.stop - first
        row = [lines[k, :, :size] for k in range(4)]
        even, odd = mixed[0::2, :size], mixed[1::2, :size]  # (wide + 1, c)
        for tile in range(count):
            y = 2 * (top + tile) - 1  # row of the first line
            if tile == 0:
                for k in range(4):
                    _line(x[part], y + k, row[k])
            else:  # tiles overlap by two lines
                row = [row[2], row[3], row[0], row[1]]
                _line(x[part], y + 2, row[2])
                _line(x[part], y + 3, row[3])
            for i, (function, a, b) in enumerate(ROWS):
                function(row[a], row[b], out=mixed[:, :size])
                np.subtract(even[:-1], even[1:], out=out[i, 0, tile, :, part])
                np.add(odd[:-1], even[1:], out=out[i, 1, tile, :, part])
                np.subtract(even[1:], odd[:-1], out=out[i, 2, tile, :, part])
                np.subtract(odd[:-1], odd[1:], out=out[i, 3, tile, :, part])


def _spread_rows(
    transform: Callable[[np.ndarray, int, int], None], tiles: np.ndarray, top: int, count: int, wide: int
) -> None:
    """Call `transform(tiles, top, count)` for parts of the rows, with the tiles of each part."""

    def rows(part: slice) -> None:
        transform(tiles[:, part.start * wide : part.stop * wide], top + part.start, part.stop - part.start)

    spread(rows, count, tiles.size)


def _split(out: np.ndarray, count: int, wide: int) -> np.ndarray:
    """(16, tiles, C) viewed as (4, 4, count, wide, C) without a copy."""
    a, b, c = out.strides
    return np.lib.stride_tricks.as_strided(out, (4, 4, count, wide, out.shape[2]), (4 * a, a, wide * b, b, c))


def _line(x: np.ndarray, y: int, out: np.ndarray) -> None:
    """Write line y of a map (C, H, W), channels last, after the zero on its left; zeros outside the map."""
    width = x.shape[2]
    if 0 <= y < x.shape[1]:
        out[1 : width + 1] = cv2.transpose(x[:, y])
    else:
        out[1 : width + 1] = 0


def transform_back(products: np.ndarray, out: np.ndarray, top: int, count: int) -> None:
    """Write Aᵀ m A of some rows of tiles.

    Args:
        products: (16, tiles, O) float32.
        out: (O, H, W) float32, rows of which are written to.
        top: First row of tiles, from 0.
        count: Number of rows of tiles.
    """
    _spread_rows(partial(_transform_back, out), products, top, count, -(-out.shape[2] // 2))


def _transform_back(out: np.ndarray, products: np.ndarray, top: int, count: int) -> None:
    outputs, height, width = out.shape
    wide = -(-width // 2)
    products = _split(products, count, wide)
    line = np.empty((wide, 2, outputs), np.float32)
    mixed = np.empty((4, wide, outputs), np.float32)
    for tile in range(count):
        m = products[:, :, tile]  # (4, 4, wide, O)
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
            out[:, 2 * (top + tile) + i] = cv2.transpose(line.reshape(2 * wide, outputs)[:width])


def transform_gradient(grad_out: np.ndarray, out: np.ndarray) -> None:
    """Write A y Aᵀ of all tiles, the transpose of `transform_back`: (O, H, W) to (16, tiles, O)."""
    _, height, width = grad_out.shape
    _spread_rows(partial(_transform_gradient, grad_out), out, 0, -(-height // 2), -(-width // 2))


def _transform_gradient(grad_out: np.ndarray, out: np.ndarray, top: int, count: int) -> None:
    outputs, height, width = grad_out.shape
    wide = -(-width // 2)
    out = _split(out, count, wide)
    lines = np.zeros((2, 2 * wide, outputs), np.float32)
    mixed = np.empty((2 * wide, outputs), np.float32)
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
            left, right = line[0::2], line[1::2]  # (wide, O)
            out[i, 0, tile] = left
            np.add(left, right, out=out[i, 1, tile])
            np.subtract(left, right, out=out[i, 2, tile])
            np.negative(right, out=out[i, 3, tile])
