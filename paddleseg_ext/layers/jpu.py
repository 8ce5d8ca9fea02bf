"""Joint pyramid upsampling."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from paddleseg_ext.layers.conv import ConvNormAct, SeparableConv
from paddleseg_ext.layers.resample import resize, spatial_size

BRANCH_ORDERS = ("deep_first", "shallow_first")


class JPU(nn.Layer):
    """Joint pyramid upsampling: a stride-8 map from the last three stages of an undilated backbone.

    Reference: Wu et al., "FastFCN: Rethinking Dilated Convolution in the Backbone", 2019, Sec. 3.3.
    Official code consulted: wuhuikai/FastFCN, encoding/nn/customize.py.

    Args:
        in_channels: Channels of each map, from the finest to the coarsest.
        channels: Channels of each branch; the output has this many per dilation.
        dilations: Rates of the separable convolutions over the concatenated maps, in pixels of the finest.
        branch_order: ``deep_first`` stacks [coarsest … finest] as the paper's code does,
            ``shallow_first`` the other way round as mmsegmentation does.
        act: Name of the activation (`layers.conv.ACTIVATIONS`), ``None`` for none.
        align_corners: As in ``F.interpolate`` (paper: True).

    Shape:
        - feats: list of (N, in_channels[i], H/2ⁱ, W/2ⁱ), any sizes
        - output: (N, len(dilations)·channels, H, W), the size of ``feats[0]``

    Raises:
        ValueError: an unknown ``branch_order``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 512,
        dilations: Sequence[int] = (1, 2, 4, 8),
        *,
        branch_order: str = "deep_first",
        act: str | None = "relu",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if branch_order not in BRANCH_ORDERS:
            raise ValueError(f"branch_order={branch_order!r} is not one of {', '.join(BRANCH_ORDERS)}.")
        self.deep_first = branch_order == "deep_first"
        self.align_corners = align_corners
        self.out_channels = len(dilations) * channels
        self.laterals = nn.LayerList([ConvNormAct(c, channels, 3, act=act) for c in in_channels])
        stacked = len(in_channels) * channels
        self.dilated = nn.LayerList(
            [SeparableConv(stacked, channels, 3, dilation=rate, dw_act=None, act=act) for rate in dilations]
        )

    def forward(self, feats: Sequence[paddle.Tensor]) -> paddle.Tensor:
        size = spatial_size(feats[0])
        maps = [resize(conv(feat), size, self.align_corners) for conv, feat in zip(self.laterals, feats)]
        stacked = paddle.concat(maps[::-1] if self.deep_first else maps, axis=1)  # (N, len(feats)·C, H, W)
        return paddle.concat([conv(stacked) for conv in self.dilated], axis=1)
