"""Reading batches from a stream of samples, here or in worker processes."""

from __future__ import annotations

import ctypes
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import paddle

from paddleseg_ext.data.sampler import Batches, SampleStream
from paddleseg_ext.errors import UserError

ERROR = "error"  # key of a batch that a worker process could not make; it holds the message
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
KILLERS = {
    "SIGBUS": "/dev/shm is full ({shm} MiB); enlarge it (docker run --shm-size) or lower --num_workers or --batch_size",
    "SIGKILL": "probably for want of memory; lower --num_workers",
}


def load(stream: SampleStream, batches: Batches, num_workers: int = 0) -> Iterator[dict]:
    """Yield batches: dicts of tensors, ``img`` (N, C, H, W) and ``label`` (N, H, W) among them.

    With no workers the samples are read here, in the calling thread: Paddle's loader would use a second thread, whose
    draws from the global generators interleave with the model's.

    Raises:
        UserError: A file cannot be read, or the images of one batch differ in size.
    """
    if num_workers == 0:
        for positions in batches:
            batch = collate([stream[position] for position in positions])
            yield {k: paddle.to_tensor(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}
        return
    iterator = start(_Guarded(stream), batches, num_workers, _collate_or_explain)
    if threading.current_thread() is threading.main_thread():
        # Paddle raises a dead worker's error from a SIGCHLD handler: anywhere, in the middle of saving too. Its reader
        # notices the death as well, a few seconds later, and then it is `next` that fails.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except SystemError as error:
                raise UserError(_cause_of_death(iterator)) from error
            if ERROR in batch:
                raise UserError(batch[ERROR].numpy().tobytes().decode())
            yield batch
    finally:
        iterator._try_shutdown_all()  # else the workers live on until the iterator is collected


def start(dataset: paddle.io.Dataset, batches: Any, num_workers: int, collate_fn: Callable) -> Iterator:
    """The iterator of a `paddle.io.DataLoader` whose workers neither hang over OpenCV nor outlive this process."""
    loader = paddle.io.DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=collate_fn,
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


def collate(samples: list[dict]) -> dict:
    """Stack the arrays of samples along a new first axis; other values become lists."""
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
                "RandomPaddingCrop, or use batch_size 1"
            )
        batch[key] = np.stack(values)
    return batch


class _Guarded(paddle.io.Dataset):
    """A stream for worker processes: an exception there would reach the user as a dead queue, so it travels as data."""

    def __init__(self, stream: SampleStream):
        self.stream = stream

    def __getitem__(self, position: int) -> dict:
        try:
            return self.stream[position]
        except UserError as error:
            return {ERROR: str(error)}


def _collate_or_explain(samples: list[dict]) -> dict:
    try:
        messages = [sample[ERROR] for sample in samples if ERROR in sample]
        if not messages:
            return collate(samples)
    except UserError as error:
        messages = [str(error)]
    return {ERROR: np.frombuffer(messages[0].encode(), dtype=np.uint8)}


def _cause_of_death(iterator: object) -> str:
    """Why the loader's workers no longer deliver, from how they ended."""
    codes = [worker.exitcode for worker in getattr(iterator, "_workers", [])]
    names = sorted({signal.Signals(-code).name for code in codes if code is not None and code < 0})
    if not names:
        return "the processes that read data ended; their message is above; --num_workers 0 reads without them"
    hint = KILLERS.get(names[0], "see above").format(shm=shutil.disk_usage("/dev/shm").total >> 20)
    return f"a process that reads data was killed by {names[0]}: {hint}"
