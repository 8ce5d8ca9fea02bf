"""Convolution, normalization and activation as one layer, and its depthwise separable form."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg_ext.layers.functional import conv3x3, depthwise_conv2d
from paddleseg_ext.layers.initialization import kaiming_fan_out


class ReLU(nn.ReLU):
    """ReLU, in place in eager execution: its input, the output of a normalization, is not used elsewhere.

    Reference: Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", ICML 2010.

    Shape:
        - x: any shape
        - output: as x
    """

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu_(x) if paddle.in_dynamic_mode() else F.relu(x)


class LeakyReLU(nn.LeakyReLU):
    """Leaky ReLU of slope 0.01, as in CCNet's in-place activated BatchNorm.

    Reference: Rota Bulò et al., "In-Place Activated BatchNorm for Memory-Optimized Training of DNNs", CVPR 2018, for
    the activation alone; nothing is recomputed here.

    Shape:
        - x: any shape
        - output: as x
    """

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if paddle.in_dynamic_mode():
            return F.leaky_relu(x, self._negative_slope)
        return paddle.maximum(x, self._negative_slope * x)  # Paddle2ONNX 2.1 writes its own operator with slope 0


ACTIVATIONS = {
    None: nn.Identity,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.Silu,
}


def activation(name: str | None) -> nn.Layer:
    """Activation layer by name.

    Args:
        name: One of `ACTIVATIONS`; ``None`` for the identity.

    Raises:
        ValueError: an unknown name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"act={name!r} is not one of {', '.join(repr(a) for a in ACTIVATIONS)}.")
    return ACTIVATIONS[name]()


class SameConv(nn.Conv2D):
    """`nn.Conv2D` that keeps height and width, through the operations of `layers.functional` that have faster kernels.

    Reference: `paddle.nn.Conv2D`, whose weights and results it has.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel, odd.
        dilation: Pixels from one element of the kernel to the next.
        groups: Groups of the convolution; ``in_channels`` makes it depthwise.
        **options: See `nn.Conv2D`.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, out_channels, H, W)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, groups: int = 1, **options: Any
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            padding=dilation * (kernel_size - 1) // 2,
            dilation=dilation,
            groups=groups,
            **options,
        )
        self.rate = dilation
        self.depthwise = groups == in_channels == out_channels and groups > 1 and kernel_size > 1
        self.plain = groups == 1 and kernel_size == 3

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.depthwise:
            out = depthwise_conv2d(x, self.weight, self.rate)
        elif self.plain:
            out = conv3x3(x, self.weight, self.rate)
        else:
            return nn.Conv2D.forward(self, x)  # `super()` cannot be traced on Paddle 2.6
        return out if self.bias is None else out + self.bias.reshape([1, -1, 1, 1])


class ConvNormAct(nn.Layer):
    """Convolution → BatchNorm → activation; zero padding keeps height and width.

    Reference: Ioffe and Szegedy, "Batch Normalization", ICML 2015, Sec. 3.2.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel, odd.
        dilation: Pixels from one element of the kernel to the next.
        groups: Groups of the convolution; ``in_channels`` makes it depthwise.
        norm: BatchNorm after the convolution; without it the convolution has a bias.
        act: Name of the activation (`ACTIVATIONS`), ``None`` for none.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, out_channels, H, W)

    Raises:
        ValueError: an unknown activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        groups: int = 1,
        norm: bool = True,
        act: str | None = "relu",
    ) -> None:
        super().__init__()
        self.conv = SameConv(
            in_channels,
            out_channels,
            kernel_size,
            dilation=dilation,
            groups=groups,
            weight_attr=kaiming_fan_out(out_channels, kernel_size),
            bias_attr=None if not norm else False,
        )
        self.norm = nn.BatchNorm2D(out_channels) if norm else nn.Identity()
        self.act = activation(act)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.act(self.norm(self.conv(x)))


class SeparableConv(nn.Layer):
    """Depthwise convolution, then a 1×1 convolution, each with BatchNorm.

    Reference: Chollet, "Xception", CVPR 2017. Whether an activation follows the depthwise half
    is an argument: DeepLabV3+ has one (Chen et al., ECCV 2018, Sec. 3.2 and its code), FastFCN's JPU has none.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square depthwise kernel, odd.
        dilation: Pixels from one element of the depthwise kernel to the next.
        dw_act: Name of the activation after the depthwise half, ``None`` for none.
        act: Name of the activation after the 1×1 half, ``None`` for none.

    Shape:
        - x: (N, in_channels, H, W)
        - output: (N, out_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        dw_act: str | None = "relu",
        act: str | None = "relu",
    ) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(
            in_channels, in_channels, kernel_size, dilation=dilation, groups=in_channels, act=dw_act
        )
        self.pointwise = ConvNormAct(in_channels, out_channels, 1, act=act)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.pointwise(self.depthwise(x))
