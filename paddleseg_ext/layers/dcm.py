"""Dynamic convolutional module: depthwise convolution with kernels predicted from the image."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg_ext.layers.conv import ConvNormAct, activation
from paddleseg_ext.layers.functional import depthwise_conv2d, in_type
from paddleseg_ext.layers.initialization import uniform_fan_in
from paddleseg_ext.layers.resample import pyramid_pool, spatial_size


def depthwise_per_sample(x: paddle.Tensor, kernels: paddle.Tensor) -> paddle.Tensor:
    """Depthwise cross-correlation, one kernel per sample and channel, zero-padded to the same size.

    An even kernel has its extra row and column of padding at the top and the left.

    Shape:
        - x: (N, C, H, W)
        - kernels: (N, C, k, k), of any float type
        - output: (N, C, H, W), of x's type
    """
    k = kernels.shape[2]
    if k == 1:
        return x * in_type(kernels, x.dtype)
    if not paddle.in_dynamic_mode():
        return _sum_of_shifts(x, in_type(kernels, x.dtype))
    batch, channels, height, width = x.shape
    # As one grouped convolution: sample and channel become the group axis.
    maps = x.reshape([1, batch * channels, height, width])
    grouped = kernels.reshape([batch * channels, 1, k, k])
    return depthwise_conv2d(maps, grouped, 1).reshape(x.shape)


def _sum_of_shifts(x: paddle.Tensor, kernels: paddle.Tensor) -> paddle.Tensor:
    """The same as a sum of k² shifted maps; slower, but a traced graph keeps a dynamic batch size."""
    height, width = spatial_size(x)
    k = kernels.shape[2]
    after = (k - 1) // 2
    before = k - 1 - after
    # All four axes: with the short form Paddle2ONNX 2.1 leaves the border uninitialized.
    padded = F.pad(x, [0, 0, 0, 0, before, after, before, after])
    terms = [
        padded[:, :, i : i + height, j : j + width] * kernels[:, :, i : i + 1, j : j + 1]
        for i in range(k)
        for j in range(k)
    ]
    return functools.reduce(operator.add, terms)


class DynamicConv(nn.Layer):
    """Depthwise convolution whose k×k kernel is predicted from the image.

    Reference: He et al., "Dynamic Multi-Scale Filters for Semantic Segmentation", ICCV 2019, Sec. 3.2.
    Official code consulted: Junjun2016/DMNet, dm_head.py.

    Args:
        in_channels: Channels of the input map.
        channels: Channels after the reduction.
        filter_size: k, side of the kernel in pixels of the map.
        fusion: A 1×1 convolution after the dynamic one (the paper has none).
        act: Name of the activation (`layers.conv.ACTIVATIONS`), ``None`` for none.

    Shape:
        - x: (N, in_channels, H, W), any H, W ≥ 1
        - output: (N, channels, H, W)

    Raises:
        ValueError: filter_size < 1.
    """

    def __init__(
        self, in_channels: int, channels: int, filter_size: int, *, fusion: bool = False, act: str | None = "relu"
    ) -> None:
        super().__init__()
        if filter_size < 1:
            raise ValueError(f"filter_size={filter_size} must be at least 1.")
        self.filter_size = filter_size
        self.filter_gen = nn.Conv2D(in_channels, channels, 1, **uniform_fan_in(in_channels))
        self.reduce = ConvNormAct(in_channels, channels, 1, act=act)
        self.norm = nn.BatchNorm2D(channels)
        self.act = activation(act)
        self.fuse = ConvNormAct(channels, channels, 1, act=act) if fusion else nn.Identity()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.apply_kernels(x, pyramid_pool(x, [self.filter_size])[0])

    def apply_kernels(self, x: paddle.Tensor, grid: paddle.Tensor) -> paddle.Tensor:
        """`forward` with the map already pooled to k×k cells.

        Shape:
            - x: (N, in_channels, H, W)
            - grid: (N, in_channels, k, k)
            - output: (N, channels, H, W)
        """
        reduced = self.reduce(x)
        kernels = self.filter_gen(grid)  # (N, channels, k, k), in float32 within mixed precision
        return self.fuse(self.act(self.norm(depthwise_per_sample(reduced, kernels))))


class MultiScaleDynamicConv(nn.LayerList):
    """Dynamic convolutions of several filter sizes over one map, with joint pooling.

    Reference: He et al., "Dynamic Multi-Scale Filters for Semantic Segmentation", ICCV 2019, Fig. 2.

    Args:
        in_channels: Channels of the input map.
        channels: Channels of each output.
        filter_sizes: k of each convolution, the side of its kernel in pixels of the map.
        **options: See `DynamicConv`.

    Shape:
        - x: (N, in_channels, H, W), any H, W ≥ 1
        - output: for each size (N, channels, H, W)

    Raises:
        ValueError: ``filter_sizes`` is empty or holds a number below 1.
    """

    def __init__(self, in_channels: int, channels: int, filter_sizes: Sequence[int], **options: Any) -> None:
        if not filter_sizes:
            raise ValueError("filter_sizes must hold at least one number.")
        super().__init__([DynamicConv(in_channels, channels, k, **options) for k in filter_sizes])
        self.filter_sizes = tuple(filter_sizes)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [conv.apply_kernels(x, grid) for conv, grid in zip(self, pyramid_pool(x, self.filter_sizes))]
