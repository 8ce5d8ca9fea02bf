"""Objects of a scene: their depth order and their shadows."""

from __future__ import annotations

from collections.abc import Callable

from paddleseg_ext.data.datasets.streets.canvas import Canvas
from paddleseg_ext.data.datasets.streets.lighting import Lighting
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import Street


class SceneObjects:
    """Collects the objects of a scene and paints them from far to near (painter's algorithm).

    Attributes:
        footprints, shadows: Ground polygons in meters: the areas covered by objects and by their shadows.
    """

    def __init__(self, street: Street, lighting: Lighting, rng: Rng) -> None:
        self.street, self.lighting, self.rng = street, lighting, rng
        self.sun_x = rng.uniform(0.25, 1.2) * rng.choice((-1, 1))  # length of a shadow per height of the object
        self.sun_z = rng.uniform(-0.5, 0.5)
        self.painters: list[tuple[float, Callable[[Canvas], None]]] = []
        self.footprints: list[list[tuple]] = []
        self.shadows: list[list[tuple]] = []

    def add(self, depth: float, painter: Callable[..., None], *args: object, **kwargs: object) -> None:
        """Add an object.

        Args:
            depth: In meters.
            painter: Called as `painter(canvas, *args, rng=…, **kwargs)`.
            *args: For the painter.
            **kwargs: For the painter.
        """
        self.painters.append((depth, lambda canvas: painter(canvas, *args, rng=self.rng, **kwargs)))

    def add_shadow(self, x: float, z: float, width: float, length: float, height: float) -> None:
        """Add the shadow of a box.

        Args:
            x: Center of the box, in meters to the right of the street's axis.
            z: Depth of its nearest face, in meters.
            width: Across the street, in meters.
            length: Along the street, in meters.
            height: In meters.
        """
        left, right, far = x - width / 2, x + width / 2, z + length
        dx, dz = self.sun_x * height, self.sun_z * height
        base = [(left, 0, z), (right, 0, z), (right, 0, far), (left, 0, far)]
        top = [(px + dx, 0, pz + dz) for px, _, pz in base]
        self.footprints.append(base)
        self.shadows.append(top)
        for i in range(4):  # the area between the base and the shadow of the top
            self.shadows.append([base[i - 1], base[i], top[i], top[i - 1]])

    def paint(self, canvas: Canvas) -> None:
        """Paint all objects, from far to near."""
        for _, painter in sorted(self.painters, key=lambda item: -item[0]):
            painter(canvas)
