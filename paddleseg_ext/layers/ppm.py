"""Pyramid pooling module."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.layers.resample import pyramid_pool


class PyramidPooling(nn.Layer):
    """Pyramid pooling: averages over k×k grids of the map, each followed by a 1×1 convolution.

    The paper upsamples the grids and concatenates them with the map; here the output is the grids themselves, which
    `ContextConv` takes without upsampling.

    Reference: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, Sec. 3.2.
    Official code consulted: hszhao/semseg, model/pspnet.py.

    Args:
        in_channels: Channels of the input map.
        channels: Channels of each branch.
        bin_sizes: k, cells along each side of a grid; one branch each.
        norm: BatchNorm in the branches. The 1×1 grid holds one value per image and channel, on which
            BatchNorm has nothing to normalize when the batch is 1; ``False`` leaves it out.
        act: Name of the branches' activation (`layers.conv.ACTIVATIONS`), ``None`` for none.

    Shape:
        - x: (N, in_channels, H, W), any H, W ≥ 1
        - output: list of (N, channels, k, k), one per k of ``bin_sizes``

    Raises:
        ValueError: ``bin_sizes`` is empty or holds a number below 1.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        bin_sizes: Sequence[int] = (1, 2, 3, 6),
        *,
        norm: bool = True,
        act: str | None = "relu",
    ) -> None:
        super().__init__()
        if not bin_sizes or min(bin_sizes) < 1:
            raise ValueError(f"bin_sizes={list(bin_sizes)} must be whole numbers of at least 1.")
        self.bin_sizes = tuple(bin_sizes)
        self.branches = nn.LayerList([ConvNormAct(in_channels, channels, 1, norm=norm, act=act) for _ in bin_sizes])

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [conv(grid) for conv, grid in zip(self.branches, pyramid_pool(x, self.bin_sizes))]
