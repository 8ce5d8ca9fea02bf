"""Independent computations side by side on the cores of a processor, each with its share of Paddle's threads.

Paddle has operations that use one core however many threads there are, and short ones that gain little by several. Two
pictures on one core each are done nearly twice as soon as one after the other on both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import paddle

from paddleseg_ext.compat.paddle import allocated_memory, can_reset_peak_memory, reset_peak_memory, set_threads, threads
from paddleseg_ext.runtime.threads import control_groups, use_threads

T = TypeVar("T")
R = TypeVar("R")

MOST = 4  # lanes; with more threads, each gets several: memory grows with lanes, and Python has one core for them all
SPARED = 0.2  # of the memory that is free
LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))  # of control groups


def several() -> bool:
    """Whether there is anything to gain: a CPU computes, with several threads."""
    return threads() > 1 and paddle.get_device() == "cpu"


class Lanes:
    """Computes items side by side, on as many lanes as threads and memory allow.

    The first item ever is computed alone, which tells the memory that others take.

    Args:
        watch: A context in which the first is computed. It gives a function that tells afterwards whether several may
            be computed at a time.
    """

    def __init__(self, watch: Callable[[], AbstractContextManager[Callable[[], bool]]]) -> None:
        self.watch = watch
        self.room: float | None = None  # size of all items that may be under way

    def map(self, work: Callable[[T], R], items: Iterable[T], size: Callable[[T], int]) -> Generator[R, None, None]:
        """The results of `work` for each item, in order.

        Each has the same number of threads, whether others are under way or not, so that its result depends on none. A
        single item has all threads.

        Args:
            work: Called in threads of its own, for a single item in the caller's.
            items: Iterated over in the caller's thread. What that raises is raised after the results before it.
            size: Of an item, in proportion to the memory that computing it takes; pixels for instance.
        """
        outcomes = _outcomes(items)
        head = list(islice(outcomes, 2))
        if len(head) < 2:
            for item, error in head:
                if error is not None:
                    raise error
                yield work(item)
            return
        each = -(-threads() // MOST)
        lanes = threads() // each
        with use_threads(each), ThreadPoolExecutor(lanes, "lane", set_threads, (each,)) as pool:
            if self.room is None:
                item, _ = head.pop(0)
                yield self._first(pool, work, item, size(item))
            yield from _pipelined(work, chain(head, outcomes), size, self.room or 0, pool, lanes)

    def _first(self, pool: ThreadPoolExecutor, work: Callable[[T], R], item: T, size: int) -> R:
        free, before = free_memory(), allocated_memory()
        if can_reset_peak_memory():  # else too much is taken to be needed, and fewer lanes are in use
            reset_peak_memory()
        with self.watch() as independent:
            result = pool.submit(work, item).result()
        taken = max(1, allocated_memory(peak=True) - before)
        self.room = size * (1 + free * (1 - SPARED) / taken) if independent() else 0
        return result


def _outcomes(items: Iterable[T]) -> Iterator[tuple[Any, Exception | None]]:
    """Items, each without an error; the error that ends them, if one does, comes last, without an item."""
    try:
        for item in items:
            yield item, None
    except Exception as error:
        yield None, error


def _pipelined(
    work: Callable[[T], R],
    outcomes: Iterable[tuple[Any, Exception | None]],
    size: Callable[[T], int],
    room: float,
    pool: ThreadPoolExecutor,
    lanes: int,
) -> Iterator[R]:
    """The results in order; items under way, and one that waits, have no greater size together than `room`."""
    waiting: deque[tuple[Future[R], int]] = deque()
    failure: Exception | None = None
    try:
        for item, failure in outcomes:
            if failure is not None:
                break
            mine = size(item)
            while waiting and (len(waiting) > lanes or mine + sum(other for _, other in waiting) > room):
                yield waiting.popleft()[0].result()
            waiting.append((pool.submit(work, item), mine))
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        for future, _ in waiting:
            future.cancel()
    if failure is not None:
        raise failure


def free_memory() -> float:
    """Bytes that this process may still take, of its machine and by its control groups; infinite where none tells."""
    found = [float("inf")]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [1024 * float(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except OSError:  # another system
        pass
    for folder in control_groups("memory"):
        for limit, used in LIMITS:
            try:
                found.append(float((folder / limit).read_text()) - float((folder / used).read_text()))
            except (OSError, ValueError):  # none there, or "max"
                continue
    return max(0.0, min(found))
