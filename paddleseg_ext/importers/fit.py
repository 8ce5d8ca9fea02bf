"""Fit imported weights to a model: check activations, names and shapes, and reorder concatenated channels.

Projects concatenate the same branches in different orders, which no shape shows. Channels in another order are permuted
to the model's; another activation is an error.
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
MASK_WEIGHTS = re.compile(r"^(backbone|decode_head)\.(?!(head\.)?se\.)")
"""Weights that the mask logits depend on; auxiliary heads and SE logits are used in training only."""


@dataclass(frozen=True)
class Layout:
    """Properties of a source's networks that no shape shows.

    Attributes:
        pool_first: ASPP concatenates its pooled branch first, otherwise last.
        deep_first: JPU concatenates the coarsest map first, otherwise last.
        bins_reversed: PSPNet concatenates its branches from the finest grid on, otherwise from the coarsest.
        activations: Regular expression on a layer's name → (its class, the setting for it).
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
    """The name after all rules."""
    for pattern, target in rules:
        name = re.sub(pattern, target, name)
    return name


def recognize(names: Iterable[str], patterns: Mapping[str, str], source: str) -> str:
    """The first network whose pattern, a regular expression, is found in one of the names.

    Raises:
        UserError: no pattern is found.
    """
    names = list(names)
    for network, pattern in patterns.items():
        if any(re.search(pattern, name) for name in names):
            return network
    raise UserError(
        f"These are not the weights of a network of {source} that can be imported ({', '.join(sorted(patterns))}): "
        f"their names begin with {', '.join(sorted({name.split('.')[0] for name in names})[:5]) or 'nothing at all'}."
    )


def fit(weights: Weights, model: nn.Layer, layout: Layout) -> Weights:
    """The weights of the model, with its order of channels; an auxiliary head or SE layer that it lacks is dropped.

    Args:
        weights: By the names of this package, with the order of channels of ``layout``.
        model: The network; it is not changed.
        layout: `MMSEG` or `PADDLESEG`, the layout of the source.

    Raises:
        UserError: the model has another activation, or a weight too many, too few or of another shape; it names the
            setting to change.
    """
    _check_activations(model, layout)
    return _reorder_channels(check_names_and_shapes(weights, model.state_dict()), model.decode_head, layout)


def check_names_and_shapes(weights: Weights, own: Mapping[str, Any]) -> Weights:
    """The weights whose names and shapes are those of a model.

    Args:
        weights: By the names of this package.
        own: The model's state dict; values need only a shape.

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
    unused = [name for name in compared.unexpected if MASK_WEIGHTS.search(name)]
    if unused:
        raise UserError(
            f"The model lacks {len(unused)} weights of the file that its mask depends on "
            f"({first(unused)}): change model.{unused[0].split('.')[0]} in the configuration."
        )
    return {name: weights[name] for name in own}


def _check_activations(model: nn.Layer, layout: Layout) -> None:
    for name, layer in model.named_sublayers():
        for pattern, (kind, setting) in layout.activations.items():
            if re.search(pattern, name) and not isinstance(layer, kind):
                raise UserError(
                    f"{name} is {type(layer).__name__} in the model but {kind.__name__} where the file comes from: "
                    f"set `{setting}` under model.decode_head in the configuration."
                )


ANY = None
# Settings that determine a shape, most specific first: pattern of the name, axis → key in the configuration.
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
    """The key in the configuration that explains a mismatch of shapes."""
    other = [i for i, (a, b) in enumerate(zip(found, needed)) if a != b]
    return next(
        setting for pattern, axis, setting in SETTINGS if re.search(pattern, name) and (axis is ANY or axis in other)
    )


def _reorder_channels(weights: Weights, head: nn.Layer, layout: Layout) -> Weights:
    """Permute concatenated channels from the source's order to the decode head's."""
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
        weights = _reorder_branches(weights, head, prefix, layout)
    return weights


def _reorder_branches(weights: Weights, head: PSPHead, prefix: str, layout: Layout) -> Weights:
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
    """Split an axis into equal blocks and reorder them."""
    blocks = np.split(value, len(order), axis)
    return np.concatenate([blocks[i] for i in order], axis)
