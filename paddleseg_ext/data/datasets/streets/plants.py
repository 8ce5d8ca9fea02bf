"""Trees, bushes and hedges."""

from __future__ import annotations

from paddleseg_ext.data.datasets.streets.canvas import Canvas, shaded
from paddleseg_ext.data.datasets.streets.rng import Chance
from paddleseg_ext.data.datasets.streets.street import VEGETATION

LEAF_COLORS = ((70, 92, 48), (86, 104, 58), (58, 80, 56), (112, 116, 60), (148, 112, 58), (98, 88, 58))
BARK = (84, 72, 60)


def paint_tree(canvas: Canvas, x: float, z: float, height: float, bare: bool, chance: Chance) -> None:
    """A tree of `height` meters: a trunk (vegetation, as in Cityscapes) and a crown with holes; bare in winter."""
    leaf = chance.near(chance.of(LEAF_COLORS))
    trunk = 0.1 + 0.02 * height
    crown = height * chance.real(0.28, 0.38)
    middle = height - crown
    canvas.plate(x, z, trunk * 2, 0, middle, chance.near(BARK), VEGETATION)
    if bare:
        _paint_twigs(canvas, x, z, middle, crown, chance)
        return
    leaves = 24 if canvas.camera.scale(z) < 10 else 70
    for step in range(leaves):
        across, up = chance.real(-1, 1), chance.real(-1, 1)
        if across * across + up * up > 1:
            continue
        radius = crown * chance.real(0.12, 0.34)
        # Light comes from above: the lower and the earlier leaves are the darker ones.
        color = chance.near(shaded(leaf, 0.72 + 0.25 * up + 0.3 * step / leaves), 12)
        place = (x + across * crown * 0.85, middle + up * crown * 0.9, z)
        canvas.blob(*place, (radius, radius * 0.8), color, VEGETATION)


def _paint_twigs(canvas: Canvas, x: float, z: float, middle: float, crown: float, chance: Chance) -> None:
    color = chance.near(BARK)
    for _ in range(26):
        across, up = chance.real(-1, 1) * crown, chance.real(-0.6, 1) * crown
        thick = 0.06 + 0.05 * chance.real()
        start = middle - crown * chance.real(0, 0.6)
        ends = [(x - thick, start, z), (x + thick, start, z), (x + across, middle + up, z)]
        canvas.face(ends, chance.near(color), VEGETATION)


def paint_bush(canvas: Canvas, x: float, z: float, size: float, chance: Chance) -> None:
    """A bush, `size` meters high."""
    leaf = chance.near(chance.of(LEAF_COLORS))
    for step in range(14):
        place = (x + chance.real(-0.7, 0.7) * size, chance.real(0.2, 0.8) * size, z)
        radius = size * chance.real(0.2, 0.35)
        canvas.blob(*place, (radius, radius), chance.near(shaded(leaf, 0.7 + 0.03 * step)), VEGETATION)


def paint_hedge(canvas: Canvas, x: float, near: float, far: float, height: float, leaf: tuple, chance: Chance) -> None:
    """A piece of hedge along the street."""
    canvas.face([(x, 0, near), (x, 0, far), (x, height, far), (x, height, near)], shaded(leaf, 0.75), VEGETATION)
    for _ in range(10):
        place = (x, chance.real(0.1, 1.0) * height, chance.real(near, far))
        radius = chance.real(0.12, 0.3)
        canvas.blob(*place, (radius, radius), chance.near(shaded(leaf, chance.real(0.7, 1.15)), 8), VEGETATION)
