"""The folder of a prepared data set: what it was made by, lists, classes and a configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import UnidentifiedImageError

from paddleseg_ext.data.class_table import ClassTable, read_class_table
from paddleseg_ext.data.image_io import open_image
from paddleseg_ext.data.prepare.work import IGNORED, Prepared, Report, write_text
from paddleseg_ext.errors import UserError, reason

RECORD, TABLE, CONFIG, CLASSES, LABELS = "prepare.json", "table.txt", "config.yml", "labels.txt", "labels"
GRAY = {"1", "L", "LA", "I", "I;16", "I;16B"}  # modes of Pillow
OURS = ("train.txt", "val.txt", CONFIG, CLASSES, LABELS)  # a proposed table is edited, and stays


@dataclass(frozen=True)
class Sample:
    """An image and its label, checked.

    Attributes:
        image: File.
        label: File.
        size: Width and height of both, in pixels.
        gray: Whether the image has one channel.
        values: Those in the label.
    """

    image: Path
    label: Path
    size: tuple[int, int]
    gray: bool
    values: tuple[int, ...]


def claim(output: Path, settings: Mapping[str, Any]) -> None:
    """Note in the folder what it is made by; the same settings go on with what is there.

    Other settings begin anew where the earlier run did not come to its end; labels older than the note are not `kept`.

    Args:
        output: Made if it is missing.
        settings: What decides the contents, as JSON has it.

    Raises:
        UserError: It was finished with other settings, holds files of somebody else, or cannot be written.
    """
    record = output / RECORD
    text = json.dumps(settings, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if not record.exists():
        there = [name for name in OURS if os.path.lexists(output / name)]
        if there:
            raise UserError(
                f"`output` {output}: {there[0]} is there and was not written by prepare; name another folder"
            )
        write_text(record, text)
        return
    try:
        before = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{record}: it is damaged; name another `output`, or delete the folder") from error
    now = json.loads(text)
    if before != now and not (output / CLASSES).exists():  # which is written at the end
        write_text(record, text)
    elif before != now:
        keys = [key for key in {**now, **before} if before.get(key) != now.get(key)] if isinstance(before, dict) else []
        changed = f" ({', '.join(keys)})" if keys else ""
        raise UserError(
            f"`output` {output}: it was prepared with other settings{changed}; name another folder, or delete it"
        )


def write_classes(output: Path, table: ClassTable) -> None:
    """Write `labels.txt`; one with as many classes, whose names somebody may have edited, is kept.

    Raises:
        UserError: The one that is there is malformed.
    """
    path = output / CLASSES
    if not path.exists() or len(read_class_table(path).names) != len(table.names):
        write_text(path, table.text())


def finish(
    output: Path,
    train: Sequence[Sample],
    val: Sequence[Sample],
    table: ClassTable,
    report: Report,
    crop: Sequence[int] | None = None,
    ignore_index: int = IGNORED,
) -> None:
    """Write the lists and the classes; add lines, and what a configuration needs to know, to the report.

    Args:
        output: Folder of the prepared data.
        train: Samples for training.
        val: Samples for validation.
        table: The classes.
        report: What is added to.
        crop: Width and height of the crops that a training is to take, in pixels; None leaves it to the configuration.
        ignore_index: Value of pixels that belong to no class.

    Raises:
        UserError: A file cannot be written, or a name cannot stand in a list.
    """
    output = Path(os.path.realpath(output))
    samples = [*train, *val]
    gray = all(sample.gray for sample in samples)
    names = {mode: _list(part, output) for mode, part in (("train", train), ("val", val))}
    for mode, text in names.items():
        write_text(output / f"{mode}.txt", text)
    write_classes(output, table)
    found = {value for sample in samples for value in sample.values} - {ignore_index}
    absent = [name for number, name in enumerate(table.names) if number not in found]
    if absent:
        report.warnings.append(f"no label has the class{'es' if len(absent) > 1 else ''} {', '.join(absent[:8])}")
    report.lines.append(
        f"{len(train)} samples for training and {len(val)} for validation, {len(table.names)} classes, "
        f"{'gray' if gray else 'color'} images"
    )
    size = median_size([sample.size for sample in samples])
    report.prepared = Prepared(output, len(train), size, gray, crop, ignore_index)


def check_crop(given: Sequence[int] | None) -> None:
    """Refuse what is no size of a crop.

    Raises:
        UserError: It is neither None nor two positive numbers.
    """
    if given is not None and (len(given) != 2 or min(given) < 1):
        raise UserError(f"`crop_size` {' '.join(map(str, given))}: it is a width and a height in pixels")


def median_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Width and height of the median image."""
    width, height = np.median(np.array(sizes), axis=0)
    return int(width), int(height)


def is_gray(path: Path) -> bool:
    """Whether an image file has one channel.

    Raises:
        UserError: It is damaged.
    """
    try:
        with open_image(path) as image:
            image.load()
            return image.mode in GRAY
    except UnidentifiedImageError:
        return False  # OpenCV reads some that Pillow does not
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: the image file is damaged ({reason(error)})") from error


def relative(file: Path, root: Path) -> str:
    """The file's name in a list; symbolic links in it stay.

    Raises:
        UserError: The name cannot stand in a list.
    """
    name = os.path.relpath(os.path.join(os.path.realpath(file.parent), file.name), root)
    name = Path(name).as_posix()
    if any(character in name for character in "\t\r\n"):
        raise UserError(f"{name!r}: a name with a tab or a line end cannot stand in a list; rename the file")
    return f"./{name}" if name.startswith("#") else name


def _list(samples: Sequence[Sample], root: Path) -> str:
    return "".join(f"{relative(sample.image, root)}\t{relative(sample.label, root)}\n" for sample in samples)
