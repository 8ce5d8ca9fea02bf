"""Which classes are taken for which, and in which images most, against plain loops; by several processes too."""

from __future__ import annotations

import numpy as np

from paddleseg_ext.evaluation import confusions
from paddleseg_ext.evaluation.confusions import KEPT, ConfusedImages, strongest

K, IMAGES = 5, 40


def matrices() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 30, (IMAGES, K, K)) * (rng.random((IMAGES, K, K)) < 0.2)


def expected(counts: np.ndarray, label: int, pred: int) -> list[int]:
    order = sorted(range(IMAGES), key=lambda i: (-counts[i, label, pred], i))
    return [i for i in order[:KEPT] if counts[i, label, pred]]


def test_the_worst_images_of_each_pair() -> None:
    counts, found = matrices(), ConfusedImages(K)
    for index, of_image in enumerate(counts):
        found.update(of_image, index)
    for label in range(K):
        for pred in range(K):
            assert found.of(label, pred) == expected(counts, label, pred)


def test_processes_find_what_one_does(monkeypatch) -> None:
    """Three processes, one after the other: what they would sum is collected in the first two rounds."""
    counts, shares = matrices(), [ConfusedImages(K) for _ in range(3)]
    for index, of_image in enumerate(counts):
        shares[index % 3].update(of_image, index)
    sums = [np.stack([share.pixels for share in shares]), np.stack([share.images for share in shares])]
    monkeypatch.setattr(confusions.distributed, "world_size", lambda: 3)
    for rank, share in enumerate(shares):
        parts = iter(sums)

        def all_reduce_sum(values: np.ndarray, parts=parts, rank: int = rank) -> None:
            total = next(parts)
            np.testing.assert_array_equal(values[rank], total[rank])  # this process's part, and nothing else
            assert values.sum() == total[rank].sum()
            values[...] = total

        monkeypatch.setattr(confusions.distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(confusions.distributed, "all_reduce_sum", all_reduce_sum)
        share.merge()
        for label in range(K):
            for pred in range(K):
                assert share.of(label, pred) == expected(counts, label, pred)


def test_the_strongest_are_those_that_a_class_loses_most_by() -> None:
    counts = np.array([[90, 10, 0, 0], [1, 1, 6, 0], [0, 3, 997, 0], [0, 0, 0, 0]])
    found = strongest(counts, 3)
    assert [(entry.label, entry.pred) for entry in found] == [(1, 2), (1, 0), (0, 1)]
    assert found[0].share == 6 / 8 and found[0].of_all == 6 / counts.sum()
    assert len(strongest(counts, 20)) == 3  # 0.3 % of class 2 is not told, nor what never happens
    assert strongest(np.zeros((3, 3), int), 20) == [] and strongest(np.eye(3, dtype=int), 20) == []
