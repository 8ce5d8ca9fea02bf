"""What every registered head promises under EncoderDecoder; a new head is enrolled by its registration."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import paddle
import pytest

from paddleseg_ext import EncoderDecoder
from paddleseg_ext.heads import EncHead, FastFCNHead, FCNHead, PSPHead
from paddleseg_ext.registry import HEADS
from tests.conftest import TinyBackbone

CLASSES = 5
SMALL: dict[str, dict[str, Any]] = {"FastFCNHead": {"head": partial(EncHead, channels=16), "jpu_channels": 8}}


def small(name: str) -> Callable[..., Any]:
    """The head at a width that tests can afford."""
    return partial(HEADS[name], **SMALL.get(name, {"channels": 16}))


def model(name: str, output_stride: int = 8, **keywords: Any) -> EncoderDecoder:
    auxiliary = [partial(FCNHead, in_index=2, channels=8)]
    return EncoderDecoder(CLASSES, TinyBackbone(output_stride), small(name), auxiliary, **keywords)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(65, 97), (129, 257), (64, 64)])
@pytest.mark.parametrize("name", HEADS)
def test_output_has_the_size_of_the_input(name: str, size: tuple[int, int], output_stride: int) -> None:
    net = model(name, output_stride)
    net.eval()
    with paddle.no_grad():
        outputs = net(paddle.randn([1, 3, *size]))
    assert [out.shape for out in outputs] == [[1, CLASSES, *size]]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_training_outputs_follow_their_names(name: str, align_corners: bool) -> None:
    net = model(name, align_corners=align_corners)
    outputs = net(paddle.randn([2, 3, 41, 33]))
    assert len(outputs) == len(net.output_names)
    assert net.output_names[0] == "mask"
    assert net.output_names[-1] == "aux0"
    for title, out in zip(net.output_names, outputs):
        assert out.shape == ([2, CLASSES] if title == "se" else [2, CLASSES, 41, 33])
    sum(out.mean() for out in outputs).backward()
    idle = [key for key, p in net.named_parameters() if p.grad is None and not p.stop_gradient]
    assert idle == []


@pytest.mark.parametrize("name", HEADS)
def test_backbone_is_left_as_it_was(name: str) -> None:
    before = list(TinyBackbone.feat_channels)
    backbone = TinyBackbone()
    EncoderDecoder(CLASSES, backbone, small(name))
    EncoderDecoder(CLASSES, backbone, small(name))
    assert backbone.feat_channels == before


def test_auxiliary_heads_do_not_run_in_evaluation() -> None:
    net = model("PSPHead")
    net.eval()
    net.auxiliary_heads[0].forward = None  # calling it would fail
    assert len(net(paddle.randn([1, 3, 32, 32]))) == 1


def test_align_corners_reaches_heads_unless_they_set_their_own() -> None:
    heads = [partial(FCNHead, in_index=2, align_corners=False)]
    net = EncoderDecoder(CLASSES, TinyBackbone(), partial(PSPHead, channels=8), heads, align_corners=True)
    assert net.decode_head.align_corners
    assert net.decode_head.bottleneck.align_corners
    assert not net.auxiliary_heads[0].align_corners
    inner = EncoderDecoder(CLASSES, TinyBackbone(), partial(FastFCNHead, head=PSPHead), align_corners=True)
    assert inner.decode_head.head.align_corners
    assert inner.decode_head.jpu.align_corners


@pytest.mark.parametrize("name", [name for name in HEADS if name != "FastFCNHead"])
def test_index_that_the_backbone_lacks(name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"{name}: in_index=4 but the backbone gives 4 feature maps with 8, 12, 16, 24"
    ):
        EncoderDecoder(CLASSES, TinyBackbone(), partial(HEADS[name], in_index=4))


@pytest.mark.parametrize(
    "head, message",
    [
        (partial(HEADS["DeepLabV3PlusHead"], low_index=9), "low_index=9"),
        (partial(HEADS["EncHead"], laterals=[7]), "laterals=7"),
        (partial(FastFCNHead, head=EncHead, in_indices=(1, 2, 5)), "in_indices=5"),
        (partial(FastFCNHead, head="EncHead"), "head must be a head"),
        (partial(PSPHead, dropout=1.5), "dropout=1.5"),
        (partial(PSPHead, dropout_mode="pixel"), "dropout_mode='pixel' is not one of channel, element"),
        (partial(PSPHead, bin_sizes=[0]), "bin_sizes"),
        (partial(PSPHead, act="swish"), "act='swish'"),
        (partial(HEADS["CCHead"], recurrence=0), "recurrence=0"),
        (partial(HEADS["DMHead"], filter_sizes=[]), "filter_sizes"),
        (partial(HEADS["ASPPHead"], branch_order="mixed"), "branch_order='mixed' is not one of pool_first, pool_last"),
        (PSPHead([8, 12, 16, 24], 5), "decode_head must be a head such as"),
    ],
)
def test_bad_arguments_are_named(head: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderDecoder(CLASSES, TinyBackbone(), head)


def test_backbone_without_maps_is_refused() -> None:
    with pytest.raises(ValueError, match="PSPHead cannot be put on Linear"):
        EncoderDecoder(CLASSES, paddle.nn.Linear(2, 2), PSPHead)


@pytest.mark.parametrize(
    "name", ["ResNet18_vd", "MobileNetV3_small_x0_35", "MixVisionTransformer_B0", "HRNet_W18_Small_V1"]
)
def test_paddlesegs_backbones(name: str) -> None:
    from paddleseg.cvlibs import manager

    net = EncoderDecoder(CLASSES, manager.BACKBONES[name](), partial(PSPHead, channels=8))
    net.eval()
    with paddle.no_grad():
        assert net(paddle.randn([1, 3, 64, 96]))[0].shape == [1, CLASSES, 64, 96]
