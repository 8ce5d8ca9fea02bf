"""Conversion of a checkpoint of another project to the weights of a network of this package."""

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
from paddleseg_ext.importers.fit import MMSEG, PADDLESEG, Weights, check_names_and_shapes, fit

SOURCES = {"mmseg": (mmseg, MMSEG), "paddleseg": (paddleseg, PADDLESEG)}


@dataclass
class ImportedWeights:
    """Result of an import.

    Attributes:
        weights: Arrays by name, complete for the model.
        left_out: Names in the file that the model does not use.
        meta: ``classes``, ``palette`` and ``iteration``, as far as the file has them.
    """

    weights: Weights
    left_out: list[str]
    meta: dict[str, Any]


def import_checkpoint(source: str, path: str | Path, model: nn.Layer) -> ImportedWeights:
    """Convert a checkpoint of another project for a network of this package; the model is not changed.

    Args:
        source: ``mmseg`` or ``paddleseg``.
        path: The checkpoint.
        model: An `EncoderDecoder` in the variant of the source.

    Raises:
        UserError: the file cannot be read, or holds another network than the model.
    """
    importer, layout = SOURCES[source]
    checkpoint = read_weight_file(path)
    _check_align_corners(checkpoint.meta, model)
    weights = fit(importer.convert(checkpoint.weights), model, layout)
    names = importer.names(checkpoint.weights)
    used = {name for name, target in names.items() if target in weights} | importer.folded_names(checkpoint.weights)
    left_out = [name for name in checkpoint.weights if name not in used]
    return ImportedWeights(_float32(weights), left_out, _read_meta(checkpoint.meta))


def import_backbone(path: str | Path, backbone: nn.Layer) -> ImportedWeights:
    """Convert mmsegmentation's pretrained weights of a backbone.

    Raises:
        UserError: the file cannot be read, or holds another backbone.
    """
    checkpoint = read_weight_file(path)
    own = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    fitted = check_names_and_shapes(mmseg.convert_backbone(checkpoint.weights), own)
    weights = {name[len("backbone.") :]: value for name, value in fitted.items()}
    left_out = [name for name in checkpoint.weights if name.startswith("fc.") or name.endswith(mmseg.COUNTER)]
    return ImportedWeights(_float32(weights), left_out, {})


def _float32(weights: Weights) -> Weights:
    return {name: np.ascontiguousarray(value, "float32") for name, value in weights.items()}


def _check_align_corners(meta: dict[str, Any], model: nn.Layer) -> None:
    """Compare ``align_corners``, which no weight shows, with the configuration in mmsegmentation's checkpoint."""
    text = meta.get("cfg", meta.get("config"))
    found = set(re.findall(r"\balign_corners\s*=\s*(True|False)", text)) if isinstance(text, str) else set()
    if len(found) == 1 and found != {str(model.align_corners)}:
        value = found.pop().lower()
        raise UserError(
            f"The file was trained with align_corners: {value}, which the configuration lacks: "
            f"set model.align_corners: {value} there, or --opts model.align_corners={value.capitalize()}."
        )


def _read_meta(meta: dict[str, Any]) -> dict[str, Any]:
    """Classes, palette and iteration under the keys of mmsegmentation 1.x or 0.x, where they are valid."""
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
        pass  # no valid palette
    if isinstance(iteration, int):
        found["iteration"] = iteration
    return found
