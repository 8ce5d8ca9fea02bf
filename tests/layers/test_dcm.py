"""Dynamic convolution equals a loop over pixels and kernel elements."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddleseg_ext.layers.dcm import DynamicConv, _sum_of_shifts, depthwise_per_sample


def loop(x: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Cross-correlation with zero padding; even kernels extend one cell further up and left."""
    k = kernels.shape[2]
    before = k - 1 - (k - 1) // 2
    out = np.zeros_like(x)
    _, _, height, width = x.shape
    for i in range(height):
        for j in range(width):
            for a in range(k):
                for b in range(k):
                    y, z = i + a - before, j + b - before
                    if 0 <= y < height and 0 <= z < width:
                        out[:, :, i, j] += x[:, :, y, z] * kernels[:, :, a, b]
    return out


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("size", [(2, 2), (5, 9)])
def test_equals_loop(k: int, size: tuple[int, int]) -> None:
    x, kernels = np.random.randn(2, 3, *size).astype("float32"), np.random.randn(2, 3, k, k).astype("float32")
    ours = depthwise_per_sample(paddle.to_tensor(x), paddle.to_tensor(kernels))
    np.testing.assert_allclose(ours.numpy(), loop(x, kernels), atol=1e-5)


@pytest.mark.parametrize("k", [3, 4, 7])
def test_traced_form_equals_eager_form_with_gradients(k: int) -> None:
    results = []
    for form in (depthwise_per_sample, _sum_of_shifts):
        paddle.seed(3)
        x, kernels = paddle.randn([2, 4, 5, 7]), paddle.randn([2, 4, k, k])
        x.stop_gradient = kernels.stop_gradient = False
        out = form(x, kernels)
        (out * paddle.cos(paddle.arange(out.size, dtype="float32")).reshape(out.shape)).sum().backward()
        results.append([out.numpy(), x.grad.numpy(), kernels.grad.numpy()])
    for ours, reference in zip(*results):
        np.testing.assert_allclose(ours, reference, atol=1e-5)


def test_delta_kernel_is_the_identity() -> None:
    x = paddle.randn([2, 3, 6, 5])
    kernels = paddle.zeros([2, 3, 5, 5])
    kernels[:, :, 2, 2] = 1
    np.testing.assert_allclose(depthwise_per_sample(x, kernels).numpy(), x.numpy(), atol=1e-6)


def test_rejects_an_empty_filter() -> None:
    with pytest.raises(ValueError, match="filter_size=0"):
        DynamicConv(4, 4, 0)
