"""Every head can be traced with batch, height and width unknown, and the graph gives the eager numbers."""

from __future__ import annotations

from pathlib import Path

import paddle
import pytest

from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from paddleseg_ext.registry import HEADS
from tests.test_segmentor import CLASSES, model

SIZES = [(1, 3, 65, 97), (2, 3, 64, 64), (3, 3, 129, 100)]


@pytest.mark.parametrize("name", HEADS)
def test_traced_model_takes_any_batch_and_size(name: str, tmp_path: Path) -> None:
    eager, source = model(name, align_corners=True), model(name, align_corners=True)
    for layer in eager.sublayers():
        if isinstance(layer, CrissCrossAttention):
            layer.gamma.set_value(paddle.to_tensor([0.7]))
    source.set_state_dict(eager.state_dict())
    eager.eval(), source.eval()
    spec = paddle.static.InputSpec([None, 3, None, None], "float32")
    paddle.jit.save(paddle.jit.to_static(source, input_spec=[spec], full_graph=True), str(tmp_path / "model"))
    traced = paddle.jit.load(str(tmp_path / "model"))
    traced.eval()
    for size in SIZES:
        x = paddle.randn(size)
        with paddle.no_grad():
            expected, found = eager(x)[0], traced(x)
        found = found[0] if isinstance(found, (list, tuple)) else found
        assert found.shape == [size[0], CLASSES, *size[2:]]
        assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())
