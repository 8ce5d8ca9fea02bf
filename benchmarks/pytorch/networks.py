"""mmsegmentation's sections of the six networks, and our networks of the same structure with its weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import paddle
from paddle import nn

from benchmarks.networks import CHANNELS, CLASSES
from paddleseg_ext.heads import FCNHead
from paddleseg_ext.importers.fit import Rules, rename
from paddleseg_ext.importers.mmseg import convert
from paddleseg_ext.segmentor import EncoderDecoder
from tests.mmseg_variants import head_factory

NORM = {"type": "BN"}
COMMON = {"num_classes": CLASSES, "channels": 512, "dropout_ratio": 0.1, "norm_cfg": NORM, "align_corners": False}
ON_LAST = {"in_channels": CHANNELS[3], "in_index": 3}
DILATIONS = (12, 24, 36)
SE_LOSS = {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 0.2}
ENC = {"type": "EncHead", "in_channels": CHANNELS[1:], "num_codes": 32, "use_se_loss": True, "add_lateral": False}
# As in its configs/_base_/models: deeplabv3plus_r50-d8, pspnet_r50-d8, dmnet_r50-d8, …, fastfcn_r50-d32_jpu_enc.
HEADS: dict[str, dict[str, Any]] = {
    "DeepLabV3PlusHead": {
        **{"type": "DepthwiseSeparableASPPHead", **ON_LAST, "dilations": (1, *DILATIONS)},
        **{"c1_in_channels": CHANNELS[0], "c1_channels": 48},
    },
    "PSPHead": {"type": "PSPHead", **ON_LAST, "pool_scales": (1, 2, 3, 6)},
    "DMHead": {"type": "DMHead", **ON_LAST, "filter_sizes": (1, 3, 5, 7)},
    "EncHead": {**ENC, "in_index": (1, 2, 3), "loss_se_decode": SE_LOSS},
    "CCHead": {"type": "CCHead", **ON_LAST, "recurrence": 2},
    "FastFCNHead": {**ENC, "in_index": (0, 1, 2), "loss_se_decode": SE_LOSS},
}
JPU = {
    **{"type": "JPU", "in_channels": CHANNELS[1:], "mid_channels": 512, "start_level": 0, "end_level": -1},
    **{"dilations": (1, 2, 4, 8), "norm_cfg": NORM, "align_corners": False},
}
AUXILIARY = {
    **{"type": "FCNHead", "in_channels": CHANNELS[2], "in_index": 2, "num_convs": 1, "concat_input": False},
    **{**COMMON, "channels": 256},
}
DEPTHS = {"ResNet50_vd": 50, "ResNet101_vd": 101}  # of mmsegmentation's ResNetV1d, the same function
VD: Rules = [  # its names in PaddleSeg's ResNet_vd
    (r"^backbone\.stem\.([036])\.", lambda m: f"backbone.conv1_{int(m[1]) // 3 + 1}._conv."),
    (r"^backbone\.stem\.([147])\.", lambda m: f"backbone.conv1_{int(m[1]) // 3 + 1}._batch_norm."),
    (r"^backbone\.layer(\d)\.(\d+)\.", lambda m: f"backbone.bb_{int(m[1]) - 1}_{m[2]}."),
    (r"^(backbone\.bb_\w+)\.conv(\d)\.", lambda m: f"{m[1]}.conv{int(m[2]) - 1}._conv."),
    (r"^(backbone\.bb_\w+)\.bn(\d)\.", lambda m: f"{m[1]}.conv{int(m[2]) - 1}._batch_norm."),
    (r"^(backbone\.bb_\w+)\.downsample\.1\.", r"\1.short._conv."),
    (r"^(backbone\.bb_\w+)\.downsample\.2\.", r"\1.short._batch_norm."),
]


def sections(name: str, backbone: str | None = None) -> dict[str, Any]:
    """mmsegmentation's configuration of a network by the name of its head, an auxiliary head included.

    Args:
        name: Of `HEADS`.
        backbone: Of `DEPTHS`; without one, the network is of a backbone's maps.
    """
    parts = {"decode_head": {**HEADS[name], **COMMON}, "auxiliary_head": AUXILIARY}
    if name == "FastFCNHead":  # the neck withholds the first map
        parts |= {"neck": JPU, "auxiliary_head": {**AUXILIARY, "in_index": AUXILIARY["in_index"] - 1}}
    if backbone:
        strides, dilations = ((1, 2, 2, 2), (1,) * 4) if "neck" in parts else ((1, 2, 1, 1), (1, 1, 2, 4))
        parts["backbone"] = {
            **{"type": "ResNetV1d", "depth": DEPTHS[backbone], "norm_cfg": NORM, "contract_dilation": False},
            **{"strides": strides, "dilations": dilations},
        }
    return parts


def ours(name: str, backbone: Callable[[], nn.Layer]) -> EncoderDecoder:
    """Our network of the same structure over a backbone with the channels of ``CHANNELS``."""
    neck = JPU if name == "FastFCNHead" else None
    auxiliary = partial(FCNHead, in_index=AUXILIARY["in_index"], channels=AUXILIARY["channels"])
    return EncoderDecoder(CLASSES, backbone(), head_factory(HEADS[name], COMMON, neck), [auxiliary])


def set_weights(model: EncoderDecoder, state: dict[str, np.ndarray]) -> None:
    """Give our network mmsegmentation's weights.

    Raises:
        RuntimeError: One is missing or of no use.
    """
    weights = {rename(key, VD): paddle.to_tensor(value) for key, value in convert(state).items()}
    missing, unexpected = model.set_state_dict(weights)
    if missing or unexpected:
        raise RuntimeError(f"{missing} not set, {unexpected} not used")
