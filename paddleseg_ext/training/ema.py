"""A running average of the weights, which usually scores better than the weights themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.checkpoint.run.damage import AVERAGES as EMA
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime.arrays import on_host
from paddleseg_ext.training.param_groups import learnable


class Ema:
    """Exponential moving average of a model's parameters; BatchNorm's statistics are averages already.

    What a step made of the parameters is taken in when it is convenient, before the next step changes them: while a GPU
    is still computing that step's gradients, or as soon as somebody looks at the averages. The numbers are the same.

    Args:
        model: Whose parameters to average; their present values start the average.
        decay: Weight of the past, in [0, 1). In the first steps t it is (1 + t) / (10 + t) where that is less, so that
            the average does not linger at the initial values.
        exact: Gives float32 copies of those that are kept in half precision, by name; the averages are of these, as
            the parameters' own last bits are lost.
    """

    def __init__(self, model: nn.Layer, decay: float, exact: Callable[[], Mapping[str, paddle.Tensor]] = dict):
        self.decay = decay
        self.steps = 0
        self._exact, self._due = exact, False
        self._parameters = dict(learnable(model))  # finding them takes as long as averaging a small model
        self._averages = {name: value.detach().astype("float32").clone() for name, value in learnable(model)}

    def stepped(self) -> None:
        """Note that a step has changed the parameters; `catch_up` takes them in.

        Raises:
            RuntimeError: The step before was not taken in, and its parameters are gone.
        """
        if self._due:
            raise RuntimeError("two steps were taken without `catch_up` between them")
        self.steps += 1
        self._due = True

    @paddle.no_grad()
    def catch_up(self) -> None:
        """Take in the parameters after the last step, if that was not done yet."""
        if not self._due:
            return
        self._due = False
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        exact = self._exact()
        for name, value in self._parameters.items():
            average, value = self._averages[name], exact.get(name, value)
            if value.dtype != average.dtype:
                value = value.astype("float32")
            if on_host(average):  # three times as fast there as lerp_, which is one kernel instead of three on a GPU
                average.scale_(decay).add_(value.scale(1 - decay))
            else:
                average.lerp_(value, 1 - decay)

    @contextmanager
    def applied(self, model: nn.Layer) -> Iterator[None]:
        """Within the block the model has the averages for its parameters."""
        self.catch_up()
        own = {name: value.clone() for name, value in learnable(model)}
        _assign(model, self._averages)
        try:
            yield
        finally:
            _assign(model, own)

    @property
    def averages(self) -> Mapping[str, paddle.Tensor]:
        """The averages by name, float32."""
        self.catch_up()
        return self._averages

    def arrays(self) -> dict[str, np.ndarray]:
        """The averages by name, for a checkpoint."""
        return {EMA + name: value.numpy() for name, value in self.averages.items()}

    def restore(self, arrays: dict[str, np.ndarray], steps: int, source: str = "the checkpoint") -> None:
        """Put back what `arrays` gave after so many steps.

        Raises:
            UserError: There is no average of a parameter.
        """
        lacking = [name for name in self._averages if EMA + name not in arrays]
        if lacking and len(lacking) == len(self._averages):
            raise UserError(f"checkpoint {source}: it was saved without `ema`, so there is no average to go on with")
        if lacking:
            raise UserError(f"checkpoint {source}: it has no average of {lacking[0]}, which learns now")
        self.steps, self._due = steps, False
        for name, value in self._averages.items():
            value.set_value(arrays[EMA + name])


@paddle.no_grad()
def _assign(model: nn.Layer, values: dict[str, paddle.Tensor]) -> None:
    for name, parameter in learnable(model):
        parameter.set_value(values[name].astype(parameter.dtype))
