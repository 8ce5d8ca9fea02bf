"""An exported network in the place of the network itself, for evaluation and prediction."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from paddleseg_ext.builder import build_transforms
from paddleseg_ext.checkpoint.atomic import digest
from paddleseg_ext.data.checks import refuse_random
from paddleseg_ext.data.classes import read_class_entries
from paddleseg_ext.data.image_decoding import check_range
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.evaluation.provenance import Weights
from paddleseg_ext.evaluation.task import Task
from paddleseg_ext.export.exporter import DEPLOY, REPORT
from paddleseg_ext.export.formats import ONNX_NAME
from paddleseg_ext.export.runtimes import open_runner
from paddleseg_ext.export.wrapper import OUTPUTS, Colors

FILES = {"paddle": "model.pdiparams", "onnx": ONNX_NAME}
SMALLEST = float(np.finfo(np.float32).tiny)


class ExportedModel(nn.Layer):
    """A folder that the command `export` wrote, behind the interface of a model in evaluation mode.

    Images and results stay where they are computed, so that none of them passes through the host on a GPU.

    Args:
        folder: Holds ``export.json`` and what it names.
        backend: ``paddle`` or ``onnx``; the first that was exported unless given.
        transforms: Those of the data, which normalize. A network that normalizes itself gets their colors undone.

    Shape:
        - x: (N, C, H, W), normalized
        - output: a list of the logits (N, K, H, W), or of class ids (N, H, W) where `outputs_labels`

    Raises:
        UserError: Something is missing or damaged, or the transforms end with no normalization.
    """

    def __init__(self, folder: str | Path, backend: str | None = None, transforms: Sequence[Any] = ()) -> None:
        super().__init__()
        folder = Path(folder)
        report = read_report(folder)
        self.output_op, self.sizes = report["output_op"], report["input"]["shape"]
        self.outputs_labels = self.output_op == "argmax"
        there = [name for name, file in FILES.items() if file in report["files"]]
        backend = backend or next(iter(there), None)
        if backend not in there:
            raise UserError(f"`exported` {folder}: it holds {' and '.join(there) or 'nothing'}, not {backend}")
        self.colors = Colors.of(transforms, self.sizes[1]) if report["input"]["uint8_nhwc_rgb"] else None
        for name, expected in report["sha256"].items():  # Paddle Inference may crash on a damaged file
            if not (folder / name).is_file():
                raise UserError(f"{folder / name}: there is no such file; export again")
            if digest(folder / name) != expected:
                raise UserError(f"{folder / name}: damaged, or not what was exported; export again")
        self.runner = open_runner(folder, backend)
        self.one_at_a_time = True  # its inputs and outputs have one place; it shares out the cores itself
        self.folder = folder

    def copy_to(self, folder: Path) -> None:
        """Copy the folder's files, those that `export` wrote, into another one."""
        for name in (*read_report(self.folder)["files"], DEPLOY, REPORT):
            if (self.folder / name).is_file() and self.folder.resolve() != folder.resolve():
                shutil.copyfile(self.folder / name, folder / name)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        if any(fixed not in (-1, given) for fixed, given in zip(self.sizes, x.shape)):
            raise UserError(
                f"{self.folder} was exported for inputs of {_sizes(self.sizes)}, but the images are {_sizes(x.shape)}; "
                "export it without `input_shape`, or set windows or transforms that give that size"
            )
        images = x if self.colors is None else self.colors.undone_tensor(x)
        try:
            result = self.runner.run_tensor(images)
        except Exception as error:  # of Paddle Inference or ONNX Runtime
            raise UserError(f"{self.folder} fails on an input of {_sizes(x.shape)}: {reason(error)}") from error
        if self.output_op == "softmax":
            # Up to a number per pixel the logarithms are the logits: averaged or resized, the same class is best.
            result = result.clip(min=SMALLEST).log()
        return [result]


def exported_weights(folder: str | Path) -> Weights:
    """Which network an exported folder holds, and of which weights it was made.

    Raises:
        UserError: As `read_report`.
    """
    report = read_report(Path(folder))
    origin = Weights.read(report.get("weights"))
    return Weights(str(folder), report["sha256"], origin.iteration if origin else None, origin)


def exported_task(folder: str | Path) -> Task:
    """What an exported network was trained for, from its own folder.

    Raises:
        UserError: As `ExportedModel`; the folder is of a version that did not write it down; or it takes a transform
            that is not registered.
    """
    folder = Path(folder)
    report = read_report(folder)
    classes, pictures = read_class_entries(report.get("classes")), report.get("preprocessing")
    if classes is None or not isinstance(pictures, dict) or not isinstance(report.get("test_config"), dict):
        raise UserError(
            f"{folder / REPORT}: it does not tell how images are prepared, as an earlier version of this package wrote "
            "it; give `config`, or export again"
        )
    try:
        if not isinstance(pictures.get("transforms"), list):
            raise UserError("transforms: a list is needed")
        transforms = build_transforms(pictures["transforms"])
        check_range(pictures.get("image_range"))
        refuse_random(transforms)
    except UserError as error:
        raise UserError(f"{folder / REPORT}: {error}") from error
    channels = report["input"]["shape"][1]
    return Task(*classes, transforms, channels, pictures.get("image_range"), report["test_config"])


def read_report(folder: Path) -> dict[str, Any]:
    """The report in an exported folder; only bare names of files are in it.

    Raises:
        UserError: There is none, or it is damaged.
    """
    path = folder / REPORT
    if not path.is_file():
        raise UserError(f"`exported` {folder}: there is no {REPORT}; name a folder that `paddleseg-ext export` wrote")
    try:
        report = json.loads(path.read_text("utf-8"))
        shape, files = report["input"]["shape"], report["files"]
        fits = len(shape) == 4 and all(isinstance(n, int) for n in shape) and isinstance(files, dict)
        # only bare names, so that nothing outside the folder is opened
        fits = fits and report["sha256"].keys() == files.keys() and all(Path(name).name == name for name in files)
        fits = fits and report["output_op"] in OUTPUTS and isinstance(report["input"]["uint8_nhwc_rgb"], bool)
    except (ValueError, KeyError, TypeError, OSError):
        fits = False
    if not fits:
        raise UserError(f"{path}: not a report of an export, or a damaged one")
    return report


def _sizes(shape: Sequence[int]) -> str:
    return " × ".join("any" if n == -1 else str(n) for n in shape)
