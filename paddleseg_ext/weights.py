"""Reading weight files without running code, and loading them with an account of what fitted."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn
from safetensors import SafetensorError
from safetensors.numpy import load_file

from paddleseg_ext.errors import UserError

# What a file written by paddle.save may name: arrays, their pieces and plain containers.
SAFE_GLOBALS = {
    ("collections", "OrderedDict"),
    ("builtins", "tuple"),
    ("builtins", "list"),
    ("builtins", "dict"),
    ("builtins", "set"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}
BIG_PARAMETERS = "UnpackBigParamInfor@@"  # paddle.save's note on tensors that it cut into slices


@dataclass
class LoadReport:
    """What became of each weight when a file was loaded into a model."""

    path: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line of counts, with the first names of what was left out."""
        text = f"{self.path}: {len(self.loaded)} tensors loaded"
        for title in ("missing", "mismatched", "unexpected"):
            names = getattr(self, title)
            if names:
                text += f", {len(names)} {title} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        return text


class _SafeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in SAFE_GLOBALS:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which weights have no use for")
        if module.startswith("numpy._core"):  # written under numpy 2, read under numpy 1
            module = module.replace("numpy._core", "numpy.core", 1) if np.__version__ < "2" else module
        return super().find_class(module, name)


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a ``.pdparams`` or ``.safetensors`` file by name; no code in the file is run.

    Raises:
        UserError: the file is missing, damaged, of another kind, or refers to anything but arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"Weights not found: {path} is not a file.")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if zipfile.is_zipfile(path):
            raise UserError(f"{path} is a zip archive (a PyTorch file?), not weights saved by Paddle (.pdparams).")
        with open(path, "rb") as file:
            content = _SafeUnpickler(file).load()
    except UserError:
        raise
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read as safetensors: {error}.") from error
    except Exception as error:  # a damaged pickle can fail in any way at all
        raise UserError(
            f"{path} cannot be read as weights saved by Paddle: {error or type(error).__name__}."
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of weights by name.")
    return _arrays(_join_slices(content, path))


def _join_slices(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Put together the tensors that paddle.save cut up to stay within an old pickle protocol."""
    try:
        for name, note in content.pop(BIG_PARAMETERS, {}).items():
            pieces = [content.pop(piece) for piece in note["slices"]]
            content[name] = np.concatenate(pieces).reshape(note["OriginShape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: the slices of its large tensors do not fit together ({error}).") from error
    return content


def _arrays(content: dict[str, Any]) -> dict[str, np.ndarray]:
    """Keep what is an array; older files wrap each in a pair (parameter name, array)."""
    arrays = {}
    for name, value in content.items():
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]
        if isinstance(name, str) and isinstance(value, np.ndarray) and value.dtype != object:
            arrays[name] = value
    return arrays


def load_weights(model: nn.Layer, path: str | Path, *, complete: bool = True) -> LoadReport:
    """Load a file into a model.

    Args:
        model: Where the weights go.
        path: ``.pdparams`` or ``.safetensors``.
        complete: Every weight of the model must come from the file, as for evaluation. Otherwise what is missing
            or has another shape keeps its value and is listed in the report, as for fine-tuning.

    Raises:
        UserError: as `read_weights`; no name in the file is one of the model's; or, with ``complete``, some
            weight is missing or has another shape. The model is unchanged then.
    """
    weights = read_weights(path)
    report = LoadReport(str(path))
    own = model.state_dict()
    for name, target in own.items():
        if name not in weights:
            report.missing.append(name)
        elif list(weights[name].shape) != list(target.shape):
            report.mismatched.append(f"{name}: file {list(weights[name].shape)}, model {list(target.shape)}")
        else:
            report.loaded.append(name)
    report.unexpected = [name for name in weights if name not in own]
    if not report.loaded:
        raise UserError(
            f"{path} has nothing for {type(model).__name__}: none of its {len(weights)} names "
            f"({', '.join(list(weights)[:2]) or 'it is empty'}, …) is one of the model's ({', '.join(list(own)[:2])}, …) "
            "in the same shape."
        )
    if complete and (report.missing or report.mismatched):
        raise UserError(f"These weights are not those of this model: {report.summary()}. Is it the right --config?")
    for name in report.loaded:
        own[name].set_value(paddle.to_tensor(weights[name]).astype(own[name].dtype))
    return report
