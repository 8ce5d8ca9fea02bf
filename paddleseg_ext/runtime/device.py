"""The device that Paddle computes on, and what it takes of it."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import paddle

from paddleseg_ext.compat.environment import processor_entry
from paddleseg_ext.compat.paddle import threads
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.runtime.threads import count_of, cpu_threads, leave_cores

DEVICES = "auto, cpu, gpu, gpu:N, xpu, npu or mlu"
MOST_READERS = 8
READERS = f"default: {MOST_READERS}, or a core each where there are fewer, for each GPU; none on a CPU"
INSTALL_PAGE = "https://www.paddlepaddle.org.cn/en/install/quick"
logger = logging.getLogger(__name__)


def set_device(name: str = "auto") -> str:
    """Choose the device on which Paddle computes and return its name as Paddle spells it (``cpu``, ``gpu:0``).

    Raises:
        UserError: `name` is none of those allowed, or this Paddle or this machine lacks the device.
    """
    kind = name.split(":")[0]
    if kind not in ("auto", "cpu", "gpu", "xpu", "npu", "mlu"):
        raise UserError(f"`device` {name}: there is no such device; allowed are {DEVICES}")
    gpus = gpu_count()
    if kind == "auto":
        name = "gpu" if gpus else "cpu"
    elif kind == "gpu" and not paddle.is_compiled_with_cuda():
        raise UserError(
            f"`device` {name}: the installed paddlepaddle {paddle.__version__} is the CPU build; install "
            f"paddlepaddle-gpu (the command for your CUDA version is at {INSTALL_PAGE}) or use `device` cpu"
        )
    elif kind == "gpu" and not gpus:
        raise UserError(f"`device` {name}: Paddle sees no GPU on this machine; use `device` cpu")
    elif ":" in name and (processes := paddle.distributed.get_world_size()) > 1:
        raise UserError(
            f"`device` {name}: all {processes} processes would compute on that one; leave the number out, and choose "
            "devices by the launcher's --devices"
        )
    try:
        paddle.set_device(name)
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"`device` {name}: Paddle cannot use it: {reason(error)}") from error
    device = str(paddle.get_device())
    _tell(f"computing on {device}; {count_of(threads(), 'thread')} on the processor")
    return device


@lru_cache(maxsize=1)  # what was told last is not told again
def _tell(where: str) -> None:
    logger.info(where)


def gpu_count() -> int:
    """The GPUs that Paddle sees."""
    return paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0


@contextlib.contextmanager
def computing_on(name: str = "auto") -> Iterator[str]:
    """Within the block Paddle computes on a device, whose name it gets; afterwards on that of before.

    Raises:
        UserError: As `set_device`.
    """
    before = paddle.get_device()
    try:
        yield before if name == before else set_device(name)
    finally:
        paddle.set_device(before)


def device_name() -> str:
    """What computes: the GPU's name, or the processor's with the number of its cores."""
    if paddle.get_device().startswith("gpu"):
        return str(paddle.device.cuda.get_device_name())
    if paddle.get_device() != "cpu":
        return paddle.get_device()
    return f"{processor_entry('model name') or platform.processor()}, {os.cpu_count()} cores"


def search_kernels() -> bool:
    """Have Paddle time its algorithms for convolutions and products on a GPU, and keep the fastest for each size.

    It does so for a few iterations from now on, which take longer and more memory for it. Algorithms differ in
    rounding, and which one is the fastest differs from run to run.

    Returns:
        Whether it does: not on other devices, where there is nothing to choose from.
    """
    if not paddle.get_device().startswith("gpu"):
        return False
    paddle.incubate.autotune.set_config({"kernel": {"enable": True, "tuning_range": [1, 10]}})
    step = paddle.ones([1])
    step.stop_gradient = False
    step.backward()  # Paddle counts these, and searches from the end of the first to that of the ninth
    return True


def reading_processes(asked: int | None = None) -> int:
    """Processes that read data for this one: as many as asked for, else those of `READERS`.

    A GPU waits for data that are read between its steps; on a CPU they would take the cores from the network, which
    gets fewer threads for those that were asked for.
    """
    if asked is None:
        asked = 0 if paddle.get_device() == "cpu" else min(MOST_READERS, cpu_threads())
    leave_cores(asked)
    return asked


def peak_memory() -> int:
    """Bytes: the most that Paddle allocated on the GPU or, without one, that this process had resident (0: unknown)."""
    if paddle.get_device().startswith("gpu"):
        return int(paddle.device.cuda.max_memory_allocated(paddle.get_device()))
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts in what the parent held when it started this process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
