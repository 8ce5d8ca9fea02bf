"""An exported folder tells by itself how images are prepared and what the classes are, and is not trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import paddleseg_ext
from paddleseg_ext.cli.main import main
from paddleseg_ext.config.load import load_config
from paddleseg_ext.errors import UserError
from paddleseg_ext.export.exported_model import exported_task
from paddleseg_ext.export.exporter import REPORT
from tests.cli.test_export import RESIZING, command, export, write_network
from tests.tiny_run import CLASSES, write_config


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_network(tmp_path)


def predict(root: Path, *arguments: str) -> int:
    target = ["--image_path", str(root / "image0.png"), "--save_dir", str(root / "found"), "--device", "cpu"]
    return main(["predict", *target, *arguments])


def change(folder: Path, **entries: Any) -> None:
    report = json.loads((folder / REPORT).read_text("utf-8"))
    report.update(entries)
    (folder / REPORT).write_text(json.dumps(report), "utf-8")


SCALES = {"aug_eval": True, "scales": [0.75, 1.5], "flip_horizontal": True}
WINDOWS = {"is_slide": True, "crop_size": [16, 24], "stride": [8, 16]}


@pytest.mark.parametrize("option", ["", "--with_normalize"])
def test_no_configuration_is_needed(root: Path, option: str) -> None:
    # With colors inside, the network takes 8 bits, so that nothing can be resized exactly before it.
    transforms, settings = (RESIZING[1:], WINDOWS) if option else (RESIZING, SCALES)
    section = {**load_config(root / "config.yml").dic["val_dataset"], "transforms": transforms}
    write_config(root, val_dataset=section, test_config=settings)
    assert export(root, "--no_verify", "--output_op", "none", *option.split()) == 0
    weights = ["--model_path", str(root / "model.pdparams")]
    target = ["--image_path", str(root / "image0.png"), "--save_dir", str(root / "expected")]
    assert command("predict", root, *target, *weights) == 0
    for name in ("config.yml", "model.pdparams", "train.txt"):
        (root / name).unlink()
    assert predict(root, "--exported", str(root / "out")) == 0
    for kind in ("ids", "color", "overlay"):
        found, expected = (np.asarray(Image.open(root / at / kind / "image0.png")) for at in ("found", "expected"))
        np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--config: give the YAML file, or by --exported a folder"),
        (["--exported", "OUT", "--opts", "iters=3"], "--opts: without --config there is no effect"),
        (["--exported", "OUT", "--is_slide"], "--crop_size: None is not allowed"),
        (["--exported", "OUT", "--flip_vertical"], "--flip_vertical: without --aug_pred there is no effect"),
    ],
)
def test_mistakes_are_told(
    root: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture,
) -> None:
    assert export(root, "--no_verify") == 0
    assert predict(root, *(str(root / "out") if word == "OUT" else word for word in arguments)) == 2
    assert words in capsys.readouterr().err


def test_a_report_is_not_trusted(root: Path) -> None:
    assert export(root, "--no_verify") == 0
    folder = root / "out"
    assert len(exported_task(folder).classes) == CLASSES
    nested = [{"type": "Normalize", "mean": {"type": "StreetScenes", "dataset_root": str(root / "drawn")}}]
    for entries, words in [
        ({"preprocessing": {"transforms": [{"type": "StreetScenes"}]}}, "'StreetScenes' is no known transform"),
        ({"preprocessing": {"transforms": ["Normalize"]}}, "'Normalize' is no known transform"),
        ({"preprocessing": {"transforms": [{"type": ["Normalize"]}]}}, "is no known transform"),
        ({"preprocessing": {"transforms": nested}}, "StreetScenes"),
        ({"preprocessing": {"transforms": [{"type": "Normalize", "men": 1}]}}, "unknown argument 'men'"),
        ({"preprocessing": {"transforms": [{"type": "RandomBlur"}]}}, "RandomBlur is for training"),
        ({"preprocessing": {"transforms": {}}}, "transforms: a list is needed"),
        ({"preprocessing": {"transforms": [], "image_range": [3]}}, "image_range: .3. is not allowed"),
        ({"preprocessing": None}, "it does not tell how images are prepared"),
        ({"preprocessing": {"transforms": []}, "classes": [{"name": "a", "color": [0, 0, 256]}]}, "does not tell"),
        ({"classes": 7}, "does not tell"),
    ]:
        change(folder, **entries)
        with pytest.raises(UserError, match=words) as error:
            exported_task(folder)
        assert str(folder / REPORT) in str(error.value)
    assert not (root / "drawn").exists()


def test_class_ids_alone_in_python(root: Path) -> None:
    weights = paddleseg_ext.load(root / "model.pdparams", root / "config.yml", device="cpu")
    assert export(root, "--no_verify") == 0
    model = paddleseg_ext.load(root / "out", device="cpu", backend="paddle")
    pred = model.predict(root / "image0.png")
    assert pred.dtype == np.uint8 and len(np.unique(pred)) > 1
    np.testing.assert_array_equal(pred, weights.predict(root / "image0.png"))
    for call, words in [
        (lambda: model.logits(root / "image0.png"), "exported with output_op argmax and gives class ids only"),
        (lambda: model.predict(root / "image0.png", **WINDOWS), "export it with output_op none"),
        (lambda: weights.save(root / "out"), "it holds an exported network; choose another"),
        (lambda: paddleseg_ext.load(root / "out", backend="onnx"), "it holds paddle, not onnx"),
    ]:
        with pytest.raises(UserError, match=words):
            call()
