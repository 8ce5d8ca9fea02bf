"""Fences, walls, lamps, traffic lights, signs and bins."""

from __future__ import annotations

from paddleseg_ext.data.datasets.streets.buildings import WALL_COLORS
from paddleseg_ext.data.datasets.streets.canvas import IGNORE, Canvas, shaded
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import FENCE, LIGHT, POLE, SIGN, WALL

METAL_COLORS = ((112, 114, 116), (148, 150, 150), (78, 82, 84), (70, 84, 74))
FENCE_COLORS = ((120, 96, 72), (96, 98, 98), (172, 168, 160), (62, 74, 64))
LAMP_COLORS = ((214, 60, 46), (228, 176, 60), (64, 190, 116))


class Boundary:
    """A fence or garden wall along the street, drawn piece by piece."""

    def __init__(self, kind: str, rng: Rng) -> None:
        self.label = FENCE if kind == "fence" else WALL
        self.height = rng.real(0.9, 1.5) if kind == "fence" else rng.real(0.8, 2.0)
        self.color = rng.near(rng.of(FENCE_COLORS if kind == "fence" else WALL_COLORS))
        self.pickets = kind == "fence"
        self.spacing = rng.real(0.14, 0.3)

    def paint(self, canvas: Canvas, x: float, near: float, far: float, rng: Rng) -> None:
        """The piece at x between two depths. What shows between the pickets counts as fence, as in Cityscapes."""
        corners = [(x, 0, near), (x, 0, far), (x, self.height, far), (x, self.height, near)]
        if not self.pickets:
            canvas.face(corners, self.color, self.label)
            cap = [(x, self.height, near), (x, self.height, far)]
            canvas.face([*cap, (x, self.height * 0.92, far), (x, self.height * 0.92, near)], shaded(self.color, 1.15))
            return
        canvas.face(corners, shaded(self.color, 0.62), self.label)
        for level in (0.25, 0.85):
            bottom, top = self.height * level, self.height * (level + 0.09)
            canvas.face([(x, bottom, near), (x, bottom, far), (x, top, far), (x, top, near)], self.color)
        z = near
        while z < far and canvas.camera.scale(near) > 8:
            end = z + self.spacing / 2
            canvas.face([(x, 0, z), (x, 0, end), (x, self.height, end), (x, self.height, z)], self.color)
            z += self.spacing


def paint_lamp(canvas: Canvas, x: float, z: float, rng: Rng) -> None:
    """A street lamp whose arm reaches over the road."""
    color, height = rng.near(rng.of(METAL_COLORS)), rng.real(5.5, 8.0)
    canvas.plate(x, z, rng.real(0.14, 0.24), 0, height, color, POLE)
    reach = rng.real(0.8, 1.8) * (-1 if x > 0 else 1)
    canvas.plate(x + reach / 2, z, abs(reach), height - 0.12, height, color, POLE)
    canvas.plate(x + reach, z, 0.6, height - 0.18, height, shaded(color, 1.25), POLE)


def paint_traffic_light(canvas: Canvas, x: float, z: float, rng: Rng) -> None:
    """A traffic light on its pole; one of its three lamps is lit."""
    canvas.plate(x, z, 0.16, 0, 3.1, rng.near(rng.of(METAL_COLORS)), POLE)
    canvas.plate(x, z, 0.52, 2.2, 3.5, rng.near((44, 46, 46), 8), LIGHT)
    on = rng.whole(0, 2)
    for lamp, color in enumerate(LAMP_COLORS):
        shown = color if lamp == on else shaded(color, 0.25)
        canvas.blob(x, 3.27 - 0.42 * lamp, z, (0.15, 0.15), shown)


def paint_sign(canvas: Canvas, x: float, z: float, rng: Rng) -> None:
    """A traffic sign on its pole: a ringed disc, a triangle, a blue disc or a board."""
    canvas.plate(x, z, 0.1, 0, 2.4, rng.near(rng.of(METAL_COLORS)), POLE)
    kind = rng.of(("ring", "triangle", "blue", "board", "board"))
    middle = 2.5
    if kind == "triangle":
        for size, paint in ((0.5, (176, 48, 44)), (0.32, (222, 220, 212))):
            corners = [(x - size, middle - size * 0.8, z), (x + size, middle - size * 0.8, z), (x, middle + size, z)]
            canvas.face(corners, rng.near(paint, 8), SIGN)
    elif kind == "board":
        color = rng.near(rng.of(((222, 218, 206), (56, 84, 140), (204, 178, 60), (70, 110, 84))), 8)
        canvas.plate(x, z, rng.real(0.6, 1.5), 2.0, rng.real(2.7, 3.2), color, SIGN)
        canvas.plate(x, z, 0.4, 2.3, 2.45, shaded(color, 0.6), SIGN)
    else:
        outer, inner = ((176, 48, 44), (222, 220, 212)) if kind == "ring" else ((50, 80, 142), (74, 104, 164))
        canvas.blob(x, middle, z, (0.42, 0.42), rng.near(outer, 8), SIGN)
        canvas.blob(x, middle, z, (0.27, 0.27), rng.near(inner, 8), SIGN)


def paint_bin(canvas: Canvas, x: float, z: float, rng: Rng) -> None:
    """A bin: none of the 19 classes, hence ignored."""
    color = rng.near((96, 98, 92), 40)
    canvas.plate(x, z, rng.real(0.5, 0.9), 0, rng.real(0.9, 1.3), color, IGNORE)
    canvas.plate(x, z, 0.5, 0.8, 0.9, shaded(color, 0.7), IGNORE)
