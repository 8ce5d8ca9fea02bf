"""Everything about the data and the model that can be found wrong before the first iteration."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn

from paddleseg_ext.checkpoint.save import CONFIG, Checkpoint
from paddleseg_ext.config.compare import differences
from paddleseg_ext.data.scan import look_at, without_augmentation
from paddleseg_ext.errors import UserError
from paddleseg_ext.layers.norms import BATCH_NORMS
from paddleseg_ext.runtime import distributed
from paddleseg_ext.training.losses import check_count

LABELS_TO_READ = 16
LISTED = 8  # settings that a sentence names
logger = logging.getLogger(__name__)


def check_cityscapes(config: dict, key: str) -> None:
    """Check that PaddleSeg's Cityscapes finds a label for every image, before it is built.

    It pairs two sorted lists by position, so that missing labels leave it empty or, worse, wrongly paired.

    Args:
        config: A data set's section of the configuration; sections of other types pass.
        key: Its name, for the sentence.

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


def check_size(dataset: paddle.io.Dataset, batch_size: int, world_size: int = 1, key: str = "train_dataset") -> None:
    """Refuse a data set that has not a batch for every process.

    Args:
        dataset: In PaddleSeg's form.
        batch_size: Images per batch and process.
        world_size: Number of processes.
        key: Name of its section in the configuration, for the sentence.

    Raises:
        UserError: It is empty or too small.
    """
    if len(dataset) == 0:
        raise UserError(f"{key}: no sample found{_where(dataset)}")
    if len(dataset) < batch_size * world_size:
        processes = f" on each of {world_size} processes" if world_size > 1 else ""
        raise UserError(
            f"{key} has {len(dataset)} samples{_where(dataset)}, fewer than batch_size {batch_size}{processes}; "
            "lower `batch_size` or add samples"
        )


def check_labels(dataset: Any, key: str = "train_dataset") -> None:
    """Read some samples spread over the data set, unaugmented, and check sizes and label values.

    Args:
        dataset: In PaddleSeg's form.
        key: Name of its section in the configuration, for the sentence.

    Raises:
        UserError: A file cannot be read, an image and its label differ in size, or a label has other values or
            colors; the sentence names the file.
    """
    plain = without_augmentation(dataset)
    for index in np.unique(np.linspace(0, len(dataset) - 1, LABELS_TO_READ).astype(int)).tolist():
        if problem := look_at(plain, dataset, index).problem:
            raise UserError(f"{key}: {problem}")


def check_same_settings(path: Path, saved: Checkpoint, config: Mapping[str, Any]) -> None:
    """Compare the settings of a run with those that a checkpoint was trained with.

    Args:
        path: Of the checkpoint.
        saved: Its content.
        config: The run's configuration with all defaults; without it nothing is compared.

    Raises:
        UserError: Some that decide the weights differ; the sentence lists them.
    """
    found = differences(yaml.safe_load(saved.config) or {}, config) if saved.config and config else []
    processes = saved.record.get("processes", distributed.world_size())
    if processes != distributed.world_size():
        found.append(f"processes: {processes} before, {distributed.world_size()} now")
    if found:
        listed = "; ".join(found[:LISTED]) + ("; …" if len(found) > LISTED else "")
        raise UserError(
            f"checkpoint {path} was trained with other settings, and going on would give other weights: {listed}. "
            f"Use `config` {path / CONFIG}, or give the same arguments again, or add `resume_anyway`"
        )


def check_outputs(model: nn.Layer, losses: dict) -> None:
    """Compare the number of losses with the outputs that the model names.

    A stock model names none, and is checked when it gives the first outputs.

    Raises:
        UserError: There are more or fewer losses than outputs.
    """
    if hasattr(model, "output_names"):
        check_count(model.output_names, losses)


@contextmanager
def watch_batch_norm(model: nn.Layer) -> Iterator[None]:
    """Warn about BatchNorm layers that saw one value per channel in the block's forward passes.

    That happens to a batch of 1 behind a global pooling. The variance of one value is 0: Paddle silently skips the
    normalization then, while evaluation, which uses running statistics, does not.
    """
    found: dict[str, None] = {}

    def look(name: str):
        def hook(layer: nn.Layer, inputs: tuple) -> None:
            x = inputs[0]
            if layer.training and x.size == x.shape[1]:
                found[name] = None

        return hook

    layers = [(name, layer) for name, layer in model.named_sublayers() if isinstance(layer, BATCH_NORMS)]
    hooks = [layer.register_forward_pre_hook(look(name)) for name, layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if found:
        logger.warning(
            "warning: with one image per batch, BatchNorm after global pooling sees one value per channel, so Paddle "
            f"skips it: {', '.join(found)}; use a batch_size of 2 or more, or no normalization in these branches"
        )


def _where(dataset: paddle.io.Dataset) -> str:
    root = getattr(dataset, "dataset_root", None)
    return f" in {root}" if root else ""
