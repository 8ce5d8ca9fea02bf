"""The search behind `tables/generic.txt`: each color is as far as possible from all before it.

``python -m tests.data.generic_colors`` prints the table. Distances are CIEDE2000 (Sharma, Wu, Dalal, "The CIEDE2000
color-difference formula", Color Research & Application 30, 2005), between sRGB colors under D65.
"""

from __future__ import annotations

from itertools import product

import numpy as np

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
D65 = TO_XYZ.sum(1)
STEP = 15  # of the grid of candidates
LIGHTNESS = 20, 93  # of the candidates: neither like black, the background, nor like white, what is unlabeled


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of sRGB 0…255, (…, 3) both."""
    value = np.asarray(rgb, np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    x, y, z = np.moveaxis(_cube_root(linear @ TO_XYZ.T / D65), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def _cube_root(t: np.ndarray) -> np.ndarray:
    return np.where(t > (6 / 29) ** 3, np.cbrt(t), t * (29 / 6) ** 2 / 3 + 4 / 29)


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """CIEDE2000 between CIELAB colors (…, 3), of which either may be one for many."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0)
    g = 1 + 0.5 * (1 - _saturation((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2))
    c1, c2 = np.hypot(g * a1, b1), np.hypot(g * a2, b2)
    h1, h2 = np.arctan2(b1, g * a1), np.arctan2(b2, g * a2)
    gray = c1 * c2 == 0
    turn = np.where(gray, 0, (h2 - h1 + np.pi) % (2 * np.pi) - np.pi)
    hue = np.degrees(np.where(gray, h1 + h2, h1 + turn / 2)) % 360  # halfway, the shorter way round
    c, light = (c1 + c2) / 2, (l1 + l2) / 2
    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)
    dl = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * c)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * c * t)
    rotation = -2 * _saturation(c) * np.sin(2 * np.radians(30 * np.exp(-(((hue - 275) / 25) ** 2))))
    return np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def _saturation(c: np.ndarray) -> np.ndarray:
    return np.sqrt(c**7 / (c**7 + 25.0**7))


def _cos(degrees: np.ndarray) -> np.ndarray:
    return np.cos(np.radians(degrees))


def smallest_distance(colors: np.ndarray) -> float:
    """Between two of some sRGB colors (K, 3)."""
    points = lab(colors)
    found = distance(points[:, None], points[None])
    return float(found[~np.eye(len(points), dtype=bool)].min())


def search(count: int) -> np.ndarray:
    """Black, then what is farthest from white and all before: (count, 3) uint8 RGB."""
    grid = np.array(list(product(range(0, 256, STEP), repeat=3)))
    points = lab(grid)
    inside = (points[:, 0] > LIGHTNESS[0]) & (points[:, 0] < LIGHTNESS[1])
    grid, points = grid[inside], points[inside]
    chosen = [np.zeros(3, int)]
    nearest = np.minimum(distance(points, lab(chosen[0])), distance(points, lab(np.full(3, 255))))
    while len(chosen) < count:
        best = int(np.round(nearest, 6).argmax())  # rounded, so that every machine finds the same
        chosen.append(grid[best])
        nearest = np.minimum(nearest, distance(points, points[best]))
    return np.array(chosen, np.uint8)


if __name__ == "__main__":
    for number, (red, green, blue) in enumerate(search(256).tolist()):
        print(red, green, blue, f"class {number}")
