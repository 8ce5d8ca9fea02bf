"""The environment with PyTorch and mmsegmentation, and how a process is started in it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH = "PADDLESEG_EXT_TORCH"  # names the environment's Python


def torch_python() -> str | None:
    """The Python of the environment, or None where there is none."""
    return os.environ.get(TORCH) or None


def clone_environment(**variables: str) -> dict[str, str]:
    """Variables for a process that finds the modules of the clone, with some more."""
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
