"""Many files at once, in processes: progress, the first problems, and outputs that are kept when they are whole."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from paddleseg_ext.checkpoint.atomic import write_file
from paddleseg_ext.data.label_io import read_label
from paddleseg_ext.errors import UserError, reason

T = TypeVar("T")
R = TypeVar("R")
NAMED = 5  # an error message names at most as many problems
CHUNK = 8  # files that a process takes at a time: it finishes them after Ctrl-C
IGNORED = 255


@dataclass(frozen=True)
class Prepared:
    """A folder of data as `SegmentationFolder` reads it, and what a configuration for it needs to know.

    Attributes:
        root: The folder.
        count: Number of training images.
        size: Width and height of the median image.
        gray: Whether all images have one channel.
        crop: Width and height in pixels of the training crop that was asked for.
        ignore_index: Value of pixels that belong to no class.
        classes: Names, their number or a file, where the folder does not tell them.
    """

    root: Path
    count: int
    size: tuple[int, int]
    gray: bool
    crop: Sequence[int] | None = None
    ignore_index: int = IGNORED
    classes: list[str] | int | str | None = None


@dataclass
class Report:
    """What was done.

    Attributes:
        lines: Of the summary.
        warnings: What looks wrong, but need not be.
        prepared: The folder that can be trained on, if it is one.
    """

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    prepared: Prepared | None = None

    def expect(self, what: str, found: int, expected: int) -> None:
        """Warn where a published data set has another number of files."""
        if found != expected:
            self.warnings.append(f"{what}: {found} files, the published data set has {expected}")


def default_workers() -> int:
    """As many processes as there are cores, at most four."""
    return min(4, os.cpu_count() or 1)


def for_all(task: Callable[[T], R], items: Sequence[T], num_workers: int, unit: str) -> list[R]:
    """What `task` returns for each item, in their order; all are tried, whatever fails.

    Args:
        task: A function that can be sent to another process; for a wrong file it raises a `UserError`.
        items: Its arguments.
        num_workers: Processes; with 0 or 1, this one.
        unit: Of the progress bar.

    Raises:
        UserError: Items failed; the first of them are named. Or a process was killed.
    """
    if num_workers < 0:
        raise UserError(f"`num_workers` {num_workers}: it is at least 0")
    attempt = _Attempt(task)
    if num_workers <= 1 or len(items) < 2:
        return _succeeded(_bar(map(attempt, items), len(items), unit))
    fork = "fork" in multiprocessing.get_all_start_methods()  # elsewhere each process would load Paddle
    context = multiprocessing.get_context("fork" if fork else None)
    pool = ProcessPoolExecutor(min(num_workers, len(items)), context, _leave_ctrl_c_to_the_parent)
    chunk = min(CHUNK, -(-len(items) // num_workers))
    try:
        return _succeeded(_bar(pool.map(attempt, items, chunksize=chunk), len(items), unit))
    except BrokenProcessPool as error:
        raise UserError(
            "a process that prepares files was killed, probably for want of memory; lower `num_workers`"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Attempt(Generic[T, R]):
    """The task, with its failures as data."""

    def __init__(self, task: Callable[[T], R]) -> None:
        self.task = task

    def __call__(self, item: T) -> tuple[R | None, str | None]:
        try:
            return self.task(item), None
        except UserError as error:
            return None, str(error)


def _succeeded(attempts: Iterable[tuple[R | None, str | None]]) -> list[R]:
    results, problems = [], []
    for result, problem in attempts:
        if problem is not None:
            problems.append(problem)
        results.append(result)
    if problems:
        raise UserError(summed_up(problems))
    return results  # type: ignore[return-value]  # of those that did not fail, which are all


def summed_up(problems: Sequence[str]) -> str:
    """One sentence of several."""
    if len(problems) == 1:
        return problems[0]
    more = "; …" if len(problems) > NAMED else ""
    return f"{len(problems)} files cannot be used: {'; '.join(problems[:NAMED])}{more}"


def _bar(items: Iterable[T], total: int, unit: str) -> Iterable[T]:
    return tqdm(items, total=total, unit=unit, leave=False, disable=None)  # no bar in a log file


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        UserError: It cannot be written.
    """
    _write(path, lambda temporary: temporary.write_bytes(text.encode("utf-8")))


def write_label(path: Path, ids: np.ndarray) -> None:
    """Write (H, W) class ids as a gray PNG, whole or not at all, and make its folder.

    Raises:
        UserError: It cannot be written.
    """
    _write(path, lambda temporary: Image.fromarray(ids).save(temporary, format="PNG"))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, write)
    except OSError as error:
        raise UserError(f"{path}: it cannot be written ({reason(error)})") from error


def kept(path: Path, sources: Sequence[Path], size: tuple[int, int] | None = None) -> np.ndarray | None:
    """The label that an earlier run wrote, or None where it is missing, damaged or older than what it was made of.

    Args:
        path: The label.
        sources: What it is made of.
        size: Height and width that it must have, in pixels.

    Returns:
        (H, W) class ids.
    """
    try:
        if path.stat().st_mtime_ns < max((source.stat().st_mtime_ns for source in sources), default=0):
            return None
        ids = read_label(path)
    except (OSError, UserError):
        return None
    return ids if size is None or ids.shape == size else None


def values_of(ids: np.ndarray) -> tuple[int, ...]:
    """The values that occur in a label."""
    return tuple(np.unique(ids).tolist())
