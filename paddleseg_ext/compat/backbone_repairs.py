"""Faults that keep PaddleSeg's backbones from being built or run, in 2.8.0 as in the develop head, with any Paddle."""

from __future__ import annotations

import importlib
from typing import Any, Callable

import paddleseg_ext.compat.deformable  # noqa: F401  # the function that is corrected looks for it
from paddleseg_ext.compat.correct import correct

BACKBONES = "models.backbones"
UNNAMED_NORM = {
    'param_attr=ParamAttr(name=name + "_bn_scale"),': "",
    'bias_attr=ParamAttr(name=name + "_bn_offset"),': "",
    'moving_mean_name=name + "_bn_mean",': "",
    'moving_variance_name=name + "_bn_variance")': ")",
}
"""The names that two backbones give to the parameters of a BatchNorm, taken away."""


def mobilenet_v2_names() -> bool:
    """MobileNetV2 can be built once in a process, for its parameters have names, which may not recur. Any Paddle."""
    return correct(
        f"{BACKBONES}.mobilenetv2:ConvBNLayer.__init__",
        {
            'weight_attr=ParamAttr(name=name + "_weights"),': "",
            **UNNAMED_NORM,
        },
    )


def shufflenet_v2_names() -> bool:
    """ShuffleNetV2: as MobileNetV2. Any Paddle."""
    return correct(
        f"{BACKBONES}.shufflenetv2:ConvBNLayer.__init__",
        {
            'name=name + "_weights"),': "),",
            **UNNAMED_NORM,
        },
    )


def ghostnet_names() -> bool:
    """GhostNet: as MobileNetV2. Any Paddle."""
    convolutions = {
        'initializer=KaimingNormal(), name=name + "_weights"),': "initializer=KaimingNormal()),",
        'name=bn_name + "_scale", regularizer=L2Decay(0.0)),': "regularizer=L2Decay(0.0)),",
        'name=bn_name + "_offset", regularizer=L2Decay(0.0)),': "regularizer=L2Decay(0.0)),",
        'moving_mean_name=bn_name + "_mean",': "",
        'moving_variance_name=bn_name + "_variance")': ")",
    }
    excitations = {
        f'initializer=Uniform(-stdv, stdv), name=name + "_{i}_weights"),': "initializer=Uniform(-stdv, stdv)),"
        for i in (1, 2)
    }
    excitations['bias_attr=ParamAttr(name=name + "_1_offset"))'] = ")"
    excitations['bias_attr=ParamAttr(name=name + "_2_offset"))'] = ")"
    return all(
        [
            correct(f"{BACKBONES}.ghostnet:ConvBNLayer.__init__", convolutions),
            correct(f"{BACKBONES}.ghostnet:SEBlock.__init__", excitations),
        ]
    )


def transformers_without_weights() -> bool:
    """VisionTransformer and CAE: TypeError from `os.path.exists(None)` where no weights are named. Any Paddle."""
    classes = ("vision_transformer:VisionTransformer", "cae:CAE")
    line = "model_path = self.pretrained"
    right = f"{line} or ''\n    if not model_path:\n        return"  # not the faulty line's end, or it is found again
    return any([correct(f"{BACKBONES}.{name}.init_weight", {line: right}) for name in classes])


def cae_class() -> bool:
    """CAE_small_patch16_224 and its eight siblings: NameError, they call their class by another's name. Any Paddle."""
    module: Any = importlib.import_module(f"paddleseg.{BACKBONES}.cae")
    if hasattr(module, "VisionTransformer"):
        return False
    module.VisionTransformer = module.CAE
    return True


def mobile_seg_channels() -> bool:
    """MobileSeg_Base and MobileSeg_Tiny: TypeError without `out_feat_chs`, the last stages' channels. Any Paddle."""
    right = '**{"out_feat_chs": channels[-3:], **kwargs})'
    return any(
        [
            correct(f"{BACKBONES}.strideformer:{name}", {"**kwargs)": right})
            for name in ("MobileSeg_Base", "MobileSeg_Tiny")
        ]
    )


def deformable_attention() -> bool:
    """ViTAdapter: without an operator that is to be compiled by hand it ends the process. Any Paddle.

    It divides a float by an int, too, which Paddle ≥ 3.0 refuses.
    `compat.deformable` computes the same with Paddle's own operators; one that is installed is taken before it.
    """
    return correct(
        "models.layers.ms_deformable_attention:MSDeformAttn.forward",
        {
            "print(": "str(",
            "exit()": "ms_deform_attn = __import__('sys').modules['paddleseg_ext.compat.deformable']",
            "+ sampling_offsets / offset_normalizer[None, None, None, :, None, :]": (
                "+ sampling_offsets / offset_normalizer[None, None, None, :, None, :].astype(sampling_offsets.dtype)"
            ),
        },
    )


BACKBONE_REPAIRS: tuple[Callable[[], bool], ...] = (
    mobilenet_v2_names,
    shufflenet_v2_names,
    ghostnet_names,
    transformers_without_weights,
    cae_class,
    mobile_seg_channels,
    deformable_attention,
)
