"""Criss-cross attention with a hand-written gradient equals the reference form."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import paddle
import pytest

from paddleseg_ext.cpu import disabled
from paddleseg_ext.layers.criss_cross import CrissCrossAttention


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 1), (6, 9)])
def test_gradients_equal_automatic_differentiation(size: tuple[int, int]) -> None:
    layer = CrissCrossAttention(16, reduction=4)
    layer.gamma.set_value(paddle.to_tensor([0.7]))
    x, grad_out = paddle.randn([2, 16, *size]), paddle.randn([2, 16, *size])
    x.stop_gradient = False
    results = []
    for form in (nullcontext, disabled):
        with form():
            out = layer(x)
            results.append([out, *paddle.grad(out, [x, *layer.parameters()], grad_out)])
    for ours, reference in zip(*results):
        largest = max(
            1, float(reference.abs().max())
        )  # the gradient of the key's bias is zero: it shifts all energies equally
        np.testing.assert_allclose(ours.numpy(), reference.numpy(), rtol=0, atol=1e-5 * largest)
