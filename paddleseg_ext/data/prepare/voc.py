"""PASCAL VOC 2012: lists, classes and a configuration over the official folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from paddleseg_ext.data.class_table import ClassTable
from paddleseg_ext.data.classes import read_table
from paddleseg_ext.data.image_io import image_size
from paddleseg_ext.data.label_io import read_label, wrong_values
from paddleseg_ext.data.pairs import check_sizes
from paddleseg_ext.data.prepare.outputs import Sample, claim, finish
from paddleseg_ext.data.prepare.work import IGNORED, Report, for_all, summed_up, values_of
from paddleseg_ext.data.text_lines import read_lines
from paddleseg_ext.errors import UserError

COUNTS = {"train": 1464, "val": 1449}
CLASSES = 21


def prepare_voc(root: Path, output: Path, num_workers: int = 0) -> Report:
    """Write lists of the official splits; the indices of the palette PNGs are the ids, and 255 is void.

    Args:
        root: Has ``VOCdevkit/VOC2012``, or is one of these folders.
        output: Folder of the results.
        num_workers: Processes.

    Raises:
        UserError: Something is missing or damaged.
    """
    folder, report = _folder(root), Report()
    samples = {split: for_all(_check, _pairs(folder, split), num_workers, "pair") for split in COUNTS}
    claim(output, {"source": "voc", "root": os.path.realpath(folder)})
    for split, count in COUNTS.items():
        report.expect(f"ImageSets/Segmentation/{split}.txt", len(samples[split]), count)
    finish(output, samples["train"], samples["val"], ClassTable(*read_table("voc")), report)
    return report


def _folder(root: Path) -> Path:
    for folder in (root / "VOCdevkit" / "VOC2012", root / "VOC2012", root):
        if (folder / "ImageSets" / "Segmentation").is_dir():
            return folder
    raise UserError(f"`root` {root}: there is no folder VOCdevkit/VOC2012 with ImageSets/Segmentation in it")


def _pairs(folder: Path, split: str) -> list[tuple[Path, Path]]:
    path = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
    pairs, missing = [], []
    for number, name in read_lines(path, "the list"):
        if "/" in name or "\\" in name:
            raise UserError(f"{path}: line {number}, {name!r}, is not the name of an image")
        pair = (folder / "JPEGImages" / f"{name}.jpg", folder / "SegmentationClass" / f"{name}.png")
        missing += [f"{path}: line {number} names {file}, which does not exist" for file in pair if not file.is_file()]
        pairs.append(pair)
    if missing:
        raise UserError(summed_up(missing))
    if not pairs:
        raise UserError(f"{path}: the list is empty")
    return pairs


def _check(pair: tuple[Path, Path]) -> Sample:
    image, label = pair
    size, ids = image_size(image), read_label(label)
    check_sizes(image, size, label, ids)
    values = values_of(ids)
    if wrong := wrong_values(np.array(values), CLASSES, IGNORED):
        raise UserError(f"{label}: {wrong}")
    return Sample(image, label, size, False, values)
