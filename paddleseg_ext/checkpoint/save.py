"""Training checkpoints, written atomically: a kill at any time leaves a complete one.

A checkpoint is a folder ``iter_N``. It is written under a temporary name, fsynced and renamed, so that a folder of that
name is always complete; older checkpoints are removed only afterwards. Reading one executes no code: weights are read
by `paddleseg_ext.checkpoint.load`, the rest as safetensors and JSON.

    iter_N/model.pdparams         weights, as `paddle.save` writes them
    iter_N/model.safetensors      the same, which is what is read
    iter_N/training.safetensors   optimizer state and other arrays of the training state, by name
    iter_N/training.json          iteration, position in the data, best evaluation, schedule
    iter_N/config.yml             the complete configuration
    iter_N/classes.json           names and colors of the classes
    last                          link to the newest checkpoint
    best_model/                   weights of the best evaluation, also as safetensors, with configuration and classes
    best_model/best.json          which evaluation: metric, score, iteration
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from safetensors.numpy import save_file

from paddleseg_ext.checkpoint.atomic import sync, temporary, write_file, write_json
from paddleseg_ext.checkpoint.folders import NUMBER, remove, replace, set_aside, sweep
from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.errors import UserError, reason

WEIGHTS, TENSORS = "model.pdparams", "model.safetensors"
ARRAYS, RECORD, CONFIG = "training.safetensors", "training.json", "config.yml"
BEST, BEST_RECORD = "best_model", "best.json"
CLASSES = "classes.json"


@dataclass
class Checkpoint:
    """State of a training run for resuming, without Paddle's objects.

    Attributes:
        weights: Parameters and buffers of the model, by name.
        arrays: Optimizer state and other arrays, by name.
        record: Values for JSON; ``record["iteration"]`` is the number of finished iterations.
        config: The configuration as YAML text.
        classes: Names and colors, see `data.classes.class_entries`; written, but not read for resuming.
    """

    weights: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    record: dict
    config: str = ""
    classes: Sequence[dict] = ()


def save_checkpoint(
    folder: str | Path,
    checkpoint: Checkpoint,
    keep: int = 0,
    start: Path | None = None,
    approve: Callable[[], object] = lambda: None,
) -> Path:
    """Write ``folder/iter_N``, point ``folder/last`` to it and remove earlier ones: all but `keep`, itself included.

    Args:
        folder: Of the run.
        checkpoint: What to write.
        keep: How many to keep; 0 keeps all.
        start: The checkpoint that the run started from, which is kept too.
        approve: Called when all is written but nothing has the checkpoint's name yet; what it raises calls it off.

    Raises:
        OSError: The system refuses; earlier checkpoints stay, and nothing half written does.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    target = folder / f"iter_{checkpoint.record['iteration']}"
    partial = temporary(target)
    try:
        partial.mkdir()
        write_file(partial / WEIGHTS, lambda path: save_weights(checkpoint.weights, path))
        write_file(partial / TENSORS, lambda path: save_file(checkpoint.weights, path))
        write_file(partial / ARRAYS, lambda path: save_file(checkpoint.arrays, path))
        write_file(partial / CONFIG, lambda path: path.write_text(checkpoint.config, encoding="utf-8"))
        _write_classes(partial, checkpoint.classes)
        write_json(partial / RECORD, checkpoint.record)
        approve()
        if os.path.lexists(target):
            set_aside(target, "replaced")
        os.rename(partial, target)
    except Exception:
        sweep(folder)  # gives the room back
        raise
    sync(folder)
    point_last_to(target)
    if keep > 0:
        earlier = [
            path for path in list_checkpoints(folder) if iteration_of(path) < iteration_of(target) and path != start
        ]
        for path in earlier[: max(0, len(earlier) - keep + 1)]:
            remove(path)
    return target


def save_weights(weights: dict[str, np.ndarray], path: Path) -> None:
    """Write arrays by name as ``.pdparams``."""
    paddle.save(weights, str(path))  # type: ignore[arg-type]  # it accepts arrays, too


def save_best(
    folder: str | Path,
    weights: dict[str, np.ndarray],
    config: str,
    best: Mapping[str, object] | None = None,
    classes: Sequence[dict] = (),
) -> None:
    """Write the best model to ``folder/best_model``, which is replaced as a whole.

    Args:
        folder: Of the run.
        weights: Arrays by name.
        config: The configuration as YAML text.
        best: ``metric``, ``score`` and ``iteration`` of the evaluation.
        classes: As in `Checkpoint`.

    Raises:
        OSError: The system refuses; the folder is as before.
    """
    target = Path(folder) / BEST
    sweep(target.parent)
    partial = temporary(target)
    try:
        partial.mkdir()
        save_model(partial, weights, config, classes)
        write_json(partial / BEST_RECORD, dict(best or {}))
        replace(partial, target)
    except BaseException:  # a signal, too
        sweep(target.parent)
        raise


def save_model(folder: Path, weights: dict[str, np.ndarray], config: str, classes: Sequence[dict] = ()) -> None:
    """Write a model into a folder, each file atomically.

    Args:
        folder: A folder that is there.
        weights: Arrays by name.
        config: The configuration as YAML text.
        classes: As in `Checkpoint`.
    """
    write_file(folder / CONFIG, lambda path: path.write_text(config, encoding="utf-8"))
    _write_classes(folder, classes)
    write_file(folder / WEIGHTS, lambda path: save_weights(weights, path))
    write_file(folder / TENSORS, lambda path: save_file(weights, path))


def read_classes(place: Path) -> Any:
    """What stands beside weights about their classes, in the form of `Checkpoint.classes`, unchecked; or None.

    Args:
        place: A folder, whose ``classes.json`` is meant; or a file, for which it may also be in the record that
            `convert` wrote: ``NAME.json`` with ``classes`` and ``palette``.

    Raises:
        UserError: The file is damaged.
    """
    folder = place if place.is_dir() else place.parent
    if place.is_file() and place.with_suffix(".json").is_file():
        record = _read_json(place.with_suffix(".json"))
        names, colors = (record.get(key) if isinstance(record, dict) else None for key in ("classes", "palette"))
        if isinstance(names, list) and isinstance(colors, list):
            return [{"name": name, "color": color} for name, color in zip(names, colors)]
    return _read_json(folder / CLASSES) if (folder / CLASSES).is_file() else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error


def _write_classes(folder: Path, classes: Sequence[dict]) -> None:
    if classes:
        text = json.dumps(list(classes), indent=1, ensure_ascii=False)
        write_file(folder / CLASSES, lambda path: path.write_text(text, encoding="utf-8"))


def update_record(checkpoint: Path, record: dict) -> None:
    """Replace the record of a checkpoint on disk."""
    write_json(checkpoint / RECORD, record)


def load_checkpoint(path: str | Path, arrays_needed: bool = True) -> Checkpoint:
    """Read a checkpoint folder; without `arrays_needed` one that lacks optimizer state and the like is read as well.

    Raises:
        UserError: It is not a folder, or lacks a file, or a file is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"checkpoint {path}: there is no such folder; give one named iter_N, or auto for the newest")
    for name in (WEIGHTS, ARRAYS, RECORD):
        if name == ARRAYS and not arrays_needed:
            continue
        if not (path / name).is_file() and not (name == WEIGHTS and (path / TENSORS).is_file()):
            raise UserError(
                f"checkpoint {path}: it has no {name}, so training cannot go on from it; "
                "to start anew from its weights set model.pretrained instead"
            )
    record = read_record(path)
    try:
        config = (path / CONFIG).read_text(encoding="utf-8") if (path / CONFIG).is_file() else ""
    except (OSError, ValueError) as error:
        raise UserError(f"checkpoint {path}: {CONFIG} cannot be read: {reason(error)}") from error
    arrays = read_weights(path / ARRAYS) if (path / ARRAYS).exists() else {}
    return Checkpoint(read_weights(path), arrays, record, config)


def read_record(path: str | Path) -> dict:
    """The record of a checkpoint folder, without its weights.

    Raises:
        UserError: It is missing or damaged.
    """
    try:
        record = json.loads((Path(path) / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"checkpoint {path}: {RECORD} cannot be read: {reason(error)}") from error
    if not isinstance(record, dict):
        raise UserError(f"checkpoint {path}: {RECORD} cannot be read: it holds no dictionary")
    return record


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Complete checkpoints in a folder, oldest first."""
    found = [path for path in Path(folder).glob("iter_*") if re.fullmatch(rf"iter_{NUMBER}", path.name)]
    return sorted((path for path in found if (path / RECORD).is_file()), key=iteration_of)


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint with the most iterations, or None."""
    return next(reversed(list_checkpoints(folder)), None)


def point_last_to(target: Path) -> None:
    """Make the link ``last`` beside a checkpoint lead to it, or a copy of it where links are not supported."""
    link = target.with_name("last")
    partial = temporary(link)
    if link.is_dir() and not link.is_symlink():
        remove(link)
    try:
        os.symlink(target.name, partial, target_is_directory=True)
    except (OSError, NotImplementedError):
        partial.mkdir()
        for file in target.iterdir():
            if file.is_file():
                shutil.copyfile(file, partial / file.name)
    os.replace(partial, link)
    sync(link.parent)


def iteration_of(path: Path) -> int:
    """The iteration in a checkpoint's name."""
    return int(path.name[len("iter_") :])
