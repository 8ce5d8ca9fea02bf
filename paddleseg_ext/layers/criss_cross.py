"""Criss-cross attention."""

from __future__ import annotations

import paddle
from paddle import nn

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
            return x + self.gamma.astype(x.dtype) * self._attend(x.astype("float32")).astype(x.dtype)

    def _attend(self, x: paddle.Tensor) -> paddle.Tensor:
        height, _ = spatial_size(x)
        query, key, value = self._project(x)  # (N, H, W, ·)
        flip = [0, 2, 1, 3]
        query_t, key_t, value_t = (t.transpose(flip) for t in (query, key, value))  # (N, W, H, ·)
        row = paddle.matmul(query, key, transpose_y=True)  # (N, H, W, W')
        column = paddle.matmul(query_t, key_t, transpose_y=True)  # (N, W, H, H')
        position = paddle.arange(height)
        itself = position.unsqueeze(0) == position.unsqueeze(1)  # (H, H')
        column = paddle.where(itself, paddle.full([], float("-inf")), column)

        row_max = row.max(axis=3, keepdim=True)  # (N, H, W, 1)
        column_max = column.max(axis=3, keepdim=True).transpose(flip)
        top = paddle.maximum(row_max, column_max).detach()  # shifts every exponent, changes no ratio
        row = paddle.exp(row - top)
        column = paddle.exp(column - top.transpose(flip))
        mass = row.sum(axis=3, keepdim=True) + column.sum(axis=3, keepdim=True).transpose(flip)
        total = paddle.matmul(row, value) + paddle.matmul(column, value_t).transpose(flip)  # (N, H, W, C)
        return (total / mass).transpose([0, 3, 1, 2])

    def _project(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Queries, keys and values, channel-last, by one matrix product."""
        height, width = spatial_size(x)
        convs = (self.query, self.key, self.value)
        weight = paddle.concat([conv.weight.flatten(1) for conv in convs]).astype("float32")  # (2C/r + C, C)
        bias = paddle.concat([conv.bias for conv in convs]).astype("float32")
        merged = paddle.matmul(x.flatten(2), weight, transpose_x=True, transpose_y=True) + bias  # (N, H·W, ·)
        merged = merged.reshape([0, height, width, -1])
        return paddle.split(merged, [conv.weight.shape[0] for conv in convs], axis=3)
