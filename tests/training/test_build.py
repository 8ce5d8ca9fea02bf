"""A run is its file: what a checkpoint's own configuration repeats, and what a resume is held to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from paddleseg.cvlibs import manager

from paddleseg_ext import load_config
from paddleseg_ext.checkpoint.load import WeightMatch
from paddleseg_ext.checkpoint.save import load_checkpoint
from paddleseg_ext.cli.main import main
from paddleseg_ext.training.build import build_trainer, run_config
from tests.conftest import TinyBackbone
from tests.tiny_run import CLASSES, write_config, write_samples

ROOT = Path(__file__).resolve().parents[2]
FLAGS = "--accumulate 4 --use_ema --ema_decay 0.9 --clip_norm 0.5 --head_lr 2 --no_decay --freeze norm.* --seed 5"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(write_samples(tmp_path), imports=["tests.tiny_run"], iters=15)


def assert_same(a: Path, b: Path) -> None:
    first, second = load_checkpoint(a), load_checkpoint(b)
    for mine, others in ((first.weights, second.weights), (first.arrays, second.arrays)):
        assert mine.keys() == others.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], others[name], err_msg=name)
    assert first.record == second.record


KILLED = """
import os, runpy, signal, sys
from paddleseg_ext.training.step import Step

call, calls = Step.__call__, iter(range(7))
Step.__call__ = lambda *args: call(*args) if next(calls, None) is not None else os.kill(os.getpid(), signal.SIGKILL)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_killed_and_resumed_with_its_own_file_alone_ends_as_if_undisturbed(config: Path, tmp_path: Path) -> None:
    """The flags are given once; afterwards the checkpoint's config.yml says all of it. Killed in its 8th iteration."""
    flags = [*FLAGS.split(), "--save_interval", "5", "--keep_checkpoint_max", "0", "--log_iters", "5"]
    assert main(["train", "--config", str(config), *flags, "--save_dir", str(tmp_path / "straight")]) == 0
    killed = tmp_path / "killed"
    script = [sys.executable, "-c", KILLED, str(ROOT / "tools" / "train.py")]
    run = subprocess.run(
        [*script, "--config", str(config), *flags, "--save_dir", str(killed)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    assert run.returncode == -signal.SIGKILL
    assert (killed / "iter_5").is_dir() and not (killed / "iter_10").exists()
    own = killed / "iter_5" / "config.yml"
    assert main(["train", "--config", str(own), "--save_dir", str(killed), "--resume", "auto"]) == 0
    assert_same(tmp_path / "straight" / "iter_15", killed / "iter_15")


def test_a_resume_without_its_flags_is_refused_and_allowed_where_asked(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    start = ["train", "--config", str(config), "--save_dir", str(tmp_path / "run"), "--seed", "5"]
    assert main([*start, "--iters", "4", "--save_interval", "2", "--accumulate", "4"]) == 0
    resume = [*start, "--iters", "4", "--resume", str(tmp_path / "run" / "iter_2")]
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    capsys.readouterr()
    assert main(resume) == 2
    error = capsys.readouterr().err
    assert "trained with other settings" in error and "train.accumulate: 4 before, 1 now" in error
    assert f"--config {tmp_path / 'run' / 'iter_2' / 'config.yml'}" in error and "--resume_anyway" in error
    assert error.count("\n") == 1 and sorted(path.name for path in (tmp_path / "run").iterdir()) == before
    assert main([*resume, "--resume_anyway"]) == 0


def test_the_checkpoint_keeps_the_seed_that_was_drawn(config: Path, tmp_path: Path) -> None:
    for name, start in (("a", config), ("b", tmp_path / "a" / "iter_2" / "config.yml")):
        assert main(["train", "--config", str(start), "--iters", "2", "--save_dir", str(tmp_path / name)]) == 0
    assert isinstance(yaml.safe_load((tmp_path / "a" / "iter_2" / "config.yml").read_text())["train"]["seed"], int)
    assert_same(tmp_path / "a" / "iter_2", tmp_path / "b" / "iter_2")


def test_in_a_notebook_three_lines_train(config: Path, tmp_path: Path) -> None:
    configuration = load_config(config, iters=2, train={"seed": 1})
    result = build_trainer(configuration, run_config(configuration, tmp_path / "out")).run()
    assert result.iteration == 2 and result.checkpoint == tmp_path / "out" / "iter_2"


@pytest.mark.parametrize(
    "model, told",
    [
        ({}, True),
        ({"backbone": {"type": "TinyBackboneForBuild", "pretrained": None}}, True),
        ({"pretrained": "weights.pdparams"}, False),
        ({"backbone": {"type": "TinyBackboneForBuild", "pretrained": "backbone.pdparams"}}, False),
        ({"type": "TwoOutputs", "backbone": None}, False),
    ],
)
def test_a_backbone_from_random_weights_is_told(
    model: dict, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(manager.BACKBONES.components_dict, "TinyBackboneForBuild", lambda **_: TinyBackbone(8))
    section = {"type": "EncoderDecoder", "num_classes": CLASSES, "backbone": {"type": "TinyBackboneForBuild"}}
    section |= {"decode_head": {"type": "FCNHead", "channels": 8}, **model}
    if section["backbone"] is None:
        section = {"type": "TwoOutputs", "num_classes": CLASSES}
    path = write_config(
        write_samples(tmp_path), model=section, loss={"types": [{"type": "CrossEntropyLoss"}], "coef": [1]}
    )
    config = load_config(path)
    monkeypatch.setattr("paddleseg_ext.builder.load_weights", lambda *_, **__: WeightMatch())
    if section["type"] == "TwoOutputs":
        config.dic["loss"] = {"types": config.dic["loss"]["types"] * 2, "coef": [1, 1]}
    with caplog.at_level("WARNING"):
        build_trainer(config, run_config(config, tmp_path / "run"))
    assert ("TinyBackboneForBuild starts from random weights" in caplog.text) == told
