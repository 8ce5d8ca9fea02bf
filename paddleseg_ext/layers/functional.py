"""Operations of the layers in their reference form, and a registry of faster kernels for them.

`KERNELS` is empty by default. In eager execution an operation runs the kernel registered under its name if that accepts
the arguments; otherwise, and always while a graph is traced, the reference form below runs. So no exported graph
contains a kernel, and a layer is independent of the device.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable, Protocol, Union

import paddle
import paddle.nn.functional as F

Size = Union[int, paddle.Tensor]


class Kernel(Protocol):
    """Faster implementation of an operation; a module with these two functions is one."""

    def accepts(self, *args: Any) -> bool:
        """Whether `run` supports the arguments and is faster.

        Args:
            *args: Those of the operation, tensors with their shapes and the rest.
        """

    def run(self, *args: Any) -> paddle.Tensor:
        """The same result as the reference form, up to rounding.

        Args:
            *args: Those of the operation, tensors with their shapes and the rest.
        """


HALF = (paddle.float16, paddle.bfloat16)


def in_type(x: paddle.Tensor, dtype: Any) -> paddle.Tensor:
    """The tensor (any shape) in a data type; one of that type as it is, for which `astype` would call an operator."""
    return x if x.dtype == dtype else x.astype(dtype)


def as_float32(x: paddle.Tensor) -> paddle.Tensor:
    """The tensor (any shape) in float32 if it is in half precision, otherwise as it is."""
    return x.astype("float32") if x.dtype in HALF else x


KERNELS: dict[str, Kernel] = {}
"""Registered kernels, by name of the operation."""


@contextmanager
def without_kernels() -> Iterator[None]:
    """Within the block every operation runs in its reference form, in all threads."""
    before = dict(KERNELS)
    KERNELS.clear()
    try:
        yield
    finally:
        KERNELS.update(before)


Operation = Callable[..., paddle.Tensor]


def accelerated(reference: Operation) -> Operation:
    """Decorator that runs the kernel of a function's name in `KERNELS` if it accepts the arguments.

    Args:
        reference: The reference form, a function of positional arguments.
    """

    @functools.wraps(reference)
    def operation(*args: Any) -> paddle.Tensor:
        kernel = KERNELS.get(reference.__name__) if paddle.in_dynamic_mode() else None
        return kernel.run(*args) if kernel is not None and kernel.accepts(*args) else reference(*args)

    return paddle.jit.not_to_static(operation)  # there is no control flow to trace


@accelerated
def conv3x3(x: paddle.Tensor, weight: paddle.Tensor, dilation: int = 1) -> paddle.Tensor:
    """3×3 convolution with zero padding to the same size.

    Args:
        x: The map.
        weight: Of the convolution.
        dilation: Pixels from one element of the kernel to the next.

    Shape:
        - x: (N, C, H, W)
        - weight: (O, C, 3, 3)
        - output: (N, O, H, W)
    """
    return F.conv2d(x, weight, padding=dilation, dilation=dilation)


@accelerated
def depthwise_conv2d(x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> paddle.Tensor:
    """Depthwise cross-correlation, one kernel per channel, zero-padded to the same size.

    An even kernel has its extra row and column of padding at the top and the left. A map in half precision is convolved
    in float32, since Paddle's kernels for GPUs add up in the map's own type; the output has that type again.

    Args:
        x: The map.
        kernels: One for each channel.
        dilation: Pixels from one element of the kernel to the next.

    Shape:
        - x: (N, C, H, W)
        - kernels: (C, 1, k, k)
        - output: (N, C, H, W)
    """
    if x.dtype in HALF:
        with paddle.amp.auto_cast(enable=False):
            return _depthwise_conv2d(x.astype("float32"), as_float32(kernels), dilation).astype(x.dtype)
    return _depthwise_conv2d(x, kernels, dilation)


def _depthwise_conv2d(x: paddle.Tensor, kernels: paddle.Tensor, dilation: int) -> paddle.Tensor:
    k = kernels.shape[2]
    after = (k - 1) // 2 * dilation
    before = (k - 1) * dilation - after
    padding = [before, after, before, after]  # top, bottom, left, right
    return F.conv2d(x, kernels, padding=padding, dilation=dilation, groups=kernels.shape[0])


@accelerated
def resize_bilinear(
    x: paddle.Tensor, size: Sequence[int] | paddle.Tensor, align_corners: bool = False
) -> paddle.Tensor:
    """Bilinear interpolation.

    Args:
        x: The map.
        size: H and W, height and width of the output in pixels; two numbers, or a tensor (2,) of integers.
        align_corners: As in ``F.interpolate``.

    Shape:
        - x: (N, C, h, w)
        - output: (N, C, H, W)
    """
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


@accelerated
def network_outputs(call: Callable[[paddle.Tensor], Any], model: paddle.nn.Layer, x: paddle.Tensor) -> Any:
    """What a model gives for pictures, ``call`` being the model's own way of computing it.

    Here a kernel may compute some of the model's layers meanwhile, those of a foreign backbone too.

    Args:
        call: Computes the outputs of ``x``.
        model: Whose layers it calls.
        x: The pictures.

    Shape:
        - x: (N, C, H, W)
        - output: of the model, a list of (N, K, H, W) for instance
    """
    return call(x)


@accelerated
def criss_cross_attention(
    x: paddle.Tensor,
    query_key_weight: paddle.Tensor,
    query_key_bias: paddle.Tensor,
    value_weight: paddle.Tensor,
    value_bias: paddle.Tensor,
    gamma: paddle.Tensor,
) -> paddle.Tensor:
    """x + γ · criss-cross attention: values of every pixel's row and column, weighted by a softmax over both.

    γ and the softmax's denominator are applied to the attention weights, the smaller tensors. Energies and weights are
    computed in float32 whatever the map's type, in which the values are.

    Shape:
        - x: (N, C, H, W)
        - query_key_weight: (2R, C), queries first
        - query_key_bias: (2R,)
        - value_weight: (C, C)
        - value_bias: (C,)
        - gamma: (1,)
        - output: (N, C, H, W)
    """
    exact = as_float32(x)
    query, key = paddle.split(_project(exact, query_key_weight, query_key_bias), 2, axis=3)  # (N, H, W, R) each
    value = _project(x, value_weight, value_bias)  # (N, H, W, C)
    row, column, denominator = criss_cross_weights(query, key)
    scale = gamma / denominator  # (N, H, W, 1)
    row, column = row * scale, column * scale.transpose(FLIP)
    row, column = in_type(row, x.dtype), in_type(column, x.dtype)
    along = paddle.matmul(row, value)  # (N, H, W, C)
    across = paddle.matmul(column, value.transpose(FLIP))  # (N, W, H, C)
    return x + (along + across.transpose(FLIP)).transpose([0, 3, 1, 2])


FLIP = [0, 2, 1, 3]  # rows ↔ columns


def criss_cross_weights(query: paddle.Tensor, key: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Unnormalized attention weights of every pixel over its row and its column, and their sum.

    The pixel itself counts once, through its row. Row and column share one maximum, so that the two energy maps are
    never concatenated.

    Shape:
        - query, key: (N, H, W, R)
        - output: (N, H, W, W'), (N, W, H, H') and (N, H, W, 1)
    """
    row = paddle.matmul(query, key, transpose_y=True)  # (N, H, W, W')
    column = paddle.matmul(query.transpose(FLIP), key.transpose(FLIP), transpose_y=True)  # (N, W, H, H')
    position = paddle.arange(paddle.shape(query)[1])
    itself = position.unsqueeze(0) == position.unsqueeze(1)  # (H, H')
    column = paddle.where(itself, paddle.full([], float("-inf")), column)

    row_max = row.max(axis=3, keepdim=True)  # (N, H, W, 1)
    column_max = column.max(axis=3, keepdim=True).transpose(FLIP)
    top = paddle.maximum(row_max, column_max).detach()  # shifts every exponent, changes no ratio
    row = paddle.exp(row - top)
    column = paddle.exp(column - top.transpose(FLIP))
    return row, column, row.sum(axis=3, keepdim=True) + column.sum(axis=3, keepdim=True).transpose(FLIP)


def _project(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor) -> paddle.Tensor:
    """1×1 convolution as one matrix product, channels last: (N, C, H, W) → (N, H, W, O)."""
    height, width = spatial_size(x)
    merged = paddle.matmul(x.flatten(2), weight, transpose_x=True, transpose_y=True) + bias  # (N, H·W, O)
    return merged.reshape([0, height, width, bias.shape[0]])


def spatial_size(x: paddle.Tensor) -> tuple[Size, Size]:
    """Height and width of (N, C, H, W): integers in eager execution, tensors while a graph is traced."""
    if paddle.in_dynamic_mode():
        return x.shape[2], x.shape[3]
    shape = paddle.shape(x)
    return shape[2], shape[3]
