"""How mmsegmentation 1.2.2 names and lays out the weights of the heads, and how to build ours like its own."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from paddleseg_ext.heads import ASPPHead, CCHead, DeepLabV3PlusHead, DMHead, EncHead, FastFCNHead, FCNHead, PSPHead

# Within a ConvModule or a BatchNorm, wherever it stands.
COMMON = [
    (r"\bbn\.", "norm."),
    (r"running_mean$", "_mean"),
    (r"running_var$", "_variance"),
    (r"\bdepthwise_conv\.", "depthwise."),
    (r"\bpointwise_conv\.", "pointwise."),
    (r"^conv_seg\.", "classifier."),
]

# One table a head: regular expression in mmsegmentation's name → ours. The classes' own order.
TABLES: dict[str, list[tuple[str, str]]] = {
    "DepthwiseSeparableASPPHead": [
        (r"^image_pool\.1\.", "aspp.image_pool."),
        (r"^aspp_modules\.0\.", "aspp.pointwise."),
        (r"^aspp_modules\.(\d+)\.", lambda m: f"aspp.atrous.{int(m[1]) - 1}."),
        (r"^bottleneck\.", "aspp.project."),
        (r"^c1_bottleneck\.", "low_level."),
        (r"^sep_bottleneck\.", "decoder."),
    ],
    "ASPPHead": [
        (r"^image_pool\.1\.", "aspp.image_pool."),
        (r"^aspp_modules\.0\.", "aspp.pointwise."),
        (r"^aspp_modules\.(\d+)\.", lambda m: f"aspp.atrous.{int(m[1]) - 1}."),
        (r"^bottleneck\.", "aspp.project."),
    ],
    "PSPHead": [(r"^psp_modules\.(\d+)\.1\.", r"pyramid.branches.\1.")],
    "DMHead": [
        (r"^dcm_modules\.(\d+)\.filter_gen_conv\.", r"dynamic.\1.filter_gen."),
        (r"^dcm_modules\.(\d+)\.input_redu_conv\.", r"dynamic.\1.reduce."),
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


def rename(name: str, module: str) -> str:
    """Our name of one of mmsegmentation's weights, both without the prefix of the module they stand in."""
    for pattern, target in TABLES[module] + COMMON:
        name = re.sub(pattern, target, name)
    return name


def convert(state: dict[str, np.ndarray], meta: dict[str, Any]) -> dict[str, np.ndarray]:
    """A state dict of mmsegmentation's decode head (and neck) as one of ours."""
    result = {}
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        part, rest = name.split(".", 1)
        module = meta["neck" if part == "neck" else "head"]["type"]
        ours = rename(rest, module)
        if ours in ("encoding.gate.weight", "se.weight"):  # PyTorch keeps a Linear's matrix transposed
            value = value.T
        if value.ndim == 0:
            value = value.reshape(1)
        prefix = {"neck": "jpu.", "decode_head": "head." if meta["neck"] else ""}[part]
        result[prefix + ours] = value
    return result


def build(meta: dict[str, Any]) -> Any:
    """Our head in the variant that mmsegmentation's configuration in ``meta`` describes."""
    config = dict(meta["head"])
    kind = config.pop("type")
    channels, classes = meta["common"]["channels"], meta["common"]["num_classes"]
    shared = {"channels": channels, "dropout": meta["common"]["dropout_ratio"]}
    if kind in ("DepthwiseSeparableASPPHead", "ASPPHead"):
        shared |= {"dilations": config["dilations"][1:], "proj_kernel": 3}
    if kind == "DepthwiseSeparableASPPHead":
        head, shared = DeepLabV3PlusHead, {**shared, "low_channels": config["c1_channels"], "proj_dropout": 0.0}
    elif kind == "ASPPHead":
        head = ASPPHead
    elif kind == "PSPHead":
        head, shared = PSPHead, {**shared, "bin_sizes": config["pool_scales"]}
    elif kind == "DMHead":
        head, shared = DMHead, {**shared, "filter_sizes": config["filter_sizes"]}
    elif kind == "EncHead":
        laterals = (-3, -2) if config["add_lateral"] else ()
        head, shared = EncHead, {**shared, "num_codes": config["num_codes"], "laterals": laterals}
    elif kind == "CCHead":
        head, shared = CCHead, {**shared, "recurrence": config["recurrence"], "act": "relu"}
    elif kind == "FCNHead":
        head, shared = FCNHead, {**shared, "in_index": config["in_index"]}
    else:
        raise KeyError(kind)
    align = meta["align_corners"]
    if not meta["neck"]:
        return head(meta["channels"], classes, align_corners=align, **shared)
    return FastFCNHead(
        meta["channels"],
        classes,
        head=lambda c, n, **more: head(c, n, **shared, **more),
        jpu_channels=meta["neck"]["mid_channels"],
        dilations=meta["neck"]["dilations"],
        branch_order="shallow_first",
        align_corners=align,
    )
