"""COCO's instances (polygons, run lengths) to masks of class ids."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from paddleseg_ext.data.class_table import ClassTable
from paddleseg_ext.data.image_io import check_pixels
from paddleseg_ext.data.prepare.folder import read_sample
from paddleseg_ext.data.prepare.outputs import LABELS, RECORD, Sample, check_crop, claim, finish
from paddleseg_ext.data.prepare.polygons import area_of, decode_runs, draw, points_of
from paddleseg_ext.data.prepare.split import split
from paddleseg_ext.data.prepare.work import IGNORED, Report, for_all, kept, write_label
from paddleseg_ext.errors import UserError, reason

BACKGROUND = "background"


@dataclass(frozen=True)
class _Job:
    annotations: Path
    image: Path
    target: Path
    height: int
    width: int
    record: Path
    objects: list[dict[str, Any]]
    ids: dict[Any, int]


def prepare_coco(
    annotations: Path,
    images: Path,
    output: Path,
    share: float = 0.9,
    stratify: bool = False,
    seed: int = 0,
    crop: Sequence[int] | None = None,
    num_workers: int = 0,
) -> Report:
    """Draw the masks of all images and list them.

    What nothing covers is class 0, ``background``; the categories follow in the order of their ids. Smaller objects lie
    over larger ones; crowds, which are ignored, lie under both.

    Args:
        annotations: The JSON file.
        images: Folder that its file names are relative to.
        output: Folder of the results.
        share: Fraction of the samples that is for training.
        stratify: Share out each class alike.
        seed: Of the split.
        crop: Width and height of the training crop, in pixels.
        num_workers: Processes.

    Raises:
        UserError: The file is no such description, or an image is missing or of another size.
    """
    check_crop(crop)
    content = _read(annotations)
    table, ids = _classes(annotations, content)
    jobs = _jobs(annotations, content, images, output, ids)
    train, val = split(len(jobs), share, seed)
    settings = {"source": "coco", "annotations": os.path.realpath(annotations), "images": os.path.realpath(images)}
    claim(output, {**settings, "classes": list(table.names)})
    samples = for_all(_mask, jobs, num_workers, "mask")
    if stratify:
        train, val = split(len(jobs), share, seed, [sample.values for sample in samples])
    report = Report()
    finish(output, [samples[i] for i in train], [samples[i] for i in val], table, report, crop)
    return report


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: it is not JSON ({reason(error)})") from error
    for key in ("images", "annotations", "categories"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{path}: it has no list '{key}', and COCO's files have images, annotations and categories")
    return content


def _classes(path: Path, content: dict[str, Any]) -> tuple[ClassTable, dict[Any, int]]:
    """The classes, and of each category's id the class's."""
    categories = content["categories"]
    if not all(isinstance(c.get("id"), int) and isinstance(c.get("name"), str) for c in categories):
        raise UserError(f"{path}: categories: each has a number 'id' and a 'name'")
    categories = sorted(categories, key=lambda category: category["id"])
    names = [category["name"] for category in categories if category["name"] != BACKGROUND]
    if len(names) >= IGNORED:
        raise UserError(f"{path}: it has {len(names)} categories, and labels of 8 bits hold {IGNORED - 1}")
    table = ClassTable.named([BACKGROUND, *names], f"{path}: categories")
    return table, {category["id"]: table.names.index(category["name"]) for category in categories}


def _jobs(path: Path, content: dict[str, Any], images: Path, output: Path, ids: dict[Any, int]) -> list[_Job]:
    objects: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for entry in content["annotations"]:
        if entry.get("category_id") not in ids:
            raise UserError(f"{path}: annotation {entry.get('id')}: category_id {entry.get('category_id')} is unknown")
        objects[entry.get("image_id")].append(entry)
    jobs: dict[Path, _Job] = {}
    for entry in content["images"]:
        name, size = entry.get("file_name"), (entry.get("height"), entry.get("width"))
        if not isinstance(name, str) or _leads_out(name):
            raise UserError(
                f"{path}: image {entry.get('id')}: file_name {name!r} is no path below the folder of images"
            )
        if not all(isinstance(side, int) and side > 0 for side in size):
            raise UserError(f"{path}: image {entry.get('id')}: height {size[0]!r} and width {size[1]!r} are no size")
        target = (output / LABELS / name).with_suffix(".png")
        if target in jobs:
            raise UserError(f"{path}: image {entry.get('id')}: the mask of {name!r} would have the name of another's")
        found = objects.pop(entry.get("id"), [])
        jobs[target] = _Job(path, images / name, target, *size, output / RECORD, found, ids)
    if objects:
        image_id, entries = next(iter(objects.items()))
        raise UserError(f"{path}: annotation {entries[0].get('id')}: image_id {image_id} is not among the images")
    return list(jobs.values())


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or not path.name


def _mask(job: _Job) -> Sample:
    if kept(job.target, [job.annotations, job.record], (job.height, job.width)) is None:
        if not job.image.is_file():
            raise UserError(f"{job.image}: the image file does not exist, but {job.annotations} names it")
        check_pixels(job.image, (job.height, job.width))
        write_label(job.target, _draw(job))
    return read_sample((job.image, job.target))


def _draw(job: _Job) -> np.ndarray:
    canvas = Image.new("L", (job.width, job.height), 0)
    shapes = []
    for entry in job.objects:
        try:
            shapes.append(_shape(entry, job))
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{job.annotations}: annotation {entry.get('id')}: {reason(error)}") from error
    for _, _, value, shape in sorted(shapes, key=lambda item: item[:2], reverse=True):
        if isinstance(shape, np.ndarray):
            canvas.paste(value, mask=Image.fromarray(shape.astype(np.uint8) * 255))
        else:
            for points in shape:
                draw(ImageDraw.Draw(canvas), "polygon", points, value)
    return np.asarray(canvas)


def _shape(entry: dict[str, Any], job: _Job) -> tuple[bool, float, int, Any]:
    """Whether it is a crowd, its area, the value to draw, and polygons or a mask."""
    crowd, found = bool(entry.get("iscrowd")), entry.get("segmentation")
    value = IGNORED if crowd else job.ids[entry["category_id"]]
    if isinstance(found, dict):
        mask = decode_runs(found.get("counts"), job.height, job.width)
        return crowd, float(mask.sum()), value, mask
    if not isinstance(found, list):
        raise ValueError("its segmentation is neither polygons nor run lengths")
    polygons = [points_of(numbers) for numbers in found]
    if any(len(points) < 3 for points in polygons):
        raise ValueError("a polygon has at least 3 points")
    return crowd, sum(map(area_of, polygons)), value, polygons
