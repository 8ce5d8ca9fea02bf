"""Loading of weight files into models, with a report of matching and missing weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.checkpoint.finite import not_finite
from paddleseg_ext.checkpoint.positions import fit_positions
from paddleseg_ext.checkpoint.reader import read_weight_file
from paddleseg_ext.errors import UserError


@dataclass
class WeightMatch:
    """Result of matching the weights of a file with those of a model.

    Attributes:
        matching: Names in both, of the same shape; in the model's order, as the next two.
        missing: Names only in the model.
        mismatched: Names in both, of different shapes: name, shape in the file, shape in the model.
        unexpected: Names only in the file.
    """

    matching: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: list[tuple[str, list[int], list[int]]] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line of counts, with the first names that do not match."""
        text = f"{len(self.matching)} tensors loaded"
        names = {
            "missing": self.missing,
            "mismatched": [f"{name}: file {found}, model {own}" for name, found, own in self.mismatched],
            "unexpected": self.unexpected,
        }
        return text + "".join(f", {len(some)} {title} ({first(some)})" for title, some in names.items() if some)


def compare(weights: Mapping[str, Any], own: Mapping[str, Any]) -> WeightMatch:
    """Compare names and shapes of two state dicts.

    Args:
        weights: State dict of a file; values need only a shape.
        own: State dict of a model.
    """
    found = WeightMatch(unexpected=[name for name in weights if name not in own])
    for name, target in own.items():
        if name not in weights:
            found.missing.append(name)
        elif list(weights[name].shape) != list(target.shape):
            found.mismatched.append((name, list(weights[name].shape), list(target.shape)))
        else:
            found.matching.append(name)
    return found


def first(names: Sequence[str], count: int = 3) -> str:
    """The first names, for a message: ``a, b, c, …``."""
    return f"{', '.join(names[:count])}{', …' if len(names) > count else ''}"


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a ``.pdparams``, ``.safetensors`` or ``.pth`` file by name, or of a folder with one.

    No code in the file is executed.

    Raises:
        UserError: the file is missing, damaged, of another format, or refers to anything but arrays.
    """
    return read_weight_file(path).weights


def load_weights(model: nn.Layer, path: str | Path, *, complete: bool = True) -> WeightMatch:
    """Load a weight file into a model.

    Args:
        model: The model, which is changed. One with a method ``own_names(weights)`` turns the names in the file into
            its own.
        path: ``.pdparams``, ``.safetensors`` or, with names that the model knows, ``.pth``; or a folder with one.
        complete: Every weight of the model must be in the file, as for evaluation. Otherwise weights that are
            missing or have another shape keep their values and are listed in the result, as for fine-tuning; a vision
            transformer's positions are resized to its pictures.

    Returns:
        Which weights were loaded, missing, mismatched and unexpected.

    Raises:
        UserError: as `read_weights`; no name in the file is one of the model's; or, with ``complete``, some
            weight is missing or has another shape; or holds other numbers than the model's, or what is not finite. The
            model is unchanged then.
    """
    weights, own = read_weights(path), model.state_dict()
    if hasattr(model, "own_names"):
        weights = model.own_names(weights)
    if not complete:
        weights = fit_positions(weights, model)
    found = compare(weights, own)
    if not found.matching:
        raise UserError(
            f"{path} has nothing for {type(model).__name__}: none of its {len(weights)} names "
            f"({first(list(weights), 2) or 'it is empty'}) is one of the model's ({first(list(own), 2)}) in the same "
            "shape."
        )
    if complete and (found.missing or found.mismatched):
        raise UserError(
            f"These weights are not those of this model: {path}: {found.summary()}. Is it the right `config`?"
        )
    check_numbers({name: weights[name] for name in found.matching if "float" in str(own[name].dtype)}, path)
    set_weights(model, {name: weights[name] for name in found.matching})
    return found


def check_numbers(weights: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Check that weights are finite floating-point numbers.

    Raises:
        UserError: one holds complex numbers, integers, truth values or what is not finite.
    """
    kinds = {"c": "complex numbers", "b": "truth values"}
    for name, value in weights.items():
        if value.dtype.kind != "f":
            raise UserError(
                f"{path}: the weight {name} holds {kinds.get(value.dtype.kind, 'integers')} ({value.dtype}), but "
                "floating-point numbers are needed; save the network before it is quantized or otherwise transformed."
            )
    if broken := not_finite(weights):
        count = int((~np.isfinite(weights[broken[0]])).sum())
        raise UserError(
            f"{path}: the weight {broken[0]} has {count} numbers that are not finite (NaN or infinite)"
            f"{f', and so have {len(broken) - 1} others' if len(broken) > 1 else ''}; the training that wrote them had "
            "diverged, so take an earlier checkpoint."
        )


def set_weights(model: nn.Layer, weights: Mapping[str, np.ndarray]) -> None:
    """Set parameters and buffers, cast to their data types.

    Args:
        model: The model, which is changed.
        weights: Arrays by name, in the model's shapes; other parameters and buffers keep their values.
    """
    own = model.state_dict()
    for name, value in weights.items():
        own[name].set_value(paddle.to_tensor(value).astype(own[name].dtype))
