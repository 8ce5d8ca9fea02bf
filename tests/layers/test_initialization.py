"""How every layer of every head and of ResNet-v1c begins, beside the sources' formulas."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext.backbones.resnet_v1c import BasicBlock, Bottleneck, ResNet18_v1c, ResNet50_v1c
from paddleseg_ext.heads import FastFCNHead
from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from paddleseg_ext.layers.encoding import Encoding
from paddleseg_ext.registry import HEADS

CHANNELS = (64, 128, 256, 512)  # of the backbone's maps
CLASSES = 150


def check_normal(found: paddle.Tensor, deviation: float) -> None:
    check(found, deviation)
    assert found.abs().max() > 2.5 * deviation or found.size < 500  # not uniform


def check_uniform(found: paddle.Tensor, fan_in: int) -> None:
    bound = 1 / math.sqrt(fan_in)
    assert found.abs().max() <= bound * 1.0001
    check(found, bound / math.sqrt(3))


def check(found: paddle.Tensor, deviation: float) -> None:
    """Deviation and mean within 5 %, and what as few numbers scatter by."""
    values = found.numpy().astype(np.float64)
    scatter = 4 / math.sqrt(values.size)
    assert abs(values.std() / deviation - 1) < 0.05 + scatter
    assert abs(values.mean()) < (0.05 + scatter) * deviation


def check_constant(found: paddle.Tensor, value: float) -> None:
    assert (found.numpy() == value).all()


def known(layer: nn.Layer, name: str) -> dict[str, paddle.Tensor]:
    """Check a layer that has parameters of its own by its formula."""
    if isinstance(layer, (nn.BatchNorm2D, nn.BatchNorm1D)):
        check_constant(layer.weight, 1.0)
        check_constant(layer.bias, 0.0)
    elif isinstance(layer, Encoding):
        check_uniform(layer.codewords, layer.codewords.size)
        assert -1 <= layer.scale.min() and layer.scale.max() <= 0
    elif isinstance(layer, CrissCrossAttention):
        check_constant(layer.gamma, 0.0)
    elif isinstance(layer, nn.Linear):
        check_uniform(layer.weight, layer.weight.shape[0])
        check_uniform(layer.bias, layer.weight.shape[0])
    elif name.endswith("classifier"):
        check_normal(layer.weight, 0.01)
        check_constant(layer.bias, 0.0)
    elif name.endswith(".conv"):  # of a ConvNormAct
        out_channels, _, height, width = layer.weight.shape
        check_normal(layer.weight, math.sqrt(2 / (out_channels * height * width)))
        if layer.bias is not None:
            check_constant(layer.bias, 0.0)
    else:
        assert isinstance(layer, nn.Conv2D), name
        check_uniform(layer.weight, int(np.prod(layer.weight.shape[1:])))
        check_uniform(layer.bias, int(np.prod(layer.weight.shape[1:])))


@pytest.mark.parametrize("name", sorted(HEADS.keys() - {"FastFCNHead"}))
def test_heads_begin_by_the_sources_formulas(name: str) -> None:
    paddle.seed(0)
    head = HEADS[name](CHANNELS, CLASSES)
    for path, layer in head.named_sublayers(include_self=True):
        if layer.parameters(include_sublayers=False):
            known(layer, path)


def test_fastfcn_around_each_head() -> None:
    paddle.seed(0)
    for path, layer in FastFCNHead(CHANNELS, CLASSES, head=HEADS["EncHead"]).named_sublayers():
        if layer.parameters(include_sublayers=False):
            known(layer, path)


@pytest.mark.parametrize("groups", [1, 64])
@pytest.mark.parametrize("norm", [True, False])
def test_convolutions_count_their_outputs_as_pytorch_does(groups: int, norm: bool) -> None:
    paddle.seed(0)
    known(ConvNormAct(64, 64, 3, groups=groups, norm=norm).conv, "x.conv")


@pytest.mark.parametrize("build, block", [(ResNet18_v1c, BasicBlock), (ResNet50_v1c, Bottleneck)])
def test_blocks_of_the_backbone_begin_as_their_shortcuts(build: type, block: type) -> None:
    paddle.seed(0)
    backbone = build()
    last = {
        id(layer.bn3 if block is Bottleneck else layer.bn2) for layer in backbone.sublayers() if type(layer) is block
    }
    for path, layer in backbone.named_sublayers():
        if isinstance(layer, nn.Conv2D):
            known(layer, f"{path}.conv")
        elif isinstance(layer, nn.BatchNorm2D):
            check_constant(layer.weight, 0.0 if id(layer) in last else 1.0)
    assert len(last) == {BasicBlock: 8, Bottleneck: 16}[block]


def test_criss_cross_energies_begin_small() -> None:
    paddle.seed(0)
    attention = CrissCrossAttention(512)
    x = paddle.nn.functional.relu(paddle.randn([2, 512, 12, 12]))
    query, key = attention.query(x), attention.key(x)
    energies = paddle.einsum("nchw,ncgw->nhwg", query, key)  # down the columns
    assert float(energies.std()) <= 1.5
