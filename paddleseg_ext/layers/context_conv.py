"""Convolution over the concatenation of a map and upsampled coarse grids, without upsampling or concatenating them.

Convolution is linear over blocks of input channels, and bilinear upsampling of a k×k grid b is U_h · b · U_wᵀ.
With S_d the shift by d rows with zero fill (which is the zero padding of the convolution),

    conv(up(b)) = Σ_dy,dx (S_dy U_h) · (W_dy,dx b) · (S_dx U_w)ᵀ

so the weights are applied to k² cells instead of H·W pixels, followed by two thin matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F

from paddleseg_ext.layers.conv import ConvNormAct
from paddleseg_ext.layers.functional import conv3x3, in_type
from paddleseg_ext.layers.resample import Size, interpolation_matrix, remembered, resize, spatial_size

SMALL_MAP = 512
"""Below this many pixels the stacked form is faster or needs less memory in eager execution."""


@remembered
def shifted_interpolation(size_in: int, size_out: Size, kernel: int, align_corners: bool) -> paddle.Tensor:
    """S_d U for every row d of the kernel, concatenated.

    Args:
        size_in: Cells along one side of the grid.
        size_out: Pixels along the same side of the map.
        kernel: Side of the square kernel, odd.
        align_corners: As in ``F.interpolate``.

    Shape:
        - output: (size_out, kernel·size_in), kernel rows outermost
    """
    half = kernel // 2
    matrix = interpolation_matrix(size_in, size_out, align_corners)  # (n, k)
    if half == 0:
        return matrix
    border = paddle.zeros([half, size_in])
    padded = paddle.concat([border, matrix, border])  # (n + 2·half, k)
    return paddle.concat([padded[d : d + size_out] for d in range(kernel)], axis=1)


class ContextConv(ConvNormAct):
    """`ConvNormAct` over [map, upsampled grids], with the same weights and the same result.

    Reference: docs/identities.md, "Convolution over upsampled grids", for the proof; the layer itself is the bottleneck
    of PSPNet and DeepLab.

    Args:
        in_channels: Channels of the map and of all grids together.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel, odd.
        grids_first: The weights take the grids before the map.
        act: Name of the activation, ``None`` for none.
        align_corners: As in ``F.interpolate``, by which the grids are upsampled.

    Shape:
        - x: (N, C, H, W)
        - grids: list of (N, Cᵢ, kᵢ, kᵢ)
        - output: (N, out_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        grids_first: bool = False,
        act: str | None = "relu",
        align_corners: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, act=act)
        self.kernel_size = kernel_size
        self.grids_first = grids_first
        self.align_corners = align_corners

    def forward(  # type: ignore[override]  # it takes more
        self, x: paddle.Tensor, grids: Sequence[paddle.Tensor]
    ) -> paddle.Tensor:
        # A 1×1 kernel saves less, so the copy of its weights costs more than it saves up to larger maps.
        least = SMALL_MAP if self.kernel_size > 1 else 3 * SMALL_MAP
        small = paddle.in_dynamic_mode() and x.shape[2] * x.shape[3] < least
        return self.act(self.norm(self.stacked(x, grids) if small else self.fused(x, grids)))

    def stacked(self, x: paddle.Tensor, grids: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """The convolution over the upsampled and concatenated grids, without normalization and activation.

        Shape:
            - x: (N, C, H, W)
            - grids: list of (N, Cᵢ, kᵢ, kᵢ)
            - output: (N, out_channels, H, W)
        """
        size = spatial_size(x)
        context = [resize(grid, size, self.align_corners) for grid in grids]
        return self.conv(paddle.concat([*context, x] if self.grids_first else [x, *context], axis=1))

    def fused(self, x: paddle.Tensor, grids: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """The same without upsampling the grids.

        Shape:
            - x: (N, C, H, W)
            - grids: list of (N, Cᵢ, kᵢ, kᵢ)
            - output: (N, out_channels, H, W)
        """
        height, width = spatial_size(x)
        kernel, widths = self.kernel_size, [grid.shape[1] for grid in grids]
        weight = in_type(self.conv.weight, x.dtype)  # cast once, before it is split and transposed
        if self.grids_first:
            *blocks, own = paddle.split(weight, [*widths, x.shape[1]], axis=1)
        else:
            own, *blocks = paddle.split(weight, [x.shape[1], *widths], axis=1)
        out = conv3x3(x, own) if kernel == 3 else F.conv2d(x, own, padding=kernel // 2)
        rows, across = [], []
        for grid, block in zip(grids, blocks):
            cells = self._apply_weights(grid, block)  # (N, O, kernel·k, kernel·k)
            if cells.shape[2] == 1:  # one value per channel: no border, nothing to interpolate
                out = out + cells
                continue
            k = grid.shape[2]
            down = in_type(shifted_interpolation(k, height, kernel, self.align_corners), cells.dtype)
            rows.append(paddle.matmul(down, cells))  # (N, O, H, kernel·k)
            across.append(shifted_interpolation(k, width, kernel, self.align_corners))
        if not rows:
            return out
        # One product over all concatenated grids also sums them.
        return out + paddle.matmul(
            paddle.concat(rows, axis=3), in_type(paddle.concat(across, axis=1), x.dtype), transpose_y=True
        )

    def _apply_weights(self, grid: paddle.Tensor, block: paddle.Tensor) -> paddle.Tensor:
        """Weights of every kernel element applied to every cell: W_dy,dx b, as [dy, row] × [dx, column]."""
        kernel, k = self.kernel_size, grid.shape[2]
        out, channels = block.shape[0], block.shape[1]
        weight = block.reshape([out, channels, kernel**2]).transpose([0, 2, 1]).reshape([out * kernel**2, channels])
        cells = paddle.matmul(weight, grid.flatten(2))  # (N, O·kernel², k²)
        cells = cells.reshape([-1, out, kernel, kernel, k, k]).transpose([0, 1, 2, 4, 3, 5])
        return cells.reshape([-1, out, kernel * k, kernel * k])
