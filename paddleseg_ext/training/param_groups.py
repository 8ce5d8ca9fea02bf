"""Which parameters learn, how fast, and with weight decay or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import paddle
from paddle import nn
from paddle.regularizer import L2Decay

from paddleseg_ext.compat.paddle import decay_filter, plain_batch_norm, set_decay_filter
from paddleseg_ext.errors import UserError
from paddleseg_ext.layers.norms import BATCH_NORMS, NORMS
from paddleseg_ext.runtime import distributed

BACKBONE = "backbone."
STATISTICS = ("_mean", "_variance")


def learnable(model: nn.Layer) -> Iterator[tuple[str, paddle.Tensor]]:
    """Names and parameters, frozen ones included, without BatchNorm's statistics, which Paddle lists among them."""
    return ((name, value) for name, value in model.named_parameters() if not name.endswith(STATISTICS))


def freeze(model: nn.Layer, patterns: Sequence[str]) -> None:
    """Stop the parameters whose names match a shell pattern (``backbone.*``) from learning.

    Normalization layers whose parameters are all frozen keep their statistics too: see `train_mode`.

    Raises:
        UserError: A pattern matches no parameter, or together they match all.
    """
    names = dict(learnable(model))
    for pattern in patterns:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise UserError(f"`freeze` {pattern} matches no parameter; names are like {', '.join(list(names)[:3])}")
        for name in matching:
            names[name].stop_gradient = True
    if all(parameter.stop_gradient for parameter in names.values()):
        raise UserError(f"`freeze` {' '.join(patterns)} leaves no parameter to train")


def sync_batch_norm(model: nn.Layer) -> None:
    """On several GPUs, let each BatchNorm that learns take its statistics over all of them.

    Frozen ones (call this after `freeze`) use running statistics, in which SyncBatchNorm's backward pass fails: they
    are plain ones, those that PaddleSeg's backbones made synchronized too. The layers' parameters, buffers and names
    stay, so a checkpoint is the same with and without.
    """
    if distributed.world_size() == 1 or not paddle.get_device().startswith("gpu"):
        return
    for parent in model.sublayers(include_self=True):
        for name, norm in parent.named_children():
            if not isinstance(norm, BATCH_NORMS):
                continue
            parameters = [parameter for parameter in (norm.weight, norm.bias) if parameter is not None]
            frozen = bool(parameters) and all(parameter.stop_gradient for parameter in parameters)
            if frozen and isinstance(norm, nn.SyncBatchNorm):
                setattr(parent, name, plain_batch_norm(norm))
            elif not frozen:
                setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(norm))


def train_mode(model: nn.Layer) -> None:
    """Training mode, except for normalization layers that are frozen."""
    model.train()
    for layer in model.sublayers():
        parameters = [parameter for _, parameter in learnable(layer)]
        if isinstance(layer, NORMS) and parameters and all(parameter.stop_gradient for parameter in parameters):
            layer.eval()


def scale_head(model: nn.Layer, factor: float) -> None:
    """Multiply the learning rate of every parameter outside the backbone.

    Raises:
        UserError: The model has no part named `backbone`.
    """
    if not any(name.startswith(BACKBONE) for name, _ in learnable(model)):
        raise UserError(f"`head_lr`: {type(model).__name__} has no backbone to tell its head from")
    for name, parameter in learnable(model):
        if not name.startswith(BACKBONE):
            parameter.optimize_attr["learning_rate"] *= factor


class NoDecay(L2Decay):
    """Weight decay of 0, which takes the place of the optimizer's own."""

    def __init__(self) -> None:
        super().__init__(0.0)


def exempt_from_decay(model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> None:
    """Take weight decay from biases and from normalization layers."""
    exempt = {parameter.name for parameter in _biases_and_norms(model)}
    if isinstance(optimizer, paddle.optimizer.AdamW):  # its decay is no regulariser
        before = decay_filter(optimizer)
        set_decay_filter(optimizer, lambda name: name not in exempt and before(name))
        return
    for parameter in model.parameters():
        if parameter.name in exempt:
            parameter.regularizer = NoDecay()


def summary(model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> str:
    """The groups and their counts: ``224 parameters at lr × 1 (8 of them without weight decay); 3 frozen``."""
    groups: dict[float, list[int]] = {}
    frozen = 0
    for _, parameter in learnable(model):
        count = int(parameter.size)
        if parameter.stop_gradient:
            frozen += count
            continue
        group = groups.setdefault(parameter.optimize_attr["learning_rate"], [0, 0])
        group[0] += count
        group[1] += count * _without_decay(parameter, optimizer)
    parts = [
        f"{count:,} parameters at lr × {factor:g}" + (f" ({exempt:,} of them without weight decay)" if exempt else "")
        for factor, (count, exempt) in sorted(groups.items())
    ]
    return "; ".join(parts + ([f"{frozen:,} frozen"] if frozen else []))


def _without_decay(parameter: paddle.Tensor, optimizer: paddle.optimizer.Optimizer) -> bool:
    if isinstance(optimizer, paddle.optimizer.AdamW):
        return not decay_filter(optimizer)(parameter.name)
    return isinstance(parameter.regularizer, NoDecay)


def _biases_and_norms(model: nn.Layer) -> list[paddle.Tensor]:
    found = []
    for layer in model.sublayers(include_self=True):
        for name, parameter in layer.named_parameters(include_sublayers=False):
            if isinstance(layer, NORMS) or name.endswith("bias"):
                found.append(parameter)
    return found
