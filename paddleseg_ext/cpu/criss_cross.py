"""Criss-cross attention on the CPU, executed eagerly: its gradient written down, its changes of layout counted.

Seven in ten parts of the time of a training step are matrix products that no form can avoid; what is left is moving
maps between the layouts that rows, columns and channels want. Automatic differentiation repeats each of those moves and
keeps their results. Here the map, the values and the two small maps of weights are all that is kept.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import paddle
from paddle.autograd import PyLayer

from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.layers.functional import FLIP, criss_cross_weights
from paddleseg_ext.runtime.arrays import to_array


def accepts(*tensors: paddle.Tensor) -> bool:
    """Whether NumPy may work on the tensors. Arguments as for `layers.functional.criss_cross_attention`."""
    return float32_on_cpu(*tensors)


def run(*tensors: paddle.Tensor) -> paddle.Tensor:
    """`layers.functional.criss_cross_attention`, differentiable once."""
    return _CrissCrossFunction.apply(*tensors)


class _CrissCrossFunction(PyLayer):
    """x + γ · the values attended to; differentiable once.

    Args:
        x: (N, C, H, W).
        projection: Weights of queries and keys, (2R, C).
        offset: Their biases, (2R,).
        value_projection: (C, C).
        value_offset: (C,).
        gamma: γ, (1,).

    Returns:
        (N, C, H, W).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: paddle.Tensor,
        projection: paddle.Tensor,
        offset: paddle.Tensor,
        value_projection: paddle.Tensor,
        value_offset: paddle.Tensor,
        gamma: paddle.Tensor,
    ) -> paddle.Tensor:
        batch, channels, height, width = x.shape
        pixels = x.flatten(2)  # (N, C, P)
        both = paddle.matmul(pixels, projection, transpose_x=True, transpose_y=True) + offset  # (N, P, 2R)
        query, key = paddle.split(both.reshape([batch, height, width, -1]), 2, axis=3)
        value = paddle.matmul(pixels, value_projection, transpose_x=True, transpose_y=True)
        value = value.reshape([batch, height, width, channels])
        values = to_array(value)
        values += to_array(value_offset)
        row, column, mass = criss_cross_weights(query, key)
        row, column = row / mass, column / mass.transpose(FLIP)
        attended = paddle.matmul(row * gamma, value)  # (N, H, W, C)
        _add_flipped(attended, paddle.matmul(column * gamma, value.transpose(FLIP)))
        out = paddle.empty(x.shape)
        _transpose(to_array(attended).reshape(batch, -1, channels), to_array(out).reshape(batch, channels, -1))
        result = to_array(out)
        result += to_array(x)
        ctx.save_for_backward(x, projection, value_projection, gamma, query, key, value, row, column)
        ctx.needs_grad = [not t.stop_gradient for t in (x, projection, offset, value_projection, value_offset, gamma)]
        return out

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:  # type: ignore[override]
        x, projection, value_projection, gamma, query, key, value, row, column = ctx.saved_tensor()
        batch, channels, height, width = x.shape
        last = paddle.empty([batch, height, width, channels])
        _transpose(to_array(grad).reshape(batch, channels, -1), to_array(last).reshape(batch, -1, channels))
        d_row, d_column, d_value = _through_values(last, value, row, column, gamma)
        del last
        # Softmax over row and column together: of each pixel's gradients its weighted mean is taken off.
        mean = (row * d_row).sum(axis=3, keepdim=True)
        mean += (column * d_column).sum(axis=3, keepdim=True).transpose(FLIP)  # (N, H, W, 1)
        d_gamma = mean.sum().reshape([1])
        d_row = gamma * row * (d_row - mean)
        d_column = gamma * column * (d_column - mean.transpose(FLIP))
        d_query = paddle.matmul(d_row, key)
        _add_flipped(d_query, paddle.matmul(d_column, key.transpose(FLIP)))
        d_key = paddle.matmul(d_row, query, transpose_x=True)
        _add_flipped(d_key, paddle.matmul(d_column, query.transpose(FLIP), transpose_x=True))
        del d_row, d_column
        d_both = paddle.concat([d_query, d_key], axis=3).flatten(1, 2)  # (N, P, 2R)
        d_value = d_value.flatten(1, 2)  # (N, P, C)
        pixels = x.flatten(2)
        grads = [None]
        for part in (d_both, d_value):
            grads.append(paddle.matmul(part, pixels, transpose_x=True, transpose_y=True).sum(axis=0))
            grads.append(paddle.matmul(paddle.ones([1, part.shape[1]]), part).sum(axis=[0, 1]))
        if ctx.needs_grad[0]:
            dx = paddle.matmul(value_projection, d_value, transpose_x=True, transpose_y=True)  # (N, C, P)
            total = to_array(dx)
            total += to_array(paddle.matmul(projection, d_both, transpose_x=True, transpose_y=True))
            total += to_array(grad).reshape(total.shape)
            grads[0] = dx.reshape(x.shape)
        grads.append(d_gamma)
        return tuple(g if needed else None for g, needed in zip(grads, ctx.needs_grad))


def _through_values(
    grad: paddle.Tensor, value: paddle.Tensor, row: paddle.Tensor, column: paddle.Tensor, gamma: paddle.Tensor
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Gradients of the weights, before γ, and of the values, for one of the attended values (N, H, W, C)."""
    d_row = paddle.matmul(grad, value, transpose_y=True)  # (N, H, W, W')
    d_value = paddle.matmul(row * gamma, grad, transpose_x=True)  # (N, H, W', C)
    flipped = grad.transpose(FLIP).contiguous()
    d_column = paddle.matmul(flipped, value.transpose(FLIP), transpose_y=True)  # (N, W, H, H')
    _add_flipped(d_value, paddle.matmul(column * gamma, flipped, transpose_x=True))
    return d_row, d_column, d_value


def _add_flipped(total: paddle.Tensor, other: paddle.Tensor) -> None:
    """Add (N, W, H, C) to (N, H, W, C) in place."""
    result = to_array(total)
    result += to_array(other).transpose(FLIP)


def _transpose(source: np.ndarray, result: np.ndarray) -> None:
    """(N, A, B) into (N, B, A)."""
    for matrix, transposed in zip(source, result):
        cv2.transpose(matrix, transposed)
