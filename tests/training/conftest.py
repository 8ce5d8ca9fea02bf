"""Small trainings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from paddleseg_ext.config.load import load_config
from paddleseg_ext.training.build import build_trainer, run_config
from paddleseg_ext.training.step import Step
from paddleseg_ext.training.trainer import Trainer
from tests.tiny_run import write_config, write_samples


@pytest.fixture
def make(tmp_path: Path):
    """Trainers over the same data; `config` replaces entries of the YAML file, keywords those of its `train:`."""
    write_samples(tmp_path)

    def trainer(
        name: str,
        config: dict | None = None,
        iters: int = 20,
        resume: Path | None = None,
        use_vdl: bool = False,
        use_tensorboard: bool = False,
        **train: object,
    ) -> Trainer:
        cfg = load_config(write_config(tmp_path, **(config or {})), train={"save_interval": 10, "seed": 7, **train})
        run = run_config(cfg, tmp_path / name, use_vdl, use_tensorboard)
        return build_trainer(cfg, replace(run, iters=iters), resume)

    return trainer


@pytest.fixture
def before_step(monkeypatch: pytest.MonkeyPatch):
    """Lets a function see, and perhaps spoil, the batches of each iteration."""

    def install(look: Callable[[list[dict]], None]) -> None:
        call = Step.__call__

        def step(self: Step, batches: Iterator[dict]) -> dict[str, float]:
            batches = list(batches)
            look(batches)
            return call(self, batches)

        monkeypatch.setattr(Step, "__call__", step)

    return install


@pytest.fixture(autouse=True)
def _without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """It matters to machines that lose power, and takes most of the time of small trainings on a busy disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
