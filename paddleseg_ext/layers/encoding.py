"""Encoding layer and context encoding module of EncNet."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.layers.functional import in_type
from paddleseg_ext.layers.initialization import uniform_fan_in


class Encoding(nn.Layer):
    """Residuals to K learned codewords, softly assigned and summed over pixels.

    Reference: Zhang et al., "Deep TEN: Texture Encoding Network", CVPR 2017, Eq. 3 and 4;
    "Context Encoding for Semantic Segmentation", CVPR 2018, Sec. 3.1.
    Differs from the papers' code in form only: with ‖x−c‖² = ‖x‖² − 2x·c + ‖c‖² and
    Σ a(x−c) = aᵀx − (Σa)c, two matrix products replace a tensor of N·H·W·K·C elements.

    The sum is not divided by H·W, so it grows with the image: evaluate at the training size, or in
    sliding windows of that size.

    Args:
        channels: C, channels of the map.
        num_codes: K, number of codewords.

    Shape:
        - x: (N, C, H, W)
        - output: (N, K, C), float32 also under auto-cast

    Raises:
        ValueError: num_codes < 1.
    """

    def __init__(self, channels: int, num_codes: int = 32) -> None:
        super().__init__()
        if num_codes < 1:
            raise ValueError(f"num_codes={num_codes} must be at least 1.")
        bound = (num_codes * channels) ** -0.5
        uniform = nn.initializer.Uniform
        self.codewords = self.create_parameter([num_codes, channels], default_initializer=uniform(-bound, bound))
        self.scale = self.create_parameter([num_codes], default_initializer=uniform(-1.0, 0.0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        with paddle.amp.auto_cast(enable=False):  # ‖x‖² exceeds the range of float16, e.g. 512 channels of RMS 12
            x = x.astype("float32").flatten(2)  # (N, C, P), P = H·W
            assignment = self.assignment(x)
            weight_sum = assignment.sum(axis=2, keepdim=True)  # (N, K, 1)
            codes = self.codewords.astype("float32")
            return paddle.matmul(assignment, x, transpose_y=True) - weight_sum * codes  # (N, K, C)

    def assignment(self, x: paddle.Tensor) -> paddle.Tensor:
        """Weights of each pixel for the codewords.

        Shape:
            - x: (N, C, P), float32, with P = H·W pixels
            - output: (N, K, P), float32; sums to 1 over the K codewords
        """
        codes, scale = self.codewords.astype("float32"), self.scale.astype("float32")
        norms = paddle.square(x).sum(axis=1, keepdim=True)  # (N, 1, P)
        products = paddle.matmul(codes, x)  # (N, K, P)
        code_norms = paddle.square(codes).sum(axis=1, keepdim=True)  # (K, 1)
        distances = norms - 2 * products + code_norms  # (N, K, P)
        return F.softmax(scale.unsqueeze(1) * distances, axis=1)


class ContextEncoding(nn.Layer):
    """Context encoding module: scales the channels of a map by factors predicted from its encoding.

    Reference: Zhang et al., "Context Encoding for Semantic Segmentation", CVPR 2018, Sec. 3.1, Fig. 2.
    Official code consulted: zhanghang1989/PyTorch-Encoding, encoding/models/sseg/encnet.py.

    Args:
        channels: C, channels of the map.
        num_codes: K, number of codewords.
        act: Name of the activation of the projection in front of the encoding, ``None`` for none.

    Shape:
        - x: (N, C, H, W)
        - output: context (N, C) and scaled map (N, C, H, W)

    Raises:
        ValueError: As `Encoding`, or an unknown activation.
    """

    def __init__(self, channels: int, num_codes: int = 32, *, act: str | None = "relu") -> None:
        super().__init__()
        self.project = ConvNormAct(channels, channels, 1, act=act)
        self.encoding = Encoding(channels, num_codes)
        self.norm = nn.BatchNorm1D(num_codes)  # statistics over N×C per codeword
        self.gate = nn.Linear(channels, channels, **uniform_fan_in(channels))

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        codes = F.relu(self.norm(self.encoding(self.project(x))))  # (N, K, C)
        context = codes.mean(axis=1)  # (N, C)
        gamma = in_type(F.sigmoid(self.gate(context)), x.dtype).unsqueeze([2, 3])  # (N, C, 1, 1)
        return context, F.relu(x + x * gamma)
