"""Conversion of a checkpoint of another project to the weights of a network of this package."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from paddle import nn

from paddleseg_ext.checkpoint.load import check_numbers
from paddleseg_ext.checkpoint.reader import WeightFile, read_weight_file
from paddleseg_ext.errors import UserError
from paddleseg_ext.importers import mmseg, paddleseg
from paddleseg_ext.importers.fit import MMSEG, PADDLESEG, PAPERS, Layout, Weights, check_names_and_shapes, fit
from paddleseg_ext.importers.originals import ORIGINALS, Original
from paddleseg_ext.importers.prefixes import plain_names
from paddleseg_ext.importers.structure import check_head, check_structure


class Importer(Protocol):
    """What the modules `mmseg` and `paddleseg` and the class `Original` have."""

    def names(self, source: Iterable[str]) -> dict[str, str]:
        """Map the source's names to those of this package."""

    def heads(self, source: Iterable[str]) -> list[str]:
        """Class of the decode head in this package, and of the inner one behind a JPU."""

    def folded_names(self, source: Iterable[str]) -> set[str]:
        """Names of weights that are folded into others."""

    def convert(self, state: Weights) -> Weights:
        """Convert weights of the source."""


SOURCES: dict[str, tuple[Any, Layout]] = {
    "mmseg": (mmseg, MMSEG),
    "paddleseg": (paddleseg, PADDLESEG),
    **{name: (original, PAPERS) for name, original in ORIGINALS.items()},
}


@dataclass
class ImportedWeights:
    """Result of an import.

    Attributes:
        weights: Arrays by name, complete for the model.
        left_out: Names in the file that the model does not use.
        meta: ``classes``, ``palette`` and ``iteration``, as far as the file has them.
        key: The entry of the file that the weights are from; None where they are at its top.
        others: Further entries with weights.
    """

    weights: Weights
    left_out: list[str]
    meta: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    others: list[str] = field(default_factory=list)


def import_checkpoint(source: str, path: str | Path, model: nn.Layer, key: str | None = None) -> ImportedWeights:
    """Convert a checkpoint of another project for a network of this package; the model is not changed.

    Args:
        source: A name in `SOURCES`.
        path: The checkpoint.
        model: An `EncoderDecoder` in the variant of the source.
        key: The entry of the checkpoint that has the weights; found by itself unless given.

    Raises:
        UserError: the file cannot be read, or holds another network than the model.
    """
    importer, layout = SOURCES[source]
    checkpoint = read_weight_file(path, key)
    in_file = plain_names(checkpoint.weights)
    names = _recognized(source, importer, in_file, checkpoint)
    _check_align_corners(checkpoint.meta, model)
    check_head(importer.heads(in_file), model.decode_head)
    if isinstance(importer, Original):
        check_structure(importer, list(in_file), model)
    folded = importer.folded_names(in_file)
    kept = {name for name, target in names.items() if target in model.state_dict()} | folded
    state = {short: checkpoint.weights[name] for short, name in in_file.items()}
    check_numbers({in_file[name]: state[name] for name in kept}, path)
    weights = fit(importer.convert(_precise(state)), model, layout)
    left_out = [name for short, name in in_file.items() if short not in kept]
    return ImportedWeights(_float32(weights), left_out, _read_meta(checkpoint.meta), checkpoint.key, checkpoint.others)


def import_backbone(path: str | Path, backbone: nn.Layer, key: str | None = None) -> ImportedWeights:
    """Convert mmsegmentation's pretrained weights of a backbone.

    Raises:
        UserError: the file cannot be read, or holds another backbone.
    """
    checkpoint = read_weight_file(path, key)
    in_file = plain_names(checkpoint.weights)
    own = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    dropped = {name for name in in_file if name.startswith("fc.") or name.endswith(mmseg.COUNTER)}
    check_numbers({name: checkpoint.weights[name] for short, name in in_file.items() if short not in dropped}, path)
    state = _precise({short: checkpoint.weights[name] for short, name in in_file.items()})
    fitted = check_names_and_shapes(mmseg.convert_backbone(state), own)
    weights = {name[len("backbone.") :]: value for name, value in fitted.items()}
    left_out = [in_file[short] for short in in_file if short in dropped]
    return ImportedWeights(_float32(weights), left_out, {}, checkpoint.key, checkpoint.others)


def _recognized(source: str, importer: Importer, names: Iterable[str], checkpoint: WeightFile) -> dict[str, str]:
    """The importer's names.

    Raises:
        UserError: as the importer's ``names``, with what the file has and what to try.
    """
    try:
        return importer.names(names)
    except UserError as error:
        likely = [other for other, (another, _) in SOURCES.items() if other != source and _knows(another, names)]
        advice = f" It looks like {' or '.join(likely)}: give that in place of {source}." if likely else ""
        if checkpoint.others:
            advice += f" Weights are under {', '.join(checkpoint.others)} too: choose by --key."
        raise UserError(f"{error} The file has {checkpoint.top}.{advice}") from error


def _knows(importer: Importer, names: Iterable[str]) -> bool:
    try:
        return bool(importer.names(names))
    except UserError:
        return False


def _precise(weights: Mapping[str, np.ndarray]) -> Weights:
    """Numbers of half precision as float32, so that sums of them are not rounded to theirs."""
    return {name: value.astype("float32") if value.dtype == np.float16 else value for name, value in weights.items()}


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
