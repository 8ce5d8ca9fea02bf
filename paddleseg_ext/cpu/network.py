"""Faster convolutions within a whole network, PaddleSeg's backbones included, while a model of ours runs.

For the time of one call, convolutions of Paddle's own class compute by the kernels of this room where these accept:
3×3 ones and depthwise ones, both of stride 1 and any dilation, in training and evaluation; without gradients depthwise
ones of stride 2, too.

They are found anew for each call, so that nothing learned of a network can be out of date. A layer computes otherwise
through an attribute of its own, ``forward``, that is gone when the call ends; state dict, copies and files know nothing
of it. Layers with hooks and subclasses compute as ever, and so does all that other threads do with the same model
meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.compat.layers import conv_geometry, has_hooks
from paddleseg_ext.cpu import depthwise
from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.layers.functional import conv3x3, depthwise_conv2d

Forward = Callable[[paddle.Tensor], paddle.Tensor]
_lock = threading.Lock()


def accepts(call: Forward, model: nn.Layer, x: paddle.Tensor) -> bool:
    """Whether the model is called with one map in float32 on a CPU, and is no traced one."""
    return isinstance(x, paddle.Tensor) and x.ndim == 4 and "forward" not in vars(model) and float32_on_cpu(x)


def run(call: Forward, model: nn.Layer, x: paddle.Tensor) -> Any:
    """`layers.functional.network_outputs`, the same up to rounding."""
    if not _lock.acquire(blocking=False):  # another thread's call, or a network within this one
        return call(x)
    try:
        with _replaced(_forwards(model)):
            return call(x)
    finally:
        _lock.release()


@contextmanager
def _replaced(forwards: dict[nn.Layer, Forward]) -> Iterator[None]:
    """Within the block, layers compute otherwise in this thread."""
    owner = threading.get_ident()

    def dispatch(layer: nn.Layer, forward: Forward) -> Forward:
        plain = _plain(layer)

        def either(*args: Any, **options: Any) -> Any:
            ours = len(args) == 1 and not options and threading.get_ident() == owner and paddle.in_dynamic_mode()
            return forward(args[0]) if ours else plain(*args, **options)

        return either

    try:
        for layer, forward in forwards.items():
            vars(layer)["forward"] = dispatch(layer, forward)
        yield
    finally:
        for layer in forwards:
            vars(layer).pop("forward", None)


def _plain(layer: nn.Layer) -> Callable[..., Any]:
    """What a layer computes by its class."""
    return type(layer).forward.__get__(layer)


def _forwards(model: nn.Layer) -> dict[nn.Layer, Forward]:
    """The layers that compute otherwise now, and how."""
    convs = (layer for layer in model.sublayers() if type(layer) is nn.Conv2D)
    free = (conv for conv in convs if not has_hooks(conv) and "forward" not in vars(conv))
    return {conv: forward for conv in free if (forward := _faster_conv(conv)) is not None}


def _faster_conv(layer: nn.Conv2D) -> Forward | None:
    """A convolution through the operations that have kernels, where it is one of them."""
    kernel, strides, padding, dilations, groups, plain = conv_geometry(layer)
    k, stride, dilation = kernel[0], strides[0], dilations[0]
    square = all(down == across for down, across in (kernel, strides, dilations))
    if not (plain and square) or k % 2 == 0 or k == 1:
        return None
    same = isinstance(padding, str) and padding.upper() == "SAME"  # Paddle then ignores the dilation
    if not same and padding not in (dilation * (k // 2), [dilation * (k // 2)] * 2, (dilation * (k // 2),) * 2):
        return None
    dilation = 1 if same else dilation
    weight, bias = layer.weight, layer.bias
    outputs, per_group = weight.shape[:2]

    def with_bias(out: paddle.Tensor) -> paddle.Tensor:
        return out if bias is None else out + bias.reshape([1, -1, 1, 1])

    if groups == 1 and k == 3 and stride == 1:
        return lambda x: with_bias(conv3x3(x, weight, dilation))
    if groups == outputs and per_group == 1:
        if stride == 1:
            return lambda x: with_bias(depthwise_conv2d(x, weight, dilation))
        if stride == 2 and dilation == 1:
            return lambda x: _strided_depthwise(layer, x, same)
    return None


def _strided_depthwise(layer: nn.Conv2D, x: paddle.Tensor, same: bool) -> paddle.Tensor:
    if layer.bias is not None or not depthwise.accepts_strided(x, layer.weight):
        return _plain(layer)(x)
    # Padded as TensorFlow does, an even side has one zero less at its beginning.
    first = [int(same and side % 2 == 0) for side in x.shape[2:]]
    return depthwise.run_strided(x, layer.weight, first)
