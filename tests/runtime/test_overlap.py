"""Reading ahead and writing behind: in order, bounded, and nothing that fails is lost."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator

import pytest

from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime.overlap import ahead, alongside, behind


def test_items_come_in_order_and_at_most_so_many_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(6):
            made.append(i)
            yield i

    for taken, item in enumerate(ahead(items(), depth=2)):
        assert item == taken and len(made) <= taken + 3
    assert made == list(range(6)) and list(ahead([])) == []


def test_items_are_made_while_the_caller_works() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    for _ in ahead(items()):
        assert second.wait(10)


def test_what_reading_raises_comes_after_the_items_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise UserError("3.png: cannot be read")

    seen = []
    with pytest.raises(UserError, match=r"3\.png"):
        for item in ahead(items()):
            seen.append(item)
    assert seen == [1, 2]


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    for item in ahead(iter(range(100))):
        if item == 3:
            break
    assert threading.active_count() == before


def test_results_come_with_what_they_are_of() -> None:
    def two_ahead(items: Iterable[int]) -> Generator[int, None, None]:
        held: list[int] = []
        for item in items:
            held.append(item)
            if len(held) > 2:
                yield 10 * held.pop(0)
        yield from (10 * item for item in held)

    assert list(alongside([("a", 1), ("b", 2), ("c", 3), ("d", 4)], two_ahead)) == [
        ("a", 1, 10),
        ("b", 2, 20),
        ("c", 3, 30),
        ("d", 4, 40),
    ]
    assert list(alongside([], two_ahead)) == []


def test_work_is_done_in_order_by_the_end_of_the_block() -> None:
    done: list[int] = []
    with behind(depth=2) as later:
        for i in range(20):
            later(done.append, i)
    assert done == list(range(20))


def test_nothing_is_done_after_a_failure() -> None:
    done: list[int] = []

    def write(i: int) -> None:
        if i == 1:
            raise UserError("1.png: the disk is full")
        done.append(i)

    with pytest.raises(UserError, match="the disk is full"), behind(depth=3) as later:
        for i in range(50):
            later(write, i)
    assert done == [0]


def test_what_was_handed_over_before_an_error_of_the_caller_is_done() -> None:
    done: list[int] = []
    with pytest.raises(UserError, match="the fourth"), behind() as later:
        for i in range(3):
            later(done.append, i)
        raise UserError("the fourth")
    assert done == [0, 1, 2]
