"""BatchNorm fused into the convolution in front of it.

In evaluation BatchNorm is y = s·x + t with s = γ / √(σ² + ε) and t = β − s·μ for each channel, and a convolution is
linear in its weight: scaling the weight's output channels by s leaves only the shift t.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import paddle
from paddle import nn

from paddleseg_ext.compat.paddle import batch_norm_state, plain_batch_norm
from paddleseg_ext.export.sensitivity import relative_difference
from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.layers.norms import BATCH_NORMS


class Shift(nn.Layer):
    """Adds a number to each channel: what a folded BatchNorm leaves.

    Shape:
        - x: (N, C, H, W), or (N, H, W, C) with ``channels_last``
        - output: as x
    """

    def __init__(self, values: paddle.Tensor, channels_last: bool = False) -> None:
        super().__init__()
        shape = [1, 1, 1, len(values)] if channels_last else [1, len(values), 1, 1]
        self.values = self.create_parameter(shape)
        self.values.set_value(values.reshape(shape))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x + self.values


def fused(
    model: nn.Layer, example: paddle.Tensor, allows: Callable[[float], bool] = lambda difference: difference <= 1e-4
) -> tuple[nn.Layer, int]:
    """A copy of a model in evaluation mode with each BatchNorm folded that directly follows a convolution.

    Which ones do is seen by watching the example pass. Where a network also uses the convolution's own output, the
    copy's result would differ; then nothing is folded.

    Args:
        model: In evaluation mode; its first output is compared. It stays as it is.
        example: (N, C, H, W).
        allows: Whether a difference, relative to the largest value, is small enough; `Sensitivity` knows the network's.

    Returns:
        The copy and how many were folded.
    """
    result = copy.deepcopy(model)
    with paddle.no_grad():
        expected = model(example)[0].numpy()
        pairs = _pairs(result, example)
        for conv, norm in pairs:
            _fold(result, conv, norm)
        difference = relative_difference(result(example)[0].numpy(), expected)
    if pairs and not allows(difference):
        result, pairs = copy.deepcopy(model), []
    for norm in [layer for layer in result.sublayers() if isinstance(layer, nn.SyncBatchNorm)]:
        _replace(result, norm, plain_batch_norm(norm))  # a CPU has no kernel for it
    return result, len(pairs)


def _pairs(model: nn.Layer, example: paddle.Tensor) -> list[tuple[nn.Conv2D, nn.Layer]]:
    """Convolutions that run once, with the BatchNorm that runs once, on exactly what they gave."""
    came_from: dict[int, nn.Conv2D] = {}
    outputs, found = [], []  # the outputs are kept so that no other tensor takes their identity
    runs: dict[int, int] = {}

    def after_conv(conv: nn.Conv2D, _: tuple, out: paddle.Tensor) -> None:
        outputs.append(out)
        came_from[id(out)] = conv
        runs[id(conv)] = runs.get(id(conv), 0) + 1

    def before_norm(norm: nn.Layer, inputs: tuple) -> None:
        runs[id(norm)] = runs.get(id(norm), 0) + 1
        if id(inputs[0]) in came_from:
            found.append((came_from[id(inputs[0])], norm))

    # Ours may run as a function of their weight, unseen, but there the norm follows by construction.
    own = [block for block in model.sublayers() if isinstance(block, ConvNormAct)]
    known = [(block.conv, block.norm) for block in own if isinstance(block.norm, BATCH_NORMS)]
    hooks = []
    for layer in model.sublayers():
        if type(layer) is nn.Conv2D:
            hooks.append(layer.register_forward_post_hook(after_conv))  # type: ignore[arg-type]  # may give None
        elif isinstance(layer, BATCH_NORMS):
            hooks.append(layer.register_forward_pre_hook(before_norm))  # type: ignore[arg-type]  # likewise
    model(example)
    for hook in hooks:
        hook.remove()
    once = [pair for pair in found if all(runs[id(layer)] == 1 for layer in pair)]
    ours = {id(norm) for _, norm in known}
    return known + [pair for pair in once if id(pair[1]) not in ours]


def _fold(model: nn.Layer, conv: nn.Conv2D, norm: nn.Layer) -> None:
    mean, variance, epsilon, layout = batch_norm_state(norm)
    scale = paddle.rsqrt(variance + epsilon)
    scale = scale * norm.weight if norm.weight is not None else scale  # (C)
    shift = -mean * scale
    shift = shift + norm.bias if norm.bias is not None else shift
    conv.weight.set_value(conv.weight * scale.reshape([-1, 1, 1, 1]))
    remainder: nn.Layer = Shift(shift, channels_last=layout == "NHWC")
    if conv.bias is not None:
        conv.bias.set_value(conv.bias * scale + shift)
        remainder = nn.Identity()
    _replace(model, norm, remainder)


def _replace(model: nn.Layer, old: nn.Layer, new: nn.Layer) -> None:
    for parent in model.sublayers(include_self=True):
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
