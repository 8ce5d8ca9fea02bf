"""Criss-cross attention."""

from __future__ import annotations

import paddle
from paddle import nn

from paddleseg_ext.cpu.criss_cross import FLIP, EagerAttention, criss_cross_weights
from paddleseg_ext.cpu.memory import eager_on_cpu
from paddleseg_ext.layers.resample import spatial_size


class CrissCrossAttention(nn.Layer):
    """Every pixel attends to its own row and column; applied twice, to the whole map.

    Reference: Huang et al., "CCNet: Criss-Cross Attention for Semantic Segmentation", ICCV 2019, Sec. 3.2.
    Official code consulted: speedinghzl/CCNet, cc_attention/functions.py. As there: energies are not
    scaled, the pixel itself counts once (through its row), and γ starts at 0.
    Differs in form only: the softmax over column and row together is taken with a common maximum,
    so the two energy maps are never concatenated.

    Args:
        channels: C, channels of the map.
        reduction: Queries and keys have C / reduction channels.

    Shape:
        - x: (N, C, H, W), any H, W ≥ 1
        - output: (N, C, H, W)

    Raises:
        ValueError: ``reduction`` leaves no channel for the queries.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        if not 1 <= reduction <= channels:
            raise ValueError(f"reduction={reduction} must lie between 1 and channels={channels}.")
        self.query = nn.Conv2D(channels, channels // reduction, 1)
        self.key = nn.Conv2D(channels, channels // reduction, 1)
        self.value = nn.Conv2D(channels, channels, 1)
        self.gamma = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        with paddle.amp.auto_cast(enable=False):  # unscaled energies exceed float16's range
            if eager_on_cpu(x, *self.parameters()):
                weight = paddle.concat([self.query.weight, self.key.weight]).flatten(1)  # (2·C/r, C)
                bias = paddle.concat([self.query.bias, self.key.bias])
                value = self.value.weight.flatten(1)
                return EagerAttention.apply(x, weight, bias, value, self.value.bias, self.gamma)
            return x + self._attend(x.astype("float32")).astype(x.dtype)

    def _attend(self, x: paddle.Tensor) -> paddle.Tensor:
        """γ times the attended values; γ and the softmax's denominator go into the weights, the smaller tensors."""
        query, key = paddle.split(self._project(x, self.query, self.key), 2, axis=3)  # (N, H, W, C/r) each
        value = self._project(x, self.value)  # (N, H, W, C)
        row, column, mass = criss_cross_weights(query, key)
        scale = self.gamma.astype("float32") / mass  # (N, H, W, 1)
        along = paddle.matmul(row * scale, value)  # (N, H, W, C)
        across = paddle.matmul(column * scale.transpose(FLIP), value.transpose(FLIP))  # (N, W, H, C)
        return (along + across.transpose(FLIP)).transpose([0, 3, 1, 2])

    @staticmethod
    def _project(x: paddle.Tensor, *convs: nn.Conv2D) -> paddle.Tensor:
        """1×1 convolutions side by side, as one matrix product with the channels last: (N, H, W, ΣC)."""
        height, width = spatial_size(x)
        weight = paddle.concat([conv.weight.flatten(1) for conv in convs]).astype("float32")  # (ΣC, C)
        bias = paddle.concat([conv.bias for conv in convs]).astype("float32")
        merged = paddle.matmul(x.flatten(2), weight, transpose_x=True, transpose_y=True) + bias  # (N, H·W, ΣC)
        return merged.reshape([0, height, width, bias.shape[0]])
