"""Kills at random, in a process that has computed nothing yet, so that it can be forked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments", ["--kills 2 --iterations 15 --fresh 0 --no_curves", pytest.param("--kills 50", marks=pytest.mark.slow)]
)
def test_killed_runs_end_as_if_undisturbed(arguments: str) -> None:
    command = [sys.executable, "-m", "tests.training.kills", "--seed", "1", *arguments.split()]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " trainings" in run.stdout
