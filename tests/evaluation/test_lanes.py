"""Several images or windows at a time: the same results to the bit, and never for a network that would confuse them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.models.backbones.mobilenetv3 import MobileNetV3_small_x0_5
from paddleseg.models.backbones.swin_transformer import SwinTransformer_tiny_patch4_window7_224

from paddleseg_ext import EncoderDecoder, cpu
from paddleseg_ext.compat.paddle import can_reset_peak_memory
from paddleseg_ext.data.eval_loader import Batch
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation import lanes as module
from paddleseg_ext.evaluation.lanes import leaves_nothing, predict_each
from paddleseg_ext.evaluation.predictor import Predictor, evaluating
from paddleseg_ext.heads import DeepLabV3PlusHead
from paddleseg_ext.layers.norms import BATCH_NORMS
from paddleseg_ext.runtime.lanes import Lanes
from paddleseg_ext.runtime.threads import use_threads

SIZES = [(64, 96), (64, 96), (48, 80), (65, 97), (64, 96), (96, 64)]
SETTINGS: dict[str, dict[str, Any]] = {
    "whole": {},
    "flipped": {"aug_eval": True, "flip_horizontal": True, "scales": [0.75, 1.0]},
    "windows": {"is_slide": True, "crop_size": [64, 48], "stride": [48, 40]},
    "windows, flipped": {
        "is_slide": True,
        "crop_size": [64, 48],
        "stride": [48, 40],
        "aug_eval": True,
        "flip_horizontal": True,
    },
}


@pytest.fixture(scope="module")
def net() -> EncoderDecoder:
    paddle.seed(0)
    return EncoderDecoder(5, MobileNetV3_small_x0_5(), functools.partial(DeepLabV3PlusHead, channels=16))


def batches() -> list[Batch]:
    paddle.seed(1)
    return [Batch([i], paddle.randn([1, 3, *size]), [], [[]]) for i, size in enumerate(SIZES)]


def predictions(net: nn.Layer, threads: int, settings: dict[str, Any], logits: bool = False) -> list[Any]:
    with use_threads(threads), evaluating(net):
        found = list(predict_each(Predictor(**settings), net, batches(), logits))
        assert [batch.indices for batch, _ in found] == [[i] for i in range(len(SIZES))]
        return [result for _, results in found for result in results]


@pytest.fixture
def under_way(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The sizes that may be under way, of each object that shares out the work."""
    rooms: list[float] = []

    class Noted(Lanes):
        def map(self, *args: Any) -> Iterator[Any]:  # type: ignore[override]
            try:
                yield from super().map(*args)
            finally:
                rooms.append(self.room or 0)

    monkeypatch.setattr(module, "Lanes", Noted)
    return rooms


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("settings", SETTINGS)
def test_each_gets_what_it_gets_alone(
    net: EncoderDecoder, settings: str, kernels: bool, under_way: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paddleseg_ext.layers.functional.KERNELS", dict(cpu.CPU_KERNELS) if kernels else {})
    for logits in (False, True):
        alone = predictions(net, 1, SETTINGS[settings], logits)
        several = predictions(net, 4 if logits else 2, SETTINGS[settings], logits)
        for (expected, scores), (pred, found) in zip(alone, several):
            np.testing.assert_array_equal(pred, expected)
            if logits:
                np.testing.assert_array_equal(found, scores)
    least = 1e6 if can_reset_peak_memory() else 1e5  # of numbers; an image has less than 2e4
    assert under_way and min(under_way) > least, "nothing was computed side by side"
    assert not any("forward" in vars(layer) for layer in net.sublayers(include_self=True))


def test_batch_norms_of_training_are_not_touched(net: EncoderDecoder) -> None:
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    predictions(net, 4, {})
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(layer.training for layer in net.sublayers() if isinstance(layer, BATCH_NORMS))


class Careless(nn.Layer):
    """Keeps something of an image for later in the same call."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 2, 1)
        self.how, self.seen = how, [0]
        self.size: Any = (64, 96)
        self.register_buffer("calls", paddle.zeros([1]), persistable=False)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        size = (x.shape[2], x.shape[3])
        if self.how == "attribute":
            self.size = size
        elif self.how == "list":
            self.seen[0] = size
        elif self.how == "buffer":
            self.calls.add_(paddle.ones([1]))
        return [self.conv(x)]


@pytest.mark.parametrize("how, alone", [("nothing", False), ("attribute", True), ("list", True), ("buffer", True)])
def test_a_network_that_keeps_something_computes_one_after_the_other(
    how: str, alone: bool, under_way: list[float]
) -> None:
    predictions(Careless(how), 2, {})
    assert (under_way[-1] == 0) is alone


@pytest.mark.parametrize(
    "network, alone", [(SwinTransformer_tiny_patch4_window7_224, True), (MobileNetV3_small_x0_5, False)]
)
def test_paddlesegs_networks_that_keep_something_are_known(network: Any, alone: bool) -> None:
    net = network()
    net.eval()
    for _ in range(2):  # the second time it assigns what is there already
        with paddle.no_grad(), leaves_nothing(net) as independent:
            net(paddle.randn([1, 3, 64, 64]))
        assert independent() is not alone


def test_hooks_see_one_image_after_the_other(net: EncoderDecoder, under_way: list[float]) -> None:
    seen: list[Any] = []
    hook = net.decode_head.register_forward_pre_hook(lambda _, given: seen.append(given[0][0].shape[2:]))
    predictions(net, 4, {})
    hook.remove()
    assert len(seen) == len(SIZES) and not under_way


def test_out_of_memory_on_one_of_several_is_explained(net: EncoderDecoder) -> None:
    class Small(nn.Layer):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            if x.shape[2] == 65:
                raise MemoryError
            return [x]

    with pytest.raises(UserError, match="out of memory on 1 image of 97×65"):
        predictions(Small(), 2, {})
