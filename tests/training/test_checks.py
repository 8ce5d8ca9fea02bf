"""Each mistake in data or model is found before the first iteration and told by name."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.datasets import Dataset
from paddleseg.models.losses import CrossEntropyLoss

from paddleseg_ext.errors import UserError
from paddleseg_ext.training import checks
from tests.tiny_run import CLASSES, SIZE, TwoOutputs, write_samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_samples(tmp_path)


def dataset(root: Path) -> Dataset:
    return Dataset("train", str(root), [], CLASSES, train_path=str(root / "train.txt"))


def test_good_data_passes(root: Path) -> None:
    checks.check_size(dataset(root), 3, world_size=2)
    checks.check_labels(dataset(root))


def test_ignored_pixels_pass(root: Path) -> None:
    label = np.full((SIZE, SIZE), 255, np.uint8)
    cv2.imwrite(str(root / "label0.png"), label)
    checks.check_labels(dataset(root))


def test_the_whole_label_is_read_though_training_crops_it(root: Path) -> None:
    label = np.zeros((SIZE, SIZE), np.uint8)
    label[-1, -1] = CLASSES
    cv2.imwrite(str(root / "label2.png"), label)
    data = dataset(root)

    class Corner:
        def __call__(self, sample: dict) -> dict:
            sample["img"], sample["label"] = sample["img"][:4, :4], sample["label"][:4, :4]
            return sample

    data.transforms.transforms = [Corner()]
    with pytest.raises(UserError, match=r"label2\.png: label values 3 are not .* the class ids 0…2 and 255"):
        checks.check_labels(data)
    assert data[2]["label"].shape == (4, 4)  # the data set itself keeps its transforms


def _missing_image(root: Path) -> None:
    (root / "image1.png").unlink()


def _missing_label(root: Path) -> None:
    (root / "label1.png").unlink()


def _broken_image(root: Path) -> None:
    (root / "image1.png").write_bytes((root / "image1.png").read_bytes()[:200])


def _text_for_label(root: Path) -> None:
    (root / "label1.png").write_text("not a picture", encoding="utf-8")


def _color_label(root: Path) -> None:
    cv2.imwrite(str(root / "label1.png"), np.zeros((SIZE, SIZE, 3), np.uint8))


def _small_label(root: Path) -> None:
    cv2.imwrite(str(root / "label1.png"), np.zeros((SIZE, SIZE - 2), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_missing_image, r"image1\.png: the image file does not exist"),
        (_missing_label, r"label1\.png: the label file does not exist"),
        (_broken_image, r"image1\.png: the image file cannot be read as a picture"),
        (_text_for_label, r"label1\.png: the label file cannot be read as a picture"),
        (_color_label, r"label1\.png: it has colors"),
        (_small_label, r"label1\.png is 30x32, but its image .*image1\.png is 32x32"),
    ],
)
def test_bad_files_are_named(root: Path, spoil, message: str) -> None:
    spoil(root)
    with pytest.raises(UserError, match=message):
        checks.check_labels(dataset(root))


def test_too_few_samples(root: Path) -> None:
    with pytest.raises(UserError, match=r"has 6 samples in .*, fewer than batch_size 8"):
        checks.check_size(dataset(root), 8)
    with pytest.raises(UserError, match="batch_size 4 on each of 2 processes"):
        checks.check_size(dataset(root), 4, world_size=2)


def test_no_samples(root: Path) -> None:
    (root / "train.txt").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="val_dataset: no sample found in"):
        checks.check_size(dataset(root), 1, key="val_dataset")


@pytest.mark.parametrize("labels", [0, 1])
def test_cityscapes_without_train_ids_names_the_step(tmp_path: Path, labels: int) -> None:
    (tmp_path / "leftImg8bit/train/ulm").mkdir(parents=True)
    (tmp_path / "gtFine/train/ulm").mkdir(parents=True)
    for number in range(2):
        (tmp_path / f"leftImg8bit/train/ulm/ulm_{number}_leftImg8bit.png").touch()
    for number in range(labels):
        (tmp_path / f"gtFine/train/ulm/ulm_{number}_gtFine_labelTrainIds.png").touch()
    config = {"type": "Cityscapes", "dataset_root": str(tmp_path), "mode": "train"}
    with pytest.raises(UserError, match=f"2 images but {labels} .*labelTrainIds.*convert_cityscapes"):
        checks.check_cityscapes(config, "train_dataset")
    checks.check_cityscapes({**config, "type": "Dataset"}, "train_dataset")


def test_losses_must_match_the_outputs() -> None:
    model, loss = TwoOutputs(CLASSES), CrossEntropyLoss()
    checks.check_outputs(model, {"types": [loss] * 2, "coef": [1, 0.4]})
    with pytest.raises(UserError, match=r"loss\.types has 3 entries but the model gives 2 outputs: mask, aux0"):
        checks.check_outputs(model, {"types": [loss] * 3, "coef": [1] * 3})
    with pytest.raises(UserError, match=r"loss\.coef has 1 entries"):
        checks.check_outputs(model, {"types": [loss] * 2, "coef": [1]})


@pytest.mark.parametrize(("batch", "warned"), [(1, True), (2, False)])
def test_batch_norm_of_one_value_is_warned_about(batch: int, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.BatchNorm2D(3), nn.AdaptiveAvgPool2D(1), nn.BatchNorm2D(3))
    logger = logging.getLogger("paddleseg_ext.training.checks")
    logger.addHandler(caplog.handler)
    with checks.watch_batch_norm(model):
        model(paddle.rand([batch, 3, 4, 4]))
    logger.removeHandler(caplog.handler)
    assert ("global pooling" in caplog.text) == warned
    assert not warned or " 2;" in caplog.text  # the layer's name
    caplog.clear()
    model(paddle.rand([1, 3, 4, 4]))
    assert not caplog.text
