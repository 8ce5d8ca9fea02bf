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
from paddleseg_ext.importers.advice import blocks, depth_text, missing_part, setting, unused_part

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
LEAKY = (nn.LeakyReLU, "act: leaky_relu")
PAPERS = Layout(
    pool_first=False,
    deep_first=True,
    bins_reversed=False,
    activations={r"^decode_head\.(before|after|fuse)\.act$": LEAKY},
)
"""Of the papers' own repositories (`originals`)."""

Rules = Sequence[tuple[str, Union[str, Callable[[re.Match], str]]]]
"""Regular expression → replacement. All rules are applied, one after the other."""


def rename(name: str, rules: Rules) -> str:
    """The name after all rules."""
    for pattern, target in rules:
        name = re.sub(pattern, target, name)
    return name


def recognize(names: Iterable[str], patterns: Mapping[str, str]) -> str | None:
    """The first network whose pattern, a regular expression, is found in one of the names; None without one."""
    names = list(names)
    return next((network for network, pattern in patterns.items() if any(re.search(pattern, n) for n in names)), None)


def unknown_network(names: Iterable[str], networks: Iterable[str], source: str) -> UserError:
    """The error that names are not those of a network of a source."""
    beginnings = sorted({name.split(".")[0] for name in names})
    return UserError(
        f"These are not the weights of a network of {source} that can be imported ({', '.join(sorted(networks))}): "
        f"their names begin with {', '.join(beginnings[:8]) or 'nothing at all'}."
    )


def fit(weights: Weights, model: nn.Layer, layout: Layout) -> Weights:
    """The weights of the model, with its order of channels; an auxiliary head or SE layer that it lacks is dropped.

    Args:
        weights: By the names of this package, with the order of channels of ``layout``.
        model: The network; it is not changed.
        layout: `MMSEG`, `PADDLESEG` or `PAPERS`, the layout of the source.

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
    counts, needed_counts = blocks(weights), blocks(own)
    if counts and needed_counts and counts != needed_counts:
        raise UserError(
            f"The backbone has {depth_text(counts)} in the file but {depth_text(needed_counts)} in the model: "
            "change model.backbone.type in the configuration."
        )
    compared = compare(weights, own)
    if compared.mismatched and (not compared.missing or compared.mismatched[0][0].startswith("backbone.stem.")):
        name, found, needed = compared.mismatched[0]
        raise UserError(
            f"{name} is {found} in the file but {needed} in the model: "
            f"change {setting(name, found, needed)} in the configuration."
        )
    if missing := compared.missing:
        raise UserError(
            f"The file has no weights for {len(missing)} of the model's {len(own)} tensors ({first(missing)}): "
            f"{missing_part(missing[0])} in the configuration."
        )
    unused = [name for name in compared.unexpected if MASK_WEIGHTS.search(name)]
    if unused:
        raise UserError(
            f"The model lacks {len(unused)} weights of the file that its mask depends on "
            f"({first(unused)}): {unused_part(unused[0])} in the configuration."
        )
    return {name: weights[name] for name in own}


def _check_activations(model: nn.Layer, layout: Layout) -> None:
    for name, layer in model.named_sublayers():
        for pattern, (kind, text) in layout.activations.items():
            if re.search(pattern, name) and not isinstance(layer, kind):
                raise UserError(
                    f"{name} is {type(layer).__name__} in the model but {kind.__name__} where the file comes from: "
                    f"set `{text}` under model.{name.split('.')[0]} in the configuration."
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
