"""Frozen parameters stay, heads learn faster, biases do not decay, and averages are averages."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddleseg_ext.errors import UserError
from paddleseg_ext.training import param_groups as parameters
from paddleseg_ext.training import state_dict as state
from paddleseg_ext.training.ema import Ema
from tests.tiny_run import CLASSES, TwoOutputs

OPTIMIZERS = [paddle.optimizer.Momentum, paddle.optimizer.AdamW, paddle.optimizer.SGD]


def changes(
    model: nn.Layer, optimizer: paddle.optimizer.Optimizer, zero_gradient: bool = False
) -> dict[str, np.ndarray]:
    """How each parameter changes in one step, from 1."""
    for _, parameter in parameters.learnable(model):
        parameter.set_value(paddle.ones_like(parameter))
    loss = sum(out.mean() for out in model(paddle.ones([2, 3, 4, 4])))
    (loss * (0.0 if zero_gradient else 1.0)).backward()
    optimizer.step()
    optimizer.clear_grad()
    return {name: 1 - parameter.numpy() for name, parameter in parameters.learnable(model)}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_biases_and_norms_do_not_decay(kind: type) -> None:
    model = TwoOutputs(CLASSES)
    optimizer = kind(0.1, parameters=model.parameters(), weight_decay=0.5)
    parameters.exempt_from_decay(model, optimizer)
    moved = {name for name, change in changes(model, optimizer, zero_gradient=True).items() if change.any()}
    assert moved == {"backbone.weight", "mask.weight", "aux.weight"}
    assert "of them without weight decay" in parameters.summary(model, optimizer)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_head_learns_faster(kind: type) -> None:
    plain, scaled = TwoOutputs(CLASSES, plain=True), TwoOutputs(CLASSES, plain=True)
    parameters.scale_head(scaled, 10)
    a = changes(plain, kind(0.001, parameters=plain.parameters(), weight_decay=0.0))
    b = changes(scaled, kind(0.001, parameters=scaled.parameters(), weight_decay=0.0))
    np.testing.assert_allclose(b["backbone.weight"], a["backbone.weight"], rtol=1e-3)
    np.testing.assert_allclose(b["mask.weight"], 10 * a["mask.weight"], rtol=1e-3)


def test_what_is_frozen_stays_statistics_included() -> None:
    model = TwoOutputs(CLASSES)
    parameters.freeze(model, ["backbone.*", "norm.*"])
    optimizer = paddle.optimizer.Momentum(0.1, parameters=model.parameters(), weight_decay=0.5)
    parameters.train_mode(model)
    mean = model.norm._mean.numpy()
    moved = {name for name, change in changes(model, optimizer).items() if change.any()}
    assert moved == {"mask.weight", "mask.bias", "aux.weight", "aux.bias"}
    np.testing.assert_array_equal(mean, model.norm._mean.numpy())
    assert "frozen" in parameters.summary(model, optimizer)


def test_the_summary_counts() -> None:
    model = TwoOutputs(CLASSES, plain=True)  # 8·3·9 + 8 in the backbone, 3·8·9 + 3 and 3·8 + 3 outside
    parameters.scale_head(model, 10)
    parameters.freeze(model, ["aux.bias"])
    optimizer = paddle.optimizer.Momentum(0.1, parameters=model.parameters())
    parameters.exempt_from_decay(model, optimizer)
    assert parameters.summary(model, optimizer) == (
        "224 parameters at lr × 1 (8 of them without weight decay); "
        "243 parameters at lr × 10 (3 of them without weight decay); 3 frozen"
    )


@pytest.mark.parametrize(
    ("patterns", "message"),
    [(["decoder.*"], "matches no parameter; names are like backbone.weight"), (["*"], "leaves no")],
)
def test_patterns_that_make_no_sense(patterns: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parameters.freeze(TwoOutputs(CLASSES), patterns)


def test_a_head_needs_a_backbone_beside_it() -> None:
    with pytest.raises(UserError, match="has no backbone"):
        parameters.scale_head(nn.Sequential(nn.Linear(2, 2)), 10)


def test_synchronized_batch_norm_saves_as_plain() -> None:
    plain = TwoOutputs(CLASSES)
    synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(TwoOutputs(CLASSES))
    assert isinstance(synchronized.norm, nn.SyncBatchNorm)
    arrays = state.model_arrays(synchronized)
    state.load_model(plain, arrays, "checkpoint")
    for name, value in state.model_arrays(plain).items():
        np.testing.assert_array_equal(value, arrays[name])


@pytest.fixture
def several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes on GPUs, as far as the choice of layers asks."""
    monkeypatch.setattr(parameters.distributed, "world_size", lambda: 2)
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")


@pytest.mark.parametrize("pattern, left", [("1.*", {"1"}), ("*.weight", set()), ("[013].*", {"1", "3"})])
def test_frozen_norms_are_never_synchronized(several_gpus: None, pattern: str, left: set[str]) -> None:
    """In evaluation mode, which frozen ones are in, SyncBatchNorm's backward pass reads what its forward left out."""
    layers = [nn.Conv2D(2, 4, 1), nn.BatchNorm2D(4), nn.SyncBatchNorm(4), nn.SyncBatchNorm(4), nn.BatchNorm1D(4)]
    model = nn.Sequential(*layers)
    own = {name: id(value) for name, value in model.named_parameters()}
    saved = {name: value.numpy() for name, value in model.state_dict().items()}
    parameters.freeze(model, [pattern])
    parameters.sync_batch_norm(model)
    parameters.train_mode(model)
    for name, layer in model.named_children():
        if name == "0":
            continue
        assert isinstance(layer, nn.SyncBatchNorm) == (name not in left), name
        assert layer.training == (name not in left)
        if name in left:
            assert type(layer) is nn.BatchNorm2D
    assert {name: id(value) for name, value in model.named_parameters()} == own  # what the optimizer holds
    assert model.state_dict().keys() == saved.keys()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), saved[name])


def test_norms_in_nested_layers_are_synchronized(several_gpus: None) -> None:
    model = TwoOutputs(CLASSES)
    parameters.sync_batch_norm(model)
    assert type(model.norm) is nn.SyncBatchNorm
    plain = TwoOutputs(CLASSES)
    parameters.freeze(plain, ["norm.*"])
    parameters.sync_batch_norm(plain)
    assert type(plain.norm) is nn.BatchNorm2D


def test_the_average_follows_its_formula() -> None:
    model = nn.Linear(1, 1, bias_attr=False)
    model.weight.set_value(paddle.to_tensor([[2.0]]))
    ema = Ema(model, decay=0.5)
    expected = 2.0
    for t, value in enumerate([4.0, -1.0, 3.0, 7.0, 5.0, 1.0, 0.0, 2.0, 2.0], start=1):
        model.weight.set_value(paddle.to_tensor([[value]]))
        ema.stepped()
        ema.catch_up()
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * value
    with ema.applied(model):
        assert float(model.weight) == pytest.approx(expected)
    assert float(model.weight) == 2.0
    again = Ema(model, decay=0.5)
    again.stepped()
    with pytest.raises(RuntimeError, match="without `catch_up`"):
        again.stepped()
    again.catch_up()  # while the next step's gradients are computed, say
    model.weight.set_value(paddle.to_tensor([[100.0]]))
    again.catch_up()
    assert float(again.averages["weight"]) == 2.0
    other = Ema(model, decay=0.5)
    other.restore(ema.arrays(), ema.steps)
    assert other.steps == 9 and other.arrays()["ema/weight"] == ema.arrays()["ema/weight"]


@pytest.mark.gpu
def test_a_frozen_norm_passes_its_gradient_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SyncBatchNorm of a PaddleSeg backbone, frozen, between layers that learn: as a plain one would."""
    monkeypatch.setattr(parameters.distributed, "world_size", lambda: 2)
    x, found = paddle.randn([2, 3, 9, 7]), []
    for norm in (nn.SyncBatchNorm, nn.BatchNorm2D):
        paddle.seed(4)
        model = nn.Sequential(nn.Conv2D(3, 6, 3), norm(6), nn.Conv2D(6, 2, 1))
        statistics = {name: value for name, value in model[1].state_dict().items() if name.startswith("_")}
        assert len(statistics) == 2
        for value in statistics.values():
            value.set_value(paddle.full([6], 0.7))
        if norm is nn.SyncBatchNorm:
            parameters.freeze(model, ["1.*"])
            parameters.sync_batch_norm(model)
            parameters.train_mode(model)
        else:
            model[1].eval()
        model(x).square().mean().backward()
        found.append(model[0].weight.grad.numpy())
    assert np.isfinite(found[0]).all() and np.abs(found[0]).max() > 0
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-7)
