"""Energies, distances and statistics are computed in float32 without auto-cast, also within mixed precision.

Attention's values are in the map's type: weights between 0 and 1 average them.

A CPU has no mixed precision, so the test checks the state of auto-cast and the data types of the operands of every
matrix product.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import paddle
import pytest

from benchmarks.amp_emulator import emulated
from paddleseg_ext.layers import functional
from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from paddleseg_ext.layers.encoding import Encoding


@pytest.mark.parametrize("layer, exact, of_values", [(Encoding(16, 4), 2, 0), (CrissCrossAttention(16), 3, 3)])
def test_matrix_products_are_float32_without_auto_cast(
    layer: paddle.nn.Layer, exact: int, of_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled = [True]
    operands: list[tuple[bool, Any]] = []
    matmul = paddle.matmul

    @contextlib.contextmanager
    def auto_cast(enable: bool = True, **_: Any) -> Iterator[None]:
        enabled.append(enable)
        yield
        enabled.pop()

    def recorded(x: paddle.Tensor, y: paddle.Tensor, **keywords: bool) -> paddle.Tensor:
        operands.extend([(enabled[-1], x.dtype), (enabled[-1], y.dtype)])
        return matmul(x, y, **keywords)

    with emulated(), monkeypatch.context() as patch:
        patch.setattr(paddle.amp, "auto_cast", auto_cast)
        patch.setattr(paddle, "matmul", recorded)
        assert layer(paddle.randn([1, 16, 5, 4]).astype("bfloat16")).dtype in (paddle.float32, paddle.bfloat16)
    found = Counter(operands)
    assert found == Counter({(False, paddle.float32): 2 * exact, (False, paddle.bfloat16): 2 * of_values})


@pytest.mark.gpu
@pytest.mark.parametrize("layer", [Encoding(16, 4), CrissCrossAttention(16)])
def test_half_precision_equals_float32(layer: paddle.nn.Layer) -> None:
    x = paddle.randn([1, 16, 33, 29])
    with paddle.amp.auto_cast(level="O2", dtype="float16"):
        half = layer(x.astype("float16")).astype("float32")
    assert float((half - layer(x)).abs().max() / layer(x).abs().max()) < 1e-2


def test_half_maps_are_convolved_depthwise_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paddle's kernels for GPUs would add up in the map's own type."""
    seen = []
    conv2d = functional.F.conv2d

    def recorded(x: paddle.Tensor, weight: paddle.Tensor, **keywords: Any) -> paddle.Tensor:
        seen.append((x.dtype, weight.dtype))
        return conv2d(x, weight, **keywords)

    monkeypatch.setattr(functional.F, "conv2d", recorded)
    x, kernels = paddle.randn([1, 3, 6, 5]).astype("bfloat16"), paddle.randn([3, 1, 3, 3])
    assert functional.depthwise_conv2d(x, kernels, 1).dtype == paddle.bfloat16
    assert seen == [(paddle.float32, paddle.float32)]


@pytest.mark.gpu
@pytest.mark.parametrize("dilation", [1, 2])
def test_depthwise_sums_of_many_pixels_keep_their_digits(dilation: int) -> None:
    """A weight's gradient is a sum over 32,768 pixels; added up in float16 it would stop at 2048 or so."""
    maps = paddle.rand([2, 4, 128, 128]) * 0.1 + 1
    gradients = []
    for dtype in ("float32", "float16"):
        kernels = paddle.ones([4, 1, 3, 3])
        kernels.stop_gradient = False
        with paddle.amp.auto_cast(enable=dtype == "float16", dtype="float16"):
            out = functional.depthwise_conv2d(maps.astype(dtype), kernels, dilation)
        out.astype("float32").sum().backward()
        gradients.append(kernels.grad)
    exact, half = gradients
    assert float(exact.min()) > 30_000
    assert float((half - exact).abs().max() / exact.max()) < 1e-3
