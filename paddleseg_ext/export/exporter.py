"""From a network to a folder that deployment code can read: graph, weights, `deploy.yaml` and a report."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddleseg
import yaml
from paddle import nn

import paddleseg_ext
from paddleseg_ext.checkpoint import atomic as placing
from paddleseg_ext.errors import UserError
from paddleseg_ext.export import formats as saving
from paddleseg_ext.export import verify as verifying
from paddleseg_ext.export.fuse_bn import folded
from paddleseg_ext.export.runtimes import open_runner
from paddleseg_ext.export.wrapper import Colors

FORMATS = {"paddle": ("paddle",), "onnx": ("onnx",), "both": ("paddle", "onnx")}
DEPLOY, REPORT = "deploy.yaml", "export.json"
NAMES = ("model.json", "model.pdmodel", "model.pdiparams", saving.ONNX_NAME, DEPLOY, REPORT)  # all there can be
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
    shape: Sequence[int | None] = FREE
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
        versions = saving.check_onnx_packages() if "onnx" in self.formats else {}
        sizes = verifying.SIZES if self.verify else verifying.SIZES[:1]  # one shows what can be folded
        probes = verifying.probes(model, self.shape, self.colors, sizes)
        example = probes[0].images if self.colors is None else self.colors(probes[0].images)
        light, count = folded(model, paddle.to_tensor(example))
        with placing.beside(Path(folder)) as room:
            files = self._save(light, room / "final", self.output_op)
            cases = self._compared(light, room, probes) if self.verify else []
            self._refuse_wrong(cases, model, probes)
            report = {
                "input": {"shape": [n or -1 for n in self.shape], "uint8_nhwc_rgb": self.colors is not None},
                "output_op": self.output_op,
                "opset": self.opset if "onnx" in self.formats else None,
                "folded_batch_norms": count,
                "files": {file.name: file.stat().st_size for file in files},
                "sha256": {file.name: placing.digest(file) for file in files},
                "verified": [case.to_dict() for case in cases] if self.verify else None,
                "versions": {**_versions(), **versions},
                **self.about,
            }
            (room / "final" / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
            (room / "final" / DEPLOY).write_text(self._deploy_yaml(files), "utf-8")
            placing.move_in(room / "final", Path(folder), NAMES)
        return report

    def _save(self, model: nn.Layer, folder: Path, output_op: str) -> list[Path]:
        folder.mkdir()
        files = saving.save_paddle(model, folder, output_op, self.shape, self.colors)
        if "onnx" not in self.formats:
            return files
        target = folder / saving.ONNX_NAME
        saving.save_onnx(*files, target, self.opset)
        if "paddle" in self.formats:
            return [*files, target]
        for file in files:
            file.unlink()
        return [target]

    def _compared(self, model: nn.Layer, room: Path, probes: Sequence[verifying.Probe]) -> list[verifying.Case]:
        ends_with_scores = self.output_op == "none"
        if not ends_with_scores:
            self._save(model, room / "scores", "none")
        cases = []
        for backend in self.formats:
            final = _running(open_runner(room / "final", backend))
            scoring = final if ends_with_scores else _running(open_runner(room / "scores", backend))
            cases += verifying.compare(backend, final, scoring, self.output_op, probes)
        return cases

    def _refuse_wrong(
        self, cases: Sequence[verifying.Case], model: nn.Layer, probes: Sequence[verifying.Probe]
    ) -> None:
        for case, probe in zip(cases, [*probes] * len(self.formats)):
            if not case.passed:
                own = verifying.sensitivity(model, probe, self.colors)
                raise VerificationError(
                    f"the exported network is wrong, so no file was left: {case}; the network itself changes by "
                    f"{own:.1e} when its input changes in the last digit"
                )

    def _deploy_yaml(self, files: Sequence[Path]) -> str:
        """As PaddleSeg's deployment code reads it (`paddleseg.deploy.infer.DeployConfig`)."""
        transforms = [dict(entry) for entry in self.transforms]
        if self.colors is not None:
            transforms = transforms[:-1]
        for entry in transforms:
            if entry["type"] == "FastNormalize":  # the same numbers under a name that PaddleSeg knows
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


def _running(runner: verifying.Run) -> verifying.Run:
    """A run that fails is a failed verification."""

    def run(images: np.ndarray) -> np.ndarray:
        try:
            return runner(images)
        except Exception as error:  # of Paddle Inference or ONNX Runtime
            text = " ".join(str(error).split())[-300:]
            raise VerificationError(
                f"the exported network fails on an input of {list(images.shape)}, so no file was left: … {text}"
            ) from error

    return run


def _versions() -> dict[str, str]:
    return {
        "paddle": paddle.__version__,
        "paddleseg": getattr(paddleseg, "__version__", "develop"),
        "paddleseg_ext": paddleseg_ext.__version__,
        "python": platform.python_version(),
    }
