"""Decode head of DeepLabV3+."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.heads.aspp import ASPPHead
from paddleseg_ext.heads.base import DROPOUTS
from paddleseg_ext.layers.conv import ConvNormAct, SeparableConv
from paddleseg_ext.layers.resample import resize, spatial_size
from paddleseg_ext.registry import register_head

LOW_STRIDE = 4  # of the low-level map in the paper


@register_head
class DeepLabV3PlusHead(ASPPHead):
    """Separable ASPP and a decoder with a low-level map.

    Reference: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
    Segmentation", ECCV 2018, Fig. 2 and Sec. 3.1.
    Official code consulted: tensorflow/models, research/deeplab/model.py.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        low_index: Index of the low-level map; negative indices count from the last.
        low_channels: Channels to which the low-level map is reduced.
        proj_dropout: Probability of dropout after the ASPP's projection (paper's code 0.1, mmsegmentation 0).
        separable: Depthwise separable convolutions in the ASPP and the decoder.
        dw_act: Activation between depthwise and pointwise convolution, in both.
        dropout: Probability of dropout in front of the classifier (paper's code 0, mmsegmentation 0.1).
        dropout_mode: Of both dropouts; see `Head`.
        **aspp: See `ASPPHead` and `Head`.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: list of the mask logits (N, num_classes, H, W), of the size of ``feats[low_index]``

    Raises:
        ValueError: ``proj_dropout`` is outside [0, 1); or as `ASPPHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        low_index: int = 0,
        low_channels: int = 48,
        proj_dropout: float = 0.1,
        separable: bool = True,
        dw_act: bool = True,
        dropout: float = 0.0,
        dropout_mode: str = "channel",
        **aspp: Any,
    ) -> None:
        super().__init__(
            in_channels,
            num_classes,
            separable=separable,
            dw_act=dw_act,
            dropout=dropout,
            dropout_mode=dropout_mode,
            **aspp,
        )
        if not 0 <= proj_dropout < 1:
            raise ValueError(f"DeepLabV3PlusHead: proj_dropout={proj_dropout} must lie in [0, 1).")
        self.low_index = self.checked_index(low_index, "low_index")
        self.proj_dropout = DROPOUTS[dropout_mode](proj_dropout)
        self.low_level = ConvNormAct(self.feat_channels[self.low_index], low_channels, 1, act=self.act)
        conv: Callable[..., nn.Layer] = ConvNormAct
        if separable:
            conv = partial(SeparableConv, dw_act=self.act if dw_act else None)
        self.decoder = nn.Sequential(
            conv(self.channels + low_channels, self.channels, 3, act=self.act),
            conv(self.channels, self.channels, 3, act=self.act),
        )

    def suits(self, strides: Sequence[int]) -> bool:
        """Whether the low-level map is another than the ASPP's, or as fine as one has to be.

        Args:
            strides: Pixels of the image per pixel of each map, along either side.
        """
        return self.low_index != self.in_index or strides[self.low_index] <= LOW_STRIDE

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        fine = feats[self.low_index]
        x = self.proj_dropout(self.aspp(feats[self.in_index]))
        x = resize(x, spatial_size(fine), self.align_corners)
        x = paddle.concat([x, self.low_level(fine)], axis=1)
        for block in self.decoder:  # reuses one variable, so that each map is freed once the next exists
            x = block(x)
        return [self.classify(x)]
