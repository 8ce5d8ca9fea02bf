"""Decode head of DMNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle

from paddleseg_ext.heads.base import Head
from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.layers.dcm import MultiScaleDynamicConv
from paddleseg_ext.registry import register_head


@register_head
class DMHead(Head):
    """Dynamic convolutions of several filter sizes, concatenated with the input, a bottleneck and a classifier.

    Reference: He et al., "Dynamic Multi-Scale Filters for Semantic Segmentation", ICCV 2019, Fig. 2.
    Official code consulted: Junjun2016/DMNet, dm_head.py.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        filter_sizes: Sides of the kernels, one dynamic convolution each.
        fusion: A 1×1 convolution after each of them (the paper has none).
        bottleneck_kernel: Side of the bottleneck's kernel, odd.
        **common: ``in_index``, ``channels``, ``dropout``, ``dropout_mode``, ``act`` and ``align_corners``; see `Head`.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: list of the mask logits (N, num_classes, H, W), of the size of ``feats[in_index]``

    Raises:
        ValueError: As `Head` and `MultiScaleDynamicConv`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        filter_sizes: Sequence[int] = (1, 3, 5, 7),
        fusion: bool = False,
        bottleneck_kernel: int = 3,
        **common: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, **common)
        self.dynamic = MultiScaleDynamicConv(self.in_channels, self.channels, filter_sizes, fusion=fusion, act=self.act)
        stacked = self.in_channels + len(self.dynamic) * self.channels
        self.bottleneck = ConvNormAct(stacked, self.channels, bottleneck_kernel, act=self.act)

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        x = feats[self.in_index]
        return [self.classify(self.bottleneck(paddle.concat([x, *self.dynamic(x)], axis=1)))]
