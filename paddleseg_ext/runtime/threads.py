"""Threads of the processor: how many this process may use, and how many Paddle, OpenMP, MKL and OpenCV get."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import paddle

from paddleseg_ext.compat.environment import given_threads
from paddleseg_ext.compat.paddle import set_threads, threads

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
logger = logging.getLogger(__name__)
_chosen = False  # whether the number in use was chosen here, so that processes which read data may lower it


def cpu_threads() -> int:
    """Threads for one process: the cores it may use, shared with the others that were launched on this machine."""
    processes = int(os.environ.get("PADDLE_LOCAL_SIZE", paddle.distributed.get_world_size()))
    return max(1, _cores() // processes)


@contextmanager
def use_threads(count: int | None = None) -> Iterator[None]:
    """Within the block Paddle, MKL, OpenMP and OpenCV compute with so many threads.

    Args:
        count: None: as many as the user's environment says (``OMP_NUM_THREADS``, ``MKL_NUM_THREADS``), else
            `cpu_threads`.
    """
    global _chosen
    before, opencv, chosen = threads(), cv2.getNumThreads(), _chosen
    given = given_threads()
    _chosen = count is None and given is None
    if count or _chosen:
        set_threads(count or cpu_threads())
    cv2.setNumThreads(count or given or threads())
    try:
        yield
    finally:
        _chosen = chosen
        if threads() != before:
            set_threads(before)
        cv2.setNumThreads(opencv)


def leave_cores(readers: int) -> None:
    """Give the network fewer threads where so many processes read data beside it, unless the user chose its number."""
    count = max(1, cpu_threads() - readers)
    if _chosen and count < threads():
        logger.info(
            f"{count_of(count, 'thread')} for the network, beside {count_of(readers, 'process')} that read data"
        )
        set_threads(count)


def count_of(number: int, what: str) -> str:
    """A number with its noun, in the plural where it has one."""
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('s') else 's'}"


def _cores() -> int:
    """Physical cores that this process may use: its affinity's, at most as many as its container has time for."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = len({_siblings(processor) for processor in allowed})
    return max(1, min([cores, *(int(quota) for folder in control_groups("cpu") for quota in _quota(folder))]))


def _siblings(processor: int) -> str:
    """Names the core of a processor: those that share it. Where the system does not tell, it has one of its own."""
    try:
        return Path(TOPOLOGY.format(processor)).read_text().strip()
    except OSError:
        return str(processor)


def control_groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups (versions 1 and 2) that limit this process, from its own to those around it.

    Args:
        controller: What they limit: cpu or memory.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        roots = [CGROUPS / controllers, CGROUPS / controller] if controllers else [CGROUPS, CGROUPS / "unified"]
        for root in roots:
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):  # in a container the group's own folder may be the root
                yield folder
                if folder == root:
                    break


def _quota(folder: Path) -> Iterator[float]:
    """Processors that one control group grants, if it limits them."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            granted = float(quota) / float(period)
        except (OSError, ValueError, ZeroDivisionError):  # none there, or "max"
            continue
        if granted > 0:  # -1: without a limit
            yield granted
