"""The CPU kernel of depthwise convolution equals Paddle's, gradients included."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext.cpu import depthwise
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
def test_equals_paddle_with_gradients(
    size: tuple[int, int], k: int, dilation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "SMALLEST_MAP", 1)
    monkeypatch.setattr(depthwise, "CHUNK", 2000)  # several chunks, the last one smaller
    x, kernels, grad_out = paddle.randn([2, 5, *size]), paddle.randn([5, 1, k, k]), paddle.randn([2, 5, *size])
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
    "size, k, dilation, accepted",
    [
        ((32, 32), 3, 1, True),
        ((8, 8), 3, 1, False),
        ((32, 32), 9, 1, False),
        ((32, 32), 2, 2, False),
    ],
)
def test_kernel_is_chosen_by_size(size: tuple[int, int], k: int, dilation: int, accepted: bool) -> None:
    assert depthwise.accepts(paddle.zeros([1, 4, *size]), paddle.zeros([4, 1, k, k]), dilation) == accepted
