"""Names and layout of the weights of PaddleSeg's own six networks.

Its backbones are used as they are, so only names of the heads change. Its convolutions in front of BatchNorm have a
bias, which is folded into BatchNorm's mean here: (x + b) − mean = x − (mean − b).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Callable

import numpy as np

from paddleseg_ext.errors import UserError
from paddleseg_ext.importers.fit import Rules, recognize, rename, unknown_network
from paddleseg_ext.registry import closest

COMMON: Rules = [
    (r"\._conv\.", ".conv."),
    (r"\._batch_norm\.", ".norm."),
    (r"\bdepthwise_conv\.", "depthwise."),
    (r"\bpiontwise_conv\.", "pointwise."),
]
ENCODING = [
    (r"^enc_module\.encoding_project\.", "@encoding.project."),
    (r"^enc_module\.encoding\.0\.", "@encoding.encoding."),
    (r"^enc_module\.encoding\.1\.", "@encoding.norm."),
    (r"^enc_module\.fc\.0\.", "@encoding.gate."),
    (r"^bottleneck\.", "@bottleneck."),
    (r"^lateral_convs\.", "@laterals."),
    (r"^fusion\.", "@fusion."),
    (r"^se_layer\.", "@se."),
]


def _auxiliary(conv: str, classifier: str) -> Rules:
    return [
        (rf"^{re.escape(conv)}\.", "auxiliary_heads.0.convs.0."),
        (rf"^{re.escape(classifier)}\.", "auxiliary_heads.0.classifier."),
    ]


# One table per network: regular expression of PaddleSeg's name → name in this package; "@" is the decode head.
TABLES: dict[str, Rules] = {
    "DeepLabV3P": [
        (r"^head\.aspp\.aspp_blocks\.0\.", "@aspp.pointwise."),
        (r"^head\.aspp\.aspp_blocks\.(\d+)\.", lambda m: f"@aspp.atrous.{int(m[1]) - 1}."),
        (r"^head\.aspp\.global_avg_pool\.1\.", "@aspp.image_pool."),
        (r"^head\.aspp\.conv_bn_relu\.", "@aspp.project."),
        (r"^head\.decoder\.conv_bn_relu1\.", "@low_level."),
        (r"^head\.decoder\.conv_bn_relu([23])\.", lambda m: f"@decoder.{int(m[1]) - 2}."),
        (r"^head\.decoder\.conv\.", "@classifier."),
    ],
    "PSPNet": [
        (r"^head\.psp_module\.stages\.(\d+)\.1\.", r"@pyramid.branches.\1."),
        (r"^head\.psp_module\.conv_bn_relu2\.", "@bottleneck."),
        (r"^head\.conv\.", "@classifier."),
        *_auxiliary("head.auxlayer.conv_bn_relu", "head.auxlayer.conv"),
    ],
    "DMNet": [
        (r"^dcm_modules\.(\d+)\.filter_gen_conv\.", r"@dynamic.\1.filter_gen."),
        (r"^dcm_modules\.(\d+)\.input_redu_conv\.", r"@dynamic.\1.reduce."),
        (r"^dcm_modules\.(\d+)\.fusion_conv\.", r"@dynamic.\1.fuse."),
        (r"^dcm_modules\.(\d+)\.norm\.", r"@dynamic.\1.norm."),
        (r"^bottleneck\.", "@bottleneck."),
        (r"^cls\.", "@classifier."),
        *_auxiliary("fcn_head.0", "fcn_head.1"),
    ],
    "ENCNet": [
        *ENCODING,
        (r"^head\.", "@classifier."),
        *_auxiliary("fcn_head.conv_bn_relu", "fcn_head.conv"),
    ],
    "FastFCN": [
        (r"^jpu_layer\.conv([345])\.", lambda m: f"@jpu.laterals.{int(m[1]) - 3}."),
        (r"^jpu_layer\.dilation(\d+)\.", lambda m: f"@jpu.dilated.{int(m[1]) - 1}."),
        *[(pattern, target.replace("@", "@head.")) for pattern, target in ENCODING],
        (r"^cls_seg\.", "@head.classifier."),
        *_auxiliary("fcn_head.conv_bn_relu", "fcn_head.conv"),
    ],
    "CCNet": [
        (r"^head\.conva\.", "@before."),
        (r"^head\.convb\.", "@after."),
        (r"^head\.cca\.q_conv\.", "@attention.query."),
        (r"^head\.cca\.k_conv\.", "@attention.key."),
        (r"^head\.cca\.v_conv\.", "@attention.value."),
        (r"^head\.cca\.gamma$", "@attention.gamma"),
        (r"^head\.out\.conv_bn_relu\.", "@fuse."),
        (r"^head\.out\.conv\.", "@classifier."),
        *_auxiliary("aux_head.conv_bn_relu", "aux_head.conv"),
    ],
}

PATTERNS = {
    "DeepLabV3P": r"^head\.aspp\.aspp_blocks\.",
    "PSPNet": r"^head\.psp_module\.",
    "DMNet": r"^dcm_modules\.",
    "FastFCN": r"^jpu_layer\.",
    "ENCNet": r"^enc_module\.",
    "CCNet": r"^head\.cca\.q_conv\.",
}
"""Pattern of a name that identifies the network; FastFCN is before ENCNet, whose names it has too."""


HEADS = {
    "DeepLabV3P": ["DeepLabV3PlusHead"],
    "PSPNet": ["PSPHead"],
    "DMNet": ["DMHead"],
    "FastFCN": ["FastFCNHead", "EncHead"],
    "ENCNet": ["EncHead"],
    "CCNet": ["CCHead"],
}
"""Class of the decode head in this package, and of the inner one behind a JPU."""


def heads(source: Iterable[str]) -> list[str]:
    """The entry in `HEADS` of the network that has these weights.

    Raises:
        UserError: as `names`.
    """
    source = list(source)
    network = recognize(source, PATTERNS)
    if network is None:
        raise unknown_network(source, PATTERNS, "PaddleSeg")
    return HEADS[network]


def names(source: Iterable[str], network: str | None = None) -> dict[str, str]:
    """Map PaddleSeg's names to those of this package, in the same order, without biases in front of BatchNorm.

    Names that match no rule are unchanged.

    Args:
        source: PaddleSeg's names.
        network: Class name of the network; by default recognized by the names.

    Raises:
        UserError: it is none of the six networks.
    """
    source = list(source)
    network = network or recognize(source, PATTERNS)
    if network is None:
        raise unknown_network(source, PATTERNS, "PaddleSeg")
    if network not in TABLES:
        hint = closest(network, TABLES) or "."
        raise UserError(f"No importer for PaddleSeg's '{network}'{hint} Known: {', '.join(TABLES)}.")
    rules = [*TABLES[network], (r"^@", "decode_head."), *COMMON]
    if network == "PSPNet":
        rules.insert(0, _reverse_branches(source))
    biases = folded_names(source)
    return {
        name: name if name.startswith("backbone.") else rename(name, rules) for name in source if name not in biases
    }


def folded_names(source: Iterable[str]) -> set[str]:
    """Names of weights that are folded into others: biases in front of BatchNorm."""
    return set(_biases_by_mean(source).values())


def convert(state: dict[str, np.ndarray], network: str | None = None) -> dict[str, np.ndarray]:
    """Convert PaddleSeg's weights, for the head variants of ``configs/_base_/models/*_paddleseg.yml``.

    Channels keep PaddleSeg's order: ``bin_sizes: [6, 3, 2, 1]`` in PSPNet, ``branch_order: pool_last`` in DeepLabV3P,
    ``branch_order: deep_first`` in FastFCN; `fit.fit` permutes them for other orders.

    Raises:
        UserError: as `names`.
    """
    biases = _biases_by_mean(state)
    return {
        target: state[name] - state[biases[name]] if name in biases else state[name]
        for name, target in names(state, network).items()
    }


def _biases_by_mean(source: Iterable[str]) -> dict[str, str]:
    """Name of a BatchNorm's mean → name of the bias of the convolution in front of it, outside the backbone."""
    present, pairs = set(source), {}
    for mean in present:
        bias = mean.replace("._batch_norm._mean", "._conv.bias")
        if bias != mean and bias in present and not mean.startswith("backbone."):
            pairs[mean] = bias
    return pairs


def _reverse_branches(source: Iterable[str]) -> tuple[str, Callable[[re.Match], str]]:
    """Rule that numbers PSPNet's branches in the order in which they are concatenated: the last one first."""
    stage = re.compile(r"^head\.psp_module\.stages\.(\d+)\.")
    last = max((int(m[1]) for m in map(stage.match, source) if m), default=0)
    return stage.pattern, lambda m: f"head.psp_module.stages.{last - int(m[1])}."
