"""What is timed: a network in evaluation, and a training step; and that two networks say the same before they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn

from benchmarks.tables import Row
from paddleseg_ext.compat.paddle import threads
from paddleseg_ext.inspection.analysis.timing import Timing

TOLERANCE = 1e-4  # of the largest value


@dataclass
class Compared:
    """One case in one mode on both sides.

    Attributes:
        name: Of the case.
        mode: A key of `RUNS`.
        size: Of the map or image, height first.
        batch: Images.
        ours: Time of our side.
        theirs: Time of the other side.
        difference: Of the outputs, as `check_equal` gives it.
    """

    name: str
    mode: str
    size: tuple[int, int]
    batch: int
    ours: Timing
    theirs: Timing
    difference: float

    def cells(self) -> Row:
        """The first ones of a table's line, which say what was measured."""
        return {
            "case": self.name,
            "mode": self.mode,
            "batch": self.batch,
            "map": f"{self.size[0]}x{self.size[1]}",
            "threads": threads(),
        }


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
