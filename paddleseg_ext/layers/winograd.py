"""3×3 convolution with 2.25 times fewer products: an exact identity for wide maps on the CPU.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, Sec. 4: F(2×2, 3×3). Of a tile d of 4×4
pixels, a kernel g of 3×3 taps gives an output tile of 2×2 pixels by 16 products instead of 36,

    Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A

and summed over input channels the products are 16 matrix products of (tiles × C)·(C × O). All coefficients are 0, ±1
and ½, so rounding errors are those of the plain convolution; larger tiles would need fewer products and lose digits.
The transformed map is four times the map, where Paddle's convolution writes nine times the map to memory, and here it
exists only for a band of tiles or a block of channels at a time.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from paddleseg_ext.layers.host import array, eager_on_cpu

SMALLEST_WIDTH = 128  # channels on either side below which the transforms cost more than they save
SMALLEST_MAP = 1024  # pixels of all samples, likewise
BAND = 512  # tiles transformed at once
BLOCK = 256  # channels at once, of the input's transform and of the weights'

WEIGHTS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)  # G
WEIGHTS_2D = np.kron(WEIGHTS, WEIGHTS)  # (16, 9)


def conv3x3(x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
    """3×3 convolution with zero padding to the same size, in whichever form is faster.

    On the CPU the result can be differentiated once, elsewhere as often as Paddle's convolution.

    Args:
        x: (N, C, H, W).
        weight: (O, C, 3, 3).

    Returns:
        (N, O, H, W).
    """
    if eager_on_cpu(x, weight) and _worthwhile(x.shape, weight.shape[0]):
        return _Winograd.apply(x, weight)
    return F.conv2d(x, weight, padding=1)


def _worthwhile(shape: list[int], out_channels: int) -> bool:
    batch, channels, height, width = shape
    return min(channels, out_channels) >= SMALLEST_WIDTH and batch * height * width >= SMALLEST_MAP


class _Winograd(PyLayer):
    """`conv3x3` and its gradients; keeps its inputs alone."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.wanted = not x.stop_gradient, not weight.stop_gradient
        return _convolve(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:
        x, weight = ctx.saved_tensor()
        dx = dw = None
        if ctx.wanted[0]:
            dx = _convolve(grad, weight, mirrored=True)
        if ctx.wanted[1]:
            dw = _weight_gradient(x, grad)
        return dx, dw


def _convolve(x: paddle.Tensor, weight: paddle.Tensor, mirrored: bool = False) -> paddle.Tensor:
    """The convolution, or with ``mirrored`` its transpose: taps mirrored, the channels' roles exchanged."""
    batch, channels, height, width = x.shape
    outputs = weight.shape[1 if mirrored else 0]
    out = paddle.empty([batch, outputs, height, width])
    maps, results = array(x), array(out)
    tall, wide = -(-height // 2), -(-width // 2)
    rows = min(tall, max(1, BAND // wide))  # of tiles, in a band
    blocks = [slice(i, min(i + BLOCK, outputs)) for i in range(0, outputs, BLOCK)]
    single = batch == 1 and rows == tall  # then each block of weights is needed only once
    weights = {} if single else {block.start: _transform_weight(weight, block, mirrored) for block in blocks}
    for n in range(batch):
        for top in range(0, tall, rows):
            count = min(rows, tall - top)
            if top == 0 or count < rows:
                band = paddle.empty([16, count * wide, channels])
            _transform_map(maps[n], array(band), top, count)
            for block in blocks:
                matrix = _transform_weight(weight, block, mirrored) if single else weights[block.start]
                products = paddle.matmul(band, matrix, transpose_y=not mirrored)  # (16, tiles, o)
                del matrix
                _transform_back(array(products), results[n, block], top, count)
                del products
    return out


def _transform_weight(weight: paddle.Tensor, block: slice, mirrored: bool) -> paddle.Tensor:
    """G g Gᵀ for some output channels, (16, o, C); with ``mirrored`` for some input channels, (16, O, c)."""
    part = weight[:, block] if mirrored else weight[block]
    matrix = np.ascontiguousarray(WEIGHTS_2D[:, ::-1]) if mirrored else WEIGHTS_2D
    taps = part.reshape([-1, 9])
    return paddle.matmul(paddle.to_tensor(matrix, place=weight.place), taps, transpose_y=True).reshape(
        [16, *part.shape[:2]]
    )


def _weight_gradient(x: paddle.Tensor, grad: paddle.Tensor) -> paddle.Tensor:
    batch, outputs, height, width = grad.shape
    channels, tiles = x.shape[1], -(-height // 2) * -(-width // 2)
    spread = paddle.empty([16, batch * tiles, outputs])
    for n in range(batch):
        _spread(array(grad)[n], array(spread)[:, n * tiles : (n + 1) * tiles])
    out = paddle.empty([outputs, channels, 3, 3])
    for first in range(0, channels, BLOCK):
        part = slice(first, min(first + BLOCK, channels))
        array(out)[:, part] = array(_taps_gradient(array(x)[:, part], spread)).reshape(outputs, -1, 3, 3)
    return out


def _taps_gradient(x: np.ndarray, spread: paddle.Tensor) -> paddle.Tensor:
    """Gradient of the weights that read the channels x (N, c, H, W): (O·c, 9)."""
    batch, channels, height, width = x.shape
    count = -(-height // 2)
    tiles = count * -(-width // 2)
    block = paddle.empty([16, batch * tiles, channels])
    for n in range(batch):
        _transform_map(x[n], array(block)[:, n * tiles : (n + 1) * tiles], 0, count)
    products = paddle.matmul(spread, block, transpose_x=True)  # (16, O, c)
    del block
    back = paddle.to_tensor(WEIGHTS_2D, place=spread.place)
    return paddle.matmul(products.reshape([16, -1]), back, transpose_x=True)


def _transform_map(x: np.ndarray, out: np.ndarray, top: int, count: int) -> None:
    """Bᵀ d B of `count` rows of tiles from `top` on: (C, H, W) into (16, tiles, C)."""
    channels, height, width = x.shape
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
            y = 2 * (top + tile) - 1  # of the first line
            if tile == 0:
                for k in range(4):
                    _line(x[part], y + k, row[k])
            else:  # tiles overlap by two lines
                row = [row[2], row[3], row[0], row[1]]
                _line(x[part], y + 2, row[2])
                _line(x[part], y + 3, row[3])
            for i, (function, a, b) in enumerate(
                ((np.subtract, 0, 2), (np.add, 1, 2), (np.subtract, 2, 1), (np.subtract, 1, 3))
            ):
                function(row[a], row[b], out=mixed[:, :size])
                np.subtract(even[:-1], even[1:], out=out[i, 0, tile, :, part])
                np.add(odd[:-1], even[1:], out=out[i, 1, tile, :, part])
                np.subtract(even[1:], odd[:-1], out=out[i, 2, tile, :, part])
                np.subtract(odd[:-1], odd[1:], out=out[i, 3, tile, :, part])


def _split(out: np.ndarray, count: int, wide: int) -> np.ndarray:
    """(16, tiles, C) seen as (4, 4, count, wide, C) without a copy."""
    a, b, c = out.strides
    return np.lib.stride_tricks.as_strided(out, (4, 4, count, wide, out.shape[2]), (4 * a, a, wide * b, b, c))


def _line(x: np.ndarray, y: int, out: np.ndarray) -> None:
    """Line y of a map (C, H, W), channels last, behind the zero at its left; zeros outside the map."""
    width = x.shape[2]
    if 0 <= y < x.shape[1]:
        out[1 : width + 1] = cv2.transpose(x[:, y])
    else:
        out[1 : width + 1] = 0


def _transform_back(products: np.ndarray, out: np.ndarray, top: int, count: int) -> None:
    """Aᵀ m A of `count` rows of tiles from `top` on: (16, tiles, O) into rows of (O, H, W)."""
    outputs, height, width = out.shape
    wide = -(-width // 2)
    products = products.reshape(4, 4, count, wide, outputs)
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


def _spread(grad: np.ndarray, out: np.ndarray) -> None:
    """A y Aᵀ of all tiles, the transpose of `_transform_back`: (O, H, W) into (16, tiles, O)."""
    outputs, height, width = grad.shape
    tall, wide = -(-height // 2), -(-width // 2)
    out = _split(out, tall, wide)
    lines = np.zeros((2, 2 * wide, outputs), np.float32)
    mixed = np.empty((2 * wide, outputs), np.float32)
    for tile in range(tall):
        for i in range(2):
            y = 2 * tile + i
            lines[i, :width] = cv2.transpose(grad[:, y]) if y < height else 0
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
