"""Faster convolutions within a whole network, PaddleSeg's backbones included, while a model of ours runs.

For the time of one call, convolutions of Paddle's own class compute by the kernels of this room where these accept:
3×3 ones of stride 1, depthwise ones of stride 1 and 2, in training and evaluation.

They are found anew for each call that begins while no other is under way, so that nothing learned of a network can be
out of date. A layer computes otherwise through an attribute of its own, ``forward``, that is gone when the last call
ends; state dict, copies and files know nothing of it. Layers with hooks and subclasses compute as ever, and so does
whatever other threads do meanwhile with the model's layers outside of such a call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.compat.layers import conv_geometry, has_hooks
from paddleseg_ext.cpu import depthwise_strided
from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.layers.functional import conv3x3, depthwise_conv2d

Forward = Callable[[paddle.Tensor], paddle.Tensor]


def accepts(call: Forward, model: nn.Layer, x: paddle.Tensor) -> bool:
    """Whether the model is called with one map in float32 on a CPU, and is no traced one."""
    return isinstance(x, paddle.Tensor) and x.ndim == 4 and "forward" not in vars(model) and float32_on_cpu(x)


def run(call: Forward, model: nn.Layer, x: paddle.Tensor) -> Any:
    """`layers.functional.network_outputs`, the same up to rounding. Several threads may run the same model."""
    thread = threading.get_ident()
    with _lock:
        within = any(thread in replaced.threads for replaced in _running.values())
        if not within:
            replaced = _running.setdefault(model, _Replaced())
            if not replaced.threads:
                replaced.begin(model)
            replaced.threads.add(thread)
    if within:  # a network within another one, whose layers are among that one's
        return call(x)
    try:
        return call(x)
    finally:
        with _lock:
            replaced.threads.remove(thread)
            if not replaced.threads:
                replaced.end()
                del _running[model]


class _Replaced:
    """Layers of one model that compute otherwise.

    Attributes:
        threads: Those within a call of the model; for these only.
    """

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.layers: list[nn.Layer] = []

    def begin(self, model: nn.Layer) -> None:
        for layer, forward in _forwards(model).items():
            vars(layer)["forward"] = self._either(layer, forward)
            self.layers.append(layer)

    def end(self) -> None:
        for layer in self.layers:
            vars(layer).pop("forward", None)

    def _either(self, layer: nn.Layer, forward: Forward) -> Callable[..., Any]:
        plain = _plain(layer)

        def either(*args: Any, **options: Any) -> Any:
            ours = len(args) == 1 and not options and threading.get_ident() in self.threads
            return forward(args[0]) if ours and paddle.in_dynamic_mode() else plain(*args, **options)

        return either


_lock = threading.Lock()
_running: dict[nn.Layer, _Replaced] = {}


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
    if layer.bias is not None or not depthwise_strided.accepts(x, layer.weight):
        return _plain(layer)(x)
    # Padded as TensorFlow does, an even side has one zero less at its beginning.
    first = [int(same and side % 2 == 0) for side in x.shape[2:]]
    return depthwise_strided.run(x, layer.weight, first)
