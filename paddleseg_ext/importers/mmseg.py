"""Names and layout of the weights of mmsegmentation's encoder-decoders, 0.x and 1.x."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from paddleseg_ext.importers.fit import Rules, recognize, rename, unknown_network

# Names within a ConvModule or a BatchNorm.
NORM: Rules = [(r"\brunning_mean$", "_mean"), (r"\brunning_var$", "_variance")]
COMMON: Rules = [
    (r"\bbn\.", "norm."),
    *NORM,
    (r"\bdepthwise_conv\.", "depthwise."),
    (r"\bpointwise_conv\.", "pointwise."),
    (r"^conv_seg\.", "classifier."),
]
ASPP: Rules = [
    (r"^image_pool\.1\.", "aspp.image_pool."),
    (r"^aspp_modules\.0\.", "aspp.pointwise."),
    (r"^aspp_modules\.(\d+)\.", lambda m: f"aspp.atrous.{int(m[1]) - 1}."),
    (r"^bottleneck\.", "aspp.project."),
]

# One table per head: regular expression of mmsegmentation's name → name in this package.
TABLES: dict[str, Rules] = {
    "DepthwiseSeparableASPPHead": [
        *ASPP,
        (r"^c1_bottleneck\.", "low_level."),
        (r"^sep_bottleneck\.", "decoder."),
    ],
    "ASPPHead": ASPP,
    "PSPHead": [(r"^psp_modules\.(\d+)\.1\.", r"pyramid.branches.\1.")],
    "DMHead": [
        (r"^dcm_modules\.(\d+)\.filter_gen_conv\.", r"dynamic.\1.filter_gen."),
        (r"^dcm_modules\.(\d+)\.input_redu_conv\.", r"dynamic.\1.reduce."),
        (r"^dcm_modules\.(\d+)\.fusion_conv\.", r"dynamic.\1.fuse."),
        (r"^dcm_modules\.(\d+)\.", r"dynamic.\1."),
    ],
    "EncHead": [
        (r"^enc_module\.encoding_project\.", "encoding.project."),
        (r"^enc_module\.encoding\.0\.", "encoding.encoding."),
        (r"^enc_module\.encoding\.1\.", "encoding.norm."),
        (r"^enc_module\.fc\.0\.", "encoding.gate."),
        (r"^se_layer\.", "se."),
        (r"^lateral_convs\.", "laterals."),
    ],
    "CCHead": [
        (r"^convs\.0\.", "before."),
        (r"^convs\.1\.", "after."),
        (r"^conv_cat\.", "fuse."),
        (r"^cca\.(query|key|value)_conv\.", r"attention.\1."),
        (r"^cca\.gamma\.scale$", "attention.gamma"),
    ],
    "FCNHead": [],
    "JPU": [(r"^conv_layers\.(\d+)\.0\.", r"laterals.\1."), (r"^dilation_layers\.(\d+)\.0\.", r"dilated.\1.")],
}

PATTERNS = {
    "DepthwiseSeparableASPPHead": r"^decode_head\.sep_bottleneck\.",
    "ASPPHead": r"^decode_head\.aspp_modules\.",
    "PSPHead": r"^decode_head\.psp_modules\.",
    "DMHead": r"^decode_head\.dcm_modules\.",
    "EncHead": r"^decode_head\.enc_module\.",
    "CCHead": r"^decode_head\.cca\.",
    "FCNHead": r"^decode_head\.(convs|conv_seg)\.",
}
"""Pattern of a name that identifies the head, most specific first."""

HEADS = {"DepthwiseSeparableASPPHead": "DeepLabV3PlusHead"}
"""Class of the head in this package, where it has another name."""
TRANSPOSED = re.compile(r"\b(encoding\.gate|se)\.weight$")  # PyTorch's Linear has the transposed matrix
COUNTER = "num_batches_tracked"  # BatchNorm's step counter in PyTorch, which is not used


def names(source: Iterable[str]) -> dict[str, str]:
    """Map mmsegmentation's names to those of this package, in the same order, without BatchNorm's step counters.

    Names of parts that this package lacks are unchanged.

    Raises:
        UserError: the decode head is not in `TABLES`.
    """
    source = list(source)
    head, has_jpu = _network(source)
    return {name: _rename(name, head, has_jpu) for name in source if not name.endswith(COUNTER)}


def _network(source: list[str]) -> tuple[str, bool]:
    """mmsegmentation's class of the decode head, and whether a JPU is in front of it."""
    head = recognize(source, PATTERNS)
    if head is None:
        raise unknown_network(source, PATTERNS, "mmsegmentation")
    return head, any(name.startswith("neck.") for name in source)


def heads(source: Iterable[str]) -> list[str]:
    """Class of the decode head in this package, and of the inner one behind a JPU.

    Raises:
        UserError: as `names`.
    """
    head, has_jpu = _network(list(source))
    return [*(["FastFCNHead"] if has_jpu else []), HEADS.get(head, head)]


def _rename(name: str, head: str, has_jpu: bool) -> str:
    part, _, rest = name.partition(".")
    if part == "decode_head":
        return f"decode_head.{'head.' if has_jpu else ''}{rename(rest, [*TABLES[head], *COMMON])}"
    if part == "neck":
        return f"decode_head.jpu.{rename(rest, [*TABLES['JPU'], *COMMON])}"
    if part == "auxiliary_head":  # one head, or a list of them
        index, _, inner = rest.partition(".")
        index, rest = (index, inner) if index.isdigit() else ("0", rest)
        return f"auxiliary_heads.{index}.{rename(rest, COMMON)}"
    return rename(name, NORM)


def folded_names(source: Iterable[str]) -> set[str]:
    """Names of weights that are folded into others; mmsegmentation has none."""
    return set()


def convert(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert mmsegmentation's weights, for the head variants of ``configs/_base_/models/*_mmseg.yml``.

    Channels keep mmsegmentation's order: ``bin_sizes: [1, 2, 3, 6]`` in PSPNet and ``branch_order: shallow_first`` in
    FastFCN; `fit.fit` permutes them for other orders.

    Raises:
        UserError: as `names`.
    """
    return {target: _convert_layout(target, state[name]) for name, target in names(state).items()}


def convert_backbone(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert the weights of a pretrained backbone to the names that it has in a network."""
    kept = {name: value for name, value in state.items() if not name.endswith(COUNTER) and not name.startswith("fc.")}
    return {f"backbone.{rename(name, NORM)}": value for name, value in kept.items()}


def _convert_layout(name: str, value: np.ndarray) -> np.ndarray:
    if TRANSPOSED.search(name):
        return value.T
    return value.reshape(1) if value.ndim == 0 else value
