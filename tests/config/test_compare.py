"""What makes a resumed run another one, and what does not."""

from __future__ import annotations

import copy

import pytest

from paddleseg_ext.config.compare import differences
from paddleseg_ext.config.train import CHANGES_WEIGHTS, TrainConfig

CONFIG = {
    "batch_size": 2,
    "iters": 20,
    "model": {"type": "Net", "num_classes": 3, "backbone": {"type": "R", "pretrained": "a.pdparams"}},
    "loss": {"types": [{"type": "CrossEntropyLoss"}, {"type": "DiceLoss"}], "coef": [1, 0.4]},
    "optimizer": {"type": "SGD", "weight_decay": 1e-4},
    "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.1},
    "train_dataset": {
        "type": "Dataset",
        "dataset_root": "/data",
        "transforms": [{"type": "Crop", "crop_size": [8, 8]}],
    },
    "val_dataset": {"type": "Dataset"},
    "train": TrainConfig(seed=7).to_section(),
}


def changed(path: str, value: object) -> dict:
    config = copy.deepcopy(CONFIG)
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    node = config
    for key in parents:
        node = node[key]
    node[last] = value
    return config


def test_the_same_differs_in_nothing() -> None:
    assert differences(CONFIG, copy.deepcopy(CONFIG)) == []


@pytest.mark.parametrize(
    "path, value, sentence",
    [
        ("batch_size", 4, "batch_size: 2 before, 4 now"),
        ("model.backbone.type", "S", "model.backbone.type: R before, S now"),
        ("model.extra", 1, "model.extra: missing before, 1 now"),
        ("loss.coef.1", 0.2, "loss.coef[1]: 0.4 before, 0.2 now"),
        ("loss.coef", [1], "loss.coef: [1, 0.4] before, [1] now"),
        ("lr_scheduler.learning_rate", 0.2, "lr_scheduler.learning_rate: 0.1 before, 0.2 now"),
        ("train_dataset.transforms.0.crop_size.1", 9, "train_dataset.transforms[0].crop_size[1]: 8 before, 9 now"),
        ("iters", 40, "iters, on which the learning rate depends: 20 before, 40 now"),
        ("train.accumulate", 4, "train.accumulate: 1 before, 4 now"),
        ("train.ema", True, "train.ema: False before, True now"),
        ("train.seed", 8, "train.seed: 7 before, 8 now"),
    ],
)
def test_what_changes_the_weights_is_named(path: str, value: object, sentence: str) -> None:
    assert differences(CONFIG, changed(path, value)) == [sentence]


@pytest.mark.parametrize(
    "path, value",
    [
        ("train_dataset.dataset_root", "/elsewhere"),
        ("model.backbone.pretrained", None),
        ("val_dataset.type", "Other"),
        ("train.seed", None),
        *((f"train.{key}", "another") for key in TrainConfig().to_section() if key not in CHANGES_WEIGHTS),
    ],
)
def test_what_does_not_change_them_may_differ(path: str, value: object) -> None:
    assert differences(CONFIG, changed(path, value)) == []


def test_a_run_may_be_made_longer_where_the_rate_does_not_depend_on_its_length() -> None:
    before = changed("lr_scheduler.decay_steps", 20)
    assert differences(before, {**before, "iters": 40}) == []


def test_keys_that_an_older_version_did_not_keep_are_not_compared() -> None:
    assert differences({**CONFIG, "train": {}}, changed("train.ema", True)) == []
    assert differences({key: CONFIG[key] for key in CONFIG if key != "train"}, changed("train.accumulate", 3)) == []
