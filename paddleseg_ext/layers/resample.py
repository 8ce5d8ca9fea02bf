"""Adaptive pooling and bilinear interpolation as matrices, and resizing to a dynamic size.

Adaptive average pooling and bilinear interpolation are linear in the map and separable, so each is
``P_h · x · P_wᵀ`` with thin matrices. Built with tensor operations from the map's own size, they export
with dynamic height and width, for which exchange formats have no adaptive pooling.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import paddle
import paddle.nn.functional as F

from paddleseg_ext.layers.functional import Size, in_type, resize_bilinear, spatial_size

REMEMBERED = 64  # matrices of each kind: sizes of some images, times grids


def resize(x: paddle.Tensor, size: tuple[Size, Size], align_corners: bool) -> paddle.Tensor:
    """Bilinear resizing; a map that has the size already is returned as it is.

    It is computed in float32 within mixed precision, and the result has the map's type again: what follows would be
    done in float32 otherwise, at twice the bytes.

    Args:
        x: The map.
        size: H and W, height and width of the output in pixels: integers, or scalar tensors while a graph is traced.
        align_corners: As in ``F.interpolate``.

    Shape:
        - x: (N, C, h, w)
        - output: (N, C, H, W)
    """
    if paddle.in_dynamic_mode():
        return _resize_eagerly(x, size, align_corners)
    to = paddle.stack(size).astype("int32")  # type: ignore[arg-type]  # both are tensors now
    return resize_bilinear(x, to, align_corners)


def _resize_eagerly(x: paddle.Tensor, size: tuple[Size, Size], align_corners: bool) -> paddle.Tensor:
    # A separate function, so that the comparison of sizes is not traced.
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return in_type(resize_bilinear(x, size, align_corners), x.dtype)


Builder = Callable[..., paddle.Tensor]


def remembered(build: Builder) -> Builder:
    """Decorator for matrices that sizes alone decide: in eager execution those of the newest sizes are kept.

    Building one takes a dozen operator calls, for which a GPU waits longer than for the product.

    Args:
        build: Makes the matrix from hashable arguments.
    """

    @functools.lru_cache(REMEMBERED)
    def kept(device: str, *args: Any) -> paddle.Tensor:
        with paddle.no_grad(), paddle.amp.auto_cast(enable=False):  # positions of pixels exceed half precision
            return build(*args)

    @functools.wraps(build)
    def matrix(*args: Any) -> paddle.Tensor:
        return kept(paddle.get_device(), *args) if paddle.in_dynamic_mode() else build(*args)

    return paddle.jit.not_to_static(matrix)


@remembered
def pool_matrix(size: Size, bins: int) -> paddle.Tensor:
    """Matrix of 1-D adaptive average pooling.

    Row i averages [⌊i·n/k⌋, ⌈(i+1)·n/k⌉), n = ``size`` and k = ``bins``: the cells of
    ``adaptive_avg_pool``, which overlap when k does not divide n and repeat when k > n.

    Args:
        size: Pixels along one side of the map.
        bins: Cells along the same side of the grid.

    Shape:
        - output: (bins, size), float32; rows sum to 1
    """
    position = paddle.arange(size, dtype="int64").unsqueeze(0)  # (1, n)
    cell = paddle.arange(bins, dtype="int64").unsqueeze(1)  # (k, 1)
    start = (cell * size) // bins
    end = ((cell + 1) * size + bins - 1) // bins
    inside = paddle.logical_and(position >= start, position < end).astype("float32")
    return inside / (end - start).astype("float32")


@remembered
def pool_matrices(size: Size, bin_sizes: tuple[int, ...], dtype: Any) -> paddle.Tensor:
    """`pool_matrix` of several grids, one below the other.

    Args:
        size: Pixels along one side of the map.
        bin_sizes: Cells along the same side of each grid.
        dtype: Data type of the output.

    Shape:
        - output: (Σ bin_sizes, size)
    """
    matrices = [pool_matrix(size, k) for k in bin_sizes]
    return in_type(paddle.concat(matrices) if len(matrices) > 1 else matrices[0], dtype)


@remembered
def interpolation_matrix(size_in: Size, size_out: Size, align_corners: bool) -> paddle.Tensor:
    """Matrix of 1-D linear interpolation, with the source positions of ``F.interpolate``.

    Args:
        size_in: Pixels along one side of the map.
        size_out: Pixels along the same side of the result.
        align_corners: As in ``F.interpolate``.

    Shape:
        - output: (size_out, size_in), float32; rows sum to 1
    """
    target = paddle.arange(size_out, dtype="float32")
    n_in, n_out = _as_float(size_in), _as_float(size_out)
    last = n_in - 1
    if align_corners:
        source = target * (last / paddle.clip(n_out - 1, min=1.0))
    else:
        not_one = (n_out > 1).astype("float32")  # for an output of one cell, Paddle takes the first
        source = (target + 0.5) * (not_one * n_in / n_out) - 0.5
    source = paddle.minimum(paddle.clip(source, min=0.0), last).unsqueeze(1)  # (out, 1)
    return F.relu(1 - paddle.abs(source - paddle.arange(size_in, dtype="float32").unsqueeze(0)))


def _as_float(size: Size) -> paddle.Tensor:
    return paddle.full([], size, "float32") if isinstance(size, int) else size.astype("float32")


def pyramid_pool(x: paddle.Tensor, bin_sizes: Sequence[int]) -> list[paddle.Tensor]:
    """Adaptive average pooling to several grids at once; the map is read only once.

    Args:
        x: The map.
        bin_sizes: k, cells along each side of a grid.

    Shape:
        - x: (N, C, H, W), any H, W ≥ 1
        - output: list of (N, C, k, k), one per k of ``bin_sizes``
    """
    height, width = spatial_size(x)
    across = pool_matrices(width, tuple(bin_sizes), x.dtype)  # (Σk, W)
    rows = paddle.matmul(x, across, transpose_y=True)  # (N, C, H, Σk)
    grids, start = [], 0
    for k in bin_sizes:
        down = pool_matrices(height, (k,), x.dtype)  # (k, H)
        grids.append(paddle.matmul(down, rows[:, :, :, start : start + k]))  # (N, C, k, k)
        start += k
    return grids
