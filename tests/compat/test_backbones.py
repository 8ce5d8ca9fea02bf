"""PaddleSeg's backbones that could not be built or run; deformable attention against its formula."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddleseg.cvlibs import manager
from paddleseg.models.layers.ms_deformable_attention import MSDeformAttn

from paddleseg_ext.compat.deformable import ms_deform_attn


def bilinear(values: np.ndarray, x: float, y: float) -> np.ndarray:
    """A map (H, W, C) between its pixels, whose centers are at halves; 0 outside."""
    total = np.zeros(values.shape[2])
    left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < values.shape[0] and 0 <= column < values.shape[1]:
                weight = (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row))
                total += weight * values[row, column]
    return total


def test_deformable_attention_is_its_formula() -> None:
    generator = np.random.default_rng(0)
    count, heads, channels, queries, points, sizes = 2, 3, 4, 5, 2, [(3, 4), (2, 1)]
    length = sum(height * width for height, width in sizes)
    value = generator.normal(size=(count, length, heads, channels))
    places = generator.uniform(-0.2, 1.2, size=(count, queries, heads, len(sizes), points, 2))
    weights = generator.uniform(size=places.shape[:-1])
    expected = np.zeros((count, queries, heads, channels))
    for n in range(count):
        for q in range(queries):
            for h in range(heads):
                start = 0
                for level, (height, width) in enumerate(sizes):
                    level_map = value[n, start : start + height * width, h].reshape(height, width, channels)
                    start += height * width
                    for p in range(points):
                        x, y = places[n, q, h, level, p]
                        sampled = bilinear(level_map, x * width, y * height)
                        expected[n, q, h] += weights[n, q, h, level, p] * sampled
    arguments = [paddle.to_tensor(a.astype("float32")) for a in (value, places, weights)]
    shapes = paddle.to_tensor(sizes, dtype="int64")
    found = ms_deform_attn(arguments[0], shapes, paddle.to_tensor([0, 12]), arguments[1], arguments[2], 64)
    np.testing.assert_allclose(found.numpy(), expected.reshape(count, queries, -1), rtol=1e-4, atol=1e-5)


def test_paddlesegs_layer_computes_it_with_gradients() -> None:
    layer = MSDeformAttn(d_model=8, n_levels=2, n_heads=2, n_points=2)
    shapes = paddle.to_tensor([[3, 4], [2, 1]], dtype="int64")
    x = paddle.randn([1, 14, 8])
    out = layer(paddle.randn([1, 5, 8]), paddle.rand([1, 5, 2, 2]), x, shapes, paddle.to_tensor([0, 12]))
    assert out.shape == [1, 5, 8]
    out.mean().backward()
    assert layer.value_proj.weight.grad is not None and layer.attention_weights.weight.grad is not None


@pytest.mark.parametrize("name, last", [("MobileSeg_Tiny", 128), ("MobileSeg_Base", 192)])
def test_mobile_seg_takes_its_last_stages_channels(name: str, last: int) -> None:
    backbone = manager.BACKBONES.components_dict[name]()
    assert backbone.inj_module.embedding_list[-1].conv.weight.shape[1] == last
    given = manager.BACKBONES.components_dict[name](out_feat_chs=[8, 8, 16])
    assert given.inj_module.embedding_list[-1].conv.weight.shape[1] == 16


def test_cae_variants_are_its_class() -> None:
    backbone = manager.BACKBONES.components_dict["CAE_small_patch16_224"]()
    assert isinstance(backbone, manager.BACKBONES.components_dict["CAE"])
