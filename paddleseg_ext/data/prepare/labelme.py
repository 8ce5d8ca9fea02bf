"""labelme's JSON files to masks of class ids."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from paddleseg_ext.data.class_table import ClassTable
from paddleseg_ext.data.image_io import IMAGES, check_pixels
from paddleseg_ext.data.prepare.folder import read_sample
from paddleseg_ext.data.prepare.outputs import LABELS, RECORD, Sample, check_crop, claim, finish
from paddleseg_ext.data.prepare.polygons import draw, points_of
from paddleseg_ext.data.prepare.split import split
from paddleseg_ext.data.prepare.work import IGNORED, Report, for_all, kept, write_label
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.registry import closest

BACKGROUND, IGNORE = ("background", "_background_"), "__ignore__"  # labelme's own names


@dataclass(frozen=True)
class Drawing:
    """What a file describes.

    Attributes:
        path: The file.
        image: The image it is of.
        size: Width and height in pixels, as the file says.
        shapes: Label, kind and points of each, in the order of the file.
    """

    path: Path
    image: Path
    size: tuple[int, int]
    shapes: list[tuple[str, str, list[tuple[float, float]]]]


def prepare_labelme(
    folder: Path,
    output: Path,
    share: float = 0.9,
    stratify: bool = False,
    seed: int = 0,
    crop: Sequence[int] | None = None,
    classes: list[str] | int | str | None = None,
    num_workers: int = 0,
) -> Report:
    """Draw the masks of all files, later shapes over earlier ones, and list them with their images.

    What nothing covers is class 0, ``background``; the labels follow in alphabetical order, or that of `classes`. The
    label ``__ignore__`` is ignored.

    Args:
        folder: Of the JSON files, searched to any depth.
        output: Folder of the results.
        share: Fraction of the samples that is for training.
        stratify: Share out each class alike.
        seed: Of the split.
        crop: Width and height of the training crop, in pixels.
        classes: Names of the classes from 1 on, with or without the background before them.
        num_workers: Processes.

    Raises:
        UserError: A file is no drawing, has a shape without area or an unknown label, or its image is missing.
    """
    if not folder.is_dir():
        raise UserError(f"`folder` {folder}: there is no such folder")
    check_crop(crop)
    inside = os.path.realpath(output)
    files = [file for file in sorted(folder.rglob("*.json")) if not os.path.realpath(file).startswith(inside + os.sep)]
    if not files:
        raise UserError(f"`folder` {folder}: there are no JSON files in it")
    drawings = for_all(read_drawing, files, num_workers, "file")
    table = _table({label for drawing in drawings for label, _, _ in drawing.shapes}, classes)
    train, val = split(len(drawings), share, seed)
    settings = {"source": "labelme", "folder": os.path.realpath(folder), "classes": list(table.names)}
    claim(output, settings)
    task = partial(_mask, folder=folder, output=output, names=table.names)
    samples = for_all(task, drawings, num_workers, "mask")
    if stratify:
        train, val = split(len(drawings), share, seed, [sample.values for sample in samples])
    report = Report()
    finish(output, [samples[i] for i in train], [samples[i] for i in val], table, report, crop)
    return report


def read_drawing(path: Path) -> Drawing:
    """Read a JSON file.

    Raises:
        UserError: It is damaged, no drawing of labelme, or its image is missing.
    """
    try:
        content = json.loads(path.read_text("utf-8-sig"))
        size = (content["imageWidth"], content["imageHeight"])
        if not all(isinstance(side, int) and side > 0 for side in size):
            raise ValueError(f"its size is {size}")
        shapes = [
            (str(shape["label"]), shape.get("shape_type") or "polygon", points_of(shape["points"]))
            for shape in content["shapes"]
        ]
        named = path.parent / str(content["imagePath"]).replace("\\", "/")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: it is no drawing of labelme ({reason(error)})") from error
    beside = [path.with_suffix(suffix) for suffix in sorted(IMAGES)]
    image = next((file for file in (named, *beside) if file.is_file()), None)
    if image is None:
        raise UserError(f"{path}: its image {named} does not exist, nor is one of its name beside it")
    return Drawing(path, image, size, shapes)


def _table(labels: set[str], classes: list[str] | int | str | None) -> ClassTable:
    found = sorted(labels - {*BACKGROUND, IGNORE})
    if isinstance(classes, int):
        raise UserError("`classes`: names are needed, since the files have names")
    names = found if classes is None else list(ClassTable.of(classes, Path(), owner="`classes`").names)
    names = [name for name in names if name not in (*BACKGROUND, IGNORE)]
    for label in found:
        if label not in names:
            raise UserError(f"`classes`: the label '{label}' is not among them{closest(label, names)}")
    if len(names) >= IGNORED:
        raise UserError(f"there are {len(names)} labels, and masks of 8 bits hold {IGNORED - 1}")
    return ClassTable.named([BACKGROUND[0], *names], "`classes`")


def _mask(drawing: Drawing, folder: Path, output: Path, names: Sequence[str]) -> Sample:
    target = (output / LABELS / drawing.path.relative_to(folder)).with_suffix(".png")
    if kept(target, [drawing.path, output / RECORD], drawing.size[::-1]) is None:
        write_label(target, draw_shapes(drawing, names))
    return read_sample((drawing.image, target))


def draw_shapes(drawing: Drawing, names: Sequence[str]) -> np.ndarray:
    """The mask of a drawing: (H, W) uint8.

    Args:
        drawing: What to draw.
        names: Of the classes, the background first.

    Raises:
        UserError: A shape has no area.
    """
    check_pixels(drawing.path, drawing.size)
    canvas = Image.new("L", drawing.size, 0)
    values: dict[str, Any] = {name: number for number, name in enumerate(names)}
    values.update({IGNORE: IGNORED, **dict.fromkeys(BACKGROUND, 0)})
    for number, (label, kind, points) in enumerate(drawing.shapes, 1):
        try:
            draw(ImageDraw.Draw(canvas), kind, points, values[label])
        except (ValueError, OverflowError) as error:
            raise UserError(f"{drawing.path}: shape {number}, '{label}': {reason(error)}") from error
    return np.asarray(canvas)
