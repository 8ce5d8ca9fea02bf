"""Work spread over threads by NumPy and OpenCV, which let Python's lock go while they compute."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from paddleseg_ext.compat.paddle import threads

SMALLEST = 2**16  # numbers; handing less to another thread takes longer than it saves


def spread(work: Callable[[slice], object], count: int, numbers: int) -> None:
    """Call `work` on slices that together cover ``range(count)``, one for each of Paddle's threads, and wait for all.

    Args:
        work: Its results must not depend on where the slices end.
        count: How many things there are, channels for instance.
        numbers: That are read or written, all together.
    """
    parts = max(1, min(threads(), count, numbers // SMALLEST))
    slices = [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]
    if parts == 1:
        work(slices[0])
    else:
        list(_pool(os.getpid()).map(work, slices))  # raises what one of them did


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """One pool, whose threads start as they are asked for; made anew in a process that was forked, which has none."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "paddleseg_ext")
