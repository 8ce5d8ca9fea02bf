"""The form of a configuration: what PaddleSeg would lose without a word, or train to harm, is told by its path."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from paddleseg_ext.config.load import load_config
from paddleseg_ext.config.structure import check_same_normalization
from paddleseg_ext.errors import UserError
from tests.tiny_run import write_config

Change = Callable[[dict], object]
CE = "CrossEntropyLoss"


def put(path: str, value: object) -> Change:
    """Set the entry at a dotted path."""

    def change(config: dict) -> None:
        *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        for key in parents:
            config = config[key]
        config[last] = value

    return change


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Change], Path]:
    def write(change: Change) -> Path:
        path = write_config(tmp_path)
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config))
        return path

    return write


REFUSED = [
    # keys that nothing reads
    ("loss.coeff", [1], "loss: unknown argument 'coeff'; did you mean 'coef'?"),
    ("loss.type", CE, "loss: unknown argument 'type'; did you mean 'types'?"),
    ("distill_loss", {"types": [{"type": CE}], "coef": [1], "ceof": 1}, "distill_loss: unknown argument 'ceof'"),
    ("tset_config", {}, "unknown argument 'tset_config'; did you mean 'test_config'?"),
    # kinds
    ("batch_size", 0, "batch_size: 0 is not allowed; it is a whole number, at least 1"),
    ("iters", 10**30, "is not allowed; it is a whole number, at least 1, at most 1e+10"),
    ("batch_size", True, "batch_size: True"),
    ("batch_size", None, "batch_size: None is not allowed; it is a whole number, at least 1"),
    ("test_config", {"is_slide": "false"}, "test_config.is_slide: 'false' is not allowed; it is true or false"),
    ("test_config", {"crop_size": [10**12, 3]}, "test_config.crop_size: [1000000000000, 3] is not allowed"),
    ("model.in_channels", [3], "model.in_channels: [3] is not allowed; it is a whole number"),
    ("iters", 2.5, "iters: 2.5"),
    ("iters", "80k", "iters: '80k'"),
    ("model", None, "model: None is not allowed; it is a section of keys and values"),
    ("optimizer", " ", "optimizer: ' '"),
    ("lr_scheduler", [1], "lr_scheduler: [1]"),
    ("val_dataset", 3, "val_dataset: 3"),
    ("model", {"num_classes": 3}, "model: it has no type; its keys are num_classes"),
    ("model.type", {"type": "TwoOutputs"}, "model.type: {'type': 'TwoOutputs'} is not allowed; it is a word"),
    ("train_dataset.transforms.1.type", ["RandomDistort"], "train_dataset.transforms.1.type: ['RandomDistort']"),
    ("loss.types.0.type", None, "loss.types.0.type: None"),
    ("model.auxiliary_heads", [{"type": {"type": "PSPHead"}}], "model.auxiliary_heads.0.type"),
    ("train_dataset.transforms", None, "train_dataset.transforms: None is not allowed; it is a list"),
    ("train_dataset.transforms.1", "RandomDistort", "train_dataset.transforms.1: 'RandomDistort' is not allowed"),
    ("val_dataset.transforms.0", {}, "val_dataset.transforms.0: {}"),
    ("loss.types", {"type": CE}, "loss.types: {'type': 'CrossEntropyLoss'} is not allowed; it is a list"),
    ("loss.types.0", 2, "loss.types.0: 2 is not allowed; it is a section with a type"),
    ("loss", {"types": [{"type": CE}]}, "loss: it has no coef"),
    # numbers that harm
    ("loss.coef", [1, -0.4], "loss.coef.1: -0.4 is not allowed; it is a number, at least 0"),
    ("loss.coef", [0, 0], "loss.coef: [0, 0] is not allowed; one of them at least is above 0"),
    ("loss.coef", [float("nan"), 1], "loss.coef.0: nan"),
    (
        "loss.coef",
        ["1", 1],
        "loss.coef.0: '1' is not allowed; it is a number, at least 0, at most 1e+06 (YAML takes",
    ),
    ("loss.types.0.weight", [1, -1, 1], "loss.types.0.weight.1: -1"),
    ("loss.types.0.weight", [0, 0, 0], "loss.types.0.weight: [0, 0, 0]"),
    (
        "loss.types.0",
        {"type": "MixedLoss", "losses": [{"type": CE, "weight": [1, 1, "a"]}], "coef": [1]},
        "loss.types.0.losses.0.weight.2: 'a'",
    ),
    ("loss.types.0", {"type": "MixedLoss", "losses": [{"type": CE}], "coef": [-1]}, "loss.types.0.coef.0: -1"),
    ("optimizer.momentum", 1, "optimizer.momentum: 1 is not allowed; it is a number, at least 0, below 1"),
    ("optimizer.weight_decay", -1.0e-4, "optimizer.weight_decay: -0.0001"),
    ("optimizer.beta1", 1.5, "optimizer.beta1: 1.5"),
    ("lr_scheduler.learning_rate", "1e-3", "(YAML takes 1e-3 for text; write 1.0e-3)"),
    ("lr_scheduler.learning_rate", 10**400, "lr_scheduler.learning_rate: 1000"),
    ("lr_scheduler.learning_rate", "fast", "lr_scheduler.learning_rate: 'fast' is not allowed; it is a number, above"),
    ("lr_scheduler.end_lr", -1, "lr_scheduler.end_lr: -1"),
    ("lr_scheduler.power", 0, "lr_scheduler.power: 0"),
    ("lr_scheduler.warmup_iters", 0, "lr_scheduler.warmup_iters: 0"),
]


@pytest.mark.parametrize("path, value, message", REFUSED)
def test_what_would_be_lost_or_harm_is_told_by_its_path(changed: Callable, path: str, value: object, message: str):
    with pytest.raises(UserError, match=re.escape(message)) as info:
        load_config(changed(put(path, value)))
    assert "config.yml: " in str(info.value) and "\n" not in str(info.value)


@pytest.mark.parametrize("opts", ["iter=3", "learning_rate=1e-3", "batch_size=0", "loss.coef=[-1,1]", "model=3"])
def test_replacements_are_held_to_the_same(changed: Callable, opts: str) -> None:
    with pytest.raises(UserError, match=r"config\.yml: "):
        load_config(changed(lambda config: None), opts=[opts])


@pytest.mark.parametrize("key", ["val_dataset", "test_config", "export"])
def test_an_optional_section_may_say_null(changed: Callable, key: str) -> None:
    assert key not in load_config(changed(put(key, None))).dic


@pytest.mark.parametrize(
    "text, lines",
    [
        ("iters: 3\nbatch_size: 2\niters: 4\n", "'iters' stands twice in the same section, in lines 1 and 3"),
        ("model:\n  type: A\n  num_classes: 3\n  type: B\n", "'type' stands twice .*, in lines 2 and 4"),
        ("a: [{b: 1, b: 2}]", "lines 1 and 1"),
    ],
)
def test_a_key_that_stands_twice_is_told_in_bases_too(changed: Callable, text: str, lines: str, tmp_path: Path) -> None:
    path = changed(put("iters", 3))
    (tmp_path / "base.yml").write_text(text)
    leaf = tmp_path / "leaf.yml"
    leaf.write_text("_base_: base.yml\n" + path.read_text())
    with pytest.raises(UserError, match=lines):
        load_config(leaf)


def test_merge_keys_are_no_double(changed: Callable, tmp_path: Path) -> None:
    path = changed(lambda config: None)
    text = path.read_text().replace("optimizer:", "optimizer:\n  <<: {momentum: 0.5}", 1)
    path.write_text(text)
    assert load_config(path).dic["optimizer"]["momentum"] == 0.9


IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    "train, value, alike",
    [
        ([{"type": "Normalize"}], [{"type": "FastNormalize"}], True),
        ([{"type": "Normalize"}], [{"type": "Normalize", "mean": [0.5] * 3, "std": [0.5] * 3}], True),
        ([{"type": "RandomDistort"}, {"type": "Normalize", **IMAGENET}], [{"type": "Normalize", **IMAGENET}], True),
        ([], [], True),
        ([{"type": "Normalize"}], [{"type": "Normalize", **IMAGENET}], False),
        ([{"type": "Normalize", **IMAGENET}], [{"type": "Resize", "target_size": [32, 32]}], False),
        ([], [{"type": "Normalize"}], False),
        ([{"type": "Normalize"}] * 2, [{"type": "Normalize"}], False),
        ([{"type": "Normalize", "mean": "a"}], [{"type": "Normalize"}], False),
    ],
)
def test_images_are_normalized_alike_in_training_and_evaluation(train: list, value: list, alike: bool) -> None:
    config = {"train_dataset": {"transforms": train}, "val_dataset": {"transforms": value}}
    if alike:
        return check_same_normalization(config)
    with pytest.raises(UserError, match="normalized in the same way everywhere, but train_dataset.transforms has"):
        check_same_normalization(config)
