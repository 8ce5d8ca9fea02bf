"""Pinhole camera above a flat street."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEAR = 0.8  # meters; nearer points are projected at this depth, outside the image


@dataclass(frozen=True)
class Camera:
    """Projects meters (x right, y up, z forward along the street) to canvas pixels.

    Args:
        width, height: Size of the canvas in pixels.
        focal: Focal length in pixels.
        center, horizon: Column and row of the vanishing point.
        eye: Height of the camera above the road in meters.
        bend: The street's center line lies at x = bend·z² (1/m); objects keep their position relative to the street.
    """

    width: int
    height: int
    focal: float
    center: float
    horizon: float
    eye: float
    bend: float

    def project(self, points: Sequence[tuple[float, float, float]]) -> list[tuple[float, float]]:
        """Points in meters to columns and rows."""
        # Plain Python: for a few points NumPy is slower.
        pixels = []
        for x, y, z in points:
            z = max(z, NEAR)
            scale = self.focal / z
            pixels.append((self.center + scale * (x + self.bend * z * z), self.horizon + scale * (self.eye - y)))
        return pixels

    def scale(self, z: float) -> float:
        """Pixels per meter at depth z."""
        return self.focal / max(z, NEAR)

    @property
    def first_row(self) -> int:
        """The first row below the horizon."""
        return int(self.horizon) + 1

    def ground(self) -> tuple[np.ndarray, np.ndarray]:
        """Ground coordinates of the pixels below the horizon.

        Returns:
            x relative to the street, and z, both of shape (height − first_row, width).
        """
        rows = np.arange(self.first_row, self.height, dtype=np.float64)[:, None] + 0.5
        z = self.focal * self.eye / (rows - self.horizon)
        columns = np.arange(self.width, dtype=np.float64)[None] + 0.5
        x = (columns - self.center) * z / self.focal - self.bend * z * z
        return x, np.broadcast_to(z, x.shape)
