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
