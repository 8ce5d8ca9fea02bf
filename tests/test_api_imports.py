"""`paddleseg_ext.load` of weights that `convert` made of a checkpoint of mmsegmentation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import paddleseg_ext
from paddleseg_ext.cli.main import main
from tests.cli import test_convert


@pytest.mark.parametrize("output, exporting", [("out/model.pdparams", False), ("net.safetensors", True)])
def test_an_import_gives_what_the_command_gives(tmp_path: Path, output: str, exporting: bool) -> None:
    config = test_convert.write_config(tmp_path)  # its backbone names weights that cannot be fetched
    section = {"type": "Dataset", "dataset_root": "nowhere", "num_classes": 3, "mode": "val"}
    content = yaml.safe_load(config.read_text("utf-8"))
    content["train_dataset"]["transforms"] = [{"type": "Normalize"}]
    content["val_dataset"] = {**section, "val_path": "nowhere/val.txt", "transforms": [{"type": "Normalize"}]}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert test_convert.convert(tmp_path, "mmseg", test_convert.ZIP, output=output) == 0
    picture = np.random.default_rng(0).integers(0, 256, (45, 61, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    weights = ["--config", str(config), "--model_path", str(tmp_path / output), "--device", "cpu"]
    assert main(["predict", *weights, "--image_path", str(tmp_path / "a.png"), "--save_dir", str(tmp_path / "r")]) == 0

    model = paddleseg_ext.load(tmp_path / output, config, device="cpu")
    for image in (tmp_path / "a.png", picture):
        pred = model.predict(image)
        np.testing.assert_array_equal(pred, np.asarray(Image.open(tmp_path / "r" / "ids" / "a.png")))
    assert len(np.unique(pred)) > 1
    colors = Image.open(tmp_path / "r" / "color" / "a.png").convert("RGB")
    np.testing.assert_array_equal(np.asarray(colors), model.palette[pred])
    record = json.loads((tmp_path / output).with_suffix(".json").read_text("utf-8"))
    assert model.classes == record["classes"] and model.palette.tolist() == record["palette"]

    if exporting:
        assert main(["export", *weights, "--save_dir", str(tmp_path / "exported"), "--no_verify"]) == 0
        exported = paddleseg_ext.load(tmp_path / "exported", device="cpu")
        assert exported.classes == model.classes and exported.palette.tolist() == model.palette.tolist()
