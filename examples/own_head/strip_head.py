"""A head outside the package: `config.yml` beside it imports this module and names the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.heads import Head
from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.registry import register_head


@register_head
class StripHead(Head):
    """Averages over horizontal and vertical strips decide which channels of a pixel count.

    After Hou et al., "Strip Pooling: Rethinking Spatial Pooling for Scene Parsing", CVPR 2020, Sec. 3.1, in its
    plainest form: means over whole rows and whole columns, a convolution along each, their sum through a sigmoid as a
    gate.

    Args:
        in_channels: Channels of the backbone's maps; the parent gives them.
        num_classes: Number of classes; the parent gives it.
        kernel_size: Length of the convolutions along the strips, odd.
        **common: `in_index`, `channels`, `dropout` and so on, as for every head.

    Shape:
        - feats: list of (N, in_channels[i], H_i, W_i)
        - output: list of one (N, num_classes, H, W), H and W those of ``feats[in_index]``
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, *, kernel_size: int = 3, **common: Any) -> None:
        super().__init__(in_channels, num_classes, **common)
        pad = kernel_size // 2
        self.reduce = ConvNormAct(self.in_channels, self.channels, 1)
        self.rows = nn.Conv2D(self.channels, self.channels, (kernel_size, 1), padding=(pad, 0))
        self.columns = nn.Conv2D(self.channels, self.channels, (1, kernel_size), padding=(0, pad))
        self.gate = nn.Conv2D(self.channels, self.channels, 1)

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        x = self.reduce(feats[self.in_index])  # (N, C, H, W)
        rows = self.rows(x.mean(3, keepdim=True))  # (N, C, H, 1)
        columns = self.columns(x.mean(2, keepdim=True))  # (N, C, 1, W)
        gate = nn.functional.sigmoid(self.gate(nn.functional.relu(rows + columns)))
        return [self.classify(x * gate)]
