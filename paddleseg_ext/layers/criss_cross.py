"""Criss-cross attention."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn

from paddleseg_ext.layers.functional import criss_cross_attention
from paddleseg_ext.layers.initialization import uniform_fan_in


class CrissCrossAttention(nn.Layer):
    """Attention of every pixel to its row and its column; after two passes, to the whole map.

    Reference: Huang et al., "CCNet: Criss-Cross Attention for Semantic Segmentation", ICCV 2019, Sec. 3.2.
    Official code consulted: speedinghzl/CCNet, cc_attention/functions.py. As there: energies are not
    scaled, the pixel itself counts once (through its row), and γ starts at 0.
    Differs in form only: the softmax over column and row together is taken with a common maximum
    (`functional.criss_cross_weights`).

    Args:
        channels: C, channels of the map.
        reduction: Queries and keys have ⌊C / reduction⌋ channels.

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
        self.query = nn.Conv2D(channels, channels // reduction, 1, **uniform_fan_in(channels))
        self.key = nn.Conv2D(channels, channels // reduction, 1, **uniform_fan_in(channels))
        self.value = nn.Conv2D(channels, channels, 1, **uniform_fan_in(channels))
        self.gamma = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        with paddle.amp.auto_cast(enable=False):  # unscaled energies exceed the range of float16
            return criss_cross_attention(
                x,
                self._merged("weight", self.query, self.key).flatten(1),  # (2·C/r, C)
                self._merged("bias", self.query, self.key),
                self._merged("weight", self.value, dtype=x.dtype).flatten(1),  # (C, C)
                self._merged("bias", self.value, dtype=x.dtype),
                self.gamma.astype("float32"),
            )

    @staticmethod
    def _merged(name: str, *convs: nn.Conv2D, dtype: Any = "float32") -> paddle.Tensor:
        """Concatenated parameter of several convolutions, so that one matrix product computes them all."""
        parameters = [getattr(conv, name) for conv in convs]
        return (paddle.concat(parameters) if len(parameters) > 1 else parameters[0]).astype(dtype)
