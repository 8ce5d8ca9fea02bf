"""The environment with PyTorch and mmsegmentation."""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache

from paddleseg_ext.errors import UserError, reason

TORCH = "PADDLESEG_EXT_TORCH"  # names the environment's Python
NEEDED = ("torch", "mmcv", "mmengine", "mmseg")
LACKING = f"from importlib.util import find_spec; print(*(name for name in {NEEDED!r} if find_spec(name) is None))"


def torch_python() -> str | None:
    """The Python of the environment, or None where there is none.

    Raises:
        UserError: It cannot be started, or lacks something; the message tells what.
    """
    python = os.environ.get(TORCH)
    return _checked(python) if python else None


@lru_cache(maxsize=1)
def _checked(python: str) -> str:
    try:
        done = subprocess.run([python, "-c", LACKING], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{TORCH}={python}: {reason(error)}") from error
    if done.returncode:
        raise UserError(f"{TORCH}={python}: it is no Python that starts ({done.stderr.strip()[-200:]})")
    if lacking := done.stdout.split():
        raise UserError(
            f"{TORCH}={python}: {', '.join(lacking)} cannot be imported there; benchmarks/imports/README.md tells how "
            "the environment is made"
        )
    return python
