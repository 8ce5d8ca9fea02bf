"""Repairs of PaddleSeg: every fault that is worked around, one function each.

PyPI's newest paddleseg, 2.8.0, predates two changes of Paddle: a reduction to one number returns a 0-D tensor (since
2.5), and an operation between a floating and an integer or boolean tensor is refused (since 3.0). PaddleSeg 2.9.0
follows them in part, 2.9.1 and the develop head in full (`version_repairs`); the few faults of their own that make a
documented use fail are repaired there too (`upstream_repairs`), and those of backbones (`backbone_repairs`).

A repair looks at the installed function and acts only where it finds the fault, so a PaddleSeg that has mended it is
left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paddleseg.utils import logger

from paddleseg_ext.compat.backbone_repairs import BACKBONE_REPAIRS
from paddleseg_ext.compat.upstream_repairs import UPSTREAM_REPAIRS
from paddleseg_ext.compat.version_repairs import VERSION_REPAIRS


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block PaddleSeg does not tell each step of what it does; its warnings and errors stay."""
    original = logger.info
    logger.info = lambda *_, **__: None
    try:
        yield
    finally:
        logger.info = original


@contextmanager
def overheard(listen: Callable[[str], object]) -> Iterator[None]:
    """Within the block whatever PaddleSeg prints as its log is also given to `listen`, a line each."""
    original = logger.log

    def log(level: int = 2, message: str = "") -> None:
        original(level, message)
        if logger.log_level >= level:
            listen(f"PaddleSeg: {message}")

    logger.log = log
    try:
        yield
    finally:
        logger.log = original


applied: list[str] = []  # names of the repairs in force


def repair() -> list[str]:
    """Apply the repairs whose fault is present and return their names; a second call finds none."""
    names = [fix.__name__ for fix in (*VERSION_REPAIRS, *UPSTREAM_REPAIRS, *BACKBONE_REPAIRS) if fix()]
    applied.extend(names)
    return names
