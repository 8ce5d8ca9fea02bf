"""ADE20K's scene parsing benchmark: the official folder or archive, verified; PaddleSeg reads it as it is."""

from __future__ import annotations

import re
from pathlib import Path

from paddleseg_ext.data.image_io import image_size
from paddleseg_ext.data.label_io import read_label
from paddleseg_ext.data.pairs import check_sizes, match_folders, shown, some
from paddleseg_ext.data.prepare.archives import unpack
from paddleseg_ext.data.prepare.work import Report, for_all, values_of
from paddleseg_ext.errors import UserError

FOLDER = "ADEChallengeData2016"
SPLITS = {"training": ("train", 20210), "validation": ("val", 2000)}
CLASSES = 150


def prepare_ade20k(root: Path, output: Path | None = None, num_workers: int = 0) -> Report:
    """Check names, numbers, sizes and values.

    Args:
        root: Has ``ADEChallengeData2016`` or its zip file, or is that folder.
        output: Where a zip file is unpacked. Default: `root`.
        num_workers: Processes.

    Raises:
        UserError: Something is missing or damaged.
    """
    folder, report = _folder(root, output), Report()
    values: set[int] = set()
    for split, (short, count) in SPLITS.items():
        matched = match_folders(folder / "images" / split, folder / "annotations" / split)
        if matched.without_label:
            lacking = matched.without_label
            raise UserError(f"{some(lacking, 'image')} without an annotation: {shown(lacking)}")
        pattern = rf"ADE_{short}_\d{{8}}\.jpg"
        strange = [image for image, _ in matched.pairs if not re.fullmatch(pattern, image.name)]
        if strange:
            raise UserError(f"{some(strange, 'image')} not named {pattern}: {shown(strange)}")
        values.update(*for_all(_check, matched.pairs, num_workers, "pair"))
        report.expect(f"images/{split}", len(matched.pairs), count)
        report.lines.append(f"images/{split}: {len(matched.pairs)} images with annotations")
        if matched.without_image:
            extra = matched.without_image
            report.warnings.append(f"{some(extra, 'annotation')} without an image: {shown(extra)}")
    absent = len(set(range(1, CLASSES + 1)) - values)
    if absent:
        report.warnings.append(f"{absent} of the {CLASSES} classes do not occur")
    report.lines.append(
        f"values 0…{max(values)}: 0 is ignored, and PaddleSeg's ADE20K subtracts one; dataset_root: {folder}"
    )
    return report


def _folder(root: Path, output: Path | None) -> Path:
    archive = root / f"{FOLDER}.zip"
    if archive.is_file() and (output is None or not (root / FOLDER).is_dir()):
        unpack(archive, output or root, lambda name: name.startswith(f"{FOLDER}/"))
        return (output or root) / FOLDER
    for folder in (root / FOLDER, root):
        if (folder / "images").is_dir() and (folder / "annotations").is_dir():
            return folder
    raise UserError(f"`root` {root}: there is neither a folder {FOLDER} with images and annotations nor {archive.name}")


def _check(pair: tuple[Path, Path]) -> tuple[int, ...]:
    image, label = pair
    size, ids = image_size(image), read_label(label)
    check_sizes(image, size, label, ids)
    if ids.max() > CLASSES or ids.min() < 0:
        raise UserError(f"{label}: it has the value {ids.max()}, and annotations have 0…{CLASSES}")
    return values_of(ids)
