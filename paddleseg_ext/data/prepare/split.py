"""Sharing samples out to training and validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from paddleseg_ext.errors import UserError


def split(
    count: int, share: float, seed: int = 0, values: Sequence[Sequence[int]] | None = None
) -> tuple[list[int], list[int]]:
    """The indices of training and validation, both in ascending order and neither empty.

    Args:
        count: Number of samples.
        share: Fraction that is for training, between 0 and 1.
        seed: Of the random draw.
        values: The classes in each sample. Where given, each class is shared out alike.

    Raises:
        UserError: The share is not between 0 and 1, or there are fewer than two samples.
    """
    if not 0 < share < 1:
        raise UserError(f"`split` {share}: the share of training is between 0 and 1")
    if count < 2:
        raise UserError(f"there {'is 1 sample' if count else 'are 0 samples'}, and a split needs at least 2")
    if seed < 0:
        raise UserError(f"`seed` {seed}: it is at least 0")
    order = np.random.default_rng(seed).permutation(count).tolist()
    wanted = min(max(round(count * (1 - share)), 1), count - 1)
    chosen = order[:wanted] if values is None else _stratified(order, wanted, values)
    val = set(chosen)
    return [index for index in range(count) if index not in val], sorted(val)


def _stratified(order: Sequence[int], wanted: int, values: Sequence[Sequence[int]]) -> list[int]:
    """Which samples go to validation so that each class has its share there, the rarest first.

    Reference: Sechidis et al., "On the stratification of multi-label data", ECML PKDD 2011.
    """
    share = wanted / len(order)
    left = list(order)
    need = {value: share * times for value, times in Counter(v for classes in values for v in set(classes)).items()}
    chosen: list[int] = []
    while left and len(chosen) < wanted:
        counts = Counter(value for index in left for value in set(values[index]))
        if not counts:  # samples without any class are alike
            break
        rarest = min(counts, key=lambda value: (counts[value], value))
        for index in [index for index in left if rarest in values[index]]:
            left.remove(index)
            if need[rarest] >= 0.5 and len(chosen) < wanted:
                chosen.append(index)
                for value in set(values[index]):
                    need[value] -= 1
    rest = [index for index in order if index not in set(chosen)]
    return chosen + rest[: wanted - len(chosen)]
