"""What a backbone gives is found by running it, and nothing is left of that."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext import EncoderDecoder
from paddleseg_ext.backbones.maps import LIST, MAPPING, TENSOR, TOKENS, Maps
from paddleseg_ext.heads import DeepLabV3PlusHead, EncHead, FastFCNHead, FCNHead, PSPHead
from paddleseg_ext.layers.pyramid import SimplePyramid
from tests.conftest import TinyBackbone

ODD = (33, 47)


class Given(TinyBackbone):
    """The tiny backbone, whose maps are put into another form by a function of them and of the picture."""

    def __init__(self, form: Callable[[list, paddle.Tensor], Any], declared: list[int] | None = None) -> None:
        super().__init__(32)
        self.form = form
        if declared is not None:
            self.feat_channels = declared

    def forward(self, x: paddle.Tensor) -> Any:
        return self.form(super().forward(x), x)


class Patches(nn.Layer):
    """A vision transformer without blocks."""

    def __init__(self, patch: int = 16) -> None:
        super().__init__()
        self.embed = nn.Conv2D(3, 12, patch, stride=patch)

    def forward(self, x: paddle.Tensor) -> Any:
        x = self.embed(x)
        tokens = x.flatten(2).transpose([0, 2, 1])
        return [0 * tokens, tokens], paddle.shape(x)


def tokens(maps: list, x: paddle.Tensor) -> Any:
    return [maps[-1].flatten(2).transpose([0, 2, 1])], paddle.shape(maps[-1])


@pytest.mark.parametrize(
    "backbone, expected",
    [
        (TinyBackbone(8), Maps((8, 12, 16, 24), (4, 8, 8, 8), 1, LIST)),
        (TinyBackbone(32), Maps((8, 12, 16, 24), (4, 8, 16, 32), 1, LIST)),
        (Given(lambda maps, x: tuple(maps)), Maps((8, 12, 16, 24), (4, 8, 16, 32), 1, LIST)),
        (Given(lambda maps, x: dict(enumerate(maps))), Maps((8, 12, 16, 24), (4, 8, 16, 32), 1, MAPPING)),
        (Given(lambda maps, x: maps[2], []), Maps((16,), (16,), 1, TENSOR)),
        (Given(lambda maps, x: maps[1:]), Maps((12, 16, 24), (8, 16, 32), 1, LIST)),
        (Given(lambda maps, x: [*maps, maps[0]]), Maps((8, 12, 16, 24), (4, 8, 16, 32), 1, LIST)),
        (Given(tokens, []), Maps((24,), (32,), 1, TOKENS)),
        (Given(lambda maps, x: ([tokens(maps, x)[0][0]], maps[-1].shape), []), Maps((24,), (32,), 1, TOKENS)),
        (Patches(16), Maps((12,), (16,), 16, TOKENS)),
        (Patches(32), Maps((12,), (32,), 32, TOKENS)),
    ],
)
def test_form_channels_and_strides(backbone: nn.Layer, expected: Maps) -> None:
    assert Maps.of(backbone) == expected


class Particular(TinyBackbone):
    """A backbone that takes pictures of some sizes alone."""

    def __init__(self, takes: Callable[[int], bool]) -> None:
        super().__init__(32)
        self.takes = takes

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        if not all(map(self.takes, x.shape[2:])):
            raise ValueError(f"no pictures of {x.shape}")
        return super().forward(x)


@pytest.mark.parametrize("takes, multiple", [(lambda side: side % 8 == 0, 8), (lambda side: side > 100, 1)])
def test_sizes_that_a_backbone_takes(takes: Callable[[int], bool], multiple: int) -> None:
    assert Maps.of(Particular(takes)) == Maps((8, 12, 16, 24), (4, 8, 16, 32), multiple, LIST)


def test_channels_last() -> None:
    first, last = (manager.BACKBONES.components_dict["ResNet18_vd"](data_format=form) for form in ("NCHW", "NHWC"))
    assert Maps.of(first) == Maps.of(last) == Maps((64, 128, 256, 512), (4, 8, 8, 8), 1, LIST)


def test_declared_channels_that_are_wrong_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "paddleseg_ext")
    net = EncoderDecoder(3, Given(lambda maps, x: maps, [1, 2, 3, 4]), partial(PSPHead, channels=8))
    assert net.decode_head.in_channels == 24
    assert "Given declares maps of 1, 2, 3, 4 channels but gives 8, 12, 16, 24" in caplog.text


def test_nothing_is_left_of_the_run() -> None:
    backbone = nn.Sequential(TinyBackbone(8), nn.Identity())
    backbone.feat_channels = TinyBackbone.feat_channels
    backbone[0].stages[1] = nn.Sequential(nn.Conv2D(8, 12, 3, stride=2, padding=1), nn.BatchNorm2D(12), nn.Dropout(0.5))
    backbone[0].stages[0].eval()
    modes = [layer.training for layer in backbone.sublayers(include_self=True)]
    before = {name: value.numpy().copy() for name, value in backbone.state_dict().items()}
    states = [paddle.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()]
    expected = paddle.rand([3]).numpy()
    paddle.set_rng_state(states[0])
    Maps.of(backbone)
    np.testing.assert_array_equal(paddle.rand([3]).numpy(), expected)
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]
    assert [layer.training for layer in backbone.sublayers(include_self=True)] == modes
    for name, value in backbone.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(p.grad is None for p in backbone.parameters())


def test_a_network_that_ran_before_is_the_same() -> None:
    backbone = TinyBackbone(8)
    net = EncoderDecoder(3, backbone, partial(PSPHead, channels=8), [partial(FCNHead, in_index=2, channels=8)])
    assert net.pyramid is None
    assert {name.split(".")[0] for name in net.state_dict()} == {"backbone", "decode_head", "auxiliary_heads"}
    assert {name for name in net.state_dict() if name.startswith("backbone.")} == {
        f"backbone.{name}" for name in backbone.state_dict()
    }
    net.eval()
    x = paddle.randn([1, 3, *ODD])
    head = net.decode_head(backbone(x))[0]
    expected = nn.functional.interpolate(head, ODD, mode="bilinear")
    np.testing.assert_allclose(net(x)[0].numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [ODD, (97, 129), (64, 64)])
@pytest.mark.parametrize("head", [PSPHead, DeepLabV3PlusHead, FastFCNHead])
def test_one_map_of_a_transformer_carries_any_head(head: type, size: tuple[int, int], training: bool) -> None:
    keywords = {"head": partial(EncHead, channels=8), "jpu_channels": 8} if head is FastFCNHead else {"channels": 8}
    net = EncoderDecoder(3, Patches(), partial(head, **keywords))
    assert isinstance(net.pyramid, SimplePyramid) is (head is not PSPHead)
    net.train() if training else net.eval()
    out = net(paddle.randn([2, 3, *size]))[0]
    assert out.shape == [2, 3, *size]
    out.mean().backward()
    assert net.backbone.embed.weight.grad is not None


def test_a_padded_picture_gives_what_the_larger_one_gives_there() -> None:
    net = EncoderDecoder(3, Patches(), partial(FCNHead, channels=8))
    net.eval()
    x = paddle.randn([1, 3, *ODD])
    larger = net(nn.functional.pad(x, [0, 1, 0, 15]))[0]
    np.testing.assert_array_equal(net(x)[0].numpy(), larger[:, :, :33, :47].numpy())


def test_pyramid_keeps_the_maps_that_there_are_and_makes_the_others_of_the_last() -> None:
    pyramid = SimplePyramid([6, 10], [4, 16], channels=8)
    assert pyramid.feat_channels == [6, 8, 10, 8]
    pyramid.eval()
    first, last = paddle.randn([1, 6, 17, 25]), paddle.randn([1, 10, 5, 7])
    maps = pyramid([first, last])
    assert maps[0] is first and maps[2] is last
    assert [found.shape[2:] for found in maps] == [[17, 25], [10, 14], [5, 7], [3, 4]]
    assert set(pyramid.made) == {"stride8", "stride32"}


@pytest.mark.parametrize(
    "backbone, message",
    [
        (
            nn.Linear(2, 2),
            r"PSPHead cannot be put on Linear, which cannot be run on pictures of 3 .*; take",
        ),
        (Given(lambda maps, x: "maps"), r"PSPHead cannot be put on Given, which gives no feature maps .* ResNet50_vd"),
        (Given(lambda maps, x: []), "gives no feature maps"),
        (Given(lambda maps, x: [maps[0].mean()]), "gives no feature maps"),
        (Given(lambda maps, x: exit()), "cannot be run on pictures of 3 channels"),
    ],
)
def test_what_carries_no_head_is_told_in_a_sentence(backbone: nn.Layer, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        EncoderDecoder(3, backbone, partial(PSPHead, channels=8))
    assert "\n" not in str(told.value)


def test_no_pyramid_of_a_stride_that_is_no_power_of_two() -> None:
    assert EncoderDecoder(3, Patches(14), partial(PSPHead, channels=8)).maps.strides == (14,)
    with pytest.raises(ValueError, match="DeepLabV3PlusHead needs .* Patches .* stride 14 is no power of two; take"):
        EncoderDecoder(3, Patches(14), partial(DeepLabV3PlusHead, channels=8))


def test_an_index_that_no_pyramid_has_is_told_of_the_backbones_own_maps() -> None:
    with pytest.raises(ValueError, match="PSPHead: in_index=7 but the backbone gives 1 feature map with 12 channels"):
        EncoderDecoder(3, Patches(), partial(PSPHead, in_index=7))


def test_sync_batch_norm_runs_on_a_cpu() -> None:
    if paddle.get_device() != "cpu":
        pytest.skip("a GPU has it")
    backbone = TinyBackbone(8)
    backbone.stages[1] = nn.Sequential(nn.Conv2D(8, 12, 3, stride=2, padding=1), nn.SyncBatchNorm(12))
    names = list(backbone.state_dict())
    net = EncoderDecoder(3, backbone, partial(PSPHead, channels=8))
    assert list(backbone.state_dict()) == names
    assert net(paddle.randn([2, 3, 33, 47]))[0].shape == [2, 3, 33, 47]


@pytest.mark.parametrize("names", [("MobileNetV2_x0_25", "MobileNetV2_x0_5"), ("ShuffleNetV2_x0_25",) * 2])
def test_backbones_whose_parameters_had_names_can_be_built_twice(names: tuple[str, str]) -> None:
    first, second = (manager.BACKBONES.components_dict[name]() for name in names)
    assert list(first.state_dict()) == list(second.state_dict())
    assert not {p.name for p in first.parameters()} & {p.name for p in second.parameters()}
