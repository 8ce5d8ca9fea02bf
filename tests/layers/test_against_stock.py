"""Layers equal PaddleSeg's own with the same weights."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddleseg.models import layers as stock
from paddleseg.models.layers.layer_libs import JPU as StockJPU

from paddleseg_ext.layers.aspp import ASPP
from paddleseg_ext.layers.context_conv import ContextConv
from paddleseg_ext.layers.jpu import JPU
from paddleseg_ext.layers.ppm import PyramidPooling


def copy_block(target: paddle.nn.Layer, source: paddle.nn.Layer) -> None:
    """Stock ConvBN(ReLU) → ConvNormAct; its convolution's bias is folded into the mean that BatchNorm subtracts."""
    target.conv.weight.set_value(source._conv.weight)
    norm = source._batch_norm
    paddle.nn.initializer.Uniform(0.5, 1.5)(norm.weight)
    paddle.nn.initializer.Uniform(-0.5, 0.5)(norm.bias)
    norm._mean.set_value(paddle.randn(norm._mean.shape))
    norm._variance.set_value(paddle.rand(norm._variance.shape) + 0.5)
    for name in ("weight", "bias", "_mean", "_variance"):
        getattr(target.norm, name).set_value(getattr(norm, name))
    if source._conv.bias is not None:
        target.norm._mean.set_value(norm._mean - source._conv.bias)


def assert_same(ours: paddle.Tensor, theirs: paddle.Tensor) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("align_corners", [False, True])
def test_pyramid_pooling_and_its_bottleneck(align_corners: bool) -> None:
    bins = (1, 2, 3, 6)
    theirs = stock.PPModule(16, 8, bin_sizes=bins, dim_reduction=True, align_corners=align_corners)
    pyramid = PyramidPooling(
        16, 4, bins[::-1]
    )  # stock divides its input's channels, and concatenates the finest grid first
    bottleneck = ContextConv(32, 8, 3, align_corners=align_corners)
    for branch, stage in zip(pyramid.branches, theirs.stages[::-1]):
        copy_block(branch, stage[1])
    copy_block(bottleneck, theirs.conv_bn_relu2)
    for layer in (pyramid, bottleneck, theirs):
        layer.eval()
    x = paddle.randn([2, 16, 25, 31])
    assert_same(bottleneck(x, pyramid(x)), theirs(x))


def test_aspp_in_paddlesegs_variant() -> None:
    rates = (1, 2, 3, 5)
    theirs = stock.ASPPModule(rates, 16, 8, False, use_sep_conv=True, image_pooling=True)
    ours = ASPP(16, 8, rates[1:], separable=True, dw_act=False, branch_order="pool_last")
    copy_block(ours.pointwise, theirs.aspp_blocks[0])
    for branch, block in zip(ours.atrous, theirs.aspp_blocks[1:]):
        copy_block(branch.depthwise, block.depthwise_conv)
        copy_block(branch.pointwise, block.piontwise_conv)
    copy_block(ours.image_pool, theirs.global_avg_pool[1])
    copy_block(ours.project, theirs.conv_bn_relu)
    ours.eval(), theirs.eval()
    x = paddle.randn([2, 16, 13, 17])
    assert_same(ours(x), theirs(x))


def test_jpu_in_the_order_of_the_paper() -> None:
    channels = [8, 16, 32]
    theirs = StockJPU(channels, 8)
    ours = JPU(channels, 8, align_corners=True)
    for i, block in enumerate([theirs.conv3, theirs.conv4, theirs.conv5]):
        copy_block(ours.laterals[i], block)
    for i in range(4):
        block = getattr(theirs, f"dilation{i + 1}")
        copy_block(ours.dilated[i].depthwise, block.depthwise_conv)
        copy_block(ours.dilated[i].pointwise, block.piontwise_conv)
    ours.eval(), theirs.eval()
    feats = [paddle.randn([2, c, *size]) for c, size in zip(channels, [(9, 13), (5, 7), (3, 4)])]
    assert_same(ours(feats), theirs(*feats)[-1])
