"""Multi-scale deformable attention from Paddle's own operators, for `MSDeformAttn` of PaddleSeg's ViTAdapter."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F


def ms_deform_attn(
    value: paddle.Tensor,
    spatial_shapes: paddle.Tensor,
    level_start_index: paddle.Tensor,
    sampling_locations: paddle.Tensor,
    attention_weights: paddle.Tensor,
    im2col_step: int,
) -> paddle.Tensor:
    """Weighted sums of the maps' values at fractional positions, between pixels bilinear and 0 outside.

    Reference: Zhu et al., "Deformable DETR", ICLR 2021, Eq. 3. Named and called as the compiled operator is.

    Args:
        value: The maps of all levels, row by row, one after the other.
        spatial_shapes: Height and width of each level.
        level_start_index: Where each level starts in `value`; it follows from `spatial_shapes`.
        sampling_locations: x and y in units of the map's width and height, 0 and 1 its borders.
        attention_weights: Weight of each position.
        im2col_step: Of the compiled operator alone.

    Shape:
        - value: (N, ΣHₗWₗ, heads, C), spatial_shapes: (levels, 2), level_start_index: (levels,)
        - sampling_locations: (N, queries, heads, levels, points, 2)
        - attention_weights: (N, queries, heads, levels, points)
        - output: (N, queries, heads·C)
    """
    count, _, heads, channels = value.shape
    queries = sampling_locations.shape[1]
    maps = value.transpose([0, 2, 3, 1]).reshape([count * heads, channels, -1])  # (N·heads, C, ΣHW)
    grid = (2 * sampling_locations - 1).transpose([0, 2, 1, 3, 4, 5]).flatten(0, 1)  # (N·heads, queries, levels, …, 2)
    weights = attention_weights.transpose([0, 2, 1, 3, 4]).flatten(0, 1).unsqueeze(1)  # (N·heads, 1, queries, …)
    total, start = paddle.zeros([count * heads, channels, queries], value.dtype), 0
    sizes: Any = spatial_shapes.tolist()
    for level, (height, width) in enumerate(sizes):
        level_map = maps[:, :, start : start + height * width].reshape([count * heads, channels, height, width])
        sampled = F.grid_sample(level_map, grid[:, :, level], align_corners=False)  # (N·heads, C, queries, points)
        total = total + (sampled * weights[:, :, :, level]).sum(-1)
        start += height * width
    return total.reshape([count, heads * channels, queries]).transpose([0, 2, 1])
