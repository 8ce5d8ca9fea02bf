"""Small pictures for the miniature data sets of these tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def save(path: Path, array: object, colors: list[int] | None = None) -> Path:
    """Write a picture, with a palette if there are colors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array, np.uint8))
    if colors is not None:
        image.putpalette(colors)
    image.save(path)
    return path


def photo(path: Path, height: int = 4, width: int = 6, channels: int = 3) -> Path:
    """Write an image of noise."""
    shape = (height, width, 3) if channels == 3 else (height, width)
    return save(path, np.random.default_rng(0).integers(0, 255, shape))


def contents(root: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    """Of a picture as Pillow reads it."""
    return np.asarray(Image.open(path))
