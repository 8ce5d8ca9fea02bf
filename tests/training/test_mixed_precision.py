"""What mixed precision needs of a run, shown without a GPU: Paddle's own states, the check of the place patched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.amp import grad_scaler
from paddle.amp.auto_cast import _set_multi_precision, amp_initialize
from paddle.base.layer_helper import LayerHelper

from paddleseg_ext.layers.functional import as_float32
from paddleseg_ext.runtime.amp import Precision, new_scaler
from paddleseg_ext.training import state_dict
from paddleseg_ext.training.ema import Ema
from paddleseg_ext.training.step import NonFinite, Step

OPTIMIZERS = {
    "momentum": lambda parameters: paddle.optimizer.Momentum(0.01, parameters=parameters),
    "adamw": lambda parameters: paddle.optimizer.AdamW(0.01, parameters=parameters),
    "sgd": lambda parameters: paddle.optimizer.SGD(0.01, parameters=parameters),
}


class Pretended:
    """A place that is a GPU's."""

    def is_gpu_place(self) -> bool:
        return True

    def is_xpu_place(self) -> bool:
        return False

    def is_custom_place(self) -> bool:
        return False


class OneConv(nn.Layer):
    output_names = ["mask"]

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.conv(x)]


class Mean(nn.Layer):
    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        return logits.mean()


class Pretending(Precision):
    """float16's scaler on a CPU, where everything is computed in float32."""

    def __init__(self) -> None:
        super().__init__("fp32")
        self.name, self.scaler = "fp16", new_scaler()

    def forward(self):
        return paddle.amp.auto_cast(False)


def batch(value: float) -> dict[str, paddle.Tensor]:
    return {"img": paddle.full([1, 3, 4, 4], value), "label": paddle.zeros([1, 4, 4], "int64")}


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Step:
    monkeypatch.setattr(grad_scaler, "_dygraph_tracer", lambda: type("Tracer", (), {"_expected_place": Pretended()}))
    precision = Pretending()
    assert precision.scaler.is_enable()
    model = OneConv()
    losses = {"types": [Mean()], "coef": [1]}
    optimizer = paddle.optimizer.Momentum(0.01, parameters=model.parameters())
    return Step(model, losses, optimizer, precision=precision, undoable=True)


def test_training_goes_on_after_skipped_steps(step: Step) -> None:
    """The scaler notes that it has unscaled, and refused the iteration after one that was not taken."""
    scale = step.precision.scale
    for value in (1.0, float("inf"), 1.0, float("nan"), float("inf"), 1.0, 1.0):
        before = step.model.conv.bias.numpy()
        if np.isfinite(value):
            step([batch(value)])
            assert (step.model.conv.bias.numpy() != before).any()
        else:
            with pytest.raises(NonFinite):
                step([batch(value)])
            assert (step.model.conv.bias.numpy() == before).all()
    assert step.precision.scale == scale
    assert step.precision.record()["incr_count"] == 4  # good steps are counted on, not from the start


def test_losses_are_computed_in_float32_outside_mixed_precision(step: Step) -> None:
    inside, seen = [], []

    @contextmanager
    def forward() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()

    class Half(OneConv):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            assert inside
            return [self.conv(x).astype("bfloat16")]

    class Watching(nn.Layer):
        def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
            seen.append((logits.dtype, bool(inside)))
            return logits.mean()

    model = Half()
    optimizer = paddle.optimizer.SGD(0.01, parameters=model.parameters())
    watching = Step(model, {"types": [Watching()], "coef": [1]}, optimizer)
    watching.precision.forward = forward  # type: ignore[method-assign]
    watching([batch(1.0)])
    assert seen == [(paddle.float32, False)]


def test_nested_outputs_become_float32() -> None:
    half, whole = paddle.ones([2]).astype("float16"), paddle.ones([2], "int64")
    found = paddle.utils.map_structure(as_float32, {"masks": [half, whole], "scores": half.astype("bfloat16")})
    assert [found["masks"][0].dtype, found["masks"][1].dtype] == [paddle.float32, paddle.int64]
    assert found["scores"].dtype == paddle.float32


def half_precision(name: str) -> tuple[nn.Layer, paddle.optimizer.Optimizer]:
    """A model and its optimizer as ``decorate`` leaves them at O2."""
    model = nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4), nn.Conv2D(4, 2, 1))
    optimizer = OPTIMIZERS[name](model.parameters())
    amp_initialize([model], "bfloat16", None)
    _set_multi_precision(optimizer, True)
    return model, optimizer


def create_accumulators(model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> None:
    """What the first step does, before the kernels that a CPU lacks."""
    optimizer.helper = LayerHelper(type(optimizer).__name__)
    learning = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    optimizer._create_accumulators(paddle.static.default_main_program().global_block(), learning)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_at_o2_resumes(name: str) -> None:
    model, optimizer = half_precision(name)
    create_accumulators(model, optimizer)
    if name == "sgd":  # its step alone makes the copies
        for parameter in model.parameters():
            if parameter.dtype == paddle.bfloat16:
                optimizer._create_master_weight(parameter)
    generator = np.random.default_rng(0)
    for tensors in (*optimizer._accumulators.values(), optimizer._master_weights):
        for tensor in tensors.values():
            tensor.set_value(generator.normal(size=tensor.shape).astype("float32"))
    saved = state_dict.optimizer_arrays(optimizer, model)
    resumed, other = half_precision(name)
    state_dict.load_optimizer(other, resumed, saved, {}, "checkpoint")
    create_accumulators(resumed, other)
    again = state_dict.optimizer_arrays(other, resumed)
    assert again.keys() == saved.keys() and any("master" in key for key in saved)
    for key, value in saved.items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)


def test_checkpoints_and_averages_take_the_float32_copies() -> None:
    """At O2 the model's own weights are rounded to 8 bits; a change of 1e-4 of a weight of 1 is lost in them."""
    model, optimizer = half_precision("momentum")
    ema = Ema(model, 0.0, lambda: state_dict.masters(optimizer, model))
    create_accumulators(model, optimizer)
    exact = state_dict.masters(optimizer, model)
    assert set(exact) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    for tensor in exact.values():
        tensor.set_value(paddle.full(tensor.shape, 1.0001))
    for name, value in model.named_parameters():
        if name in exact:
            value.set_value(exact[name].astype("bfloat16"))
    assert state_dict.model_arrays(model)["0.weight"].max() == 1
    saved = state_dict.model_arrays(model, exact)
    assert saved.keys() == state_dict.model_arrays(model).keys()
    np.testing.assert_allclose(saved["0.weight"], 1.0001, rtol=1e-7)
    for _ in range(3):
        ema.stepped()
        ema.catch_up()
    with ema.applied(model):
        np.testing.assert_array_equal(
            state_dict.model_arrays(model, ema.averages)["2.bias"], ema.arrays()["ema/2.bias"]
        )
    expected = 1.0001  # the decay of a start is 0 here
    np.testing.assert_allclose(ema.arrays()["ema/0.weight"], expected, rtol=1e-6)
    assert state_dict.masters(OPTIMIZERS["sgd"](OneConv().parameters()), OneConv()) == {}


@pytest.mark.gpu
@pytest.mark.parametrize("level", ["O1", "O2"])
def test_a_card_goes_on_after_skipped_steps(level: str) -> None:
    """float16 with its scaler: a loss that is not finite is left out; losses see float32 outputs."""
    seen = []

    class Watching(Mean):
        def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
            seen.append(logits.dtype)
            return super().forward(logits, labels)

    model, precision = OneConv(), Precision("fp16", level)
    optimizer = paddle.optimizer.Momentum(0.01, parameters=model.parameters(), multi_precision=level == "O2")
    precision.prepare(model, optimizer)
    step = Step(model, {"types": [Watching()], "coef": [1]}, optimizer, precision=precision, undoable=True)
    for value in (1.0, float("inf"), 1.0, 1.0):
        before = model.conv.bias.astype("float32").numpy()
        if np.isfinite(value):
            step([batch(value)])
            assert (model.conv.bias.astype("float32").numpy() != before).any()
        else:
            with pytest.raises(NonFinite):
                step([batch(value)])
            assert (model.conv.bias.astype("float32").numpy() == before).all()
    assert precision.scaler is not None and precision.scaler.is_enable()
    assert set(seen) == {paddle.float32}
