"""Everything about the data and the model that can be found wrong before the first iteration."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.data.sampler import explain, files_of
from paddleseg_ext.errors import UserError
from paddleseg_ext.training.losses import check_count

LABELS_TO_READ = 16
logger = logging.getLogger(__name__)


def check_cityscapes(config: dict, key: str) -> None:
    """Check that PaddleSeg's Cityscapes finds a label for every image, before it is built.

    It pairs two sorted lists by position, so that missing labels leave it empty or, worse, wrongly paired.

    Args:
        config: The section `key` of the configuration; sections of other types pass.

    Raises:
        UserError: Labels are missing; the sentence names the preparation step.
    """
    if config.get("type") != "Cityscapes":
        return
    root, mode = Path(str(config.get("dataset_root"))), str(config.get("mode", "train")).lower()
    images = len(list((root / "leftImg8bit" / mode).glob("*/*_leftImg8bit.png")))
    labels = len(list((root / "gtFine" / mode).glob("*/*_gtFine_labelTrainIds.png")))
    if images != labels:
        raise UserError(
            f"{key}: {root} has {images} images but {labels} *_gtFine_labelTrainIds.png in gtFine/{mode}; make the "
            "labels with PaddleSeg's tools/data/convert_cityscapes.py or cityscapesScripts' csCreateTrainIdLabelImgs"
        )


def check_size(dataset: paddle.io.Dataset, batch_size: int, ranks: int = 1, key: str = "train_dataset") -> None:
    """Raise unless the data set has a batch for every process.

    Raises:
        UserError: It is empty or too small.
    """
    if len(dataset) == 0:
        raise UserError(f"{key}: no sample found{_where(dataset)}")
    if len(dataset) < batch_size * ranks:
        processes = f" on each of {ranks} processes" if ranks > 1 else ""
        raise UserError(
            f"{key} has {len(dataset)} samples{_where(dataset)}, fewer than batch_size {batch_size}{processes}; "
            "lower --batch_size or add samples"
        )


def check_labels(dataset: paddle.io.Dataset, num_classes: int, key: str = "train_dataset") -> None:
    """Read some samples spread over the data set, unaugmented, and check sizes and label values.

    Args:
        dataset: In PaddleSeg's form.
        num_classes: Labels must lie in [0, num_classes) or be the data set's `ignore_index`.

    Raises:
        UserError: A file cannot be read, an image and its label differ in size, or a label has other values or
            colors; the sentence names the file.
    """
    plain = _without_transforms(dataset)
    ignore_index = getattr(dataset, "ignore_index", 255)
    for index in np.unique(np.linspace(0, len(dataset) - 1, LABELS_TO_READ).astype(int)).tolist():
        files = files_of(dataset, index)
        try:
            sample = plain[index]
        except Exception as error:  # whatever a data set raises, the user needs the file's name first
            raise UserError(f"{key}: {explain(files, error)}") from error
        label = np.squeeze(np.asarray(sample["label"]))
        if label.ndim != 2:
            raise UserError(
                f"{key}: {files[-1]}: a label has one channel of class indices, this one has the shape {label.shape}; "
                "convert colors to indices first"
            )
        _, height, width = sample["img"].shape
        if label.shape != (height, width):
            raise UserError(
                f"{key}: {files[-1]} is {label.shape[1]}x{label.shape[0]}, but its image {files[0]} is {width}x{height}"
            )
        values = np.unique(label)
        wrong = values[((values < 0) | (values >= num_classes)) & (values != ignore_index)]
        if wrong.size:
            raise UserError(
                f"{key}: {files[-1]} has label values {_listed(wrong)}; allowed are 0 to {num_classes - 1} "
                f"and {ignore_index} (ignored)"
            )


def check_outputs(model: nn.Layer, losses: dict) -> None:
    """Compare the number of losses with the outputs that the model names; a stock model names none, and is checked
    when it gives the first outputs.

    Raises:
        UserError: There are more or fewer losses than outputs.
    """
    if hasattr(model, "output_names"):
        check_count(model.output_names, losses)


@contextmanager
def watch_batch_norm(model: nn.Layer) -> Iterator[None]:
    """Warn about BatchNorm layers that saw one value a channel in the block's forward passes.

    That happens to a batch of 1 behind a global pooling. The variance of one value is 0: Paddle silently skips the
    normalization then, while evaluation, which uses running statistics, does not.
    """
    kinds = tuple(getattr(nn, f"BatchNorm{suffix}") for suffix in ("", "1D", "2D", "3D"))
    found: dict[str, None] = {}

    def look(name: str):
        def hook(layer: nn.Layer, inputs: tuple) -> None:
            x = inputs[0]
            if layer.training and x.size == x.shape[1]:
                found[name] = None

        return hook

    layers = [(name, layer) for name, layer in model.named_sublayers() if isinstance(layer, kinds)]
    hooks = [layer.register_forward_pre_hook(look(name)) for name, layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if found:
        logger.warning(
            "warning: with one image a batch, BatchNorm after global pooling sees one value a channel, so Paddle skips "
            f"it: {', '.join(found)}; use a batch_size of 2 or more, or no normalization in these branches"
        )


def _without_transforms(dataset: paddle.io.Dataset) -> paddle.io.Dataset:
    """The data set reading whole, unaugmented pictures, where it composes its transforms as PaddleSeg does."""
    transforms = getattr(dataset, "transforms", None)
    if not isinstance(getattr(transforms, "transforms", None), list):
        return dataset
    plain, plain.transforms = copy.copy(dataset), copy.copy(transforms)
    plain.transforms.transforms = []
    return plain


def _where(dataset: paddle.io.Dataset) -> str:
    root = getattr(dataset, "dataset_root", None)
    return f" in {root}" if root else ""


def _listed(values: np.ndarray) -> str:
    return ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
