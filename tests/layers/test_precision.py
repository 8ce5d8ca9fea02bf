"""Energies, distances and statistics stay in float32 with auto-cast off, whatever the precision around them.

A CPU has no mixed precision, so what is checked is what the layers ask for: the state of auto-cast and
the types that reach every matrix product.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import paddle
import pytest

from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from paddleseg_ext.layers.encoding import Encoding


@pytest.mark.parametrize("layer, products", [(Encoding(16, 4), 2), (CrissCrossAttention(16), 6)])
def test_matrix_products_are_islands(layer: paddle.nn.Layer, products: int, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = [True]
    seen: list[tuple[bool, Any]] = []
    matmul = paddle.matmul

    @contextlib.contextmanager
    def auto_cast(enable: bool = True, **_: Any) -> Iterator[None]:
        allowed.append(enable)
        yield
        allowed.pop()

    def spy(x: paddle.Tensor, y: paddle.Tensor, **keywords: bool) -> paddle.Tensor:
        seen.extend([(allowed[-1], x.dtype), (allowed[-1], y.dtype)])
        return matmul(x, y, **keywords)

    monkeypatch.setattr(paddle.amp, "auto_cast", auto_cast)
    monkeypatch.setattr(paddle, "matmul", spy)
    x = paddle.randn([1, 16, 5, 4]).astype("float64")  # stands for a type that is not the island's
    layer(x)
    assert seen == [(False, paddle.float32)] * 2 * products


@pytest.mark.gpu
@pytest.mark.parametrize("layer", [Encoding(16, 4), CrissCrossAttention(16)])
def test_half_precision_equals_float32(layer: paddle.nn.Layer) -> None:
    x = paddle.randn([1, 16, 33, 29])
    with paddle.amp.auto_cast(level="O2", dtype="float16"):
        half = layer(x.astype("float16")).astype("float32")
    assert float((half - layer(x)).abs().max() / layer(x).abs().max()) < 1e-2
