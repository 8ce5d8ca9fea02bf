"""From a published file to the weights of one of our networks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from paddleseg_ext.checkpoint.reader import read_weight_file
from paddleseg_ext.errors import UserError
from paddleseg_ext.importers import mmseg, paddleseg
from paddleseg_ext.importers.fit import MMSEG, PADDLESEG, Weights, fit, same_names_and_shapes

SOURCES = {"mmseg": (mmseg, MMSEG), "paddleseg": (paddleseg, PADDLESEG)}


@dataclass
class Imported:
    """What came out of a file.

    Attributes:
        weights: Arrays by the model's names, all of them.
        left_out: Names in the file that the model has no use for.
        meta: What the file says of itself, as far as it says it: ``classes``, ``palette``, ``iteration``.
    """

    weights: Weights
    left_out: list[str]
    meta: dict[str, Any]


def import_checkpoint(source: str, path: str | Path, model: nn.Layer) -> Imported:
    """Read a checkpoint of another project for one of our networks; the model is not changed.

    Args:
        source: ``mmseg`` or ``paddleseg``.
        path: The checkpoint.
        model: An `EncoderDecoder` in the variant that the source has.

    Raises:
        UserError: the file cannot be read, or is of another network than the model.
    """
    importer, layout = SOURCES[source]
    checkpoint = read_weight_file(path)
    _same_align_corners(checkpoint.meta, model)
    weights = fit(importer.convert(checkpoint.weights), model, layout)
    names = importer.names(checkpoint.weights)
    used = {name for name, ours in names.items() if ours in weights} | importer.absorbed(checkpoint.weights)
    left_out = [name for name in checkpoint.weights if name not in used]
    return Imported(_float32(weights), left_out, _described(checkpoint.meta))


def import_backbone(path: str | Path, backbone: nn.Layer) -> Imported:
    """Read mmsegmentation's weights of a backbone alone, for the start of a training.

    Raises:
        UserError: the file cannot be read, or is of another backbone.
    """
    checkpoint = read_weight_file(path)
    own = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    fitted = same_names_and_shapes(mmseg.convert_backbone(checkpoint.weights), own)
    weights = {name[len("backbone.") :]: value for name, value in fitted.items()}
    left_out = [name for name in checkpoint.weights if name.startswith("fc.") or name.endswith(mmseg.COUNTER)]
    return Imported(_float32(weights), left_out, {})


def _float32(weights: Weights) -> Weights:
    return {name: np.ascontiguousarray(value, "float32") for name, value in weights.items()}


def _same_align_corners(meta: dict[str, Any], model: nn.Layer) -> None:
    """mmsegmentation keeps the configuration's text, whose ``align_corners`` no weight tells."""
    text = meta.get("cfg", meta.get("config"))
    found = set(re.findall(r"\balign_corners\s*=\s*(True|False)", text)) if isinstance(text, str) else set()
    if len(found) == 1 and found != {str(model.align_corners)}:
        value = found.pop().lower()
        raise UserError(
            f"The file was trained with align_corners: {value}, which the configuration lacks: "
            f"set model.align_corners: {value} there, or --opts model.align_corners={value.capitalize()}."
        )


def _described(meta: dict[str, Any]) -> dict[str, Any]:
    """Classes, palette and iteration as mmsegmentation 1.x and 0.x name them, where they are what they should be."""
    new = meta.get("dataset_meta")
    new = new if isinstance(new, dict) else {}
    classes, palette, iteration = (
        new.get("classes", meta.get("CLASSES")),
        new.get("palette", meta.get("PALETTE")),
        meta.get("iter"),
    )
    found: dict[str, Any] = {}
    if isinstance(classes, (list, tuple)) and all(isinstance(name, str) for name in classes):
        found["classes"] = list(classes)
    try:
        found["palette"] = np.asarray(palette, "uint8").reshape(-1, 3).tolist()
    except (TypeError, ValueError, OverflowError):
        pass  # there is none
    if isinstance(iteration, int):
        found["iteration"] = iteration
    return found
