"""Time, memory and operations of a function; two functions in turns."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import paddle

from paddleseg_ext.compat.paddle import allocated_memory, observe_operators, reset_peak_memory

MIB = 2**20
WARM_UP = 5  # calls on a GPU


@dataclass
class Timing:
    """Seconds of repeated runs."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Largest minus smallest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if paddle.get_device().startswith("gpu"):
        paddle.device.synchronize()


def timed(run: Callable[[], None]) -> float:
    """Seconds of one call."""
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def interleaved_timing(*runs: Callable[[], Any], rounds: int) -> tuple[Timing, ...]:
    """Time functions in turns, after some calls of each to warm up, so that all see the same machine."""
    for run in runs:
        for _ in range(WARM_UP if paddle.get_device().startswith("gpu") else 1):  # libraries choose algorithms there
            run()
    timings = tuple(Timing() for _ in runs)
    for _ in range(rounds):
        for timing, run in zip(timings, runs):
            timing.seconds.append(timed(run))
    return timings


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


def _conv_macs(_: paddle.Tensor, weight: paddle.Tensor, out: paddle.Tensor) -> int:
    return out.size * prod(weight.shape[1:])  # each output sums over the kernel and the group's channels


def _matmul_macs(x: paddle.Tensor, y: paddle.Tensor, out: paddle.Tensor) -> int:
    # Of b products (m, k)·(k, n): |x| = b·m·k, |y| = b·k·n, |out| = b·m·n, hence k² = |x|·|y| / (|out|·b).
    batch = prod(out.shape[:-2])
    sizes = [t.size * batch // prod(t.shape[:-2]) for t in (x, y)]  # an operand without batch serves every product
    return out.size * round((sizes[0] * sizes[1] / (out.size * batch)) ** 0.5)


COUNTED = {
    "conv2d": _conv_macs,
    "depthwise_conv2d": _conv_macs,
    "matmul": _matmul_macs,
    "bmm": _matmul_macs,
    "linear": _matmul_macs,
}


@contextmanager
def count_macs() -> Iterator[list[int]]:
    """Multiply-adds of the convolutions and matrix products run meanwhile, one number per call.

    Counted where they are executed, so that those written as functions count as layers do.
    """
    counts: list[int] = []

    def count(name: str, args: tuple, out: paddle.Tensor) -> None:
        counts.append(COUNTED[name](args[0], args[1], out))

    with observe_operators(list(COUNTED), count):
        yield counts
