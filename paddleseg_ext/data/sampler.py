"""The endless, reproducible stream of training samples, and the positions of the batches in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import paddle
from PIL import Image

from paddleseg_ext.data.label_io import count_values, wrong_values
from paddleseg_ext.errors import UserError, reason
from paddleseg_ext.runtime.seeding import SAMPLE, SHUFFLE, derive, seeded

COUNTS = "label_counts"  # key of a sample: (K + 2,), see `count_values`
IGNORED = 255  # PaddleSeg's ignore_index, where a data set names none
EVALUATION_ONLY = ("trans_info", "gt_fields")


class SampleStream(paddle.io.Dataset):
    """A data set as an endless sequence: epoch after epoch, each in an order of its own.

    The sample at a position (its file, and what random augmentation makes of it) depends on the seed and the position
    alone, not on the process that reads it nor on what was read before. Epochs follow one another without a gap: a
    batch may hold the last samples of one epoch and the first of the next, so no sample is dropped, and k batches of b
    samples are the same samples as one batch of k·b.

    Args:
        dataset: A training data set in PaddleSeg's form: ``dataset[i]`` is a dict with ``img`` and ``label``.
        seed: Non-negative integer.
    """

    def __init__(self, dataset: Any, seed: int):
        self.dataset = dataset
        self.seed = seed
        self._order = lru_cache(maxsize=2)(self._shuffle)  # a batch touches at most two neighboring epochs

    def __len__(self) -> int:
        """Samples in an epoch."""
        return len(self.dataset)

    def __getitem__(self, position: int) -> dict:
        index = self.index(position)
        with seeded(SAMPLE, self.seed, position):
            try:
                sample = self.dataset[index]
            except Exception as error:  # whatever the transforms raise, the user needs the file's name first
                raise UserError(explain(files_of(self.dataset, index), error)) from error
        sample = {key: value for key, value in sample.items() if key not in EVALUATION_ONLY}
        return {**sample, COUNTS: self._counts(sample["label"], index)}

    def _counts(self, label: np.ndarray, index: int) -> np.ndarray:
        """How often each class occurs in a label, as it reaches the loss.

        Raises:
            UserError: It has another value; on a GPU that would end the process without a word about the file.
        """
        ignore_index = getattr(self.dataset, "ignore_index", IGNORED)
        counts = count_values(label, self.dataset.num_classes, ignore_index)
        if counts[-1]:
            wrong = wrong_values(label, self.dataset.num_classes, ignore_index)
            raise UserError(f"{files_of(self.dataset, index)[-1]}: {wrong}")
        return counts

    def index(self, position: int) -> int:
        """The index in the data set of the sample at a position of the stream."""
        epoch, place = divmod(position, len(self.dataset))
        return int(self._order(epoch)[place])

    def images(self, positions: list[int]) -> list[str]:
        """The image files at the given positions."""
        return [files_of(self.dataset, self.index(position))[0] for position in positions]

    def _shuffle(self, epoch: int) -> np.ndarray:
        return np.random.default_rng(derive(SHUFFLE, self.seed, epoch)).permutation(len(self.dataset))

    def __getstate__(self) -> dict:  # for loader workers that are spawned, not forked
        return {"dataset": self.dataset, "seed": self.seed}

    def __setstate__(self, state: dict) -> None:
        SampleStream.__init__(self, **state)


class Batches:
    """Positions of one process's batches: of each `size` × `world_size` successive samples, the `rank`-th `size`.

    Args:
        start: Position of the first sample that no process has seen yet.
        count: Number of batches.
        size: Samples in a batch of one process.
        rank: Number of this process, from 0.
        world_size: Number of processes.
    """

    def __init__(self, start: int, count: int, size: int, rank: int = 0, world_size: int = 1):
        self.batch_size = size  # Paddle's loader looks at it
        self._firsts = range(start + rank * size, start + (count * world_size + rank) * size, world_size * size)

    def __iter__(self) -> Iterator[list[int]]:
        return (list(range(first, first + self.batch_size)) for first in self._firsts)

    def __len__(self) -> int:
        return len(self._firsts)


def files_of(dataset: paddle.io.Dataset, index: int) -> list[str]:
    """The files of a sample, image first; ``["sample 3"]`` where the data set lists none."""
    listed = getattr(dataset, "file_list", None)
    return [str(path) for path in listed[index] if path] if listed else [f"sample {index}"]


def explain(files: list[str], error: Exception) -> str:
    """One sentence on why a sample could not be made: the file that cannot be read or, where all can, the error."""
    if isinstance(error, UserError):
        return str(error)
    for role, path in zip(("image", "label"), files):
        if os.path.sep in path and not os.path.isfile(path):
            return f"{path}: the {role} file does not exist"
        if os.path.isfile(path) and not _readable(path):
            return f"{path}: the {role} file cannot be read as a picture"
    return f"{', '.join(files)}: {type(error).__name__}: {reason(error)}"


def _readable(path: str) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError):  # Pillow reports a broken PNG as a SyntaxError
        return cv2.imread(path, cv2.IMREAD_UNCHANGED) is not None
    return True
