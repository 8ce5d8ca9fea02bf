"""A backbone with channels last under heads with channels first: for GPUs, with the same numbers everywhere."""

from __future__ import annotations

from pathlib import Path

import paddle
import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext import build_model
from paddleseg_ext.errors import UserError
from paddleseg_ext.export.fuse_bn import fused
from paddleseg_ext.segmentor import EncoderDecoder
from tests.export.test_fuse_bn import with_statistics
from tests.test_segmentor import small
from tests.tiny_run import write_config


def pair(name: str = "FCNHead") -> tuple[EncoderDecoder, EncoderDecoder]:
    """Channels first and last, of the same weights."""
    backbones = [manager.BACKBONES["ResNet18_vd"](data_format=layout) for layout in ("NCHW", "NHWC")]
    first, last = (EncoderDecoder(5, backbone, small(name)) for backbone in backbones)
    for layer in first.sublayers():  # the last BatchNorm of a block would take the block away
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer.weight.set_value(paddle.rand(layer.weight.shape) + 0.5)
    missing, unexpected = last.set_state_dict(first.state_dict())
    assert not missing and not unexpected
    return first, last


def relative(found: paddle.Tensor, expected: paddle.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", ["DeepLabV3PlusHead", "FastFCNHead"])  # they read several maps
def test_masks_are_equal(name: str) -> None:
    first, last = pair(name)
    first.eval()
    last.eval()
    x = paddle.randn([1, 3, 65, 97])
    with paddle.no_grad():
        assert relative(last(x)[0], first(x)[0]) <= 1e-5


def test_gradients_are_equal() -> None:
    first, last = pair()
    x = paddle.randn([2, 3, 65, 97])
    for net in (first, last):
        net.eval()  # statistics of two images magnify rounding
        net(x)[0].square().mean().backward()
    for (name, parameter), other in zip(first.named_parameters(), last.parameters()):
        if parameter.grad is not None:
            assert relative(other.grad, parameter.grad) <= 1e-4, name
    assert last.backbone.conv1_1._conv.weight.grad is not None


def test_norms_are_folded() -> None:
    first, last = pair()
    x = paddle.randn([1, 3, 64, 64])
    with paddle.no_grad():
        light, count = fused(with_statistics(last), x)
        assert count == fused(with_statistics(first), x)[1] > 20
        assert relative(light(x)[0], last(x)[0]) <= 1e-4


def test_a_file_says_it_and_a_backbone_that_cannot_is_named(tmp_path: Path) -> None:
    def model(backbone: str) -> dict:
        return {"type": "EncoderDecoder", "backbone": {"type": backbone, "data_format": "NHWC"}, "decode_head": HEAD}

    built = build_model(write_config(tmp_path, model=model("ResNet18_vd")))
    assert built.backbone.data_format == "NHWC"
    with pytest.raises(UserError, match="HRNet_W18.*'data_format'.*ResNet18_vd to ResNet152_vd"):
        build_model(write_config(tmp_path, model=model("HRNet_W18")))


HEAD = {"type": "FCNHead", "channels": 8}
