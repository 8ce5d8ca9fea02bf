"""Decode head of PSPNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle

from paddleseg_ext.heads.base import Head
from paddleseg_ext.layers.context_conv import ContextConv
from paddleseg_ext.layers.ppm import PyramidPooling
from paddleseg_ext.registry import register_head


@register_head
class PSPHead(Head):
    """Pyramid pooling, a bottleneck and a classifier.

    Reference: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, Fig. 3.
    Official code consulted: hszhao/semseg, model/pspnet.py.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        bin_sizes: Cells along each side of the pooled grids, in the order in which the branches are concatenated.
        pool_channels: Channels of each branch; ``channels`` unless set (PaddleSeg: 512 under 1024).
        pool_norm: BatchNorm in the branches; ``False`` for batches of one image per device.
        bottleneck_kernel: Side of the bottleneck's kernel, odd.
        **common: ``in_index``, ``channels``, ``dropout``, ``dropout_mode``, ``act`` and ``align_corners``; see `Head`.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: list of the mask logits (N, num_classes, H, W), of the size of ``feats[in_index]``

    Raises:
        ValueError: As `Head` and `PyramidPooling`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        bin_sizes: Sequence[int] = (1, 2, 3, 6),
        pool_channels: int | None = None,
        pool_norm: bool = True,
        bottleneck_kernel: int = 3,
        **common: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, **common)
        width = pool_channels or self.channels
        self.pyramid = PyramidPooling(self.in_channels, width, bin_sizes, norm=pool_norm, act=self.act)
        self.bottleneck = ContextConv(
            self.in_channels + len(bin_sizes) * width,
            self.channels,
            bottleneck_kernel,
            act=self.act,
            align_corners=self.align_corners,
        )

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        x = feats[self.in_index]
        return [self.classify(self.bottleneck(x, self.pyramid(x)))]
