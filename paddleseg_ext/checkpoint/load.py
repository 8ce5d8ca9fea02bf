"""Reading weight files without running code, and loading them with an account of what fitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.checkpoint.reader import read_checkpoint
from paddleseg_ext.errors import UserError


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


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a ``.pdparams``, ``.safetensors`` or ``.pth`` file by name; no code in the file is run.

    Raises:
        UserError: the file is missing, damaged, of another kind, or refers to anything but arrays.
    """
    return read_checkpoint(path).weights


def load_weights(model: nn.Layer, path: str | Path, *, complete: bool = True) -> LoadReport:
    """Load a file into a model.

    Args:
        model: Where the weights go.
        path: ``.pdparams``, ``.safetensors`` or, with names that are ours already, ``.pth``.
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
            f"({', '.join(list(weights)[:2]) or 'it is empty'}, …) is one of the model's "
            f"({', '.join(list(own)[:2])}, …) in the same shape."
        )
    if complete and (report.missing or report.mismatched):
        raise UserError(f"These weights are not those of this model: {report.summary()}. Is it the right --config?")
    for name in report.loaded:
        own[name].set_value(paddle.to_tensor(weights[name]).astype(own[name].dtype))
    return report
