"""From shapes to masks, by Pillow's rasterizer, which labelme and cityscapesScripts use too; and COCO's run lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ImageDraw

Point = tuple[float, float]
FARTHEST = 2.0**17  # from the corner, in pixels; Pillow's integers overflow, or it draws for minutes, far beyond


def points_of(numbers: Any) -> list[Point]:
    """The points of ``[[x, y], …]`` or ``[x, y, x, y, …]``.

    Raises:
        ValueError: These are no pairs of numbers, or points far outside of any image.
    """
    if not isinstance(numbers, (list, tuple)):
        raise ValueError(f"{numbers!r} are no points")
    if numbers and not isinstance(numbers[0], (list, tuple)):
        numbers = list(zip(numbers[::2], numbers[1::2])) if len(numbers) % 2 == 0 else [numbers]
    points = []
    for point in numbers:
        if not isinstance(point, (list, tuple)) or len(point) != 2 or not all(map(_is_number, point)):
            raise ValueError(f"{point!r} is no point")
        points.append((float(point[0]), float(point[1])))
    return points


def area_of(points: Sequence[Point]) -> float:
    """The area in a polygon."""
    following = [*points[1:], *points[:1]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(points, following))) / 2


def draw(pen: ImageDraw.ImageDraw, kind: str, points: Sequence[Point], value: int) -> None:
    """Fill a shape with a value, outline included.

    Args:
        pen: Of the mask.
        kind: ``polygon``, ``rectangle`` (two opposite corners) or ``circle`` (its center and a point on it).
        points: (x, y) in pixels.
        value: The class id.

    Raises:
        ValueError: The shape has no area, or the number of its points is wrong.
    """
    if kind == "polygon":
        if len(points) < 3:
            raise ValueError(f"a polygon has at least 3 points, this one {len(points)}")
        pen.polygon(list(points), fill=value, outline=value)
    elif kind in ("rectangle", "circle"):
        if len(points) != 2:
            raise ValueError(f"a {kind} has 2 points, this one {len(points)}")
        (x, y), (u, v) = points
        if kind == "circle":
            radius = math.hypot(u - x, v - y)
            pen.ellipse([(x - radius, y - radius), (x + radius, y + radius)], fill=value, outline=value)
        else:
            pen.rectangle([(min(x, u), min(y, v)), (max(x, u), max(y, v))], fill=value, outline=value)
    else:
        raise ValueError(f"the shape '{kind}' has no area; allowed are polygon, rectangle and circle")


def decode_runs(counts: Any, height: int, width: int) -> np.ndarray:
    """A COCO mask from its run lengths: (H, W) bool.

    Runs of zeros and ones take turns, column by column, beginning with zeros. Compressed, each is a string of six-bit
    characters, and from the fourth on the difference to the one before last.

    Args:
        counts: A list of numbers, or the string.
        height: H.
        width: W.

    Raises:
        ValueError: The runs do not fill the mask.
    """
    runs = _from_string(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        raise ValueError("its run lengths are no list of numbers")
    if sum(runs) != height * width:
        raise ValueError(f"its run lengths make {sum(runs)} pixels, and the image has {height * width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _from_string(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("its run lengths are no compressed string of COCO")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value |= -1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= FARTHEST
