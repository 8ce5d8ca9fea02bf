"""Atrous spatial pyramid pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import paddle
from paddle import nn

from paddleseg_ext.layers.context_conv import ContextConv
from paddleseg_ext.layers.conv import ConvNormAct, SeparableConv

BRANCH_ORDERS = ("pool_first", "pool_last")


class ASPP(nn.Layer):
    """Atrous spatial pyramid pooling: parallel dilated 3×3 convolutions, 1×1 convolution and image pooling, projected.

    Reference: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, Sec. 3.3;
    separable branches: "Encoder-Decoder with Atrous Separable Convolution", ECCV 2018, Sec. 3.2.
    Official code consulted: tensorflow/models, research/deeplab/model.py.

    Args:
        in_channels: Channels of the input map.
        channels: Channels of each branch and of the output.
        dilations: Rates of the 3×3 branches, in pixels of the map; the paper pairs 6, 12, 18 with output stride 16 and
            12, 24, 36 with 8.
        separable: Depthwise separable 3×3 branches.
        dw_act: Activation between depthwise and pointwise convolution (paper: yes; PaddleSeg: none).
        proj_kernel: Side of the projection's kernel, odd (paper 1, mmsegmentation 3).
        branch_order: ``pool_first`` stacks [pool, 1×1, atrous …] as the paper's code does,
            ``pool_last`` puts the pool at the end as PaddleSeg does.
        norm: BatchNorm in the pooled branch; see `PyramidPooling`.
        act: Name of the activation (`layers.conv.ACTIVATIONS`), ``None`` for none.

    Shape:
        - x: (N, in_channels, H, W), any H, W ≥ 1
        - output: (N, channels, H, W)

    Raises:
        ValueError: an unknown ``branch_order``, or a dilation below 1.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilations: Sequence[int] = (12, 24, 36),
        *,
        separable: bool = False,
        dw_act: bool = True,
        proj_kernel: int = 1,
        branch_order: str = "pool_first",
        norm: bool = True,
        act: str | None = "relu",
    ) -> None:
        super().__init__()
        if branch_order not in BRANCH_ORDERS:
            raise ValueError(f"branch_order={branch_order!r} is not one of {', '.join(BRANCH_ORDERS)}.")
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations={list(dilations)} must be whole numbers of at least 1.")
        self.image_pool = ConvNormAct(in_channels, channels, 1, norm=norm, act=act)
        self.pointwise = ConvNormAct(in_channels, channels, 1, act=act)
        self.atrous = nn.LayerList()
        conv: Callable[..., nn.Layer] = ConvNormAct
        if separable:
            conv = partial(SeparableConv, dw_act=act if dw_act else None)
        for rate in dilations:
            self.atrous.append(conv(in_channels, channels, 3, dilation=rate, act=act))
        stacked = (2 + len(self.atrous)) * channels
        self.project = ContextConv(stacked, channels, proj_kernel, grids_first=branch_order == "pool_first", act=act)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        pooled = self.image_pool(x.mean(axis=[2, 3], keepdim=True))  # (N, C, 1, 1)
        local = paddle.concat([self.pointwise(x), *(conv(x) for conv in self.atrous)], axis=1)
        return self.project(local, [pooled])
