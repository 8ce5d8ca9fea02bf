"""Command lines that make no sense end with a sentence and status 2, or do what they say."""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path

import pytest

from paddleseg_ext.cli.main import _load, main
from tests.cli import absurd
from tests.cli.test_damages import healthy, root  # noqa: F401 - a data set, and a network trained on it

SEED, FEW, MANY = 5, 40, 600


def outcome(command: str, argv: list[str], capsys: pytest.CaptureFixture) -> tuple[int, str]:
    try:
        status = main([command, *argv])
    except SystemExit as exit_:
        status = exit_.code
    return status, capsys.readouterr().err


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_absurd_calls(count: int, root: Path, capsys: pytest.CaptureFixture) -> None:  # noqa: F811
    refused = 0
    for command, argv in itertools.islice(absurd.calls(SEED), count):
        os.chdir(root)
        status, told = outcome(command, argv, capsys)
        assert status in (0, 2), (command, argv, told)
        if status == 2:
            refused += 1
            assert told.startswith("error: ") and told.count("\n") == 1, (command, argv, told)
        for made in ("again", "seen", "explained", "exported", "prepared"):
            if (root / made).is_dir():
                (root / made).rename(root / f"{made}_{refused}_{len(list(root.iterdir()))}")
    assert refused > count / 2


@pytest.mark.parametrize("command", absurd.BASES)
def test_no_number_asks_for_work_without_an_end(command: str) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    _load(command).add_arguments(parser)
    subjects = [p for action in parser._actions if isinstance(action.choices, dict) for p in action.choices.values()]
    for action in (action for one in (parser, *subjects) for action in one._actions):
        if getattr(action.type, "__name__", "") == "int" and action.type is not int:  # --input_shape of export
            with pytest.raises(argparse.ArgumentTypeError, match="at most"):
                action.type(str(10**30))


@pytest.mark.parametrize(
    "command, more, told",
    [
        ("train", ["--resume", ""], "error: --resume: what follows is empty"),
        ("predict", ["--image_path", " "], "error: --image_path: what follows is empty"),
        ("train", ["--resume_anyway"], "error: --resume_anyway: without --resume there is no effect"),
        ("train", ["--dry_run", "--resume", "auto"], "error: --dry_run: "),
        ("val", ["--num_pictures", "3"], "error: --num_pictures: without --pictures"),
        ("val", ["--report", "config.yml"], "error: --report: config.yml: config.yml is a file, not a folder"),
        ("val", ["--json", "images"], "error: --json: images: it is a folder, not a file"),
        ("check", ["--page", "config.yml/x.html"], "error: --page: config.yml/x.html: nothing can be written there"),
        ("predict", ["--submission_count", "3"], "error: --submission_count: without --submission"),
        ("predict", ["--scales", "inf"], "error: --scales: inf is not allowed; it is a number, above 0, at most 16"),
        ("benchmark", ["--name", "config.yml/x"], "error: --name config.yml/x: it is the name of a file"),
        ("export", ["--opset", "13"], "error: --opset: without --format onnx"),
        ("train", ["--opts", "model.typ.x=3"], "--opts model.typ.x=3: model has no typ; did you mean 'type'?"),
        (
            "train",
            ["--opts", "train_dataset.transforms.9.prob=1"],
            "transforms is a list of 2, so an index",
        ),
        ("predict", ["--image_path", "a" * 300], "a: File name too long"),
        ("train", ["--save_dir", "a" * 300], "nothing can be written there (File name too long)"),
    ],
)
def test_a_sentence_for(command: str, more: list[str], told: str, root: Path, capsys: pytest.CaptureFixture) -> None:  # noqa: F811
    before = sorted(root.rglob("*"))
    status, error = outcome(command, [*absurd.BASES[command], *more], capsys)
    assert status == 2 and told in error and error.count("\n") == 1
    assert sorted(root.rglob("*")) == before
