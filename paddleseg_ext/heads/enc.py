"""Decode head of EncNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.heads.base import Head
from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.layers.encoding import ContextEncoding
from paddleseg_ext.layers.initialization import uniform_fan_in
from paddleseg_ext.layers.resample import resize, spatial_size
from paddleseg_ext.registry import register_head


@register_head
class EncHead(Head):
    """Context encoding between a bottleneck and a classifier, with the semantic encoding (SE) branch.

    Reference: Zhang et al., "Context Encoding for Semantic Segmentation", CVPR 2018, Sec. 3.
    Official code consulted: zhanghang1989/PyTorch-Encoding, encoding/models/sseg/encnet.py.

    The SE logits (N, num_classes) predict which classes occur in the image; train them with
    ``SECrossEntropyLoss``, coefficient 0.2.

    Args:
        in_channels: Channels of each of the backbone's feature maps, finest first.
        num_classes: Number of classes.
        num_codes: Number of codewords.
        laterals: Indices of finer maps that are fused with the bottleneck's; the paper's code takes (-3, -2) on some
            data sets and none on the others.
        bottleneck_kernel: Side of the bottleneck's kernel: 3, or 1 behind a JPU in FastFCN's code.
        se_loss: Return the SE logits as a second output.
        **common: ``in_index``, ``channels``, ``dropout``, ``dropout_mode``, ``act`` and ``align_corners``; see `Head`.

    Shape:
        - feats: list of (N, in_channels[i], Hᵢ, Wᵢ)
        - output: list of the mask logits (N, num_classes, H, W), of the size of ``feats[in_index]``; with ``se_loss``
          also the SE logits (N, num_classes)

    Raises:
        ValueError: As `Head` and `Encoding`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        num_codes: int = 32,
        laterals: Sequence[int] = (),
        bottleneck_kernel: int = 3,
        se_loss: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, **common)
        width = self.channels
        self.bottleneck = ConvNormAct(self.in_channels, width, bottleneck_kernel, act=self.act)
        self.lateral_indices = [self.checked_index(i, "laterals") for i in laterals]
        if self.lateral_indices:
            self.laterals = nn.LayerList(
                [ConvNormAct(self.feat_channels[i], width, 1, act=self.act) for i in self.lateral_indices]
            )
            self.fusion = ConvNormAct((1 + len(self.laterals)) * width, width, 3, act=self.act)
        self.encoding = ContextEncoding(width, num_codes, act=self.act)
        if se_loss:
            self.output_names = ("mask", "se")
            self.se = nn.Linear(width, num_classes, **uniform_fan_in(width))

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        x = self.bottleneck(feats[self.in_index])
        if self.lateral_indices:
            size = spatial_size(x)
            pairs = zip(self.laterals, self.lateral_indices)
            finer = [resize(conv(feats[i]), size, self.align_corners) for conv, i in pairs]
            x = self.fusion(paddle.concat([x, *finer], axis=1))
        context, x = self.encoding(x)
        mask = self.classify(x)
        return [mask, self.se(context)] if "se" in self.output_names else [mask]
