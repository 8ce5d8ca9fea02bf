"""One step: accumulated batches equal one large batch, gradients are measured and clipped, nothing bad gets in."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddleseg.models.losses import CrossEntropyLoss, LovaszSoftmaxLoss

from paddleseg_ext.cpu import resize
from paddleseg_ext.errors import UserError
from paddleseg_ext.layers.functional import without_kernels
from paddleseg_ext.runtime.amp import Precision
from paddleseg_ext.training import losses as loss_functions
from paddleseg_ext.training.step import NonFinite, Step, gradient_norm
from tests.tiny_run import CLASSES, TwoOutputs

LOSSES = {"types": [CrossEntropyLoss(), CrossEntropyLoss()], "coef": [1.0, 0.4]}


def batch(size: int, seed: int = 0) -> dict[str, paddle.Tensor]:
    generator = np.random.default_rng(seed)
    return {
        "img": paddle.to_tensor(generator.normal(size=(size, 3, 8, 8)).astype("float32")),
        "label": paddle.to_tensor(generator.integers(0, CLASSES, (size, 8, 8))),
    }


def trained(batches: list[dict], weights: dict, steps: int = 3, lr: float = 0.5, **options: object):
    model = TwoOutputs(CLASSES, plain=True)
    model.set_state_dict(weights)
    model.train()
    optimizer = paddle.optimizer.Momentum(lr, parameters=model.parameters())
    step = Step(model, LOSSES, optimizer, accumulate=len(batches), **options)
    results = [step(batches) for _ in range(steps)]
    return results, {name: value.numpy() for name, value in model.state_dict().items()}


@pytest.fixture
def weights() -> dict[str, paddle.Tensor]:
    return TwoOutputs(CLASSES, plain=True).state_dict()


def test_k_batches_of_b_equal_one_of_kb(weights: dict) -> None:
    whole = batch(6)
    parts = [{key: value[i : i + 2] for key, value in whole.items()} for i in (0, 2, 4)]
    results, a = trained([whole], weights)
    split_results, b = trained(parts, weights)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=1e-5)
        assert not np.allclose(a[name], weights[name].numpy(), atol=1e-5)
    for one, other in zip(results, split_results):
        assert one.keys() == other.keys() == {"mask", "aux0", "grad_norm"}
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-5)


def test_the_step_follows_the_formula(weights: dict) -> None:
    model = TwoOutputs(CLASSES, plain=True)
    model.set_state_dict(weights)
    model.train()
    data = batch(2)
    parts = loss_functions.compute(model, model(data["img"]), data, LOSSES)
    sum(parts.values()).backward()
    gradients = {name: value.grad.numpy() for name, value in model.named_parameters()}
    norm = np.sqrt(sum((gradient.astype("float64") ** 2).sum() for gradient in gradients.values()))
    (result,), after = trained([data], weights, steps=1)
    assert result["grad_norm"] == pytest.approx(norm, rel=1e-5)
    assert result["mask"] == pytest.approx(float(parts["mask"]))
    for name in after:
        np.testing.assert_allclose(after[name], weights[name].numpy() - 0.5 * gradients[name], atol=1e-6)


@pytest.mark.parametrize(("clip", "expected"), [(0.01, 0.01), (1e6, None)])
def test_a_long_gradient_is_shortened(weights: dict, clip: float, expected: float | None) -> None:
    (result,), after = trained([batch(2)], weights, steps=1, lr=1.0, clip_norm=clip)
    change = np.sqrt(sum(((after[name] - weights[name].numpy()) ** 2).sum() for name in after))
    assert change == pytest.approx(expected or result["grad_norm"], rel=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_changes_nothing(weights: dict, value: float) -> None:
    model = TwoOutputs(CLASSES, plain=True)
    model.set_state_dict(weights)
    model.train()
    data = batch(2)
    data["img"][0, 0, 0, 0] = value
    step = Step(model, LOSSES, paddle.optimizer.Momentum(0.5, parameters=model.parameters()), accumulate=2)
    with pytest.raises(NonFinite, match="mask .*aux0 .*grad_norm"):
        step([batch(2), data])
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.numpy(), weights[name].numpy())
        assert parameter.grad is None or not parameter.grad.numpy().any()


def test_the_host_works_while_the_gpu_does_and_a_wish_to_stop_travels_with_the_losses(weights: dict) -> None:
    model, seen, wish = TwoOutputs(CLASSES, plain=True), [], iter([False, True, True])
    model.set_state_dict(weights)
    name, parameter = next(iter(model.named_parameters()))
    step = Step(
        model,
        LOSSES,
        paddle.optimizer.SGD(0.5, parameters=model.parameters()),
        meanwhile=lambda: seen.append((parameter.numpy(), parameter.grad is not None)),
        stopping=lambda: next(wish),
    )
    data, stops = batch(2), []
    for _ in range(2):
        assert set(step([data])) == {"mask", "aux0", "grad_norm"}
        stops.append(step.stop)
    assert stops == [False, True]
    np.testing.assert_array_equal(seen[0][0], weights[name].numpy())  # the step has not been taken yet
    assert not np.array_equal(seen[1][0], seen[0][0]) and seen[0][1] and seen[1][1]
    data["img"] = data["img"] * float("nan")
    with pytest.raises(NonFinite):
        step([data])
    assert step.stop and len(seen) == 3


def test_norm_of_all_gradients_together() -> None:
    assert float(gradient_norm([paddle.to_tensor([3.0, 0.0]), paddle.to_tensor([[4.0]])])) == pytest.approx(5.0)


def test_mixed_losses_and_edges_and_a_models_own() -> None:
    class Mixed(paddle.nn.Layer):
        def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> list[paddle.Tensor]:
            return [logits.mean(), logits.mean() * 2]

    class Edge(paddle.nn.Layer):
        edge_label = True

        def forward(self, logits: paddle.Tensor, edges: paddle.Tensor) -> paddle.Tensor:
            return edges.astype("float32").mean()

    Mixed.__name__, Edge.__name__ = "MixedLoss", "BCELoss"
    model, outputs = TwoOutputs(CLASSES), [paddle.ones([1, 3, 2, 2])] * 2
    data = {"label": paddle.zeros([1, 2, 2]), "edge": paddle.full([1, 2, 2], 4)}
    losses = {"types": [Mixed(), Edge()], "coef": [2, 0.5]}
    values = loss_functions.compute(model, outputs, data, losses)
    assert {name: float(value) for name, value in values.items()} == {"mask": 6.0, "aux0": 2.0}
    del data["edge"]
    with pytest.raises(UserError, match=r"edge_label needs train_dataset\.edge"):
        loss_functions.compute(model, outputs, data, losses)
    model.loss_computation = lambda outputs, losses, data: [outputs[0].sum(), outputs[1].mean()]
    assert [float(v) for v in loss_functions.compute(model, outputs, data, losses).values()] == [12.0, 1.0]


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="for machines without a GPU")
def test_mixed_precision_is_refused_on_the_cpu() -> None:
    with pytest.raises(UserError, match="`precision` bf16 needs a GPU"):
        Precision("bf16")
    with pytest.raises(UserError, match="allowed are fp32, fp16, bf16"):
        Precision("fp8")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["fp16", "bf16"])
@pytest.mark.parametrize("level", ["O1", "O2"])
def test_mixed_precision_learns_as_float32_does(name: str, level: str) -> None:
    if name == "bf16" and not paddle.amp.is_bfloat16_supported():
        pytest.skip("a card without bfloat16")

    def run(precision: Precision) -> list[float]:
        paddle.seed(0)
        model = TwoOutputs(CLASSES, plain=True)
        model.train()
        optimizer = paddle.optimizer.Momentum(0.1, parameters=model.parameters())
        precision.prepare(model, optimizer)
        step = Step(model, LOSSES, optimizer, precision=precision)
        return [step([batch(4)])["mask"] for _ in range(10)]

    np.testing.assert_allclose(run(Precision(name, level)), run(Precision()), rtol=0.05)


@pytest.mark.parametrize("kind", [LovaszSoftmaxLoss, CrossEntropyLoss])
def test_a_batch_without_a_labeled_pixel_gives_no_loss_and_no_gradient(kind: type, weights: dict) -> None:
    model = TwoOutputs(CLASSES, plain=True)
    model.set_state_dict(weights)
    model.train()
    data = {**batch(2), "label": paddle.full([2, 8, 8], 255, "int64")}
    parts = loss_functions.compute(model, model(data["img"]), data, {"types": [kind(), kind()], "coef": [1.0, 0.4]})
    assert [float(value) for value in parts.values()] == [0.0, 0.0]
    sum(parts.values()).backward()
    assert all(p.grad is not None and not np.any(p.grad.numpy()) for p in model.parameters())


def test_a_loss_of_many_numbers_is_refused(weights: dict) -> None:
    class PerPixel(paddle.nn.Layer):
        def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
            return logits.mean(1)

    model, data = TwoOutputs(CLASSES, plain=True), batch(2)
    with pytest.raises(UserError, match="loss.types: PerPixel gives 128 numbers, and a loss is one"):
        loss_functions.compute(model, model(data["img"]), data, {"types": [PerPixel()] * 2, "coef": [1, 1]})


def test_networks_that_interpolate_themselves_train_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PaddleSeg's do; the gradient of Paddle's own on a CPU takes up to ten times as long."""

    class Resized(TwoOutputs):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return [F.interpolate(y, [8, 8], mode="bilinear") for y in super().forward(x[:, :, ::2, ::2])]

    sizes: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        resize, "run", lambda x, size, corners, run=resize.run: sizes.append(size) or run(x, size, corners)
    )
    weights, gradients = Resized(CLASSES, plain=True).state_dict(), []
    for kernels in (nullcontext(), without_kernels()):
        model = Resized(CLASSES, plain=True)
        model.set_state_dict(weights)
        optimizer = paddle.optimizer.SGD(1.0, parameters=model.parameters())
        with kernels:
            Step(model, LOSSES, optimizer)([batch(2)])
        gradients.append({name: value.numpy() for name, value in model.state_dict().items()})
    assert sizes == [[8, 8]] * 2
    for name, expected in gradients[1].items():
        np.testing.assert_allclose(gradients[0][name], expected, rtol=0, atol=1e-6, err_msg=name)
    assert F.interpolate.__module__.startswith("paddle")
