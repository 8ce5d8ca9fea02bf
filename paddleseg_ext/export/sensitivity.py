"""How far a network's own scores move with the last digit of its input, and what difference that excuses.

Two orders of summation round differently, as if the input had been another in its last digit. Most networks answer
that with 1e-6 of the largest score. CCNet's energies are not scaled: where they reach 1e4, float32 knows them to
1e-3 at best, their softmax decides between near-equals, and a few pixels of the scores move by 1e-3 and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.export.wrapper import Colors

ALWAYS_ALLOWED, NEVER_ALLOWED_ABOVE = 1e-4, 1e-2  # of the largest score
FACTOR = 3  # a network rounds in every layer, but the input is changed only before the first
TIMES, THOROUGH_TIMES = 2, 32
UNKNOWN = 1e-6  # float32 knows no sum of a network's size better


@dataclass(eq=False)
class TestInput:
    """An input and what the network itself makes of it.

    Attributes:
        images: What the exported network is fed.
        logits: (N, K, H, W) of the network itself.
    """

    images: np.ndarray
    logits: np.ndarray


class Sensitivity:
    """The largest relative change of a network's logits when every value of its input moves by one float32 step.

    Each value goes up or down by chance, from fixed seeds, so that the figure is the same every time. It is measured
    twice on every input, and `THOROUGH_TIMES` times on one whose difference would be refused otherwise, since the
    largest of few tries says little where only some pixels are sensitive.

    Args:
        model: In evaluation mode.
        inputs: On which it is compared.
        colors: They make the network's input of ``images`` where it normalizes inside.

    Attributes:
        largest: The figure, over all inputs; infinite where the scores are not finite.
        measurements: How often the network was run for it.
    """

    def __init__(self, model: nn.Layer, inputs: Sequence[TestInput], colors: Colors | None) -> None:
        self.model, self.colors = model, colors
        self.largest, self.measurements = 0.0, 0
        self._thorough: set[int] = set()
        for test_input in inputs:
            self._measure(test_input, range(TIMES))

    @property
    def allowed(self) -> float:
        """The largest relative difference that an exported network may show."""
        return min(NEVER_ALLOWED_ABOVE, max(ALWAYS_ALLOWED, FACTOR * self.largest))

    @property
    def tie(self) -> float:
        """The lead of one class over another, relative to the largest score, that says nothing about which is ahead.

        Two scores may both be off. Ill-conditioned networks get no more here than others: where scores may differ by
        1e-2, class ids are what still tells a wrong network from an inexact one.
        """
        return 2 * max(UNKNOWN, min(ALWAYS_ALLOWED, FACTOR * self.largest))

    def allows(self, difference: float, test_input: TestInput) -> bool:
        """Whether a difference found with an input is allowed; measures there more often before it says no."""
        could_be = self.allowed < difference <= NEVER_ALLOWED_ABOVE
        if could_be and id(test_input) not in self._thorough:
            self._thorough.add(id(test_input))
            self._measure(test_input, range(TIMES, THOROUGH_TIMES))
        return difference <= self.allowed

    def _measure(self, test_input: TestInput, seeds: Sequence[int]) -> None:
        images = test_input.images if self.colors is None else self.colors(test_input.images)
        for seed in seeds:
            with paddle.no_grad():
                logits = self.model(paddle.to_tensor(one_step_off(images, seed)))[0].numpy()
            self.largest = max(self.largest, relative_difference(logits, test_input.logits))
            self.measurements += 1


def one_step_off(images: np.ndarray, seed: int) -> np.ndarray:
    """Every float32 value replaced by the next above or below."""
    up = np.random.default_rng(seed).random(images.shape, np.float32) < 0.5
    return np.nextafter(images, np.where(up, np.float32(np.inf), np.float32(-np.inf)))


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest expected value; infinite where either holds NaN or infinity."""
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))
