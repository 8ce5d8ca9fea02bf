"""The clone that the benchmarks lie in, and how a process is started that finds its modules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def clone_environment(base: Mapping[str, str] = os.environ, **variables: str) -> dict[str, str]:
    """Variables for a process that finds the modules of the clone, before those of ``PYTHONPATH``.

    Args:
        base: The others.
        **variables: Some more.
    """
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**base, "PYTHONPATH": os.pathsep.join(paths), **variables}
