"""Reading batches from a data set, here or in worker processes."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import cv2
import numpy as np
import paddle

from paddleseg_ext.compat.paddle import abandon, shut_down_workers, workers_of
from paddleseg_ext.data.sampler import Batches, SampleStream
from paddleseg_ext.errors import UserError
from paddleseg_ext.runtime.watchdog import limited, process_state

ERROR = "error"  # key of a sample or batch that could not be made; it holds the message
LOADER_TIMEOUT = 300  # seconds to wait for a batch
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
KILLERS = {
    "SIGBUS": "/dev/shm is full ({shm} MiB); enlarge it (docker run --shm-size) or lower `num_workers` or `batch_size`",
    "SIGKILL": "probably for want of memory; lower `num_workers`",
}

Collate = Callable[[list[dict]], Any]


def load(
    stream: SampleStream, batches: Batches, num_workers: int = 0, timeout: float = LOADER_TIMEOUT
) -> Iterator[dict]:
    """Yield batches: dicts of tensors, ``img`` (N, C, H, W) and ``label`` (N, H, W) among them.

    With no workers the samples are read here, in the calling thread: Paddle's loader would use a second thread, whose
    draws from the global generators interleave with the model's.

    Args:
        stream: The samples by their positions.
        batches: Positions of each batch.
        num_workers: Processes that read ahead.
        timeout: Seconds to wait for a batch of theirs.

    Raises:
        UserError: A file cannot be read, the images of one batch differ in size, or worker processes deliver nothing
            for `timeout` seconds.
    """
    if num_workers > 0:
        yield from read(stream, batches, num_workers, collate, timeout)
        return
    for positions in batches:
        batch = collate([stream[position] for position in positions])
        yield {k: paddle.to_tensor(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}


def read(
    dataset: paddle.io.Dataset,
    batches: Iterable[list[int]],
    num_workers: int,
    collate_fn: Collate,
    timeout: float = LOADER_TIMEOUT,
) -> Generator[Any, None, None]:
    """Yield what `collate_fn` makes of the samples at the given indices, read ahead by worker processes or a thread.

    Close the iterator where it may be left before its end: its processes end with it.

    Args:
        dataset: ``dataset[i]`` is a dict, or raises a `UserError`.
        batches: Lists of indices.
        num_workers: Processes; with 0, one thread reads ahead.
        collate_fn: Makes a batch of samples; it may raise a `UserError`.
        timeout: Seconds to wait for a batch.

    Raises:
        UserError: As `dataset` and `collate_fn` do, or a worker process died, or nothing came in time.
    """
    late: list[str] = []
    iterator = _start(_Guarded(dataset), batches, num_workers, _guarded_collate(collate_fn))
    if num_workers > 0 and threading.current_thread() is threading.main_thread():
        # Paddle raises a dead worker's error from a SIGCHLD handler: anywhere, in the middle of saving too. Its reader
        # notices the death as well, a few seconds later, and then it is `next` that fails.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        while True:
            try:
                with limited(timeout, partial(_give_up, iterator, timeout, late)):
                    batch = next(iterator)
            except StopIteration:
                return
            except SystemError as error:
                raise UserError(late[0] if late else _cause_of_death(iterator)) from error
            if isinstance(batch, dict) and ERROR in batch:
                raise UserError(np.asarray(batch[ERROR]).tobytes().decode())
            yield batch
    finally:
        if num_workers > 0:
            shut_down_workers(iterator)
        del iterator  # a traceback would keep its thread alive


def collate(samples: list[dict]) -> dict:
    """Stack the arrays of samples along a new first axis; other values become lists.

    Raises:
        UserError: Arrays of one key differ in shape.
    """
    batch = {}
    for key in samples[0]:
        values = [sample[key] for sample in samples]
        if not isinstance(values[0], (np.ndarray, np.number)):
            batch[key] = values
            continue
        shapes = {np.shape(value) for value in values}
        if len(shapes) > 1:
            raise UserError(
                f"train_dataset.transforms give samples of different sizes ({key}: "
                f"{', '.join(map(str, sorted(shapes)))}), which cannot form a batch; end them with a crop such as "
                "RandomPaddingCrop, or use `batch_size` 1"
            )
        batch[key] = np.stack(values)
    return batch


class _Guarded(paddle.io.Dataset):
    """A data set for worker processes, whose exceptions travel as data: else the user would see a dead queue."""

    def __init__(self, dataset: paddle.io.Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        try:
            return self.dataset[index]
        except UserError as error:
            return _as_data(error)


def _guarded_collate(collate_fn: Collate) -> Collate:
    def guarded(samples: list[dict]) -> Any:
        failed = next((sample for sample in samples if ERROR in sample), None)
        try:
            return failed or collate_fn(samples)
        except UserError as error:
            return _as_data(error)

    return guarded


def _as_data(error: UserError) -> dict[str, np.ndarray]:
    return {ERROR: np.frombuffer(str(error).encode(), np.uint8)}  # Paddle's loader passes on no batch without an array


def _start(dataset: paddle.io.Dataset, batches: Any, num_workers: int, collate_fn: Collate) -> Iterator:
    """The iterator of a `paddle.io.DataLoader` whose workers neither hang over OpenCV nor outlive this process."""
    loader = paddle.io.DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=collate_fn,  # type: ignore[arg-type]  # the stub has it keep the samples' type
        worker_init_fn=_die_with_parent,
        return_list=True,
    )
    with _opencv_ready_to_fork():
        return iter(loader)


@contextmanager
def _opencv_ready_to_fork() -> Iterator[None]:
    """Within the block OpenCV has one thread, and so has every process forked there.

    As many threads in each of several workers would only compete. The parent must see to it: a child that reduces their
    number waits for ever for threads of its parent's that it does not have.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _die_with_parent(worker: int) -> None:
    """Have Linux end this process when its parent ends, be it by SIGKILL.

    Paddle's workers mean to look for their parent every few seconds, but wait for work without a time limit.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _cause_of_death(iterator: Iterator) -> str:
    """Why the loader's workers no longer deliver, from how they ended."""
    codes = [worker.exitcode for worker in workers_of(iterator)]
    names = sorted({signal.Signals(-code).name for code in codes if code is not None and code < 0})
    if not names:
        return "the processes that read data ended; their message is above; `num_workers` 0 reads without them"
    hint = KILLERS.get(names[0], "see above").format(shm=shutil.disk_usage("/dev/shm").total >> 20)
    return f"a process that reads data was killed by {names[0]}: {hint}"


def _give_up(iterator: Iterator, timeout: float, told: list[str]) -> None:
    """Have the wait for a loader's next batch end in a `SystemError`; `told` gets the sentence that takes its place."""
    workers = workers_of(iterator)
    states = ", ".join(f"{worker.pid} is {process_state(worker.pid)}" for worker in workers)
    who = f"the processes that read data ({states})" if workers else "the thread that reads data"
    told.append(
        f"{who} delivered nothing for {timeout:g} s: is a disk or a network drive away, or a process stopped? "
        "`loader_timeout` says how long to wait"
    )
    for worker in workers:
        if worker.exitcode is None:
            os.kill(worker.pid, signal.SIGKILL)  # which a stopped process obeys, too
    abandon(iterator)
