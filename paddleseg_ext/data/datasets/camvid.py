"""CamVid with 11 classes."""

from __future__ import annotations

from pathlib import Path

from paddleseg.datasets import Dataset

from paddleseg_ext.data.classes import read_table
from paddleseg_ext.errors import UserError
from paddleseg_ext.registry import register_dataset

SEGNET_VOID = 11
LAYOUT = "its layout is described in configs/camvid/README.md"


@register_dataset
class CamVid(Dataset):
    """CamVid: real street scenes of 480×360 pixels, 11 classes.

    Reference: Brostow et al., "Semantic object classes in video", PRL 2009; split and classes of Badrinarayanan et
    al., "SegNet", TPAMI 2017.

    Layout: `train.txt` and `val.txt` in dataset_root list one image and its label per line, separated by a space,
    relative to dataset_root. A label is a single-channel PNG of indices into `CLASSES`; void is 255, or 11 as in the
    SegNet files.

    Args:
        transforms: PaddleSeg's transforms.
        dataset_root: Folder of the data set.
        mode: `train` or `val`.
        edge: Whether to add edges to the training data, as in PaddleSeg's `Dataset`.

    Raises:
        UserError: The mode is unknown, or the folder, a list or a listed file is missing, or a list is malformed.
    """

    NUM_CLASSES = 11
    IGNORE_INDEX = 255
    IMG_CHANNELS = 3
    CLASSES, PALETTE = read_table("camvid")

    def __init__(self, transforms: list, dataset_root: str, mode: str = "train", edge: bool = False) -> None:
        if mode not in ("train", "val"):
            raise UserError(f"CamVid: mode must be train or val, not {mode!r}")
        root = Path(dataset_root)
        list_path = root / f"{mode}.txt"
        _check_files(root, list_path)
        super().__init__(
            mode=mode,
            dataset_root=str(root),
            transforms=[_ignore_void, *transforms],
            num_classes=self.NUM_CLASSES,
            edge=edge,
            **{f"{mode}_path": str(list_path)},
        )


def _ignore_void(data: dict) -> dict:
    """Transform that maps the void of the SegNet files to 255."""
    label = data["label"].copy()  # PIL's array is read-only
    label[label == SEGNET_VOID] = CamVid.IGNORE_INDEX
    data["label"] = label
    return data


_ignore_void.part_of_data = True  # type: ignore[attr-defined]  # not an augmentation: see `data.scan`


def _check_files(root: Path, list_path: Path) -> None:
    if not root.is_dir():
        raise UserError(f"CamVid: there is no folder {root} (dataset_root); {LAYOUT}")
    if not list_path.is_file():
        raise UserError(f"CamVid: there is no list {list_path}; {LAYOUT}")
    lines = list_path.read_text(encoding="utf-8").splitlines()
    if not lines:
        raise UserError(f"CamVid: the list {list_path} is empty; {LAYOUT}")
    for number, line in enumerate(lines, 1):
        names = line.strip().split(" ")
        if len(names) != 2:
            raise UserError(f"CamVid: line {number} of {list_path} must be `image label`, not {line!r}; {LAYOUT}")
        for name in names:
            if not (root / name).is_file():
                raise UserError(
                    f"CamVid: line {number} of {list_path} names {root / name}, which does not exist; {LAYOUT}"
                )
