"""Numbers in a configuration and its data that must agree, and are compared before the first iteration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paddleseg_ext.data.sampler import IGNORED, files_of
from paddleseg_ext.data.trial import try_transforms
from paddleseg_ext.errors import UserError

RGB = 3  # channels where nothing else is said
LARGEST = 4.0  # a mean or a deviation on the scale of 0 to 1
LISTED = 3  # missing files that a sentence names
RANDOM = ("Random", "ResizeStepScaling", "ResizeRangeScaling", "ScaleCropFlip", "PhotoMetricDistortion")


def check_files(dataset: Any, key: str) -> None:
    """Check that every listed file is there.

    Raises:
        UserError: Some are not; the sentence counts them and names the first.
    """
    if not getattr(dataset, "file_list", None):
        return
    paths = [path for index in range(len(dataset)) for path in files_of(dataset, index)]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        shown = ", ".join(missing[:LISTED]) + (", …" if len(missing) > LISTED else "")
        marked = " (its list begins with a byte-order mark; save it without)" if "\ufeff" in shown else ""
        raise UserError(f"{key}: {len(missing)} of its {len(paths)} files {_are(missing)} not there: {shown}{marked}")


def check_transforms(dataset: Any, key: str, evaluated: bool = False) -> None:
    """Compare the transforms with the data set that they are for, and let crops pad with its own `ignore_index`.

    Args:
        dataset: In PaddleSeg's form.
        key: Name of its section in the configuration.
        evaluated: It is evaluated, so nothing may be random.

    Raises:
        UserError: Means or deviations are not those of the channels or on another scale, a transform is for images of
            other channels, a padding is neither the default nor `ignore_index`, a random transform stands under a
            data set that is evaluated, or one fails.
    """
    channels = channels_of(dataset)
    ignore_index = getattr(dataset, "ignore_index", IGNORED)
    if evaluated:
        refuse_random(_transforms(dataset), key)
    check_normalization(_transforms(dataset), channels, key)
    for transform in _transforms(dataset):
        name = f"{key}.transforms: {type(transform).__name__}"
        allowed = getattr(transform, "channels", None)
        if allowed and channels not in allowed:
            raise UserError(
                f"{name} is for images of {' or '.join(map(str, allowed))} channels, but img_channels is {channels}; "
                "leave it out"
            )
        padding = getattr(transform, "label_padding_value", None)
        if padding is not None and padding != ignore_index:
            if padding != IGNORED:
                raise UserError(
                    f"{name}: label_padding_value is {padding}, but the data set ignores {ignore_index}: padded pixels "
                    f"would be {'a class' if 0 <= padding < dataset.num_classes else 'no class'}"
                )
            transform.label_padding_value = ignore_index  # 255 is the default, not a wish
        if hasattr(transform, "category_max_ratio") and hasattr(transform, "ignore_index"):
            transform.ignore_index = ignore_index
    try_transforms(_transforms(dataset), channels, key)


def check_normalization(transforms: Sequence[Any], channels: int, key: str = "val_dataset") -> None:
    """Compare means and deviations with the images' channels and the scale of 0 to 1.

    Raises:
        UserError: They have another number or are on another scale, or a deviation is not positive.
    """
    for transform in transforms:
        for argument in ("mean", "std"):
            if (values := getattr(transform, argument, None)) is not None:
                name = f"{key}.transforms: {type(transform).__name__}: {argument}"
                _check_values(name, np.ravel(values), channels)
                if argument == "std" and np.min(values) <= 0:
                    raise UserError(f"{name} is {np.ravel(values).tolist()}; deviations are above 0")


def refuse_random(transforms: Sequence[Any], key: str = "val_dataset") -> None:
    """Refuse transforms for training where images are evaluated, predicted or exported.

    Raises:
        UserError: There is one.
    """
    for transform in transforms:
        if (kind := type(transform).__name__).startswith(RANDOM):
            raise UserError(
                f"{key}.transforms: {kind} is for training and would change what is evaluated here; leave it out"
            )


def check_preprocessing(transforms: Sequence[Any], channels: int, model: Mapping[str, Any]) -> None:
    """Compare what prepares images, where no data set is built, with their channels and the model.

    Args:
        transforms: Of the section val_dataset.
        channels: Of its images.
        model: The model's section.

    Raises:
        UserError: Of `check_channels`, `check_normalization` and `refuse_random`.
    """
    check_channels({"val_dataset": channels}, model)
    check_normalization(transforms, channels)
    refuse_random(transforms)


def channels_of(dataset: Any) -> int:
    """Channels of a data set's images: its ``img_channels``, or three."""
    return getattr(dataset, "img_channels", RGB)


def check_channels(img_channels: Mapping[str, int], model: Mapping[str, Any]) -> None:
    """Compare the channels of the images with each other and with those that the model takes.

    Args:
        img_channels: Of the images, by the section of their data set.
        model: The model's section. A backbone that says nothing takes three.

    Raises:
        UserError: They differ.
    """
    found = {f"{key}.img_channels": count for key, count in img_channels.items()}
    found["model.backbone.in_channels"] = (model.get("backbone") or model).get("in_channels") or RGB
    if len(set(found.values())) > 1:
        told = ", ".join(f"{key}: {count}" for key, count in found.items())
        raise UserError(f"the images' channels must be the same everywhere, but they are {told}")


def check_class_weights(losses: dict, num_classes: int) -> None:
    """Compare the number of class weights with that of classes.

    Raises:
        UserError: A loss has another number of them.
    """
    for index, loss in enumerate(losses["types"]):
        for term in getattr(loss, "losses", [loss]):
            weight: Any = getattr(term, "weight", None)
            listed = isinstance(weight, (list, tuple)) or getattr(weight, "ndim", 0) == 1
            if listed and len(weight) != num_classes:
                name = f"loss.types[{index}]: {type(term).__name__}"
                raise UserError(f"{name} has {len(weight)} class weights, but there are {num_classes} classes")


def _check_values(name: str, values: np.ndarray, channels: int) -> None:
    if len(values) not in (1, channels):
        raise UserError(
            f"{name} has {len(values)} numbers, but the images have {channels} channel{'s' * (channels > 1)}"
        )
    if np.abs(values).max() > LARGEST:
        raise UserError(
            f"{name} is {values.tolist()}, but it belongs on the scale of 0 to 1 (pixels are divided by 255 first): "
            f"{[round(float(value) / 255, 4) for value in values]}"
        )


def _transforms(dataset: Any) -> list[Any]:
    found = getattr(getattr(dataset, "transforms", None), "transforms", None)
    return found if isinstance(found, list) else []


def _are(items: Sequence[Any]) -> str:
    return "is" if len(items) == 1 else "are"
