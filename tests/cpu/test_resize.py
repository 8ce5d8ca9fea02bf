"""Bilinear resizing by OpenCV equals Paddle's where it is supported, and is active only within its block."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F

from paddleseg_ext.compat.paddle import interpolate_by
from paddleseg_ext.cpu import resize
from paddleseg_ext.layers.functional import resize_bilinear


def maps(*shape: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))


@pytest.fixture
def by_opencv(monkeypatch: pytest.MonkeyPatch) -> list:
    """Sizes of the calls of the OpenCV kernel."""
    sizes, run = [], resize.run
    monkeypatch.setattr(resize, "run", lambda x, size, corners: sizes.append(tuple(size)) or run(x, size, corners))
    return sizes


def by_kernel() -> AbstractContextManager:
    return interpolate_by(resize.accepts, resize.run)


@pytest.mark.parametrize("source", [(1, 1), (1, 7), (8, 12), (13, 17)])
@pytest.mark.parametrize("target", [(2, 2), (4, 6), (13, 17), (26, 34), (65, 97)])
def test_equals_paddle(source: tuple[int, int], target: tuple[int, int], by_opencv: list) -> None:
    x = maps(2, 3, *source)
    expected = F.interpolate(x, list(target), mode="bilinear").numpy()
    with by_kernel():
        found = F.interpolate(x, list(target), mode="bilinear").numpy()
    assert by_opencv == [target]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [paddle.to_tensor([10, 12]), [paddle.to_tensor(10), paddle.to_tensor(12)], (10, 12)])
def test_size_in_every_form_that_paddle_takes(size: object, by_opencv: list) -> None:
    with by_kernel():
        assert F.interpolate(maps(1, 2, 5, 6), size=size, mode="BILINEAR", align_corners=False).shape == [1, 2, 10, 12]
    assert by_opencv == [(10, 12)]


def test_a_view_that_is_not_contiguous(by_opencv: list) -> None:
    x = maps(1, 6, 5, 2).transpose([0, 3, 2, 1])[:, :, ::-1]
    expected = F.interpolate(x, [7, 9], mode="bilinear").numpy()
    with by_kernel():
        np.testing.assert_allclose(F.interpolate(x, [7, 9], mode="bilinear").numpy(), expected, rtol=0, atol=1e-6)
    assert by_opencv


@pytest.mark.parametrize(
    "options",
    [
        {"size": [9, 9], "mode": "bilinear", "align_corners": True},
        {"size": [9, 9], "mode": "bilinear", "align_mode": 1},
        {"size": [9, 9], "mode": "bilinear", "data_format": "NHWC"},
        {"size": [1, 9], "mode": "bilinear"},
        {"size": [9, 9], "mode": "nearest"},
        {"size": [9, 9]},
        {"scale_factor": 2, "mode": "bilinear"},
    ],
    ids=str,
)
def test_other_arguments_use_paddles_kernel(options: dict, by_opencv: list) -> None:
    x = maps(1, 3, 4, 3)
    expected = F.interpolate(x, **options).numpy()
    with by_kernel():
        np.testing.assert_array_equal(F.interpolate(x, **options).numpy(), expected)
    assert not by_opencv


def test_paddles_function_is_restored() -> None:
    before = F.interpolate
    with pytest.raises(KeyError), by_kernel(), by_kernel():
        raise KeyError
    assert F.interpolate is before


def test_kernel_runs_only_where_no_gradient_is_needed(by_opencv: list) -> None:
    x = maps(1, 2, 5, 6)
    x.stop_gradient = False
    resize_bilinear(x, [7, 9], False).sum().backward()
    assert not by_opencv and x.grad is not None
    with paddle.no_grad():
        resize_bilinear(x, [7, 9], False)
    assert by_opencv == [(7, 9)]
