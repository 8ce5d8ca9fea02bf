"""Criss-cross attention equals a loop over pixels, also on maps of one row or one column."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext.layers.criss_cross import CrissCrossAttention


def brute_force(layer: CrissCrossAttention, x: paddle.Tensor) -> np.ndarray:
    """Softmax per pixel over its column and row; the pixel itself counts once."""
    query, key, value = (conv(x).numpy() for conv in (layer.query, layer.key, layer.value))
    out = np.zeros_like(value)
    n, _, height, width = value.shape
    for b in range(n):
        for i in range(height):
            for j in range(width):
                cross = [(y, j) for y in range(height) if y != i] + [(i, z) for z in range(width)]
                energies = np.array([query[b, :, i, j] @ key[b, :, y, z] for y, z in cross])
                weights = np.exp(energies - energies.max())
                weights /= weights.sum()
                out[b, :, i, j] = sum(w * value[b, :, y, z] for w, (y, z) in zip(weights, cross))
    return layer.gamma.numpy()[0] * out + x.numpy()


def concatenated(layer: CrissCrossAttention, x: paddle.Tensor) -> paddle.Tensor:
    """The usual form, one softmax over the two concatenated energy maps; for gradients."""
    _, _, height, width = x.shape
    query, key, value = (conv(x) for conv in (layer.query, layer.key, layer.value))
    row = paddle.einsum("nchw,nchv->nhwv", query, key)
    column = paddle.einsum("nchw,ncgw->nhwg", query, key)
    column = column + paddle.where(paddle.eye(height) > 0, paddle.full([], -float("inf")), paddle.zeros([])).unsqueeze(
        1
    )
    weights = F.softmax(paddle.concat([column, row], -1), -1)
    out = paddle.einsum("nhwg,ncgw->nchw", weights[..., :height], value)
    out = out + paddle.einsum("nhwv,nchv->nchw", weights[..., height:], value)
    return layer.gamma * out + x


def layer_with_gamma(channels: int = 16) -> CrissCrossAttention:
    layer = CrissCrossAttention(channels)
    layer.gamma.set_value(paddle.to_tensor([0.7]))
    return layer


@pytest.mark.parametrize("size", [(3, 5), (1, 6), (6, 1), (1, 1), (9, 4)])
def test_equals_brute_force(size: tuple[int, int]) -> None:
    layer = layer_with_gamma()
    x = paddle.randn([2, 16, *size])
    np.testing.assert_allclose(layer(x).numpy(), brute_force(layer, x), atol=1e-5)


@pytest.mark.parametrize("size", [(5, 7), (1, 6), (6, 1)])
def test_gradients_equal_the_concatenated_form(size: tuple[int, int]) -> None:
    layer = layer_with_gamma()
    results = []
    for form in (layer, lambda x: concatenated(layer, x)):
        layer.clear_gradients()
        paddle.seed(2)
        x = paddle.randn([2, 16, *size])
        x.stop_gradient = False
        out = form(x)
        (out * paddle.cos(paddle.arange(out.size, dtype="float32")).reshape(out.shape)).sum().backward()
        results.append([out.numpy(), x.grad.numpy()] + [p.grad.numpy().copy() for p in layer.parameters()])
    for ours, reference in zip(*results):
        np.testing.assert_allclose(ours, reference, atol=1e-5 * max(1, np.abs(reference).max()))


def test_is_the_identity_at_initialization() -> None:
    layer = CrissCrossAttention(16)
    x = paddle.randn([1, 16, 4, 5])
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())


def test_two_passes_reach_every_pixel_and_one_does_not() -> None:
    layer = layer_with_gamma()

    def receptive_field(passes: int) -> np.ndarray:
        x = paddle.randn([1, 16, 6, 7])
        x.stop_gradient = False
        out = x
        for _ in range(passes):
            out = layer(out)
        out[0, :, 2, 3].sum().backward()
        return np.abs(x.grad.numpy()[0]).max(0) > 0

    once = receptive_field(1)
    cross = np.zeros((6, 7), bool)
    cross[2], cross[:, 3] = True, True
    np.testing.assert_array_equal(once, cross)
    assert receptive_field(2).all()


def test_large_energies_stay_finite() -> None:
    layer = layer_with_gamma()
    out = layer(1e4 * paddle.randn([1, 16, 5, 5]))
    assert np.isfinite(out.numpy()).all()


def test_rejects_a_reduction_above_the_channels() -> None:
    with pytest.raises(ValueError, match="reduction=32"):
        CrissCrossAttention(16, reduction=32)


def test_frozen_parameters_get_no_gradient() -> None:
    layer = CrissCrossAttention(16, reduction=4)
    layer.query.weight.stop_gradient = layer.gamma.stop_gradient = True
    layer(paddle.randn([1, 16, 4, 5])).sum().backward()
    assert layer.query.weight.grad is None and layer.gamma.grad is None
    assert layer.key.weight.grad is not None
