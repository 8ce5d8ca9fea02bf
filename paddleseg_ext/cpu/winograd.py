"""Winograd convolution F(2×2, 3×3) for wide maps on the CPU: 2.25 times fewer multiplications.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, Sec. 4. From a tile d of 4×4 pixels, a
3×3 kernel g gives an output tile of 2×2 pixels by 16 multiplications instead of 36,

    Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A

and summed over input channels these are 16 matrix products (tiles × C)·(C × O). All coefficients are 0, ±1 and ½, so
rounding errors are those of direct convolution; larger tiles would need fewer multiplications and lose accuracy. The
transformed map is four times as large as the map, where Paddle's convolution writes nine times the map to memory, and
only a band of tiles or a block of channels of it exists at a time.

A convolution of dilation d is d² ordinary ones, each over every d-th row and column of the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
from paddle.autograd import PyLayer

from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.cpu.winograd_tiles import BLOCK, tiles_across, transform_back, transform_gradient, transform_map
from paddleseg_ext.runtime.arrays import to_array

SMALLEST_WIDTH = 128  # input and output channels; below this, the transforms take longer than they save
SMALLEST_MAP = 1024  # pixels of the batch, likewise
NARROW_WIDTH = 32  # the same for maps of which Paddle's nine copies are larger than any cache:
LARGE_MAP = 2**19  # numbers of one picture in as many channels as the narrower side has
BAND = 512  # tiles transformed at once
LARGEST_WASTE = 1.2  # pixels of all tiles of 2×2, those beyond the map included, per pixel of the map

WEIGHTS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)  # G
WEIGHTS_2D = np.kron(WEIGHTS, WEIGHTS)  # (16, 9)


def accepts(x: paddle.Tensor, weight: paddle.Tensor, dilation: int = 1) -> bool:
    """Whether the convolution is large enough to be faster. Arguments as for `layers.functional.conv3x3`."""
    batch, channels, height, width = x.shape
    narrower, pixels = min(channels, weight.shape[0]), height * width
    wide = narrower >= SMALLEST_WIDTH and batch * pixels >= SMALLEST_MAP
    large = NARROW_WIDTH <= narrower < SMALLEST_WIDTH and narrower * pixels >= LARGE_MAP
    if not (wide or large) or (dilation > 1 and 4 * _tiles(height, width, dilation) > LARGEST_WASTE * height * width):
        return False
    return float32_on_cpu(x, weight)


def run(x: paddle.Tensor, weight: paddle.Tensor, dilation: int = 1) -> paddle.Tensor:
    """`layers.functional.conv3x3`, differentiable once."""
    return _Winograd.apply(x, weight, dilation)


def _tiles(height: int, width: int, dilation: int) -> int:
    return sum(tall for _, tall in _rows(height, dilation)) * tiles_across(width, dilation)


def _rows(height: int, dilation: int) -> Iterator[tuple[slice, int]]:
    """Per d-th of a map's lines: which they are, and how many rows of tiles they make."""
    for first in range(min(dilation, height)):
        yield slice(first, None, dilation), -(-(height - first) // (2 * dilation))


class _Winograd(PyLayer):
    """The convolution and its gradients; saves only its inputs."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, dilation: int) -> paddle.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        ctx.needs_grad = not x.stop_gradient, not weight.stop_gradient
        return _convolve(x, weight, dilation)

    @staticmethod
    def backward(ctx: Any, grad_out: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:  # type: ignore[override]
        x, weight = ctx.saved_tensor()
        dx = dw = None
        if ctx.needs_grad[0]:
            dx = _convolve(grad_out, weight, ctx.dilation, mirrored=True)
        if ctx.needs_grad[1]:
            dw = _weight_gradient(x, grad_out, ctx.dilation)
        return dx, dw


def _convolve(x: paddle.Tensor, weight: paddle.Tensor, dilation: int, mirrored: bool = False) -> paddle.Tensor:
    """The convolution, or with ``mirrored`` its transpose: kernels mirrored, input and output channels exchanged."""
    batch, channels, height, width = x.shape
    outputs = weight.shape[1 if mirrored else 0]
    out = paddle.empty([batch, outputs, height, width])
    maps, results = to_array(x), to_array(out)
    across = tiles_across(width, dilation)
    most = max(1, BAND // across)  # rows of tiles per band
    bands = [  # lines, first row and number of rows of each
        (lines, top, min(most, tall - top)) for lines, tall in _rows(height, dilation) for top in range(0, tall, most)
    ]
    blocks = [slice(i, min(i + BLOCK, outputs)) for i in range(0, outputs, BLOCK)]
    single = batch == len(bands) == 1  # then each block of weights is used only once
    weights = {} if single else {block.start: _transform_weight(weight, block, mirrored) for block in blocks}
    band = None
    for n in range(batch):
        for lines, top, count in bands:
            if band is None or band.shape[1] != count * across:
                band = None  # freed before the next
                band = paddle.empty([16, count * across, channels])
            transform_map(maps[n, :, lines], to_array(band), top, count, dilation)
            for block in blocks:
                matrix = _transform_weight(weight, block, mirrored) if single else weights[block.start]
                products = paddle.matmul(band, matrix, transpose_y=not mirrored)  # (16, tiles, o)
                del matrix
                transform_back(to_array(products), results[n, block, lines], top, count, dilation)
                del products
    return out


def _transform_weight(weight: paddle.Tensor, block: slice, mirrored: bool) -> paddle.Tensor:
    """G g Gᵀ for some output channels, (16, o, C); with ``mirrored`` for some input channels, (16, O, c)."""
    part = weight[:, block] if mirrored else weight[block]
    matrix = np.ascontiguousarray(WEIGHTS_2D[:, ::-1]) if mirrored else WEIGHTS_2D
    kernels = part.reshape([-1, 9])
    return paddle.matmul(paddle.to_tensor(matrix, place=weight.place), kernels, transpose_y=True).reshape(
        [16, *part.shape[:2]]
    )


def _weight_gradient(x: paddle.Tensor, grad_out: paddle.Tensor, dilation: int) -> paddle.Tensor:
    batch, outputs, height, width = grad_out.shape
    channels = x.shape[1]
    grad_tiles = paddle.empty([16, batch * _tiles(height, width, dilation), outputs])
    for n, lines, _, tiles in _parts(batch, height, width, dilation):
        transform_gradient(to_array(grad_out)[n, :, lines], to_array(grad_tiles)[:, tiles], dilation)
    out = paddle.empty([outputs, channels, 3, 3])
    for first in range(0, channels, BLOCK):
        part = slice(first, min(first + BLOCK, channels))
        gradient = to_array(_block_gradient(to_array(x)[:, part], grad_tiles, dilation))
        to_array(out)[:, part] = gradient.reshape(outputs, -1, 3, 3)
        del gradient
    return out


def _block_gradient(x: np.ndarray, grad_tiles: paddle.Tensor, dilation: int) -> paddle.Tensor:
    """Gradient (O·c, 9) of the weights of input channels x (N, c, H, W), from the transformed (16, tiles, O)."""
    batch, channels, height, width = x.shape
    block = paddle.empty([16, grad_tiles.shape[1], channels])
    for n, lines, tall, tiles in _parts(batch, height, width, dilation):
        transform_map(x[n, :, lines], to_array(block)[:, tiles], 0, tall, dilation)
    products = paddle.matmul(grad_tiles, block, transpose_x=True)  # (16, O, c)
    del block
    back = paddle.to_tensor(WEIGHTS_2D, place=grad_tiles.place)
    return paddle.matmul(products.reshape([16, -1]), back, transpose_x=True)


def _parts(batch: int, height: int, width: int, dilation: int) -> Iterator[tuple[int, slice, int, slice]]:
    """Number of the picture, lines, rows of tiles, and which of all tiles they are."""
    first, across = 0, tiles_across(width, dilation)
    for n in range(batch):
        for lines, tall in _rows(height, dilation):
            yield n, lines, tall, slice(first, first + tall * across)
            first += tall * across
