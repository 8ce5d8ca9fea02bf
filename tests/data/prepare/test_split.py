"""Splits: complete, disjoint, reproducible, and fair to rare classes where asked."""

from __future__ import annotations

import numpy as np
import pytest

from paddleseg_ext.data.prepare.split import split
from paddleseg_ext.errors import UserError


@pytest.mark.parametrize("count, share, expected", [(10, 0.8, 2), (2, 0.99, 1), (3, 0.01, 2), (100, 0.5, 50)])
@pytest.mark.parametrize("stratify", [False, True])
def test_complete_and_disjoint(count: int, share: float, expected: int, stratify: bool) -> None:
    values = [[0, index % 3] for index in range(count)] if stratify else None
    train, val = split(count, share, 0, values)
    assert sorted(train + val) == list(range(count)) and len(val) == expected


def test_the_seed_decides() -> None:
    assert split(50, 0.8, 1) == split(50, 0.8, 1) != split(50, 0.8, 2)


@pytest.mark.parametrize("seed", range(5))
def test_each_class_has_its_share(seed: int) -> None:
    """Of 200 samples 10 have the rare class: a plain draw gives validation none of them one time in nine."""
    generator = np.random.default_rng(seed)
    values = [[0, *(v for v, p in ((1, 0.5), (2, 0.2)) if generator.random() < p)] for _ in range(200)]
    for index in generator.permutation(200)[:10]:
        values[index].append(3)
    _, val = split(200, 0.8, seed, values)
    assert len(val) == 40
    for value in (1, 2, 3):
        whole, part = sum(value in v for v in values), sum(value in values[i] for i in val)
        assert abs(part - 0.2 * whole) <= max(1, 0.05 * whole)


@pytest.mark.parametrize(
    "count, share, seed, message",
    [(9, 0, 0, "`split` 0"), (9, 1.0, 0, "`split`"), (1, 0.5, 0, "at least 2"), (9, 0.5, -1, "`seed`")],
)
def test_mistakes(count: int, share: float, seed: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split(count, share, seed)
