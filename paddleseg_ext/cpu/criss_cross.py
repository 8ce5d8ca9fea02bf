"""Criss-cross attention on the CPU with a hand-written gradient and few changes of layout.

About 70 % of the time of a training step are matrix products; the rest are transpositions between the layouts of rows,
columns and channels. Automatic differentiation repeats each of these and saves their results. Here only the input,
queries, keys, values and the two attention maps are saved.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import paddle
from paddle.autograd import PyLayer

from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.cpu.pool import spread
from paddleseg_ext.layers.functional import FLIP, criss_cross_weights
from paddleseg_ext.runtime.arrays import to_array


def accepts(*tensors: paddle.Tensor) -> bool:
    """Whether NumPy may compute on the tensors. Arguments as for `layers.functional.criss_cross_attention`."""
    return float32_on_cpu(*tensors)


def run(*tensors: paddle.Tensor) -> paddle.Tensor:
    """`layers.functional.criss_cross_attention`, differentiable once."""
    return _CrissCrossFunction.apply(*tensors)


class _CrissCrossFunction(PyLayer):
    """x + γ · attention over row and column; differentiable once.

    Args:
        x: (N, C, H, W).
        query_key_weight: (2R, C), queries first.
        query_key_bias: (2R,).
        value_weight: (C, C).
        value_bias: (C,).
        gamma: γ, (1,).

    Returns:
        (N, C, H, W).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: paddle.Tensor,
        query_key_weight: paddle.Tensor,
        query_key_bias: paddle.Tensor,
        value_weight: paddle.Tensor,
        value_bias: paddle.Tensor,
        gamma: paddle.Tensor,
    ) -> paddle.Tensor:
        batch, channels, height, width = x.shape
        pixels = x.flatten(2)  # (N, C, P)
        query_key = paddle.matmul(pixels, query_key_weight, transpose_x=True, transpose_y=True)  # (N, P, 2R)
        query_key = query_key + query_key_bias
        query, key = paddle.split(query_key.reshape([batch, height, width, -1]), 2, axis=3)  # (N, H, W, R)
        value = paddle.matmul(pixels, value_weight, transpose_x=True, transpose_y=True)
        value = value.reshape([batch, height, width, channels])
        values = to_array(value)
        values += to_array(value_bias)
        row, column, denominator = criss_cross_weights(query, key)
        row, column = row / denominator, column / denominator.transpose(FLIP)
        attended = paddle.matmul(row * gamma, value)  # (N, H, W, C)
        _add_flipped(attended, paddle.matmul(column * gamma, value.transpose(FLIP)))
        out = paddle.empty(x.shape)
        _transpose(to_array(attended).reshape(batch, -1, channels), to_array(out).reshape(batch, channels, -1))
        result = to_array(out)
        result += to_array(x)
        ctx.save_for_backward(x, query_key_weight, value_weight, gamma, query, key, value, row, column)
        inputs = x, query_key_weight, query_key_bias, value_weight, value_bias, gamma
        ctx.needs_grad = [not t.stop_gradient for t in inputs]
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:  # type: ignore[override]
        x, query_key_weight, value_weight, gamma, query, key, value, row, column = ctx.saved_tensor()
        batch, channels, height, width = x.shape
        grad_last = paddle.empty([batch, height, width, channels])
        _transpose(to_array(grad_out).reshape(batch, channels, -1), to_array(grad_last).reshape(batch, -1, channels))
        d_row, d_column, d_value = _attention_gradients(grad_last, value, row, column, gamma)
        del grad_last
        # Gradient of the softmax over row and column: each pixel's weighted mean is subtracted.
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
        d_query_key = paddle.concat([d_query, d_key], axis=3).flatten(1, 2)  # (N, P, 2R)
        d_value = d_value.flatten(1, 2)  # (N, P, C)
        pixels = x.flatten(2)
        grads = [None]
        for part in (d_query_key, d_value):
            grads.append(paddle.matmul(part, pixels, transpose_x=True, transpose_y=True).sum(axis=0))
            grads.append(paddle.matmul(paddle.ones([1, part.shape[1]]), part).sum(axis=[0, 1]))
        if ctx.needs_grad[0]:
            dx = paddle.matmul(value_weight, d_value, transpose_x=True, transpose_y=True)  # (N, C, P)
            total = to_array(dx)
            total += to_array(paddle.matmul(query_key_weight, d_query_key, transpose_x=True, transpose_y=True))
            total += to_array(grad_out).reshape(total.shape)
            grads[0] = dx.reshape(x.shape)
        grads.append(d_gamma)
        return tuple(g if needs_grad else None for g, needs_grad in zip(grads, ctx.needs_grad))


def _attention_gradients(
    grad_last: paddle.Tensor, value: paddle.Tensor, row: paddle.Tensor, column: paddle.Tensor, gamma: paddle.Tensor
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Gradients of both attention maps (without γ) and of the values, from the output's, channels last (N, H, W, C)."""
    d_row = paddle.matmul(grad_last, value, transpose_y=True)  # (N, H, W, W')
    d_value = paddle.matmul(row * gamma, grad_last, transpose_x=True)  # (N, H, W', C)
    flipped = grad_last.transpose(FLIP).contiguous()
    d_column = paddle.matmul(flipped, value.transpose(FLIP), transpose_y=True)  # (N, W, H, H')
    _add_flipped(d_value, paddle.matmul(column * gamma, flipped, transpose_x=True))
    return d_row, d_column, d_value


def _add_flipped(total: paddle.Tensor, other: paddle.Tensor) -> None:
    """Add (N, W, H, C) to (N, H, W, C) in place."""
    result = to_array(total)
    result += to_array(other).transpose(FLIP)


def _transpose(source: np.ndarray, result: np.ndarray) -> None:
    """Write the transpose of (N, A, B) to (N, B, A)."""

    def transpose(part: slice) -> None:
        for matrix, transposed in zip(source[part], result[part]):
            cv2.transpose(matrix, transposed)

    spread(transpose, len(source), source.size)
