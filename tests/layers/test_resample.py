"""Pooling and interpolation matrices equal Paddle's operators."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext.layers.context_conv import shifted_interpolation
from paddleseg_ext.layers.resample import (
    interpolation_matrix,
    pool_matrices,
    pool_matrix,
    pyramid_pool,
    resize,
    spatial_size,
)

SIZES = [(1, 1), (4, 4), (13, 17), (9, 33), (60, 64)]


@pytest.mark.parametrize("size", SIZES)
def test_pyramid_pool_equals_adaptive_pooling(size: tuple[int, int]) -> None:
    bins = (1, 2, 3, 6)
    x = paddle.randn([2, 3, *size])
    ours, theirs = x.clone(), x.clone()
    ours.stop_gradient = theirs.stop_gradient = False
    weights = [paddle.randn([2, 3, k, k]) for k in bins]
    pooled = pyramid_pool(ours, bins)
    stock = [F.adaptive_avg_pool2d(theirs, k) for k in bins]
    for a, b in zip(pooled, stock):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-6)
    sum((a * w).sum() for a, w in zip(pooled, weights)).backward()
    sum((b * w).sum() for b, w in zip(stock, weights)).backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("sizes", [(1, 7), (5, 1), (2, 9), (3, 64), (6, 97), (9, 9), (33, 8)])
def test_interpolation_matrix_equals_interpolate(sizes: tuple[int, int], align_corners: bool) -> None:
    small, large = sizes
    x = paddle.randn([1, 1, small, 1])
    expected = F.interpolate(x, [large, 1], mode="bilinear", align_corners=align_corners)
    matrix = interpolation_matrix(small, large, align_corners)
    np.testing.assert_allclose((matrix @ x[0, 0]).numpy(), expected[0, 0].numpy(), atol=1e-5)
    np.testing.assert_allclose(matrix.sum(1).numpy(), 1, atol=1e-5)


def test_pool_matrix_rows_are_averages() -> None:
    matrix = pool_matrix(10, 4).numpy()
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    assert (matrix[1] > 0).nonzero()[0].tolist() == [2, 3, 4]  # ⌊1·10/4⌋ = 2 up to ⌈2·10/4⌉ = 5


def test_resize_to_the_same_size_returns_the_map() -> None:
    x = paddle.randn([1, 2, 5, 7])
    assert resize(x, spatial_size(x), False) is x


@pytest.mark.parametrize(
    "build, args",
    [
        (pool_matrix, (7, 3)),
        (pool_matrix, (2, 6)),
        (pool_matrices, (7, (3, 2), paddle.bfloat16)),
        (interpolation_matrix, (3, 17, False)),
        (interpolation_matrix, (3, 17, True)),
        (shifted_interpolation, (3, 11, 3, False)),
    ],
)
def test_kept_matrices_are_those_built_anew(build, args: tuple) -> None:
    fresh = build.__wrapped__(*args)
    first = build(*args)
    assert (first == fresh).all() and first.stop_gradient
    assert build(*args) is first
    with paddle.amp.auto_cast(level="O2", dtype="bfloat16"):
        assert build(*args) is first


def test_other_sizes_and_devices_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pool_matrix(9, 2)
    assert pool_matrix(9, 3).shape != first.shape
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:1")
    assert pool_matrix(9, 2) is not first
