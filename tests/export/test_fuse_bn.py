"""Folding BatchNorm changes the form of a network, not its numbers, and leaves alone what it cannot fold."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext.compat.paddle import plain_batch_norm
from paddleseg_ext.export.fuse_bn import Shift, _fold, fused
from paddleseg_ext.layers.norms import BATCH_NORMS
from paddleseg_ext.registry import HEADS
from tests.test_segmentor import model


def with_statistics(net: nn.Layer) -> nn.Layer:
    """Evaluation mode, with BatchNorms that are far from the identity."""
    for layer in net.sublayers():
        if isinstance(layer, BATCH_NORMS):
            layer._mean.set_value(paddle.randn(layer._mean.shape) * 0.3)
            layer._variance.set_value(paddle.rand(layer._variance.shape) + 0.3)
            layer.weight.set_value(paddle.randn(layer.weight.shape))
            layer.bias.set_value(paddle.randn(layer.bias.shape) * 0.3)
    net.eval()
    return net


class Net(nn.Layer):
    """Two convolutions with BatchNorm, the first of which can be used in other ways too."""

    def __init__(self, bias: bool, shared: bool = False, twice: bool = False, norm: type = nn.BatchNorm2D) -> None:
        super().__init__()
        self.shared, self.twice = shared, twice
        self.first = nn.Conv2D(3, 4, 3, padding=1, bias_attr=None if bias else False)
        self.norm = norm(4)
        self.rest = nn.Sequential(nn.Conv2D(4, 4, 1, groups=2, bias_attr=False), nn.BatchNorm2D(4), nn.ReLU())

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        raw = self.first(x)
        y = self.norm(raw)
        if self.twice:
            y = y + self.norm(self.first(x * 2))
        return [self.rest(y) + raw if self.shared else self.rest(y)]


def difference(a: nn.Layer, b: nn.Layer, x: paddle.Tensor) -> float:
    with paddle.no_grad():
        expected = a(x)[0]
        return float((b(x)[0] - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("bias", [False, True])
def test_a_norm_behind_a_convolution_goes(bias: bool) -> None:
    net = with_statistics(Net(bias))
    before = {key: value.numpy() for key, value in net.state_dict().items()}
    light, count = fused(net, paddle.randn([1, 3, 8, 8]))
    assert count == 2 and not any(isinstance(layer, nn.BatchNorm2D) for layer in light.sublayers())
    assert [isinstance(layer, Shift) for layer in (light.norm, light.rest[1])] == [not bias, True]
    assert difference(net, light, paddle.randn([2, 3, 9, 7])) <= 1e-5
    assert all((net.state_dict()[key].numpy() == value).all() for key, value in before.items()), "the original changed"


def test_a_synchronized_norm_is_folded_or_becomes_a_plain_one() -> None:
    """Nothing else can be seen of it here: on a CPU it has no kernel."""
    plain = with_statistics(Net(bias=True))
    synchronized = with_statistics(Net(bias=True, norm=nn.SyncBatchNorm))
    synchronized.set_state_dict(plain.state_dict())
    x = paddle.randn([1, 3, 8, 8])
    _fold(synchronized, synchronized.first, synchronized.norm)
    assert difference(plain, synchronized, x) <= 1e-5
    norm = nn.SyncBatchNorm(4)
    norm.eval()
    norm.set_state_dict(plain.norm.state_dict())
    np.testing.assert_array_equal(
        plain_batch_norm(norm)(paddle.ones([1, 4, 2, 2])), plain.norm(paddle.ones([1, 4, 2, 2]))
    )


def test_a_convolution_that_something_else_uses_keeps_its_norm() -> None:
    net = with_statistics(Net(bias=True, shared=True))
    light, count = fused(net, paddle.randn([1, 3, 8, 8]))
    assert count == 0 and difference(net, light, paddle.randn([1, 3, 8, 8])) == 0


def test_what_is_a_small_difference_is_for_the_caller_to_say() -> None:
    net, seen = with_statistics(Net(bias=True)), []
    light, count = fused(net, paddle.randn([1, 3, 8, 8]), lambda found: seen.append(found) is not None)
    assert count == 0 and isinstance(light.norm, nn.BatchNorm2D)
    assert len(seen) == 1 and 0 < seen[0] <= 1e-5


def test_layers_that_run_twice_are_left() -> None:
    net = with_statistics(Net(bias=False, twice=True))
    light, count = fused(net, paddle.randn([1, 3, 8, 8]))
    assert count == 1 and isinstance(light.norm, nn.BatchNorm2D)
    assert difference(net, light, paddle.randn([1, 3, 8, 8])) <= 1e-5


@pytest.mark.parametrize("size", [(32, 32), (200, 264)])  # on either side of where the heads change their form
@pytest.mark.parametrize("name", HEADS)
def test_heads_are_folded(name: str, size: tuple[int, int]) -> None:
    net = with_statistics(model(name))
    light, count = fused(net, paddle.randn([1, 3, 64, 64]))
    left = [layer for layer in light.decode_head.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    assert count >= 1 and len(left) == (
        4 if name == "DMHead" else 0
    )  # behind a dynamic kernel there is nothing to fold
    assert difference(net, light, paddle.randn([2, 3, *size])) <= 1e-5
