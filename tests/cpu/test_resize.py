"""Bilinear resizing by OpenCV and its gradient by matrices equal Paddle's; other networks have it within a block."""

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
    return interpolate_by(resize)


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


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("source", [(1, 1), (1, 7), (8, 12), (40, 67)])
@pytest.mark.parametrize("target", [(1, 1), (1, 9), (2, 2), (13, 17), (40, 67), (97, 131)])
@pytest.mark.parametrize("block", [5, 32])
def test_gradient_equals_paddles(
    source: tuple[int, int],
    target: tuple[int, int],
    align_corners: bool,
    block: int,
    monkeypatch: pytest.MonkeyPatch,
    by_opencv: list,
) -> None:
    monkeypatch.setattr(resize, "BLOCK", block)
    resize._blocks.cache_clear()
    x, grad_out = maps(2, 3, *source), maps(2, 3, *target)
    x.stop_gradient = False
    out = resize_bilinear(x, list(target), align_corners)
    reference = F.interpolate(x, list(target), mode="bilinear", align_corners=align_corners)
    (found,), (expected,) = (paddle.grad(y, x, grad_out) for y in (out, reference))
    for ours, paddles in [(out, reference), (found, expected)]:  # whose positions of pixels are rounded to float32
        np.testing.assert_allclose(ours.numpy(), paddles.numpy(), rtol=0, atol=1e-5 * float(paddles.abs().max()))
    assert by_opencv == [target]


def test_size_that_lowers_one_side_and_raises_the_other() -> None:
    x = maps(1, 2, 70, 6)
    x.stop_gradient = False
    found = paddle.grad(resize_bilinear(x, [9, 50], False).square().sum(), x)[0]
    expected = paddle.grad(F.interpolate(x, [9, 50], mode="bilinear").square().sum(), x)[0]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("align_corners", [False, True])
def test_align_corners_is_worth_it_for_its_gradient_alone(align_corners: bool) -> None:
    x = maps(1, 2, 5, 6)
    assert resize.accepts(x, [7, 9], align_corners) == (not align_corners)
    x.stop_gradient = False
    assert resize.accepts(x, [7, 9], align_corners)
    with paddle.no_grad():
        assert resize.accepts(x, [7, 9], align_corners) == (not align_corners)
