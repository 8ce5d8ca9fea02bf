"""Faster layers within a whole network, PaddleSeg's backbones included, while a model of ours runs.

For the time of one call, layers of Paddle's own classes compute by the kernels of this room where these accept:

- 3×3 convolutions and depthwise ones, both of stride 1 and any dilation, in training and evaluation;
- without gradients, depthwise convolutions of stride 2;
- without gradients, BatchNorm that uses running statistics, and the ReLU or ReLU6 behind it, in place on what the
  convolution in front of it gave (`chains` tells where nothing else uses that).

Everything is found anew for each call, so that nothing learned of a network can be out of date. A layer computes
otherwise through an attribute of its own, ``forward``, that is gone when the call ends; state dict, copies and files
know nothing of it. Layers with hooks, subclasses and shared layers compute as ever, and so does all that other threads
do with the same model meanwhile.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.models.layers.activation import Activation

from paddleseg_ext.compat.layers import conv_geometry, has_hooks, uses_running_statistics
from paddleseg_ext.compat.paddle import batch_norm_state
from paddleseg_ext.cpu import chains, depthwise, norm_act
from paddleseg_ext.cpu.conditions import float32_on_cpu
from paddleseg_ext.layers.conv import ReLU, SameConv
from paddleseg_ext.layers.functional import conv3x3, depthwise_conv2d

Forward = Callable[[paddle.Tensor], paddle.Tensor]
CONVS = (nn.Conv2D, SameConv)
NORMS = (nn.BatchNorm2D, nn.BatchNorm)
RELU = (0.0,)
LIMITS = {nn.ReLU: RELU, ReLU: RELU, nn.ReLU6: (0.0, 6.0)}
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
    children = _children(model)
    free = {layer for layer in children if not has_hooks(layer) and "forward" not in vars(layer)}
    forwards = {layer: forward for layer in free if (forward := _faster_conv(layer)) is not None}
    if paddle.is_grad_enabled():
        return forwards
    uses = Counter(layer for own in children.values() for layer in own.values())
    for parent, own in children.items():
        for run in chains.runs(parent, own):
            for conv, norm, act in zip(run, run[1:], [*run[2:], None]):
                if {conv, norm} <= free and uses[conv] == uses[norm] == 1 and _follows(conv, norm):
                    limits = _limits(act, free)
                    _Chain(parent, conv, norm, act if limits else None, limits).add(forwards)
    return forwards


def _children(model: nn.Layer) -> dict[nn.Layer, dict[str, nn.Layer]]:
    """All layers of a model with their sublayers."""
    found: dict[nn.Layer, dict[str, nn.Layer]] = {}
    pending = [model]
    while pending:
        layer = pending.pop()
        if layer not in found:
            found[layer] = dict(layer.named_children())
            pending += found[layer].values()
    return found


def _follows(conv: nn.Layer, norm: nn.Layer) -> bool:
    return (
        isinstance(conv, nn.Conv2D)
        and type(conv) in CONVS
        and type(norm) in NORMS
        and conv_geometry(conv).plain
        and uses_running_statistics(norm)
        and batch_norm_state(norm)[3] == "NCHW"
    )


def _limits(act: nn.Layer | None, free: set[nn.Layer]) -> tuple[float, ...]:
    """Between which values an activation cuts what it is given, if that is all it does."""
    if act not in free:
        return ()
    inner = [*act.children()]
    if type(act) is Activation and len(inner) == 1:  # PaddleSeg's, around one of Paddle's
        return _limits(inner[0], free)
    return LIMITS.get(type(act), ())


def _faster_conv(layer: nn.Layer) -> Forward | None:
    """A convolution through the operations that have kernels, where it is one of them."""
    if type(layer) is not nn.Conv2D:
        return None
    kernel, strides, padding, dilations, groups, plain = conv_geometry(layer)
    k, stride, dilation = kernel[0], strides[0], dilations[0]
    if not plain or k % 2 == 0 or k == 1 or len({*kernel}) + len({*strides}) + len({*dilations}) > 3:
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


def _strided_depthwise(layer: nn.Layer, x: paddle.Tensor, same: bool) -> paddle.Tensor:
    if layer.bias is not None or not depthwise.accepts_strided(x, layer.weight):
        return _plain(layer)(x)
    # Padded as TensorFlow does, an even side has one zero less at its beginning.
    first = [int(same and side % 2 == 0) for side in x.shape[2:]]
    return depthwise.run_strided(x, layer.weight, first)


class _Chain:
    """A convolution, the BatchNorm behind it and maybe an activation, called one on the other's result by a layer."""

    def __init__(
        self, parent: nn.Layer, conv: nn.Layer, norm: nn.Layer, act: nn.Layer | None, limits: tuple[float, ...]
    ) -> None:
        self.parent, self.conv, self.norm, self.act, self.limits = parent, conv, norm, act, limits
        self.inside = 0  # calls of the parent that run now: elsewhere the same layers may be used otherwise
        self.fresh: paddle.Tensor | None = None  # what the convolution gave
        self.done: paddle.Tensor | None = None  # what the activation need not change any more

    def add(self, forwards: dict[nn.Layer, Forward]) -> None:
        """Let the layers compute together."""
        forwards[self.parent] = self._around(forwards.get(self.parent, _plain(self.parent)))
        forwards[self.conv] = self._after_conv(forwards.get(self.conv, _plain(self.conv)))
        forwards[self.norm] = self._normalize
        if self.act is not None:
            forwards[self.act] = self._activate(forwards.get(self.act, _plain(self.act)))

    def _around(self, forward: Forward) -> Forward:
        def around(x: paddle.Tensor) -> Any:
            self.inside += 1
            try:
                return forward(x)
            finally:
                self.inside -= 1
                self.fresh = self.done = None

        return around

    def _after_conv(self, forward: Forward) -> Forward:
        def after_conv(x: paddle.Tensor) -> paddle.Tensor:
            out = forward(x)
            if self.inside:
                self.fresh = out
            return out

        return after_conv

    def _normalize(self, x: paddle.Tensor) -> paddle.Tensor:
        fresh, self.fresh = self.fresh, None
        if fresh is x and norm_act.accepts(x, self.norm):
            norm_act.run(x, self.norm, self.limits)
            self.done = x
            return x
        out = _plain(self.norm)(x)
        if fresh is x and self.limits:
            out = self.done = (
                F.relu_(out) if self.limits == RELU else F.hardtanh_(out, min=self.limits[0], max=self.limits[1])
            )
        return out

    def _activate(self, forward: Forward) -> Forward:
        def activate(x: paddle.Tensor) -> paddle.Tensor:
            done, self.done = self.done, None
            return x if done is x else forward(x)

        return activate
