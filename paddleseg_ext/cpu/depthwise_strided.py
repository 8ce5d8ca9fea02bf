"""Depthwise convolution of stride 2 by way of all rows and columns, of which every second is kept.

Paddle's kernel uses no vector instructions, OpenCV's does; what it computes in vain stays in the processor's cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle.autograd import PyLayer

from paddleseg_ext.cpu.depthwise import accepts as accepts_plain
from paddleseg_ext.cpu.depthwise import as_array, filter_each
from paddleseg_ext.cpu.depthwise_gradient import strided_kernel_gradient
from paddleseg_ext.cpu.pool import spread
from paddleseg_ext.runtime.arrays import to_array

SMALLEST_MAP = 2**11  # pixels of one picture


def accepts(x: paddle.Tensor, kernels: paddle.Tensor) -> bool:
    """Whether the convolution is faster this way.

    Shape:
        - x: (N, C, H, W)
        - kernels: (C, 1, k, k), k odd
    """
    return x.shape[2] * x.shape[3] >= SMALLEST_MAP and accepts_plain(x, kernels, 1)


def run(x: paddle.Tensor, kernels: paddle.Tensor, first: Sequence[int]) -> paddle.Tensor:
    """Every second row and column, from the `first` on (0 or 1), of the convolution of stride 1; differentiable once.

    Shape:
        - x: (N, C, H, W)
        - kernels: (C, 1, k, k), k odd
        - output: (N, C, ⌈(H - first[0]) / 2⌉, ⌈(W - first[1]) / 2⌉)
    """
    return _Strided.apply(x, kernels, tuple(first))


class _Strided(PyLayer):
    """The convolution and its gradients; saves only its inputs."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, kernels: paddle.Tensor, first: tuple[int, int]) -> paddle.Tensor:
        ctx.save_for_backward(x, kernels)
        ctx.first = first
        ctx.needs_grad = not x.stop_gradient, not kernels.stop_gradient
        maps, weights = to_array(x), as_array(kernels)
        sides = maps.shape[2:]
        out = paddle.empty([*x.shape[:2], *(-(-(side - start) // 2) for side, start in zip(sides, first))])
        outputs, kept = to_array(out), _every_second(first)

        def filter_channels(part: slice) -> None:
            whole = np.empty((1, 1, *sides), np.float32)  # stays in the processor's cache
            for n, c in itertools.product(range(len(maps)), range(part.start, part.stop)):
                filter_each(maps[n : n + 1, c : c + 1], whole, weights[c : c + 1], weights.shape[1] // 2)
                outputs[n, c] = whole[0, 0][kept]

        spread(filter_channels, maps.shape[1], maps.size)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:  # type: ignore[override]
        x, kernels = ctx.saved_tensor()
        dx = _map_gradient(grad_out, as_array(kernels), x.shape, ctx.first) if ctx.needs_grad[0] else None
        k = kernels.shape[2]
        return dx, strided_kernel_gradient(x, grad_out, k, ctx.first) if ctx.needs_grad[1] else None


def _every_second(first: tuple[int, int]) -> tuple[slice, slice]:
    return slice(first[0], None, 2), slice(first[1], None, 2)


def _map_gradient(
    grad_out: paddle.Tensor, weights: np.ndarray, shape: Sequence[int], first: tuple[int, int]
) -> paddle.Tensor:
    """The gradient of the output with zeros in between, convolved with the mirrored kernels."""
    out = paddle.empty(shape)
    targets, grads = to_array(out), to_array(grad_out)
    mirrored, kept = np.ascontiguousarray(weights[:, ::-1, ::-1]), _every_second(first)

    def filter_channels(part: slice) -> None:
        whole = np.zeros((1, 1, *shape[2:]), np.float32)
        for n, c in itertools.product(range(len(grads)), range(part.start, part.stop)):
            whole[0, 0][kept] = grads[n, c]
            filter_each(whole, targets[n : n + 1, c : c + 1], mirrored[c : c + 1], weights.shape[1] // 2)

    spread(filter_channels, shape[1], targets.size)
    return out
