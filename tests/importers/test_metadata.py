"""What a foreign checkpoint says of itself is copied within bounds."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddleseg_ext.checkpoint.isolated.main import MAX_META
from paddleseg_ext.checkpoint.reader import read_weight_file
from paddleseg_ext.importers.convert import _read_meta

pytestmark = pytest.mark.usefixtures("inside")
CLASSES, PALETTE = ["road", "sky"], [[128, 64, 128], [70, 130, 180]]


def meta_of(folder: Path, meta: Any) -> dict[str, Any]:
    path = folder / "file.pth"
    path.write_bytes(pickle.dumps({"state_dict": {"weight": np.ones(2, "float32")}, "meta": meta}, 2))
    found = read_weight_file(path)
    assert list(found.weights) == ["weight"]
    return found.meta


def doubled(times: int, kind: Callable[[list], Any] = list) -> Any:
    value: Any = [1]
    for _ in range(times):
        value = kind([value, value])
    return value


def deep(depth: int) -> Any:
    value: Any = "a"
    for _ in range(depth):
        value = {"classes": value}
    return value


@pytest.mark.parametrize("form", [list, tuple])
def test_plain_values_are_kept(form: Callable, tmp_path: Path) -> None:
    meta = {
        "CLASSES": form(CLASSES),
        "PALETTE": form(map(form, PALETTE)),
        "iter": 80000,
        "config": "x = 1\n",
        "env": "x",
    }
    found = meta_of(tmp_path, meta)
    assert found["config"] == "x = 1\n" and "env" not in found
    assert _read_meta(found) == {"classes": CLASSES, "palette": PALETTE, "iteration": 80000}
    new = meta_of(tmp_path, {"dataset_meta": {"classes": form(CLASSES), "palette": PALETTE}, "iter": 3})
    assert _read_meta(new) == {"classes": CLASSES, "palette": PALETTE, "iteration": 3}


@pytest.mark.parametrize(
    "meta",
    [
        {"PALETTE": doubled(29)},
        {"CLASSES": doubled(40), "PALETTE": [doubled(40)] * 100},
        {"dataset_meta": {"classes": doubled(12, tuple), "palette": doubled(40)}},
        {"CLASSES": ["x" * 10**5] * 10**5},
        {"CLASSES": ["x"] * 10**6},
        {"dataset_meta": {"classes": ["x" * 10**5] * 10**4}},
        {"config": "x" * 10**7},
        {"dataset_meta": deep(200)},
        {"dataset_meta": {f"{number}": "x" * 100 for number in range(10**5)}},
        {"iter": 10**600},
        {"iter": float("nan"), "PALETTE": [[float("inf")] * 3]},
        {"PALETTE": [[-1, 300, 10**30]] * 5, "CLASSES": [b"x", 3]},
        "no dictionary",
        None,
    ],
)
def test_what_is_too_much_is_left_out(meta: Any, tmp_path: Path) -> None:
    start = time.monotonic()
    found = meta_of(tmp_path, meta)
    assert time.monotonic() - start < 10
    assert len(json.dumps(_read_meta(found))) < 2 * MAX_META
    assert len(json.dumps(found)) < 2 * MAX_META
