"""Whole processes of two commits, timed in turns; what they find is compared."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import commands
from benchmarks.clone import ROOT
from paddleseg_ext.data.image_io import save_pred
from paddleseg_ext.errors import UserError

real_run = subprocess.run


def arguments(tmp_path: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    commands.add_arguments(parser)
    given = {"config": "pspnet", "model_path": "w", "dataset_root": "d", "image_path": "i", "beside": "HEAD"}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return parser.parse_args([*words, *more])


class Commands:
    """In the place of processes: the other commit's predictions differ in one pixel; its threads are noted."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.wrong = ""

    def __call__(self, line: list[str], **options: Any) -> Any:
        if not any("tools/" in word for word in line):
            return real_run(line, **options)
        self.lines.append([Path(options["cwd"]).name, *line[1:]])
        assert options["env"]["PYTHONPATH"] == str(options["cwd"])
        ours, command = Path(options["cwd"]) == ROOT, Path(line[1]).stem
        if command == self.wrong:
            return subprocess.CompletedProcess(line, 2, "", "error: it went wrong\n")
        if command == "val":
            Path(line[line.index("--json") + 1]).write_text(json.dumps({"miou": 0.5}), encoding="utf-8")
        else:
            ids = np.zeros((4, 5), np.uint8)
            ids[0, 0] = ours
            save_pred(Path(line[line.index("--save_dir") + 1], "ids", "a.png"), ids)
        return subprocess.CompletedProcess(line, 0, "", "")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands()
    monkeypatch.setattr(commands.subprocess, "run", made)
    return made


def test_both_commits_run_in_turns_and_are_compared(tmp_path: Path, processes: Commands) -> None:
    val, predict = commands.run(arguments(tmp_path, "--rounds", "3", "--their_threads", "1"))
    order = [(name == ROOT.name, Path(program).stem) for name, program, *_ in processes.lines]
    assert order == [(True, "val"), (False, "val"), (True, "predict"), (False, "predict")] * 3
    assert all(("--threads" in words) is (name != ROOT.name) for name, *words in processes.lines)
    assert val["command"] == "val" and val["differing"] == "0 of mIoU" and val["theirs_ours"] > 0
    assert predict["differing"] == "1 of 20 pixels" and predict["images"] == 1


def test_what_goes_wrong_is_told(tmp_path: Path, processes: Commands) -> None:
    processes.wrong = "predict"
    with pytest.raises(UserError, match="predict of ours failed: error: it went wrong"):
        commands.run(arguments(tmp_path))
    with pytest.raises(UserError, match="--beside nothing: .*nothing"):
        commands.run(arguments(tmp_path, "--beside", "nothing"))
