"""A running average of the weights, which usually scores better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.training.param_groups import learnable

EMA = "ema/"


class Ema:
    """Exponential moving average of a model's parameters; BatchNorm's statistics are averages already.

    Args:
        model: Whose parameters to average; their present values start the average.
        decay: Weight of the past, in [0, 1). In the first steps t it is (1 + t) / (10 + t) where that is less, so that
            the average does not linger at the initial values.
    """

    def __init__(self, model: nn.Layer, decay: float):
        self.decay = decay
        self.steps = 0
        self._parameters = dict(learnable(model))  # finding them takes as long as averaging a small model
        self._averages = {name: value.detach().astype("float32").clone() for name, value in learnable(model)}

    @paddle.no_grad()
    def update(self, exact: Mapping[str, paddle.Tensor] | None = None) -> None:
        """Take in the parameters after a step.

        Args:
            exact: Float32 copies of those that are kept in half precision, by name; their own last bits would be lost.
        """
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self._parameters.items():
            average = self._averages[name]  # scale and add: lerp_ takes three times as long on a CPU
            average.scale_(decay)
            value = value if exact is None else exact.get(name, value)
            if value.dtype != average.dtype:
                value = value.astype("float32")
            average.add_(value.scale(1 - decay))

    @contextmanager
    def applied(self, model: nn.Layer) -> Iterator[None]:
        """Within the block the model has the averages for its parameters."""
        own = {name: value.clone() for name, value in learnable(model)}
        _assign(model, self._averages)
        try:
            yield
        finally:
            _assign(model, own)

    @property
    def averages(self) -> Mapping[str, paddle.Tensor]:
        """The averages by name, float32."""
        return self._averages

    def arrays(self) -> dict[str, np.ndarray]:
        """The averages by name, for a checkpoint."""
        return {EMA + name: value.numpy() for name, value in self._averages.items()}

    def restore(self, arrays: dict[str, np.ndarray], steps: int) -> None:
        """Put back what `arrays` gave after so many steps."""
        self.steps = steps
        for name, value in self._averages.items():
            value.set_value(arrays[EMA + name])


@paddle.no_grad()
def _assign(model: nn.Layer, values: dict[str, paddle.Tensor]) -> None:
    for name, parameter in learnable(model):
        parameter.set_value(values[name].astype(parameter.dtype))
