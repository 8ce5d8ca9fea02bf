"""Random number generator whose numbers depend neither on the platform nor on NumPy's version.

NumPy guarantees the raw stream of a bit generator across versions, but not the distributions of `Generator`. The
renderer therefore draws PCG64's raw 64-bit words and uses only exact arithmetic on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Rng:
    """Seeded random number generator; equal seeds give equal numbers on every platform."""

    def __init__(self, *seed: int) -> None:
        self.source = np.random.PCG64(np.random.SeedSequence(seed))
        self.words: list[int] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Uniform number from [low, high)."""
        if not self.words:  # drawn in blocks of 1024, for speed
            self.words = self.source.random_raw(1024).tolist()
        return low + (high - low) * ((self.words.pop() >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """Uniform integer from low to high, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def bernoulli(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, uniformly."""
        return items[self.integer(0, len(items) - 1)]

    def jitter(self, color: tuple, spread: float = 14.0) -> tuple[float, float, float]:
        """The color with a random brightness shift and a smaller random shift per channel."""
        shift, uniform = self.uniform(-spread, spread), self.uniform
        small = spread / 3
        red, green, blue = color
        return (
            red + shift + uniform(-small, small),
            green + shift + uniform(-small, small),
            blue + shift + uniform(-small, small),
        )

    def uint8(self, *shape: int) -> np.ndarray:
        """Uniform uint8 array of this shape."""
        count = int(np.prod(shape))
        words = self.source.random_raw((count + 7) // 8)
        return words.astype("<u8").view(np.uint8)[:count].reshape(shape)
