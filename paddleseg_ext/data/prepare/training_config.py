"""A configuration that trains on a prepared data set as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from paddleseg_ext.errors import UserError

SIDE, LARGEST = 32, 512  # a crop's sides are multiples of the one and at most the other
RATE_PER_IMAGE = 0.05 / 8  # of a step: the linear scaling rule
EPOCHS, FEWEST_ITERS, MOST_ITERS = 50, 400, 40000
# ImageNet's colors; the gray one is their mean.
COLORS = {1: {"mean": [0.449], "std": [0.226]}, 3: {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}
HEADER = """\
# A small PSPNet on the prepared data set, from random weights: a start. On a GPU, take a larger backbone with
# pretrained weights. The classes stand in labels.txt alone.
"""


def check_crop(given: Sequence[int] | None) -> None:
    """Refuse what is no size of a crop.

    Raises:
        UserError: It is neither None nor two positive numbers.
    """
    if given is not None and (len(given) != 2 or min(given) < 1):
        raise UserError(f"`crop_size` {' '.join(map(str, given))}: it is a width and a height in pixels")


def crop_of(sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Width and height of the crop: the median's, in multiples of 32 and at most 512.

    Args:
        sizes: Widths and heights of the images.
    """
    return [int(np.clip(median // SIDE * SIDE, SIDE, LARGEST)) for median in np.median(np.array(sizes), axis=0)]


def batch_of(count: int) -> int:
    """Images per step: few where there are few. One would leave BatchNorm nothing to normalize by."""
    return 8 if count >= 64 else 4 if count >= 16 else 2


def training_config(
    root: Path, count: int, crop: Sequence[int], channels: int, ignore_index: int = 255, **dataset: Any
) -> str:
    """The YAML text.

    Args:
        root: Folder of the data set, with lists and `labels.txt`.
        count: Number of training images.
        crop: Width and height.
        channels: Of the images, 1 or 3.
        ignore_index: Value of pixels that belong to no class.
        **dataset: More entries of the data sets.
    """
    batch = batch_of(count)
    rate = RATE_PER_IMAGE * batch
    iters = int(np.clip(EPOCHS * count // batch, FEWEST_ITERS, MOST_ITERS))
    section: dict[str, Any] = {"type": "SegmentationFolder", "dataset_root": str(root)}
    if channels != 3:
        section["img_channels"] = channels
    if ignore_index != 255:
        section["ignore_index"] = ignore_index
    section.update(dataset)
    normalize = {"type": "Normalize", **COLORS[channels]}
    augmentation: list[dict[str, Any]] = [
        {
            **{"type": "ScaleCropFlip", "crop_size": list(crop), "min_scale_factor": 0.75, "max_scale_factor": 1.5},
            **{"scale_step_size": 0.25, "label_padding_value": ignore_index},
        }
    ]
    if channels == 3:
        ranges = {f"{name}_range": 0.25 for name in ("brightness", "contrast", "saturation")}
        augmentation.append({"type": "RandomDistort", **ranges})
    config = {
        "batch_size": batch,
        "iters": iters,
        "train_dataset": {**section, "mode": "train", "transforms": [*augmentation, dict(normalize)]},
        "val_dataset": {**section, "mode": "val", "transforms": [dict(normalize)]},
        "model": {
            "type": "EncoderDecoder",
            "backbone": {"type": "ResNet18_vd", "output_stride": 16},
            "decode_head": {"type": "PSPHead", "channels": 128},
            "auxiliary_heads": [{"type": "FCNHead", "in_index": 2, "channels": 64}],
        },
        "loss": {
            "types": [{"type": "CrossEntropyLoss", "ignore_index": ignore_index} for _ in range(2)],
            "coef": [1, 0.4],
        },
        "optimizer": {"type": "SGD", "momentum": 0.9, "weight_decay": 1.0e-4},
        "lr_scheduler": {
            **{"type": "PolynomialDecay", "learning_rate": rate, "end_lr": rate / 50, "power": 0.9},
            **{"warmup_iters": iters // 10, "warmup_start_lr": rate / 10},
        },
    }
    return HEADER + yaml.dump(
        config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True
