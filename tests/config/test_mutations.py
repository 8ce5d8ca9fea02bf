"""Mistakes in shipped configurations: each is told in a sentence that names the key, or is none and all builds."""

from __future__ import annotations

import copy
import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from paddleseg.cvlibs import manager

from paddleseg_ext import Builder, UserError, load_config
from paddleseg_ext.config.load import train_config
from tests.config.mutations import Mutation, mutations
from tests.test_configs import LEAVES, tiny

COUNT, SEED, NAMED = 600, 1, 0.95


def build(path: Path, section: str | None) -> None:
    """What a training builds of a section, without data."""
    config = load_config(path)
    train_config(config).check_used()
    builder = Builder(config)
    if section in ("model", None):
        assert builder.model is not None
    if section in ("loss", None):
        assert builder.loss
    if section in ("lr_scheduler", "iters"):
        assert builder.lr_scheduler is not None
    if section == "val_dataset":
        assert builder.val_transforms is not None


def drawn(count: int) -> list[Mutation]:
    """Of a few configurations, so that each is read once."""
    draw = random.Random(SEED)
    found: list[Mutation] = []
    for number, leaf in enumerate(draw.sample(LEAVES, 20)):
        config: dict[str, Any] = json.loads(json.dumps(load_config(leaf).dic))
        found += itertools.islice(mutations(copy.deepcopy(config), SEED * 1000 + number), count // 20)
    return found


def test_mistakes_are_told_by_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ResNet18_vd", "ResNet50_vd", "ResNet101_vd", "ResNet50_v1c", "ResNet101_v1c"):
        monkeypatch.setitem(manager.BACKBONES.components_dict, name, tiny)
    path, told, unnamed = tmp_path / "mutated.yml", 0, []
    for mutation in drawn(COUNT):
        path.write_text(mutation.text, encoding="utf-8")
        start = time.perf_counter()
        try:
            build(path, mutation.section)
        except UserError as error:
            told += mutation.key is not None
            if mutation.key and mutation.key.lower() not in str(error).lower():
                unnamed.append((mutation.what, str(error)))
        assert time.perf_counter() - start < 10, mutation.what
    assert told > COUNT / 2
    assert len(unnamed) <= (1 - NAMED) * told, unnamed
