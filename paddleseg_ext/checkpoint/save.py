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
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from safetensors.numpy import save_file

from paddleseg_ext.checkpoint.atomic import TEMPORARY, sync, write_file, write_json
from paddleseg_ext.checkpoint.load import read_weights
from paddleseg_ext.errors import UserError, reason

WEIGHTS, TENSORS = "model.pdparams", "model.safetensors"
ARRAYS, RECORD, CONFIG = "training.safetensors", "training.json", "config.yml"
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


def save_checkpoint(folder: str | Path, checkpoint: Checkpoint, keep: int = 0) -> Path:
    """Write ``folder/iter_N``, point ``folder/last`` to it and remove all but the newest `keep` (0: keep all)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    target = folder / f"iter_{checkpoint.record['iteration']}"
    partial = folder / (target.name + TEMPORARY)
    partial.mkdir()
    write_file(partial / WEIGHTS, lambda path: save_weights(checkpoint.weights, path))
    write_file(partial / TENSORS, lambda path: save_file(checkpoint.weights, path))
    write_file(partial / ARRAYS, lambda path: save_file(checkpoint.arrays, path))
    write_file(partial / CONFIG, lambda path: path.write_text(checkpoint.config, encoding="utf-8"))
    _write_classes(partial, checkpoint.classes)
    write_json(partial / RECORD, checkpoint.record)
    if target.exists():  # the run was resumed from an earlier checkpoint, so this one exists already
        _remove(target)
    os.rename(partial, target)
    sync(folder)
    _update_link(folder / "last", target)
    if keep > 0:
        for old in list_checkpoints(folder)[:-keep]:
            _remove(old)
    return target


def save_weights(weights: dict[str, np.ndarray], path: Path) -> None:
    """Write arrays by name as ``.pdparams``."""
    paddle.save(weights, str(path))  # type: ignore[arg-type]  # it accepts arrays, too


def save_best(folder: str | Path, weights: dict[str, np.ndarray], config: str, classes: Sequence[dict] = ()) -> None:
    """Write weights, configuration and classes to ``folder/best_model``."""
    best = Path(folder) / "best_model"
    best.mkdir(exist_ok=True)
    _remove_leftovers(best)
    save_model(best, weights, config, classes)


def save_model(folder: Path, weights: dict[str, np.ndarray], config: str, classes: Sequence[dict] = ()) -> None:
    """Write weights, configuration and classes (see `Checkpoint`) into a folder, each file atomically."""
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


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        UserError: It is not a folder, or lacks a file, or a file is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"checkpoint {path}: there is no such folder; give one named iter_N, or auto for the newest")
    for name in (WEIGHTS, ARRAYS, RECORD):
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
    return Checkpoint(read_weights(path), read_weights(path / ARRAYS), record, config)


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
    found = {int(match[1]): path for path in Path(folder).glob("iter_*") if (match := _match_checkpoint(path))}
    return [found[number] for number in sorted(found) if (found[number] / RECORD).is_file()]


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint with the most iterations, or None."""
    return next(reversed(list_checkpoints(folder)), None)


def _update_link(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to its sibling `target`, or a copy of it where links are not supported."""
    temporary = link.with_name(link.name + TEMPORARY)
    if link.is_dir() and not link.is_symlink():
        _remove(link)
    try:
        os.symlink(target.name, temporary, target_is_directory=True)
    except (OSError, NotImplementedError):
        temporary.mkdir()
        for file in target.iterdir():
            shutil.copyfile(file, temporary / file.name)
    os.replace(temporary, link)
    sync(link.parent)


def _remove(folder: Path) -> None:
    """Remove a checkpoint, after renaming it, so that no incomplete folder has a checkpoint's name."""
    old = folder.with_name(f"removed_{folder.name}{TEMPORARY}")
    os.rename(folder, old)
    _remove_path(old)


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(f"*{TEMPORARY}"):
        _remove_path(path)


def _remove_path(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _match_checkpoint(path: Path) -> re.Match | None:
    return re.fullmatch(r"iter_(\d+)", path.name)
