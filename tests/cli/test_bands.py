"""Images of four bands, in arrays and in a TIFF of four pages, through every command."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from paddleseg_ext.cli.main import main
from tests.tiny_run import CLASSES, write_config

SIZES = [(20, 30), (32, 16), (20, 30), (24, 24)]  # height, width; one twice, for a batch in evaluation


def write_array(path: Path, bands: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), bands)
    return path.with_suffix(".npy")


def write_pages(path: Path, bands: np.ndarray) -> Path:
    cv2.imwritemulti(str(path.with_suffix(".tif")), list(np.moveaxis(bands, -1, 0)))
    return path.with_suffix(".tif")


@pytest.mark.parametrize("write", [write_array, write_pages])
def test_four_bands_are_checked_trained_evaluated_predicted_and_exported(write, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lines = []
    for number, size in enumerate(SIZES):
        image = write(tmp_path / f"bands{number}", generator.integers(0, 255, (*size, 4), np.uint8))
        Image.fromarray(generator.integers(0, CLASSES, size, np.uint8)).save(tmp_path / f"label{number}.png")
        lines.append(f"{image.name} label{number}.png\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    normalize = {"type": "Normalize", "mean": [0.5] * 4, "std": [0.5] * 4}
    dataset = {"type": "SegmentationFolder", "dataset_root": str(tmp_path), "classes": CLASSES, "img_channels": 4}
    sections = {
        f"{mode}_dataset": {**dataset, "mode": mode, f"{mode}_list": "list.txt", "transforms": [*augmented, normalize]}
        for mode, augmented in (("train", [{"type": "ScaleCropFlip", "crop_size": [24, 24]}]), ("val", []))
    }
    model = {"type": "TwoOutputs", "in_channels": 4, "num_classes": CLASSES}
    config = ["--config", str(write_config(tmp_path, model=model, iters=2, **sections)), "--device", "cpu"]
    run, exported, seen = str(tmp_path / "run"), str(tmp_path / "exported"), tmp_path / "seen"
    weights = ["--model_path", f"{run}/iter_2/model.pdparams"]
    assert main(["check", *config, "--no_cache"]) == 0
    assert main(["train", *config, "--save_dir", run, "--do_eval"]) == 0
    assert main(["val", *config, *weights, "--batch_size", "2", "--report", str(tmp_path / "report")]) == 0
    assert main(["export", *config, *weights, "--save_dir", exported]) == 0
    for number, network in enumerate((weights, ["--exported", exported])):
        folder = seen / str(number)
        assert main(["predict", *config, *network, "--image_path", str(image), "--save_dir", str(folder)]) == 0
        assert Image.open(folder / "overlay" / f"{image.stem}.png").mode == "RGB"
    first, second = (np.asarray(Image.open(seen / f"{number}/ids/{image.stem}.png")) for number in range(2))
    assert first.shape == SIZES[-1] and (first == second).mean() > 0.999
