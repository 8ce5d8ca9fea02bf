"""Layers that compute otherwise for the time of a call: the same numbers, and no trace of it afterwards."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext import EncoderDecoder, cpu
from paddleseg_ext.cpu import depthwise, depthwise_strided, network, winograd
from paddleseg_ext.layers.norms import BATCH_NORMS
from paddleseg_ext.registry import HEADS

BACKBONES = {
    "EfficientNet_lite0": {"output_stride": 16},
    "MobileNetV3_large_x1_0": {},
    "ResNet50_vd": {"output_stride": 8},
}
CONTEXT_HEADS = ("CCHead", "DMHead", "DeepLabV3PlusHead", "EncHead", "FastFCNHead", "PSPHead")
PAIRS = list(itertools.product(CONTEXT_HEADS, BACKBONES))
QUICK = [(head, [*BACKBONES][i % 3]) for i, head in enumerate(CONTEXT_HEADS)]


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """All kernels, whatever the environment says, for small maps too."""
    monkeypatch.setattr("paddleseg_ext.layers.functional.KERNELS", dict(cpu.CPU_KERNELS))
    for module, name in (
        (depthwise, "LARGE_MAP"),
        (depthwise, "SMALLEST_MAP"),
        (depthwise, "SMALLEST_PLAIN"),
        (winograd, "SMALLEST_MAP"),
    ):
        monkeypatch.setattr(module, name, 1)


def set_statistics(net: nn.Layer) -> None:
    """BatchNorms that are far from the identity, and keep the size of what passes."""
    for layer in net.sublayers():
        if isinstance(layer, BATCH_NORMS):
            layer._mean.set_value(paddle.randn(layer._mean.shape) * 0.2)
            layer._variance.set_value(paddle.rand(layer._variance.shape) + 0.5)
            layer.weight.set_value(paddle.rand(layer.weight.shape) + 0.5)
            layer.bias.set_value(paddle.randn(layer.bias.shape) * 0.2)


def build(head: str, backbone: str) -> EncoderDecoder:
    """A network in evaluation."""
    factory = partial(HEADS[head], **({"head": HEADS["EncHead"]} if head == "FastFCNHead" else {}))
    net = EncoderDecoder(5, manager.BACKBONES[backbone](**BACKBONES[backbone]), factory)
    set_statistics(net)
    net.eval()
    return net


@pytest.fixture(scope="module")
def small() -> Iterator[EncoderDecoder]:
    yield build("DeepLabV3PlusHead", "EfficientNet_lite0")


@paddle.no_grad()
def plain(net: nn.Layer, x: paddle.Tensor) -> np.ndarray:
    with cpu.disabled():
        return net(x)[0].numpy()


def assert_same(net: nn.Layer, x: paddle.Tensor) -> None:
    """The outputs are those of Paddle's own kernels, up to rounding, and no layer is left changed."""
    expected = plain(net, x)
    with paddle.no_grad():
        found = net(x)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert not any("forward" in vars(layer) for layer in net.sublayers(include_self=True))


@pytest.mark.parametrize(
    "head, backbone", [pair if pair in QUICK else pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS]
)
def test_networks_give_the_same(head: str, backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    for kernel in (depthwise, winograd):
        monkeypatch.setattr(kernel, "run", partial(_noted, kernel.run, taken, kernel.__name__))
    net = build(head, backbone)
    for shape in ([2, 3, 65, 97], [1, 3, 90, 71]):
        assert_same(net, paddle.randn(shape))
    expected = {"EfficientNet_lite0": depthwise, "MobileNetV3_large_x1_0": depthwise, "ResNet50_vd": winograd}
    assert taken.count(expected[backbone].__name__) >= 10, "the backbone's convolutions were computed by Paddle"


def _noted(run: Callable, taken: list[str], name: str, *args: Any) -> Any:
    taken.append(name)
    return run(*args)


def test_nothing_out_of_date_is_used(small: EncoderDecoder) -> None:
    net, x = copy.deepcopy(small), paddle.randn([2, 3, 65, 97])
    assert_same(net, x)
    net.train()
    optimizer = paddle.optimizer.SGD(0.1, parameters=net.parameters())
    net(x)[0].mean().backward()
    optimizer.step()
    net.eval()
    assert_same(net, x)
    net.set_state_dict(small.state_dict())
    assert_same(net, x)
    np.testing.assert_array_equal(net(x)[0].numpy(), small(x)[0].numpy())
    net.backbone.stem.norm._mean.set_value(paddle.ones([32]))
    net.backbone.stages[0][0].depthwise.norm = nn.Identity()
    assert_same(net, x)


def test_training_gives_the_same_gradients_and_statistics(small: EncoderDecoder) -> None:
    states = []
    x = paddle.randn([2, 3, 96, 128])
    for kernels in (True, False):
        net = copy.deepcopy(small)
        net.train()
        net.decode_head.eval()  # without its dropout
        with cpu.disabled() if not kernels else paddle.set_grad_enabled(True):
            (net(x)[0] ** 2).mean().backward()
        weights = dict(net.named_parameters())
        gradients = {name: weights[name].grad.numpy() for name in ("backbone.stem.conv.weight",)}
        states.append({**gradients, "mean": net.backbone.stages[5][0].depthwise.norm._mean.numpy()})
    for name, expected in states[1].items():
        np.testing.assert_allclose(states[0][name], expected, rtol=0, atol=2e-4 * np.abs(expected).max(), err_msg=name)


def test_state_copies_and_files_know_nothing_of_it(small: EncoderDecoder) -> None:
    before = {name: value.numpy() for name, value in small.state_dict().items()}
    x = paddle.randn([1, 3, 33, 65])
    with paddle.no_grad():
        expected = small(x)[0].numpy()
    after = {name: value.numpy() for name, value in small.state_dict().items()}
    assert list(after) == list(before) and all((after[name] == before[name]).all() for name in before)
    with paddle.no_grad():
        np.testing.assert_array_equal(copy.deepcopy(small)(x)[0].numpy(), expected)
    pickle.dumps(small.backbone.stem.act)


def test_layers_are_as_before_after_an_error(small: EncoderDecoder) -> None:
    hook = small.decode_head.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), paddle.no_grad():
        small(paddle.zeros([1, 3, 33, 33]))
    hook.remove()
    assert_same(small, paddle.randn([1, 3, 33, 33]))


def test_a_hook_sees_what_its_layer_gives(small: EncoderDecoder) -> None:
    layer = small.backbone.stages[1][1].depthwise.conv
    seen: list[np.ndarray] = []
    hook = layer.register_forward_post_hook(lambda _, given, out: seen.append(out.numpy()))
    assert_same(small, paddle.randn([1, 3, 48, 48]))
    hook.remove()
    np.testing.assert_allclose(seen[1], seen[0], rtol=0, atol=1e-5 * np.abs(seen[0]).max())


def test_another_thread_computes_as_ever(small: EncoderDecoder) -> None:
    x, found = paddle.randn([1, 3, 48, 48]), []

    def other() -> None:
        with paddle.no_grad():
            found.append(small.backbone(x)[-1].numpy())

    def start(*_: Any) -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    hook = small.decode_head.register_forward_pre_hook(start)
    with paddle.no_grad():
        small(x)
    hook.remove()
    with cpu.disabled(), paddle.no_grad():
        np.testing.assert_array_equal(found[0], small.backbone(x)[-1].numpy())


def test_several_threads_run_one_model(small: EncoderDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by the kernels, also while another begins or ends; the layers are as before when the last has ended."""
    monkeypatch.setattr(depthwise, "run", partial(_noted, depthwise.run, taken := [], "depthwise"))
    images = [paddle.randn([1, 3, 48 + 8 * (i % 3), 48]) for i in range(8)]

    def compute(x: paddle.Tensor) -> np.ndarray:
        with paddle.no_grad():
            return small(x)[0].numpy()

    expected, alone = [compute(x) for x in images], len(taken)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(compute, images))
    assert len(taken) == 2 * alone, "a thread computed by Paddle"
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)
    assert not any("forward" in vars(layer) for layer in small.sublayers(include_self=True))


CONVS = [  # kernel, stride, padding, dilation, depthwise, bias; whether there is a faster form of it
    (3, 1, 1, 1, False, True, True),
    (3, 1, 2, 2, False, False, True),
    (3, 1, "same", 2, False, False, True),
    (3, 2, 1, 1, False, False, False),
    (3, 1, 0, 1, False, False, False),
    (1, 1, 0, 1, False, False, False),
    (5, 1, 4, 2, True, True, True),
    (3, 1, [1, 1], 1, True, False, True),
    (3, 1, [1, 2], 1, True, False, False),
    (3, 2, 1, 1, True, False, True),
    (5, 2, 2, 1, True, False, True),
    (5, 2, "SAME", 1, True, False, True),
    (3, 2, "SAME", 1, True, True, True),
    (3, 2, 2, 2, True, False, False),
    (3, 1, 1, (1, 2), True, False, False),
]


@pytest.mark.parametrize("kernel, stride, padding, dilation, separate, bias, faster", CONVS)
def test_convolutions_as_functions_give_the_same(
    kernel: int,
    stride: int,
    padding: Any,
    dilation: Any,
    separate: bool,
    bias: bool,
    faster: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(winograd, "SMALLEST_WIDTH", 1)
    for room in (depthwise, depthwise_strided):
        monkeypatch.setattr(room, "SMALLEST_MAP", 1)
    channels, groups = (6, 6) if separate else (5, 1)
    conv = nn.Conv2D(channels, 6, kernel, stride, padding, dilation, groups, bias_attr=None if bias else False)
    forward = network._faster_conv(conv)
    assert (forward is not None) == faster
    for size in [(8, 9), (13, 12), (3, 30)] if forward else []:
        x = paddle.randn([2, channels, *size])
        with paddle.no_grad():
            expected = conv(x)
            np.testing.assert_allclose(forward(x), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_other_classes_and_layouts_are_left() -> None:
    class Own(nn.Conv2D):
        pass

    others = [
        Own(128, 128, 3, padding=1),
        nn.Conv2D(128, 128, 3, padding=1, data_format="NHWC"),
        nn.Conv2D(128, 128, 3, padding=1, padding_mode="reflect"),
    ]
    served = nn.Conv2D(128, 128, 3, padding=1)
    assert set(network._forwards(nn.LayerList([*others, served]))) == {served}
