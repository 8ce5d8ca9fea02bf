"""Finite or not, whatever the size of the numbers; and quickly."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from paddleseg_ext.checkpoint import save
from paddleseg_ext.checkpoint.finite import not_finite
from paddleseg_ext.checkpoint.run import folder as run_folder
from paddleseg_ext.checkpoint.run.folder import RunFolder


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_broken_ones_are_named(dtype: str) -> None:
    large = np.full([3, 4], np.finfo(dtype).max, dtype)  # their squares are infinite, they are not
    arrays = {name: large.copy() for name in ("whole", "nan", "infinite")}
    arrays["nan"][1, 2], arrays["infinite"][2, 3] = np.nan, -np.inf
    arrays |= {"empty": np.zeros([0, 3], dtype), "scalar": np.array(np.nan, dtype), "count": np.array([3])}
    assert not_finite(arrays) == ["nan", "infinite", "scalar"]


@pytest.mark.slow
def test_the_look_hides_behind_the_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """46 million numbers, as a ResNet-50 with a head has: saved with the look and without it, in turn."""
    shapes = [[512, 512, 3, 3]] * 12 + [[256, 256, 3, 3]] * 30 + [[512]] * 300
    weights = {f"layer{i}.weight": np.random.randn(*shape).astype("float32") for i, shape in enumerate(shapes)}
    momentum = {f"optimizer/velocity_0/{name}": value for name, value in weights.items()}
    folder = RunFolder(tmp_path, keep=1)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for iteration in range(30):
        looks = iteration % 2 == 0
        with monkeypatch.context() as patch:
            if not looks:
                patch.setattr(run_folder, "not_finite", lambda arrays: [])
            start = time.perf_counter()
            folder.save(save.Checkpoint(weights, momentum, {"iteration": iteration}))
            seconds[looks].append(time.perf_counter() - start)
    start = time.perf_counter()
    not_finite(weights)
    alone, with_it, without = time.perf_counter() - start, np.median(seconds[True]), np.median(seconds[False])
    print(f"look alone {alone:.4f} s; save with it {with_it:.3f} s, without {without:.3f} s")
    assert alone < 0.05 * without  # what a busy disk cannot blur
