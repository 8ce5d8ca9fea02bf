"""Everything that stands or moves in a street: when it is painted, and what shadow it casts."""

from __future__ import annotations

from collections.abc import Callable

from paddleseg_ext.data.datasets.streets.canvas import Canvas
from paddleseg_ext.data.datasets.streets.lighting import Light
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import Street


class Residents:
    """Collects what is to be painted, then paints it from far to near.

    Attributes:
        footprints, shadows: Polygons on the ground in meters: what lies under things, and in their shadow.
    """

    def __init__(self, street: Street, light: Light, rng: Rng) -> None:
        self.street, self.light, self.rng = street, light, rng
        self.sun_x = rng.real(0.25, 1.2) * rng.of((-1, 1))  # reach of a shadow in heights of what casts it
        self.sun_z = rng.real(-0.5, 0.5)
        self.painters: list[tuple[float, Callable[[Canvas], None]]] = []
        self.footprints: list[list[tuple]] = []
        self.shadows: list[list[tuple]] = []

    def add(self, depth: float, painter: Callable[..., None], *args: object, **kwargs: object) -> None:
        """Have `painter(canvas, *args, rng, **kwargs)` called in its turn."""
        self.painters.append((depth, lambda canvas: painter(canvas, *args, rng=self.rng, **kwargs)))

    def shade(self, x: float, z: float, width: float, length: float, height: float) -> None:
        """The shadow of a box that is centered at x and whose nearest face lies at depth z."""
        left, right, far = x - width / 2, x + width / 2, z + length
        dx, dz = self.sun_x * height, self.sun_z * height
        base = [(left, 0, z), (right, 0, z), (right, 0, far), (left, 0, far)]
        top = [(px + dx, 0, pz + dz) for px, _, pz in base]
        self.footprints.append(base)
        self.shadows.append(top)
        for i in range(4):  # the base swept to where the shadow of the top lies
            self.shadows.append([base[i - 1], base[i], top[i], top[i - 1]])

    def paint(self, canvas: Canvas) -> None:
        """Paint all, from far to near."""
        for _, painter in sorted(self.painters, key=lambda item: -item[0]):
            painter(canvas)
