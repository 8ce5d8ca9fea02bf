"""Synthetic street scenes for demonstration, in the folder layout of Cityscapes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from paddleseg.datasets import Cityscapes
from tqdm import tqdm

from paddleseg_ext.data.classes import read_table
from paddleseg_ext.data.datasets.streets import writer
from paddleseg_ext.errors import UserError
from paddleseg_ext.registry import register_dataset

T = TypeVar("T")
logger = logging.getLogger(__name__)


@register_dataset
class StreetScenes(Cityscapes):
    """Synthetic street scenes in Cityscapes' layout and classes, rendered on first use.

    Of the 19 classes 14 occur (`streets.DRAWN`); rider, truck, train, motorcycle and bicycle do not. Pixels of no
    class (the hood of the ego vehicle, trash cans, ties between two classes) are 255. Images have 256×128 pixels
    and are the same on every platform (see `streets.scene.render`).

    Args:
        transforms: PaddleSeg's transforms.
        dataset_root: Folder of the data set; written if missing or empty.
        mode: `train` or `val`.
        edge: Whether to add edges to the training data, as in `Cityscapes`.
        train_images: Number of images for training, where they are yet to be drawn.
        val_images: Number of images for validation, likewise.

    Raises:
        UserError: The mode is unknown, or the folder holds other files or cannot be written.
    """

    NUM_CLASSES = 19
    IGNORE_INDEX = 255
    IMG_CHANNELS = 3
    CLASSES, PALETTE = read_table("cityscapes")

    def __init__(
        self,
        transforms: list,
        dataset_root: str = "data/streets",
        mode: str = "train",
        edge: bool = False,
        train_images: int = 240,
        val_images: int = 60,
    ) -> None:
        if mode not in writer.CITIES:
            raise UserError(f"StreetScenes: mode must be train or val, not {mode!r}")
        if min(train_images, val_images) < 1:
            raise UserError("StreetScenes: train_images and val_images must be at least 1")
        prepare(dataset_root, train_images, val_images)
        super().__init__(transforms, dataset_root, mode, edge)


def prepare(dataset_root: str, train_images: int = 240, val_images: int = 60) -> None:
    """Write the data set unless it exists already.

    Args:
        dataset_root: Folder of the data set.
        train_images: Number of images for training.
        val_images: Number of images for validation.

    Raises:
        UserError: The folder holds other files or cannot be written.
    """
    bar = partial(_progress, total=train_images + val_images, root=dataset_root)
    try:
        writer.ensure(Path(dataset_root), {"train": train_images, "val": val_images}, bar)
    except writer.Occupied as error:
        raise UserError(f"StreetScenes: {error}; delete the folder or name another dataset_root") from None
    except OSError as error:
        raise UserError(f"StreetScenes: cannot write the images to dataset_root {dataset_root}: {error}") from error


def _progress(images: Iterable[T], total: int, root: str) -> Iterable[T]:
    logger.info(f"drawing {total} street scenes in {root} (once)")
    return tqdm(images, total=total, unit="image", leave=False, disable=None)  # no bar in a log file
