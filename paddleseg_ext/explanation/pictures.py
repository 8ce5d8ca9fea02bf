"""Maps of an explanation as PNG files, in the colors of its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from paddleseg_ext.data.image_io import save_image
from paddleseg_ext.explanation.findings import PIXEL, Maps, Section

COLORS = {False: "inferno", True: "RdBu_r"}  # by whether there are negative values
OPACITY = 0.65
SMALLEST = 160  # pixels per side to which a small map that lies over no image is enlarged


def write_pictures(folder: Path, image: np.ndarray, sections: Sequence[Section], classes: Sequence[str]) -> list[Path]:
    """Write ``SECTION/FINDING/[PIXEL or CLASS/]LABEL.png`` for each map, over the image if it is one of it.

    Args:
        folder: Where the files go.
        image: (H, W, 3) uint8 RGB.
        sections: Their bars are left out.
        classes: Names of all classes, for the names of folders.

    Returns:
        The files.
    """
    written = []
    for section in sections:
        for maps in section:
            if not isinstance(maps, Maps):
                continue
            place = folder / slug(section.title) / slug(maps.title)
            levels = as_levels(maps)
            for index, group in enumerate(levels if maps.axis else levels[None]):
                inside = place / _place(maps, index, classes) if maps.axis else place
                for number, (label, level) in enumerate(zip(maps.labels, group)):
                    path = inside / f"{number}_{slug(label)}.png"
                    picture = drawn(level, maps, image)
                    save_image(path, marked(picture, maps.at[index]) if maps.axis == PIXEL else picture)
                    written.append(path)
    return written


def as_levels(maps: Maps) -> np.ndarray:
    """The values as levels of 0…255, of signed ones with 0 at 128: the same numbers that the page shows."""
    values = np.asarray(maps.values, np.float32)
    level = np.abs(values) / np.maximum(largest(maps)[..., None, None], np.finfo(np.float32).tiny)
    level = np.sqrt(level) if maps.square_root else level
    if maps.signed:
        return np.round(128 + 127 * np.sign(values) * level).astype(np.uint8)
    return np.round(255 * level).astype(np.uint8)


def largest(maps: Maps) -> np.ndarray:
    """The largest magnitude of each map, of those that share a scale that of all: shape of the values less h and w."""
    found = np.abs(maps.values).max((-2, -1))
    return np.broadcast_to(found.max(-1, keepdims=True), found.shape) if maps.shared else found


@cache
def color_table(signed: bool) -> np.ndarray:
    """(256, 3) uint8 RGB."""
    from matplotlib import colormaps  # takes a quarter of a second

    return np.round(colormaps[COLORS[signed]](np.arange(256))[:, :3] * 255).astype(np.uint8)


def drawn(level: np.ndarray, maps: Maps, image: np.ndarray) -> np.ndarray:
    """Levels (h, w) in colors: over the image in gray, or alone and enlarged; (H, W, 3)."""
    colors = color_table(maps.signed)
    if not maps.over_image:
        factor = max(1, -(-SMALLEST // max(level.shape)))
        return colors[level].repeat(factor, 0).repeat(factor, 1)
    level = cv2.resize(level, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    # what is near zero, and white, lets the image through
    opacity = OPACITY * np.minimum(1, np.abs(level[..., None] - 128.0) / 127) if maps.signed else OPACITY
    return np.round(gray + opacity * (colors[level] - gray.astype(float))).astype(np.uint8)


def marked(picture: np.ndarray, pixel: Sequence[int]) -> np.ndarray:
    """A circle around a pixel (x, y)."""
    radius = max(2, picture.shape[1] // 70)
    for shade, width in ((0, 3), (255, 1)):
        cv2.circle(picture, tuple(map(int, pixel)), radius, (shade,) * 3, width, cv2.LINE_AA)
    return picture


def slug(text: str) -> str:
    """A name for a file; letters of any script stay."""
    return re.sub(r"\W+", "_", text).strip("_")[:60].lower() or "map"


def _place(maps: Maps, index: int, classes: Sequence[str]) -> str:
    if maps.axis == PIXEL:
        x, y = maps.at[index]
        return f"x{x}_y{y}"
    return slug(f"{maps.at[index]} {classes[maps.at[index]]}")
