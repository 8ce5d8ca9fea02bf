"""One optimizer step: forward, backward, checks, update."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.compat.paddle import interpolate_by, squared_l2_norm
from paddleseg_ext.layers.functional import KERNELS, as_float32
from paddleseg_ext.runtime import distributed
from paddleseg_ext.runtime.amp import Precision
from paddleseg_ext.training import losses as loss_functions
from paddleseg_ext.training.param_groups import learnable

NORM = "grad_norm"


class NonFinite(ArithmeticError):
    """A loss or a gradient norm that is infinite or not a number; the message gives them all by name."""


class Step:
    """Trains a model by one iteration per call.

    Args:
        model: In PaddleSeg's form: returns a list of outputs.
        losses: ``{"types": [...], "coef": [...]}``.
        optimizer: Updates the model's parameters.
        accumulate: Batches whose mean gradient makes a step.
        precision: How to compute; default float32.
        clip_norm: Longest gradient, all parameters together; a longer one is shortened to it.
        undoable: Training goes on after a step that was not finite, so BatchNorm's statistics, which the forward pass
            has spoilt by then, are copied before each step.
        meanwhile: Called when everything of an iteration has been issued and its results are about to be waited for: a
            GPU is still computing, and what the host does then costs no time.
        stopping: Whether this process wants to stop.

    Attributes:
        stop: Whether any process wanted to stop when the last iteration's losses were shared, the same in all of them.
    """

    def __init__(
        self,
        model: nn.Layer,
        losses: dict,
        optimizer: paddle.optimizer.Optimizer,
        accumulate: int = 1,
        precision: Precision | None = None,
        clip_norm: float | None = None,
        undoable: bool = False,
        meanwhile: Callable[[], object] = lambda: None,
        stopping: Callable[[], bool] = lambda: False,
    ):
        self.meanwhile, self.stopping, self.stop = meanwhile, stopping, False
        self.model, self.losses, self.optimizer = model, losses, optimizer
        self.accumulate, self.clip_norm = accumulate, clip_norm
        self.precision = precision or Precision()
        self.network = distributed.data_parallel(model)
        parameters = {name for name, _ in learnable(model)}
        self._statistics = [v for name, v in model.state_dict().items() if undoable and name not in parameters]

    def __call__(self, batches: Iterable[dict]) -> dict[str, float]:
        """Update the parameters by `accumulate` batches; return the mean loss by name and, as `grad_norm`, the norm.

        Raises:
            NonFinite: The parameters are as before then. All processes raise alike.
        """
        before = [statistic.clone() for statistic in self._statistics]
        totals: dict[str, paddle.Tensor] = {}
        for number, batch in enumerate(batches, start=1):
            with distributed.no_sync(self.network) if number < self.accumulate else nullcontext():
                with self.precision.forward(), interpolate_by(KERNELS.get("resize_bilinear")):
                    outputs: Any = self.network(batch["img"])
                # losses in float32: some multiply or convolve, which mixed precision would do in half
                outputs = paddle.utils.map_structure(as_float32, outputs)
                parts = loss_functions.compute(self.model, outputs, batch, self.losses)
                self.precision.backward(sum(parts.values()) / self.accumulate)  # type: ignore[arg-type]  # of tensors
            for name, loss in parts.items():
                value = loss.detach().astype("float32").reshape([]) / self.accumulate
                totals[name] = totals[name] + value if name in totals else value
        self.precision.unscale(self.optimizer)
        gradients = [p.grad for p in self.model.parameters() if not p.stop_gradient and p.grad is not None]
        norm = gradient_norm(gradients)
        stopping = paddle.full([], float(self.stopping()), "float32")
        means = distributed.all_reduce_mean(paddle.stack([*totals.values(), norm, stopping]))
        self.meanwhile()
        values: list[float] = means.numpy().tolist()  # the iteration's one wait for a GPU
        self.stop = values.pop() > 0
        result = dict(zip([*totals, NORM], values))
        if not all(map(math.isfinite, values[:-1])) or not self.precision.tolerates(values[-1]):
            self.optimizer.clear_grad()
            self.precision.discard()
            for statistic, value in zip(self._statistics, before):
                statistic.set_value(value)
            raise NonFinite(", ".join(f"{name} {value:.4g}" for name, value in result.items()))
        if self.clip_norm is not None and values[-1] > self.clip_norm:
            with paddle.no_grad():
                for gradient in gradients:
                    gradient.scale_(self.clip_norm / values[-1])
        self.precision.update(self.optimizer)
        self.optimizer.clear_grad()
        return result


@paddle.no_grad()
def gradient_norm(gradients: list[paddle.Tensor]) -> paddle.Tensor:
    """The Euclidean norm of all gradients together, a scalar."""
    return paddle.add_n([squared_l2_norm(as_float32(gradient)) for gradient in gradients]).sqrt()
