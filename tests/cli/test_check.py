"""`paddleseg-ext check` tells what is wrong before a training, and how the classes are spread."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from paddleseg_ext.cli.commands import check as command
from paddleseg_ext.cli.main import main
from tests.tiny_run import CLASSES, SIZE, write_config, write_samples


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "CACHE", tmp_path / "cache.json")
    return write_samples(tmp_path)


def check(root: Path, *flags: str, **changes: object) -> int:
    return main(["check", "--config", str(write_config(root, **changes)), "--device", "cpu", *flags])


def apart(root: Path) -> dict:
    """Validation images that are not those of training."""
    (root / "val").mkdir()
    write_samples(root / "val", 2, seed=9)
    section = {"type": "Dataset", "dataset_root": str(root / "val"), "num_classes": CLASSES, "mode": "val"}
    transforms = [{"type": "Normalize"}]
    return {"val_dataset": {**section, "val_path": str(root / "val" / "train.txt"), "transforms": transforms}}


def test_good_data_have_no_errors_and_everything_is_told(root: Path, capsys: pytest.CaptureFixture) -> None:
    files = ["--json", str(root / "out" / "found.json"), "--page", str(root / "out" / "page.html")]
    assert check(root, *files, **apart(root)) == 0
    out = capsys.readouterr().out
    for words in (
        *(
            "environment",
            "paddlepaddle",
            "configuration",
            "outputs mask, aux0",
            "train_dataset: 6 pairs, images 32x32 (6)",
        ),
        *("val_dataset: 2 pairs", "no image occurs in both", "one step:", "class 1", "(ignored)", "0 errors"),
    ):
        assert words in out
    found = json.loads((root / "out" / "found.json").read_text())
    assert found["errors"] == 0 and sum(found["pixels_by_class"]["train_dataset"].values()) == 6 * SIZE * SIZE
    page = (root / "out" / "page.html").read_text()
    assert page.count("data:image/jpeg") == 7 and page.count("data:image/png") == 1  # six samples, legend; chart
    assert "http" not in page and "train_dataset: 6 pairs" in page


def test_the_same_images_in_both_are_a_warning(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert check(root, "--no_step") == 0
    assert "6 images occur in training and validation" in capsys.readouterr().out


def _wrong_value(root: Path) -> tuple[dict, str]:
    cv2.imwrite(str(root / "label5.png"), np.full((SIZE, SIZE), 9, np.uint8))
    return {}, "label5.png: label values 9 are not allowed"


def _missing_file(root: Path) -> tuple[dict, str]:
    (root / "image5.png").unlink()
    return {}, "train_dataset: 1 of its 12 files is not there"


def _sizes(root: Path) -> tuple[dict, str]:
    cv2.imwrite(str(root / "label5.png"), np.zeros((SIZE, 5), np.uint8))
    return {}, "label5.png is 5x32, but its image"


def _nothing_labeled(root: Path) -> tuple[dict, str]:
    for label in root.glob("label*.png"):
        cv2.imwrite(str(label), np.full((SIZE, SIZE), 255, np.uint8))
    return {}, "nothing is labeled"


def _losses(root: Path) -> tuple[dict, str]:
    loss = {"types": [{"type": "CrossEntropyLoss"}] * 3, "coef": [1, 1, 1]}
    return {"loss": loss}, "the model gives 2 outputs: mask, aux0"


def _weights(root: Path) -> tuple[dict, str]:
    loss = {"types": [{"type": "CrossEntropyLoss", "weight": [1, 2]}] * 2, "coef": [1, 1]}
    return {"loss": loss}, "CrossEntropyLoss has 2 class weights, but there are 3 classes"


def _batch(root: Path) -> tuple[dict, str]:
    return {"batch_size": 7}, "train_dataset has 6 samples"


def _model(root: Path) -> tuple[dict, str]:
    model = {"type": "PSPNet", "num_classes": 3, "backbone": {"type": "ResNet18_vd"}, "backbone_indices": [9, 9]}
    return {"model": model}, "list index out of range"


@pytest.mark.parametrize(
    "damage", [_wrong_value, _missing_file, _sizes, _nothing_labeled, _losses, _weights, _batch, _model]
)
def test_errors_are_told_with_exit_status_1(root: Path, damage, capsys: pytest.CaptureFixture) -> None:
    changes, message = damage(root)
    assert check(root, **changes) == 1
    captured = capsys.readouterr()
    assert message in captured.out and "ERROR" in captured.out and not captured.err


def test_all_wrong_pairs_are_counted(root: Path, capsys: pytest.CaptureFixture) -> None:
    for number in range(6):
        cv2.imwrite(str(root / f"label{number}.png"), np.full((SIZE, SIZE), 9, np.uint8))
    assert check(root, "--no_step", "--no_cache") == 1
    assert "1 more of 6 pairs are wrong" in capsys.readouterr().out


@pytest.mark.parametrize("rule", command.RULES)
def test_class_weights_can_be_pasted(root: Path, rule: str, capsys: pytest.CaptureFixture) -> None:
    import yaml

    assert check(root, "--no_step", "--class_weights", rule) == 0
    (entry,) = yaml.safe_load(capsys.readouterr().out.split(f"# {rule}")[1].split("\n", 1)[1])
    assert entry["type"] == "CrossEntropyLoss" and len(entry["weight"]) == CLASSES
    loss = {"types": [entry, entry], "coef": [1, 0.4]}
    assert check(root, "--no_step", loss=loss) == 0


def test_bad_arguments_are_a_sentence(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert check(root, "--num_workers", "0") == 2
    assert "--num_workers: 0 is not allowed; it is a whole number, at least 1" in capsys.readouterr().err
    shutil.rmtree(root)
    assert main(["check", "--config", str(root / "config.yml")]) == 2


def test_classes_without_a_pixel_are_folded(root: Path, capsys: pytest.CaptureFixture) -> None:
    write_config(root)
    config = yaml.safe_load((root / "config.yml").read_text())
    for section in (config["model"], config["train_dataset"], config["val_dataset"]):
        section["num_classes"] = 20
    page = root / "page.html"
    assert check(root, "--no_step", "--page", str(page), **config) == 0
    out, content = capsys.readouterr().out, page.read_text("utf-8")
    assert "without a pixel (17)" in out and "class 19" in out
    assert "Without a pixel in any data set (17)" in content and "class 19</td>" not in content
    assert content.index("Augmented training samples") < content.index("Class frequencies")
