"""Kills at random, in a process that has computed nothing yet, so that it can be forked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_runs_end_as_if_undisturbed(kills: int) -> None:
    arguments = [
        "-m",
        "tests.training.kills",
        "--kills",
        str(kills),
        "--seed",
        "1",
        "--fresh",
        "0" if kills < 9 else "0.2",
    ]
    run = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=os.environ)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " trainings" in run.stdout
