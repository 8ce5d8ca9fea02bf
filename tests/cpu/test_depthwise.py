"""The CPU kernel of depthwise convolution equals Paddle's, gradients included."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext.cpu import depthwise, depthwise_gradient, depthwise_strided
from paddleseg_ext.layers.functional import depthwise_conv2d

CASES = [  # k, dilation
    *((k, 1) for k in range(1, 9)),
    *((3, d) for d in (2, 3, 6, 12, 36, 600)),
    *((5, d) for d in (2, 4)),
    (7, 3),
    (4, 2),
]


@pytest.mark.parametrize("k, dilation", CASES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 3), (13, 17), (37, 24)])
@pytest.mark.parametrize("pictures, chunk, large_map", [(2, 2000, 1), (3, 2000, 2**30), (5, 700, 2**30)])
def test_equals_paddle_with_gradients(
    size: tuple[int, int],
    k: int,
    dilation: int,
    pictures: int,
    chunk: int,
    large_map: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # chunks of several channels and of several pictures, the last one smaller
    for name, value in {"SMALLEST_MAP": 1, "SMALLEST_PLAIN": 1, "CHUNK": chunk, "LARGE_MAP": large_map}.items():
        monkeypatch.setattr(depthwise, name, value)
    for name, value in {"CHUNK": chunk, "PIECE": chunk // 9}.items():
        monkeypatch.setattr(depthwise_gradient, name, value)
    x, kernels, grad_out = (paddle.randn(shape) for shape in ([pictures, 5, *size], [5, 1, k, k], [pictures, 5, *size]))
    x.stop_gradient = kernels.stop_gradient = False
    after = (k - 1) // 2 * dilation
    before = (k - 1) * dilation - after
    out = depthwise_conv2d(x, kernels, dilation)
    reference = F.conv2d(x, kernels, padding=[before, after, before, after], dilation=dilation, groups=5)
    pairs = zip(paddle.grad(out, [x, kernels], grad_out), paddle.grad(reference, [x, kernels], grad_out))
    for ours, expected in [(out, reference), *pairs]:
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_gradients_only_where_needed() -> None:
    x, kernels = paddle.randn([1, 3, 32, 33]), paddle.randn([3, 1, 3, 3])
    kernels.stop_gradient = False
    depthwise_conv2d(x, kernels, 1).sum().backward()
    assert x.grad is None and kernels.grad is not None


@pytest.mark.parametrize(
    "pictures, size, k, dilation, accepted",
    [
        (1, (64, 64), 3, 1, True),
        (1, (32, 32), 3, 1, False),
        (8, (32, 32), 3, 1, True),
        (1, (32, 32), 3, 2, True),
        (1, (32, 32), 5, 1, True),
        (1, (8, 8), 5, 1, False),
        (8, (8, 8), 5, 1, True),
        (1, (32, 32), 9, 1, False),
        (1, (32, 32), 2, 2, False),
    ],
)
def test_kernel_is_chosen_by_size(pictures: int, size: tuple[int, int], k: int, dilation: int, accepted: bool) -> None:
    assert depthwise.accepts(paddle.zeros([pictures, 4, *size]), paddle.zeros([4, 1, k, k]), dilation) == accepted


def test_with_gradients_smaller_maps_are_worth_it() -> None:
    x, kernels = paddle.zeros([1, 4, 32, 32]), paddle.zeros([4, 1, 3, 3])
    x.stop_gradient = False
    assert depthwise.accepts(x, kernels, 1)
    with paddle.no_grad():
        assert not depthwise.accepts(x, kernels, 1)


@pytest.mark.parametrize("k", [3, 5, 7])
@pytest.mark.parametrize("first", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("size", [(2, 2), (2, 9), (8, 3), (13, 16), (40, 67)])
@pytest.mark.parametrize("chunk", [300, 2**18])
def test_stride_of_two_equals_paddle_with_gradients(
    size: tuple[int, int], first: tuple[int, int], k: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise_gradient, "CHUNK", chunk)
    monkeypatch.setattr(depthwise_gradient, "PIECE", 64)
    x, kernels = paddle.randn([3, 5, *size]), paddle.randn([5, 1, k, k])
    x.stop_gradient = kernels.stop_gradient = False
    out = depthwise_strided.run(x, kernels, first)
    reference = F.conv2d(x, kernels, padding=k // 2, groups=5)[:, :, first[0] :: 2, first[1] :: 2]
    grad_out = paddle.randn(reference.shape)
    pairs = zip(paddle.grad(out, [x, kernels], grad_out), paddle.grad(reference, [x, kernels], grad_out))
    for ours, expected in [(out, reference), *pairs]:
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_stride_of_two_is_chosen_by_size() -> None:
    kernels = paddle.zeros([4, 1, 3, 3])
    assert depthwise_strided.accepts(paddle.zeros([1, 4, 48, 48]), kernels)
    assert not depthwise_strided.accepts(paddle.zeros([8, 4, 32, 32]), kernels)
