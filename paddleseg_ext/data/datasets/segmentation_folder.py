"""A user's own data set: images and labels in folders, or in lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from paddleseg.datasets import Dataset
from paddleseg.transforms import Compose
from paddleseg.transforms import functional as F

from paddleseg_ext.data.class_table import ClassTable
from paddleseg_ext.data.description import Description
from paddleseg_ext.data.image_decoding import check_range
from paddleseg_ext.data.image_io import find_images
from paddleseg_ext.data.pairs import match_folders, read_pairs, shown, some
from paddleseg_ext.errors import UserError
from paddleseg_ext.registry import register_dataset

OWNER = "SegmentationFolder"
MODES = ("train", "val", "test")
CLASSES_FILE = "labels.txt"


@register_dataset
class SegmentationFolder(Dataset):
    """Images and labels of your own.

    The classes stand in one place, `labels.txt` in dataset_root, and the model's `num_classes` follows. The samples are
    those of the mode's list; `train.txt`, `val.txt` and `test.txt` in dataset_root are taken where they are there. If
    there is none of them, the samples are the files of the folders `images` and `labels`, matched by their stems, or
    those of their subfolders `train`, `val` and `test` if `images` has one of the mode's name.

    Args:
        transforms: PaddleSeg's transforms.
        dataset_root: The folder of the data set.
        mode: `train`, `val` or `test`; labels may be missing in the last.
        images: Folder of the images below dataset_root.
        labels: Folder of the labels below dataset_root. Labels hold class ids, see `data.label_io.read_label`.
        train_list: A text file, relative to dataset_root, with an image and its label per line, both relative to
            dataset_root. UTF-8; empty lines and those that begin with # are skipped.
        val_list: Likewise.
        test_list: Likewise; the label may be missing.
        separator: Between the two names in a line; by default a tab, a comma or spaces.
        classes: A list of names, their number, or a text file below dataset_root with one class per line: `name` or
            `red green blue name`. Default: `labels.txt`.
        palette: RGB colors of the classes; by default those of that file, or `generic_palette`.
        ignore_index: Value of pixels that belong to no class.
        reduce_zero_label: Whether 0 means no class in the files, and the classes begin at 1.
        img_channels: Channels of the images; 1 reads them in gray.
        image_range: The values that are black and white, for images of more than 8 bits, e.g. ``[0, 4095]``.
        edge: Whether to add edges to the training data, as in PaddleSeg's `Dataset`.

    Attributes:
        CLASSES: Names of the classes.
        PALETTE: Their colors.

    Shape:
        - img: (C, H, W) float32; label: (H, W), and (1, H, W) unless mode is `train`

    Raises:
        UserError: An argument is not allowed, or a folder, list, class or file is missing or malformed.
    """

    def __init__(
        self,
        transforms: list,
        dataset_root: str,
        mode: str = "train",
        images: str = "images",
        labels: str = "labels",
        train_list: str | None = None,
        val_list: str | None = None,
        test_list: str | None = None,
        separator: str | None = None,
        classes: list[str] | int | str | None = None,
        palette: list | None = None,
        ignore_index: int = 255,
        reduce_zero_label: bool = False,
        img_channels: int = 3,
        image_range: list[float] | None = None,
        edge: bool = False,
    ) -> None:
        if mode not in MODES:
            raise UserError(f"{OWNER}: mode: {mode!r} is not allowed; allowed are {', '.join(MODES)}")
        if not isinstance(transforms, list):
            raise UserError(f"{OWNER}: transforms: {transforms!r} is not allowed; it is a list, empty for none")
        if separator == "":
            raise UserError(f"{OWNER}: separator: it is empty; it stands between the two names of a line")
        section = {
            **{"dataset_root": dataset_root, "classes": classes, "palette": palette},
            **{"img_channels": img_channels, "ignore_index": ignore_index},
        }
        description = self.described_by(section)
        root = Path(dataset_root)
        self.CLASSES, self.PALETTE = description.CLASSES, description.PALETTE
        self.dataset_root, self.mode, self.edge = str(root), mode, edge
        self.num_classes, self.ignore_index = description.NUM_CLASSES, ignore_index
        self.img_channels, self.reduce_zero_label = img_channels, reduce_zero_label
        reduce = [ReduceZeroLabel(ignore_index)] if reduce_zero_label else []
        check_range(image_range)
        self.transforms = Compose([*reduce, *transforms], img_channels=img_channels)
        self.transforms.image_range = self.image_range = image_range
        path = _list_file(root, mode, {"train": train_list, "val": val_list, "test": test_list})
        if path is None:
            self.file_list = _files_of_folders(root, images, labels, mode)
        else:
            self.file_list = [[*row, None][:2] for row in read_pairs(path, root, separator, mode != "test")]

    @classmethod
    def described_by(cls, section: Mapping[str, Any]) -> Description:
        """What a section of a YAML file says of the data set's classes and channels.

        Args:
            section: The arguments of the constructor that are given, by name.

        Raises:
            UserError: An argument is not allowed, or the file of classes is missing or malformed.
        """
        root = section.get("dataset_root")
        if not isinstance(root, (str, Path)):
            raise UserError(f"{OWNER}: dataset_root: {root!r} is not allowed; it is the folder of the data set")
        channels, ignored = section.get("img_channels", 3), section.get("ignore_index", 255)
        if not _is_int(channels) or channels < 1:
            raise UserError(f"{OWNER}: img_channels: {channels!r} is not allowed; it is 3, or 1 for gray images")
        if not _is_int(ignored):
            raise UserError(f"{OWNER}: ignore_index: {ignored!r} is not allowed; it is a whole number, mostly 255")
        classes = section.get("classes")
        if classes is None:
            classes = CLASSES_FILE
            if not (Path(root) / classes).is_file():
                raise UserError(
                    f"{OWNER}: the classes stand neither in {Path(root) / classes} nor under `classes`, which "
                    "is a list of names, their number, or a text file"
                )
        return Description.of(ClassTable.of(classes, Path(root), section.get("palette"), OWNER), channels, ignored)

    def __getitem__(self, idx: int) -> dict:
        image, label = self.file_list[idx]
        data: dict[str, Any] = {"trans_info": [], "img": image, "gt_fields": []}
        if label is not None:
            data["label"] = label
        if self.mode == "train":
            data["gt_fields"].append("label")
        data = self.transforms(data)
        if self.mode != "train" and label is not None:
            data["label"] = data["label"][np.newaxis]
        if self.mode == "train" and self.edge:
            data["edge"] = F.mask_to_binary_edge(data["label"], radius=2, num_classes=self.num_classes)
        return data


class ReduceZeroLabel:
    """A transform: 0 becomes ignored, and the other class ids one less."""

    part_of_data = True  # not an augmentation: see `data.scan`

    def __init__(self, ignore_index: int) -> None:
        self.ignore_index = ignore_index

    def __call__(self, data: dict) -> dict:
        label = data.get("label")
        if label is not None:
            wide = label.dtype != np.uint8 or not 0 <= self.ignore_index <= 255
            ignored = (label == 0) | (label == self.ignore_index)
            reduced = np.where(ignored, self.ignore_index, label.astype(np.int64) - 1)
            data["label"] = reduced.astype(np.int32 if wide else np.uint8)
        return data


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_file(root: Path, mode: str, given: Mapping[str, str | None]) -> Path | None:
    """The mode's list, or None where the folders are the data set."""
    if not root.is_dir():
        raise UserError(f"{OWNER}: there is no folder {root} (dataset_root)")
    own = given[mode]
    if own is not None:
        return root / own
    defaults = {name: root / f"{name}.txt" for name in MODES}
    if defaults[mode].is_file():
        return defaults[mode]
    others = [str(path) for name, path in defaults.items() if path.is_file() or given[name] is not None]
    if others:
        raise UserError(
            f"{OWNER}: there is no list {defaults[mode]} for mode {mode}, but one for another mode; write it, or name "
            f"it by `{mode}_list`"
        )
    return None


def _files_of_folders(root: Path, images: str, labels: str, mode: str) -> list[list[str | None]]:
    folders = [root / images, root / labels]
    if (folders[0] / mode).is_dir():
        folders = [folder / mode for folder in folders]
    if not folders[0].is_dir():
        raise UserError(f"{OWNER}: there is neither a list {root / mode}.txt nor a folder {folders[0]} of images")
    if mode == "test" and not folders[1].is_dir():
        return [[str(source.path), None] for source in find_images(folders[0])]
    matched = match_folders(*folders)
    if matched.without_label and mode != "test":
        lacking = matched.without_label
        raise UserError(f"{OWNER}: {some(lacking, 'image')} without a label in {folders[1]}: {shown(lacking)}")
    with_label: list[list[str | None]] = [[str(image), str(label)] for image, label in matched.pairs]
    return [*with_label, *([str(image), None] for image in matched.without_label)]
