"""Images and labels in two folders: checked, split and listed, with a configuration that trains on them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from paddleseg_ext.data.class_table import ClassTable
from paddleseg_ext.data.image_io import read_image
from paddleseg_ext.data.label_io import check_pair, read_label, wrong_values
from paddleseg_ext.data.pairs import Pair, match_folders, shown, some
from paddleseg_ext.data.prepare.outputs import LABELS, RECORD, Sample, check_crop, claim, finish, is_gray
from paddleseg_ext.data.prepare.split import split
from paddleseg_ext.data.prepare.work import IGNORED, Report, for_all, kept, summed_up, values_of, write_label
from paddleseg_ext.errors import UserError

BINARY = {0, IGNORED}
BINARY_NAMES = ["background", "foreground"]


def prepare_folder(
    images: Path,
    labels: Path,
    output: Path,
    share: float = 0.9,
    stratify: bool = False,
    seed: int = 0,
    crop: Sequence[int] | None = None,
    classes: list[str] | int | str | None = None,
    binary: bool = False,
    num_workers: int = 0,
) -> Report:
    """Check all pairs, and write lists, classes and a configuration to `output`; the sources stay as they are.

    Args:
        images: Folder of the images.
        labels: Folder of the labels.
        output: Folder of the results.
        share: Fraction of the samples that is for training.
        stratify: Share out each class alike.
        seed: Of the split.
        crop: Width and height of the training crop, in pixels.
        classes: Names, their number or a file; by default `class 0`, … up to the highest id.
        binary: Labels are 0 and 255, and 255 is class 1: new labels are written.
        num_workers: Processes.

    Raises:
        UserError: Files do not match, cannot be read, or hold values that are no class ids.
    """
    for name, folder in (("images", images), ("labels", labels)):
        if os.path.realpath(folder) in (inside := os.path.realpath(output), *map(str, Path(inside).parents)):
            raise UserError(f"`output` {output} is in `{name}` {folder}; name a folder outside it")
    matched = match_folders(images, labels)
    if matched.without_label:
        lacking = matched.without_label
        raise UserError(f"`labels` {labels}: {some(lacking, 'image')} without a label there: {shown(lacking)}")
    if binary and classes is None:
        classes = BINARY_NAMES
    table = None if classes is None else ClassTable.of(classes, Path(), owner="`classes`")
    if binary and table is not None and len(table.names) != 2:
        raise UserError(f"`classes`: there are {len(table.names)} names, and `binary` makes 2 classes")
    settings = {
        **{"source": "folder", "images": os.path.realpath(images), "labels": os.path.realpath(labels)},
        **{"binary": binary, "classes": None if table is None else list(table.names)},
    }
    report = Report()
    samples = for_all(read_sample, matched.pairs, num_workers, "pair")
    found = {value for sample in samples for value in sample.values}
    check_crop(crop)
    if binary:
        refuse_not_binary(samples)
    else:
        refuse_binary(found, labels)
        table = table or table_of(found, labels)
        refuse_others(samples, len(table.names))
    train, val = split(len(samples), share, seed, [sample.values for sample in samples] if stratify else None)
    claim(output, settings)
    if binary:
        jobs = [(sample, output / LABELS / below(sample.label, labels), output / RECORD) for sample in samples]
        samples = for_all(binarize, jobs, num_workers, "label")
    if matched.without_image:
        report.warnings.append(
            f"{some(matched.without_image, 'label')} without an image: {shown(matched.without_image)}"
        )
    assert table is not None
    finish(output, [samples[i] for i in train], [samples[i] for i in val], table, report, crop)
    return report


def read_sample(pair: Pair) -> Sample:
    """Read an image and its label.

    Raises:
        UserError: One of them cannot be read, or they differ in size.
    """
    image, label = pair
    gray = is_gray(image)
    pixels, ids = read_image(image), read_label(label)
    check_pair(str(image), pixels, str(label), ids)
    height, width = ids.shape
    return Sample(image, label, (width, height), gray, values_of(ids))


def binarize(job: tuple[Sample, Path, Path]) -> Sample:
    """Write a label in which 255 is class 1.

    Args:
        job: A sample whose label is 0 and 255, the new label, and the note of the settings.
    """
    sample, target, record = job
    ids = kept(target, [sample.label, record], sample.size[::-1])
    if ids is None:
        ids = (read_label(sample.label) == IGNORED).astype(np.uint8)
        write_label(target, ids)
    return Sample(sample.image, target, sample.size, sample.gray, values_of(ids))


def refuse_not_binary(samples: Sequence[Sample]) -> None:
    """Refuse labels with other values than 0 and 255.

    Raises:
        UserError: Some have; the first files are named.
    """
    others = [(sample.label, set(sample.values) - BINARY) for sample in samples]
    problems = [
        f"{label}: `binary` is for labels of 0 and 255, and this one has {min(found)}, too"
        for label, found in others
        if found
    ]
    if problems:
        raise UserError(summed_up(problems))


def refuse_binary(found: set[int], labels: Path) -> None:
    """Refuse labels of nothing but 0 and 255, of which nobody can tell what they mean.

    Raises:
        UserError: They are.
    """
    if IGNORED in found and found <= BINARY:
        raise UserError(
            f"`labels` {labels}: the only values are 0 and 255, and 255 means pixels to ignore, so there would be one "
            "class; if 255 is an object, `binary` makes it class 1, in new files"
        )


def table_of(found: set[int], labels: Path) -> ClassTable:
    """Classes `class 0`, … up to the highest id.

    Raises:
        UserError: The values are hardly ids: there is only one, or most of those below the highest do not occur.
    """
    ids = sorted(found - {IGNORED})
    if len(ids) < 2 or ids[0] < 0 or ids[-1] + 1 > 2 * len(ids):
        listed = ", ".join(map(str, sorted(found)[:8]))
        raise UserError(
            f"`labels` {labels}: the values {listed} do not look like class ids, which are 0, 1, 2, …; if they are "
            "shades of gray, convert them by prepare colors, otherwise say how many classes there are by `classes`"
        )
    return ClassTable.of(ids[-1] + 1, Path())


def refuse_others(samples: Sequence[Sample], num_classes: int) -> None:
    """Refuse labels with values that are neither a class nor ignored.

    Raises:
        UserError: Some have; the first files are named.
    """
    of_file = partial(wrong_values, num_classes=num_classes, ignore_index=IGNORED)
    told: list[tuple[Path, Any]] = [(sample.label, of_file(np.array(sample.values))) for sample in samples]
    problems = [f"{label}: {wrong}" for label, wrong in told if wrong]
    if problems:
        raise UserError(summed_up(problems))


def below(label: Path, root: Path) -> Path:
    """The path of a new label, a PNG file, below the folder of the new ones."""
    return label.relative_to(root).with_suffix(".png")
