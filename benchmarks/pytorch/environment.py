"""The environment with PyTorch and mmsegmentation."""

from __future__ import annotations

import os

TORCH = "PADDLESEG_EXT_TORCH"  # names the environment's Python


def torch_python() -> str | None:
    """The Python of the environment, or None where there is none."""
    return os.environ.get(TORCH) or None
