"""What PaddleSeg ≤ 2.8.0 asks of `paddle.utils.profiler`, which Paddle no longer has, done by `paddle.profiler`."""

from __future__ import annotations

import paddle
from paddle.profiler import Profiler, ProfilerTarget, SortedKeys

ORDERS = {
    "total": SortedKeys.CPUTotal,
    "max": SortedKeys.CPUMax,
    "min": SortedKeys.CPUMin,
    "ave": SortedKeys.CPUAvg,
}
_running: list[Profiler] = []


def start_profiler(state: str, tracer_option: str) -> None:
    """Record from here on.

    Args:
        state: ``CPU``, ``GPU`` or ``All``; a GPU is recorded beside the CPU where there is one.
        tracer_option: How detailed; Paddle's present profiler always records operators.
    """
    targets = [ProfilerTarget.CPU]
    if state != "CPU" and paddle.is_compiled_with_cuda():
        targets.append(ProfilerTarget.GPU)
    recording = Profiler(targets=targets, on_trace_ready=lambda _: None)  # else it writes into ./profiler_log
    recording.start()
    _running.append(recording)


def stop_profiler(sorted_key: str, profile_path: str) -> None:
    """Stop, print the table of operators and write a trace in Chrome's format.

    Args:
        sorted_key: The table's order: ``total``, ``max``, ``min`` or ``ave``; ``calls``, an order that Paddle has no
            longer, is taken for ``total``.
        profile_path: The trace's file.
    """
    recording = _running.pop()
    recording.stop()
    recording.export(profile_path, format="json")
    recording.summary(sorted_by=ORDERS.get(sorted_key, SortedKeys.CPUTotal))
