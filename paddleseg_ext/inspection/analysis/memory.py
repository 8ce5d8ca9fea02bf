"""Memory that a call holds at its peak, as Paddle counts it and as the system does."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle

from paddleseg_ext.compat.paddle import allocated_memory, reset_peak_memory
from paddleseg_ext.inspection.analysis.timing import synchronize
from paddleseg_ext.runtime.device import peak_memory

MIB = 2**20
PROCESS = Path("/proc/self")


def peak_allocation(run: Callable[[], Any]) -> int:
    """Bytes that a call holds at its peak beyond what was allocated before it; call it warmed up.

    Exact on a CPU, and on a GPU too, but for what its libraries allocate by themselves. Needs Paddle ≥ 3.0.
    """
    gc.collect()
    synchronize()
    reset_peak_memory()
    before = allocated_memory()
    run()
    synchronize()
    return allocated_memory(peak=True) - before


def peak_resident_growth(run: Callable[[], Any]) -> int | None:
    """Make a call; bytes by which the process's resident memory grew at most, or None where that is not known.

    Beside what `peak_allocation` counts it has what NumPy, OpenCV and Paddle's libraries for products take, and lacks
    what the process had in reserve from earlier calls. It is known on a CPU under Linux.
    """
    gc.collect()
    try:
        (PROCESS / "clear_refs").write_text("5")  # the peak starts again from what is resident now
        known = paddle.get_device() == "cpu"
    except OSError:
        known = False
    before = peak_memory()
    run()
    return peak_memory() - before if known else None
