"""Class names and palettes, for this package's data sets and PaddleSeg's own.

The tables of published data sets lie in `tables/`, one line per class in the order of the ids: `red green blue name`.
Sources: cityscapesScripts (train ids), the MIT scene parsing benchmark (ADE20K), the PASCAL VOC development kit,
and the CamVid database (its colors for the 11 classes of the SegNet split). `generic` is for classes without colors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

TABLES = Path(__file__).parent / "tables"
# PaddleSeg's data set classes carry neither names nor colors, so the class name leads to the table.
STOCK_TABLES = {"Cityscapes": "cityscapes", "ADE20K": "ade20k", "PascalVOC": "voc"}


def class_names(dataset: Any) -> list[str]:
    """Names of the classes, in the order of their ids.

    Args:
        dataset: An instance or a class of a PaddleSeg data set. Its attribute `CLASSES` comes first, then the table
            of a known PaddleSeg data set, then `class 0`, `class 1`, ….

    Returns:
        `num_classes` names.
    """
    names = getattr(dataset, "CLASSES", None)
    if names is None:
        names = _stock(dataset)[0]
    if names is None:
        names = [f"class {i}" for i in range(_num_classes(dataset))]
    return list(names)


def palette(dataset: Any) -> np.ndarray:
    """Colors of the classes, in the order of their ids.

    Args:
        dataset: As for `class_names`; the attribute is `PALETTE`, the last resort `generic_palette`.

    Returns:
        (num_classes, 3) uint8, RGB.
    """
    colors = getattr(dataset, "PALETTE", None)
    if colors is None:
        colors = _stock(dataset)[1]
    if colors is None:
        colors = generic_palette(_num_classes(dataset))
    return np.array(colors, np.uint8)


def class_entries(names: Sequence[str], colors: np.ndarray) -> list[dict[str, Any]]:
    """Names and (K, 3) colors as files for others keep them: ``[{"name": "road", "color": [128, 64, 128]}, …]``."""
    return [{"name": name, "color": color} for name, color in zip(names, np.asarray(colors).tolist())]


def entries_of(dataset: Any) -> list[dict[str, Any]]:
    """`class_entries` of a data set's classes, or none where it has no number of them."""
    if not (getattr(dataset, "num_classes", None) or getattr(dataset, "NUM_CLASSES", None)):
        return []
    return class_entries(class_names(dataset), palette(dataset))


def read_class_entries(entries: Any) -> tuple[list[str], np.ndarray] | None:
    """The inverse of `class_entries`; None where it is something else, as a file may hold anything."""
    try:
        names, colors = [entry["name"] for entry in entries], [entry["color"] for entry in entries]
    except (TypeError, KeyError):
        return None
    numbers = [number for color in colors if isinstance(color, list) and len(color) == 3 for number in color]
    fits = len(numbers) == 3 * len(names) > 0 and all(isinstance(name, str) for name in names)
    if not fits or not all(isinstance(number, int) and 0 <= number <= 255 for number in numbers):
        return None
    return names, np.array(numbers, np.uint8).reshape(-1, 3)


@cache
def read_table(name: str) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """The names and RGB colors in `tables/NAME.txt`."""
    rows = [line.split(maxsplit=3) for line in (TABLES / f"{name}.txt").read_text(encoding="utf-8").splitlines()]
    return tuple(row[3] for row in rows), tuple((int(row[0]), int(row[1]), int(row[2])) for row in rows)


def generic_palette(num_classes: int) -> np.ndarray:
    """Colors for any number of classes that look unlike: (num_classes, 3) uint8, RGB; class 0 is black.

    Each of the first 256 is as far as possible from those before it and from white, by CIEDE2000: at least 20 among 20
    classes, 14 among 50, 9 among 150 (tests/data/generic_colors.py makes `tables/generic.txt`). So the colors of some
    classes stay when others are added. Further classes have those of PASCAL VOC's color map that are still free.
    """
    first = [tuple(color) for color in read_table("generic")[1][:num_classes]]
    if num_classes > len(first):
        taken = set(first)
        first += [color for color in _voc_colors(num_classes + len(first)) if color not in taken]
    return np.array(first[:num_classes], np.uint8).reshape(-1, 3)


def _voc_colors(count: int) -> list[tuple[int, int, int]]:
    """Bits 0, 1, 2 of the number are the highest of red, green and blue, bits 3, 4, 5 the next, and so on."""
    numbers = np.arange(count)
    colors = np.zeros((count, 3), np.int64)
    for level in range(8):
        for channel in range(3):
            colors[:, channel] |= ((numbers >> (3 * level + channel)) & 1) << (7 - level)
    return [(red, green, blue) for red, green, blue in colors.tolist()]


def _stock(dataset: Any) -> tuple[Any, Any]:
    """Names and colors of a PaddleSeg data set or a subclass of one that keeps its classes; else two Nones."""
    kind = dataset if isinstance(dataset, type) else type(dataset)
    for base in kind.__mro__:
        if base.__module__.startswith("paddleseg.") and base.__name__ in STOCK_TABLES:
            names, colors = read_table(STOCK_TABLES[base.__name__])
            return (names, colors) if len(names) == _num_classes(dataset) else (None, None)
    return None, None


def _num_classes(dataset: Any) -> int:
    return int(getattr(dataset, "num_classes", None) or dataset.NUM_CLASSES)
