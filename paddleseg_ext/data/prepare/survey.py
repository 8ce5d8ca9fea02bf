"""A folder of data that is there already: what a configuration for it needs to know."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from paddleseg_ext.data.datasets.segmentation_folder import SegmentationFolder
from paddleseg_ext.data.image_io import image_size
from paddleseg_ext.data.prepare.outputs import is_gray, median_size
from paddleseg_ext.data.prepare.work import Prepared

LOOKED_AT = 64  # images, evenly spaced


def survey(
    folder: Path, classes: list[str] | int | str | None = None, crop: Sequence[int] | None = None
) -> tuple[Prepared, str | None]:
    """Look at a folder as `SegmentationFolder` reads it; a doubt about it comes second.

    Args:
        folder: Has lists `train.txt` and `val.txt`, or folders `images` and `labels`.
        classes: Names, their number or a file; by default those in `labels.txt` of the folder.
        crop: Width and height of the training crop, in pixels.

    Raises:
        UserError: The folder is none, files are missing, or the classes stand nowhere.
    """
    root = Path(os.path.realpath(folder))
    if isinstance(classes, str):
        classes = os.path.realpath(classes)  # otherwise it would be looked for in the folder
    train, val = (SegmentationFolder([], str(root), mode, classes=classes) for mode in ("train", "val"))
    files = [Path(str(image)) for image, _ in train.file_list]
    files = files[:: -(-len(files) // LOOKED_AT)]
    prepared = Prepared(
        root, len(train), median_size(list(map(image_size, files))), all(map(is_gray, files)), crop, classes=classes
    )
    doubt = (
        f"{folder}: training and validation have the same images; `paddleseg-ext prepare folder` shares them out, "
        "or lists train.txt and val.txt do, or subfolders train and val of both images and labels"
    )
    return prepared, doubt if train.file_list == val.file_list else None
