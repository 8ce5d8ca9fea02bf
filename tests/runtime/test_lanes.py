"""Computing side by side: in order, bounded by memory, one at a time where asked, and nothing goes on after it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paddle
import pytest

from paddleseg_ext.compat.paddle import can_reset_peak_memory, set_threads, threads
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime import lanes as module
from paddleseg_ext.runtime.lanes import Lanes, free_memory, several
from paddleseg_ext.runtime.threads import use_threads

needs_reset = pytest.mark.skipif(not can_reset_peak_memory(), reason="Paddle < 3.0 cannot reset the peak")


@contextlib.contextmanager
def independent(answer: bool = True) -> Iterator[Callable[[], bool]]:
    yield lambda: answer


class Work:
    """Notes how many calls are under way at once, and where; it waits until `together` are, once it may."""

    def __init__(self, together: int) -> None:
        self.together, self.running, self.most = together, 0, 0
        self.threads: set[tuple[str, int]] = set()
        self.condition = threading.Condition()

    def __call__(self, item: int) -> int:
        self.threads.add((threading.current_thread().name, threads()))
        with self.condition:
            self.running += 1
            self.most = max(self.most, self.running)
            self.condition.notify_all()
            if item:
                self.condition.wait_for(lambda: self.most >= self.together, timeout=2)
            self.running -= 1
        return 10 * item


@pytest.mark.parametrize("count, lanes, each", [(2, 2, 1), (3, 3, 1), (4, 4, 1), (6, 3, 2), (8, 4, 2), (16, 4, 4)])
def test_so_many_lanes_share_the_threads(count: int, lanes: int, each: int) -> None:
    work = Work(lanes)
    with use_threads(count):
        assert several()
        assert list(Lanes(independent).map(work, range(2 * lanes), lambda _: 1)) == [10 * i for i in range(2 * lanes)]
        assert threads() == count
    assert work.most == lanes and {number for _, number in work.threads} == {each}
    assert all(name.startswith("lane") for name, _ in work.threads)


def test_with_one_thread_or_another_device_there_is_nothing_to_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_threads(1):
        assert not several()
    with use_threads(2):
        monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")
        assert not several()


def test_dependent_items_are_computed_one_after_the_other() -> None:
    work = Work(1)
    with use_threads(3):
        assert list(Lanes(lambda: independent(False)).map(work, range(5), lambda _: 1)) == [0, 10, 20, 30, 40]
    assert work.most == 1


@needs_reset
@pytest.mark.parametrize("megabytes, most", [(10, 1), (30, 2), (45, 3), (1000, 4)])
def test_items_under_way_fit_into_the_free_memory(megabytes: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 16 MiB; a fifth of what is free is spared, and the first is counted among what is taken."""
    monkeypatch.setattr(module, "free_memory", lambda: megabytes * 2**20)
    together = Work(most)

    def work(item: int) -> int:
        held = paddle.empty([4 * 2**20])
        return together(item) + 0 * len(held)

    with use_threads(4):
        assert list(Lanes(independent).map(work, range(8), lambda _: 1)) == [10 * i for i in range(8)]
    assert together.most == most


def test_where_the_peak_cannot_be_reset_it_is_the_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with Paddle 2.6: more memory than an item takes is taken to be needed."""
    monkeypatch.delattr(paddle.base.core, "host_memory_stat_reset_peak_value", raising=False)
    monkeypatch.setattr(module, "free_memory", lambda: 50 * 2**20)
    paddle.empty([64 * 2**20])  # earlier, and larger than any item
    work = Work(1)
    with use_threads(4):
        assert list(Lanes(independent).map(work, range(5), lambda _: 1)) == [10 * i for i in range(5)]
    assert work.most == 1


@needs_reset
def test_a_larger_item_counts_as_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_memory", lambda: 50 * 2**20)
    running: set[int] = set()
    beside: dict[int, set[int]] = {}

    def work(item: int) -> int:
        held = paddle.empty([4 * 2**20])
        running.add(item)
        time.sleep(0.05)
        beside[item] = running - {item}
        running.discard(item)
        return item + 0 * len(held)

    sizes = {4: 3}
    with use_threads(4):
        assert list(Lanes(independent).map(work, range(8), lambda item: sizes.get(item, 1))) == list(range(8))
    assert beside[4] == set() and beside[0] == set()


def test_a_single_item_has_all_threads() -> None:
    work = Work(1)
    with use_threads(3):
        lanes = Lanes(independent)
        for _ in range(2):
            assert list(lanes.map(work, [1], lambda _: 1)) == [10]
            assert list(lanes.map(lambda item: item, [1, 2], lambda _: 1)) == [1, 2]
    assert work.threads == {(threading.current_thread().name, 3)}


def test_one_measurement_serves_all_calls() -> None:
    asked: list[int] = []

    @contextlib.contextmanager
    def watch() -> Iterator[Callable[[], bool]]:
        asked.append(1)
        yield lambda: True

    with use_threads(2):
        lanes = Lanes(watch)
        assert list(lanes.map(Work(1), [], lambda _: 1)) == [] and not asked
        assert [list(lanes.map(Work(1), [1, 2], lambda _: 1)) for _ in range(3)] == [[10, 20]] * 3
    assert len(asked) == 1


def test_what_reading_raises_comes_after_the_results_before() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise UserError("5.png: cannot be read")

    seen = []
    with use_threads(2), pytest.raises(UserError, match=r"5\.png"):
        for result in Lanes(independent).map(Work(1), items(), lambda _: 1):
            seen.append(result)
    assert seen == [0, 10, 20, 30, 40]


def test_what_reading_raises_at_once_or_behind_the_first() -> None:
    def items(count: int) -> Iterator[int]:
        yield from range(count)
        raise UserError("cannot be read")

    with use_threads(2):
        for count in (0, 1, 2):
            results, seen = Lanes(independent).map(Work(1), items(count), lambda _: 1), []
            with pytest.raises(UserError, match="cannot be read"):
                for result in results:
                    seen.append(result)
            assert seen == [10 * i for i in range(count)]


@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_what_work_raises_is_raised_in_its_place(wrong: int) -> None:
    def work(item: int) -> int:
        if item == wrong:
            raise UserError("out of memory")
        return item

    seen = []
    with use_threads(2):
        with pytest.raises(UserError, match="out of memory"):
            for result in Lanes(independent).map(work, range(100), lambda _: 1):
                seen.append(result)
        assert threads() == 2
    assert seen == list(range(wrong))


def test_leaving_early_ends_the_threads_and_what_waits() -> None:
    done: list[int] = []
    before = threading.active_count()
    with use_threads(2), contextlib.closing(Lanes(independent).map(done.append, range(100), lambda _: 1)) as results:
        for number, _ in enumerate(results):
            if number == 3:
                break
    assert threading.active_count() == before and len(done) <= 8


def test_free_memory_is_the_machines_or_what_a_control_group_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[Path] = []
    monkeypatch.setattr(module, "control_groups", lambda controller: groups if controller == "memory" else [])
    machine = free_memory()
    assert 2**20 < machine < 2**50 if os.path.exists("/proc/meminfo") else machine == float("inf")
    for name, files in {
        "unlimited": {"memory.max": "max\n", "memory.current": "1\n"},
        "version 2": {"memory.max": f"{5 * 2**20}\n", "memory.current": f"{4 * 2**20}\n"},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    groups.append(tmp_path / "unlimited")
    assert free_memory() > 2 * 2**20
    groups.append(tmp_path / "version 2")
    assert free_memory() == 2**20
    (tmp_path / "version 1").mkdir()
    (tmp_path / "version 1" / "memory.limit_in_bytes").write_text("100\n")
    (tmp_path / "version 1" / "memory.usage_in_bytes").write_text("200\n")
    groups.append(tmp_path / "version 1")
    assert free_memory() == 0


@pytest.fixture(autouse=True)
def _threads_kept() -> Iterator[None]:
    before = threads()
    yield
    set_threads(before)
