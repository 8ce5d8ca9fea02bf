"""Memory that Paddle frees is kept for its next tensors, where glibc would give it back to the system.

glibc returns each freed block of more than 32 MiB, and what lies at the end of its heap. A network's maps are such
blocks: every one then consists of pages that the system has to clear, one interrupt for each 4 KiB, which takes longer
than the operation that writes the map.
"""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt, <malloc.h>
NEVER, NONE = -1, 0
VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Have this process, and those forked from it, keep the memory it frees.

    Returns:
        Whether it does now: only with glibc, and unless the user has chosen otherwise by one of `VARIABLES`.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in VARIABLES):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(MMAP_MAX, NONE) and mallopt(TRIM_THRESHOLD, NEVER))
