"""The matrix form of Encoding equals the papers' sum over pixels and codewords."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext.layers.encoding import ContextEncoding, Encoding


def naive(x: paddle.Tensor, layer: Encoding) -> paddle.Tensor:
    """Deep TEN, Eq. 3 and 4, with the full tensor of residuals."""
    pixels = x.flatten(2).transpose([0, 2, 1]).unsqueeze(2)  # (N, P, 1, C)
    residuals = pixels - layer.codewords  # (N, P, K, C)
    weights = F.softmax(layer.scale * (residuals**2).sum(-1), axis=2)  # (N, P, K)
    return (weights.unsqueeze(-1) * residuals).sum(1)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (13, 9)])
def test_equals_naive_form_with_gradients(size: tuple[int, int]) -> None:
    layer = Encoding(16, 8)
    layer.scale.set_value(-0.1 * paddle.rand([8]))  # soft assignments, to which every term contributes
    results = []
    for form in (layer, lambda x: naive(x, layer)):
        layer.clear_gradients()
        paddle.seed(1)
        x = paddle.randn([2, 16, *size])
        x.stop_gradient = False
        out = form(x)
        (out * paddle.cos(paddle.arange(out.size, dtype="float32")).reshape(out.shape)).sum().backward()
        results.append([t.numpy().copy() for t in (out, x.grad, layer.codewords.grad, layer.scale.grad)])
    for ours, reference in zip(*results):
        np.testing.assert_allclose(ours, reference, atol=1e-5 * max(1, np.abs(reference).max()))


def test_codes_are_invariant_to_permuting_pixels() -> None:
    layer = Encoding(8, 4)
    x = paddle.randn([1, 8, 6, 5])
    shuffled = x.flatten(2)[:, :, paddle.randperm(30)].reshape([1, 8, 6, 5])
    np.testing.assert_allclose(layer(shuffled).numpy(), layer(x).numpy(), atol=1e-5)


def test_repeating_the_map_doubles_the_codes() -> None:
    layer = Encoding(8, 4)
    x = paddle.randn([1, 8, 3, 5])
    np.testing.assert_allclose(layer(paddle.concat([x, x], 3)).numpy(), 2 * layer(x).numpy(), rtol=1e-4, atol=1e-5)


def test_context_scales_channels() -> None:
    layer = ContextEncoding(8, 4)
    layer.eval()
    x = paddle.rand([2, 8, 5, 3])
    context, scaled = layer(x)
    assert context.shape == [2, 8]
    ratio = scaled / x
    gamma = F.sigmoid(layer.gate(context)).unsqueeze([2, 3])
    np.testing.assert_allclose(ratio.numpy(), (1 + gamma).expand_as(x).numpy(), rtol=1e-5)


def test_rejects_no_codes() -> None:
    with pytest.raises(ValueError, match="num_codes=0"):
        Encoding(8, 0)
