"""Multiply-adds of operators: a multiplication and the addition of its product count as one, half of what FLOPs say.

Counted where operators are executed, so that what is written as a function counts as layers do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import paddle

from paddleseg_ext.compat.paddle import observe_operators

Macs = Callable[[Sequence[Any], paddle.Tensor], int]
"""From an operator's arguments and its result."""


def _conv(args: Sequence[Any], out: paddle.Tensor) -> int:
    return out.size * prod(args[1].shape[1:])  # each output sums over the kernel and the group's channels


def _conv_transpose(args: Sequence[Any], out: paddle.Tensor) -> int:
    return args[0].size * prod(args[1].shape[1:])  # each input goes to the kernel and the group's output channels


def _deformable_conv(args: Sequence[Any], out: paddle.Tensor) -> int:
    return _conv(args[1:], out)  # the second argument are offsets


def _matmul(args: Sequence[Any], out: paddle.Tensor) -> int:
    x, y = args[:2]
    if 1 in (x.ndim, y.ndim):
        return prod(out.shape) * (x if x.ndim == 1 else y).size
    # Of b products (m, k)·(k, n): |x| = b·m·k, |y| = b·k·n, |out| = b·m·n, hence k² = |x|·|y| / (|out|·b).
    batch = prod(out.shape[:-2])
    sizes = [t.size * batch // prod(t.shape[:-2]) for t in (x, y)]  # an operand without batch serves every product
    return out.size * round((sizes[0] * sizes[1] / (out.size * batch)) ** 0.5)


def _addmm(args: Sequence[Any], out: paddle.Tensor) -> int:
    return _matmul(args[1:], out)  # the first argument is what is added


def _einsum(args: Sequence[Any], out: paddle.Tensor) -> int:
    """Each combination of indices once, which is exact for two operands; Paddle contracts more of them in pairs."""
    operands, equation = args[:2]
    sizes: dict[str, int] = {}
    for operand, indices in zip(operands, re.sub(r"\s", "", equation).partition("->")[0].split(",")):
        before, dots, after = indices.partition("...")
        between = len(operand.shape) - len(before) - len(after)
        names = [*before, *(f".{place}" for place in range(between, 0, -1)), *after] if dots else list(before)
        for name, size in zip(names, operand.shape):
            sizes[name] = max(size, sizes.get(name, 1))  # 1 is broadcast
    return prod(sizes.values())


CONVOLUTIONS: dict[str, Macs] = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose"), _conv_transpose),
    "deformable_conv": _deformable_conv,
}
PRODUCTS: dict[str, Macs] = {
    **dict.fromkeys(("matmul", "bmm", "mv", "linear"), _matmul),
    **dict.fromkeys(("addmm", "baddbmm"), _addmm),
    "einsum": _einsum,
}
COUNTED = {**CONVOLUTIONS, **PRODUCTS}
TAPS = {"nearest_interp": 0, "linear_interp": 2, "bilinear_interp": 4, "bicubic_interp": 16, "trilinear_interp": 8}
"""Multiply-adds of an interpolated value: the pixels that it is a weighted sum of."""


@contextmanager
def observed_operations(observer: Callable[[str, int, paddle.Tensor], None]) -> Iterator[None]:
    """Within the block tell `observer` the name, multiply-adds and result of each operator of `COUNTED` and `TAPS`."""

    def observe(name: str, args: Sequence[Any], out: Any) -> None:
        result = out[0] if isinstance(out, (list, tuple)) else out  # einsum's has what its gradient needs beside it
        observer(name, COUNTED[name](args, result) if name in COUNTED else TAPS[name] * result.size, result)

    with observe_operators([*COUNTED, *TAPS], observe):
        yield


@contextmanager
def count_macs() -> Iterator[list[int]]:
    """Multiply-adds of the convolutions and matrix products run meanwhile, one number per call."""
    counts: list[int] = []

    def count(name: str, macs: int, out: paddle.Tensor) -> None:
        if name in COUNTED:
            counts.append(macs)

    with observed_operations(count):
        yield counts
