"""ResNet-v1c: sizes, dilations, settings; tests/importers compare its outputs, as part of whole networks."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext import UserError
from paddleseg_ext.backbones import ResNet18_v1c, ResNet50_v1c

NARROW = {"base_channels": 2, "stem_channels": 4}


@pytest.mark.parametrize("depth, expansion", [(18, 1), (34, 1), (50, 4), (101, 4)])
def test_is_registered_and_lists_its_channels(depth: int, expansion: int) -> None:
    net = manager.BACKBONES[f"ResNet{depth}_v1c"](**NARROW)
    net.eval()
    with paddle.no_grad():
        feats = net(paddle.randn([1, 3, 65, 97]))
    assert [feat.shape[1] for feat in feats] == net.feat_channels
    assert net.feat_channels == [expansion * width for width in (2, 4, 8, 16)]


@pytest.mark.parametrize("output_stride, strides", [(8, (4, 8, 8, 8)), (16, (4, 8, 16, 16)), (32, (4, 8, 16, 32))])
def test_output_stride(output_stride: int, strides: tuple[int, ...]) -> None:
    net = ResNet18_v1c(output_stride=output_stride, **NARROW)
    sizes = [tuple(feat.shape[2:]) for feat in net(paddle.randn([2, 3, 65, 97]))]
    assert sizes == [(-(-65 // s), -(-97 // s)) for s in strides]


def dilations(net: nn.Layer) -> list[list[int]]:
    """Dilations of the 3×3 convolutions, per stage and block."""
    return [[block.conv2._dilation[0] for block in getattr(net, f"layer{i}")] for i in range(1, 5)]


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"output_stride": 8}, [[1] * 3, [1] * 4, [1] + [2] * 5, [2, 4, 4]]),
        ({"output_stride": 8, "contract_dilation": False}, [[1] * 3, [1] * 4, [2] * 6, [4] * 3]),
        ({"output_stride": 16}, [[1] * 3, [1] * 4, [1] * 6, [1, 2, 2]]),
        ({"output_stride": 32}, [[1] * 3, [1] * 4, [1] * 6, [1] * 3]),
        ({"output_stride": 32, "dilations": [1, 1, 2, 4]}, [[1] * 3, [1] * 4, [1] + [2] * 5, [2, 4, 4]]),
        ({"output_stride": 16, "multi_grid": [1, 2, 4]}, [[1] * 3, [1] * 4, [1] * 6, [1, 2, 4]]),
    ],
)
def test_dilations(settings: dict, expected: list[list[int]]) -> None:
    assert dilations(ResNet50_v1c(**settings, **NARROW)) == expected


def test_strides_are_in_the_3x3_convolution_and_in_the_shortcut() -> None:
    block = ResNet50_v1c(**NARROW).layer2[0]
    assert [tuple(conv._stride) for conv in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (2, 2), (1, 1)]
    assert tuple(block.downsample[0]._stride) == (2, 2) and block.downsample[0].weight.shape[2:] == [1, 1]


def test_own_strides() -> None:
    net = ResNet18_v1c(strides=[1, 1, 1, 1], dilations=[1, 1, 1, 1], **NARROW)
    assert [feat.shape[2] for feat in net(paddle.randn([1, 3, 32, 32]))] == [8, 8, 8, 8]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"output_stride": 4}, "output_stride=4 is not one of 8, 16, 32"),
        ({"strides": [1, 2]}, r"strides=\[1, 2\] has 2 numbers, but 4 are needed"),
        ({"dilations": [1, 1, 2]}, "dilations=.* has 3 numbers, but 4 are needed"),
        ({"multi_grid": [1, 2, 4]}, "multi_grid=.* has 3 numbers, but 2 are needed"),
    ],
)
def test_invalid_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet18_v1c(**settings, **NARROW)


def test_pretrained(tmp_path: Path) -> None:
    net = ResNet18_v1c(**NARROW)
    path = tmp_path / "net.pdparams"
    path.write_bytes(pickle.dumps({name: value.numpy() for name, value in net.state_dict().items()}, 2))
    other = ResNet18_v1c(pretrained=str(path), **NARROW)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), value.numpy())
    with pytest.raises(UserError, match="not a file"):
        ResNet18_v1c(pretrained=str(tmp_path / "none.pdparams"), **NARROW)
