"""`paddleseg-ext export`, and what `val` and `predict` make of the exported network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.cli.main import main
from paddleseg_ext.export import sensitivity
from tests.export.test_exporter import FORMATS, needs_onnx
from tests.export.test_fuse_bn import with_statistics
from tests.tiny_run import CLASSES, SIZE, write_config, write_samples

RESIZING = [{"type": "Resize", "target_size": [48, 40]}, {"type": "Normalize"}]


def write_network(folder: Path) -> Path:
    """A network's weights, its configuration and images."""
    write_samples(folder, 3)
    model = with_statistics(Builder(load_config(write_config(folder))).model)
    paddle.save(model.state_dict(), str(folder / "model.pdparams"))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_network(tmp_path)


def command(name: str, root: Path, *arguments: str) -> int:
    return main([name, "--config", str(root / "config.yml"), "--device", "cpu", *arguments])


def export(root: Path, *arguments: str) -> int:
    weights = ["--model_path", str(root / "model.pdparams"), "--save_dir", str(root / "out")]
    return command("export", root, *weights, *arguments)


def scores(root: Path, *arguments: str) -> dict:
    assert command("val", root, "--json", str(root / "result.json"), *arguments) == 0
    result = json.loads((root / "result.json").read_text("utf-8"))
    return {key: value for key, value in result.items() if key != "seconds"}


def check_val(root: Path, *settings: str, backends: Sequence[str] = FORMATS) -> None:
    expected = scores(root, "--model_path", str(root / "model.pdparams"), *settings)
    for backend in backends:
        found = scores(root, "--exported", str(root / "out"), "--backend", backend, *settings)
        assert found["miou"] == pytest.approx(expected["miou"], abs=1e-6)
        assert found["classes"].keys() == expected["classes"].keys()


@pytest.mark.parametrize("with_normalize", [False, True])
def test_class_ids(root: Path, with_normalize: bool, capsys: pytest.CaptureFixture) -> None:
    options = ["--with_normalize"] if with_normalize else []
    assert export(root, "--format", "both" if len(FORMATS) == 2 else "paddle", *options) == 0
    out = capsys.readouterr().out
    assert "model.pdiparams: 0.0 MB" in out and f"verified on {6 * len(FORMATS)} inputs" in out
    assert "of the largest, allowed are 1.0e-04 (the network's own change by" in out
    report = json.loads((root / "out" / "export.json").read_text("utf-8"))
    assert report["verification"]["allowed_difference"] == 1e-4
    assert len(report["classes"]) == CLASSES and report["output_op"] == "argmax" and report["folded_batch_norms"] == 1
    check_val(root, "--batch_size", "2")
    for kind, network in (
        ("direct", ["--model_path", str(root / "model.pdparams")]),
        ("exported", ["--exported", str(root / "out")]),
    ):
        target = ["--image_path", str(root / "image0.png"), "--save_dir", str(root / kind)]
        assert command("predict", root, *target, *network) == 0
    ids = [cv2.imread(str(root / kind / "ids" / "image0.png"), cv2.IMREAD_UNCHANGED) for kind in ("direct", "exported")]
    assert ids[0].shape == (SIZE, SIZE) and len(np.unique(ids[0])) > 1 and (ids[0] == ids[1]).all()


@pytest.mark.parametrize("output_op", ["none", "softmax"])
def test_scores_serve_windows_scales_and_resizing(root: Path, output_op: str) -> None:
    write_config(root, val_dataset={**load_config(root / "config.yml").dic["val_dataset"], "transforms": RESIZING})
    assert export(root, "--format", "both" if len(FORMATS) == 2 else "paddle", "--output_op", output_op) == 0
    check_val(root)
    check_val(root, "--aug_eval", "--scales", "0.75", "1.25", "--flip_horizontal")
    check_val(root, "--is_slide", "--crop_size", "24", "24", "--stride", "16", "16")


SLIDING = {"is_slide": True, "crop_size": [24, 24], "stride": [16, 16]}
LARGE_ONLY = [{"type": "LimitLong", "max_long": 2000}, {"type": "Normalize"}]


@pytest.mark.parametrize(
    ("transforms", "test_config", "output_op"),
    [(None, {}, "argmax"), (RESIZING, {}, "none"), (LARGE_ONLY, {}, "none"), (None, SLIDING, "none")],
)
def test_default_is_what_the_configuration_needs(
    root: Path, transforms: list | None, test_config: dict, output_op: str, capsys: pytest.CaptureFixture
) -> None:
    data = load_config(root / "config.yml").dic["val_dataset"]
    write_config(
        root, val_dataset={**data, **({"transforms": transforms} if transforms else {})}, test_config=test_config
    )
    assert export(root, "--no_verify") == 0
    assert json.loads((root / "out" / "export.json").read_text("utf-8"))["output_op"] == output_op
    assert ("--output_op argmax exports class ids" in capsys.readouterr().out) == (output_op == "none")
    check_val(root, backends=["paddle"])


def test_class_ids_do_not_serve_windows(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert export(root, "--no_verify") == 0
    assert "not verified" in capsys.readouterr().out
    arguments = ["--exported", str(root / "out"), "--is_slide", "--crop_size", "24", "24", "--stride", "16", "16"]
    assert command("val", root, *arguments) == 2
    assert "export it with output_op none" in capsys.readouterr().err


def test_a_fixed_size_takes_that_size_only(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert export(root, "--input_shape", "1", "3", "64", "-1") == 0
    capsys.readouterr()
    assert command("val", root, "--exported", str(root / "out")) == 2
    assert "was exported for inputs of 1 × 3 × 64 × any, but the images are 1 × 3 × 32 × 32" in capsys.readouterr().err


def test_a_wrong_result_ends_with_status_1(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sensitivity, "NEVER_ALLOWED_ABOVE", -1)
    assert export(root) == 1
    words = r"wrong, so no file was left: paddle, \d × \d+×\d+: scores differ by (\S+) of the largest; "
    words += r"the network itself changes by up to (\S+) of its largest score .* so -1.0e\+00 is allowed"
    found = re.search(words, capsys.readouterr().err)
    assert found and all(0 <= float(figure) <= 1e-5 for figure in found.groups())
    assert list((root / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input_shape", "1", "4", "64", "64"], "--input_shape 1 4 64 64: N, H and W are at least 1"),
        (["--input_shape", "1", "3", "0", "64"], "--input_shape 1 3 0 64: N, H and W are at least 1"),
        (["--opset", "3"], "--opset: 3 is not allowed; it is a whole number, at least 11, at most 19"),
        (["--model_path", "/no/such.pdparams"], "/no/such.pdparams"),
        (["--save_dir", "/dev/null/x"], "--save_dir: /dev/null/x: nothing can be written there"),
    ],
)
def test_bad_input_is_told(root: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    assert export(root, *arguments) == 2
    assert words in capsys.readouterr().err


def test_normalizing_inside_needs_a_normalization_last(root: Path, capsys: pytest.CaptureFixture) -> None:
    write_config(
        root, val_dataset={**load_config(root / "config.yml").dic["val_dataset"], "transforms": RESIZING[::-1]}
    )
    assert export(root, "--with_normalize") == 2
    assert "must end with their only Normalize" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--exported", "nowhere"], "there is no export.json"),
        (["--exported", "out", "--backend", "onnx"], "it holds paddle, not onnx"),
        (["--exported", "out", "--model_path", "model.pdparams"], "give one of them"),
        (["--backend", "onnx"], "--backend: without --exported there is no effect"),
    ],
)
def test_a_wrong_folder_is_told(root: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    assert export(root, "--no_verify") == 0
    paths = [str(root / word) if word in ("nowhere", "out", "model.pdparams") else word for word in arguments]
    assert command("val", root, *paths) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [("export.json", "{"), ("export.json", '{"files": 3}'), ("model.pdiparams", "junk"), ("GRAPH", "junk")],
)
def test_damaged_files_are_told(root: Path, name: str, text: str, capsys: pytest.CaptureFixture) -> None:
    assert export(root, "--no_verify") == 0
    graph = next(path.name for path in (root / "out").glob("model.*") if path.suffix != ".pdiparams")
    (root / "out" / name.replace("GRAPH", graph)).write_text(text, "utf-8")
    assert command("val", root, "--exported", str(root / "out")) == 2
    assert str(root / "out") in capsys.readouterr().err


@needs_onnx
def test_a_damaged_onnx_file_is_told(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert export(root, "--format", "onnx", "--no_verify") == 0
    (root / "out" / "model.onnx").write_bytes(b"junk")
    assert command("val", root, "--exported", str(root / "out")) == 2
    assert "model.onnx: damaged, or not what was exported" in capsys.readouterr().err
