"""Cityscapes: the official folders or archives, to labels of train ids."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np

from paddleseg_ext.data.class_table import ClassTable
from paddleseg_ext.data.classes import read_table
from paddleseg_ext.data.image_io import image_size
from paddleseg_ext.data.pairs import check_sizes
from paddleseg_ext.data.prepare.archives import unpack
from paddleseg_ext.data.prepare.cityscapes_ids import VOID, from_label_ids, from_polygons
from paddleseg_ext.data.prepare.outputs import Sample, claim, finish
from paddleseg_ext.data.prepare.work import Report, for_all, kept, summed_up, values_of, write_label
from paddleseg_ext.errors import UserError

IMAGES, LABELS = "leftImg8bit", "gtFine"
NEEDED = ("_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_polygons.json")
COUNTS = {"train": 2975, "val": 500, "test": 1525}
CLASSES = 19


def prepare_cityscapes(root: Path, output: Path | None = None, num_workers: int = 0) -> Report:
    """Write a ``*_gtFine_labelTrainIds.png`` for each image, equal to that of cityscapesScripts.

    Args:
        root: Has ``leftImg8bit`` and ``gtFine``, or the archives ``leftImg8bit_trainvaltest.zip`` and
            ``gtFine_trainvaltest.zip``.
        output: Where archives are unpacked and labels written, with lists and a configuration. Default: `root`, in
            PaddleSeg's layout and beside the other labels.
        num_workers: Processes.

    Raises:
        UserError: Something is missing, damaged or cannot be written.
    """
    target = root if output is None else output
    report = Report()
    archives = {name: root / f"{name}_trainvaltest.zip" for name in (IMAGES, LABELS)}
    for name, archive in archives.items():
        if not archive.is_file() and not (root / name).is_dir():
            raise UserError(f"`root` {root}: there is neither a folder {name} nor an archive {archive.name}")
    if output is not None:
        claim(output, {"source": "cityscapes", "root": os.path.realpath(root)})
    where = {}
    for name, archive in archives.items():
        # Unpacking into the folder itself goes on where it was interrupted.
        if archive.is_file() and (output is None or not (root / name).is_dir()):
            unpack(archive, target, partial(_is_needed, name))
            where[name] = target / name
        else:
            where[name] = root / name
    jobs = {split: _jobs(where, split, target) for split in COUNTS}
    if not jobs["train"]:
        raise UserError(f"{where[IMAGES]}: there are no images train/CITY/*_leftImg8bit.png")
    samples = {split: for_all(_convert, jobs[split], num_workers, "label") for split in COUNTS}
    for split, count in COUNTS.items():
        report.expect(f"{IMAGES}/{split}", len(list(_images(where[IMAGES], split))), count)
    total = sum(map(len, samples.values()))
    found = {value for part in samples.values() for sample in part for value in sample.values}
    report.lines.append(
        f"{total} labels of train ids in {target / LABELS}, values {', '.join(map(str, sorted(found)))}"
    )
    if output is None:
        report.lines.append(f"read by PaddleSeg's Cityscapes: dataset_root: {root}")
    elif samples["val"]:
        finish(output, samples["train"], samples["val"], ClassTable(*read_table("cityscapes")), report)
    return report


def _is_needed(folder: str, name: str) -> bool:
    return name.startswith(f"{folder}/") and name.endswith(NEEDED)


def _images(folder: Path, split: str) -> list[Path]:
    return sorted((folder / split).glob("*/*_leftImg8bit.png"))


def _jobs(where: dict[str, Path], split: str, target: Path) -> list[tuple[Path, Path, Path]]:
    """Image, source and label to write, of each image that has a source; those of test need none."""
    jobs, missing = [], []
    for image in _images(where[IMAGES], split):
        base = image.name[: -len("_leftImg8bit.png")]
        below = Path(split, image.parent.name)
        candidates = [where[LABELS] / below / f"{base}{ending}" for ending in NEEDED[1:]]
        source = next((path for path in candidates if path.is_file()), None)
        if source is not None:
            jobs.append((image, source, target / LABELS / below / f"{base}_gtFine_labelTrainIds.png"))
        elif split != "test":
            missing.append(f"{image}: there is neither {candidates[0]} nor {candidates[1].name}")
    if missing:
        raise UserError(summed_up(missing))
    return jobs


def _convert(job: tuple[Path, Path, Path]) -> Sample:
    image, source, target = job
    size = image_size(image)
    ids = kept(target, [], size[::-1])
    if ids is None or _wrong(ids):
        ids = from_polygons(source) if source.suffix == ".json" else from_label_ids(source)
        check_sizes(image, size, source, ids)
        write_label(target, ids)
    return Sample(image, target, size, False, values_of(ids))


def _wrong(ids: np.ndarray) -> bool:
    return bool(((ids >= CLASSES) & (ids != VOID)).any())
