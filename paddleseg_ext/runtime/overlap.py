"""Reading ahead of a computation and writing behind it, each in one thread, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Callable, TypeVar

K = TypeVar("K")
R = TypeVar("R")
T = TypeVar("T")
DEPTH = 2  # items that wait on either side, which bounds the memory


def ahead(items: Iterable[T], depth: int = DEPTH) -> Iterator[T]:
    """The same items, made by another thread while the caller works on those before.

    Args:
        items: Iterated over in that thread. What it raises is raised here, after the items before it.
        depth: Items that are made before they are asked for, at most.
    """
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]


def alongside(
    pairs: Iterable[tuple[K, T]], compute: Callable[[Iterable[T]], Generator[R, None, None]]
) -> Generator[tuple[K, T, R], None, None]:
    """Each pair with what is computed of its second, by a function that takes all of them and gives results in order.

    Args:
        pairs: Of something to know an item by, and the item.
        compute: May take items before it gives the results of those before.
    """
    taken: deque[tuple[K, T]] = deque()

    def items() -> Iterator[T]:
        for pair in pairs:
            taken.append(pair)
            yield pair[1]

    with closing(compute(items())) as results:
        for result in results:
            yield (*taken.popleft(), result)


@contextmanager
def behind(depth: int = DEPTH) -> Iterator[Callable[..., None]]:
    """Within the block a function that has another thread do something: ``later(work, *arguments)``.

    Whatever was handed over is done when the block ends, in order. What one of them raises is raised by a later call or
    at the end of the block; nothing is begun after it.

    Args:
        depth: Calls that wait, at most; then `later` waits, too.
    """
    waiting: deque[Future] = deque()
    failed = False

    def work_unless_failed(work: Callable[..., Any], arguments: Any) -> None:
        nonlocal failed
        if failed:
            return
        try:
            work(*arguments)
        except BaseException:
            failed = True
            raise

    def later(work: Callable[..., Any], *arguments: Any) -> None:
        while len(waiting) >= depth:
            waiting.popleft().result()
        waiting.append(pool.submit(work_unless_failed, work, arguments))

    with ThreadPoolExecutor(1) as pool:  # at its end it waits for what was handed over
        yield later
        while waiting:
            waiting.popleft().result()
