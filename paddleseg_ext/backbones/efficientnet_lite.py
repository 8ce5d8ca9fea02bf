"""EfficientNet-Lite0: a small backbone for machines without a GPU, whose ImageNet weights a package index holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.checkpoint.load import load_weights
from paddleseg_ext.checkpoint.packaged import weight_file
from paddleseg_ext.layers.conv import SameConv
from paddleseg_ext.layers.initialization import kaiming_fan_out
from paddleseg_ext.registry import register_backbone

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, side of the depthwise kernel, stride, expansion and channels of each stage."""

STEM = 32  # channels; at stride 2
MAPS = (1, 2, 4, 6)  # the stages whose outputs are returned: the last one at each stride
OUTPUT_STRIDES = (8, 16, 32)


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int, dilation: int, groups: int) -> nn.Layer:
    """Convolution without bias and with TensorFlow's "same" padding: ⌈size / stride⌉ rows and columns.

    With stride 2 an even side is padded by one less at the top and the left than at the bottom and the right.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel, odd.
        stride: 1 or 2.
        dilation: Pixels from one element of the kernel to the next; only with stride 1.
        groups: Groups of the convolution; ``in_channels`` makes it depthwise.
    """
    options: dict[str, Any] = {"weight_attr": kaiming_fan_out(out_channels, kernel_size), "bias_attr": False}
    if stride == 1:  # the padding is symmetric, as all kernels are odd
        return SameConv(in_channels, out_channels, kernel_size, dilation, groups, **options)
    return nn.Conv2D(in_channels, out_channels, kernel_size, stride, padding="SAME", groups=groups, **options)


class ConvNorm(nn.Sequential):
    """Convolution, BatchNorm with TensorFlow's constants and, unless it is linear, ReLU6.

    Reference: as `EfficientNetLite`; ReLU6 from Sandler et al., "MobileNetV2", CVPR 2018, Sec. 4.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel, odd.
        stride: 1 or 2.
        dilation: Pixels from one element of the kernel to the next; only with stride 1.
        groups: Groups of the convolution; ``in_channels`` makes it depthwise.
        linear: Without activation.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        *,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__(
            ("conv", conv(in_channels, out_channels, kernel_size, stride, dilation, groups)),
            ("norm", nn.BatchNorm2D(out_channels, momentum=0.99, epsilon=1e-3)),
            *([] if linear else [("act", nn.ReLU6())]),
        )


class InvertedBottleneck(nn.Layer):
    """1×1 convolution to more channels, a depthwise one, and a linear 1×1; with a shortcut where shapes allow.

    Reference: Sandler et al., "MobileNetV2", CVPR 2018, Sec. 3.3.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the depthwise kernel, odd.
        stride: 1 or 2, of the depthwise convolution.
        dilation: Pixels from one element of the depthwise kernel to the next.
        expansion: Channels of the depthwise convolution per channel of the input.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, dilation: int, expansion: int
    ) -> None:
        super().__init__()
        width = expansion * in_channels
        self.expand = ConvNorm(in_channels, width) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(width, width, kernel_size, stride, dilation, groups=width)
        self.project = ConvNorm(width, out_channels, linear=True)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class EfficientNetLite(nn.Layer):
    """EfficientNet-Lite0 without its classifier.

    Reference: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
    Table 1. Lite: no squeeze-and-excitation, ReLU6 in place of swish, stem not scaled (R. Liu, "Higher accuracy on
    vision models with EfficientNet-Lite", TensorFlow's blog, 2020).
    Code consulted: the package efficientnet-lite-pytorch 0.1.0.
    Differs from it: no drop connect.

    A stage that would exceed ``output_stride`` keeps stride 1 instead, and what follows is dilated: the maps have the
    undilated network's values, and others between them. The weights expect colors (value − 127) / 128 of 0 to 255.

    Args:
        output_stride: Pixels of the image per pixel of the last map, along either side: 8, 16 or 32.
        in_channels: Channels of the images.
        pretrained: ``efficientnet_lite0``, ImageNet weights that the extra ``[demo]`` installs, or a file.

    Shape:
        - x: (N, in_channels, H, W)
        - output: list of four (N, feat_channels[i], ⌈H/s⌉, ⌈W/s⌉) with s = 4, 8, then up to ``output_stride``

    Raises:
        ValueError: another output stride.
        UserError: the weights are not installed or not what they are known to be.
    """

    def __init__(self, *, output_stride: int = 32, in_channels: int = 3, pretrained: str | None = None) -> None:
        super().__init__()
        if output_stride not in OUTPUT_STRIDES:
            raise ValueError(f"output_stride={output_stride} is not one of {', '.join(map(str, OUTPUT_STRIDES))}.")
        self.feat_channels = [STAGES[i][-1] for i in MAPS]
        self.stem = ConvNorm(in_channels, STEM, 3, stride=2)
        self.stages = nn.LayerList()
        entering, reached, dilation = STEM, 2, 1
        for count, kernel_size, stride, expansion, channels in STAGES:
            strided = reached * stride <= output_stride
            first = InvertedBottleneck(entering, channels, kernel_size, stride if strided else 1, dilation, expansion)
            reached, dilation = (reached * stride, dilation) if strided else (reached, dilation * stride)
            others = [
                InvertedBottleneck(channels, channels, kernel_size, 1, dilation, expansion) for _ in range(count - 1)
            ]
            self.stages.append(nn.Sequential(first, *others))
            entering = channels
        if pretrained:
            load_weights(self, weight_file(pretrained, "pretrained"), complete=False)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.stem(x)
        feats = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in MAPS:
                feats.append(x)
        return feats

    @staticmethod
    def own_names(weights: Mapping[str, Any]) -> dict[str, Any]:
        """Weights under this class's names, where they have those of the package `efficientnet-lite-pytorch`.

        The classifier's are left out, as are counters of batches.

        Args:
            weights: Arrays by the names in a file, of any source.
        """
        if "_conv_stem.weight" not in weights:
            return dict(weights)
        renamed = ((_own_name(name), value) for name, value in weights.items())
        return {name: value for name, value in renamed if name is not None}


PARTS = {
    **{"_expand_conv": "expand.conv", "_bn0": "expand.norm", "_depthwise_conv": "depthwise.conv"},
    **{"_bn1": "depthwise.norm", "_project_conv": "project.conv", "_bn2": "project.norm"},
}
STATISTICS = {"running_mean": "_mean", "running_var": "_variance"}


def _own_name(name: str) -> str | None:
    """The name here of a weight of `efficientnet-lite-pytorch`, or None where there is none."""
    found = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+)\.(weight|bias|running_mean|running_var)", name)
    if not found:
        return None
    block, part, kind = found.groups()
    kind = STATISTICS.get(kind, kind)
    if block is None:
        stem = {"_conv_stem": "stem.conv", "_bn0": "stem.norm"}.get(part)
        return stem and f"{stem}.{kind}"
    stage, index = _place(int(block), [count for count, *_ in STAGES])
    return f"stages.{stage}.{index}.{PARTS[part]}.{kind}"


def _place(block: int, counts: Sequence[int]) -> tuple[int, int]:
    """Stage, and number within it, of a block that is counted over all stages."""
    for stage, count in enumerate(counts):
        if block < count:
            return stage, block
        block -= count
    raise ValueError(f"block {block} is beyond the last")


@register_backbone
def EfficientNet_lite0(**keywords: Any) -> EfficientNetLite:
    """`EfficientNetLite` of the smallest size, the only one whose weights a package index holds.

    Args:
        **keywords: ``output_stride`` (8, 16 or 32), ``in_channels`` and ``pretrained``; see `EfficientNetLite`.
    """
    return EfficientNetLite(**keywords)
