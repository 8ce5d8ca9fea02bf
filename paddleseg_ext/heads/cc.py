"""Decode head of CCNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle

from paddleseg_ext.compat.paddle import exact_float32
from paddleseg_ext.heads.base import Head
from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.layers.criss_cross import CrissCrossAttention
from paddleseg_ext.registry import register_head


@register_head
class CCHead(Head):
    """Recurrent criss-cross attention between two convolutions, fused with the input map.

    Reference: Huang et al., "CCNet: Criss-Cross Attention for Semantic Segmentation", ICCV 2019, Fig. 2.
    Official code consulted: speedinghzl/CCNet, networks/ccnet.py.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        recurrence: Number of passes through the shared attention layer; with two every pixel attends to every other.
        attention_channels: Channels of the attention and of the convolutions around it, ``channels`` unless set. The
            paper's code and PaddleSeg have a quarter of the input's, which is ``channels`` for a ResNet50's 2048.
        out_act: Activation of the fusing convolution, ``act`` unless set (PaddleSeg: relu).
        act: Leaky ReLU as in the paper's code; mmsegmentation has ReLU.
        **common: ``in_index``, ``channels``, ``dropout``, ``dropout_mode`` and ``align_corners``; see `Head`.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: list of the mask logits (N, num_classes, H, W), of the size of ``feats[in_index]``

    Raises:
        ValueError: ``recurrence`` is below 1; or as `Head`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        recurrence: int = 2,
        attention_channels: int | None = None,
        out_act: str | None = None,
        act: str | None = "leaky_relu",
        **common: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, act=act, **common)
        if recurrence < 1:
            raise ValueError(f"CCHead: recurrence={recurrence} must be at least 1.")
        self.recurrence = recurrence
        inner = attention_channels or self.channels
        self.before = ConvNormAct(self.in_channels, inner, 3, act=act)
        self.attention = CrissCrossAttention(inner)
        self.after = ConvNormAct(inner, inner, 3, act=act)
        self.fuse = ConvNormAct(self.in_channels + inner, self.channels, 3, act=out_act or act)

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        x = feats[self.in_index]
        context = self.before(x)
        with exact_float32():  # energies reach thousands, of which TF32 would leave the exponents wrong by several
            for _ in range(self.recurrence):
                context = self.attention(context)
        return [self.classify(self.fuse(paddle.concat([x, self.after(context)], axis=1)))]
