"""What networks cost: operations against formulas and `paddle.flops`, memory against what is allocated."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg import models as stock
from paddleseg.cvlibs import manager

from paddleseg_ext import EncoderDecoder
from paddleseg_ext.errors import UserError
from paddleseg_ext.heads import CCHead, DMHead, EncHead, Head, PSPHead
from paddleseg_ext.inspection.analysis.analyze import analyze
from paddleseg_ext.inspection.analysis.layers import LayerCost, LayerTree
from paddleseg_ext.inspection.analysis.memory import peak_allocation, peak_resident_growth
from paddleseg_ext.inspection.analysis.operations import count_macs
from paddleseg_ext.inspection.analysis.timing import interleaved_timing
from tests.conftest import TinyBackbone

needs_reset = pytest.mark.skipif(
    not hasattr(paddle.base.core, "host_memory_stat_reset_peak_value"), reason="Paddle < 3.0 cannot reset the peak"
)
MIB = 2**20


def ones(*shape: int) -> paddle.Tensor:
    return paddle.ones(shape)


OPERATIONS: dict[str, tuple[Callable[[], Any], list[int]]] = {
    "conv": (lambda: nn.Conv2D(6, 4, 3, padding=1, groups=2)(ones(2, 6, 5, 7)), [2 * 4 * 5 * 7 * 3 * 9]),
    "stride and dilation": (
        lambda: nn.Conv2D(3, 4, 3, stride=2, padding=2, dilation=2)(ones(1, 3, 9, 6)),
        [4 * 5 * 3 * 3 * 9],
    ),
    "depthwise": (lambda: nn.Conv2D(6, 6, 5, padding=2, groups=6)(ones(1, 6, 4, 4)), [6 * 16 * 25]),
    "channels last": (lambda: nn.Conv2D(3, 4, 3, data_format="NHWC")(ones(1, 5, 7, 3)), [4 * 3 * 5 * 3 * 9]),
    "one dimension": (lambda: nn.Conv1D(3, 4, 3)(ones(1, 3, 9)), [4 * 7 * 3 * 3]),
    "transposed": (lambda: nn.Conv2DTranspose(3, 6, 2, 2)(ones(1, 3, 8, 5)), [3 * 8 * 5 * 6 * 4]),
    "linear": (lambda: nn.Linear(4, 7)(ones(2, 3, 4)), [2 * 3 * 4 * 7]),
    "matmul": (lambda: paddle.matmul(ones(3, 2, 4), ones(4, 5)), [3 * 2 * 4 * 5]),
    "by name": (lambda: paddle.matmul(x=ones(3, 4, 2), y=ones(3, 4, 5), transpose_x=True), [3 * 2 * 4 * 5]),
    "operator": (lambda: ones(3, 2, 4) @ ones(3, 4, 5), [3 * 2 * 4 * 5]),
    "method": (lambda: ones(3, 2, 4).matmul(ones(3, 4, 5)), [3 * 2 * 4 * 5]),
    "with a vector": (lambda: paddle.matmul(ones(3, 2, 4), ones(4)), [3 * 2 * 4]),
    "of vectors": (lambda: paddle.matmul(ones(4), ones(4)), [4]),
    "bmm": (lambda: paddle.bmm(ones(3, 2, 4), ones(3, 4, 5)), [3 * 2 * 4 * 5]),
    "mv": (lambda: paddle.mv(ones(3, 4), ones(4)), [12]),
    "addmm": (lambda: paddle.addmm(ones(3, 5), ones(3, 4), ones(4, 5)), [60]),
    "einsum": (lambda: paddle.einsum("nchw, nkc -> nkhw", ones(2, 3, 4, 5), ones(2, 6, 3)), [2 * 3 * 4 * 5 * 6]),
    "einsum ...": (lambda: paddle.einsum("...ij,jk->...ik", ones(2, 3, 4), ones(4, 5)), [2 * 3 * 4 * 5]),
    "attention": (lambda: nn.MultiHeadAttention(8, 2)(ones(1, 4, 8)), [4 * 64] * 3 + [4 * 4 * 8] * 2 + [4 * 64]),
    "deformable": (
        lambda: paddle.vision.ops.deform_conv2d(ones(1, 4, 5, 5), ones(1, 18, 5, 5), ones(6, 4, 3, 3), padding=1),
        [6 * 25 * 4 * 9],
    ),
    "neither": (lambda: nn.functional.interpolate(nn.BatchNorm2D(3)(ones(1, 3, 4, 4)), [8, 8], mode="bilinear"), []),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_multiply_adds_are_those_of_the_formulas(name: str) -> None:
    run, expected = OPERATIONS[name]
    with count_macs() as counts:
        run()
    assert counts == expected
    run()  # what was put around the operators is gone
    assert counts == expected


def test_convolutions_and_linear_layers_are_counted_as_paddle_does() -> None:
    convs = [nn.Conv2D(3, 8, 3, stride=2, bias_attr=False), nn.Conv2D(8, 8, 3, groups=8, dilation=2, bias_attr=False)]
    net = nn.Sequential(*convs, nn.Flatten(), nn.Linear(8 * 11 * 7, 10, bias_attr=False))
    tree = LayerTree(net)
    tree.count(ones(1, 3, 31, 23))
    assert tree.root.macs == paddle.flops(net, [1, 3, 31, 23]) > 0
    outputs = [8 * 15 * 11, 8 * 11 * 7, 10]
    assert tree.root.activations == sum(outputs)
    assert [child.activations for child in tree.root.children] == [*outputs[:2], 0, outputs[2]]


def test_resnet50_vd_has_its_published_numbers() -> None:
    backbone = manager.BACKBONES.components_dict["ResNet50_vd"](output_stride=32)
    backbone.eval()
    tree = LayerTree(backbone)
    tree.count(ones(1, 3, 224, 224))
    assert round(tree.root.macs / 1e9, 2) == 4.33 and round(tree.root.parameters / 1e6, 2) == 23.53
    weights = {k: v for k, v in backbone.state_dict().items() if not k.endswith(("._mean", "._variance"))}
    assert tree.root.parameters == sum(prod(value.shape) for value in weights.values())


H, W, CIN, C, K = 24, 26, 24, 16, 5  # of the stride-8 map; its channels, the head's, classes


def head_cost(head: type[Head], height: int = H, width: int = W, **options: Any) -> LayerCost:
    model = EncoderDecoder(K, TinyBackbone(), partial(head, channels=C, **options))
    model.eval()
    tree = LayerTree(model)
    tree.count(paddle.randn([1, 3, 8 * height, 8 * width]))
    assert tree.root.output == [1, K, 8 * height, 8 * width]
    found = tree.root.find("decode_head")
    assert tree.root.interpolation_macs == 4 * K * 64 * height * width + found.interpolation_macs  # first the mask's
    return found


def conv(cin: int, cout: int, kernel: int = 1, cells: int = H * W) -> int:
    return cin * cout * kernel**2 * cells


def test_pyramid_pooling_by_formula_as_executed_and_as_written() -> None:
    cost, bins = head_cost(PSPHead), (1, 2, 3, 6)
    branches = sum(conv(CIN, C, cells=k * k) for k in bins)
    pooling = CIN * H * W * sum(bins) + sum(CIN * k * H * k for k in bins)
    cells = sum(9 * C * C * k * k for k in bins)
    spread = sum(C * H * (3 * k) ** 2 for k in bins) + C * H * W * 3 * sum(bins)
    assert cost.macs == branches + pooling + conv(CIN, C, 3) + cells + spread + conv(C, K)
    assert cost.paper_macs == branches + conv(CIN + 4 * C, C, 3) + conv(C, K)
    assert cost.paper_macs == sum(child.paper_macs for child in cost.children)


def test_small_maps_are_stacked_as_the_paper_does() -> None:
    cost = head_cost(PSPHead, 4, 6)
    bins = (1, 2, 3, 6)
    pooling = CIN * 4 * 6 * sum(bins) + sum(CIN * k * 4 * k for k in bins)
    assert cost.macs == cost.paper_macs + pooling
    assert cost.interpolation_macs == 4 * 4 * C * 4 * 6
    assert cost.find("bottleneck").paper_macs == cost.find("bottleneck").macs == conv(CIN + 4 * C, C, 3, cells=24)


def test_criss_cross_attention_by_formula() -> None:
    passes, reduced = 2, 2 * (C // 8)
    attention = conv(C, reduced) + conv(C, C) + H * W * (H + W) * (C // 8 + C)
    convs = conv(CIN, C, 3) + conv(C, C, 3) + conv(CIN + C, C, 3) + conv(C, K)
    cost = head_cost(CCHead, recurrence=passes)
    assert cost.macs == cost.paper_macs == convs + passes * attention
    assert cost.find("attention").macs == passes * attention and cost.find("attention").calls == passes


def test_encoding_by_formula() -> None:
    codes = 7
    cost = head_cost(EncHead, num_codes=codes, se_loss=False)
    assert cost.find("encoding.encoding").macs == 2 * codes * C * H * W
    assert cost.macs == conv(CIN, C, 3) + conv(C, C) + 2 * codes * C * H * W + C * C + conv(C, K)


def test_dynamic_convolutions_by_formula() -> None:
    sizes = (1, 3, 5)
    cost = head_cost(DMHead, filter_sizes=sizes)
    written = sum(conv(CIN, C) + conv(CIN, C, cells=k * k) + (C * k * k * H * W if k > 1 else 0) for k in sizes)
    pooling = CIN * H * W * sum(sizes) + sum(CIN * k * H * k for k in sizes)
    dynamic = cost.find("dynamic")
    assert dynamic.paper_macs == written and dynamic.macs == written + pooling


def test_layers_add_up_and_stand_in_the_order_in_which_they_run() -> None:
    model = EncoderDecoder(K, TinyBackbone(), partial(CCHead, channels=8), [partial(PSPHead, channels=4, in_index=2)])
    model.eval()
    tree = LayerTree(model)
    tree.count(paddle.randn([1, 3, 64, 72]))
    assert [child.name for child in tree.root.children] == ["backbone", "decode_head", "auxiliary_heads"]
    names = [child.name for child in tree.root.find("decode_head").children]
    assert names == ["before", "attention", "after", "fuse", "dropout", "classifier"]
    for key in ("parameters", "macs", "activations"):
        assert getattr(tree.root, key) == sum(getattr(child, key) for child in tree.root.children)
    assert not tree.root.find("auxiliary_heads").runs and tree.root.find("auxiliary_heads").parameters


def test_what_uses_a_layer_of_another_is_entered_once() -> None:
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, nn.Sequential(shared))
    tree = LayerTree(net)
    tree.count(ones(1, 3))
    assert tree.root.parameters == 12 and tree.root.macs == 18 and tree.root.find("0").calls == 2


class Holding(nn.Layer):
    """Three maps of 4 MB at once, of which one stays."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        more = x + 1
        return (more * 2) + more


@needs_reset
def test_memory_of_a_layer_is_what_it_holds_at_most() -> None:
    net = nn.Sequential(nn.Identity(), nn.Sequential(Holding(), Holding()))
    tree, x = LayerTree(net), ones(1024, 1024)
    with paddle.no_grad():
        tree.measure_memory(lambda: net(x))
    found = {path: tree.root.find(path).memory_bytes / MIB for path in ("0", "1.0", "1.1", "1")}
    assert found["0"] == 0
    assert found["1.0"] == pytest.approx(12, abs=0.1) and found["1.1"] == pytest.approx(12, abs=0.1)
    assert found["1"] == pytest.approx(16, abs=0.1) == tree.root.memory_bytes / MIB  # the first map is still there


@needs_reset
def test_peak_allocation_counts_what_a_call_holds_at_once() -> None:
    x = paddle.ones([1000, 1000])

    def run() -> None:
        y = x + 1
        del y
        _ = x * 2 + x  # two of 4 MB at a time, beside x

    run()
    assert 8e6 <= peak_allocation(run) <= 9e6


def test_resident_growth_sees_what_paddle_does_not_allocate() -> None:
    def touch() -> None:
        with mmap.mmap(-1, 64 * MIB) as memory:  # what is freed elsewhere is kept, so an array need not be new memory
            for page in range(0, 64 * MIB, mmap.PAGESIZE):
                memory[page] = 1

    growth = peak_resident_growth(touch)
    if growth is None:
        pytest.skip("this system cannot be asked")
    assert 60 * MIB <= growth <= 90 * MIB


def test_a_gpu_is_warmed_up_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:1")
    monkeypatch.setattr(paddle.device, "synchronize", lambda *_: calls.append("wait"))
    timings = interleaved_timing(lambda: calls.append("a"), lambda: calls.append("b"), rounds=2)
    assert calls == ["a"] * 5 + ["b"] * 5 + ["wait", "a", "wait", "wait", "b", "wait"] * 2
    assert [len(timing.seconds) for timing in timings] == [2, 2]


def cross_entropy(count: int) -> dict:
    return {"types": [nn.CrossEntropyLoss(axis=1) for _ in range(count)], "coef": [1] * count}


BACKBONES = manager.BACKBONES.components_dict
STOCK = {
    "PSPNet": lambda: stock.PSPNet(4, BACKBONES["ResNet18_vd"](), pp_out_channels=8),
    "SegFormer": lambda: stock.SegFormer(4, BACKBONES["MixVisionTransformer_B0"](), embedding_dim=16),
}


@pytest.mark.parametrize("name", STOCK)
def test_paddlesegs_own_networks_at_odd_sizes(name: str) -> None:
    sizes = [(65, 33), (32, 32)]
    found = analyze(STOCK[name](), sizes, batch_size=2, rounds=3)
    assert [(cost.width, cost.height) for cost in found.costs] == sizes and found.model == name
    for cost in found.costs:
        assert cost.layers.output[2:] == [cost.height, cost.width] if cost.layers.output else name == "PSPNet"
        assert len(cost.seconds) == 3 and min(cost.seconds) > 0
        assert 0 < found.images_per_second(cost) == 2 / sorted(cost.seconds)[1]
        assert cost.peak_bytes is None or cost.peak_bytes >= cost.held_bytes + cost.layers.memory_bytes > 0
    assert found.costs[0].layers.macs > found.costs[1].layers.macs > 0


def test_a_training_step_leaves_the_network_as_it_was() -> None:
    head = partial(PSPHead, channels=8)
    model = EncoderDecoder(K, TinyBackbone(), head, [head])
    model.eval()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    found = analyze(model, [(33, 40)], batch_size=2, rounds=1, losses=cross_entropy(2))
    assert found.training and not found.idle
    assert found.costs[0].layers.find("auxiliary_heads").macs > 0
    assert not model.training
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    evaluated = analyze(model, [(33, 40)], batch_size=2, rounds=1)
    assert set(evaluated.idle) == {"auxiliary_heads"}
    if evaluated.costs[0].peak_bytes is not None:
        ours, trained = (found.costs[0].peak_bytes - found.costs[0].held_bytes for found in (evaluated, found))
        assert trained > ours


class Picky(nn.Layer):
    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        if x.shape[3] % 2:
            raise ValueError("odd widths are not for me")
        return [x]


def test_a_size_at_which_a_network_fails_is_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match="^`size` 33 32: Picky cannot evaluate 2 images of 33×32: odd widths are not"):
        analyze(Picky(), [(32, 32), (33, 32)], batch_size=2)
    with pytest.raises(UserError, match="^`size`: give at least one"):
        analyze(Picky(), [])
    with pytest.raises(UserError, match="^`precision` bf16"):
        analyze(Picky(), [(32, 32)], precision="bf16")
