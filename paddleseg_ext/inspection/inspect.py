"""An inspection from beginning to end."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import paddle
from paddleseg.cvlibs import Config

from paddleseg_ext.builder import Builder
from paddleseg_ext.data.checks import check_class_weights
from paddleseg_ext.data.classes import class_names, palette
from paddleseg_ext.data.dataloader import collate
from paddleseg_ext.data.sampler import COUNTS, SampleStream
from paddleseg_ext.data.scan import Progress
from paddleseg_ext.errors import UserError
from paddleseg_ext.inspection.data import augmented_samples, inspect_data
from paddleseg_ext.inspection.environment import inspect_environment
from paddleseg_ext.inspection.findings import ERROR, OK, WARNING, Finding, Inspection
from paddleseg_ext.runtime.device import peak_memory
from paddleseg_ext.training.build import build_trainer, run_config
from paddleseg_ext.training.checks import check_cityscapes, check_outputs, check_size
from paddleseg_ext.training.param_groups import train_mode
from paddleseg_ext.training.step import Step

USUAL_RATE = 0.01 / 8  # of SGD per image of a step, in the published recipes; twice and half of it are common
FAR = 8  # times as large is told


def inspect(
    config: Config, cache: Path | None = None, num_workers: int = 4, with_step: bool = True, progress: Progress = iter
) -> Inspection:
    """Inspect what a training with a configuration will meet.

    Args:
        config: Of `load_config`.
        cache: A JSON file that keeps what is known of the pairs.
        num_workers: Threads that read data.
        with_step: Take one training step, for its time and memory.
        progress: Shows a bar around an iterable of pairs.
    """
    found = Inspection()
    found.sections["environment"] = inspect_environment()
    builder = Builder(copy.deepcopy(config))
    datasets, findings = _datasets(builder, config)
    if (first := next(iter(datasets.values()), None)) is not None:
        found.names, found.palette = class_names(first), palette(first)
    found.sections["configuration"] = [*findings, *_configuration(builder, config, datasets)]
    found.sections["data"] = inspect_data(found, datasets, config.dic["model"], cache, num_workers, progress)
    if "train_dataset" in datasets and not found.count(ERROR):
        found.samples = augmented_samples(datasets["train_dataset"])
        if with_step:
            found.sections["step"] = _step(found, config)
    return found


def _datasets(builder: Builder, config: Config) -> tuple[dict[str, Any], list[Finding]]:
    datasets: dict[str, Any] = {}
    findings = []
    for key in ("train_dataset", "val_dataset"):
        section = config.dic.get(key)
        if not section:
            findings.append(Finding(ERROR if key == "train_dataset" else WARNING, f"there is no {key}"))
            continue
        try:
            check_cityscapes(section, key)
            datasets[key] = getattr(builder, key)
            check_size(datasets[key], config.batch_size if key == "train_dataset" else 1, key=key)
        except UserError as error:
            findings.append(Finding(ERROR, str(error)))
    return datasets, findings


def _configuration(builder: Builder, config: Config, datasets: dict[str, Any]) -> Iterable[Finding]:
    try:
        model, losses = builder.model, builder.loss
        check_outputs(model, losses)
        if "train_dataset" in datasets:
            check_class_weights(losses, datasets["train_dataset"].num_classes)
    except UserError as error:
        return [Finding(ERROR, str(error))]
    outputs = ", ".join(getattr(model, "output_names", [])) or "of its own"
    parameters = sum(int(p.size) for p in model.parameters() if not p.stop_gradient) / 1e6
    findings = [Finding(OK, f"{type(model).__name__}: {parameters:.1f} million parameters, outputs {outputs}")]
    return [*findings, *_rate(config), *_crop(config)]


def _rate(config: Config) -> Iterable[Finding]:
    """The learning rate beside the effective batch, for the optimizers that it is known for."""
    rate = (config.dic.get("lr_scheduler") or {}).get("learning_rate")
    kind = str((config.dic.get("optimizer") or {}).get("type"))
    batch = config.batch_size * config.dic["train"]["accumulate"]
    if kind.lower() not in ("sgd", "momentum") or not isinstance(rate, (int, float)):
        return
    text = f"learning rate {rate:g} for {batch} images per step and process"
    ratio = rate / batch / USUAL_RATE
    if not 1 / FAR <= ratio <= FAR:
        yield Finding(
            WARNING,
            f"{text} is {ratio:.2g} times the usual (0.01 for 8); set lr_scheduler.learning_rate, or train with "
            "--auto_scale_lr 8",
        )
    else:
        yield Finding(OK, text)


def _crop(config: Config) -> Iterable[Finding]:
    """The crop beside the backbone's output stride."""
    stride = (config.dic["model"].get("backbone") or {}).get("output_stride")
    for transform in (config.dic.get("train_dataset") or {}).get("transforms") or []:
        crop = transform.get("crop_size") if isinstance(transform, dict) else None
        if not stride or not isinstance(crop, (list, tuple)) or len(crop) != 2:
            continue
        if any(side % stride > 1 for side in crop):
            near = [max(stride, math.ceil(side / stride) * stride) for side in crop]
            yield Finding(
                WARNING,
                f"crop_size {list(crop)} is no multiple of the output stride {stride} (nor one more), so maps are "
                f"rounded up: {near} fits",
            )
        else:
            yield Finding(OK, f"crop_size {list(crop)} fits the output stride {stride}")


def _step(found: Inspection, config: Config) -> list[Finding]:
    try:
        trainer = build_trainer(copy.deepcopy(config), run_config(config, "unused"))
        train = config.dic["train"]
        stream = SampleStream(trainer.train_dataset, 0)
        batch = collate([stream[position] for position in range(config.batch_size)])
        batch.pop(COUNTS)
        tensors = {key: _tensor(value) for key, value in batch.items()}
        step = Step(trainer.model, trainer.losses, trainer.optimizer, train["accumulate"], trainer.precision)
        train_mode(trainer.model)
        started = time.perf_counter()
        losses = step([tensors] * train["accumulate"])
        found.step = {"seconds": time.perf_counter() - started, "memory_bytes": float(peak_memory())}
    except (UserError, ArithmeticError) as error:
        return [Finding(ERROR, str(error))]
    told = ", ".join(f"{name} {value:.3g}" for name, value in losses.items())
    memory = found.step["memory_bytes"] / 2**30
    return [Finding(OK, f"one step: {found.step['seconds']:.1f} s, {memory:.1f} GiB at most; {told}")]


def _tensor(value: Any) -> Any:
    return paddle.to_tensor(value) if hasattr(value, "dtype") else value
