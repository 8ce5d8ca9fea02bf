"""Numbers that must agree are compared, and each disagreement is a sentence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from paddleseg.datasets import Dataset
from paddleseg.models.losses import CrossEntropyLoss, MixedLoss
from paddleseg.transforms import Normalize, RandomHorizontalFlip, RandomPaddingCrop, Resize

from paddleseg_ext.data.checks import (
    check_channels,
    check_class_weights,
    check_files,
    check_transforms,
    refuse_random,
)
from paddleseg_ext.data.transforms import FastNormalize, ScaleCropFlip
from paddleseg_ext.errors import UserError
from tests.tiny_run import CLASSES, write_samples

MEANS = [0.485, 0.456, 0.406]


def dataset(root: Path, transforms: list, **changes: object) -> Dataset:
    return Dataset("train", str(root), transforms, CLASSES, train_path=str(root / "train.txt"), **changes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_samples(tmp_path)


@pytest.mark.parametrize("kind", [Normalize, FastNormalize])
@pytest.mark.parametrize(
    "channels, mean, std, message",
    [
        (1, MEANS, [0.2] * 3, "mean has 3 numbers, but the images have 1 channel"),
        (3, MEANS[:2], [0.2] * 2, "mean has 2 numbers, but the images have 3 channels"),
        (3, [*MEANS, 0.4], [0.2] * 4, "mean has 4 numbers"),
        (3, [123.675, 116.28, 103.53], [0.2] * 3, r"on the scale of 0 to 1.*\[0.485, 0.456, 0.406\]"),
        (3, MEANS, [58.395, 57.12, 57.375], "std is .*scale of 0 to 1"),
        (1, [127.5], [127.5], "scale of 0 to 1"),
        (3, MEANS, [0.2, -0.2, 0.2], r"std is \[0.2, -0.2, 0.2\]; deviations are above 0"),
    ],
)
def test_means_are_those_of_the_channels_and_their_scale(
    root: Path, kind: type, channels: int, mean: list, std: list, message: str
) -> None:
    with pytest.raises(UserError, match=f"train_dataset.transforms: {kind.__name__}: .*{message}"):
        check_transforms(dataset(root, [kind(mean, std)], img_channels=channels), "train_dataset")


@pytest.mark.parametrize("kind", [Normalize, FastNormalize])
@pytest.mark.parametrize("channels, mean, std", [(3, MEANS, [0.2] * 3), (3, [0.5], [0.5]), (1, [0.4], [0.2])])
def test_good_means_pass(root: Path, kind: type, channels: int, mean: list, std: list) -> None:
    check_transforms(dataset(root, [kind(mean, std)], img_channels=channels), "train_dataset")


@pytest.mark.parametrize("kind", [RandomPaddingCrop, ScaleCropFlip])
@pytest.mark.parametrize("ignore_index", [255, 4, 0])
def test_crops_pad_with_the_data_sets_own_value(root: Path, kind: type, ignore_index: int) -> None:
    data = dataset(root, [kind([96, 96])], ignore_index=ignore_index)
    check_transforms(data, "train_dataset")
    label = data[0]["label"]
    assert label.shape == (96, 96) and label[-1, -1] == ignore_index  # the pictures are 32 wide
    assert data.transforms.transforms[0].ignore_index == ignore_index


def test_another_padding_is_refused(root: Path) -> None:
    data = dataset(root, [RandomPaddingCrop([64, 64], label_padding_value=1)])
    with pytest.raises(UserError, match="label_padding_value is 1, but the data set ignores 255: .* would be a class"):
        check_transforms(data, "train_dataset")


@pytest.mark.parametrize("transform", [RandomHorizontalFlip(), RandomPaddingCrop(), ScaleCropFlip()])
def test_transforms_of_training_are_refused_where_images_are_evaluated(root: Path, transform: object) -> None:
    with pytest.raises(UserError, match=f"val_dataset.transforms: {type(transform).__name__} is for training"):
        check_transforms(dataset(root, [transform]), "val_dataset", evaluated=True)
    with pytest.raises(UserError, match="is for training"):
        refuse_random([Resize(), transform])
    refuse_random([Resize(), Normalize()])


def test_every_listed_file_is_looked_for(root: Path) -> None:
    data = dataset(root, [])
    check_files(data, "train_dataset")
    (root / "label4.png").unlink()
    with pytest.raises(UserError, match=r"train_dataset: 1 of its 12 files is not there: .*label4\.png"):
        check_files(data, "train_dataset")
    for number in range(4):
        (root / f"image{number}.png").unlink()
    with pytest.raises(UserError, match="5 of its 12 files are not there: .*, …"):
        check_files(data, "train_dataset")


def test_channels_are_the_same_everywhere() -> None:
    check_channels({"train_dataset": 3, "val_dataset": 3}, {"backbone": {}})
    check_channels({"train_dataset": 1}, {"backbone": {"in_channels": 1}})
    check_channels({"train_dataset": 4}, {"in_channels": 4})  # PaddleSeg's models without a backbone
    for img_channels, in_channels in (
        ({"train_dataset": 1, "val_dataset": 3}, 1),
        ({"train_dataset": 1}, None),
        ({"train_dataset": 3}, 4),
    ):
        with pytest.raises(UserError, match="train_dataset.img_channels: .*model.backbone.in_channels: "):
            check_channels(img_channels, {"backbone": {"in_channels": in_channels}})


def test_class_weights_are_as_many_as_classes() -> None:
    right, wrong = CrossEntropyLoss(weight=[1.0] * CLASSES), CrossEntropyLoss(weight=[1.0] * (CLASSES + 1))
    check_class_weights({"types": [right, CrossEntropyLoss()]}, CLASSES)
    for losses in ([right, wrong], [right, MixedLoss([right, wrong], [1, 1])]):
        with pytest.raises(UserError, match=r"loss.types\[1\]: CrossEntropyLoss has 4 class weights, but there are 3"):
            check_class_weights({"types": losses}, CLASSES)


def test_what_has_no_lists_passes() -> None:
    data = SimpleNamespace(num_classes=3)
    check_files(data, "train_dataset")
    check_transforms(data, "train_dataset", evaluated=True)
    assert np.ndim(data.num_classes) == 0
