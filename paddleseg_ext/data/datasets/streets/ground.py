"""Ground plane: road, sidewalk and grass, computed per pixel from ground coordinates in meters."""

from __future__ import annotations

import numpy as np

from paddleseg_ext.data.datasets.streets.canvas import Canvas
from paddleseg_ext.data.datasets.streets.rng import Rng
from paddleseg_ext.data.datasets.streets.street import ROAD, SIDEWALK, TERRAIN, Side, Street

# The grays of road and sidewalk overlap on purpose, so that colors are ambiguous.
ROAD_COLORS = ((88, 88, 90), (104, 103, 102), (122, 120, 118), (74, 75, 80), (112, 106, 98))
PAVING_COLORS = ((104, 104, 104), (124, 121, 117), (142, 138, 132), (128, 104, 92), (92, 92, 96))
GRASS_COLORS = ((92, 112, 58), (112, 118, 70), (132, 122, 84), (80, 98, 58))
PAINT = np.array((196.0, 194.0, 184.0))


def paint_ground(canvas: Canvas, street: Street, rng: Rng) -> None:
    """Paint the ground below the horizon, without objects."""
    first = canvas.camera.first_row
    x, z = canvas.camera.ground()
    label = np.full(x.shape, ROAD, np.uint8)
    crossed = np.zeros(x.shape, bool)
    if street.crossing is not None:
        crossed = (z > street.crossing) & (z < street.crossing + street.CROSSING)
    color = _asphalt(x, z, rng)
    _mark_lanes(color, x, z, street, crossed, rng)
    for side in street.sides:
        _paint_side(label, color, side, side.sign * x, z, crossed, rng)
    canvas.label[first:] = label
    canvas.depth[first:] = z
    canvas.color[first:] = np.clip(color, 0, 255).astype(np.uint8)


def speckle(x: np.ndarray, z: np.ndarray, cell: float, rng: Rng) -> np.ndarray:
    """Noise from −1 to 1 in ground coordinates, constant in each cell; of the shape of `x`.

    Args:
        x: Meters to the right of the street's axis, of any shape.
        z: Depths in meters, of the same shape.
        cell: Side of a cell, in meters.
        rng: Random numbers.
    """
    tile = rng.uint8(256, 256).astype(np.float64) / 127.5 - 1
    return tile[np.floor(x / cell).astype(np.int64) & 255, np.floor(z / cell).astype(np.int64) & 255]


def _asphalt(x: np.ndarray, z: np.ndarray, rng: Rng) -> np.ndarray:
    color = np.array(rng.jitter(rng.choice(ROAD_COLORS))) + np.zeros((*x.shape, 1))
    grain = 9 * speckle(x, z, 0.06, rng) + 5 * speckle(x, z, 0.4, rng)
    color += grain[..., None]
    for _ in range(rng.integer(0, 3)):  # repaired patches
        left, near = rng.uniform(-6, 4), rng.uniform(3, 30)
        patch = (x > left) & (x < left + rng.uniform(0.8, 3)) & (z > near) & (z < near + rng.uniform(2, 9))
        color[patch] += rng.uniform(-24, 20)
    return color


def _mark_lanes(color: np.ndarray, x: np.ndarray, z: np.ndarray, street: Street, crossed: np.ndarray, rng: Rng) -> None:
    paint = np.zeros(x.shape, bool)
    left = -street.left.curb + (2.2 if street.left.parking else 0)
    right = street.right.curb - (2.2 if street.right.parking else 0)
    phase, period = rng.uniform(0, 8), rng.choice((5.0, 8.0, 12.0))
    dashes = np.mod(z + phase, period) < period * 0.45
    if street.left.curb > 3:
        middle = -rng.uniform(1.4, 1.9)
        solid = rng.bernoulli(0.25)
        paint |= (np.abs(x - middle) < 0.07) & (dashes | solid)
    if rng.bernoulli(0.5):
        paint |= (np.abs(x - left) < 0.06) | (np.abs(x - right) < 0.06)
    paint &= ~crossed
    if street.crossing is not None and rng.bernoulli(0.7):  # a crosswalk in front of the crossing
        stripes = np.mod(x, 1.0) < 0.5
        paint |= (z > street.crossing - 4) & (z < street.crossing - 1) & stripes
    worn = speckle(x, z, 0.15, rng) > rng.uniform(-1.0, 0.2)
    color[paint & worn] = PAINT * rng.uniform(0.85, 1.1)


def _paint_side(
    label: np.ndarray,
    color: np.ndarray,
    side: Side,
    x: np.ndarray,
    z: np.ndarray,
    crossed: np.ndarray,
    rng: Rng,
) -> None:
    """Paint the ground beyond one curb; x is mirrored so that it increases outward."""
    beyond = (x > side.curb) & ~crossed
    paved_end = side.front + 3 if side.kind == "city" else side.sidewalk_end
    paved = beyond & (x > side.sidewalk_start) & (x < paved_end)
    grown = beyond & ~paved
    curb = beyond & (x < side.curb + 0.15)

    if grown.any():
        at_x, at_z = x[grown], z[grown]
        grain = 22 * speckle(at_x, at_z, 0.12, rng) + 14 * speckle(at_x, at_z, 1.3, rng)
        label[grown], color[grown] = TERRAIN, np.array(rng.jitter(rng.choice(GRASS_COLORS))) + grain[:, None]

    at_x, at_z, slab = x[paved], z[paved], rng.choice((0.4, 0.6, 1.0))
    grain = 6 * speckle(at_x, at_z, slab, rng) + 6 * speckle(at_x, at_z, 0.08, rng)
    joint = (np.mod(at_x, slab) < 0.05) | (np.mod(at_z, slab) < 0.06)
    grain[joint] -= rng.uniform(6, 26)
    label[paved], color[paved] = SIDEWALK, np.array(rng.jitter(rng.choice(PAVING_COLORS))) + grain[:, None]

    label[curb] = SIDEWALK
    color[curb] = np.array(rng.jitter((140, 138, 132))) + 5 * speckle(x[curb], z[curb], 0.5, rng)[:, None]
