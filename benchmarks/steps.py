"""What is timed: a network in evaluation, and a training step; and that two networks say the same before they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn

TOLERANCE = 1e-4  # of the largest value


def check_equal(case: str, ours: Any, theirs: Any) -> float:
    """The largest difference of two networks' outputs, as a share of the largest value.

    Raises:
        ArithmeticError: It is above `TOLERANCE`.
    """
    found, expected = (np.concatenate([np.ravel(part) for part in _parts(output)]) for output in (ours, theirs))
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise ArithmeticError(
            f"{case}: the outputs differ by {difference:.1e} of the largest, so no time means anything"
        )
    return difference


def _parts(output: Any) -> list[Any]:
    return [np.asarray(part) for part in (output if isinstance(output, (list, tuple)) else [output])]


def evaluate(forward: Callable[[nn.Layer], Any], net: nn.Layer, inputs: Sequence[paddle.Tensor]) -> None:
    """Forward alone."""
    with paddle.no_grad():
        forward(net)


def train(forward: Callable[[nn.Layer], Any], net: nn.Layer, inputs: Sequence[paddle.Tensor]) -> None:
    """Forth and back, with gradients of the weights and of what a head is given."""
    out = forward(net)
    sum(o.mean() for o in (out if isinstance(out, (list, tuple)) else [out])).backward()
    net.clear_gradients()
    for value in inputs:
        value.clear_gradient()


RUNS = {"evaluation": evaluate, "training": train}


def set_mode(mode: str, net: nn.Layer, inputs: Sequence[paddle.Tensor]) -> None:
    """Ready a network, and what a training step takes gradients of, for one of `RUNS`."""
    net.train() if mode == "training" else net.eval()
    for value in inputs:
        value.stop_gradient = mode == "evaluation"
