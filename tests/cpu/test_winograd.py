"""Winograd convolution equals Paddle's, gradients included, and is not used for unsupported arguments."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddleseg_ext.cpu import conditions, winograd
from paddleseg_ext.inspection.analysis.memory import peak_allocation
from paddleseg_ext.layers.functional import conv3x3


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept every size, with several bands and blocks."""
    for name, value in {"SMALLEST_WIDTH": 1, "SMALLEST_MAP": 1, "BAND": 20, "BLOCK": 4}.items():
        monkeypatch.setattr(winograd, name, value)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("channels", [(1, 1), (5, 9), (12, 4)])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (9, 1), (13, 17), (8, 12)])
@pytest.mark.parametrize("dilation", [1, 2, 5])
def test_equals_paddle_with_gradients(
    dilation: int, size: tuple[int, int], channels: tuple[int, int], batch: int
) -> None:
    x, weight = paddle.randn([batch, channels[0], *size]), paddle.randn([channels[1], channels[0], 3, 3])
    grad_out = paddle.randn([batch, channels[1], *size])
    x.stop_gradient = weight.stop_gradient = False
    out, reference = winograd.run(x, weight, dilation), F.conv2d(x, weight, padding=dilation, dilation=dilation)
    pairs = zip(paddle.grad(out, [x, weight], grad_out), paddle.grad(reference, [x, weight], grad_out))
    for ours, expected in [(out, reference), *pairs]:
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_wide_maps_are_as_exact_as_direct_convolution() -> None:
    x, weight = F.relu(paddle.randn([1, 512, 32, 33])), paddle.randn([128, 512, 3, 3])
    out, exact = conv3x3(x, weight), F.conv2d(x.astype("float64"), weight.astype("float64"), padding=1)
    np.testing.assert_allclose(out.numpy(), exact.numpy(), rtol=0, atol=2e-6 * float(exact.abs().max()))


@pytest.mark.usefixtures("everywhere")
def test_gradients_only_where_needed() -> None:
    x, weight = paddle.randn([1, 3, 5, 6]), paddle.randn([4, 3, 3, 3])
    weight.stop_gradient = False
    conv3x3(x, weight).sum().backward()
    assert x.grad is None and weight.grad is not None
    x.stop_gradient, weight = False, weight.detach()
    conv3x3(x, weight).sum().backward()
    assert x.grad is not None and weight.grad is None


@pytest.mark.usefixtures("everywhere")
def test_a_transposed_view() -> None:
    x, weight = paddle.randn([2, 6, 5, 3]).transpose([0, 3, 1, 2]), paddle.randn([3, 4, 3, 3]).transpose([1, 0, 2, 3])
    np.testing.assert_allclose(conv3x3(x, weight).numpy(), F.conv2d(x, weight, padding=1).numpy(), atol=1e-5)


@pytest.mark.parametrize("case", ["narrow", "small", "float64", "auto-cast"])
def test_is_not_used(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*_: object) -> None:
        raise AssertionError("Winograd convolution")

    monkeypatch.setattr(winograd._Winograd, "apply", unexpected)
    channels, side = (8 if case == "narrow" else 128), (8 if case == "small" else 32)
    dtype = "float64" if case == "float64" else "float32"
    x, weight = paddle.randn([1, channels, side, side], dtype), paddle.randn([channels, channels, 3, 3], dtype)
    if case == "auto-cast":  # on a CPU Paddle enables it only if the processor has bfloat16
        monkeypatch.setattr(conditions, "autocast_enabled", lambda: True)
    assert conv3x3(x, weight).shape == x.shape


@pytest.mark.skipif(
    not hasattr(paddle.base.core, "host_memory_stat_reset_peak_value"), reason="Paddle < 3.0 cannot reset the peak"
)
@pytest.mark.parametrize("channels", [(1024, 256), (512, 512)])
def test_needs_less_memory_than_paddle(channels: tuple[int, int]) -> None:
    x, weight = paddle.randn([1, channels[0], 32, 64]), paddle.randn([channels[1], channels[0], 3, 3])
    x.stop_gradient = weight.stop_gradient = False

    def step(convolution: object) -> None:
        paddle.grad(convolution(x, weight).sum(), [x, weight])

    ours = peak_allocation(lambda: step(conv3x3))
    assert ours < peak_allocation(lambda: step(lambda x, weight: F.conv2d(x, weight, padding=1)))


@pytest.mark.parametrize(
    "shape, outputs, accepted",
    [
        ([1, 128, 32, 32], 128, True),
        ([1, 2048, 16, 32], 512, False),
        ([1, 2048, 32, 31], 64, False),
        ([1, 64, 32, 64], 128, False),
        ([8, 64, 45, 60], 64, False),
        ([1, 64, 64, 128], 64, True),  # Paddle's nine copies are larger than a cache
        ([1, 64, 128, 256], 16, False),
    ],
)
def test_kernel_is_chosen_by_size(shape: list[int], outputs: int, accepted: bool) -> None:
    assert winograd.accepts(paddle.zeros(shape), paddle.zeros([outputs, shape[1], 3, 3])) == accepted
