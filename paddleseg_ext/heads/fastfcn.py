"""Decode head of FastFCN: joint pyramid upsampling in front of any head."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from paddleseg_ext.heads.base import Head, HeadFactory, build_head
from paddleseg_ext.layers.jpu import JPU
from paddleseg_ext.registry import register_head


@register_head
class FastFCNHead(Head):
    """JPU over the last maps of an undilated backbone; its output is the last map of the inner head.

    Reference: Wu et al., "FastFCN: Rethinking Dilated Convolution in the Backbone", 2019, Fig. 2.
    Official code consulted: wuhuikai/FastFCN, encoding/models/base.py.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        head: The inner head, e.g. ``{type: EncHead, bottleneck_kernel: 1}`` in YAML or a class in Python.
        in_indices: Indices of the maps that the JPU takes, finest first.
        jpu_channels: Channels of the JPU's branches; its output has this many per dilation.
        dilations: Rates of the JPU's convolutions, in pixels of the finest of these maps.
        branch_order: ``deep_first`` (paper) or ``shallow_first``; see `JPU`.
        align_corners: As in ``F.interpolate``; passed on to the inner head.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: that of the inner head, whose last map has the size of ``feats[in_indices[0]]``

    Raises:
        ValueError: ``head`` is not a head, or an index the backbone lacks; or as the inner head and `JPU`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        head: HeadFactory,
        in_indices: Sequence[int] = (-3, -2, -1),
        jpu_channels: int = 512,
        dilations: Sequence[int] = (1, 2, 4, 8),
        branch_order: str = "deep_first",
        align_corners: bool = False,
    ) -> None:
        nn.Layer.__init__(self)  # the inner head has the classifier that `Head` would build
        if not callable(head) or isinstance(head, nn.Layer):
            raise ValueError("FastFCNHead: head must be a head such as {type: EncHead}, not " + repr(head) + ".")
        self.feat_channels = tuple(in_channels)
        self.in_indices = [self.checked_index(i, "in_indices") for i in in_indices]
        self.jpu = JPU(
            [self.feat_channels[i] for i in self.in_indices],
            jpu_channels,
            dilations,
            branch_order=branch_order,
            align_corners=align_corners,
        )
        channels = [*self.feat_channels[: self.in_indices[-1]], self.jpu.out_channels]
        self.head = build_head(head, channels, num_classes, align_corners)
        self.output_names = self.head.output_names

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        joined = self.jpu([feats[i] for i in self.in_indices])
        return self.head([*feats[: self.in_indices[-1]], joined])
