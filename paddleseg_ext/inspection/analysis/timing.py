"""Time of functions, measured in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paddle

WARM_UP = 5  # calls on a GPU


@dataclass
class Timing:
    """Seconds of repeated runs."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of the runs."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Largest minus smallest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if paddle.get_device().startswith("gpu"):
        paddle.device.synchronize()


def timed(run: Callable[[], Any]) -> float:
    """Seconds of one call."""
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def interleaved_timing(*runs: Callable[[], Any], rounds: int, pause: float = 0.0) -> tuple[Timing, ...]:
    """Time functions in turns, after some calls of each to warm up, so that all see the same machine.

    Args:
        *runs: What is timed.
        rounds: Timed calls of each.
        pause: Seconds before each, for what another one's threads still do.
    """
    for run in runs:
        for _ in range(WARM_UP if paddle.get_device().startswith("gpu") else 1):  # libraries choose algorithms there
            run()
    timings = tuple(Timing() for _ in runs)
    for _ in range(rounds):
        for timing, run in zip(timings, runs):
            time.sleep(pause)
            timing.seconds.append(timed(run))
    return timings
