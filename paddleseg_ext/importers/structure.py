"""Check of what no shape of a weight shows: kind of head, dilations, alignment and colors of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from paddle import nn

from paddleseg_ext.backbones.resnet_v1c import SCALES, ResNetV1c
from paddleseg_ext.errors import UserError
from paddleseg_ext.heads import FastFCNHead
from paddleseg_ext.importers.advice import DEPTHS, blocks
from paddleseg_ext.importers.originals import NETWORKS, Network, Original, has_jpu


def check_structure(original: Original, names: Sequence[str], model: nn.Layer) -> None:
    """Compare backbone and alignment of a configuration's network with that of a paper's repository.

    Args:
        original: The importer of the repository.
        names: Names in the file.
        model: The network; it is not changed.

    Raises:
        UserError: another backbone, other dilations or no ``align_corners``; it names the setting to change.
    """
    network = NETWORKS[original.network(names)]
    _check_backbone(network, model.backbone, 32 if has_jpu(names) else 8, list(original.names(names).values()))
    for name, layer in model.named_sublayers(include_self=True):
        if getattr(layer, "align_corners", True) is False:
            where = f"model{'.' + name if name else ''}"
            raise UserError(
                f"{original.title} upsamples with align_corners, which {where} does not: set model.align_corners: true "
                "in the configuration."
            )


def check_head(needed: list[str], head: nn.Layer) -> None:
    """Compare the kind of head.

    Args:
        needed: Class of the decode head, and of the inner one behind a JPU.
        head: The model's.

    Raises:
        UserError: it is another.
    """
    kinds = [type(head).__name__] + ([type(head.head).__name__] if isinstance(head, FastFCNHead) else [])
    if kinds != needed:
        texts = [" with ".join(found) for found in (needed, kinds)]
        raise UserError(
            f"The file has the weights of {texts[0]} but the model is {texts[1]}: change model.decode_head"
            f"{'' if kinds[0] != needed[0] else '.head'}.type in the configuration."
        )


def _check_backbone(network: Network, backbone: nn.Layer, output_stride: int, names: Sequence[str]) -> None:
    if not isinstance(backbone, ResNetV1c):
        depth = DEPTHS.get(blocks(names), 50)
        raise UserError(
            f"The file's backbone is ResNet-v1c but the model's is {type(backbone).__name__}: set "
            f"model.backbone: {{type: ResNet{depth}_v1c, output_stride: {output_stride}, stem_channels: 128"
            f"{'' if network.contract_dilation else ', contract_dilation: false'}}} in the configuration."
        )
    strides, dilations = SCALES[output_stride]
    if backbone.strides != list(strides):
        _refuse(f"strides {backbone.strides}", list(strides), f"output_stride: {output_stride} and no strides")
    first = [max(1, rate // 2) if network.contract_dilation else rate for rate in dilations]
    grids = [[start, *[rate] * (len(own) - 1)] for start, rate, own in zip(first, dilations, backbone.dilations)]
    if [own[1:] for own in backbone.dilations] != [grid[1:] for grid in grids]:
        _refuse(f"dilations {backbone.dilations}", grids, f"output_stride: {output_stride}, no dilations or multi_grid")
    if backbone.dilations != grids:
        setting = f"contract_dilation: {str(network.contract_dilation).lower()}"
        _refuse(f"dilations {backbone.dilations}", grids, setting)


def colors_note(original: Original, config: Mapping[str, Any]) -> str | None:
    """A line where a configuration normalizes images otherwise than the repository does, which no weight shows."""
    sections = (config.get("val_dataset") or {}).get("transforms") or []
    found = [section for section in sections if {"mean", "std"} <= section.keys()]
    if found and all(np.allclose([s["mean"], s["std"]], original.colors, rtol=0.01) for s in found):
        return None
    mean, std = ([round(float(number), 5) for number in numbers] for numbers in original.colors)
    return (
        f"warning: {original.title} normalizes images with mean {mean} and std {std}, val_dataset.transforms of the "
        "configuration does not; its predictions will be worse"
    )


def _refuse(found: str, needed: object, setting: str) -> None:
    raise UserError(
        f"The model's backbone has {found} but the file's has {needed}: set {setting} under model.backbone."
    )
