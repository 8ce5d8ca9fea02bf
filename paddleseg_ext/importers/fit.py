"""Fitting imported weights to a model: the order of stacked channels, then every name and shape.

Heads stack the same branches in different orders, which no shape shows. What only differs in order is permuted
to the model's own; what is another function (an activation) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Union

import numpy as np
from paddle import nn

from paddleseg_ext.checkpoint.load import compare, first
from paddleseg_ext.errors import UserError
from paddleseg_ext.heads import FastFCNHead, PSPHead

Weights = dict[str, np.ndarray]
OF_THE_MASK = re.compile(r"^(backbone|decode_head)\.(?!(head\.)?se\.)")
"""What the prediction depends on; auxiliary heads and SE logits matter in training only."""


@dataclass(frozen=True)
class Layout:
    """How a source builds what shapes do not show.

    Attributes:
        pool_first: ASPP stacks its pooled branch first, otherwise last.
        deep_first: JPU stacks the coarsest map first, otherwise last.
        bins_reversed: PSPNet stacks its branches from the finest grid, otherwise from the coarsest.
        activations: Regular expression on a layer's name → (the layer that stands there, the setting for it).
    """

    pool_first: bool
    deep_first: bool
    bins_reversed: bool
    activations: dict[str, tuple[type[nn.Layer], str]]


SEPARABLE = r"^decode_head\.(aspp\.atrous|decoder)\.\d+\.depthwise\.act$"
MMSEG = Layout(
    pool_first=True,
    deep_first=False,
    bins_reversed=False,
    activations={
        SEPARABLE: (nn.ReLU, "dw_act: true"),
        r"^decode_head\.(before|after|fuse)\.act$": (nn.ReLU, "act: relu"),
    },
)
PADDLESEG = Layout(
    pool_first=False,
    deep_first=True,
    bins_reversed=True,
    activations={
        SEPARABLE: (nn.Identity, "dw_act: false"),
        r"^decode_head\.(before|after)\.act$": (nn.LeakyReLU, "act: leaky_relu"),
        r"^decode_head\.fuse\.act$": (nn.ReLU, "out_act: relu"),
    },
)


Rules = Sequence[tuple[str, Union[str, Callable[[re.Match], str]]]]
"""Regular expression → replacement. All rules are applied, one after the other."""


def rename(name: str, rules: Rules) -> str:
    """The name after every rule."""
    for pattern, target in rules:
        name = re.sub(pattern, target, name)
    return name


def recognize(names: Iterable[str], marks: Mapping[str, str], source: str) -> str:
    """The first network whose mark, a regular expression, is found in one of the names.

    Raises:
        UserError: none is.
    """
    names = list(names)
    for network, mark in marks.items():
        if any(re.search(mark, name) for name in names):
            return network
    raise UserError(
        f"These are not the weights of a network of {source} that can be imported ({', '.join(sorted(marks))}): "
        f"their names begin with {', '.join(sorted({name.split('.')[0] for name in names})[:5]) or 'nothing at all'}."
    )


def fit(weights: Weights, model: nn.Layer, layout: Layout) -> Weights:
    """The weights that the model has, in its own order; an auxiliary head or SE layer that it lacks is left out.

    Args:
        weights: By our names, in the order of ``layout``.
        model: The network that they are for; it is not changed.
        layout: Of `mmseg.convert` or `paddleseg.convert`.

    Raises:
        UserError: the model has another activation, or a weight too many, too few or of another shape; it names the
            setting to change.
    """
    _same_activations(model, layout)
    return _reordered(same_names_and_shapes(weights, model.state_dict()), model.decode_head, layout)


def same_names_and_shapes(weights: Weights, own: Mapping[str, Any]) -> Weights:
    """The weights that a model has.

    Args:
        weights: By our names.
        own: Anything with a shape by name.

    Raises:
        UserError: a weight too many, too few or of another shape; it names the setting to change.
    """
    compared = compare(weights, own)
    if missing := compared.missing:
        raise UserError(
            f"The file has no weights for {len(missing)} of the model's {len(own)} tensors ({first(missing)}): "
            f"change model.{missing[0].split('.')[0]} in the configuration."
        )
    if compared.mismatched:
        name, found, needed = compared.mismatched[0]
        raise UserError(
            f"{name} is {found} in the file but {needed} in the model: "
            f"change {_setting(name, found, needed)} in the configuration."
        )
    unused = [name for name in compared.unexpected if OF_THE_MASK.search(name)]
    if unused:
        raise UserError(
            f"The model has no place for {len(unused)} weights of the file that its mask depends on "
            f"({first(unused)}): change model.{unused[0].split('.')[0]} in the configuration."
        )
    return {name: weights[name] for name in own}


def _same_activations(model: nn.Layer, layout: Layout) -> None:
    for name, layer in model.named_sublayers():
        for pattern, (kind, setting) in layout.activations.items():
            if re.search(pattern, name) and not isinstance(layer, kind):
                raise UserError(
                    f"{name} is {type(layer).__name__} in the model but {kind.__name__} where the file comes from: "
                    f"set `{setting}` under model.decode_head in the configuration."
                )


ANY = None
# What decides a shape, most particular first: in our name, on this axis → the key in the configuration.
SETTINGS = [
    (r"^backbone\.", ANY, "model.backbone (its type or its width)"),
    (r"\.classifier\.|\.se\.bias$", 0, "model.num_classes"),
    (r"\.se\.weight$", 1, "model.num_classes"),
    (r"^auxiliary_heads\.", ANY, "channels or in_index of model.auxiliary_heads"),
    (r"\.classifier\.|\.se\.", ANY, "channels of model.decode_head"),
    (r"\.low_level\.", 0, "low_channels of model.decode_head"),
    (r"\.codewords$|\.encoding\.scale$|\.encoding\.norm\.", 0, "num_codes of model.decode_head"),
    (r"\.project\.conv\.", 2, "proj_kernel of model.decode_head"),
    (r"\.bottleneck\.conv\.", 2, "bottleneck_kernel of model.decode_head"),
    (r"\.jpu\.", 0, "jpu_channels of model.decode_head"),
    (r"\.pyramid\.", 0, "pool_channels or channels of model.decode_head"),
    (r"^decode_head\.", 0, "channels of model.decode_head"),
    (r"^decode_head\.", ANY, "the number of branches or channels of model.decode_head"),
]


def _setting(name: str, found: Sequence[int], needed: Sequence[int]) -> str:
    """The key in the configuration that made a shape another one."""
    other = [i for i, (a, b) in enumerate(zip(found, needed)) if a != b]
    return next(
        setting for pattern, axis, setting in SETTINGS if re.search(pattern, name) and (axis is ANY or axis in other)
    )


def _reordered(weights: Weights, head: nn.Layer, layout: Layout) -> Weights:
    """Permute stacked channels from the source's order to the decode head's."""
    weights, prefix = dict(weights), "decode_head."
    if isinstance(head, FastFCNHead):
        if head.jpu.deep_first != layout.deep_first:
            for name in [name for name in weights if name.startswith("decode_head.jpu.dilated.")]:
                if ".depthwise." in name:
                    weights[name] = take_blocks(weights[name], 0, (2, 1, 0))
                elif name.endswith("pointwise.conv.weight"):
                    weights[name] = take_blocks(weights[name], 1, (2, 1, 0))
        head, prefix = head.head, "decode_head.head."
    if hasattr(head, "aspp") and head.aspp.project.grids_first != layout.pool_first:
        name, count = prefix + "aspp.project.conv.weight", 2 + len(head.aspp.atrous)
        order = [count - 1, *range(count - 1)] if head.aspp.project.grids_first else [*range(1, count), 0]
        weights[name] = take_blocks(weights[name], 1, order)
    if isinstance(head, PSPHead):
        weights = _branches(weights, head, prefix, layout)
    return weights


def _branches(weights: Weights, head: PSPHead, prefix: str, layout: Layout) -> Weights:
    bins = head.pyramid.bin_sizes
    stacked = sorted(bins, reverse=layout.bins_reversed)
    order = [stacked.index(size) for size in bins]
    branch = re.compile(rf"^({re.escape(prefix)}pyramid\.branches\.)(\d+)\.")
    result = {branch.sub(lambda m: f"{m[1]}{order.index(int(m[2]))}.", name): value for name, value in weights.items()}
    name = prefix + "bottleneck.conv.weight"
    own, grids = np.split(weights[name], [head.in_channels], axis=1)
    result[name] = np.concatenate([own, take_blocks(grids, 1, order)], axis=1)
    return result


def take_blocks(value: np.ndarray, axis: int, order: Sequence[int]) -> np.ndarray:
    """Cut an axis into equal blocks and put them in another order."""
    blocks = np.split(value, len(order), axis)
    return np.concatenate([blocks[i] for i in order], axis)
