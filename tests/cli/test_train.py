"""`paddleseg-ext train` from a YAML file to checkpoints, and its sentences."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from paddleseg_ext.cli.main import main
from paddleseg_ext.training.step import Step
from tests.tiny_run import CLASSES, write_config, write_samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_samples(tmp_path)


def train(root: Path, *arguments: str, **changes: object) -> int:
    config = write_config(root, **changes)
    return main(["train", "--config", str(config), "--save_dir", str(root / "out"), "--seed", "1", *arguments])


@pytest.mark.curves
def test_trains_evaluates_and_resumes(root: Path, capsys: pytest.CaptureFixture) -> None:
    boards = ["--use_vdl", "--use_tensorboard"]
    flags = ["--do_eval", "--save_interval", "2", "--log_iters", "1", *boards, "--device", "cpu"]
    assert train(root, "--iters", "4", *flags) == 0
    out = capsys.readouterr().out
    assert (
        "iterations 0 to 4, effective batch 2 = 2 images × 1 processes × 1 accumulated, 6 training images, seed 1"
        in out
    )
    assert "iter 4/4" in out and "mask" in out and "aux0" in out and "ETA" in out and "evaluation at iter 4" in out
    names = {path.name.split(".")[0] for path in (root / "out").iterdir() if path.name != ".lock"}
    assert names == {
        "iter_2",
        "iter_4",
        "last",
        "best_model",
        "metrics",
        "curve",
        "classes_curve",
        "train",
        "vdlrecords",
        "events",
    }
    assert train(root, "--iters", "6", "--resume", "auto", *flags) == 2
    assert "iters, on which the learning rate depends: 4 before, 6 now" in capsys.readouterr().err
    assert train(root, "--iters", "6", "--resume", "auto", "--resume_anyway", *flags) == 0
    out = capsys.readouterr().out
    assert "resuming from" in out and "iter 5/6" in out and "iter 4/6" not in out


def test_paddleseg_names_of_flags(root: Path) -> None:
    assert train(root, "--iters", "2", "--batch_size", "3", "--learning_rate", "0.2", "--keep_checkpoint_max", "1") == 0
    again = ["--iters", "3", "--resume_model", str(root / "out" / "iter_2"), "--opts", "batch_size=1"]
    assert train(root, *again) == 2
    assert train(root, *again, "--resume_anyway") == 0
    assert {path.name for path in (root / "out").glob("iter_*")} == {"iter_2", "iter_3"}


def test_flags_of_learning(root: Path, capsys: pytest.CaptureFixture) -> None:
    flags = [
        "--iters",
        "2",
        "--accumulate",
        "2",
        "--auto_scale_lr",
        "16",
        "--head_lr",
        "10",
        "--no_decay",
        "--log_iters",
        "1",
    ]
    assert train(root, *flags, "--freeze", "norm.*", "--clip_norm", "1", "--use_ema", "--deterministic") == 0
    out = capsys.readouterr().out
    assert "effective batch 4 = 2 images × 1 processes × 2 accumulated" in out
    assert "learning rate × 0.25 = 0.025" in out and "lr 0.025" in out
    assert "224 parameters at lr × 1 (8 of them without weight decay); 246 parameters at lr × 10 (6 of" in out
    assert "16 frozen" in out and "BatchNorm and losses still take their means over 2 images" in out


def test_a_dry_run_does_everything_and_leaves_nothing(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert train(root, "--dry_run", "--do_eval", "--use_ema", "--accumulate", "2") == 0
    out = capsys.readouterr().out
    for step in ("iter 1/1", "trained, saved and evaluated", "iter 2/2", "resumed and trained on", "traced for export"):
        assert step in out
    assert "2 images, mIoU" in out
    assert not (root / "out").exists()


def test_a_dry_run_finds_what_would_fail(root: Path, capsys: pytest.CaptureFixture) -> None:
    loss = {"types": [{"type": "CrossEntropyLoss"}, {"type": "BCELoss", "edge_label": True}], "coef": [1, 1]}
    assert train(root, "--dry_run", loss=loss) == 2
    assert "edge_label needs train_dataset.edge" in capsys.readouterr().err


def test_resume_auto_without_a_checkpoint_starts_anew(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert train(root, "--iters", "1", "--resume", "auto") == 0
    assert "no checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize(
    "program, shown",
    [
        (["tools/train.py"], "python tools/train.py"),
        (["/site/paddleseg_ext/__main__.py", "train"], "python -m paddleseg_ext train"),
        (["paddleseg-ext", "train"], "paddleseg-ext train"),
    ],
)
def test_a_signal_prints_the_line_that_goes_on(
    program: list[str], shown: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", [*program, "--config", "my run.yml", "--resume", "old"])
    step = Step.__call__

    def send(self: Step, batches: list) -> dict:
        os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batches)

    monkeypatch.setattr(Step, "__call__", send)
    assert train(root) == 128 + signal.SIGTERM
    out = capsys.readouterr().out
    assert "stopped by SIGTERM at iteration 1" in out
    assert f"to go on: {shown} --config 'my run.yml' --resume auto" in out


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["--batch_size", "7"], {}, "train_dataset has 6 samples"),
        (["--resume", "nowhere"], {}, "checkpoint nowhere: there is no such folder"),
        ([], {"loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1] * 3}}, "gives 2 outputs: mask, aux0"),
        ([], {"model": {"type": "TwoOutput", "num_classes": CLASSES}}, "TwoOutput"),
        ([], {"model": {"type": "TwoOutputs", "num_classes": CLASSES, "pretrained": "no.pdparams"}}, "no.pdparams"),
        (["--freeze", "decoder.*"], {}, "--freeze decoder.* matches no parameter"),
        (["--do_eval"], {"val_dataset": {}}, "val_dataset"),
        (["--opts", "test_config.nonsense=1"], {"test_config": {}}, "nonsense"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    root: Path, capsys: pytest.CaptureFixture, arguments: list[str], changes: dict, message: str
) -> None:
    assert train(root, *arguments, **changes) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not (root / "out").exists()


@pytest.mark.parametrize("kind", ["Cityscapes", "ADE20K", "PascalContext"])
def test_a_folder_of_data_that_is_not_there_is_told(root: Path, kind: str, capsys: pytest.CaptureFixture) -> None:
    """PaddleSeg's own words name neither folder nor key."""
    section = {"type": kind, "dataset_root": "data/nowhere", "transforms": [{"type": "Normalize"}]}
    assert train(root, train_dataset=section, val_dataset={**section, "mode": "val"}, model={"type": "TwoOutputs"}) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: train_dataset: {kind}: there is no folder data/nowhere; dataset_root")


def test_bad_numbers_are_refused(root: Path, capsys: pytest.CaptureFixture) -> None:
    for flag, value in [("--iters", "0"), ("--batch_size", "-1"), ("--num_workers", "-1"), ("--seed", "x")]:
        assert train(root, flag, value) == 2
        assert capsys.readouterr().err.startswith(f"error: {flag}: ")


def test_autotune_is_told_on_a_cpu_and_refused_with_deterministic(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert train(root, "--autotune", "--iters", "1", "--device", "cpu") == 0
    told = capsys.readouterr()
    assert "`autotune` has no effect here" in told.out + told.err
    assert train(root, "--autotune", "--deterministic", "--iters", "1", "--device", "cpu") == 2
    assert "leave one of them out" in capsys.readouterr().err
