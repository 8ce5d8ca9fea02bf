"""Exporting on a card that multiplies in TF32 by default: nothing is refused, and everything is folded."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import paddle
import pytest

from benchmarks import heads as benchmark
from paddleseg_ext.backbones.resnet_v1c import ResNet18_v1c
from paddleseg_ext.export.exporter import Export
from paddleseg_ext.export.fuse_bn import fused
from paddleseg_ext.heads import PSPHead
from paddleseg_ext.segmentor import EncoderDecoder
from tests.export.test_fuse_bn import with_statistics
from tests.gpu_arithmetic import tf32

pytestmark = pytest.mark.skipif(
    not hasattr(paddle.base.core, "set_cublas_switch"), reason="a Paddle without the switch"
)


def network() -> EncoderDecoder:
    paddle.seed(0)
    model = with_statistics(EncoderDecoder(5, ResNet18_v1c(), partial(PSPHead, channels=16)))
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.set_value(paddle.rand(parameter.shape) + 0.5)  # no block is its shortcut
    return model


def test_exports_and_folds_as_without(tmp_path: Path) -> None:
    shape = (1, 3, 64, 96)
    model, x = network(), paddle.randn(shape)
    _, expected = fused(network(), x, lambda difference: difference <= 1e-4)
    with tf32(), paddle.no_grad():
        loose = model(x)[0]
        found = Export(shape=shape).write(model, tmp_path / "tf32")
    with paddle.no_grad():
        exact = model(x)[0]
    assert float((loose - exact).abs().max() / exact.abs().max()) > 1e-4  # which would be refused
    assert found["folded_batch_norms"] == expected > 20
    assert found["verification"]["difference"] < 1e-4


def test_the_benchmark_compares_in_full_float32() -> None:
    with tf32():
        results = list(benchmark.compare_layer("Encoding", (8, 12), 1, 1))
    assert all(result.difference < 1e-5 for result in results)
