"""Pairs of an image and its label: from list files, or from two folders by the files' stems."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paddleseg_ext.data.image_io import find_images
from paddleseg_ext.data.text_lines import read_lines
from paddleseg_ext.errors import UserError

LABELS = {".png", ".tif", ".tiff", ".bmp", ".gif", ".npy"}
NAMED = 5  # an error message names at most as many files

Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Matched:
    """What two folders hold.

    Attributes:
        pairs: Images with their labels, in alphabetical order of the images.
        without_label: Images that have none.
        without_image: Labels that have none.
    """

    pairs: list[Pair]
    without_label: list[Path]
    without_image: list[Path]


def match_folders(images: Path, labels: Path) -> Matched:
    """Match the files of two folders, searched to any depth, by their paths below them without the ending.

    Args:
        images: Folder of the images.
        labels: Folder of the labels.

    Raises:
        UserError: A folder is missing or empty, both are one, or two files differ in the ending alone.
    """
    for name, folder in (("images", images), ("labels", labels)):
        if not folder.is_dir():
            raise UserError(f"`{name}`: there is no folder {folder}")
    if os.path.realpath(images) == os.path.realpath(labels):
        raise UserError(f"`images` and `labels` are one folder, {images}; they need folders of their own")
    by_image = _by_stem([source.path for source in find_images(images)], images)
    files = sorted(file for file in labels.rglob("*") if _is_label(file, labels))
    by_label = _by_stem(files, labels)
    pairs = [(image, by_label[stem]) for stem, image in by_image.items() if stem in by_label]
    return Matched(
        pairs,
        [image for stem, image in by_image.items() if stem not in by_label],
        [label for stem, label in by_label.items() if stem not in by_image],
    )


def read_pairs(path: Path, root: Path, separator: str | None = None, with_labels: bool = True) -> list[list[str]]:
    """The files in a list of ``image label`` lines, all of which exist.

    Args:
        path: The list.
        root: What its names are relative to.
        separator: Between the two names. By default a tab, a comma or spaces; names with spaces need one of the former.
        with_labels: Whether each line must have a label; otherwise it may.

    Returns:
        ``[image, label]``, or ``[image]``, of each line.

    Raises:
        UserError: The list is missing, empty or malformed, or listed files are missing; lines are named.
    """
    lines = read_lines(path, "the list")
    if not lines:
        raise UserError(f"{path}: the list is empty; it has one line `image label` per sample")
    rows, missing = [], []
    for number, line in lines:
        names = split_names(line, separator)
        if len(names) != 2 and (with_labels or len(names) != 1):
            between = "a tab, a comma or spaces" if separator is None else repr(separator)
            raise UserError(
                f"{path}: line {number} must be an image and its label with {between} between them, not {line!r}"
                "; names with spaces need a tab, or another separator"
            )
        row = [os.path.join(root, name) for name in names]
        missing += [f"{file} (line {number})" for file in row if not os.path.isfile(file)]
        rows.append(row)
    if missing:
        raise UserError(f"{path}: {some(missing, 'listed file')} not there: {shown(missing)}")
    return rows


def split_names(line: str, separator: str | None) -> list[str]:
    """The names in a line, without space around them; empty ones count."""
    if separator is not None and separator.strip(" "):
        return [name.strip() for name in line.split(separator)]
    if separator is not None or "\t" not in line:
        names = re.split(r"\s*,\s*|\s+" if separator is None else r" +", line)
        if len(names) > 2 and separator is None and line.count(",") == 1:
            names = line.split(",")
        return [name.strip() for name in names]
    return [name.strip() for name in re.split(r"\t+", line)]


def check_sizes(image: Path, size: tuple[int, int], label: Path, ids: np.ndarray) -> None:
    """Refuse a label of another size than its image.

    Args:
        image: File.
        size: Its width and height, in pixels.
        label: File.
        ids: (H, W) class ids in it.

    Raises:
        UserError: The sizes differ.
    """
    if ids.shape != size[::-1]:
        raise UserError(f"{label} is {ids.shape[1]}x{ids.shape[0]}, but its image {image} is {size[0]}x{size[1]}")


def some(files: Sequence[object], noun: str) -> str:
    """``3 images are``, ``1 image is``."""
    return f"{len(files)} {noun}{'s are' if len(files) != 1 else ' is'}"


def shown(files: Sequence[object]) -> str:
    """The first names of many."""
    return ", ".join(map(str, files[:NAMED])) + (", …" if len(files) > NAMED else "")


def _is_label(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return file.suffix.lower() in LABELS and not hidden and file.is_file()


def _by_stem(files: Iterable[Path], root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        stem = file.relative_to(root).with_suffix("").as_posix()
        if stem in found:
            raise UserError(f"{found[stem]} and {file} differ in their ending alone, so neither can be matched")
        found[stem] = file
    return found
