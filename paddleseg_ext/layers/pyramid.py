"""Feature maps of further strides, made from the last map of a backbone that has too few."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from paddleseg_ext.layers.initialization import kaiming_fan_out

STRIDES = (4, 8, 16, 32)


class NoPyramid(ValueError):
    """Of a last map no pyramid can be made."""


class SimplePyramid(nn.Layer):
    """Maps of strides 4, 8, 16 and 32 from the last map alone, where the backbone gives none of the stride.

    Reference: Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", ECCV 2022, Sec. 3
    (simple feature pyramid).
    Differs from the paper: BatchNorm instead of LayerNorm, a strided convolution instead of pooling, no convolutions
    after it, for a head begins with its own; a map that the backbone itself gives is kept.

    Args:
        in_channels: Channels of each of the backbone's maps.
        strides: Pixels of the image per pixel of each map, along either side.
        channels: Channels of each map that is made.

    Attributes:
        feat_channels: Channels of the four maps, finest first.

    Shape:
        - feats: list of (N, in_channels[i], H/strides[i], W/strides[i])
        - output: list of four (N, feat_channels[i], H/4·2ⁱ, W/4·2ⁱ)

    Raises:
        NoPyramid: The last map's stride is no power of two.
    """

    def __init__(self, in_channels: Sequence[int], strides: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        if strides[-1] & (strides[-1] - 1):
            raise NoPyramid(f"none can be made of its last map, whose stride {strides[-1]} is no power of two")
        self.kept = {stride: index for index, stride in enumerate(strides) if stride in STRIDES}
        self.feat_channels = [in_channels[self.kept[s]] if s in self.kept else channels for s in STRIDES]
        made = {s: path(in_channels[-1], channels, strides[-1], s) for s in STRIDES if s not in self.kept}
        self.made = nn.LayerDict({f"stride{stride}": layers for stride, layers in made.items()})

    def forward(self, feats: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        last = feats[-1]
        return [feats[self.kept[s]] if s in self.kept else self.made[f"stride{s}"](last) for s in STRIDES]


def path(in_channels: int, channels: int, stride: int, to: int) -> nn.Sequential:
    """Convolutions of stride 2, transposed ones where the map is to become finer, from one stride to another.

    Args:
        in_channels: Channels of the map.
        channels: Channels of the result, and between the convolutions.
        stride: Pixels of the image per pixel of the map, a power of two.
        to: Those of the result, another power of two.
    """
    step: type[Finer] | type[Coarser] = Finer if to < stride else Coarser
    count = (max(stride, to) // min(stride, to)).bit_length() - 1
    return nn.Sequential(*(step(channels if i else in_channels, channels) for i in range(count)))


class Finer(nn.Layer):
    """Transposed 2×2 convolution of stride 2 → BatchNorm → GELU.

    Reference: Li et al., ECCV 2022, Sec. 3; see `SimplePyramid`.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, channels, 2H, 2W)
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        weight = kaiming_fan_out(channels, 1)  # each pixel of the result is one of the kernel's
        self.conv = nn.Conv2DTranspose(in_channels, channels, 2, stride=2, weight_attr=weight, bias_attr=False)
        self.norm = nn.BatchNorm2D(channels)
        self.act = nn.GELU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.act(self.norm(self.conv(x)))


class Coarser(nn.Layer):
    """3×3 convolution of stride 2 → BatchNorm → GELU.

    Reference: Li et al., ECCV 2022, Sec. 3; see `SimplePyramid`.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, channels, ⌈H/2⌉, ⌈W/2⌉)
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        weight = kaiming_fan_out(channels, 3)
        self.conv = nn.Conv2D(in_channels, channels, 3, stride=2, padding=1, weight_attr=weight, bias_attr=False)
        self.norm = nn.BatchNorm2D(channels)
        self.act = nn.GELU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.act(self.norm(self.conv(x)))
