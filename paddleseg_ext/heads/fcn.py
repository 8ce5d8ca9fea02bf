"""Decode head of FCN, the usual auxiliary head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.heads.base import Head
from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.registry import register_head


@register_head
class FCNHead(Head):
    """3×3 convolutions and a classifier.

    Reference: Long et al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015; as an
    auxiliary loss on the third stage: Zhao et al. (PSPNet), CVPR 2017, Sec. 3.3.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        num_convs: Number of convolutions in front of the classifier.
        kernel_size: Side of their kernels, odd.
        channels: Channels of each, and of the map that is classified.
        **common: ``in_index``, ``dropout``, ``dropout_mode``, ``act`` and ``align_corners``; see `Head`.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: list of the mask logits (N, num_classes, H, W), of the size of ``feats[in_index]``

    Raises:
        ValueError: ``num_convs`` is below 1; or as `Head`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        num_convs: int = 1,
        kernel_size: int = 3,
        channels: int = 256,
        **common: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, channels=channels, **common)
        if num_convs < 1:
            raise ValueError(f"FCNHead: num_convs={num_convs} must be at least 1.")
        widths = [self.in_channels] + [channels] * num_convs
        self.convs = nn.Sequential(
            *(ConvNormAct(a, b, kernel_size, act=self.act) for a, b in zip(widths[:-1], widths[1:]))
        )

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        return [self.classify(self.convs(feats[self.in_index]))]
