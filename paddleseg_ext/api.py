"""A trained network in three lines of Python: ``load(…)``, ``predict(…)``, and the picture of the result.

model = paddleseg_ext.load("output/best_model")
label_map = model.predict("street.jpg")  # (H, W) class ids; a notebook shows them in colors
model.overlay("street.jpg")
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from paddleseg_ext.builder import Builder
from paddleseg_ext.checkpoint.reader import IN_FOLDERS
from paddleseg_ext.checkpoint.save import CONFIG, latest_checkpoint, read_classes
from paddleseg_ext.config.load import load_config
from paddleseg_ext.config.shipped import ENDINGS, config_path
from paddleseg_ext.data.classes import read_class_entries
from paddleseg_ext.errors import UserError
from paddleseg_ext.evaluation.task import Task
from paddleseg_ext.export.exported_model import ExportedModel, exported_task
from paddleseg_ext.export.exporter import REPORT
from paddleseg_ext.inference import Segmentor
from paddleseg_ext.runtime.device import computing_on


def load(
    source: str | Path,
    config: str | Path | None = None,
    *,
    device: str = "auto",
    backend: str | None = None,
    pretrained: bool = True,
    **settings: Any,
) -> Segmentor:
    """A trained network from a folder or a file, ready for images.

    Args:
        source: A folder: ``best_model``, a checkpoint ``iter_N``, what `export` or `Segmentor.save` wrote, or a run's
            ``save_dir``, of which the best or else the newest model is taken. Or a file of weights. Or a configuration,
            a file or the name of one that comes with the package, whose network is then untrained, with a warning.
        config: The configuration of a file of weights that has no ``config.yml`` beside it; or another one than the
            folder's. A path, or the name of one that comes with the package.
        device: auto, cpu, gpu, gpu:N, xpu, npu or mlu; auto picks a GPU when there is one.
        backend: What runs an exported folder: ``paddle`` or ``onnx``; by default paddle where it is there.
        pretrained: Whether a configuration alone fetches the weights that it names for the start of a training.
        **settings: Arguments of `paddleseg_ext.evaluation.predictor.Predictor` that replace the configuration's
            ``test_config``: ``is_slide``, ``crop_size`` and ``stride`` (width and height in pixels), ``window_batch``,
            ``aug_eval``, ``scales``, ``precision`` and others.

    Returns:
        A `Segmentor`, which has `predict`, `logits`, `overlay`, `explain` and `save`.

    Raises:
        UserError: Nothing is there, files do not fit or are damaged, or an argument is not allowed.
    """
    place = _place(source)
    with computing_on(device) as device:
        if (place / REPORT).is_file():
            builder = None if config is None else Builder(load_config(config))
            task = exported_task(place) if builder is None else builder.task
            return Segmentor(ExportedModel(place, backend, task.transforms), task, None, device, str(source), settings)
        if backend is not None:
            raise UserError("`backend`: only an exported folder has a choice of them; leave it out")
        if place.suffix.lower() in ENDINGS:
            if config is not None:
                raise UserError(f"`config`: {source} is a configuration itself; give the weights, or leave it out")
            return _untrained(place, device, settings, pretrained)
        found = load_config(_config_of(place, config))
        builder = Builder(found, pretrained=False)
        task = with_classes_of(place, builder.task)
        return Segmentor(builder.model_with(place), task, found, device, str(source), settings)


def _place(source: str | Path) -> Path:
    """The folder or file that is meant.

    Raises:
        UserError: There is none.
    """
    if not isinstance(source, (str, os.PathLike)) or not str(source).strip():
        raise UserError(f"`source`: {source!r} is not allowed; it is a path, or the name of a configuration")
    path = Path(source)
    if not path.is_dir():
        return path if path.is_file() else config_path(path)
    newest = latest_checkpoint(path)
    for folder in (path, path / "best_model", *([newest] if newest else [])):
        if any((folder / name).is_file() for name in (REPORT, *IN_FOLDERS)):
            return folder
    raise UserError(
        f"{path}: there is no network in this folder; it holds {' or '.join(IN_FOLDERS)} with {CONFIG}, or {REPORT} of "
        "an export, or a folder best_model or iter_N"
    )


def _config_of(place: Path, config: str | Path | None) -> str | Path:
    """The configuration of weights: the one given, or the one beside them."""
    if config is not None:
        return config
    beside = (place if place.is_dir() else place.parent) / CONFIG
    if not beside.is_file():
        raise UserError(f"`config`: give the configuration of {place}, beside which there is no {CONFIG}")
    return beside


def with_classes_of(weights: str | Path | None, task: Task) -> Task:
    """A task with the classes that stand beside the weights, which were trained on them, if there are as many.

    Raises:
        UserError: What stands there is damaged.
    """
    found = read_class_entries(read_classes(Path(weights))) if weights is not None else None
    return replace(task, classes=found[0], palette=found[1]) if found and len(found[0]) == len(task.classes) else task


def _untrained(path: Path, device: str, settings: Mapping[str, Any], pretrained: bool) -> Segmentor:
    """The network of a configuration alone."""
    config = load_config(path)
    builder = Builder(config, pretrained)
    segmentor = Segmentor(builder.model, builder.task, config, device, path.stem, settings)
    section = config.dic["model"]
    whole, part = section.get("pretrained"), (section.get("backbone") or {}).get("pretrained")
    known = f"model.pretrained, {whole}" if whole else f"model.backbone.pretrained, {part}, and random ones in the head"
    has = f"those of {known}" if pretrained and (whole or part) else "random ones"
    text = f"{path.stem} is a configuration without trained weights, so the network has {has}"
    warnings.warn(
        f"{text}; load a checkpoint, or weights with config={path.stem!r}, for sensible results", stacklevel=3
    )
    return segmentor
