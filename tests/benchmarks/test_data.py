"""Pipelines that give other pixels are not timed."""

from __future__ import annotations

import argparse
from functools import partial

import pytest

from benchmarks import data


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [
        ("Normalize", partial(data.Normalize, mean=[0.4] * 3, std=[0.2] * 3), "the pixels differ"),
        ("ScaleCropFlip", partial(data.ScaleCropFlip, flip_prob=1.0), "the labels of image 0 differ"),
    ],
)
def test_other_pixels_are_told(name: str, other: partial, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, name, lambda *args, **_: other(*args))
    small = argparse.Namespace(size=[64, 128], crop_size=[64, 32], images=2, rounds=1)
    with pytest.raises(ArithmeticError, match=told):
        data.run(small)
