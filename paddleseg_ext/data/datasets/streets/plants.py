"""Trees, bushes and hedges."""

from __future__ import annotations

from paddleseg_ext.data.datasets.streets.canvas import Canvas, shaded
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import VEGETATION

LEAF_COLORS = ((70, 92, 48), (86, 104, 58), (58, 80, 56), (112, 116, 60), (148, 112, 58), (98, 88, 58))
BARK = (84, 72, 60)


def paint_tree(canvas: Canvas, x: float, z: float, height: float, bare: bool, rng: Rng) -> None:
    """Paint a tree: trunk (vegetation, as in Cityscapes) and crown, or trunk and branches.

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Its depth, in meters.
        height: In meters.
        bare: Without leaves.
        rng: Random numbers for shape and color.
    """
    leaf = rng.jitter(rng.choice(LEAF_COLORS))
    trunk = 0.1 + 0.02 * height
    crown = height * rng.uniform(0.28, 0.38)
    middle = height - crown
    canvas.rectangle(x, z, trunk * 2, 0, middle, rng.jitter(BARK), VEGETATION)
    if bare:
        _paint_branches(canvas, x, z, middle, crown, rng)
        return
    leaves = 24 if canvas.camera.scale(z) < 10 else 70
    for step in range(leaves):
        across, up = rng.uniform(-1, 1), rng.uniform(-1, 1)
        if across * across + up * up > 1:
            continue
        radius = crown * rng.uniform(0.12, 0.34)
        # Light comes from above: lower and earlier leaves are darker.
        color = rng.jitter(shaded(leaf, 0.72 + 0.25 * up + 0.3 * step / leaves), 12)
        place = (x + across * crown * 0.85, middle + up * crown * 0.9, z)
        canvas.ellipse(*place, (radius, radius * 0.8), color, VEGETATION)


def _paint_branches(canvas: Canvas, x: float, z: float, middle: float, crown: float, rng: Rng) -> None:
    color = rng.jitter(BARK)
    for _ in range(26):
        across, up = rng.uniform(-1, 1) * crown, rng.uniform(-0.6, 1) * crown
        thick = 0.06 + 0.05 * rng.uniform()
        start = middle - crown * rng.uniform(0, 0.6)
        ends = [(x - thick, start, z), (x + thick, start, z), (x + across, middle + up, z)]
        canvas.face(ends, rng.jitter(color), VEGETATION)


def paint_bush(canvas: Canvas, x: float, z: float, size: float, rng: Rng) -> None:
    """Paint a bush.

    Args:
        canvas: Canvas to paint on.
        x: Its center, in meters to the right of the street's axis.
        z: Its depth, in meters.
        size: Its height, in meters.
        rng: Random numbers for shape and color.
    """
    leaf = rng.jitter(rng.choice(LEAF_COLORS))
    for step in range(14):
        place = (x + rng.uniform(-0.7, 0.7) * size, rng.uniform(0.2, 0.8) * size, z)
        radius = size * rng.uniform(0.2, 0.35)
        canvas.ellipse(*place, (radius, radius), rng.jitter(shaded(leaf, 0.7 + 0.03 * step)), VEGETATION)


def paint_hedge(canvas: Canvas, x: float, near: float, far: float, height: float, leaf: tuple, rng: Rng) -> None:
    """Paint a piece of a hedge along the street.

    Args:
        canvas: Canvas to paint on.
        x: Its place, in meters to the right of the street's axis.
        near: Depth of its nearer end, in meters.
        far: Depth of its farther end, in meters.
        height: In meters.
        leaf: Color of the leaves, RGB from 0 to 255.
        rng: Random numbers for shape and color.
    """
    canvas.face([(x, 0, near), (x, 0, far), (x, height, far), (x, height, near)], shaded(leaf, 0.75), VEGETATION)
    for _ in range(10):
        place = (x, rng.uniform(0.1, 1.0) * height, rng.uniform(near, far))
        radius = rng.uniform(0.12, 0.3)
        canvas.ellipse(*place, (radius, radius), rng.jitter(shaded(leaf, rng.uniform(0.7, 1.15)), 8), VEGETATION)
