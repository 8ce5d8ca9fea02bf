"""Random numbers as functions of a seed and a place in the run, so that no generator's state has to be saved.

Every sample is drawn under a seed made of (run, position in the stream of samples) and every iteration runs under a
seed made of (run, iteration, rank). A resumed run, or one with other loader workers, therefore draws exactly what an
uninterrupted one does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import paddle

SHUFFLE, SAMPLE, ITERATION = range(3)  # purposes: the first number of a key, so that no two uses share a seed


def derive(*key: int) -> int:
    """A 32-bit seed, well mixed, from a tuple of non-negative integers."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Within the block Python's and NumPy's global generators start from `key`; afterwards they are as before."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    seed = derive(*key)
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and Paddle (on every device) from `key`."""
    seed = derive(*key)
    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)
