"""What every head promises, whatever its arguments, the size of the image and the backbone's stride."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddleseg_ext import EncoderDecoder, heads
from paddleseg_ext.heads.base import Head
from paddleseg_ext.training.param_groups import learnable
from tests.conftest import TinyBackbone

CLASSES = 5
SIDES, SHORT = st.integers(33, 110), st.sampled_from([1, 2, 3])
SMALL = st.sampled_from([8, 12])


def options(**entries: st.SearchStrategy) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of a head, each given or left to its default; the width always given, as the defaults are wide."""
    common = {
        "dropout": st.sampled_from([0.0, 0.3]),
        "dropout_mode": st.sampled_from(["channel", "element"]),
        "align_corners": st.booleans(),
    }
    return st.fixed_dictionaries({"channels": SMALL}, optional={**common, **entries})


def several(values: st.SearchStrategy, most: int = 4) -> st.SearchStrategy[list]:
    return st.lists(values, min_size=1, max_size=most, unique=True)


order = st.sampled_from(["deep_first", "shallow_first"])
aspp = {
    "dilations": several(st.integers(1, 9)),
    "separable": st.booleans(),
    "dw_act": st.booleans(),
    "proj_kernel": st.sampled_from([1, 3]),
    "pool_norm": st.booleans(),
}
ARGUMENTS: dict[type[Head], st.SearchStrategy[dict[str, Any]]] = {
    heads.ASPPHead: options(**aspp),
    heads.CCHead: options(
        recurrence=st.integers(1, 3), attention_channels=SMALL, act=st.sampled_from(["relu", "leaky_relu"])
    ),
    heads.DeepLabV3PlusHead: options(low_channels=SMALL, low_index=st.sampled_from([0, 1]), **aspp),
    heads.DMHead: options(filter_sizes=several(st.integers(1, 7)), fusion=st.booleans()),
    heads.EncHead: options(num_codes=st.integers(1, 6), se_loss=st.booleans(), laterals=st.sampled_from([[], [1, 2]])),
    heads.FCNHead: options(num_convs=st.integers(1, 3), kernel_size=st.sampled_from([1, 3])),
    heads.PSPHead: options(bin_sizes=several(st.integers(1, 7)), pool_channels=SMALL, pool_norm=st.booleans()),
}


@dataclass(frozen=True)
class Network:
    """What to build, as often as one likes."""

    head: Any
    stride: int
    align_corners: bool

    def __call__(self) -> EncoderDecoder:
        return EncoderDecoder(CLASSES, TinyBackbone(self.stride), self.head, align_corners=self.align_corners)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    kind = draw(st.sampled_from(sorted(ARGUMENTS, key=lambda kind: kind.__name__)))
    head: Any = partial(kind, **draw(ARGUMENTS[kind]))
    if kind is not heads.DeepLabV3PlusHead and draw(st.booleans()):
        dilations = draw(several(st.integers(1, 8)))
        head = partial(heads.FastFCNHead, head=head, jpu_channels=draw(SMALL), dilations=dilations)
    return Network(head, draw(st.sampled_from([8, 16, 32])), draw(st.booleans()))


def image(seed: int, *shape: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def close(found: paddle.Tensor, expected: paddle.Tensor) -> bool:
    return float((found - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


def in_suite(count: int) -> Any:
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def evaluation(build: Network, height: int, width: int, count: int) -> None:
    model, other = build(), build()
    model.eval(), other.eval()
    x = image(height * width, count, 3, height, width)
    with paddle.no_grad():
        (mask,) = model(x)
        assert mask.shape == [count, CLASSES, height, width]
        assert (mask == model(x)[0]).all()
        one_by_one = paddle.concat([model(x[i : i + 1])[0] for i in range(count)])
        assert close(one_by_one, mask)
        assert other.set_state_dict(model.state_dict()) == ([], [])
        assert (other(x)[0] == mask).all()


def gradients(build: Network, height: int, width: int, count: int) -> None:
    model = build()
    model.train()
    outputs = model(image(height + width, count + 1, 3, height, width))  # BatchNorm of one value has no gradient
    assert all(out.shape[-2:] == [height, width] for out in outputs if out.ndim == 4)
    sum((out * out + out).mean() for out in outputs).backward()
    for name, parameter in learnable(model):
        assert parameter.grad is not None and paddle.isfinite(parameter.grad).all(), name


def export(build: Network, height: int, width: int, count: int) -> None:
    eager, source = build(), build()
    eager.eval(), source.eval()
    source.set_state_dict(eager.state_dict())
    spec = paddle.static.InputSpec([None, 3, None, None], "float32")
    with tempfile.TemporaryDirectory() as folder:
        paddle.jit.save(paddle.jit.to_static(source, input_spec=[spec], full_graph=True), f"{folder}/model")
        traced = paddle.jit.load(f"{folder}/model")
    x = image(count, count, 3, height, width)
    with paddle.no_grad():
        found, expected = traced(x), eager(x)[0]
    assert close(found[0] if isinstance(found, (list, tuple)) else found, expected)


@pytest.mark.parametrize("promise, count", [(evaluation, 30), (gradients, 30), (export, 2)])
def test_heads_keep_their_promises(promise: Any, count: int) -> None:
    in_suite(count)(given(networks(), SIDES, SIDES, SHORT)(promise))()


@pytest.mark.slow
@pytest.mark.parametrize("promise, count", [(evaluation, 400), (gradients, 400), (export, 60)])
def test_they_always_do(promise: Any, count: int) -> None:
    in_suite(count)(given(networks(), SIDES, SIDES, SHORT)(promise))()
