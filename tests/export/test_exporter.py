"""Exporting every head, and leaving nothing behind when the result is wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from paddleseg.deploy.infer import DeployConfig

from paddleseg_ext.data.transforms import FastNormalize
from paddleseg_ext.errors import UserError
from paddleseg_ext.export import exporter as exporting
from paddleseg_ext.export import formats as saving
from paddleseg_ext.export.exporter import Export, VerificationError
from paddleseg_ext.export.runtimes import open_runner
from paddleseg_ext.export.wrapper import Colors
from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from paddleseg_ext.registry import HEADS
from tests.export.test_fuse_bn import with_statistics
from tests.test_segmentor import model


def can_onnx() -> bool:
    try:
        return bool(saving.check_onnx_packages())
    except UserError:
        return False


FORMATS = ("paddle", "onnx") if can_onnx() else ("paddle",)
needs_onnx = pytest.mark.skipif(len(FORMATS) == 1, reason="Paddle2ONNX is missing or not for this Paddle")


def trained(name: str) -> paddle.nn.Layer:
    net = with_statistics(model(name))
    for layer in net.sublayers():
        if isinstance(layer, CrissCrossAttention):
            layer.gamma.set_value(paddle.to_tensor([0.7]))  # 0 when new, and the attention would not show
    return net


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_exported_with_free_sizes(name: str, tmp_path: Path) -> None:
    net = trained(name)
    report = Export(formats=FORMATS, output_op="none").write(net, tmp_path)
    assert len(report["verified"]) == 6 * len(FORMATS)
    figures = report["verification"]
    assert figures["allowed_difference"] == 1e-4 and figures["measurements"] == 12 and figures["equal_pixels"] == 1.0
    assert 0 < figures["difference"] <= 1e-4 and 0 < figures["sensitivity"] <= 1e-4 / 3
    assert report == json.loads((tmp_path / "export.json").read_text("utf-8"))
    assert {path.name for path in tmp_path.iterdir()} == {*report["files"], "deploy.yaml", "export.json"}
    images = np.random.default_rng(1).normal(size=(3, 3, 51, 70)).astype(np.float32)  # of none of the verified sizes
    expected = net(paddle.to_tensor(images))[0].numpy()
    for backend in FORMATS:
        found = open_runner(tmp_path, backend)(images)
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_normalization_inside_and_class_ids_out(tmp_path: Path) -> None:
    net, colors = trained("FCNHead"), Colors.of([FastNormalize([0.5], [0.25])])
    report = Export(formats=FORMATS, colors=colors, transforms=[{"type": "FastNormalize"}]).write(net, tmp_path)
    assert all(case["relative_difference"] <= 1e-4 for case in report["verified"])
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), np.uint8)
    expected = net(paddle.to_tensor(colors(pictures)))[0].numpy().argmax(1)
    for backend in FORMATS:
        ids = open_runner(tmp_path, backend)(pictures)
        assert ids.dtype == np.int32 and (ids == expected).mean() >= 0.9999
    deploy = yaml.safe_load((tmp_path / "deploy.yaml").read_text("utf-8"))["Deploy"]
    assert deploy["transforms"] == [] and deploy["input_shape"] == [-1, -1, -1, 3]


def test_paddlesegs_deployment_code_reads_the_folder(tmp_path: Path) -> None:
    transforms = [{"type": "Resize", "target_size": [64, 48]}, {"type": "FastNormalize", "mean": [0.4], "std": [0.2]}]
    Export(transforms=transforms, verify=False).write(trained("FCNHead"), tmp_path)
    deploy = DeployConfig(str(tmp_path / "deploy.yaml"))
    assert Path(deploy.model).is_file() and Path(deploy.params).is_file()
    image = np.full((10, 10, 3), 102, np.float32)
    assert np.abs(deploy.transforms({"img": image})["img"]).max() <= 1e-6
    assert deploy.transforms({"img": image})["img"].shape == (3, 48, 64)


@needs_onnx
def test_the_onnx_file_names_its_free_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx

    monkeypatch.setattr(saving, "subprocess", subprocess)  # a Python of its own, as users have it
    Export(formats=("onnx",), shape=(None, 3, 64, None), opset=13, verify=False).write(trained("FCNHead"), tmp_path)
    graph = onnx.load(str(tmp_path / "model.onnx"))
    assert [entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")] == [13]
    (dims,) = [value.type.tensor_type.shape.dim for value in graph.graph.input]
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 3, 64, "width"]
    assert not (tmp_path / "model.pdiparams").exists()
    (out,) = [value.type.tensor_type.shape.dim for value in graph.graph.output]
    assert [dim.dim_param for dim in out][::2] == ["batch", "width"]


def test_a_wrong_result_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Export(verify=False).write(trained("FCNHead"), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    net = trained("FCNHead")

    def open_wrong(folder: Path, backend: str) -> Callable[[np.ndarray], np.ndarray]:
        runner = open_runner(folder, backend)

        def run(images: np.ndarray) -> np.ndarray:
            result = runner(images).copy()
            if images.shape == (2, 3, 97, 161) and result.ndim == 4:  # scores
                result[1, 2, 50, 70] += 1e-3 * np.abs(result).max()
            return result

        return run

    monkeypatch.setattr(exporting, "open_runner", open_wrong)
    with pytest.raises(VerificationError, match="paddle, 2 × 161×97: scores differ by 1.0e-03 of the largest; the net"):
        Export().write(net, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    class Untraceable(paddle.nn.Conv2D):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            if not paddle.in_dynamic_mode():
                raise RuntimeError("only eagerly")
            return [super().forward(x)]

    with pytest.raises(UserError, match="Untraceable cannot be traced .*: RuntimeError: only eagerly"):
        Export().write(Untraceable(3, 2, 1), tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_what_paddle2onnx_cannot_convert_is_told(tmp_path: Path) -> None:
    class Odd(paddle.nn.Conv2D):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return [paddle.lgamma(paddle.nn.Conv2D.forward(self, x))]

    with pytest.raises(UserError, match="`opset` 17: Paddle2ONNX cannot convert this model: .*unsupported operators"):
        Export(formats=("onnx",), verify=False).write(Odd(3, 2, 1), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("installed", "words"),
    [
        (
            {"paddle2onnx": "2.1.0", "onnx": "1.17.0"},
            "needs onnxruntime, which is not installed: pip install 'paddle2onnx=",
        ),
        ({"paddle2onnx": "9.0.0", "onnx": "1.17.0", "onnxruntime": "1.20.0"}, "does not go with paddlepaddle"),
    ],
)
def test_packages_that_do_not_fit_are_told(
    installed: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise saving.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(saving, "version", version)
    with pytest.raises(UserError, match=words):
        saving.check_onnx_packages()
