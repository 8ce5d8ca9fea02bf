"""Random choices that do not depend on the machine or on NumPy's version.

NumPy guarantees the raw stream of a bit generator for ever, but not what `Generator` makes of it. So the renderer
draws from PCG64's raw 64-bit words and uses nothing but exact arithmetic on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Rng:
    """A seeded source of choices; equal seeds give equal choices everywhere."""

    def __init__(self, *seed: int) -> None:
        self.source = np.random.PCG64(np.random.SeedSequence(seed))
        self.words: list[int] = []

    def real(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number from [low, high)."""
        if not self.words:  # fetched by the thousand, for speed
            self.words = self.source.random_raw(1024).tolist()
        return low + (high - low) * ((self.words.pop() >> 11) * 2.0**-53)

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.real() * (high - low + 1))

    def happens(self, probability: float) -> bool:
        """True with that probability."""
        return self.real() < probability

    def of(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.whole(0, len(items) - 1)]

    def near(self, color: tuple, spread: float = 14.0) -> tuple[float, float, float]:
        """A color like the given one: lighter or darker as a whole, and each channel a little by itself."""
        shift, real = self.real(-spread, spread), self.real
        small = spread / 3
        red, green, blue = color
        return (
            red + shift + real(-small, small),
            green + shift + real(-small, small),
            blue + shift + real(-small, small),
        )

    def octets(self, *shape: int) -> np.ndarray:
        """An array of that shape of uint8 from 0 to 255."""
        count = int(np.prod(shape))
        words = self.source.random_raw((count + 7) // 8)
        return words.astype("<u8").view(np.uint8)[:count].reshape(shape)
