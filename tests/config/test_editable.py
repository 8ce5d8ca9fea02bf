"""A configuration as one YAML file to edit: the same keys and values, with comments, in the order of a run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from paddleseg_ext import load_config
from paddleseg_ext.config.editable import ORDER, editable_yaml
from paddleseg_ext.config.files import read_files
from paddleseg_ext.config.load import OURS, PADDLESEGS
from paddleseg_ext.config.shipped import shipped_configs
from paddleseg_ext.config.train import TrainConfig

CONFIGS = shipped_configs()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_reads_back_as_it_was(name: str, tmp_path: Path) -> None:
    content = read_files(CONFIGS[name]).content
    text = editable_yaml(content, name)
    path = tmp_path / "config.yml"
    path.write_text(text, encoding="utf-8")
    again = read_files(path).content
    assert {**again, "train": again["train"] or {}} == {"train": {}, **content} and "_base_" not in text
    assert list(again) == [key for key in ORDER if key in again]
    assert max(map(len, text.splitlines())) <= 120


def test_what_is_loaded_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    for name in ("quickstart/fastfcn", "ccnet/ccnet_resnet101_v1c_os8_cityscapes_769x769_60k_official"):
        path.write_text(editable_yaml(read_files(CONFIGS[name]).content, name))
        assert load_config(path).dic == load_config(name).dic


def test_every_section_has_its_place() -> None:
    assert set(ORDER) <= {*OURS, *PADDLESEGS}


def test_comments_stand_with_their_keys() -> None:
    lines = editable_yaml(read_files(CONFIGS["quickstart/pspnet_from_noise"]).content, "first\nsecond").splitlines()
    assert lines[:4] == ["# first", "# second", "", "# The length of the run."]
    assert "batch_size: 4  # images per iteration and device" in lines
    assert "      crop_size: [192, 128]  # width, height" in lines
    assert "    output_stride: 16  # 8, 16 or 32 pixels per cell of its last map: finer is slower" in lines


def test_what_is_not_set_can_be_taken_from_the_comments(tmp_path: Path) -> None:
    content = read_files(CONFIGS["quickstart/pspnet"]).content
    text = editable_yaml({**content, "train": {"seed": 3}}, "")
    assert "  seed: 3  # makes the run reproducible" in text
    uncommented = "\n".join(
        line.replace("# ", "", 1)
        if line.startswith(tuple(f"  # {entry.name}: " for entry in fields(TrainConfig)))
        else line
        for line in text.splitlines()
    )
    section = yaml.safe_load(uncommented)["train"]
    assert section == {**TrainConfig().to_section(), "seed": 3}


def test_what_is_odd_reads_back_too(tmp_path: Path) -> None:
    odd = {
        "imports": ["my_heads"],
        "train_dataset": {
            "dataset_root": "/数据/街 景: #1",
            "classes": [f"类 {n}, yes" for n in range(40)],
            "empty": {},
        },
        "val_dataset": {"transforms": [], "none": None, "word": "on", "number": "1e-3", "multi": "a\nb # c\n" * 30},
        "loss": {"types": [{"type": "MixedLoss", "losses": [{"type": "A", "weight": list(range(90))}], "coef": [1.5]}]},
        "lr_scheduler": {"learning_rate": 1e-7, "type": "X"},
        "own": {"crop_size": list(range(100))},
    }
    assert yaml.safe_load(editable_yaml(odd, "标题")) == {"train": None, **odd}
