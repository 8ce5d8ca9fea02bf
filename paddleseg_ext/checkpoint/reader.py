"""Reader of weight files of Paddle and PyTorch; no code in the file is executed, and none of it is unpickled here."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from paddleseg_ext.checkpoint.contents import describe
from paddleseg_ext.checkpoint.isolated.main import MAX_SHARED
from paddleseg_ext.checkpoint.isolation import isolated
from paddleseg_ext.checkpoint.tensors import MAX_HEADER, parse, read_file
from paddleseg_ext.errors import UserError, reason

IN_FOLDERS = ("model.safetensors", "model.pdparams")
"""Weights in a folder, in the order of choice."""


@dataclass
class WeightFile:
    """Content of a weight file.

    Attributes:
        weights: Arrays by name, read-only. Numbers of bfloat16, which NumPy lacks, are float32.
        meta: Plain values of some names under ``meta`` in a PyTorch checkpoint, of any type but few.
        key: The entry that the weights are from; None where they are at the top.
        others: Further entries with weights.
        top: What is at the top of the file, for messages.
    """

    weights: dict[str, np.ndarray]
    meta: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    others: list[str] = field(default_factory=list)
    top: str = ""


def read_weight_file(path: str | Path, key: str | None = None) -> WeightFile:
    """Read a ``.pdparams``, ``.safetensors`` or ``.pth`` file, or the weights in a folder.

    Files without the suffix ``.safetensors`` are recognized by their content, in a process of their own. Memory is
    proportional to the file's size.

    Args:
        path: The file, or a folder with one of `IN_FOLDERS`.
        key: The entry of a checkpoint to read the weights from; by default the first of `contents.KEYS` that has some.

    Raises:
        UserError: the file is missing, damaged, of another format, refers to anything but arrays, or has no such entry.
    """
    path = weight_path(path)
    try:
        size = path.stat().st_size
        if path.suffix != ".safetensors":
            most = MAX_SHARED * size + 2**20
            weights, about = isolated("weights", path, lambda stream: _receive(stream, most), key=key)
            return WeightFile({name: weights[name] for name in about.pop("names")}, **about)
        if key is not None:
            raise UserError(f"{path}: --key {key} chooses an entry of a .pth file, but safetensors have weights only.")
        with open(path, "rb") as file:
            weights = read_file(file, size)
    except UserError:
        raise
    except (OSError, ValueError, MemoryError) as error:
        kind = "safetensors" if path.suffix == ".safetensors" else "weights"
        raise UserError(f"{path} cannot be read as {kind}: {reason(error)}.") from error
    return WeightFile(weights, top=describe(weights))


def _receive(stream: IO[bytes], most: int) -> dict[str, np.ndarray]:
    """Tensors that another process writes, after their size in bytes."""
    size = int.from_bytes(stream.read(8), "little")
    if size > most + MAX_HEADER:
        raise ValueError(f"its tensors need {size} bytes, which its size does not explain")
    return parse(stream.read(size))


def weight_path(path: str | Path) -> Path:
    """The file of weights that a path names: itself, or the first of `IN_FOLDERS` in it.

    Raises:
        UserError: It is no file and no such folder.
    """
    path = Path(path)
    try:
        if path.is_dir():
            found = next((path / name for name in IN_FOLDERS if (path / name).is_file()), None)
            if found is None:
                raise UserError(f"Weights not found: the folder {path} has no {' and no '.join(IN_FOLDERS)}.")
            return found
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise UserError(f"Weights not found: {path} is not a file.")
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"Weights not found: {path} is not a file ({reason(error)}).") from error
    return path
