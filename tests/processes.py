"""Runs a script in two processes of one machine, joined by gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def launch_two(script: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`script root arguments…` under Paddle's launcher, in the folder ``root``; its logs go to ``root``/log."""
    run = launcher(script, root, *arguments)
    out, err = run.communicate(timeout=180)
    return subprocess.CompletedProcess(run.args, run.returncode, out, err)


def launcher(script: Path, root: Path, *arguments: str) -> subprocess.Popen:
    """The same, running."""
    options = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", str(root / "log")]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, *options, str(script), str(root), *arguments],
        env={**os.environ, "PADDLE_DISTRI_BACKEND": "gloo", "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
    )
