"""The CPU kernels give the same numbers, bit for bit, however many threads they are spread over."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np
import paddle
import pytest

from paddleseg_ext.cpu import criss_cross, depthwise, depthwise_strided, pool, resize, winograd

Case = tuple[Callable[..., paddle.Tensor], list[list[int]], tuple[object, ...]]
CASES: dict[str, Case] = {  # kernel, shapes of the tensors that it is differentiated by, other arguments
    "depthwise, small maps": (depthwise.run, [[3, 37, 13, 17], [37, 1, 5, 5]], (1,)),
    "depthwise, dilated": (depthwise.run, [[2, 37, 13, 17], [37, 1, 3, 3]], (6,)),
    "depthwise, large maps": (depthwise.run, [[2, 5, 65, 71], [5, 1, 3, 3]], (1,)),
    "depthwise, one channel": (depthwise.run, [[2, 1, 65, 71], [1, 1, 3, 3]], (1,)),
    "depthwise, strided": (depthwise_strided.run, [[3, 7, 49, 53], [7, 1, 5, 5]], ((1, 0),)),
    "resizing": (resize.run, [[2, 7, 40, 33]], ((71, 50), False)),
    "winograd": (winograd.run, [[2, 128, 27, 45], [130, 128, 3, 3]], ()),
    "criss-cross": (criss_cross.run, [[3, 16, 9, 11], [8, 16], [8], [16, 16], [16], [1]], ()),
}


def products_in_one_thread(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Paddle's own products keep theirs: MKL says nothing of the last bits of others."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    monkeypatch.setattr(pool, "SMALLEST", 1)


@pytest.mark.parametrize("name", CASES)
def test_equal_with_gradients_for_any_number_of_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, shapes, others = CASES[name]
    inputs = [paddle.randn(shape) for shape in shapes]
    for tensor in inputs:
        tensor.stop_gradient = False
    found = []
    for count in (1, 2, 3, 8):
        products_in_one_thread(monkeypatch, count)
        out = run(*inputs, *others)
        grads = paddle.grad(out, inputs, out * 3)
        found.append([tensor.numpy() for tensor in (out, *grads)])
    for other in found[1:]:
        for expected, result in zip(found[0], other):
            np.testing.assert_array_equal(result, expected)


def test_resizing_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    x, found = paddle.randn([2, 7, 9, 11]), []
    for count in (1, 2, 5, 40):
        products_in_one_thread(monkeypatch, count)
        found.append(resize.run(x, (31, 50), False).numpy())
    for result in found[1:]:
        np.testing.assert_array_equal(result, found[0])


@pytest.mark.parametrize("count, parts", [(1, 1), (2, 2), (3, 3), (100, 7)])
def test_slices_cover_everything_once(count: int, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    products_in_one_thread(monkeypatch, count)
    seen: list[slice] = []
    names = set()
    pool.spread(lambda part: (seen.append(part), names.add(threading.current_thread().name)), 7, 100)
    assert len(seen) == parts
    assert sorted(i for part in seen for i in range(7)[part]) == list(range(7))
    assert (threading.main_thread().name in names) == (count == 1)


def test_little_work_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    seen: list[slice] = []
    pool.spread(seen.append, 8, pool.SMALLEST)
    pool.spread(seen.append, 8, 3 * pool.SMALLEST)
    assert sorted(part.stop - part.start for part in seen) == [2, 3, 3, 8]


def test_errors_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    products_in_one_thread(monkeypatch, 2)
    with pytest.raises(ZeroDivisionError):
        pool.spread(lambda part: 1 // part.start, 4, 100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    products_in_one_thread(monkeypatch, 2)
    pool.spread(lambda part: None, 4, 100)  # now there is a pool
    if (child := os.fork()) == 0:
        seen: list[slice] = []
        pool.spread(seen.append, 4, 100)
        os._exit(len(seen))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
