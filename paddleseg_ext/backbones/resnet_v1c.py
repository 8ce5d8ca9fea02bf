"""ResNet-v1c, the backbone of mmsegmentation's networks.

PaddleSeg's ResNet_vd has weights of the same shapes but is another function: it has average pooling in front of a
strided shortcut and the full dilation in the first block of a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.checkpoint.load import load_weights
from paddleseg_ext.layers.initialization import kaiming_fan_out
from paddleseg_ext.registry import register_backbone

# Output stride: strides and dilations of the four stages.
SCALES = {
    8: ((1, 2, 1, 1), (1, 1, 2, 4)),
    16: ((1, 2, 2, 1), (1, 1, 1, 2)),
    32: ((1, 2, 2, 2), (1, 1, 1, 1)),
}


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2D:
    """Convolution without bias, padded so that stride 1 keeps height and width.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel, odd.
        stride: Pixels of the input per pixel of the output, along either side.
        dilation: Pixels from one element of the kernel to the next.
    """
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        weight_attr=kaiming_fan_out(out_channels, kernel_size),
        bias_attr=False,
    )


def last_norm(channels: int) -> nn.BatchNorm2D:
    """The last normalization of a block, from γ = 0: without pretrained weights each block begins as its shortcut.

    Reference: Goyal et al., "Accurate, Large Minibatch SGD", 2017, Sec. 5.1; mmsegmentation's `zero_init_residual`.

    Args:
        channels: Channels of the block's output.
    """
    return nn.BatchNorm2D(channels, weight_attr=nn.initializer.Constant(0.0))


class BasicBlock(nn.Layer):
    """Two 3×3 convolutions with a shortcut; only the first is strided and dilated.

    Reference: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Fig. 5 (left).

    Args:
        in_channels: Channels of the input.
        width: Channels of both convolutions.
        stride: Of the first convolution.
        dilation: Of the first convolution.
        shortcut: What the input passes to be added in the end; it gives the output's shape.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, width, ⌈H/stride⌉, ⌈W/stride⌉)
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int, shortcut: nn.Layer) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, width, 3, stride, dilation)
        self.bn1 = nn.BatchNorm2D(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = last_norm(width)
        self.downsample = shortcut
        self.relu = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Layer):
    """1×1, 3×3 and 1×1 convolutions with a shortcut; the 3×3 is strided and dilated.

    Reference: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Fig. 5 (right); with the stride in
    the 3×3, as mmsegmentation's ``style="pytorch"``.

    Args:
        in_channels: Channels of the input.
        width: Channels of the 3×3; the output has four times as many.
        stride: Of the 3×3.
        dilation: Of the 3×3.
        shortcut: What the input passes to be added in the end; it gives the output's shape.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, 4·width, ⌈H/stride⌉, ⌈W/stride⌉)
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int, shortcut: nn.Layer) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2D(width)
        self.conv2 = conv(width, width, 3, stride, dilation)
        self.bn2 = nn.BatchNorm2D(width)
        self.conv3 = conv(width, self.expansion * width, 1)
        self.bn3 = last_norm(self.expansion * width)
        self.downsample = shortcut
        self.relu = nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNetV1c(nn.Layer):
    """ResNet with a stem of three 3×3 convolutions (ResNet-C), as in mmsegmentation.

    Reference: He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks",
    CVPR 2019, Sec. 4.2 (ResNet-C).
    Official code consulted: open-mmlab/mmsegmentation, mmseg/models/backbones/resnet.py.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        depths: Number of blocks of each stage.
        output_stride: Stride of the last map in pixels of the image, 8, 16 or 32; determines ``strides`` and
            ``dilations`` where they are not set.
        strides: Stride of each stage's first block.
        dilations: Dilation of each stage.
        multi_grid: Dilation of each block of the last stage in place of ``dilations[-1]``
            (PaddleSeg's ResNet_vd multiplies by it instead).
        contract_dilation: The first block of a dilated stage has half its dilation.
        base_channels: Channels of the first stage; each further stage doubles them.
        stem_channels: Channels of the stem's output; its first two convolutions have half as many.
        in_channels: Channels of the images.
        pretrained: File of pretrained weights.

    Shape:
        - x: (N, in_channels, H, W)
        - output: list of four (N, feat_channels[i], H/s, W/s) with s = 4, 8, then up to ``output_stride``

    Raises:
        ValueError: another output stride, or a list of another length than it needs.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        *,
        output_stride: int = 8,
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = True,
        base_channels: int = 64,
        stem_channels: int = 64,
        in_channels: int = 3,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if output_stride not in SCALES:
            raise ValueError(f"output_stride={output_stride} is not one of {', '.join(map(str, SCALES))}.")
        strides, dilations = strides or SCALES[output_stride][0], dilations or SCALES[output_stride][1]
        grids = [[rate] * count for rate, count in zip(dilations, depths)]
        for name, numbers, length in [
            ("strides", strides, len(depths)),
            ("dilations", dilations, len(depths)),
            ("multi_grid", multi_grid or grids[-1], depths[-1]),
        ]:
            if len(numbers) != length:
                raise ValueError(f"{name}={list(numbers)} has {len(numbers)} numbers, but {length} are needed.")
        if contract_dilation:
            for grid in grids:
                grid[0] = max(1, grid[0] // 2)
        if multi_grid:
            grids[-1] = list(multi_grid)

        self.strides, self.dilations = list(strides), grids  # a number per stage; a number per block

        half = stem_channels // 2
        self.stem = nn.Sequential(
            *(conv(in_channels, half, 3, stride=2), nn.BatchNorm2D(half), nn.ReLU()),
            *(conv(half, half, 3), nn.BatchNorm2D(half), nn.ReLU()),
            *(conv(half, stem_channels, 3), nn.BatchNorm2D(stem_channels), nn.ReLU()),
        )
        self.maxpool = nn.MaxPool2D(3, stride=2, padding=1)
        widths = [base_channels * 2**i for i in range(len(depths))]
        self.feat_channels = [width * block.expansion for width in widths]
        entering = [stem_channels, *self.feat_channels]
        for i, (width, stride, grid) in enumerate(zip(widths, strides, grids)):
            self.add_sublayer(f"layer{i + 1}", stage(block, entering[i], width, stride, grid))
        if pretrained:
            load_weights(self, pretrained, complete=False)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.maxpool(self.stem(x))
        feats = []
        for i in range(len(self.feat_channels)):
            x = getattr(self, f"layer{i + 1}")(x)
            feats.append(x)
        return feats


def stage(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, stride: int, dilations: Sequence[int]
) -> nn.Sequential:
    """The blocks of a stage; the first may change size and channels.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        in_channels: Channels of the input.
        width: See the block.
        stride: Of the first block.
        dilations: Of the blocks, one for each.
    """
    out_channels = width * block.expansion
    shortcut: nn.Layer = nn.Identity()
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(conv(in_channels, out_channels, 1, stride), nn.BatchNorm2D(out_channels))
    first, *others = dilations
    return nn.Sequential(
        block(in_channels, width, stride, first, shortcut),
        *(block(out_channels, width, 1, rate, nn.Identity()) for rate in others),
    )


@register_backbone
def ResNet18_v1c(**keywords: Any) -> ResNetV1c:
    """`ResNetV1c` of 18 layers, whose maps have 64, 128, 256 and 512 channels.

    Args:
        **keywords: ``output_stride`` (8, 16 or 32), ``pretrained`` (a file) and others of `ResNetV1c`.
    """
    return ResNetV1c(BasicBlock, (2, 2, 2, 2), **keywords)


@register_backbone
def ResNet34_v1c(**keywords: Any) -> ResNetV1c:
    """`ResNetV1c` of 34 layers, whose maps have 64, 128, 256 and 512 channels.

    Args:
        **keywords: ``output_stride`` (8, 16 or 32), ``pretrained`` (a file) and others of `ResNetV1c`.
    """
    return ResNetV1c(BasicBlock, (3, 4, 6, 3), **keywords)


@register_backbone
def ResNet50_v1c(**keywords: Any) -> ResNetV1c:
    """`ResNetV1c` of 50 layers, whose maps have 256, 512, 1024 and 2048 channels.

    Args:
        **keywords: ``output_stride`` (8, 16 or 32), ``pretrained`` (a file) and others of `ResNetV1c`.
    """
    return ResNetV1c(Bottleneck, (3, 4, 6, 3), **keywords)


@register_backbone
def ResNet101_v1c(**keywords: Any) -> ResNetV1c:
    """`ResNetV1c` of 101 layers, whose maps have 256, 512, 1024 and 2048 channels.

    Args:
        **keywords: ``output_stride`` (8, 16 or 32), ``pretrained`` (a file) and others of `ResNetV1c`.
    """
    return ResNetV1c(Bottleneck, (3, 4, 23, 3), **keywords)
