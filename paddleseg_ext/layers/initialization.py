"""How weights begin: as under PyTorch, where all six papers' code and mmsegmentation were trained.

Paddle's own defaults are others: wider by √6 for a convolution and by up to √6 for a linear layer, with biases of 0.
"""

from __future__ import annotations

from typing import Any

from paddle.nn import initializer


def kaiming_fan_out(out_channels: int, kernel_size: int) -> initializer.Initializer:
    """He initialization by fan-out, of mmsegmentation's convolutions before a normalization: N(0, 2 / (out · k²)).

    Reference: He et al., "Delving Deep into Rectifiers", ICCV 2015, Sec. 2.2, backward case. As PyTorch counts it, the
    groups of a convolution do not lower the fan-out, so that a depthwise one begins √channels times as narrow as by the
    paper's count. A normalization follows, so that the outputs are the same and only the pace of learning differs.

    Args:
        out_channels: Of the convolution.
        kernel_size: Side of the square kernel.
    """
    return initializer.KaimingNormal(fan_in=out_channels * kernel_size**2)


def uniform_fan_in(fan_in: int) -> dict[str, Any]:
    """Weight and bias from U(±1/√fan_in), the default of PyTorch's convolutions and linear layers.

    The papers' code leaves it wherever no normalization follows: queries, keys and values of attention (CCNet), filters
    from the pooled map (DMNet), gates and the classes' presence (EncNet). Paddle's default makes the energies of
    criss-cross attention six times as large, and its weights nearly one-hot from the first step.

    Reference: LeCun et al., "Efficient BackProp", 1998, Sec. 4.6, by way of PyTorch's kaiming_uniform with a = √5.

    Args:
        fan_in: Inputs of one output: channels × kernel area.

    Returns:
        Keyword arguments of a Paddle layer.
    """
    bound = fan_in**-0.5
    return {name: initializer.Uniform(-bound, bound) for name in ("weight_attr", "bias_attr")}
