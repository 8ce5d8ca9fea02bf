"""Fences, walls, street lamps, traffic lights, signs and trash cans."""

from __future__ import annotations

from paddleseg_ext.data.datasets.streets.buildings import WALL_COLORS
from paddleseg_ext.data.datasets.streets.canvas import IGNORE, Canvas, shaded
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import FENCE, LIGHT, POLE, SIGN, WALL

METAL_COLORS = ((112, 114, 116), (148, 150, 150), (78, 82, 84), (70, 84, 74))
FENCE_COLORS = ((120, 96, 72), (96, 98, 98), (172, 168, 160), (62, 74, 64))
LAMP_COLORS = ((214, 60, 46), (228, 176, 60), (64, 190, 116))


class Boundary:
    """Fence or garden wall along the street, painted in pieces."""

    def __init__(self, kind: str, rng: Rng) -> None:
        self.label = FENCE if kind == "fence" else WALL
        self.height = rng.uniform(0.9, 1.5) if kind == "fence" else rng.uniform(0.8, 2.0)
        self.color = rng.jitter(rng.choice(FENCE_COLORS if kind == "fence" else WALL_COLORS))
        self.pickets = kind == "fence"
        self.spacing = rng.uniform(0.14, 0.3)

    def paint(self, canvas: Canvas, x: float, near: float, far: float, rng: Rng) -> None:
        """Paint the piece at x between two depths. Gaps between the pickets count as fence, as in Cityscapes.

        Args:
            canvas: Canvas to paint on.
            x: Its place, in meters to the right of the street's axis.
            near: Depth of its nearer end, in meters.
            far: Depth of its farther end, in meters.
            rng: Unused; all pieces look alike.
        """
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
    """Paint a street lamp whose arm extends over the road.

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Its depth, in meters.
        rng: Random numbers for size and color.
    """
    color, height = rng.jitter(rng.choice(METAL_COLORS)), rng.uniform(5.5, 8.0)
    canvas.rectangle(x, z, rng.uniform(0.14, 0.24), 0, height, color, POLE)
    reach = rng.uniform(0.8, 1.8) * (-1 if x > 0 else 1)
    canvas.rectangle(x + reach / 2, z, abs(reach), height - 0.12, height, color, POLE)
    canvas.rectangle(x + reach, z, 0.6, height - 0.18, height, shaded(color, 1.25), POLE)


def paint_traffic_light(canvas: Canvas, x: float, z: float, rng: Rng) -> None:
    """Paint a traffic light on its pole; one of its three lamps is lit.

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Its depth, in meters.
        rng: Random numbers for its color and the lamp.
    """
    canvas.rectangle(x, z, 0.16, 0, 3.1, rng.jitter(rng.choice(METAL_COLORS)), POLE)
    canvas.rectangle(x, z, 0.52, 2.2, 3.5, rng.jitter((44, 46, 46), 8), LIGHT)
    on = rng.integer(0, 2)
    for lamp, color in enumerate(LAMP_COLORS):
        shown = color if lamp == on else shaded(color, 0.25)
        canvas.ellipse(x, 3.27 - 0.42 * lamp, z, (0.15, 0.15), shown)


def paint_sign(canvas: Canvas, x: float, z: float, rng: Rng) -> None:
    """Paint a traffic sign on its pole: a ringed disc, a triangle, a blue disc or a board.

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Its depth, in meters.
        rng: Random numbers for kind, size and color.
    """
    canvas.rectangle(x, z, 0.1, 0, 2.4, rng.jitter(rng.choice(METAL_COLORS)), POLE)
    kind = rng.choice(("ring", "triangle", "blue", "board", "board"))
    middle = 2.5
    if kind == "triangle":
        for size, paint in ((0.5, (176, 48, 44)), (0.32, (222, 220, 212))):
            corners = [(x - size, middle - size * 0.8, z), (x + size, middle - size * 0.8, z), (x, middle + size, z)]
            canvas.face(corners, rng.jitter(paint, 8), SIGN)
    elif kind == "board":
        color = rng.jitter(rng.choice(((222, 218, 206), (56, 84, 140), (204, 178, 60), (70, 110, 84))), 8)
        canvas.rectangle(x, z, rng.uniform(0.6, 1.5), 2.0, rng.uniform(2.7, 3.2), color, SIGN)
        canvas.rectangle(x, z, 0.4, 2.3, 2.45, shaded(color, 0.6), SIGN)
    else:
        outer, inner = ((176, 48, 44), (222, 220, 212)) if kind == "ring" else ((50, 80, 142), (74, 104, 164))
        canvas.ellipse(x, middle, z, (0.42, 0.42), rng.jitter(outer, 8), SIGN)
        canvas.ellipse(x, middle, z, (0.27, 0.27), rng.jitter(inner, 8), SIGN)


def paint_trash_can(canvas: Canvas, x: float, z: float, rng: Rng) -> None:
    """Paint a trash can: none of the 19 classes, hence ignored.

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Its depth, in meters.
        rng: Random numbers for size and color.
    """
    color = rng.jitter((96, 98, 92), 40)
    canvas.rectangle(x, z, rng.uniform(0.5, 0.9), 0, rng.uniform(0.9, 1.3), color, IGNORE)
    canvas.rectangle(x, z, 0.5, 0.8, 0.9, shaded(color, 0.7), IGNORE)
