"""From a network to a folder that deployment code can read: graph, weights, `deploy.yaml` and a report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn

from paddleseg_ext.checkpoint.atomic import digest, install, staging_dir
from paddleseg_ext.compat.paddle import exact_float32
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.export import formats
from paddleseg_ext.export.fuse_bn import fused
from paddleseg_ext.export.runtimes import open_runner
from paddleseg_ext.export.sensitivity import Sensitivity, TestInput
from paddleseg_ext.export.verify import SIZES, Comparison, Run, compare, fault, make_inputs, summary
from paddleseg_ext.export.weights import own_weights, wrong_in_onnx, wrong_in_paddle
from paddleseg_ext.export.wrapper import Colors, InputShape
from paddleseg_ext.runtime.versions import versions as installed_versions

FORMATS = {"paddle": ("paddle",), "onnx": ("onnx",), "both": ("paddle", "onnx")}
DEPLOY, REPORT = "deploy.yaml", "export.json"
NAMES = ("model.json", "model.pdmodel", "model.pdiparams", formats.ONNX_NAME, DEPLOY, REPORT)  # all there can be
FREE = (None, 3, None, None)


class VerificationError(UserError):
    """What was exported does not give the network's own results, so it was thrown away."""


@dataclass
class Export:
    """What to export and how.

    Attributes:
        formats: Some of ``paddle`` and ``onnx``.
        output_op: ``argmax``, ``softmax`` or ``none``.
        shape: (N, C, H, W) of the input with None for what stays free.
        opset: Of the ONNX file.
        colors: Normalization to put inside; the input is then uint8 (N, H, W, C), red first.
        verify: Compare before the files are left.
        transforms: Of the validation data, as the configuration has them, for `deploy.yaml`.
        about: Further entries of the report.
    """

    formats: Sequence[str] = ("paddle",)
    output_op: str = "argmax"
    shape: InputShape = FREE
    opset: int = 17
    colors: Colors | None = None
    verify: bool = True
    transforms: Sequence[Mapping[str, Any]] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def write(self, model: nn.Layer, folder: str | Path) -> dict[str, Any]:
        """Export a model into a folder and return the report.

        Files are made beside their place and moved there when all of them have passed; what was there before stays
        until then.

        Args:
            model: In evaluation mode, with ordinary lists of outputs. It stays as it is.
            folder: Made where it is missing.

        Raises:
            UserError: The model cannot be exported, or packages for ONNX are missing.
            VerificationError: The exported network's results differ from the model's; nothing is left behind.
        """
        versions = formats.check_onnx_packages() if "onnx" in self.formats else {}
        with exact_float32():  # else a GPU's own rounding would be taken for a difference
            return self._write(model, folder, versions)

    def _write(self, model: nn.Layer, folder: str | Path, versions: Mapping[str, str]) -> dict[str, Any]:
        sizes = SIZES if self.verify else SIZES[:1]  # one shows what can be folded
        inputs = make_inputs(model, self.shape, self.colors, sizes)
        sensitivity = Sensitivity(model, inputs, self.colors)
        if self.verify and not math.isfinite(sensitivity.largest):
            raise VerificationError("the network itself gives scores that are NaN or infinite, so no file was left")
        example = inputs[0].images if self.colors is None else self.colors(inputs[0].images)
        light, count = fused(model, paddle.to_tensor(example), lambda found: sensitivity.allows(found, inputs[0]))
        with staging_dir(Path(folder)) as staging:
            files = self._save(light, staging / "final", self.output_op)
            comparisons = self._verified(light, staging, inputs, sensitivity) if self.verify else []
            report = {
                "input": {"shape": [n or -1 for n in self.shape], "uint8_nhwc_rgb": self.colors is not None},
                "output_op": self.output_op,
                "opset": self.opset if "onnx" in self.formats else None,
                "folded_batch_norms": count,
                "files": {file.name: file.stat().st_size for file in files},
                "sha256": {file.name: digest(file) for file in files},
                "verification": summary(comparisons, sensitivity) if self.verify else None,
                "verified": [comparison.to_dict() for comparison in comparisons] if self.verify else None,
                "versions": {**installed_versions(), **versions},
                **self.about,
            }
            (staging / "final" / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
            (staging / "final" / DEPLOY).write_text(self._deploy_yaml(files), "utf-8")
            install(staging / "final", Path(folder), NAMES)
        return report

    def _save(self, model: nn.Layer, folder: Path, output_op: str) -> Sequence[Path]:
        folder.mkdir()
        files = formats.save_paddle(model, folder, output_op, self.shape, self.colors)
        if "onnx" not in self.formats:
            return files
        target = folder / formats.ONNX_NAME
        formats.save_onnx(*files, target, self.opset)
        if "paddle" in self.formats:
            return [*files, target]
        for file in files:
            file.unlink()
        return [target]

    def _verified(
        self, light: nn.Layer, staging: Path, inputs: Sequence[TestInput], sensitivity: Sensitivity
    ) -> list[Comparison]:
        """The comparisons, all passed.

        Raises:
            VerificationError: One did not, or a weight in a file is not the network's.
        """
        own = own_weights(light, self.colors)
        for backend in self.formats:
            final = staging / "final"
            wrong = wrong_in_onnx(final / formats.ONNX_NAME, own) if backend == "onnx" else wrong_in_paddle(final, own)
            if wrong:
                raise VerificationError(f"the exported network is wrong, so no file was left: {backend}, {wrong[0]}")
        comparisons = self._compared(light, staging, inputs, sensitivity.tie)
        words = fault(comparisons, inputs, sensitivity)
        if words:
            raise VerificationError(f"the exported network is wrong, so no file was left: {words}")
        return comparisons

    def _compared(self, light: nn.Layer, staging: Path, inputs: Sequence[TestInput], tie: float) -> list[Comparison]:
        ends_with_logits = self.output_op == "none"
        if not ends_with_logits:
            self._save(light, staging / "logits", "none")
        comparisons: list[Comparison] = []
        for backend in self.formats:
            final = _running(open_runner(staging / "final", backend))
            with_logits = final if ends_with_logits else _running(open_runner(staging / "logits", backend))
            comparisons += compare(backend, final, with_logits, self.output_op, inputs, tie)
        return comparisons

    def _deploy_yaml(self, files: Sequence[Path]) -> str:
        """As PaddleSeg's deployment code reads it (`paddleseg.deploy.infer.DeployConfig`)."""
        transforms = [dict(entry) for entry in self.transforms]
        if self.colors is not None:
            transforms = transforms[:-1]
        for entry in transforms:
            if entry["type"] == "FastNormalize":  # its other name, which PaddleSeg alone does not know
                entry["type"] = "Normalize"
        shape = [n or -1 for n in self.shape]
        deploy = {
            "model": files[0].name,
            "params": files[1].name if len(files) > 1 else None,
            "transforms": transforms,
            "input_shape": shape if self.colors is None else [shape[0], *shape[2:], shape[1]],
            "output_op": self.output_op,
            "output_dtype": "int32" if self.output_op == "argmax" else "float32",
        }
        return yaml.safe_dump({"Deploy": deploy}, sort_keys=False)


def _running(runner: Run) -> Run:
    """A run that fails is a failed verification."""

    def run(images: np.ndarray) -> np.ndarray:
        try:
            return runner(images)
        except Exception as error:  # of Paddle Inference or ONNX Runtime
            raise VerificationError(
                f"the exported network fails on an input of {list(images.shape)}, so no file was left: {reason(error)}"
            ) from error

    return run
