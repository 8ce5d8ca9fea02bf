"""Decode head of DeepLabV3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle

from paddleseg_ext.heads.base import Head
from paddleseg_ext.layers.aspp import ASPP
from paddleseg_ext.registry import register_head


@register_head
class ASPPHead(Head):
    """Atrous spatial pyramid pooling and a classifier.

    Reference: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, Sec. 3.3.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        dilations: Rates of the 3×3 branches, in pixels of the map.
        separable: Depthwise separable 3×3 branches.
        dw_act: Activation between their depthwise and pointwise convolution.
        proj_kernel: Side of the projection's kernel (paper 1, mmsegmentation 3).
        branch_order: ``pool_first`` or ``pool_last``; see `ASPP`.
        pool_norm: BatchNorm in the pooled branch; ``False`` for batches of one image per device.
        channels: Channels of each branch, of the projection, and of the map that is classified; 256 as in the paper.
        **common: ``in_index``, ``dropout``, ``dropout_mode``, ``act`` and ``align_corners``; see `Head`.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: list of the mask logits (N, num_classes, H, W), of the size of ``feats[in_index]``

    Raises:
        ValueError: As `Head` and `ASPP`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        dilations: Sequence[int] = (12, 24, 36),
        separable: bool = False,
        dw_act: bool = True,
        proj_kernel: int = 1,
        branch_order: str = "pool_first",
        pool_norm: bool = True,
        channels: int = 256,
        **common: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, channels=channels, **common)
        self.aspp = ASPP(
            self.in_channels,
            channels,
            dilations,
            separable=separable,
            dw_act=dw_act,
            proj_kernel=proj_kernel,
            branch_order=branch_order,
            norm=pool_norm,
            act=self.act,
        )

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        return [self.classify(self.aspp(feats[self.in_index]))]
