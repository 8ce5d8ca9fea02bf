"""A loader that delivers nothing: the wait has an end, and a sentence says what its processes are doing."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial

import numpy as np
import paddle
import pytest

from paddleseg_ext.data import dataloader
from paddleseg_ext.errors import UserError

BATCHES = [[i] for i in range(8)]


class Odd(paddle.io.Dataset):
    """Whose process does something odd at the fourth sample."""

    def __init__(self, odd) -> None:
        self.odd = odd

    def __len__(self) -> int:
        return len(BATCHES)

    def __getitem__(self, index: int) -> dict:
        if index == 3:
            self.odd()
        return {"img": np.full([2], index, "float32")}


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def read(odd, workers: int, timeout: float) -> list[int]:
    found = []
    for batch in dataloader.read(Odd(odd), BATCHES, workers, dataloader.collate, timeout):
        found.append(int(batch["img"][0, 0]))
    return found


def test_stopped_processes_are_told_and_ended() -> None:
    start = time.monotonic()
    with pytest.raises(
        UserError, match=r"processes that read data \(.*\d+ is stopped.*\) delivered nothing for 0.4 s.*out`"
    ):
        read(stop, 2, 0.4)
    assert time.monotonic() - start < 10


def test_a_process_that_sleeps_is_told() -> None:
    with pytest.raises(UserError, match=r"\(\d+ is sleeping\) delivered nothing for 0.4 s"):
        read(lambda: time.sleep(600), 1, 0.4)


def test_a_thread_that_hangs_is_told() -> None:
    released = threading.Event()
    with pytest.raises(UserError, match="the thread that reads data delivered nothing for 0.4 s"):
        read(lambda: released.wait(60), 0, 0.4)
    released.set()


@pytest.mark.parametrize("workers", [0, 2])
def test_slow_ones_are_waited_for(workers: int) -> None:
    assert read(lambda: time.sleep(0.2), workers, 5) == list(range(8))


def test_leaving_does_not_wait_for_a_stopped_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataloader, "shut_down_workers", partial(dataloader.shut_down_workers, seconds=0.2))
    reader = dataloader.read(Odd(stop), BATCHES, 2, dataloader.collate)
    next(reader)
    start = time.monotonic()
    reader.close()
    assert time.monotonic() - start < 5
